# SPDX-License-Identifier: GPL-2.0-or-later
"""What the gateway's answers mean, in NUT's names. Pure: payloads in, values out.

``raw`` holds the payloads that are young enough, by the names of :data:`nutdrv_py.backends.enphase.ENDPOINTS`. Signs are
the gateway's: storage + = discharging, grid + = import, load + = use. W, VA, V, A, Hz, Wh, degrees Celsius.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from nutdrv_py.device.mapping import Field, between, find, integer, number, scaled, text, to_number
from nutdrv_py.errors import DeviceError

__all__ = [
    "FIELDS",
    "Grid",
    "Identity",
    "Packs",
    "acb_capacity",
    "battery_voltage",
    "controller_lost",
    "devices",
    "grid",
    "identity",
    "live_age",
    "packs",
    "rated_power",
    "read",
    "words",
]

Raw = Mapping[str, object]

NOMINAL_VOLTAGE = 76.8
"""V: 24 lithium iron phosphate cells of 3.2 V, what enphase-monitor assumes; the gateway reports no DC voltage."""

HIGHEST_VOLTAGE = 86.4
LOWEST_VOLTAGE = 68.5

_CELL_VOLTAGE = (250, 290, 310, 320, 325, 330, 335, 340, 345, 350, 360, 365)
"""V of a cell x 100 at 0, 10 ... 110 % of charge, the curve that enphase-monitor uses."""

ACB_SMALLEST = 1000.0
"""Wh; minimum capacity of AC Batteries. One holds 1,200."""

LIVE_AGE = 60.0
"""Seconds of age of livedata beyond which the stream is taken for frozen."""

MOST = 1e5
"""W and VA; the largest connection of a house (400 A at 240 V) carries less."""

W = between(-MOST, MOST)
"""A power in W that a house can have."""

MW = between(-MOST, MOST, scaled(0.001))
"""The same, reported in mW (livedata's ``agg_p_mw``) or mVA."""

PERCENT = between(0, 100, integer)

FACTOR = between(-1, 1)
"""A power factor; of two or three phases the gateway reports the sum, which is none."""


# fmt: off
FIELDS: tuple[Field, ...] = (
    Field("ups.firmware",                          "info.software",                    text),
    Field("ups.serial",                            "info.sn",                          text),
    Field("device.part",                           "info.pn",                          text),
    Field("battery.charge.restart",                "secctrl.soc_recovery_exit",        PERCENT),
    Field("experimental.battery.charge.reserve",   "secctrl.configured_backup_soc",    PERCENT),
    Field("experimental.battery.charge.verylow",   "secctrl.VLS_Limit",                PERCENT),
    Field("experimental.battery.acb.charge",       "secctrl.ACB_agg_soc",              between(1, 100, integer)),
    Field("experimental.battery.acb.energy",       "secctrl.ACB_agg_energy",           between(1, 1e6, integer)),
    Field("experimental.battery.health",           "secctrl.ENC_agg_soh",              between(1, 100, integer)),
    Field("experimental.relay.admin",              "relay.mains_admin_state",          text),
    Field("experimental.relay.oper",               "relay.mains_oper_state",           text),
    Field("experimental.grid.mode",                "relay.Enchg_grid_mode",            text),
    Field("experimental.grid.realpower",           "livedata.meters.grid.agg_p_mw",    MW),
    Field("experimental.grid.realpower",           "net.cumulative.currW",             W),
    Field("experimental.pv.realpower",             "livedata.meters.pv.agg_p_mw",      MW),
    Field("experimental.pv.realpower",             "production.cumulative.currW",      W),
    Field("experimental.generator.realpower",      "livedata.meters.generator.agg_p_mw", MW),
    Field("experimental.livedata.stream",          "livedata.connection.sc_stream",    text),
)
# fmt: on


# The grid


class Grid(enum.Enum):
    """Where the house's power comes from, distinguished by the relay's words."""

    ON_GRID = "on-grid"
    OUTAGE = "outage"
    ISLAND = "island"
    RECONNECTING = "reconnecting"
    GENERATOR = "generator"

    @property
    def on_grid(self) -> bool:
        """Return whether the relay to the grid is closed."""
        return self is Grid.ON_GRID


NO_SYSTEM = (
    "this gateway has no battery system to read: it knows of no relay and no batteries (HTTP 404). A gateway that has just "
    "started may need some minutes; a house with solar panels alone has nothing that could be a UPS"
)

TRANSFER_REASON = {
    Grid.OUTAGE: "grid outage",
    Grid.ISLAND: "islanded on command",
    Grid.GENERATOR: "grid outage, generator running",
    Grid.RECONNECTING: "grid outage",
}


def grid(relay: object) -> Grid:
    """Return the state from /ivp/ensemble/relay. Raises DeviceError when it has none: never OB, never OL from an error.

    The first word of ``mains_oper_state`` decides (closed, open); ``mains_admin_state`` distinguishes a commanded island (open)
    from an outage (closed); a second word with admin closed means that the relay is about to close again.
    """
    oper = words(relay, "mains_oper_state")
    admin = words(relay, "mains_admin_state")
    mode = " ".join(words(relay, "Enchg_grid_mode"))
    if "multimode" not in mode:
        # Some firmware 8.3 tells it of the inverters alone.
        mode = " ".join(words(relay, "Solar_grid_mode"))
    if not oper or oper[0] not in ("closed", "open"):
        raise DeviceError(f"the gateway does not tell the state of the grid relay (mains_oper_state is {' '.join(oper)[:40]!r})")
    if oper[0] == "closed":
        return Grid.ON_GRID
    if "generator" in mode:
        return Grid.GENERATOR
    if admin[:1] == ["open"]:
        return Grid.ISLAND
    return Grid.RECONNECTING if len(oper) > 1 else Grid.OUTAGE


def words(source: object, key: str) -> list[str]:
    """Return the words at ``key`` in lower case; none when there is no text."""
    value = source.get(key) if isinstance(source, Mapping) else None
    return value.lower().split() if isinstance(value, str) else []


# Identity

_DEVICE_PART = 4096
"""Bytes of /info from <device> on that are looked at: the element has 300, and a search must not hold up the socket."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The gateway, from /info."""

    serial: str
    part: str
    software: str

    @property
    def major(self) -> int | None:
        """Return the first number of the firmware: 8 for "D8.3.5433"; None when there is none."""
        match = re.match(r"[A-Za-z]?(\d+)\.", self.software)
        return int(match.group(1)) if match else None


def identity(document: bytes) -> Identity:
    """Read /info. Raises DeviceError when it is something else.

    Three elements are wanted out of a small document whose maker is not trusted, so no XML parser is let loose on it.
    """
    found: dict[str, str] = {}
    start = document.find(b"<device>")
    device = document[start : start + _DEVICE_PART] if start >= 0 else b""
    for name in ("sn", "pn", "software"):
        match = re.search(f"<{name}>\\s{{0,20}}([A-Za-z0-9._-]{{1,40}})\\s{{0,20}}</{name}>".encode(), device)
        if match:
            found[name] = match.group(1).decode("ascii")
    if not found.get("sn", "").isalnum():
        raise DeviceError("/info: this does not look like an Enphase gateway; is port = its address?")
    return Identity(found["sn"], found.get("pn", ""), found.get("software", ""))


# Batteries


@dataclass(frozen=True, slots=True)
class Packs:
    """IQ Batteries in the inventory: how many, how many of no use now, the hottest cell in degrees Celsius."""

    count: int
    bad: int
    temperature: float | None


def packs(raw: Raw) -> Packs | None:
    """Return the batteries in the inventory; None while that is unknown."""
    if "inventory" not in raw:
        return None
    listed = list(devices(raw["inventory"], "ENCHARGE"))
    bad = sum(device.get("communicating") is False or device.get("dc_switch_off") is True for device in listed)
    told = (to_number(_first(d.get("maxCellTemp"), d.get("temperature"))) for d in listed)
    return Packs(len(listed), bad, max((t for t in told if t is not None and -50 < t < 150), default=None))


def controller_lost(raw: Raw) -> bool:
    """Return whether the System Controller or Meter Collar is in the inventory but does not communicate."""
    inventory = raw.get("inventory")
    found = [device for kind in ("ENPOWER", "COLLAR") for device in devices(inventory, kind)]
    return bool(found) and all(device.get("communicating") is False for device in found)


def rated_power(raw: Raw) -> float | None:
    """Sum of the batteries' rated power in W, from /ivp/ensemble/status; None when it does not say."""
    serials = find(raw, "status.inventory.serial_nums")
    if not isinstance(serials, Mapping):
        return None
    total = sum(_positive(device, "encharge_rated_power") or 0.0 for device in serials.values())
    return total if 0 < total <= MOST else None


def acb_capacity(raw: Raw) -> float | None:
    """Return the capacity of the AC Batteries in Wh: the part of ``Max_energy`` that the IQ Batteries do not have. None
    without them."""
    every, own = (_positive(raw.get("secctrl"), key) for key in ("Max_energy", "Enc_max_available_capacity"))
    if not (_positive(raw.get("secctrl"), "ACB_agg_energy") or _positive(raw.get("secctrl"), "ACB_agg_soc")):
        return None
    rest = (every or 0.0) - (own or 0.0)
    return rest if ACB_SMALLEST <= rest <= 1e6 else None


def battery_voltage(charge: float, highest: float = HIGHEST_VOLTAGE) -> float:
    """Return an estimate in V from the charge, by the curve of a lithium iron phosphate cell. The gateway reports no DC voltage.

    ``highest`` is the voltage of the full battery.
    """
    hundredths = min(11000, max(0, int(charge * 100)))
    index = min(10, hundredths // 1000)
    cell = _CELL_VOLTAGE[index] + int((_CELL_VOLTAGE[index + 1] - _CELL_VOLTAGE[index]) * (hundredths - 1000 * index) / 1000)
    return int(cell * round(highest * 100) / 360) // 10 / 10


def live_age(live: object, gateway_time: float | None, here: float) -> float | None:
    """Return the seconds since livedata was made, by the gateway's own clock if it reported the time; None when livedata does not
    say."""
    made = read(find({"l": live}, "l.meters"), "last_update")
    return None if made is None else (gateway_time if gateway_time is not None else here) - made


# Small tools of this module


def devices(inventory: object, kind: str) -> Iterator[Mapping[str, object]]:
    """Yield the devices of one type in the inventory."""
    for group in inventory if isinstance(inventory, list) else []:
        if isinstance(group, Mapping) and group.get("type") == kind and isinstance(group.get("devices"), list):
            yield from (device for device in group["devices"] if isinstance(device, Mapping))


def read(source: object, key: str) -> float | None:
    """Return the number at ``key``; None when there is none."""
    value = number(source.get(key)) if isinstance(source, Mapping) else None
    return float(value) if isinstance(value, int | float) else None


def _positive(source: object, key: str) -> float | None:
    value = read(source, key)
    return value if value is not None and value > 0 else None


_T = TypeVar("_T")


def _first(*candidates: _T | None) -> _T | None:
    return next((candidate for candidate in candidates if candidate is not None), None)
