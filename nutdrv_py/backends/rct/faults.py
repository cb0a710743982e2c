# SPDX-License-Identifier: GPL-2.0-or-later
"""The fault registers and the battery's status words in text.

Bit b of ``fault[n].flt`` is fault 32 n + b. The list is the inverter's own, as rctclient's documentation gives it; the bits of
``battery.status`` and ``status2`` were given to openWB by the vendor.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nutdrv_py.device.reading import Status

__all__ = [
    "FAULTS", "REGISTERS", "BatteryBit", "Confirmed", "Fault", "Use", "active", "alarms", "battery_status", "battery_word",
    "reasons",
]  # fmt: skip

REGISTERS = tuple(f"fault[{index}].flt" for index in range(4))


class Use(enum.Enum):
    """What a fault is for."""

    ALARM = "endangers the supply or needs a repair"
    GRID = "describes the grid: the reason of a transfer, never an alarm"
    INFO = "is only noted by the inverter"


@dataclass(frozen=True, slots=True)
class Fault:
    """A range of fault numbers with one meaning."""

    first: int
    last: int
    text: str
    use: Use = Use.ALARM
    phases: bool = False
    """The numbers are those of L1, L2, L3, and so on again."""


_G, _I = Use.GRID, Use.INFO

EMPTY = 106
SWITCH_DEAF = 29
DEAF_REGISTER = REGISTERS[SWITCH_DEAF // 32]
REPLACE = frozenset({85, 86, 114})
"""Faults that ask for a repair of the battery: its current sensor, its booster, an internal error."""

# fmt: off
FAULTS: tuple[Fault, ...] = (
    Fault(0,   0,   "CPU trap"),
    Fault(1,   2,   "Real-time clock", _I),
    Fault(3,   5,   "Hardware stop"),
    Fault(6,   7,   "DC link voltage"),
    Fault(8,   10,  "Overcurrent", phases=True),
    Fault(11,  11,  "Buffer capacitor voltage"),
    Fault(12,  12,  "Quartz"),
    Fault(13,  15,  "Grid undervoltage", _G, phases=True),
    Fault(16,  16,  "Battery overcurrent"),
    Fault(17,  17,  "Relay test failed"),
    Fault(18,  21,  "Overtemperature"),
    Fault(22,  24,  "Power board"),
    Fault(25,  25,  "Insulation"),
    Fault(26,  28,  "DC component in the output current"),
    Fault(29,  29,  "Power Switch does not communicate"),
    Fault(30,  30,  "Grid overvoltage between phases", _G),
    Fault(31,  36,  "IGBT driver"),
    Fault(37,  39,  "Grid overvoltage for long", _G, phases=True),
    Fault(40,  45,  "Grid overvoltage", _G, phases=True),
    Fault(46,  47,  "Grid overfrequency", _G),
    Fault(48,  53,  "Grid undervoltage", _G, phases=True),
    Fault(54,  55,  "Grid underfrequency", _G),
    Fault(56,  60,  "CPU exception"),
    Fault(61,  63,  "Real-time clock", _I),
    Fault(64,  74,  "Residual current or supply monitoring"),
    Fault(75,  75,  "Overtemperature"),
    Fault(76,  76,  "DC link voltage"),
    Fault(77,  78,  "Solar generator overvoltage"),
    Fault(79,  84,  "Grid outside the limits for connection", _G),
    Fault(85,  85,  "Battery current sensor"),
    Fault(86,  86,  "Battery booster"),
    Fault(87,  88,  "Grid outside the limits for connection", _G),
    Fault(89,  89,  "Surge or phase failure of the grid", _G),
    Fault(90,  90,  "Separated from the grid", _G),
    Fault(91,  95,  "Internal supply voltage"),
    Fault(96,  96,  "Battery voltage out of range"),
    Fault(97,  98,  "Monitoring processor"),
    Fault(99,  99,  "Order of the phases"),
    Fault(100, 100, "Battery overvoltage"),
    Fault(101, 101, "Throttle current"),
    Fault(102, 104, "Internal and external grid voltage differ", _G, phases=True),
    Fault(105, 105, "External emergency off"),
    Fault(106, 106, "Battery empty, too low for standby"),
    Fault(107, 107, "Battery does not communicate (CAN)"),
    Fault(108, 108, "Timing"),
    Fault(109, 110, "Battery heat sink overtemperature"),
    Fault(111, 113, "Relay box or protective earth"),
    Fault(114, 114, "Internal battery error"),
    Fault(115, 115, "Parameter changed", _I),
    Fault(116, 116, "Three island attempts have failed"),
    Fault(117, 117, "Grid undervoltage between phases", _G),
    Fault(118, 118, "Device reset", _I),
    Fault(119, 119, "Firmware update", _I),
    Fault(120, 121, "Fault ride-through", _G),
    Fault(122, 124, "IGBT diode", phases=True),
    Fault(125, 125, "Single-phase operation not allowed"),
    Fault(126, 126, "Island detected", _G),
    Fault(127, 127, "Neutral conductor"),
)
# fmt: on

_BY_NUMBER: Mapping[int, Fault] = {number: fault for fault in FAULTS for number in range(fault.first, fault.last + 1)}


class Confirmed:
    """A register whose bits count when two answers one after the other have shown them; ``confirmed`` holds those."""

    def __init__(self) -> None:
        self._at: float | None = None
        self._last = 0
        self.confirmed = 0

    def update(self, register: object, at: float | None) -> None:
        """Take in the answer made at ``at``; without a register nothing is confirmed, and a known answer changes nothing."""
        if not isinstance(register, int):
            self.confirmed = 0
        elif at != self._at:
            self.confirmed = register & self._last if self._at is not None else 0
            self._at, self._last = at, register


def active(registers: Iterable[int | None]) -> frozenset[int]:
    """Return the numbers of the faults that the registers show; a register that is not known shows none."""
    return frozenset(
        32 * index + bit for index, register in enumerate(registers) if register for bit in range(32) if register >> bit & 1
    )


def _texts(numbers: Iterable[int], use: Use) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for number in sorted(numbers):
        fault = _BY_NUMBER[number]
        if fault.use is use:
            phase = f" L{(number - fault.first) % 3 + 1}" if fault.phases else ""
            found[f"{fault.text}{phase}"] = None
    return tuple(found)


def alarms(numbers: Iterable[int]) -> tuple[str, ...]:
    """Return the texts of the faults that are alarms; those of the grid are not, and an outage is full of them."""
    return _texts(numbers, Use.ALARM)


def reasons(numbers: Iterable[int]) -> tuple[str, ...]:
    """Return the texts of the faults that describe the grid."""
    return _texts(numbers, Use.GRID)


_NONE = Status(0)


@dataclass(frozen=True, slots=True)
class BatteryBit:
    """A bit of ``battery.status`` and ``status2``: its text, and its token."""

    bit: int
    text: str
    status: Status = _NONE


BATTERY_FULL = 1 << 8
BATTERY_EMPTY = 1 << 9
BATTERY_ERROR = 1 << 12
BATTERY_KNOWN = (1 << 14) - 1
"""Bits of a status word that have a published meaning."""

# Calibrating is no CAL: upsmon takes no notice of OB LB while it sees CAL, and that of 2.8.1 keeps it for ever once it has
# seen it, and then takes a UPS that goes stale on the grid, days later, for dead.
# fmt: off
_BATTERY: tuple[BatteryBit, ...] = (
    BatteryBit(0,  "disconnected"),
    BatteryBit(1,  "relay test"),
    BatteryBit(2,  "ready"),
    BatteryBit(3,  "calibrating at high voltage"),
    BatteryBit(4,  "standby"),
    BatteryBit(5,  "shut down"),
    BatteryBit(6,  "precharging"),
    BatteryBit(7,  "starting"),
    BatteryBit(8,  "full"),
    BatteryBit(9,  "empty"),
    BatteryBit(10, "calibrating at low voltage"),
    BatteryBit(11, "balancing"),
    BatteryBit(12, "error",                       Status.RB),
    BatteryBit(13, "updating"),
)
# fmt: on


def battery_status(word: int) -> tuple[str, Status]:
    """Return the text of a status word and the tokens of its bits."""
    rows = [row for row in _BATTERY if word >> row.bit & 1]
    status = Status(0)
    for row in rows:
        status |= row.status
    return ", ".join(row.text for row in rows), status


def battery_word(raw: object) -> int | None:
    """Return the known bits of a status word; None when ``raw`` is no word, or one that no battery can mean.

    Bits without a published meaning are left out and the others count, unlike those of ``prim_sm.island_flag``: there a single
    bit decides, its meaning was inferred from three devices, and a second source sees an outage too. Here each bit was listed by
    the vendor, newer firmware adds some (1 << 14 beside "empty" was seen), and nothing else may mean that the battery is empty. A
    word that is full and empty at once, as one of all ones is, is damage. What is left must still be shown twice in an outage.
    """
    if not isinstance(raw, int) or (raw & BATTERY_FULL and raw & BATTERY_EMPTY):
        return None
    return raw & BATTERY_KNOWN
