# SPDX-License-Identifier: GPL-2.0-or-later
"""What the gateway's answers mean, in NUT's names. Pure: payloads in, values out.

``raw`` holds the payloads that are young enough, by the names of :data:`nutdrv_py.backends.enphase.ENDPOINTS`. Signs are
the gateway's: storage + = discharging, grid + = import, load + = use. W, VA, V, A, Hz, Wh, degrees Celsius.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from nutdrv_py.device.mapping import Field, between, find, integer, number, scaled, text, to_number, translate
from nutdrv_py.device.reading import Value
from nutdrv_py.errors import DeviceError

__all__ = [
    "FIELDS",
    "Grid",
    "Identity",
    "Packs",
    "battery_voltage",
    "controller_lost",
    "devices",
    "grid",
    "identity",
    "live_age",
    "load",
    "load_percent",
    "measured",
    "meter_kinds",
    "meters",
    "packs",
    "phase_values",
    "phases",
    "rated_power",
    "storage_power",
    "words",
]

Raw = Mapping[str, object]

NOMINAL_VOLTAGE = 76.8
"""V: 24 lithium iron phosphate cells of 3.2 V, what enphase-monitor assumes; the gateway tells no DC voltage."""

HIGHEST_VOLTAGE = 86.4
LOWEST_VOLTAGE = 68.5

_CELL_VOLTAGE = (250, 290, 310, 320, 325, 330, 335, 340, 345, 350, 360, 365)
"""V of a cell x 100 at 0, 10 ... 110 % of charge, the curve that enphase-monitor uses."""

LIVE_AGE = 60.0
"""Seconds of age of livedata beyond which the stream is taken for frozen."""

MOST = 1e5
"""W and VA; the largest connection of a house (400 A at 240 V) carries less."""

W = between(-MOST, MOST)
"""A power in W that a house can have."""

MW = between(-MOST, MOST, scaled(0.001))
"""The same, told in mW (livedata's ``agg_p_mw``) or mVA."""

PERCENT = between(0, 100, integer)

FACTOR = between(-1, 1)
"""A power factor; of two or three phases the gateway tells the sum, which is none."""


# fmt: off
FIELDS: tuple[Field, ...] = (
    Field("ups.firmware",                          "info.software",                    text),
    Field("ups.serial",                            "info.sn",                          text),
    Field("device.part",                           "info.pn",                          text),
    Field("battery.charge.restart",                "secctrl.soc_recovery_exit",        PERCENT),
    Field("experimental.battery.charge.reserve",   "secctrl.configured_backup_soc",    PERCENT),
    Field("experimental.battery.charge.verylow",   "secctrl.VLS_Limit",                PERCENT),
    Field("experimental.battery.acb.charge",       "secctrl.ACB_agg_soc",              between(1, 100, integer)),
    Field("experimental.battery.health",           "secctrl.ENC_agg_soh",              between(1, 100, integer)),
    Field("experimental.relay.admin",              "relay.mains_admin_state",          text),
    Field("experimental.relay.oper",               "relay.mains_oper_state",           text),
    Field("experimental.grid.mode",                "relay.Enchg_grid_mode",            text),
    Field("experimental.grid.realpower",           "livedata.meters.grid.agg_p_mw",    MW),
    Field("experimental.pv.realpower",             "livedata.meters.pv.agg_p_mw",      MW),
    Field("experimental.pv.realpower",             "production.cumulative.currW",      W),
    Field("experimental.generator.realpower",      "livedata.meters.generator.agg_p_mw", MW),
    Field("experimental.livedata.stream",          "livedata.connection.sc_stream",    text),
)

_PHASES = (1, 2, 3)
_INPUT_PHASE: tuple[Field, ...] = tuple(
    field for n in _PHASES for field in (
        Field(f"input.L{n}.realpower",   f"net.l{n}.currW",       W),
        Field(f"input.L{n}.power",       f"net.l{n}.apprntPwr",   W),
        Field(f"input.L{n}.current",     f"net.l{n}.rmsCurrent",  between(-1e4, 1e4)),
        Field(f"input.L{n}-N.voltage",   f"net.l{n}.rmsVoltage",  between(0, 1000)),
        Field(f"input.L{n}.powerfactor", f"net.l{n}.pwrFactor",   FACTOR),
        Field(f"input.L{n}.frequency",   f"net.l{n}.freqHz",      between(1, 100)),
    )
)
_INPUT: tuple[Field, ...] = (
    Field("input.realpower",   "net.cumulative.currW",      W),
    Field("input.realpower",   "livedata.meters.grid.agg_p_mw", MW),
    Field("input.power",       "net.cumulative.apprntPwr",  W),
    Field("input.powerfactor", "net.cumulative.pwrFactor",  FACTOR),
    Field("input.frequency",   "net.cumulative.freqHz",     between(1, 100)),
)
_OUTPUT_PHASE: tuple[Field, ...] = tuple(
    field for n, letter in zip(_PHASES, "abc", strict=True) for field in (
        Field(f"output.L{n}.realpower",  f"livedata.meters.load.agg_p_ph_{letter}_mw",  MW),
        Field(f"output.L{n}.realpower",  f"total.l{n}.currW",      W),
        Field(f"output.L{n}.power",      f"livedata.meters.load.agg_s_ph_{letter}_mva", MW),
        Field(f"output.L{n}-N.voltage",  f"bus.l{n}.rmsVoltage",   between(1, 1000)),
        Field(f"output.L{n}.current",    f"total.l{n}.rmsCurrent", between(0, 1e4)),
        Field(f"output.L{n}.powerfactor", f"total.l{n}.pwrFactor", FACTOR),
        Field(f"output.L{n}.frequency",  f"bus.l{n}.freqHz",       between(1, 100)),
    )
)
_OUTPUT: tuple[Field, ...] = (
    Field("output.power",      "livedata.meters.load.agg_s_mva", MW),
    Field("output.powerfactor", "total.cumulative.pwrFactor", FACTOR),
    Field("output.frequency",  "bus.cumulative.freqHz",     between(1, 100)),
)
_OUTPUT_CURRENT = Field("output.current", "total.cumulative.rmsCurrent", between(0, 1e4))
# fmt: on


# The grid


class Grid(enum.Enum):
    """Where the house's power comes from, told apart by the relay's words."""

    ON_GRID = "on-grid"
    OUTAGE = "outage"
    ISLAND = "island"
    RECONNECTING = "reconnecting"
    GENERATOR = "generator"

    @property
    def on_grid(self) -> bool:
        """Whether the relay to the grid is closed."""
        return self is Grid.ON_GRID


TRANSFER_REASON = {
    Grid.OUTAGE: "grid outage",
    Grid.ISLAND: "islanded on command",
    Grid.GENERATOR: "grid outage, generator running",
    Grid.RECONNECTING: "grid outage",
}


def grid(relay: object) -> Grid:
    """The state from /ivp/ensemble/relay. Raises DeviceError when it does not say: never OB, never OL from an error.

    The first word of ``mains_oper_state`` decides (closed, open); ``mains_admin_state`` tells a commanded island (open)
    from an outage (closed); a second word with admin closed means that the relay is about to close again.
    """
    oper = words(relay, "mains_oper_state")
    admin = words(relay, "mains_admin_state")
    mode = " ".join(words(relay, "Enchg_grid_mode"))
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


# Who it is

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
        """The first number of the firmware: 8 for "D8.3.5433"; None when there is none."""
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
    """The batteries in the inventory; None while that is unknown."""
    if "inventory" not in raw:
        return None
    listed = list(devices(raw["inventory"], "ENCHARGE"))
    bad = sum(device.get("communicating") is False or device.get("dc_switch_off") is True for device in listed)
    told = (to_number(_first(d.get("maxCellTemp"), d.get("temperature"))) for d in listed)
    return Packs(len(listed), bad, max((t for t in told if t is not None and -50 < t < 150), default=None))


def controller_lost(raw: Raw) -> bool:
    """Whether the System Controller or Meter Collar is in the inventory but does not communicate."""
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


def battery_voltage(charge: float, highest: float = HIGHEST_VOLTAGE) -> float:
    """An estimate in V from the charge, by the curve of a lithium iron phosphate cell. The gateway tells no DC voltage.

    ``highest`` is the voltage of the full battery.
    """
    hundredths = min(11000, max(0, int(charge * 100)))
    index = min(10, hundredths // 1000)
    cell = _CELL_VOLTAGE[index] + int((_CELL_VOLTAGE[index + 1] - _CELL_VOLTAGE[index]) * (hundredths - 1000 * index) / 1000)
    return int(cell * round(highest * 100) / 360) // 10 / 10


# Powers


def storage_power(raw: Raw) -> float | None:
    """Battery power in W, + = discharging; None when nothing told it."""
    return storage(raw)[0]


def storage(raw: Raw) -> tuple[float | None, str]:
    """Return :func:`storage_power` and its source: livedata, else the sum of /ivp/ensemble/power, else the storage CT."""
    live = MW(find(raw, "livedata.meters.storage.agg_p_mw"))
    if isinstance(live, float):
        return live, "livedata"
    listed = find(raw, "power.devices:")
    if isinstance(listed, list) and listed:
        powers = [p for d in listed if isinstance(p := MW(find(d, "real_power_mw")), float)]
        if powers:
            return sum(powers), "power"
    return _watts(raw, "storage"), "reports"


def load(raw: Raw, state: Grid) -> float | None:
    """What the house uses, in W; None when nothing measures it.

    On the grid it takes a consumption meter: livedata's load, else what the house's meters and batteries add up to. In an
    island the meters' own powers read 0, so livedata's load or, if that is nothing, the balance of battery and PV counts.
    """
    live = MW(find(raw, "livedata.meters.load.agg_p_mw"))
    storage = storage_power(raw)
    if state.on_grid:
        kinds = meter_kinds(raw)
        if kinds is not None and not kinds & _CONSUMPTION:
            return None
        if isinstance(live, float) and (kinds is not None or live > 0):
            return max(0.0, live)
        made, bought = (_watts(raw, name) for name in ("production", "net"))
        if made is not None and bought is not None and storage is not None:
            return max(0.0, made + bought + storage)
        # The total counts a charging battery as consumption on most systems, so it only serves while there is none.
        return _watts(raw, "total") if not storage else None
    if isinstance(live, float) and live > 0:
        return live
    if storage is None:
        return None
    others = sum(p for key in ("pv", "generator") if isinstance(p := MW(find(raw, f"livedata.meters.{key}.agg_p_mw")), float))
    balance = storage + others
    return balance if balance > 0 else None


def load_percent(watts: float | None, rated: float | None, capacity: float | None, per_kwh: float) -> float | None:
    """``ups.load``: of the batteries' rated power, else of ``per_kwh`` W for each kWh of capacity."""
    limit = rated or (capacity / 1000 * per_kwh if capacity else None)
    return 100.0 * watts / limit if watts is not None and limit else None


# Meters

_CONSUMPTION = frozenset({"net-consumption", "total-consumption"})


def measured(raw: Raw) -> dict[str, object]:
    """``raw`` without the powers of livedata that nothing measures: no CT means no value, not zero.

    Without a consumption meter livedata's grid power is always 0, without a production meter its PV power may be.
    """
    kinds = meter_kinds(raw)
    live = raw.get("livedata")
    blocks = live.get("meters") if isinstance(live, Mapping) else None
    if kinds is None or not isinstance(live, Mapping) or not isinstance(blocks, Mapping):
        return dict(raw)
    kept = dict(blocks)
    if not kinds & _CONSUMPTION:
        kept.pop("grid", None)
    if "production" not in kinds and not _number(kept.get("pv"), "agg_p_mw"):
        kept.pop("pv", None)
    return {**raw, "livedata": {**live, "meters": kept}}


def meter_kinds(raw: Raw) -> set[str] | None:
    """The measurement types of the enabled meters; None when the meters are not known (not asked, or not answered)."""
    listed = raw.get("meters")
    if not isinstance(listed, list):
        return None
    return {str(m.get("measurementType")) for m in listed if isinstance(m, Mapping) and m.get("state") == "enabled"}


def meters(raw: Raw, state: Grid) -> dict[str, object]:
    """The reports by what they measure: net, total, production, storage; ``bus`` is the one that tells the house's voltage.

    A total that equals the net in every figure is wrong (firmware 8.3.1598 and 8.3.5433) and left out. Without an enabled
    meter there is no report: no CT means no value, not zero. In an island the powers of total and production read 0
    whatever flows, so of those only the voltage is kept.
    """
    reports = raw.get("reports")
    kinds = meter_kinds(raw)
    result: dict[str, object] = {}
    names = {"net-consumption": "net", "total-consumption": "total", "production": "production", "storage": "storage"}
    for report in reports if isinstance(reports, list) else []:
        kind = report.get("reportType") if isinstance(report, Mapping) else None
        if not isinstance(kind, str) or kind not in names or not _measured(kind, kinds):
            continue
        rows: dict[str, object] = {"cumulative": report.get("cumulative")}
        lines = report.get("lines")
        for n, line in enumerate(lines[:3] if isinstance(lines, list) else [], 1):
            rows[f"l{n}"] = line
        result[names[kind]] = rows
    total, net = (find(result, f"{name}.cumulative") for name in ("total", "net"))
    if total is not None and net is not None and all(
        _number(total, key) == _number(net, key) for key in ("currW", "apprntPwr", "rmsCurrent")
    ):
        del result["total"]
    for name in ("total", "net", "production"):
        if _number(find(result, f"{name}.cumulative"), "rmsVoltage"):
            result["bus"] = result[name]
            break
    if not state.on_grid:
        result.pop("total", None)
        result.pop("production", None)
    return result


def _measured(kind: str, kinds: set[str] | None) -> bool:
    # The total is computed by the gateway from production and net, so it has no meter of its own on most systems.
    if kinds is None:
        return True
    return kind in kinds or (kind == "total-consumption" and {"production", "net-consumption"} <= kinds)


def phases(raw: Raw) -> int | None:
    """1, 2 (split phase) or 3, from the meters, else livedata; None when nobody says."""
    listed = raw.get("meters")
    counts = [
        int(count)
        for m in (listed if isinstance(listed, list) else [])
        if isinstance(m, Mapping) and m.get("state") == "enabled" and (count := to_number(m.get("phaseCount"))) in (1.0, 2.0, 3.0)
    ]
    if counts:
        return max(counts)
    live = find(raw, "livedata.meters")
    if _number(live, "is_split_phase") == 1:
        return 2
    count = _number(live, "phase_count")
    return int(count) if count in (1, 2, 3) else None


def phase_values(raw: Raw, state: Grid, count: int, watts: float | None) -> dict[str, Value]:
    """``input.*`` and ``output.*`` for 1, 2 or 3 phases.

    While the relay is open nothing flows from the grid (0 W, 0 A) and its voltage and frequency are not known, so those
    are left out; the meters then show the house's own voltage, which is the output's.
    """
    values: dict[str, Value] = {"input.phases": count, "output.phases": count}
    shown = {f"L{n}" for n in range(1, count + 1)} if count > 1 else set[str]()

    def wanted(fields: Iterable[Field]) -> list[Field]:
        return [field for field in fields if field.name.split(".")[1][:2] in shown]

    incoming = translate([*_INPUT, *wanted(_INPUT_PHASE)], raw)
    incoming.update(_totals("input", find(raw, "net.cumulative"), count))
    for name, value in incoming.items():
        if state.on_grid:
            values[name] = value
        elif name.endswith(("power", "current")):
            values[name] = 0.0
    for name, value in translate([*_OUTPUT, *wanted(_OUTPUT_PHASE)], raw).items():
        if watts is not None or not name.endswith("power"):
            values[name] = value
    for name, value in _totals("output", find(raw, "bus.cumulative"), count).items():
        if name.endswith("voltage"):
            values[name] = value
    if count == 1:
        values.update(translate([_OUTPUT_CURRENT], raw))
    if watts is not None:
        values["output.realpower"] = watts
    return values


def _totals(domain: str, row: object, count: int) -> dict[str, Value]:
    """Voltage and current of the whole: the gateway tells sums over the phases."""
    values: dict[str, Value] = {}
    volts, amperes = _number(row, "rmsVoltage"), _number(row, "rmsCurrent")
    if volts and 0 < volts < 3000:
        # Split phase: the sum is the voltage between the lines; three phases: the mean is what a phase has.
        values[f"{domain}.voltage"] = volts / 3 if count == 3 else volts
        if count == 2:
            values[f"{domain}.L1-L2.voltage"] = volts
    if amperes is not None and count == 1:
        values[f"{domain}.current"] = amperes
    return values


def live_age(live: object, gateway_time: float | None, here: float) -> float | None:
    """Seconds since livedata was made, by the gateway's own clock if it told the time; None when livedata does not say."""
    made = _number(find({"l": live}, "l.meters"), "last_update")
    return None if made is None else (gateway_time if gateway_time is not None else here) - made


# Small tools of this module


def devices(inventory: object, kind: str) -> Iterator[Mapping[str, object]]:
    """Yield the devices of one type in the inventory."""
    for group in inventory if isinstance(inventory, list) else []:
        if isinstance(group, Mapping) and group.get("type") == kind and isinstance(group.get("devices"), list):
            yield from (device for device in group["devices"] if isinstance(device, Mapping))


def _number(source: object, key: str) -> float | None:
    value = number(source.get(key)) if isinstance(source, Mapping) else None
    return float(value) if isinstance(value, int | float) else None


def _watts(raw: Raw, name: str) -> float | None:
    """The power in W of a report."""
    value = W(find(raw, f"{name}.cumulative.currW"))
    return float(value) if isinstance(value, int | float) else None


def _positive(source: object, key: str) -> float | None:
    value = _number(source, key)
    return value if value is not None and value > 0 else None


_T = TypeVar("_T")


def _first(*candidates: _T | None) -> _T | None:
    return next((candidate for candidate in candidates if candidate is not None), None)
