# SPDX-License-Identifier: GPL-2.0-or-later
"""RctMon's metrics out of the objects of an inverter."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nutdrv_py.backends.rct import Rct
from nutdrv_py.backends.rct.config import RctConfig
from nutdrv_py.exporters import rctmon
from nutdrv_py.exporters.rctmon import COUNTERS, ROWS, Metric, OfModule, samples
from nutdrv_py.protocols.rct.objects import BY_NAME, MODULES, Object
from nutdrv_py.protocols.rct.payload import Cell, CellExtremes, Extreme, Kind, decode
from tests.conftest import FakeClock

EXTREMES = CellExtremes(Extreme(3, 0, 2.9), Extreme(4, 0, 3.6), Extreme(5, 0, 8.0), Extreme(6, 0, 38.0))
RAW: dict[str, object] = {
    "rb485.available": True,
    "battery.soc": 0.625,
    "g_sync.p_ac_load[1]": 412.5,
    "inverter_sn": "  A1 ",
    "svnversion": "2.3.5687",
    "battery.discharged_amp_hours": 18000.5,
    "battery.module_sn[0]": "M0",
    "battery.module_sn[2]": "M2",
    "battery.module_sn[3]": " ",
    "battery.stack_cycles[2]": 117,
    "battery.cells[2]": (Cell(24, 3.301, 0), Cell(25, 3.302, 0)),
    "battery.cells_resist[2]": (1.5, 1.6),
    "battery.cells_stat[2]": EXTREMES,
}


def _row(name: str) -> Metric | OfModule:
    return next(row for row in ROWS if row.name == name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("rctmon_inventory", [(("power_switch",), 1.0)]),
        ("rctmon_battery_state_of_charge_percent", [((), 0.625)]),
        ("rctmon_household_load_phase", [(("l2",), 412.5)]),
        ("rctmon_inverter_info", [(("2.3.5687", "", "A1"), 1.0)]),
        ("rctmon_powerswitch_info", []),
        ("rctmon_battery_discharge_amp_hours_total", [((), 18000.5)]),
        ("rctmon_battery_module_info", [(("0", "M0"), 1.0), (("2", "M2"), 1.0)]),
        ("rctmon_battery_module_cycles_total", [(("2",), 117.0)]),
        ("rctmon_battery_module_cell_voltage_volt", [(("2", "0"), 3.301), (("2", "1"), 3.302)]),
        ("rctmon_battery_module_cell_temperature_celsius", [(("2", "0"), 24.0), (("2", "1"), 25.0)]),
        ("rctmon_battery_module_cell_resistance_ohm", [(("2", "0"), 0.0015), (("2", "1"), 0.0016)]),
        ("rctmon_battery_module_voltage_min_volt", [(("2",), 2.9)]),
        ("rctmon_battery_module_voltage_max_volt", [(("2",), 3.6)]),
        ("rctmon_battery_module_temperature_min_celsius", [(("2",), 8.0)]),
        ("rctmon_battery_module_temperature_max_celsius", [(("2",), 38.0)]),
    ],
)
def test_a_row_shows_its_objects_and_leaves_out_what_is_not_known(name: str, expected: list[rctmon.Sample]) -> None:
    assert samples(_row(name), RAW) == expected


@pytest.mark.parametrize(
    ("name", "label", "source"),
    [
        ("rctmon_inverter_insulation", "total", "iso_struct.Riso"),
        ("rctmon_inverter_insulation", "positive", "iso_struct.Rp"),
        ("rctmon_inverter_insulation", "negative", "iso_struct.Rn"),
        ("rctmon_temperature", "heatsink_battery_actuator", "db.temp2"),
        ("rctmon_generator_voltage_volt", "b", "g_sync.u_sg_avg[1]"),
        ("rctmon_generator_mpp_target_voltage_volt", "a", "dc_conv.dc_conv_struct[0].u_target"),
        ("rctmon_generator_mpp_search_step_volt", "a", "dc_conv.dc_conv_struct[0].mpp.mpp_step"),
        ("rctmon_grid_power_watt", "l3", "g_sync.p_ac_sc[2]"),
        ("rctmon_grid_voltage_volt", "l1", "g_sync.u_l_rms[0]"),
        ("rctmon_grid_voltage_phase_to_phase_volt", "1", "g_sync.u_ptp_rms[0]"),
        ("rctmon_powerswitch_voltage_volt", "l2", "rb485.u_l_grid[1]"),
        ("rctmon_powerswitch_frequency_hertz", "l2", "rb485.f_grid[1]"),
        ("rctmon_powerstorage_frequency_hertz", "l2", "rb485.f_wr[1]"),
        ("rctmon_energy_household_sum", "", "energy.e_load_total"),
        ("rctmon_energy_grid_load_sum", "", "energy.e_grid_load_total"),
        ("rctmon_battery_state_of_charge_min_percent", "", "power_mng.soc_min"),
        ("rctmon_battery_state_of_charge_target_percent", "", "battery.soc_target"),
        ("rctmon_battery_state_of_health_percent", "", "battery.soh"),
        ("rctmon_battery_voltage", "", "power_mng.u_acc_mix_lp"),
        ("rctmon_battery_bms_voltage", "", "battery.voltage"),
        ("rctmon_battery_bat_status", "", "battery.bat_status"),
        ("rctmon_battery_stored_energy_total", "", "battery.stored_energy"),
        ("rctmon_battery_used_energy_total", "", "battery.used_energy"),
    ],
)
def test_what_could_be_mistaken_for_another_comes_from_the_right_object(name: str, label: str, source: str) -> None:
    assert samples(_row(name), {source: 1.5}) == [((label,) if label else (), 1.5)]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None, "3", (), 10**400])
def test_what_is_no_number_is_not_shown(value: object) -> None:
    assert samples(_row("rctmon_battery_temperature"), {"battery.temperature": value}) == []


def _objects(row: Metric | OfModule) -> list[Object]:
    if isinstance(row, Metric):
        return [BY_NAME[name] for name in row.objects.values()]
    return [BY_NAME[row.object.format(index)] for index in range(rctmon.MODULES)]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_each_row_names_objects_that_the_backend_asks_for_and_that_can_be_shown(row: Metric | OfModule) -> None:
    structures = {Kind.CELLS, Kind.CELLS_STAT, Kind.CELLS_RESIST}
    for found in _objects(row):
        if row.kind == "info":
            assert found.kind not in structures
        elif isinstance(row, Metric):
            assert found.kind not in {*structures, Kind.STRING}


def test_names_are_unique_and_fit_their_types_and_modules_are_counted_as_the_backend_does() -> None:
    names = [row.name for row in (*ROWS, *COUNTERS)]
    assert len(names) == len(set(names))
    assert all(row.name.endswith("_total") == (row.kind == "counter") for row in ROWS)
    assert all(row.name.endswith("_info") for row in ROWS if row.kind == "info")
    assert len(MODULES) == rctmon.MODULES


def test_the_counters_are_those_of_the_backend() -> None:
    counted = Rct(RctConfig(ups="home", port="localhost:8899"), FakeClock()).counters
    assert {name for row in COUNTERS for name in row.counters.values() if name} <= counted.keys()


anything = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.just(EXTREMES),
    st.lists(st.one_of(st.floats(), st.builds(Cell, st.integers(), st.floats(), st.integers()), st.none()), max_size=3).map(tuple),
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(sorted(BY_NAME)), anything))
def test_whatever_the_inverter_tells_gives_finite_numbers_and_one_series_each(raw: dict[str, object]) -> None:
    for row in ROWS:
        found = samples(row, raw)
        assert all(math.isfinite(value) and len(labels) == len(row.labels) for labels, value in found)
        assert len({labels for labels, _ in found}) == len(found)


def test_a_captured_resistance_is_two_milliohm_and_not_two_ohm() -> None:
    payload = bytes.fromhex("01fb0000" * 24)
    raw = {"battery.cells_resist[0]": decode(Kind.CELLS_RESIST, payload)}
    (labels, ohm), *_ = samples(_row("rctmon_battery_module_cell_resistance_ohm"), raw)
    assert (labels, ohm) == (("0", "0"), pytest.approx(0.00198, abs=0.00001))


def test_the_target_of_the_tracker_is_the_object_that_rctmon_reads_and_no_setting() -> None:
    assert [BY_NAME[f"dc_conv.dc_conv_struct[{n}].u_target"].oid for n in range(2)] == [0x226A23A4, 0x675776B1]
    assert not {0x9E1A88F5, 0x5E942C62} & {row.oid for row in BY_NAME.values()}
