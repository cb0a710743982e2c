# SPDX-License-Identifier: GPL-2.0-or-later
"""A house that a generator carries: no server is shut down because the generator has started, each is when it stops."""

from __future__ import annotations

from pathlib import Path

from nutdrv_py.backends.enphase.house import CHARGING_AGE
from nutdrv_py.core.lowbattery import RELIEF_AGE
from nutdrv_py.device.reading import Status
from nutdrv_py.simulators.enphase import Fault
from tests.backends.enphase.conftest import House, house


async def _words(h: House, count: int = 1) -> set[str]:
    return set(h.shown(await h.polls(count))["ups.status"].split())


async def test_a_generator_that_starts_at_the_low_mark_shuts_no_server_down_and_one_that_stops_does(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        h.sim.set(soc=18, load=800, pv=0)
        await h.polls(3)
        h.sim.set(grid="generator")
        for _ in range(20):
            shown = h.shown(await h.poll())
            assert set(shown["ups.status"].split()) == {"OB", "CHRG"}
            assert shown["experimental.grid.state"] == "generator"
        h.sim.set(grid="outage")
        assert {"OB", "LB"} <= await _words(h)
        assert any(Status.LB in reading.status for reading in h.early), "at once, with the relay's word"


async def test_a_generator_that_carries_the_house_while_the_battery_falls_hides_no_low_battery(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        h.sim.set(soc=18, load=800, pv=0)
        await h.polls(3)
        h.sim.set(grid="generator")
        assert "LB" not in await _words(h, 3)
        # The generator is too weak now; the relay still names it.
        h.sim.set(load=8000)
        assert {"OB", "DISCHRG", "LB"} <= await _words(h, 2)


async def test_a_power_that_is_told_no_more_is_no_proof_that_a_generator_charges(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        h.sim.set(soc=18, load=800, pv=0)
        await h.polls(3)
        h.sim.set(grid="generator")
        assert "LB" not in await _words(h, 3)
        for path in ("/ivp/livedata/status", "/ivp/ensemble/power", "/ivp/meters/reports"):
            h.sim.faults[path] = Fault("status", status=503)
        assert "LB" not in await _words(h, 2)
        assert "LB" in await _words(h, int(CHARGING_AGE / 5))


async def test_a_lost_answer_ends_no_relief_but_a_silent_gateway_does(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        h.sim.set(soc=18, load=800, pv=0)
        await h.polls(3)
        h.sim.set(grid="generator")
        reading = await h.polls(5)
        assert Status.LB not in h.seen.coast(reading, RELIEF_AGE - 2).status
        assert Status.LB in h.seen.coast(reading, RELIEF_AGE + 2).status


async def test_a_driver_that_starts_while_the_generator_runs_shuts_nothing_down(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        h.sim.set(soc=18, load=800, pv=0, grid="generator")
        for _ in range(5):
            assert "LB" not in await _words(h)
        assert h.early[0].decline is not None
        assert h.early[0].decline.recharged, "nor does a charge remembered from before the start"


async def test_a_battery_that_the_sun_charges_in_an_outage_is_as_low_as_ever(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        h.sim.set(soc=18, load=500, pv=3000)
        await h.polls(3)
        h.sim.set(grid="outage")
        assert {"OB", "CHRG", "LB"} <= await _words(h, 3)


async def test_over_is_not_said_of_what_the_generator_gives(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        weak = '{"inventory": {"serial_nums": {"1": {"device_type": 13, "encharge_rated_power": 1280}}}}'
        h.sim.faults["/ivp/ensemble/status"] = Fault("wrong-json", body=weak)
        h.sim.set(load=1500, pv=0, policy="rest", soc=50)
        await h.polls(2)
        h.sim.set(grid="generator")
        assert "OVER" not in await _words(h, 3)
        h.sim.set(load=8000)
        assert "OVER" in await _words(h, 2), "the batteries give 2000 W"
