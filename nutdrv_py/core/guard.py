# SPDX-License-Identifier: GPL-2.0-or-later
"""What a reading must be before anyone sees it: names, numbers, ranges and tokens. Pure.

A backend may be a stranger's, and what it reads comes from a network. What is wrong here is dropped alone: a fault in one value
loses that value, never the state of the grid.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType

from nutdrv_py.core.lowbattery import CHARGE, RUNTIME
from nutdrv_py.device.mapping import to_number
from nutdrv_py.device.reading import Decline, Reading, Status, Value
from nutdrv_py.errors import DeviceError
from nutdrv_py.nut.kinds import What, kind_of

__all__ = ["MOST_VARIABLES", "NAME", "Dropped", "guarded"]

LONGEST_NAME = 128
"""Maximum characters of a name."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
"""What a variable may be called. A line feed in a name would be a line of the driver's protocol."""

MOST_VARIABLES = 4096
"""Maximum variables of one reading; the largest PDU has about a thousand."""

MOST_ALARMS = 16
"""Maximum alarms of one reading; ``ups.alarm`` holds 255 characters."""

LONGEST_TEXT = 1024
"""Characters of a text that are looked at; upsd holds 255."""

LARGEST = 1e18
"""Maximum number of a value: no number of a UPS is larger, and its text fits a line."""

MOST_LOAD, MOST_CAPACITY = 1e6, 1e9
"""W and Wh, more than any house has."""

SHOWN = 60
"""Characters of a name in a sentence."""

SHORTEST_SECRET = 4
"""Characters of a secret that is looked for in values: a shorter one is a part of everything."""

_NO_NAME = "that is no name of a NUT variable"
_OWN = ("ups.status", "ups.alarm")
_LOOKED_FOR = tuple(f"{name}{end}" for name in (CHARGE, RUNTIME) for end in ("", ".low"))


@dataclass(frozen=True, slots=True)
class Dropped:
    """A part of a reading that was dropped: ``name`` in printable ASCII, and why."""

    name: str
    reason: str


def guarded(
    reading: Reading, secrets: Iterable[str] = (), *, fsd: bool = False, passed: Mapping[str, Value] = MappingProxyType({})
) -> tuple[Reading, tuple[Dropped, ...]]:
    """Return ``reading`` without what must not be seen, and what was dropped of it.

    Values that hold one of ``secrets`` are dropped too; ``fsd`` lets a forced shutdown through; ``passed`` are the values that
    passed last with the same secrets: the same object passes again. Raises
    :class:`~nutdrv_py.errors.DeviceError` when the status has neither OL, OB nor OFF.
    """
    status, wrong = _status(reading.status, fsd=fsd)
    dropped = list(wrong)
    hidden = tuple(secret for secret in secrets if len(secret) >= SHORTEST_SECRET)
    values: dict[str, Value] = {}
    seen: set[str] = set()
    for name, value in reading.values.items():
        reason = _repeated(name, seen) if name in passed and passed[name] is value else _fault(name, value, seen, hidden)
        if reason:
            dropped.append(Dropped(ascii(name)[1:-1][:SHOWN], reason))
            continue
        lowered = name.lower()
        seen.add(lowered)
        # The core looks for these by name, and NUT takes names in any case.
        values[lowered if lowered in _LOOKED_FOR else name] = value
    alarms = tuple(
        alarm[:LONGEST_TEXT]
        for alarm in reading.alarms[:MOST_ALARMS]
        if isinstance(alarm, str) and alarm.strip() and not any(secret in alarm for secret in hidden)
    )
    if len(alarms) < len(reading.alarms):
        dropped.append(Dropped("ups.alarm", "an alarm without text, with a secret in it, or one too many"))
    at = reading.at
    if at is not None and math.isnan(at):
        raise DeviceError("the backend does not say when its reading was taken: its time is not a number")
    decline = _decline(reading.decline)
    if decline != reading.decline:
        dropped.append(Dropped("decline", "it holds what is no believable number"))
    return replace(reading, values=values, status=status, alarms=alarms, decline=decline), tuple(dropped)


def _decline(decline: object) -> Decline | None:
    """Return the decline with what is a believable number in it; None for what is none."""
    if not isinstance(decline, Decline):
        return None

    def number(value: object, lowest: float, highest: float) -> float | None:
        found = to_number(value)
        return found if found is not None and lowest <= found <= highest else None

    falling = decline.falling if isinstance(decline.falling, tuple) else ()
    return Decline(
        load=number(decline.load, 0, MOST_LOAD) or 0.0, measured=decline.measured is True,
        capacity=number(decline.capacity, 1, MOST_CAPACITY), charge=number(decline.charge, 0, 100),
        falling=tuple(name for name in falling if isinstance(name, str)),
        low=number(decline.low, 0, 100), cutoff=number(decline.cutoff, 0, 100), warning=number(decline.warning, 0, 100),
        recharged=decline.recharged is True, by_runtime=decline.by_runtime is True,
    )  # fmt: skip


def _status(status: Status, *, fsd: bool) -> tuple[Status, tuple[Dropped, ...]]:
    if not isinstance(status, Status) or not status.says_supply:
        raise DeviceError(f"the backend gave the impossible status {str(status)[:SHOWN]!a}: exactly one of OL and OB is needed")
    wrong = []
    if Status.FSD in status and not fsd:
        status &= ~Status.FSD
        wrong.append(Dropped("FSD", "a forced shutdown is upsd's to announce, never a device's"))
    if Status.LB in status and Status.OB not in status:
        status &= ~Status.LB
        wrong.append(Dropped("LB", "a low battery counts only with OB"))
    if Status.LB in status and Status.CAL in status:
        status &= ~Status.CAL
        wrong.append(Dropped("CAL", "with OB LB it would hide the low battery from upsmon"))
    return status, tuple(wrong)


@lru_cache(MOST_VARIABLES)
def _name_fault(name: str) -> str:
    """Return why no variable may be called so; empty when one may. Devices give the same names in each reading."""
    lowered = name.lower()
    if not NAME.fullmatch(name):
        return _NO_NAME
    if lowered in _OWN:
        return "status and alarms are not values of a reading"
    return "driver.* is the driver's own" if lowered.startswith("driver.") else ""


def _repeated(name: str, seen: set[str]) -> str:
    """Return why a good name cannot be used once more in the same reading; empty when it can."""
    if name.lower() in seen:
        return "the same name was given twice"
    return f"there are more than {MOST_VARIABLES} variables" if len(seen) >= MOST_VARIABLES else ""


def _fault(name: object, value: object, seen: set[str], secrets: tuple[str, ...]) -> str:
    """Return why the value must not be seen; empty when it may."""
    if not isinstance(name, str) or len(name) > LONGEST_NAME:
        return _NO_NAME
    reason = _name_fault(name)
    if reason:
        return reason
    reason = _repeated(name, seen)
    if reason:
        return reason
    if not isinstance(value, str | int | float):
        return f"{type(value).__name__} is no value"
    if not isinstance(value, str) and not abs(value) <= LARGEST:
        return "it is no number, or too large"
    kind = kind_of(name)
    if kind.what is not What.NUMBER:
        if isinstance(value, str) and any(secret in value for secret in secrets):
            return "it holds a secret of the configuration"
        return "it is no text that NUT could hold" if isinstance(value, str) and len(value) > LONGEST_TEXT else ""
    number = to_number(value)
    if number is None:
        return "it is no number"
    return "" if kind.lowest <= number <= kind.highest else f"it is not between {kind.lowest:g} and {kind.highest:g}"
