# SPDX-License-Identifier: GPL-2.0-or-later
"""From a Reading to the variables that upsd serves.

Here and nowhere else: number formats, clean text, ``ups.status`` and ``ups.alarm``, ``default.*`` and ``override.*``, the low
marks as they are shown, and the mirror of ``ups.*`` to ``device.*`` (NUT drivers/main.c and dstate.c).
"""

from __future__ import annotations

import contextlib
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from nutdrv_py.core.lowbattery import CHARGE, RUNTIME, Wishes, mark
from nutdrv_py.device.backend import Writable
from nutdrv_py.device.mapping import to_number
from nutdrv_py.device.reading import Reading, Status, Value
from nutdrv_py.nut.kinds import kind_for, kind_of
from nutdrv_py.nut.parseconf import MAX_VALUE, escape
from nutdrv_py.nut.snapshot import Flag, Variable

__all__ = ["Marks", "Shaper", "format_value", "sanitize", "shape", "status_text", "usable", "with_kinds"]

_LETTERS = str.maketrans(
    {
        "ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss", "æ": "ae", "Æ": "Ae", "ø": "o", "Ø": "O",
        "å": "a", "Å": "A", "ł": "l", "Ł": "L", "°": " deg ", "µ": "u", "–": "-", "—": "-", "…": "...", "€": "EUR",
        "‘": "'", "’": "'", "“": "'", "”": "'", "²": "2", "³": "3", "Ω": "Ohm",
    }
)  # fmt: skip

_MIRRORED = (("ups.mfr", "device.mfr"), ("ups.model", "device.model"), ("ups.serial", "device.serial"))


def sanitize(text: str) -> str:
    """Return ``text`` as upsd can hold it: printable ASCII, at most 255 bytes once escaped.

    Umlauts and the like become their usual spelling, control characters a blank. upsd would drop them byte by byte.
    """
    if len(text) <= MAX_VALUE // 2 and text.isascii() and text.isprintable():
        return text
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFC", text).translate(_LETTERS))
    ascii_only = "".join(c if " " <= c <= "~" else " " if c.isspace() or ord(c) < 32 else "" for c in plain)
    cut = ascii_only[:MAX_VALUE]
    while len(escape(cut, 2 * MAX_VALUE + 2)) > MAX_VALUE:
        cut = cut[:-1]
    return cut


def format_value(name: str, value: Value) -> str:
    """Return the value as text: whole numbers plain, others with the fixed number of decimals of their name, never an exponent.

    A fixed number, because clients such as Telegraf take "230" and "230.1" for different types.
    """
    if isinstance(value, str):
        return sanitize(value)
    if isinstance(value, int):
        return str(int(value))
    text = f"{value:.{kind_of(name).decimals}f}"
    return text[1:] if text.startswith("-") and not text.strip("-0.") else text


def status_text(status: Status, alarms: tuple[str, ...]) -> str:
    """Return ``ups.status``: the tokens in NUT's order, ``ALARM`` in front when there are alarms."""
    return f"ALARM {status}" if alarms else str(status)


@dataclass(frozen=True, slots=True)
class Marks:
    """The low marks as variables: ``values`` to be shown, ``writable`` those that upsrw may set here."""

    values: Mapping[str, float] = field(default_factory=dict)
    writable: Mapping[str, Writable] = field(default_factory=dict)

    @classmethod
    def of(cls, reading: Reading, wishes: Wishes, known: tuple[float | None, float | None], fixed: Collection[str]) -> Marks:
        """Return the marks in force for ``reading``; those in ``fixed`` cannot be set, nor can the device's own."""
        values: dict[str, float] = {}
        writable: dict[str, Writable] = {}
        for name, remembered in zip((CHARGE, RUNTIME), known, strict=True):
            told, found = f"{name}.low" in reading.values, mark(name, reading, wishes, remembered)
            if found is None:
                continue
            if not told or to_number(reading.values[f"{name}.low"]) != found:
                values[f"{name}.low"] = found
            if name == CHARGE and not told:
                writable[f"{name}.low"] = Writable(ranges=((1, 99),))
            if name == CHARGE and reading.decline is not None and reading.decline.warning is not None:
                values[f"{name}.warning"] = min(100.0, found + reading.decline.warning)
        return cls(values, {name: rule for name, rule in writable.items() if name not in fixed})


