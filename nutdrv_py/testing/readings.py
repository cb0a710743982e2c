# SPDX-License-Identifier: GPL-2.0-or-later
"""What is wrong with one reading, whatever the device: names, units, times, and what the driver would drop. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from nutdrv_py.core.guard import guarded
from nutdrv_py.device.backend import Backend
from nutdrv_py.device.mapping import to_number
from nutdrv_py.device.reading import Reading
from nutdrv_py.errors import DeviceError
from nutdrv_py.nut.names import is_variable

__all__ = ["AHEAD", "faults"]

AHEAD = 1.0
"""Seconds that a reading may come from the future: two calls of a clock round differently."""

LONG_AGO = 1e8
"""Seconds after which a time is that of another clock."""

STATUS = ("FSD", "LB", "CAL")
"""Tokens that the guard drops by their names."""

# What a house can have: patterns of names, the lowest and the highest believable value. The first row that fits decides.
BELIEVABLE: tuple[tuple[str, float, float, str], ...] = (
    ("*temperature", -45, 125, "degrees Celsius"),
    ("*frequency", 0, 70, "Hz"),
    ("battery.voltage", 0, 1600, "V"),
    ("battery.voltage.cell.*", 0, 5, "V"),
    ("*.voltage", 0, 1600, "V"),
    ("*.realpower", -1e6, 1e6, "W"),
    ("ups.load", 0, 300, "percent"),
    ("battery.runtime", 0, 3e6, "seconds"),
)


def faults(reading: Reading, backend: Backend[Any], now: float) -> Iterator[tuple[str, str]]:
    """Yield the rule and what was seen for each fault of a reading that was returned at monotonic time ``now``."""
    if not isinstance(reading, Reading):
        yield "status", f"poll() returned {type(reading).__name__} in place of a Reading"
        return
    try:
        kept, dropped = guarded(reading, fsd=backend.says_fsd)
    except DeviceError as error:
        yield ("time" if "its time" in str(error) else "status"), str(error)
        return
    except Exception as error:
        yield "dropped", f"the reading cannot be looked at: {type(error).__name__}"
        return
    for item in dropped:
        yield ("status" if item.name in STATUS else "dropped"), f"{item.name} was dropped: {item.reason}"
    # What another upsd serves is that device's own.
    if not backend.says_low:
        for name in kept.values:
            if not is_variable(name):
                yield "names", f"a variable is called {name}"
    yield from _believable(kept)
    if reading.at is not None and reading.at > now + AHEAD:
        yield "time", "the reading was said to be of a time after it was returned"
    if reading.at is not None and reading.at < now - LONG_AGO:
        yield "time", "the reading was said to be of years ago"
    wrong = [name for name, at in reading.raw_times.items() if not at <= now + AHEAD]
    if wrong:
        yield "time", f"raw_times of {wrong[0]} was later than the reading"


def _believable(reading: Reading) -> Iterator[tuple[str, str]]:
    numbers = {name: number for name in reading.values if (number := to_number(reading.values[name])) is not None}
    for name, number in numbers.items():
        row = next((row for row in BELIEVABLE if fnmatchcase(name, row[0])), None)
        if row is not None and not row[1] <= number <= row[2]:
            yield "believable", f"{name} was {number:g}, which can be no {row[3]}"
    load, power, nominal = (numbers.get(name) for name in ("ups.load", "ups.realpower", "ups.realpower.nominal"))
    share = 100 * power / nominal if power is not None and nominal else 0.0
    if load is not None and share > 2 and not 0.2 < load / share < 5:
        yield "believable", f"ups.load was {load:g} beside a power of {power:g} W of {nominal:g} W, which is no percentage of it"
