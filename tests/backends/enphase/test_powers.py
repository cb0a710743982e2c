# SPDX-License-Identifier: GPL-2.0-or-later
"""Loads, phases, voltages and currents as systems in the field showed them: the right number or none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nutdrv_py.backends.enphase import lines, meters, powers
from nutdrv_py.backends.enphase.meters import SAME
from nutdrv_py.backends.enphase.powers import Flow
from nutdrv_py.backends.enphase.site import Grid
from nutdrv_py.simulators.enphase import Fault
from tests.backends.enphase.conftest import house

RESTING = {"devices:": [{"real_power_mw": 18000}]}


def _row(watts: float, volts: float = 240.0, apparent: float | None = None, amperes: float | None = None) -> dict[str, float]:
    apparent = abs(watts) if apparent is None else apparent
    amperes = apparent / volts if amperes is None and volts else amperes or 0.0
    return {"currW": watts, "apprntPwr": apparent, "rmsVoltage": volts, "rmsCurrent": amperes, "freqHz": 60.0, "pwrFactor": 1.9}


def _report(kind: str, whole: dict[str, float], *parts: dict[str, float]) -> dict[str, object]:
    return {"reportType": kind, "cumulative": whole, "lines": list(parts)}


def _meters(count: int, *kinds: str) -> list[object]:
    return [{"state": "enabled", "measurementType": kind, "phaseCount": count} for kind in kinds]


def _shown(raw: dict[str, Any], state: Grid = Grid.ON_GRID, times: dict[str, float] | None = None) -> dict[str, Any]:
    """What is served of powers, as the reading makes it."""
    raw = meters.measured(meters.current(raw, times or {}))
    raw = {**raw, **meters.meters(raw, state)}
    return dict(lines.phase_values(raw, state, meters.phases(raw) or 1, powers.load(raw, state)))


TOTAL_CT: dict[str, Any] = {
    "meters": _meters(2, "production", "total-consumption"),
    "reports": [
        _report("production", _row(357.5, 242), _row(180, 121), _row(177.5, 121)),
        _report("net-consumption", _row(428.4, 242, 1200), _row(230, 121), _row(198.4, 121)),
        _report("total-consumption", _row(428.4, 242, 1200), _row(230, 121), _row(198.4, 121)),
    ],
}


@pytest.mark.parametrize(
    ("more", "watts"),
    [
        ({"power": RESTING}, 785.9),
        ({"inventory": [], "secctrl": {"Max_energy": 0}}, 785.9),
        # The CT may count a battery that charges, and nothing tells whether it does.
        ({"power": {"devices:": [{"real_power_mw": -3000000}]}}, None),
        ({}, None),
    ],
)
def test_a_total_that_repeats_the_net_of_a_total_ct_is_production_and_net_or_nothing(more: dict[str, Any], watts: float | None) -> None:
    shown = _shown({**TOTAL_CT, **more})
    assert shown.get("output.realpower") == (None if watts is None else pytest.approx(watts))
    if watts is not None:
        assert shown["output.L1.realpower"] + shown["output.L2.realpower"] == pytest.approx(watts)
    assert "input.realpower" not in shown, "that net is reckoned, not measured"


async def test_the_simulated_total_ct_has_the_same_fault_and_the_right_load(tmp_path: Path) -> None:
    async with house(tmp_path, "total-ct") as h:
        shown = h.shown(await h.polls(3))
        assert h.sim.site.flows.load == 786.5
        assert "livedata" not in (await h.poll()).raw
    assert shown["ups.realpower"] == "786.5"
    assert int(shown["battery.runtime"]) == pytest.approx((7000 - 1000) * 3600 / 786.5, abs=30)


CHARGING: dict[str, Any] = {
    "meters": _meters(2, "production", "net-consumption", "storage"),
    "power": {"devices:": [{"real_power_mw": -6592000}]},
    "reports": [
        _report("production", _row(7131), _row(3566, 123.5), _row(3565, 123.7)),
        _report("net-consumption", _row(1749.5, 240, 2000), _row(806, 123.5, 1000), _row(943.5, 123.7, 1000)),
        _report("total-consumption", _row(8880.5), _row(4372, 123.5), _row(4508.5, 123.7)),
        _report("storage", _row(-6592), _row(-3296, 123.5), _row(-3296, 123.7)),
    ],
}
ONLY_TOTAL_LINES = {**CHARGING, "reports": CHARGING["reports"][:3], "meters": _meters(2, "production", "net-consumption")}


def test_phases_of_the_output_are_the_houses_also_while_the_battery_charges() -> None:
    shown = _shown(CHARGING)
    assert shown["output.realpower"] == pytest.approx(2288.5)
    assert shown["output.L1.realpower"] == pytest.approx(3566 + 806 - 3296)
    assert shown["output.L2.realpower"] == pytest.approx(3565 + 943.5 - 3296)


def test_phases_that_would_count_a_charging_battery_are_left_out() -> None:
    shown = _shown(ONLY_TOTAL_LINES)
    assert shown["output.realpower"] == pytest.approx(2288.5)
    assert not [name for name in shown if name.startswith("output.L") and name.endswith(("power", "current"))]
    assert shown["output.L1-N.voltage"] == 123.5


def _live(block: str, whole: float, *parts: float, apparent: float = 1.0) -> dict[str, Any]:
    told: dict[str, float] = {"agg_p_mw": whole * 1000, "agg_s_mva": whole * apparent * 1000}
    for letter, part in zip("abc", (*parts, 0.0, 0.0, 0.0), strict=False):
        told |= {f"agg_p_ph_{letter}_mw": part * 1000, f"agg_s_ph_{letter}_mva": part * apparent * 1000}
    return {block: told}


def test_the_current_of_a_phase_follows_from_its_own_power() -> None:
    raw = {**CHARGING, "livedata": {"meters": _live("load", 1700, 834, 866, apparent=1.25)}}
    shown = _shown(raw)
    assert shown["output.L1.realpower"] == 834
    assert shown["output.L1.current"] == pytest.approx(834 * 1.25 / 123.5)
    assert shown["output.L1.powerfactor"] == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("whole", "parts", "kept"),
    [(1700, (834, 866), True), (1700, (834, 860), True), (1700, (4372, 4508), False), (1700, (0, 0), False), (0, (0, 0), True)],
)
def test_phases_that_do_not_add_up_to_the_whole_are_left_out(whole: float, parts: tuple[float, float], kept: bool) -> None:
    for block, domain in (("load", "output"), ("grid", "input")):
        shown = _shown({**CHARGING, "livedata": {"meters": _live(block, whole, *parts)}})
        assert shown[f"{domain}.realpower"] == whole
        assert (f"{domain}.L1.realpower" in shown) is kept
        assert (f"{domain}.L1.current" in shown) is kept


def test_an_apparent_power_below_the_real_one_is_left_out_and_so_is_what_follows_from_it() -> None:
    shown = _shown({**CHARGING, "livedata": {"meters": _live("load", 1700, 834, 866, apparent=0.5)}})
    assert shown["output.L1.realpower"] == 834
    assert not {"output.power", "output.L1.power", "output.L1.current", "output.powerfactor"} & set(shown)


@pytest.mark.parametrize(
    ("volts", "count", "voltage", "between"),
    [
        ((235.1, 4.9, 3.1), 3, 235.1, None),
        ((235.1, 0.0, 233.1), 3, 234.1, None),
        ((230.0, 231.0, 232.0), 3, 231.0, None),
        ((0.0, 0.0, 0.0), 3, None, None),
        ((121.0, 122.0), 2, 243.0, 243.0),
        ((121.0, 3.0), 2, 121.0, None),
    ],
)
def test_a_dead_line_does_not_count_for_the_voltage(volts: tuple[float, ...], count: int, voltage: float | None, between: float | None) -> None:
    whole = _row(900, sum(volts), 1000, 4)
    raw = {
        "meters": _meters(count, "production", "net-consumption"),
        "reports": [_report("net-consumption", whole, *(_row(900 / count, v) for v in volts))],
    }
    shown = _shown(raw)
    for domain in ("input", "output"):
        assert shown.get(f"{domain}.voltage") == (None if voltage is None else pytest.approx(voltage))
        assert shown.get(f"{domain}.L1-L2.voltage") == between
    assert shown["input.L2-N.voltage"] == volts[1], "the line itself is told as it is"


@pytest.mark.parametrize(
    ("storage", "amperes"),
    [
        (_report("storage", _row(-2400, 240), _row(-1200, 120), _row(-1200, 120)), -10.0),
        (_report("storage", _row(-2400, 120), _row(0, 0), _row(-2400, 120)), -10.0),
        (_report("storage", _row(0, 0), _row(0, 0), _row(0, 0)), -10.0),
    ],
)
def test_a_dead_line_of_the_storage_meter_does_not_double_the_batteries_current(storage: dict[str, object], amperes: float) -> None:
    raw: dict[str, Any] = {
        "meters": _meters(2, "net-consumption", "storage"),
        "reports": [_report("net-consumption", _row(100, 240), _row(50, 120), _row(50, 120)), storage],
    }
    found = meters.meters(raw, Grid.ON_GRID)
    assert lines.battery_current({**raw, **found}, -2400.0, 2) == pytest.approx(amperes)


def test_the_freshest_source_serves_all_numbers_of_the_grid() -> None:
    live = {"meters": {"soc": 50, **_live("grid", 300, 100, 200), **_live("storage", 400)}}
    raw = {**CHARGING, "livedata": live}
    young = _shown(raw, times={"livedata": 1000.0, "reports": 940.0, "power": 940.0})
    assert young["input.realpower"] == 300
    assert (young["input.L1.realpower"], young["input.L2.realpower"]) == (100, 200)
    assert young["input.L1.current"] == pytest.approx(100 / 123.5), "not that of a minute ago"
    old = _shown(raw, times={"livedata": 940.0, "reports": 1000.0, "power": 1000.0})
    assert old["input.realpower"] == 1749.5
    assert old["input.L1.realpower"] == 806


def test_a_power_that_a_fresher_source_has_told_is_not_used_again() -> None:
    live = {"meters": {"soc": 50, **_live("storage", 400)}}
    raw = {"livedata": live, "power": {"devices:": [{"real_power_mw": -100000}]}, "reports": [], "other": 1}
    at = 1000.0
    for times, watts in (
        ({"livedata": at, "power": at - 60, "reports": at - 60}, 400),
        ({"livedata": at - SAME, "power": at, "reports": at}, 400),
        ({"livedata": at - SAME - 1, "power": at, "reports": at}, -100),
    ):
        kept = meters.current(raw, times)
        assert powers.storage_power(kept) == watts
        assert kept["livedata"]["meters"]["soc"] == 50  # type: ignore[index]
    assert "power" not in meters.current(raw, {"livedata": 0.0, "power": 900.0, "reports": 960.0})


async def test_two_variables_for_one_power_are_one_number(tmp_path: Path) -> None:
    async with house(tmp_path, "split-phase") as h:
        h.sim.set(load=2000, pv=0, policy="rest")
        await h.polls(3)
        for load in (1000, 3000, 500):
            h.sim.set(load=load)
            shown = h.shown(await h.poll())
            assert shown["input.realpower"] == shown["experimental.grid.realpower"]
            parts = float(shown["input.L1.realpower"]) + float(shown["input.L2.realpower"])
            assert parts == pytest.approx(float(shown["input.realpower"]), abs=0.2)
        h.sim.faults["/ivp/livedata/status"] = Fault("status", status=503)
        h.sim.set(load=2500)
        for _ in range(20):
            shown = h.shown(await h.poll())
            assert shown["input.realpower"] == shown["experimental.grid.realpower"]
        assert float(shown["input.realpower"]) == pytest.approx(2500, abs=100), "not that of livedata from before"


@pytest.mark.parametrize("state", [Grid.OUTAGE, Grid.GENERATOR])
def test_off_the_grid_the_house_has_phases_and_the_grid_has_none(state: Grid) -> None:
    raw = {**CHARGING, "livedata": {"meters": {**_live("load", 1700, 834, 866), **_live("grid", 0)}}}
    shown = _shown(raw, state)
    assert (shown["output.L1.realpower"], shown["output.L2.realpower"]) == (834, 866)
    assert shown["input.realpower"] == shown["input.L1.realpower"] == 0.0
    assert "input.voltage" not in shown


def test_a_load_is_never_negative() -> None:
    raw = {**CHARGING, "livedata": {"meters": _live("load", -20, -10, -10)}}
    assert powers.load({**raw, **meters.meters(raw, Grid.ON_GRID)}, Grid.ON_GRID) == Flow(0.0)
