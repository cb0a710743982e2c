# SPDX-License-Identifier: GPL-2.0-or-later
"""The simulated house of an RCT inverter: what goes in comes out, and an outage ends as it must."""

from __future__ import annotations

from typing import Any

import pytest

from nutdrv_py.simulators.rct import House, HouseSetup, Mode, meters
from nutdrv_py.simulators.rct.flows import EFFICIENCY, OWN_WATTS
from nutdrv_py.simulators.rct.physics import MODULE_WH

HOUR = 3600.0


def house(**setup: Any) -> House:
    return House(HouseSetup(**setup))


@pytest.mark.parametrize("grid", ["on", "outage", "reclosing"])
@pytest.mark.parametrize("load", [0, 300, 2200, 9000])
@pytest.mark.parametrize("pv", [0, 40, 1500, 12000])
@pytest.mark.parametrize("soc", [3, 7, 10, 50, 97, 100])
def test_powers_balance(grid: str, load: float, pv: float, soc: float) -> None:
    home = house(grid=grid, load=load, pv=pv, soc=soc)
    for _ in range(5):
        flows = home.flows
        assert flows.load == pytest.approx(flows.inverter + flows.grid, abs=1e-6)
        assert flows.load in (load, 0)
        assert 0 <= flows.solar <= pv
        if home.mode is not Mode.EXHAUSTED:
            assert flows.inverter == pytest.approx((flows.solar + flows.battery) * EFFICIENCY - OWN_WATTS, abs=1e-6)
        if home.islanded:
            assert flows.grid == 0
        home.advance(600)
        assert home.charges[0] <= max(97, soc)


def test_on_grid_the_battery_covers_the_house_down_to_its_limit() -> None:
    home = house(load=900, soc=20)
    assert home.flows.grid == pytest.approx(0, abs=1e-6)
    assert home.flows.battery == pytest.approx(1000)
    home.advance(HOUR)
    home.advance(HOUR)
    assert home.charges[0] == 7
    assert (home.flows.battery, home.flows.grid) == (0, 950)
    assert home.resting
    assert not home.empty


def test_surplus_charges_the_battery_and_then_leaves_the_house() -> None:
    home = house(load=500, pv=3500, soc=90)
    assert home.flows.battery < -2500
    assert home.flows.grid == pytest.approx(0, abs=1e-6)
    home.advance(HOUR)
    assert home.charges[0] == 97
    assert home.full
    assert home.flows.battery == 0
    assert home.flows.grid == pytest.approx(500 - (3500 * EFFICIENCY - OWN_WATTS))


def test_energy_taken_is_energy_missing() -> None:
    home = house(load=1805, soc=80, soh=100)
    home.advance(1800)
    assert home.energies.discharged == pytest.approx(1952.6 / 2, abs=1)
    assert home.charges[0] == pytest.approx(80 - home.energies.discharged / (2 * MODULE_WH) * 100)
    assert home.energies.load == pytest.approx(902.5)


def test_an_island_lives_until_the_battery_is_at_its_limit() -> None:
    home = house(grid="outage", load=2200, soc=20)
    assert home.mode is Mode.ISLAND
    hours = 0.10 * home.tower_wh / home.flows.battery
    home.advance(hours * HOUR - 2)
    assert home.mode is Mode.ISLAND
    assert home.powered
    home.advance(4)
    assert home.mode is Mode.EXHAUSTED
    assert home.charges[0] == 10
    assert (home.powered, home.network, home.flows.load) == (False, True, 0)
    assert 106 in meters.fault_bits(home)
    home.advance(30)
    assert not home.network
    home.change({"grid": "reclosing"})
    assert home.network
    home.advance(61)
    assert home.mode is Mode.GRID
    assert home.powered
    assert home.flows.load == 2200


def test_the_sun_brings_an_exhausted_island_back() -> None:
    home = house(grid="outage", load=800, soc=10)
    home.advance(60)
    assert not home.network
    home.change({"pv": 3000})
    assert home.network
    assert home.mode is Mode.EXHAUSTED
    assert home.flows.battery == pytest.approx(50 / EFFICIENCY - 3000)
    home.advance(0.05 * home.tower_wh / -home.flows.battery * HOUR + 1)
    assert home.mode is Mode.ISLAND
    assert home.charges[0] == pytest.approx(15, abs=0.1)


def test_the_grid_is_back_before_the_island_ends() -> None:
    home = house(grid="outage", reclose_seconds=20)
    assert meters.grid_volts(home, 0) < 5
    home.change({"grid": "reclosing"})
    home.advance(19)
    assert home.mode is Mode.ISLAND
    assert meters.grid_volts(home, 0) > 220
    assert 90 in meters.fault_bits(home)
    home.advance(2)
    assert home.mode is Mode.GRID
    assert home.setup.grid == "on"
    assert not meters.fault_bits(home)


