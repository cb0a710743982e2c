# SPDX-License-Identifier: GPL-2.0-or-later
"""The backend against the simulated gateway: each situation with the variables that upsc must show."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nutdrv_py.backends.enphase import ENDPOINTS, Enphase
from nutdrv_py.backends.enphase.client import Answer
from nutdrv_py.backends.enphase.config import EnphaseConfig
from nutdrv_py.backends.enphase.jwt import Token
from nutdrv_py.core import lowbattery
from nutdrv_py.device.reading import Reading, Status
from nutdrv_py.errors import CommandError, DeviceError
from nutdrv_py.simulators.enphase import Fault
from tests.backends.enphase.conftest import PASSWORD, House, house
from tests.conftest import FakeClock
from tests.device.test_mapping import json_values


async def test_on_the_grid_everything_a_house_has_is_shown(tmp_path: Path) -> None:
    async with house(tmp_path, "split-phase") as h:
        h.sim.set(load=2000, pv=500, soc=80, policy="rest")
        shown = h.shown(await h.polls(3))
    expected = {
        "ups.status": "OL",
        "ups.mfr": "Enphase Energy", "ups.model": "IQ Gateway", "device.mfr": "Enphase Energy", "device.model": "IQ Gateway",
        "ups.serial": "122333444455", "device.serial": "122333444455",
        "battery.type": "LFP", "battery.voltage.nominal": "76.8", "battery.voltage.high": "86.4", "battery.voltage.low": "68.5",
        "battery.charge.low": "20", "battery.charge.restart": "10",
        "input.phases": "2", "output.phases": "2",
        "input.L1-L2.voltage": "240.0", "input.L1-N.voltage": "120.0", "output.L2-N.voltage": "120.0",
        "ups.realpower": "2000.0", "output.realpower": "2000.0",
        "experimental.pv.realpower": "500.0",
        "experimental.grid.state": "on-grid", "experimental.outage.detection": "possible",
        "experimental.controller.type": "ENPOWER", "experimental.relay.admin": "closed", "experimental.relay.oper": "closed",
        "battery.packs.bad": "0",
        "experimental.livedata.age": "0",
    }  # fmt: skip
    assert {name: shown.get(name) for name in expected} == expected
    assert float(shown["output.L1.realpower"]) + float(shown["output.L2.realpower"]) == pytest.approx(2000, abs=0.2)


async def test_load_and_runtime_are_computed_from_capacity_not_from_the_energy_left(tmp_path: Path) -> None:
    """2 packs of 5000 Wh and 3840 W, 80 % charge, very low limit 10 %, 2000 W: (8000 - 1000) Wh / 2000 W = 12600 s."""
    async with house(tmp_path) as h:
        h.sim.set(load=2000, pv=0, soc=80, policy="rest")
        shown = h.shown(await h.polls(2))
    assert shown["battery.charge"] == "80"
    assert shown["battery.capacity"] == "130.2"
    assert shown["experimental.battery.energy.capacity"] == "10000"
    assert shown["ups.realpower.nominal"] == "7680"
    assert shown["ups.load"] == "26.0"
    assert int(shown["battery.runtime"]) == pytest.approx(12600, abs=30)
    assert shown["battery.voltage"] == "82.8"


async def test_the_first_reading_has_every_variable_of_later_ones(tmp_path: Path) -> None:
    """Clients create their sensors from the first answer."""

    async def story(scenario: str) -> None:
        async with house(tmp_path / scenario, scenario) as h:
            (tmp_path / scenario).mkdir(exist_ok=True)
            first = h.shown(await h.poll())
            later = h.shown(await h.polls(30, 5))
        assert set(later) - set(first) == set()

    for scenario in ("online", "three-phase"):
        (tmp_path / scenario).mkdir()
        await story(scenario)


@pytest.mark.parametrize(
    ("grid", "state", "reason"),
    [
        ("outage", "outage", "grid outage"),
        ("island", "island", "islanded on command"),
        ("generator", "generator", "grid outage, generator running"),
    ],
)
async def test_off_the_grid_is_ob_and_the_reason_is_told_apart(tmp_path: Path, grid: str, state: str, reason: str) -> None:
    async with house(tmp_path) as h:
        await h.polls(2)
        h.sim.set(grid=grid, load=1500, soc=70)
        shown = h.shown(await h.poll())
        assert shown["ups.status"].split()[0] == "OB"
        assert shown["experimental.grid.state"] == state
        assert shown["input.transfer.reason"] == reason
        assert h.early, "the outage is published before the rest of the poll"
        assert Status.OB in h.early[-1].status
        h.sim.set(grid="on")
        assert h.shown(await h.poll())["ups.status"].split()[0] == "OL"


async def test_the_relay_about_to_close_is_still_on_battery(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.poll()
        h.sim.set(grid="outage")
        await h.poll()
        h.sim.set(grid="reclosing")
        shown = h.shown(await h.poll(2))
        assert shown["ups.status"].startswith("OB")
        assert shown["experimental.grid.state"] == "reconnecting"
        assert h.shown(await h.poll(20))["ups.status"].startswith("OL")


async def test_in_an_outage_load_and_runtime_stay_true_and_the_grid_side_is_zero_or_silent(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        h.sim.set(load=2000, pv=0, soc=60, policy="rest")
        await h.polls(2)
        h.sim.set(grid="outage")
        shown = h.shown(await h.polls(4))
    assert shown["ups.status"] == "OB DISCHRG"
    assert shown["ups.realpower"] == "2000.0"
    assert 8000 < int(shown["battery.runtime"]) < 9100
    assert shown["input.realpower"] == "0.0"
    assert "input.voltage" not in shown
    assert "input.frequency" not in shown
    assert shown["output.voltage"] == "230.0"
    assert shown["battery.charger.status"] == "discharging"
    assert float(shown["battery.current"]) > 0, "discharging is positive here"


async def test_sunshine_in_an_outage_is_ob_chrg(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.poll()
        h.sim.set(grid="outage", load=500, pv=3000, soc=60)
        assert h.shown(await h.polls(3))["ups.status"] == "OB CHRG"


async def _low(h: House, charge: float) -> str:
    await h.polls(2)
    h.sim.set(grid="outage", soc=charge, load=800, pv=0)
    await h.polls(28)  # a fall from 80 % is not believed at once
    return h.shown(await h.poll())["ups.status"]


@pytest.mark.parametrize(
    ("options", "charge", "low"),
    [
        ({}, 20, True),
        ({}, 24, False),
        ({"lowbatt": 40.0}, 39, True),
        ({"lowbatt": 5.0}, 15, False),
        ({"lowbatt": 1.0}, 12, False),
        ({"lowbatt": 1.0}, 11, True),
        ({"overrides": {"battery.charge.low": "0"}}, 11, True),
        ({"overrides": {"battery.charge.low": "50"}}, 49, True),
        ({"defaults": {"battery.charge.low": "30"}}, 29, True),
        ({"defaults": {"battery.runtime.low": "36000"}}, 60, True),
    ],
)
async def test_low_battery_is_at_the_mark_in_force(tmp_path: Path, options: dict[str, Any], charge: float, low: bool) -> None:
    async with house(tmp_path, **options) as h:
        status = await _low(h, charge)
        assert ("LB" in status.split()) is low, status


async def test_low_battery_never_stands_on_the_grid(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.poll()
        h.sim.set(soc=3, policy="rest", pv=0)
        assert "LB" not in h.shown(await h.polls(20))["ups.status"]


async def test_upsrw_moves_the_low_mark_and_lowbatt_fixes_it(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.poll()
        h.seen.written["battery.charge.low"] = 45.0
        assert h.shown(await h.poll())["battery.charge.low"] == "45"
        with pytest.raises(CommandError):
            await h.backend.set("battery.charge", "45")
    (tmp_path / "f").mkdir()
    async with house(tmp_path / "f", lowbatt=33.0) as h:
        assert h.shown(await h.poll())["battery.charge.low"] == "33"
        assert h.backend.writable == {}


async def test_zeros_after_a_restart_of_the_gateway_do_not_make_lb(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        h.sim.set(soc=80)
        await h.polls(2)
        h.sim.set(grid="outage")
        await h.polls(2)
        h.sim.set(soc=0)
        for _ in range(8):
            reading = await h.poll(5)
            assert Status.LB not in reading.status
            assert int(h.shown(reading)["battery.charge"]) > 70
        h.sim.set(soc=79)
        assert Status.LB not in (await h.poll()).status


async def test_ac_batteries_do_not_count_in_an_island(tmp_path: Path) -> None:
    """IQ Batteries at 12 %, AC Batteries at 95 %: the mean looks well, the house goes dark."""
    async with house(tmp_path, "ac-battery") as h:
        h.sim.set(soc=12, acb_soc=95)
        await h.polls(2)
        h.sim.set(grid="outage", load=800, pv=0)
        shown = h.shown(await h.polls(3))
    assert shown["experimental.battery.encharge.charge"] in ("11", "12")
    assert int(shown["battery.charge"]) > 12
    assert "LB" in shown["ups.status"]


async def test_over_is_more_than_the_batteries_can_give_in_an_island(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        weak = '{"inventory": {"serial_nums": {"1": {"device_type": 13, "encharge_rated_power": 1280}}}}'
        h.sim.faults["/ivp/ensemble/status"] = Fault("wrong-json", body=weak)
        h.sim.set(load=1500, pv=0, policy="rest")
        shown = h.shown(await h.polls(2))
        assert shown["ups.realpower.nominal"] == "1280"
        assert "OVER" not in shown["ups.status"]
        h.sim.set(grid="outage", soc=90)
        assert "OVER" in h.shown(await h.polls(2))["ups.status"]


async def test_alarms_are_only_what_endangers_the_backup_now(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        h.sim.set(packs_bad=1)
        shown = h.shown(await h.polls(2))
        assert shown["ups.status"] == "OL"
        assert shown["battery.packs.bad"] == "1"
        shown = h.shown(await h.polls(13, 301))
        assert shown["ups.status"] == "OL RB", "a pack that is missing for an hour wants replacement"
        h.sim.set(packs_bad=2)
        await h.polls(3, 301)
        assert h.shown(await h.poll(301))["ups.alarm"] == "[No battery is usable]"
        h.sim.set(packs_bad=0, shutdown=True)
        assert h.shown(await h.polls(4, 301))["ups.alarm"] == "[Battery system is shut down]"
        h.sim.set(shutdown=False, mid_communicating=False)
        shown = h.shown(await h.polls(4, 301))
        assert shown["ups.status"].startswith("ALARM OL")
        assert shown["ups.alarm"] == "[System Controller does not communicate]"


async def test_a_system_that_cannot_see_an_outage_says_so_once_and_loudly(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with house(tmp_path, "no-controller") as h:
        shown = h.shown(await h.polls(5))
        assert shown["experimental.outage.detection"].startswith("impossible")
        assert shown["ups.status"].startswith("OL")
    assert sum("CANNOT REPORT AN OUTAGE" in record.message for record in caplog.records) == 1


async def test_a_collar_sees_an_outage_as_a_system_controller_does(tmp_path: Path) -> None:
    async with house(tmp_path, "collar") as h:
        shown = h.shown(await h.poll())
        assert shown["experimental.controller.type"] == "COLLAR"
        assert shown["experimental.outage.detection"] == "possible"
        h.sim.set(grid="outage")
        assert h.shown(await h.poll())["ups.status"].startswith("OB")


async def test_no_batteries_means_no_battery_variables(tmp_path: Path) -> None:
    async with house(tmp_path, "no-batteries") as h:
        shown = h.shown(await h.polls(3))
    assert not {name for name in shown if name.startswith("battery.") and name not in ("battery.packs", "battery.packs.bad", "battery.charge.restart")}
    assert shown["battery.packs"] == "0"
    assert shown["ups.status"] == "OL"


async def test_without_meters_there_is_no_load_on_the_grid_but_there_is_one_in_an_outage(tmp_path: Path) -> None:
    async with house(tmp_path, "no-meters") as h:
        shown = h.shown(await h.polls(3))
        for name in ("ups.load", "ups.realpower", "input.realpower", "input.voltage", "output.realpower", "battery.runtime"):
            assert name not in shown
        h.sim.set(grid="outage", load=900, pv=0, soc=70)
        shown = h.shown(await h.polls(3))
        assert float(shown["ups.realpower"]) == pytest.approx(900, rel=0.05)
        assert "battery.runtime" in shown


async def test_disable_meters_asks_no_meters(tmp_path: Path) -> None:
    async with house(tmp_path, disable_meters=True) as h:
        await h.polls(3, 70)
        assert not any(request.path.startswith("/ivp/meters") for request in h.sim.requests)


async def test_three_phases_are_named_as_nut_names_them(tmp_path: Path) -> None:
    async with house(tmp_path, "three-phase") as h:
        h.sim.set(load=[1000, 600, 400], pv=0, policy="rest")
        shown = h.shown(await h.polls(2))
    assert shown["input.phases"] == "3"
    assert shown["input.voltage"] == "230.0"
    assert shown["input.L3-N.voltage"] == "230.0"
    assert [shown[f"output.L{n}.realpower"] for n in (1, 2, 3)] == ["1000.0", "600.0", "400.0"]


async def test_frozen_live_data_are_not_used_and_other_sources_serve(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with house(tmp_path, "frozen-livedata") as h:
        await h.polls(3)
        h.sim.set(soc=55, load=1234, pv=0, policy="rest")
        reading = await h.polls(40)
        shown = h.shown(reading)
        assert "livedata" not in reading.raw
        assert shown["battery.charge"] == "55"
        assert shown["ups.realpower"] == "1234.0", "the meters' total serves"
        # The stream is asked for again, but not with each poll.
        assert 2 <= h.asked("/ivp/livedata/stream") <= 8
    assert sum("livedata are frozen" in record.message for record in caplog.records) == 1


async def test_the_live_stream_is_kept_on(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        for _ in range(200):
            reading = await h.poll(30)
            assert h.sim.live.streaming
        assert "livedata" in reading.raw
        assert h.asked("/ivp/livedata/stream") == pytest.approx(200 * 30 / (13 * 60), abs=2)


async def test_the_gateway_is_asked_one_thing_at_a_time_within_the_budget(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.poll()
        first = len(h.sim.requests)
        await h.polls(12 * 60, 5)
        asked: dict[str, int] = {}
        for request in list(h.sim.requests)[first:]:
            asked[request.path] = asked.get(request.path, 0) + 1
        assert h.sim.most_parallel == 1
    hour = 12 * 60
    assert asked["/ivp/ensemble/relay"] == asked["/ivp/livedata/status"] == hour
    assert asked["/ivp/ensemble/secctrl"] == asked["/ivp/ensemble/power"] == asked["/ivp/meters/reports"] == pytest.approx(60, abs=1)
    assert asked["/ivp/ensemble/inventory"] == pytest.approx(12, abs=1)
    assert asked.get("/info", 0) == 0
    assert asked.get("/ivp/ensemble/status", 0) == 0
    assert not {path for path in asked if path in ("/production.json", "/home", "/inventory.json")}


async def test_the_relay_is_asked_first_in_each_poll(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.poll()
        for _ in range(70):
            before = len(h.sim.requests)
            await h.poll()
            assert h.sim.requests[before].path == "/ivp/ensemble/relay"


FAULTS = [
    Fault("reset"), Fault("truncated"), Fault("truncated-chunk"), Fault("html"), Fault("wrong-json"), Fault("empty"), Fault("hang"),
    Fault("hang-after-headers"), Fault("drip", seconds=0.5), *(Fault("status", status=s) for s in (401, 403, 404, 429, 502, 503, 504)),
]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.kind}{fault.status if fault.kind == 'status' else ''}")
@pytest.mark.parametrize("grid", ["on", "outage"])
async def test_a_relay_that_fails_is_a_failed_poll_and_never_a_status(tmp_path: Path, fault: Fault, grid: str, caplog: pytest.LogCaptureFixture) -> None:
    async with house(tmp_path, credentials=None) as h:
        h.sim.set(grid=grid)
        good = await h.polls(2)
        h.sim.faults["/ivp/ensemble/relay"] = fault
        if fault.kind == "status" and fault.status == 404:
            h.sim.faults["/ivp/ensemble/status"] = fault
        early = len(h.early)
        for _ in range(3):
            with pytest.raises(DeviceError):
                await h.poll(1)
        assert len(h.early) == early
        h.sim.faults.clear()
        assert (await h.poll(1)).status & (Status.OL | Status.OB) == good.status & (Status.OL | Status.OB)
    assert PASSWORD not in caplog.text


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.kind}{fault.status if fault.kind == 'status' else ''}")
async def test_any_other_endpoint_may_fail_without_touching_the_status(tmp_path: Path, fault: Fault) -> None:
    async with house(tmp_path) as h:
        for endpoint in ENDPOINTS:
            if endpoint.name != "info":
                h.sim.faults[endpoint.path] = fault
        # Without the rest the grid's state is there all the same, and no battery is low.
        first = await h.poll()
        assert str(first.status) == "OL"
        h.sim.set(grid="outage", soc=70)
        assert str((await h.poll()).status) in ("OB", "OB DISCHRG")
        h.sim.faults.clear()


async def test_a_failing_endpoint_is_logged_once_and_its_recovery_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with house(tmp_path) as h:
        await h.poll()
        h.sim.faults["/ivp/ensemble/secctrl"] = Fault("html")
        await h.polls(20, 61)
        h.sim.faults.clear()
        await h.polls(2, 61)
    messages = [record.message for record in caplog.records]
    assert sum("not JSON" in message for message in messages) == 1
    assert sum("secctrl is answered again" in message for message in messages) == 1


async def test_what_is_too_old_is_withdrawn(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        assert "battery.charge" in h.shown(await h.polls(2))
        for path in ("/ivp/ensemble/secctrl", "/ivp/livedata/status", "/ivp/ensemble/power", "/ivp/meters/reports"):
            h.sim.faults[path] = Fault("status", status=503)
        assert "battery.charge" in h.shown(await h.polls(40, 10)), "a charge is good for ten minutes"
        shown = h.shown(await h.polls(30, 10))
        assert "battery.charge" not in shown
        assert "ups.load" not in shown
        assert shown["ups.status"] == "OL"


async def test_on_battery_with_a_charge_that_nobody_tells_any_more_lb_still_comes(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        h.sim.set(soc=30, load=5000, pv=0)
        await h.polls(2)
        h.sim.set(grid="outage")
        await h.polls(3)
        for path in ("/ivp/ensemble/secctrl", "/ivp/livedata/status", "/ivp/ensemble/power", "/ivp/meters/reports"):
            h.sim.faults[path] = Fault("status", status=503)
        # 10 % of 10 kWh at 5 kW is 720 s.
        reading = await h.polls(60, 5)
        assert Status.LB not in reading.status
        reading = await h.polls(100, 5)
        assert Status.LB in reading.status


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_a_charge_that_was_refused_at_the_start_is_asked_for_with_each_full_poll_of_an_outage(tmp_path: Path, status: int) -> None:
    async with house(tmp_path) as h:
        h.sim.set(soc=15, load=500, pv=0)
        for path in ("/ivp/ensemble/secctrl", "/ivp/livedata/status", "/ivp/ensemble/power"):
            h.sim.faults[path] = Fault("status", status=status)
        await h.polls(30, 61)
        h.sim.set(grid="outage")
        reading = await h.polls(3)
        assert "battery.charge" not in reading.values
        asked = h.asked("/ivp/ensemble/secctrl")
        await h.polls(36)
        assert h.asked("/ivp/ensemble/secctrl") >= asked + 180 / 60
        h.sim.faults.clear()
        reading = await h.polls(13)
        assert Status.OB | Status.LB in reading.status


@pytest.mark.parametrize("fault", [Fault("hang"), Fault("status", status=503), Fault("status", status=404)])
async def test_a_gateway_that_is_known_by_its_certificate_tells_an_outage_before_it_says_who_it_is(tmp_path: Path, fault: Fault) -> None:
    async with house(tmp_path) as h:
        await h.polls(2)
        h.sim.faults["/info"] = fault
        h.sim.set(grid="outage")
        again = Enphase(h.backend.config, h.clock)
        try:
            assert Status.OB in (await again.poll()).status
            h.sim.faults.clear()
            h.clock.now += 61
            for _ in range(5):
                await again.poll()
            assert (await again.poll()).values["ups.firmware"], "who it is was asked for later"
        finally:
            await again.__aexit__(None, None, None)


async def test_a_gateway_that_was_never_met_is_given_no_token_before_it_says_who_it_is(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        h.sim.faults["/info"] = Fault("status", status=503)
        for _ in range(2):
            with pytest.raises(DeviceError):
                await h.poll()
        assert {request.path for request in h.sim.requests} == {"/info"}


async def test_absent_features_are_remembered_and_asked_again_after_the_gateway_was_away(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        h.sim.faults["/ivp/ensemble/power"] = Fault("status", status=404)
        h.sim.faults["/ivp/ensemble/inventory"] = Fault("status", status=401)
        await h.polls(20, 61)
        # After 1 and 10 minutes, then each hour: a stray answer must not hide a feature for good.
        assert h.asked("/ivp/ensemble/power") == 3
        assert h.asked("/ivp/ensemble/inventory") == 3
        h.sim.faults.clear()
        h.sim.set(offline=True)
        for _ in range(5):
            with pytest.raises(DeviceError):
                await h.poll(10)
        h.sim.set(offline=False)
        await h.polls(3, 61)
        assert h.asked("/ivp/ensemble/power") > 3
        assert h.asked("/info") == 2


async def test_a_gateway_without_its_own_relay_path_tells_it_elsewhere(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        h.sim.faults["/ivp/ensemble/relay"] = Fault("status", status=404)
        h.sim.set(grid="outage")
        assert "OB" in h.shown(await h.poll())["ups.status"]


@pytest.mark.parametrize("kind", ["reset", "refuse"])
async def test_one_reset_of_a_kept_connection_costs_nothing(tmp_path: Path, kind: str) -> None:
    async with house(tmp_path) as h:
        await h.poll()
        h.sim.faults["/ivp/ensemble/relay"] = Fault(kind, times=1)
        await h.poll()


async def test_a_slow_gateway_is_waited_for(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        h.sim.faults["*"] = Fault("delay", seconds=0.2)
        assert "battery.charge" in h.shown(await h.poll())


@pytest.mark.parametrize(
    ("scenario", "options", "sentence"),
    [
        ("old-firmware", {}, "batteries need firmware 7 or later"),
        ("wrong-serial", {"serial": "122333444455"}, "correct port or serial in ups.conf"),
        ("mfa", {}, "two-factor login"),
    ],
)
async def test_a_gateway_that_cannot_serve_says_why(tmp_path: Path, scenario: str, options: dict[str, Any], sentence: str) -> None:
    async with house(tmp_path, scenario, **options) as h:
        for _ in range(3):
            with pytest.raises(DeviceError, match=sentence):
                await h.poll()


async def test_nothing_secret_is_in_logs_variables_or_reprs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(1)
    secrets: list[str] = [PASSWORD]

    async def story() -> None:
        async with house(tmp_path) as h:
            reading = await h.polls(3)
            token = h.backend.session.authority.token
            assert token is not None
            secrets.append(token.text)
            shown = str(h.shown(reading)) + repr(token) + repr(h.backend.config) + repr(reading.raw)
            h.sim.set(forget_tokens=True, login="invalid")
            with pytest.raises(DeviceError) as caught:
                await h.poll()
            shown += str(caught.value) + repr(caught.value)
            assert not any(secret in shown for secret in secrets)
            assert h.sim.username not in shown

    await story()
    assert not any(secret in caplog.text for secret in secrets)


async def test_the_reading_carries_the_gateways_own_names_for_exporters(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        reading = await h.polls(2)
        assert {"relay", "livedata", "secctrl", "inventory"} <= set(reading.raw)


class Oracle:
    """A gateway connection that answers whatever the test wants."""

    def __init__(self, answers: dict[str, bytes]) -> None:
        self.answers = answers
        self.fingerprint = self.key = ""

    async def get(self, path: str, **more: object) -> Answer:
        return Answer(self.answers.get(path, b"null"), None)

    async def post(self, path: str, content: object, **more: object) -> Answer:
        return Answer(b"{}", None)

    async def close(self) -> None:
        pass


async def test_endpoints_that_hang_one_by_one_do_not_keep_the_relay_waiting(tmp_path: Path) -> None:
    """Each takes its 10 s: the relay is asked after at most one of them and the poll interval, and all have their turn."""
    clock = FakeClock()
    backend = Enphase(EnphaseConfig(ups="x", port="127.0.0.1", token="x", tokenfile=str(tmp_path / "t")), clock)
    asked: list[tuple[float, str]] = []

    class Slow(Oracle):
        async def get(self, path: str, **more: object) -> Answer:
            asked.append((clock.now, path))
            if path in ("/info", "/ivp/ensemble/relay"):
                return await super().get(path)
            clock.now += 10
            raise DeviceError(f"{path}: no answer within 10 s")

    good = b'{"mains_oper_state": "closed", "mains_admin_state": "closed"}'
    info = b"<device><sn>1</sn><software>D8.1.1</software></device>"
    backend.session.gateway = Slow({"/info": info, "/ivp/ensemble/relay": good})  # type: ignore[assignment]
    backend.session.authority.token = Token("a.b.c", "1", "owner", 0, clock.wall() + 1e7)
    for _ in range(30):
        began = clock.now
        assert str((await backend.poll()).status) == "OL"
        assert clock.now - began <= 10
        clock.now = max(clock.now, began + 5)
    assert {path for _, path in asked} >= {endpoint.path for endpoint in ENDPOINTS}


payloads = st.one_of(
    json_values.map(lambda value: __import__("json").dumps(value).encode()),
    st.binary(max_size=60),
    st.sampled_from([b"[" * 5000, b'{"a":NaN}', b"<html>", b'{"meters":{"soc":1e999}}', b"9" * 5000]),
)


@settings(max_examples=150)
@given(st.dictionaries(st.sampled_from([e.path for e in ENDPOINTS if e.name != "info"]), payloads), payloads, st.booleans())
async def test_any_json_from_any_endpoint_leaves_the_driver_serving(tmp_path: Path, answers: dict[str, bytes], relay: bytes, sane: bool) -> None:
    clock = FakeClock()
    config = EnphaseConfig(ups="x", port="127.0.0.1", token="x", tokenfile=str(tmp_path / "t"))
    backend = Enphase(config, clock)
    good = b'{"mains_oper_state": "closed", "mains_admin_state": "closed", "Enchg_grid_mode": "multimode-ongrid"}'
    info = b"<device><sn>1</sn><software>D8.1.1</software></device>"
    backend.session.gateway = Oracle({**answers, "/info": info, "/ivp/ensemble/relay": good if sane else relay})  # type: ignore[assignment]
    backend.session.authority.token = Token("a.b.c", "1", "owner", 0, clock.wall() + 1e7)
    for _ in range(3):
        clock.now += 61
        try:
            reading: Reading = await backend.poll()
        except DeviceError:
            assert not sane
            continue
        assert (Status.OL in reading.status) != (Status.OB in reading.status)
        assert Status.LB not in reading.status or Status.OB in reading.status
        lowbattery.coasted(reading, 30)
