# SPDX-License-Identifier: GPL-2.0-or-later
"""Which charge to believe: each row is a way in which a server was, or would have been, shut down wrongly."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nutdrv_py.backends.enphase.charge import Charge, State
from nutdrv_py.device.reading import Status
from nutdrv_py.errors import DeviceError
from nutdrv_py.simulators.enphase import Fault
from tests.backends.enphase.conftest import house
from tests.device.test_mapping import json_values

SECCTRL = {
    "agg_soc": 39, "Max_energy": 12400, "ENC_agg_soc": 30, "ENC_agg_avail_energy": 3000, "Enc_max_available_capacity": 10000,
    "ACB_agg_soc": 90, "ACB_agg_energy": 2160, "VLS_Limit": 10, "soc_recovery_exit": 10,
}  # fmt: skip
PLAIN = {**SECCTRL, "agg_soc": 60, "ENC_agg_soc": 60, "ENC_agg_avail_energy": 6000, "Max_energy": 10000, "ACB_agg_soc": 0, "ACB_agg_energy": 0}
ZEROS = dict.fromkeys(SECCTRL, 0)


def _live(soc: float, energy: float | None = None, encharge: float | None = None) -> dict[str, object]:
    return {"soc": soc, "enc_agg_soc": soc if encharge is None else encharge, "enc_agg_energy": soc * 100 if energy is None else energy}


def _first(live: object = None, control: object = None, *, on_grid: bool = True) -> State:
    return Charge().update((live, 100) if live else None, (control, 100) if control else None, on_grid=on_grid, drain=None, now=100)


def test_ac_batteries_do_not_count_in_an_island() -> None:
    assert _first(control=SECCTRL) == State(39, 30, 30, 3000, 10000)


def test_the_fresher_source_counts() -> None:
    charge = Charge()
    state = charge.update((_live(58), 100), (PLAIN, 70), on_grid=True, drain=None, now=100)
    assert (state.charge, state.energy, state.capacity) == (58, 5800, 10000)
    state = charge.update((_live(58), 100), (PLAIN | {"agg_soc": 55, "ENC_agg_soc": 55}, 160), on_grid=True, drain=None, now=160)
    assert state.charge == 55


def test_no_battery_is_no_charge_rather_than_an_empty_one() -> None:
    assert _first(_live(0, 0), ZEROS) == State()


def test_zeros_of_livedata_do_not_beat_a_secctrl_that_knows() -> None:
    state = _first(_live(0, 0), PLAIN, on_grid=False)
    assert (state.charge, state.decisive, state.energy) == (60, 60, 6000)


def test_zeros_of_secctrl_do_not_beat_livedata_that_know() -> None:
    charge = Charge()
    charge.update(None, (PLAIN, 100), on_grid=True, drain=None, now=100)
    state = charge.update((_live(55), 200), (ZEROS, 200), on_grid=False, drain=-2000, now=200)
    assert (state.charge, state.decisive, state.capacity) == (55, 55, 10000)


def test_a_first_zero_is_doubted() -> None:
    charge = Charge()
    control = {**PLAIN, "agg_soc": 0, "ENC_agg_soc": 0, "ENC_agg_avail_energy": 0}
    for at in (0, 40, 80):
        state = charge.update(None, (control, at), on_grid=False, drain=500, now=at)
        assert state.charge is None
        assert state.decisive is None
    assert charge.update(None, (control, 125), on_grid=False, drain=500, now=125).charge == 0


def test_time_on_the_grid_and_time_away_is_no_drain() -> None:
    """A gateway away for six hours, back in an outage: the battery did not run all that time."""
    charge = Charge()
    charge.update(None, (PLAIN | {"agg_soc": 90, "ENC_agg_soc": 90}, 100), on_grid=True, drain=3000, now=100)
    state = charge.update(None, None, on_grid=True, drain=3000, now=21700)
    assert state.decisive == 90
    state = charge.update(None, None, on_grid=False, drain=3000, now=21760)
    assert state.decisive == 90
    assert charge.update(None, None, on_grid=False, drain=3000, now=22960).decisive == pytest.approx(80)


def test_counting_down_follows_the_power_and_ends_with_the_next_word() -> None:
    charge = Charge()
    charge.update(None, (PLAIN, 0), on_grid=False, drain=3600, now=0)
    assert charge.update(None, (PLAIN, 0), on_grid=False, drain=3600, now=100).decisive == pytest.approx(59)
    assert charge.update(None, (PLAIN, 0), on_grid=False, drain=-5000, now=1000).decisive == pytest.approx(59), "the sun shines"
    assert charge.update(None, (PLAIN, 0), on_grid=False, drain=None, now=1100).decisive == pytest.approx(59)
    newer = PLAIN | {"agg_soc": 57, "ENC_agg_soc": 57}
    assert charge.update(None, (newer, 1200), on_grid=False, drain=None, now=1200).decisive == 57


@pytest.mark.parametrize(
    ("control", "low"),
    [
        (PLAIN, 20),
        (PLAIN | {"soc_recovery_exit": 30}, 35),
        (PLAIN | {"VLS_Limit": 25}, 30),
        (PLAIN | {"VLS_Limit": 255}, 20),
        (PLAIN | {"VLS_Limit": 95}, 20),
        (PLAIN | {"VLS_Limit": 50}, 20),
        (PLAIN | {"VLS_Limit": None, "soc_recovery_exit": "unknown"}, 20),
    ],
)
def test_the_low_mark_follows_the_devices_limits_within_reason_and_is_remembered(control: object, low: float) -> None:
    charge = Charge()
    charge.update(None, (control, 0), on_grid=True, drain=None, now=0)
    charge.update(None, None, on_grid=False, drain=None, now=3000)
    assert charge.low == low


@given(json_values, json_values, st.booleans(), st.none() | st.floats(-1e6, 1e6))
def test_any_payload_is_taken_without_an_exception(live: object, control: object, on_grid: bool, drain: float | None) -> None:
    charge = Charge()
    for now in (0.0, 5.0, 70.0):
        for payload in (control, {"VLS_Limit": control, "Enc_max_available_capacity": 5000, "agg_soc": live}):
            state = charge.update((live, now), (payload, now), on_grid=on_grid, drain=drain, now=now)
            for value in (state.charge, state.backup, state.decisive):
                assert value is None or 0 <= value <= 100


async def test_the_load_from_before_the_outage_is_what_the_battery_then_loses(tmp_path: Path) -> None:
    """Nothing but the relay answers any more: an idle or charging battery before it must not stop the countdown."""
    async with house(tmp_path) as h:
        h.sim.set(soc=25, load=5000, pv=9000, policy="self-consumption")
        await h.polls(3)
        for path in ("/ivp/ensemble/secctrl", "/ivp/livedata/status", "/ivp/ensemble/power", "/ivp/meters/reports"):
            h.sim.faults[path] = Fault("status", status=503)
        h.sim.set(grid="outage")
        assert Status.LB not in (await h.polls(2)).status
        assert Status.LB in (await h.polls(90, 5)).status


def test_zeros_of_both_sources_after_a_restart_in_an_outage_are_never_believed() -> None:
    charge = Charge()
    for at in range(0, 30, 5):
        charge.update((_live(80), at), (PLAIN | {"agg_soc": 80, "ENC_agg_soc": 80}, 0), on_grid=False, drain=500, now=at)
    for at in range(30, 400, 5):
        state = charge.update((_live(0, 0), at), (ZEROS, at), on_grid=False, drain=500, now=at)
        assert state.decisive is not None
        assert state.decisive > 78


def test_after_sunshine_that_nobody_tells_of_any_more_the_load_is_lost() -> None:
    charge = Charge()
    charge.update(None, (PLAIN, 0), on_grid=False, drain=-3000, load=2000, now=0)
    assert charge.update(None, None, on_grid=False, drain=None, now=150).decisive == 60
    for at in range(155, 8000, 5):
        state = charge.update(None, None, on_grid=False, drain=None, now=at)
    assert state.decisive is not None
    assert state.decisive < 20


def test_an_older_source_that_is_left_over_in_an_outage_brings_no_drain_from_the_grid() -> None:
    charge = Charge()
    control = (PLAIN | {"Enc_max_available_capacity": 5000}, 0)
    for at in range(0, 300, 5):
        charge.update((_live(60), at), control, on_grid=True, drain=11000, now=at)
    charge.update((_live(60), 295), control, on_grid=False, drain=11000, now=300)
    state = charge.update(None, control, on_grid=False, drain=None, now=301)
    assert state.decisive == pytest.approx(60, abs=0.3)


def test_a_secctrl_that_stands_still_does_not_hide_a_battery_that_empties() -> None:
    charge = Charge()
    soc = 60.0
    for at in range(0, 6000, 5):
        soc = max(1.0, 60 - at / 100)
        state = charge.update((_live(soc), at), (PLAIN, at), on_grid=False, drain=3000, now=at)
    assert state.decisive is not None
    assert state.decisive <= 5


def test_without_secctrl_the_capacity_is_worked_out_to_count_down_with() -> None:
    charge = Charge()
    charge.update((_live(60), 0), None, on_grid=False, drain=3600, now=0)
    for at in range(5, 4000, 5):
        state = charge.update(None, None, on_grid=False, drain=None, now=at)
    assert state.decisive is not None
    assert state.decisive < 21


def test_a_zero_of_the_iq_batteries_beside_energy_left_was_not_told() -> None:
    charge = Charge()
    for at in range(0, 300, 5):
        state = charge.update((_live(80, 8000, encharge=0), at), None, on_grid=True, drain=None, now=at)
    assert state.decisive == 80
    control = PLAIN | {"agg_soc": 80, "ENC_agg_soc": 0, "ENC_agg_avail_energy": 8000}
    assert _first(control=control).backup == 80


def test_a_limit_that_jumps_in_an_outage_counts_when_it_has_stayed() -> None:
    charge = Charge()
    for at in range(0, 300, 60):
        charge.update(None, (PLAIN, at), on_grid=False, drain=500, now=at)
    for at in range(300, 400, 60):
        charge.update(None, (PLAIN | {"VLS_Limit": 70}, at), on_grid=False, drain=500, now=at)
    assert (charge.verylow, charge.low) == (10, 20)
    for at in range(420, 700, 60):
        charge.update(None, (PLAIN | {"VLS_Limit": 70}, at), on_grid=False, drain=500, now=at)
    assert (charge.verylow, charge.low) == (70, 50)


def test_a_charge_that_stands_still_while_kilowatts_are_drawn_is_not_believed(caplog: pytest.LogCaptureFixture) -> None:
    charge = Charge()
    for at in range(0, 1800, 5):
        state = charge.update((_live(22), at), (PLAIN | {"agg_soc": 22, "ENC_agg_soc": 22}, at - at % 60), on_grid=False, drain=4500, now=at)
        if at < 360:
            assert state.decisive == pytest.approx(22, abs=0.1), "5 points of 10 kWh last 400 s at 4.5 kW"
    assert state.decisive is not None
    assert state.decisive < 1
    assert state.charge is not None
    assert state.charge < 1
    assert sum("does not fall" in record.getMessage() for record in caplog.records) == 1


def test_a_charge_that_is_told_in_whole_percents_and_rarely_is_believed() -> None:
    charge = Charge()
    for at in range(0, 6000, 5):
        true = 90 - at * 3000 / 3600 / 100
        slow = PLAIN | {"agg_soc": int(true), "ENC_agg_soc": int(true)}
        state = charge.update(None, (slow, at), on_grid=False, drain=3000, now=at)
        assert state.decisive == int(true)


# Whole stories


async def test_a_gateway_that_comes_back_in_an_outage_after_hours_is_not_low(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        h.sim.set(soc=90, load=3000, pv=0, policy="rest")
        await h.polls(3)
        h.sim.set(offline=True)
        with pytest.raises(DeviceError):
            await h.poll(6 * 3600)
        h.sim.set(grid="outage", soc=90)
        h.sim.set(offline=False)
        reading = await h.poll(10)
        assert all(Status.LB not in early.status for early in h.early)
        assert Status.LB not in reading.status


@pytest.mark.parametrize("fault", [Fault("status", status=401, times=1), Fault("status", status=404, times=1), Fault("status", status=301, times=1)])
async def test_one_stray_answer_does_not_hide_an_endpoint(tmp_path: Path, fault: Fault) -> None:
    async with house(tmp_path) as h:
        await h.polls(2)
        h.sim.faults["/ivp/livedata/status"] = fault
        h.sim.faults["/ivp/ensemble/secctrl"] = fault
        await h.polls(30, 10)
        reading = await h.poll()
        assert {"livedata", "secctrl"} <= set(reading.raw)


async def test_a_refused_stream_does_not_cost_the_live_data(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        h.sim.set(stream=True)
        h.sim.faults["/ivp/livedata/stream"] = Fault("status", status=401)
        reading = await h.polls(3)
        assert "livedata" in reading.raw


async def test_a_stray_404_of_the_relay_is_not_remembered(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.poll()
        missing = Fault("status", status=404, times=1)
        h.sim.faults["/ivp/ensemble/relay"] = missing
        h.sim.faults["/ivp/ensemble/status"] = missing
        with pytest.raises(DeviceError):
            await h.poll()
        await h.polls(5)


async def test_a_heavy_load_before_the_outage_makes_no_lb_and_no_over_in_it(tmp_path: Path) -> None:
    async with house(tmp_path, defaults={"battery.runtime.low": "600"}) as h:
        h.sim.set(load=30000, pv=0, policy="rest", soc=90)
        await h.polls(3)
        h.sim.set(load=500, grid="outage")
        readings = [await h.poll() for _ in range(3)]
        assert not any(r.status & (Status.LB | Status.OVER) for r in [*h.early, *readings])


async def test_a_short_runtime_makes_lb_when_it_stays_short(tmp_path: Path) -> None:
    async with house(tmp_path, defaults={"battery.runtime.low": "7200"}) as h:
        h.sim.set(load=3000, pv=0, soc=60, grid="outage")
        statuses = [(await h.poll()).status for _ in range(8)]
        assert Status.LB not in statuses[0]
        assert Status.LB in statuses[-1]


async def test_a_kettle_and_one_failed_poll_make_no_lb(tmp_path: Path) -> None:
    async with house(tmp_path, defaults={"battery.runtime.low": "7000"}) as h:
        h.sim.set(load=1500, pv=0, soc=60, grid="outage")
        await h.polls(6)
        h.sim.set(load=7000)
        seen: list[tuple[int, bool, bool, bool]] = []
        for _ in range(25):
            reading = await h.poll(3)
            left = int(h.shown(reading)["battery.runtime"])
            later = [Status.LB in h.seen.coast(reading, seconds).status for seconds in (2, 25)]
            seen.append((left, Status.LB in reading.status, *later))  # type: ignore[arg-type]
        at = next(n for n, (left, *_) in enumerate(seen) if left <= 7000)
        assert seen[at][1:] == (False, False, True), "below the mark for a moment"
        assert seen[at + 8][1], "below it for 24 s"


async def test_coasting_without_secctrl_still_reaches_lb(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        h.sim.set(soc=22, load=3000, pv=0, policy="rest")
        await h.polls(3)
        h.sim.faults["/ivp/ensemble/secctrl"] = Fault("status", status=503)
        await h.polls(70, 10)
        h.sim.set(grid="outage", soc=22)
        reading = await h.polls(2)
        assert Status.LB not in reading.status
        assert Status.LB in h.seen.coast(reading, 300).status