class Shaper:
    """Makes the variables of readings; one whose value has not changed since the last reading is not made again."""

    def __init__(self) -> None:
        self._made: dict[str, tuple[object, Variable]] = {}

    def shape(
        self,
        reading: Reading,
        marks: Marks,
        writable: Mapping[str, Writable],
        defaults: Mapping[str, str],
        overrides: Mapping[str, str],
        detection: str = "",
    ) -> dict[str, Variable]:
        """Return the variables of a reading, all but ``driver.*``. ``detection`` is experimental.lowbattery.detection, if any."""
        given = {**reading.values, **marks.values}
        values: dict[str, Value] = {"device.type": "ups", **defaults, **given}
        if detection:
            values["experimental.lowbattery.detection"] = detection
        values |= overrides
        if reading.alarms:
            values["ups.alarm"] = " ".join(f"[{alarm}]" for alarm in reading.alarms)
        values["ups.status"] = status_text(reading.status, reading.alarms)
        for source, mirror in _MIRRORED:
            if source in values and mirror not in overrides and mirror not in reading.values:
                values[mirror] = values[source]
        rules = {**marks.writable, **writable}
        made = {}
        for name, value in values.items():
            number = isinstance(given.get(name), int | float)
            fixed = overrides.get(name) is value
            parts = (value, type(value), number, fixed, None if name in overrides else rules.get(name))
            before = self._made.get(name)
            made[name] = before if before is not None and before[0] == parts else (parts, _variable(name, *parts))
        self._made = made
        return {name: variable for name, (_, variable) in made.items()}


def _variable(name: str, value: Value, kind: type[Value], number: bool, fixed: bool, rule: Writable | None) -> Variable:
    text = format_value(name, value)
    variable = Variable(text, immutable=fixed) if rule is None else _writable(text, rule)
    return replace(variable, kind=kind_for(name, text, number=number))


def shape(
    reading: Reading,
    marks: Marks,
    writable: Mapping[str, Writable],
    defaults: Mapping[str, str],
    overrides: Mapping[str, str],
    detection: str = "",
) -> dict[str, Variable]:
    """Return the variables of one reading, as :meth:`Shaper.shape`."""
    return Shaper().shape(reading, marks, writable, defaults, overrides, detection)


def with_kinds(variables: Mapping[str, Variable], given: Mapping[str, object]) -> dict[str, Variable]:
    """Return the variables with their kinds; ``given`` holds the values before they were formatted, as far as there were any."""
    return {
        name: replace(one, kind=kind_for(name, one.value, number=isinstance(given.get(name), int | float)))
        for name, one in variables.items()
    }


def usable(offer: Mapping[str, Writable]) -> dict[str, Writable]:
    """Return the rules of an offer that a variable can have; a backend may be a stranger's."""
    found: dict[str, Writable] = {}
    for name, rule in offer.items():
        # Try it: what upsd could not be sent is no rule.
        with contextlib.suppress(AttributeError, TypeError, ValueError):
            _writable("", rule)
            found[str(name)] = rule
    return found


def _writable(value: str, rule: Writable) -> Variable:
    if rule.ranges:
        return Variable(value, Flag.RW | Flag.NUMBER, ranges=rule.ranges)
    if rule.enum:
        return Variable(value, Flag.RW | Flag.STRING, maxlen=max(map(len, rule.enum)), enum=rule.enum)
    return Variable(value, Flag.RW | Flag.STRING, maxlen=rule.maxlen)
