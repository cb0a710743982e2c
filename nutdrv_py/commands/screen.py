# SPDX-License-Identifier: GPL-2.0-or-later
"""One UPS on one screen: lines of text as wide as the terminal; colour and box characters only where they can be shown.

Nothing here is invented: what the driver does not publish is not drawn.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TextIO

from nutdrv_py.device.mapping import to_number
from nutdrv_py.device.reading import Status
from nutdrv_py.device.storage import battery_flow, flow

__all__ = ["Facts", "Style", "duration", "headline", "lines"]

NARROWEST, WIDEST = 40, 100
"""Columns that are used, at least and at most."""

UTF_8 = ("utf-8", "utf8")


# What is shown


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a UPS. ``variables`` hold nothing of the device while ``stale``.

    ``age`` is seconds since the last good data, None when the driver does not publish it. ``since`` is the time (seconds since
    1970) at which the house was seen to leave the grid, None when that was not seen. ``missing`` is why there is no driver.
    """

    ups: str
    stale: bool
    variables: Mapping[str, str]
    age: float | None
    now: float
    since: float | None = None
    missing: str = ""

    @property
    def good(self) -> bool:
        """Return whether there are current data."""
        return not self.stale and not self.missing

    @property
    def status(self) -> Status:
        """Return the tokens of ups.status."""
        return Status.parse(self.variables.get("ups.status", ""))[0]

    def number(self, name: str) -> float | None:
        """Return a variable that is a number."""
        return to_number(self.variables.get(name))


# fmt: off
MORE = (   # after OL or OB: token, words
    (Status.FSD,     "FORCED SHUTDOWN"),
    (Status.OVER,    "OVERLOAD"),
    (Status.CHRG,    "battery charging"),
    (Status.DISCHRG, "battery discharging"),
    (Status.RB,      "battery needs replacement"),
    (Status.HB,      "high battery"),
    (Status.CAL,     "calibrating"),
    (Status.BYPASS,  "on bypass"),
    (Status.TRIM,    "voltage trimmed"),
    (Status.BOOST,   "voltage boosted"),
)
FLOWS = (   # name, variable in W, words while it gives and while it takes; factor +: the variable is + while it gives
    ("Grid",    "input.realpower",                1, "bought",      "sold"),
    ("Sun",     "experimental.pv.realpower",      1, "made",        ""),
    ("Battery", "experimental.storage.realpower", 1, "discharging", "charging"),
    ("House",   "ups.realpower",                 -1, "",            "used"),
)
COLUMNS = (   # of each phase: variable, unit, word
    ("input.L{n}-N.voltage",  "V", ""),
    ("input.L{n}.realpower",  "W", "grid"),
    ("output.L{n}.realpower", "W", "house"),
)
# fmt: on


@dataclass(frozen=True, slots=True)
class Style:
    """What the terminal can show."""

    width: int = 80
    colour: bool = False
    unicode: bool = False

    @classmethod
    def of(cls, stream: TextIO, environ: Mapping[str, str] = os.environ) -> Style:
        """Return the style for this stream. ``NO_COLOR`` (no-color.org) is honoured, and so is ``COLUMNS``."""
        terminal = stream.isatty()
        colour = terminal and not environ.get("NO_COLOR") and environ.get("TERM", "dumb") != "dumb"
        width = shutil.get_terminal_size((80, 24)).columns if terminal or "COLUMNS" in environ else 80
        return cls(max(NARROWEST, min(WIDEST, width)), colour, _shows_utf_8(stream, environ))

    def paint(self, text: str, code: str) -> str:
        """Return the text in a colour."""
        return f"\033[{code}m{text}\033[0m" if self.colour else text