def test_without_a_power_switch_an_outage_is_darkness() -> None:
    home = house(switch=False, dark_seconds=5)
    home.change({"grid": "outage"})
    assert (home.mode, home.powered, home.network) == (Mode.STOPPED, False, True)
    home.advance(6)
    assert not home.network
    home.change({"grid": "reclosing"})
    assert home.powered
    assert home.network
    assert home.flows.grid == home.flows.load == 900
    home.change({"grid": "outage", "dark_seconds": 0.0})
    assert not home.network


def test_night_without_a_battery_switches_off() -> None:
    home = house(battery=False, pv=1000)
    assert home.mode is Mode.GRID
    home.change({"night": True})
    assert not home.network
    assert home.flows.grid == home.flows.load
    home.change({"night": False})
    assert home.network


def test_night_with_a_battery_rests() -> None:
    home = house(night=True, pv=4000, soc=7)
    assert home.network
    assert home.resting


def test_two_towers_share_the_load_and_end_together() -> None:
    home = house(grid="outage", towers=2, soc=60, soc2=35, load=3000)
    assert home.tower_watts(0) == pytest.approx(2 * home.tower_watts(1))
    home.advance(HOUR / 2)
    assert home.charges[0] - 10 == pytest.approx(2 * (home.charges[1] - 10))
    home.advance(2 * HOUR)
    assert home.charges == [10, 10]
    assert home.mode is Mode.EXHAUSTED


def test_steps_of_time_do_not_matter() -> None:
    def run(steps: int) -> tuple[float, ...]:
        home = house(load=1500, pv=200, soc=30)
        for _ in range(steps):
            home.advance(7200 / steps)
        home.change({"grid": "outage"})
        for _ in range(steps):
            home.advance(7200 / steps)
        totals = home.energies
        return (*home.charges, totals.imported, totals.load, totals.discharged, totals.charged)

    assert run(1) == pytest.approx(run(997), abs=1e-3)


def test_phases_and_generators_add_up() -> None:
    for grid in ("on", "outage"):
        home = house(grid=grid, load=3000, pv=1000, soc=50)
        assert sum(meters.load_watts(home, phase) for phase in range(3)) == pytest.approx(home.flows.load)
        assert sum(meters.inverter_watts(home, phase) for phase in range(3)) == pytest.approx(home.flows.inverter)
        assert sum(meters.grid_watts(home, phase) for phase in range(3)) == pytest.approx(home.flows.grid, abs=1e-6)
        assert sum(home.solar_watts(generator) for generator in range(2)) == pytest.approx(1000)
        assert len({round(meters.load_watts(home, phase)) for phase in range(3)}) == 3


def test_cells_follow_the_charge() -> None:
    low, high = house(soc=5), house(soc=95)
    assert max(meters.cell_volts(low, 0, 0)) < min(meters.cell_volts(high, 0, 0))
    assert meters.cell_volts(low, 0, 0) != meters.cell_volts(low, 0, 1)
    assert meters.tower_volts(high, 0) == pytest.approx(sum(meters.cell_volts(high, 0, 0)) + sum(meters.cell_volts(high, 0, 1)))
    assert [meters.resting_volts(percent) for percent in (0, 100)] == [2.80, 3.50]


def test_setting_the_charge_again_counts() -> None:
    home = house(load=2000, soc=60)
    home.advance(HOUR)
    assert home.charges[0] < 30
    home.change({"soc": 60})
    assert home.charges[0] == 60


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grid": "of"}, 'did you mean "on"'),
        ({"gird": "on"}, 'did you mean "grid"'),
        ({"calibration": "lo"}, 'did you mean "low"'),
        ({"soc": 101}, "0 to 100"),
        ({"load": -1}, "0 to 50000 W"),
        ({"load": "much"}, "it is a number"),
        ({"load": True}, "it is a number"),
        ({"modules": 8}, "from 0 to 7"),
        ({"towers": 0}, "from 1 to 2"),
        ({"load_split": (1, 2)}, "3 numbers"),
        ({"pv_split": (0, 0)}, "2 numbers"),
        ({"faults": (128,)}, "0 to 127"),
        ({"faults": ("x",)}, "0 to 127"),
        ({"nominal": 0}, "1 to 50000 W"),
        ({"temperature": 400}, "-50 to 120"),
        ({"linger_seconds": -1}, "0 s or more"),
        ({"switch": "yes"}, "yes or no"),
    ],
)
def test_wrong_changes_are_sentences_and_change_nothing(changes: dict[str, Any], message: str) -> None:
    home = house()
    before = home.setup
    with pytest.raises(ValueError, match=message):
        home.change({"load": 1.0, **changes})
    assert home.setup == before
