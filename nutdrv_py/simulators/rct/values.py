# SPDX-License-Identifier: GPL-2.0-or-later
"""The value of each object of the inverter: one row per object, or per series of objects."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nutdrv_py.protocols.rct.objects import Object
from nutdrv_py.protocols.rct.payload import CELLS, Cell, CellExtremes, Extreme, Kind, encode
from nutdrv_py.simulators.rct import meters
from nutdrv_py.simulators.rct.house_setup import MOST_MODULES
from nutdrv_py.simulators.rct.physics import CELL_AMP_HOURS, CELL_VOLTS, MOST_AMPS, House, Mode

__all__ = ["VALUES", "View", "payload"]

STRING_BYTES: Mapping[str, int] = {"android_description": 64, "inverter_sn": 16, "svnversion": 16}
"""Sizes of text fields that are known."""

OTHER_STRING_BYTES = 32

BATTERY_TYPES: Mapping[bool, int] = {True: 3, False: 5}
"""RCT Power's own battery, and none (rctclient's registry)."""

RESISTANCE_STEPS = 256
"""Steps in a milliohm of ``battery.cells_resist``: ioBroker.rct, and a captured 01fb of a cell with 1.98 milliohm."""

DAY = 86400

_SINCE: Mapping[str, float] = {
    "output": 8.21e6,
    # Captured (002b0508bd55905fc34a33c6d188): at night the inverter takes more from the grid than it gives.
    "day": -202.2,
    "year": 2.3e6,
    "month": 1.9e5,
    "load": 1.342e7,
    "imported": 6.4e6,
    "exported": 3.1e6,
    "charged": 2.4e6,
    "discharged": 2.2e6,
}
"""What the counters have counted before the simulator began, Wh."""

_GENERATOR_SINCE = (5.2e6, 3.6e6)

_CYCLES = 1195

_STATES: Mapping[Mode, int] = {
    Mode.GRID: 13,
    Mode.ISLAND: 13,
    Mode.EXHAUSTED: 6,
    Mode.STOPPED: 0,
    Mode.EMERGENCY: 0,
    Mode.ASLEEP: 0,
}
"""``prim_sm.state``: 13 feeds, 6 waits for energy, 0 stands by (rctclient's registry). Which one a supplying island has is
published nowhere."""

_RESTING_STATE = 6

_ISLAND_FLAGS: Mapping[bool, int] = {False: 0b10, True: 0b11}
"""``prim_sm.island_flag``: 2 was seen on the grid (evcc #6581, ioBroker.rct #208); bit 0 for the island is a guess."""

_STATUS_BITS: Mapping[str, int] = {"none": 0, "high": 1 << 3, "low": 1 << 10}
_DISCONNECTED, _FULL, _EMPTY = 1 << 0, 1 << 8, 1 << 9
"""Bits of ``battery.status2`` (the vendor, to openWB); those of calibration are in ``battery.bat_status``, too."""


@dataclass(frozen=True, slots=True)
class View:
    """The house at a moment (``now``: Unix time), and the serial number of its inverter."""

    house: House
    serial: str
    now: float


def payload(row: Object, value: Any, *, filler: bytes = b"") -> bytes:
    """Return the payload of an object's answer. ``filler`` are the bytes behind the NUL of a text field, again and again."""
    if isinstance(value, bytes):
        return value
    if row.kind is Kind.CELLS_RESIST:
        return b"".join(struct.pack(">HH", round(milliohm * RESISTANCE_STEPS), 0) for milliohm in value)
    if row.kind is not Kind.STRING:
        return encode(row.kind, value)
    size = STRING_BYTES.get(row.name, OTHER_STRING_BYTES)
    text = encode(row.kind, value)[: size - 1] + b"\0"
    rest = size - len(text)
    return text + (filler * (rest // len(filler) + 1))[:rest] if filler else text.ljust(size, b"\0")


# -- battery ---------------------------------------------------------------------------------------------------------


def _status(view: View) -> int:
    house = view.house
    bits = _STATUS_BITS[house.setup.calibration] | _EMPTY * house.empty | _FULL * house.full
    return bits if house.has_battery else _DISCONNECTED


def _strength(view: View, blocked: bool) -> float:
    return MOST_AMPS if view.house.has_battery and not blocked else 0.0


def _capacity(view: View) -> float:
    return CELL_AMP_HOURS if view.house.has_battery else 0.0


def _ratio(percent: float, present: bool) -> float:
    return percent / 100 if present else 0.0


def _all_volts(house: House) -> list[float]:
    return [volts for module in range(house.modules) for volts in meters.cell_volts(house, 0, module)] or [0.0]


def _all_degrees(house: House) -> list[int]:
    return [degrees for module in range(house.modules) for degrees in meters.cell_degrees(house, 0, module)] or [0]


def _stack_volts(view: View, cell_volts: float) -> float:
    return view.house.modules * CELLS * cell_volts


def _amp_hours(view: View, direction: str) -> float:
    volts = max(1, view.house.modules) * CELLS * CELL_VOLTS
    return (_SINCE[direction] + float(getattr(view.house.energies, direction))) / volts


def _cycles(view: View) -> int:
    house = view.house
    return _CYCLES + int(house.energies.discharged / (house.tower_wh * house.towers)) if house.towers else 0


def _counted(view: View, name: str, since: str = "") -> float:
    return _SINCE[since or name] + float(getattr(view.house.energies, name))


# -- modules: tower and number; what is not there is empty ------------------------------------------------------------


def _there(view: View, tower: int, module: int) -> bool:
    return tower < view.house.towers and module < view.house.modules


def _module_serial(tower: int, module: int) -> Callable[[View], str]:
    return lambda view: f"0089M{view.serial[-6:]}{tower}{module}" if _there(view, tower, module) else ""


def _cells(module: int) -> Callable[[View], tuple[Cell, ...]]:
    def cells(view: View) -> tuple[Cell, ...]:
        if not _there(view, 0, module):
            return (Cell(0, 0.0, 0),) * CELLS
        pairs = zip(meters.cell_degrees(view.house, 0, module), meters.cell_volts(view.house, 0, module), strict=True)
        # The field cannot hold temperatures below 0.
        return tuple(Cell(max(0, degrees), volts, 0) for degrees, volts in pairs)

    return cells


def _extremes(module: int) -> Callable[[View], CellExtremes]:
    def extremes(view: View) -> CellExtremes:
        if not _there(view, 0, module):
            return CellExtremes(*(Extreme(0, 0, 0.0),) * 4)
        day = int(view.now // DAY) * DAY
        return CellExtremes(
            Extreme(module, day - 90 * DAY, 2.875),
            Extreme(CELLS - 1 - module, day - 30 * DAY, 3.625),
            Extreme(0, day - 200 * DAY, 8.0),
            Extreme(12, day - 10 * DAY, 38.0),
        )

    return extremes


def _resistances(module: int) -> Callable[[View], tuple[float, ...]]:
    return lambda view: tuple(1.5 + (cell + module) % 5 / 16 if _there(view, 0, module) else 0.0 for cell in range(CELLS))


# -- inverter, grid and house -----------------------------------------------------------------------------------------


def _state(view: View) -> int:
    return _RESTING_STATE if view.house.resting else _STATES[view.house.mode]


def _fault_register(number: int) -> Callable[[View], int]:
    return lambda view: sum(1 << bit - 32 * number for bit in meters.fault_bits(view.house) if bit // 32 == number)


Row = Callable[[View], Any]


def _series(name: str, row: Callable[[House, int], Any], count: int = 3) -> dict[str, Row]:
    """Return the rows of objects that differ by an index only; ``name`` has ``{}`` in its place."""

    def at(index: int) -> Row:
        return lambda view: row(view.house, index)

    return {name.format(index): at(index) for index in range(count)}


def _modules(name: str, row: Callable[[int], Row]) -> dict[str, Row]:
    return {name.format(module): row(module) for module in range(MOST_MODULES)}


# fmt: off
VALUES: Mapping[str, Row] = {
    # Identity
    "android_description":                lambda v: f"PS {v.house.setup.nominal / 1000:.1f} BA3L",
    "inverter_sn":                        lambda v: v.serial,
    "svnversion":                         lambda v: "2.3.5687",
    "parameter_file":                     lambda v: "DE-VDE-AR-N4105",
    "p_rec_lim[2]":                       lambda v: v.house.setup.nominal,
    # Grid and Power Switch
    "prim_sm.island_flag":                lambda v: _ISLAND_FLAGS[v.house.islanded],
    "prim_sm.state":                      _state,
    "power_mng.is_grid":                  lambda v: v.house.connected,
    "rb485.available":                    lambda v: v.house.setup.switch,
    "rb485.version_main":                 lambda v: 1604 * v.house.setup.switch,
    "rb485.version_boot":                 lambda v: 1203 * v.house.setup.switch,
    **_series("rb485.u_l_grid[{}]",       meters.grid_volts),
    **_series("rb485.f_grid[{}]",         lambda h, n: meters.hertz(h, f"grid {n}", h.setup.switch and h.grid_present)),
    **_series("rb485.f_wr[{}]",           lambda h, n: meters.hertz(h, f"house {n}", h.setup.switch and h.powered)),
    **_series("g_sync.u_l_rms[{}]",       meters.house_volts),
    **_series("g_sync.u_ptp_rms[{}]",     meters.volts_between),
    "grid_pll[0].f":                      lambda v: meters.hertz(v.house, "house 0", v.house.powered),
    "grid_mon[0].u_under.threshold":      lambda v: 184.0,
    "grid_mon[0].u_over.threshold":       lambda v: 264.5,
    "grid_mon[0].f_under.threshold":      lambda v: 47.5,
    "grid_mon[0].f_over.threshold":       lambda v: 51.5,
    **{f"fault[{n}].flt": _fault_register(n) for n in range(4)},
    # Powers
    "g_sync.p_ac_load_sum_lp":            lambda v: v.house.flows.load,
    "g_sync.p_ac_sum_lp":                 lambda v: v.house.flows.inverter,
    "g_sync.p_ac_grid_sum_lp":            lambda v: v.house.flows.grid,
    "g_sync.s_ac_sum_lp":                 lambda v: sum(meters.volt_amperes(v.house, phase) for phase in range(3)),
    "g_sync.q_ac_sum_lp":                 lambda v: 3 * meters.REACTIVE_VAR * meters.works(v.house),
    **_series("g_sync.p_ac_load[{}]",     meters.load_watts),
    **_series("g_sync.p_ac_sc[{}]",       meters.grid_watts),
    **_series("g_sync.p_ac_lp[{}]",       meters.inverter_watts),
    **_series("g_sync.s_ac_lp[{}]",       meters.volt_amperes),
    **_series("g_sync.i_dr_eff[{}]",      meters.inverter_amps),
    "io_board.s0_external_power":         lambda v: 0.0,
    # Generators
    **_series("dc_conv.dc_conv_struct[{}].enabled",           lambda h, n: True, 2),
    **_series("dc_conv.dc_conv_struct[{}].p_dc_lp",           lambda h, n: h.solar_watts(n), 2),
    **_series("g_sync.u_sg_avg[{}]",                          meters.generator_volts, 2),
    **_series("dc_conv.dc_conv_struct[{}].u_target",          meters.target_volts, 2),
    **_series("dc_conv.dc_conv_struct[{}].mpp.mpp_step",      lambda h, n: 4.0 if h.sun else 0.0, 2),
    **_series("energy.e_dc_total[{}]",                        lambda h, n: _GENERATOR_SINCE[n] + h.energies.generators[n], 2),
    # Temperatures and insulation
    "db.temp1":                           lambda v: meters.warmth(v.house, 32.0),
    "db.temp2":                           lambda v: meters.warmth(v.house, 31.0),
    "db.core_temp":                       lambda v: meters.warmth(v.house, 38.0),
    "iso_struct.Riso":                    lambda v: 2.1e6,
    "iso_struct.Rp":                      lambda v: 4.3e6,
    "iso_struct.Rn":                      lambda v: 4.1e6,
    # Energy
    "energy.e_ac_day":                    lambda v: _counted(v, "output", "day"),
    "energy.e_ac_month":                  lambda v: _counted(v, "output", "month"),
    "energy.e_ac_year":                   lambda v: _counted(v, "output", "year"),
    "energy.e_ac_total":                  lambda v: _counted(v, "output"),
    "energy.e_load_total":                lambda v: _counted(v, "load"),
    "energy.e_grid_load_total":           lambda v: _counted(v, "imported"),
    "energy.e_grid_feed_total":           lambda v: -_counted(v, "exported"),
    # Battery
    "power_mng.battery_type":             lambda v: BATTERY_TYPES[v.house.has_battery],
    "power_mng.state":                    lambda v: 3 * v.house.has_battery,  # connected (openWB)
    "power_mng.soc_min":                  lambda v: v.house.setup.soc_min / 100,
    "power_mng.soc_min_island":           lambda v: v.house.setup.soc_min_island / 100,
    "power_mng.soc_max":                  lambda v: v.house.setup.soc_max / 100,
    "power_mng.soc_charge":               lambda v: 0.05,
    "power_mng.soc_strategy":             lambda v: 4,  # internal (rctclient's registry)
    "power_mng.amp_hours":                _capacity,
    "power_mng.amp_hours_measured":       lambda v: _capacity(v) * v.house.setup.soh / 100,
    "power_mng.battery_power":            lambda v: v.house.flows.battery,
    "power_mng.bat_next_calib_date":      lambda v: int(v.now // DAY + 20) * DAY,
    "power_mng.bat_empty_full":           lambda v: v.house.empty | v.house.full << 1,  # rctclient's registry
    "power_mng.u_acc_mix_lp":             lambda v: meters.tower_volts(v.house, 0),
    "adc.u_acc":                          lambda v: meters.tower_volts(v.house, 0),
    "acc_conv.i_acc_lp_fast":             lambda v: -meters.tower_amps(v.house, 0),
    "g_sync.p_acc_lp":                    lambda v: v.house.flows.battery,
    "battery.bms_sn":                     lambda v: f"0088B{v.serial[-6:]}0" if v.house.has_battery else "",
    "battery.bms_software_version":       lambda v: 5615 * v.house.has_battery,
    "battery.soc":                        lambda v: _ratio(v.house.charges[0], v.house.has_battery),
    "battery.soc_target":                 lambda v: _ratio(v.house.setup.soc_max, v.house.has_battery),
    "battery.soh":                        lambda v: _ratio(v.house.setup.soh, v.house.has_battery),
    "battery.voltage":                    lambda v: meters.tower_volts(v.house, 0),
    "battery.current":                    lambda v: meters.tower_amps(v.house, 0),
    "battery.temperature":                lambda v: v.house.setup.temperature * v.house.has_battery,
    "battery.status":                     _status,
    "battery.status2":                    _status,
    "battery.bat_status":                 lambda v: _STATUS_BITS[v.house.setup.calibration],
    "battery.cycles":                     _cycles,
    "battery.efficiency":                 lambda v: 0.94,
    "battery.ah_capacity":                _capacity,
    "battery.bat_impedance.impedance_fine": lambda v: 0.08 * v.house.modules,
    "battery.maximum_charge_current":     lambda v: _strength(v, v.house.full),
    "battery.maximum_discharge_current":  lambda v: _strength(v, v.house.empty),
    "battery.maximum_charge_voltage":     lambda v: _stack_volts(v, 3.55),
    "battery.minimum_discharge_voltage":  lambda v: _stack_volts(v, 2.80),
    "battery.max_cell_voltage":           lambda v: max(_all_volts(v.house)),
    "battery.min_cell_voltage":           lambda v: min(_all_volts(v.house)),
    "battery.max_cell_temperature":       lambda v: max(_all_degrees(v.house)),
    "battery.min_cell_temperature":       lambda v: min(_all_degrees(v.house)),
    "battery.charged_amp_hours":          lambda v: _amp_hours(v, "charged"),
    "battery.discharged_amp_hours":       lambda v: _amp_hours(v, "discharged"),
    "battery.stored_energy":              lambda v: _counted(v, "charged"),
    "battery.used_energy":                lambda v: _counted(v, "discharged"),
    **_modules("battery.module_sn[{}]",   lambda n: _module_serial(0, n)),
    **_modules("battery.stack_cycles[{}]", lambda n: lambda v: _cycles(v) * _there(v, 0, n)),
    **_modules("battery.stack_software_version[{}]", lambda n: lambda v: 5615 * _there(v, 0, n)),
    **_modules("battery.cells[{}]",       _cells),
    **_modules("battery.cells_stat[{}]",  _extremes),
    **_modules("battery.cells_resist[{}]", _resistances),
    # Second tower
    "battery_placeholder[0].bms_sn":      lambda v: f"0088B{v.serial[-6:]}1" if v.house.towers > 1 else "",
    "battery_placeholder[0].soc":         lambda v: _ratio(v.house.charges[1], v.house.towers > 1),
    "battery_placeholder[0].soh":         lambda v: _ratio(v.house.setup.soh, v.house.towers > 1),
    "battery_placeholder[0].voltage":     lambda v: meters.tower_volts(v.house, 1),
    "battery_placeholder[0].current":     lambda v: meters.tower_amps(v.house, 1),
    "battery_placeholder[0].temperature": lambda v: (v.house.setup.temperature + 1) * (v.house.towers > 1),
    "battery_placeholder[0].ah_capacity": lambda v: _capacity(v) * (v.house.towers > 1),
    "battery_placeholder[0].status2":     lambda v: _status(v) * (v.house.towers > 1),
    "battery_placeholder[0].maximum_discharge_current": lambda v: _strength(v, v.house.empty or v.house.towers < 2),
    **_modules("battery_placeholder[0].module_sn[{}]", lambda n: _module_serial(1, n)),
}
# fmt: on
"""How the value of each object follows from the house."""