def _shows_utf_8(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Return whether it shows UTF-8. Python itself makes UTF-8 of the locales C and POSIX (PEP 538, 540), so the stream alone
    proves nothing."""
    if (stream.encoding or "").lower() not in UTF_8:
        return False
    locale = environ.get("LC_ALL") or environ.get("LC_CTYPE") or environ.get("LANG") or ""
    if locale == "C.UTF-8" and not environ.get("LC_ALL") and environ.get("LANG", "") in ("", "C", "POSIX"):
        return False
    return locale.lower().endswith(UTF_8)


def duration(seconds: float) -> str:
    """Return seconds in words: 45 s, 12 min, 3 h 40 min, 2 d 4 h."""
    seconds = max(0.0, seconds)
    minutes = int(seconds // 60)
    if minutes < 1:
        return f"{int(seconds)} s"
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    pairs = [(days, "d"), (hours, "h"), (minutes, "min")]
    first = next(index for index, (count, _) in enumerate(pairs) if count)
    return " ".join(f"{count} {unit}" for count, unit in pairs[first : first + 2] if count)


def headline(facts: Facts) -> str:
    """Return the status in words."""
    if facts.missing:
        return facts.missing
    if facts.stale:
        if facts.age is None:
            return "No data"
        moment = time.localtime(facts.now - facts.age)
        return f"No data since {time.strftime('%H:%M' if facts.age < 43200 else '%Y-%m-%d %H:%M', moment)}"
    status = facts.status
    words: list[str] = []
    if Status.OB in status:
        length = f" for {duration(facts.now - facts.since)}" if facts.since is not None else ""
        words.append(("LOW BATTERY, on battery" if Status.LB in status else "On battery") + length)
        left = facts.number("battery.runtime")
        if left is not None:
            words.append(f"{duration(left)} left")
    elif Status.OFF in status:
        words.append("Off: the house has no power")
    elif Status.OL in status:
        words.append("On the grid" + (", LOW BATTERY" if Status.LB in status else ""))
    else:
        words.append(f"Status {facts.variables.get('ups.status') or 'unknown'}")
    words += [text for flag, text in MORE if flag in status]
    return ", ".join(words)


_RED, _YELLOW, _GREEN = "1;31", "1;33", "1;32"


def _colour(facts: Facts) -> str:
    if not facts.good or Status.LB in facts.status or Status.OFF in facts.status or Status.FSD in facts.status:
        return _RED
    return _GREEN if Status.OL in facts.status else _YELLOW


# Lines


def lines(facts: Facts, style: Style) -> list[str]:
    """Return the screen, from top to bottom, none longer than the width."""
    width = style.width
    found = [_cut(facts.ups, width), *(style.paint(line, _colour(facts)) for line in _folded(headline(facts), width))]
    if not facts.good:
        return found
    for part in (_alarms(facts), _battery(facts, style), _flow(facts, style), _phases(facts), _age(facts)):
        found += [style.paint(_cut(line, width), _RED) if part_is_alarm else _cut(line, width) for line, part_is_alarm in part]
    return found


Rows = Iterator[tuple[str, bool]]


def _cut(text: str, width: int) -> str:
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    return shown if len(shown) <= width else shown[: width - 2] + ".."


def _folded(text: str, width: int) -> Iterator[str]:
    """Yield the words in lines of that width."""
    line = ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > width:
            yield _cut(line, width)
            line = word
        else:
            line = f"{line} {word}" if line else word
    yield _cut(line, width)


def _alarms(facts: Facts) -> Rows:
    text = facts.variables.get("ups.alarm", "").strip()
    if text:
        yield f"Alarm    {text}", True


def _battery(facts: Facts, style: Style) -> Rows:
    charge, low = facts.number("battery.charge"), facts.number("battery.charge.low")
    if charge is not None:
        tail = f" {charge:3.0f} %" + (f", low at {low:.0f} %" if low is not None else "")
        room = max(10, min(40, style.width - 11 - len(tail)))
        yield f"Charge   {_bar(charge, low, room, unicode=style.unicode)}{tail}", False
    left = facts.number("battery.runtime")
    if left is not None:
        yield f"Runtime  {duration(left)}", False
    load = facts.number("ups.load")
    if load is not None:
        yield f"Load     {load:.0f} %", False


def _bar(charge: float, low: float | None, room: int, *, unicode: bool) -> str:
    """Return a bar of ``room`` letters between brackets, with a mark where the battery is low."""
    full, empty, mark = ("█", "░", "┃") if unicode else ("#", "-", "|")
    filled = round(max(0.0, min(100.0, charge)) / 100 * room)
    letters = [full] * filled + [empty] * (room - filled)
    if low is not None and 0 <= low <= 100:
        letters[min(room - 1, round(low / 100 * room))] = mark
    return f"[{''.join(letters)}]"


def _flow(facts: Facts, style: Style) -> Rows:
    """Yield a line for each power, with an arrow towards the house's wires or away from them."""
    gives, takes, rests = ("──▶", "◀──", "───") if style.unicode else ("-->", "<--", "---")
    for name, variable, sign, giving, taking in FLOWS:
        watts = facts.number(variable)
        if watts is None:
            continue
        way = flow(sign * watts)
        if name == "Battery":
            way = battery_flow(watts, facts.status, facts.variables.get("battery.charger.status"))
        arrow, word = (rests, "") if not way else (gives, giving) if way > 0 else (takes, taking)
        yield f"{name:<8} {arrow} {abs(watts):6.0f} W  {word}".rstrip(), False


def _phases(facts: Facts) -> Rows:
    for n in (1, 2, 3):
        shown = []
        for variable, unit, word in COLUMNS:
            value = facts.number(variable.format(n=n))
            if value is not None:
                shown.append(f"{word} {value:.0f} {unit}".strip())
        if shown:
            yield f"L{n}       {', '.join(shown)}", False


def _age(facts: Facts) -> Rows:
    if facts.age is not None:
        yield f"Data     {'just now' if facts.age < 1 else duration(facts.age) + ' old'}", False
