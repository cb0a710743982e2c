# SPDX-License-Identifier: GPL-2.0-or-later
"""The driver's rules in time: staleness, coasting, what is published when, commands, reload. Time is moved by hand."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import ClassVar

import pytest

from nutdrv_py.core.driver import Driver
from nutdrv_py.core.freshness import FIRST_HOLD, FIRST_WAIT
from nutdrv_py.core.reload import EXIT_RELOAD, Reload
from nutdrv_py.core.requests import Requests
from nutdrv_py.core.settings import Settings
from nutdrv_py.core.variables import Marks, Shaper
from nutdrv_py.device.backend import Backend, Config, Writable, option
from nutdrv_py.device.reading import Decline, Reading, Status
from nutdrv_py.errors import AuthError, CommandError, ConfigError, DeviceError, Result, StaleError
from nutdrv_py.machine.paths import Paths
from nutdrv_py.nut.snapshot import Snapshot
from tests.conftest import FakeClock


class Device(Backend[Config]):
    """A device whose answers the test sets."""

    commands: ClassVar[frozenset[str]] = frozenset({"load.off", "test.fail"})

    def __init__(self, config: Config, clock: FakeClock) -> None:
        super().__init__(config, clock)
        self.answer: Reading | Exception | Callable[[], Awaitable[Reading]] = Reading({"battery.charge": 80}, Status.OL)
        self.polls = 0
        self.done: list[str] = []

    @property
    def writable(self) -> Mapping[str, Writable]:
        return {"battery.charge.low": Writable(ranges=((1, 99),))}

    async def poll(self) -> Reading:
        self.polls += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        if isinstance(self.answer, Reading):
            return self.answer
        return await self.answer()

    async def set(self, name: str, value: str) -> None:
        self.done.append(f"{name}={value}")
        if isinstance(self.answer, Reading):
            self.answer = dataclasses.replace(self.answer, values={**self.answer.values, name: int(value)})

    async def command(self, name: str, param: str | None) -> None:
        if name == "test.fail":
            raise DeviceError("the device did not answer")
        self.done.append(name if param is None else f"{name} {param}")


FALLING = Decline(load=3600.0, capacity=1000.0, low=20.0)
"""A tenth of a percent each second."""


class World:
    """A driver with its device, clock and listener."""

    def __init__(self, clock: FakeClock, *, maxage: int = 120, pollinterval: int = 5, load: Callable[[], Settings] | None = None, **more: object) -> None:
        lowbatt = more.pop("lowbatt", None)
        config = Config(port="x", ups="u", pollinterval=pollinterval, maxage=maxage, lowbatt=lowbatt)  # type: ignore[arg-type]
        paths = Paths(*[None] * 4)  # type: ignore[arg-type]
        self.settings = Settings("u", "nutdrv_py", "device", Device, config, paths, **more)  # type: ignore[arg-type]
        self.clock = clock
        self.device = Device(config, clock)
        self.driver = Driver(self.settings, self.device, clock)
        self.requests = Requests(self.driver, Reload(self.driver, load))
        self.history: list[Snapshot] = []
        self.driver.subscribe(lambda old, new: self.history.append(new))

    def value(self, name: str) -> str | None:
        found = self.driver.snapshot.variables.get(name)
        return found.value if found else None

    @property
    def status(self) -> str | None:
        return None if self.driver.snapshot.stale else self.value("ups.status")

    async def __aenter__(self) -> World:
        self.task = asyncio.ensure_future(self.driver.run())
        await self.clock.settle()
        return self

    async def __aexit__(self, *error: object) -> None:
        self.driver.stop(0, at_once=True)
        await self.task


async def test_a_poll_that_brings_nothing_new_changes_the_heartbeat_alone(clock: FakeClock) -> None:
    """Neither the variables nor the snapshot are made again."""
    async with World(clock) as world:
        await clock.advance(1)
        before, first = len(world.history), world.driver.snapshot
        # Other values that upsd sees as the same ones: another raw answer, another time.
        world.device.answer = Reading({"battery.charge": 80}, Status.OL, raw={"x": 1}, at=clock.now)
        await clock.advance(5)
        assert [snapshot.variables["driver.state"].value for snapshot in world.history[before:]] == ["updateinfo", "quiet"]
        now = world.driver.snapshot
        assert {name for name in now.variables if now.variables[name] is not first.variables[name]} <= {
            "driver.state", "driver.debug", "driver.flag.allow_killpower", "experimental.data.age",
        }  # fmt: skip
        assert now == first
        world.driver.refresh()
        assert world.driver.snapshot is now


async def test_a_value_that_has_become_a_secret_is_seen_no_more(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """What passed before is judged again when there are other secrets."""
    async with World(clock) as world:
        world.device.answer = Reading({"ups.id": "my-pass-word"}, Status.OL)
        await clock.advance(6)
        assert world.value("ups.id") == "my-pass-word"
        monkeypatch.setattr("nutdrv_py.log.hidden", lambda: ("my-pass-word",))
        await clock.advance(6)
        assert world.value("ups.id") is None


async def test_the_first_reading_makes_the_driver_ready(clock: FakeClock) -> None:
    async with World(clock) as world:
        assert world.driver.ready.is_set()
        assert world.status == "OL"


async def test_a_device_that_is_away_at_the_start_is_served_as_stale_and_recovers_by_itself(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    world = World(clock)
    world.device.answer = DeviceError("the gateway cannot be reached: Connection refused")
    async with world:
        assert world.driver.ready.is_set()
        assert world.driver.snapshot.stale
        await clock.advance(60)
        assert world.driver.snapshot.stale
        world.device.answer = Reading({"battery.charge": 80}, Status.OL)
        await clock.advance(5)
        assert world.status == "OL"
    assert [r.message for r in caplog.records].count("the gateway cannot be reached: Connection refused") == 1
    assert any("established again" in r.message for r in caplog.records)


async def test_a_device_that_hangs_at_the_start_does_not_delay_the_start_for_long(clock: FakeClock) -> None:
    world = World(clock)
    world.device.answer = lambda: asyncio.Event().wait()  # type: ignore[assignment]
    async with world:
        assert not world.driver.ready.is_set()
        await clock.advance(FIRST_WAIT + 1)
        assert world.driver.ready.is_set()
        assert world.driver.snapshot.stale


@pytest.mark.parametrize("seconds", [5, 85])
@pytest.mark.parametrize("status", [Status.OL, Status.OB])
async def test_a_gateway_lost_for_a_while_changes_nothing(clock: FakeClock, seconds: int, status: Status) -> None:
    """The nightly restart takes 30 to 85 s: neither stale (upsmon: OB and no data is critical) nor another status."""
    world = World(clock)
    world.device.answer = Reading({"battery.charge": 95}, status)
    async with world:
        world.device.answer = DeviceError("no answer")
        await clock.advance(seconds)
        assert world.status == str(status)
        world.device.answer = Reading({"battery.charge": 95}, status)
        await clock.advance(5)
        assert world.status == str(status)
    assert all(snapshot.variables["ups.status"].value == str(status) for snapshot in world.history if not snapshot.stale)
    assert not any(snapshot.stale for snapshot in world.history[2:])


@pytest.mark.parametrize("jump", [8 * 3600.0, -3600.0, 86400.0 * 400])
@pytest.mark.parametrize("status", [Status.OL, Status.OB])
async def test_a_host_that_was_suspended_or_whose_clock_was_set_serves_what_it_knows_until_the_next_poll(clock: FakeClock, status: Status, jump: float) -> None:
    """CLOCK_MONOTONIC stands while a host sleeps; data that were good before are no reason to shut it down as it wakes."""
    world = World(clock)
    world.device.answer = Reading({"battery.charge": 50}, status, decline=FALLING)
    async with world:
        world.device.answer = DeviceError("the network is not up yet")
        clock.wall_offset += jump
        await clock.advance(60)
        assert world.status == str(status)
        world.device.answer = Reading({"battery.charge": 49}, Status.OL)
        await clock.advance(5)
        assert world.status == "OL"
    assert not any(snapshot.stale or "LB" in snapshot.variables["ups.status"].value for snapshot in world.history[2:])


@pytest.mark.parametrize("status", [Status.OL, Status.OB])
async def test_a_gateway_lost_for_ten_minutes_is_stale_after_maxage_and_comes_back(clock: FakeClock, status: Status) -> None:
    world = World(clock, maxage=120)
    world.device.answer = Reading({"battery.charge": 95}, status)
    async with world:
        world.device.answer = DeviceError("no answer")
        await clock.advance(119)
        assert not world.driver.snapshot.stale
        await clock.advance(3)
        assert world.driver.snapshot.stale
        assert world.driver.reading is None
        await clock.advance(480)
        assert world.driver.snapshot.stale
        world.device.answer = Reading({"battery.charge": 94}, Status.OL)
        await clock.advance(5)
        assert world.status == "OL"


@pytest.mark.parametrize(
    ("status", "alarms", "at_once"),
    [
        (Status.OL, (), True), (Status.OB, (), True), (Status.OB | Status.LB, ("Replace battery",), True),
        (Status.OL, ("Replace battery",), False), (Status.OL | Status.CAL, (), False), (Status.OL | Status.OVER, (), False),
    ],
)  # fmt: skip
async def test_a_device_that_says_its_data_are_stale_is_believed_but_never_with_an_alarm_on_the_grid(
    clock: FakeClock, status: Status, alarms: tuple[str, ...], at_once: bool
) -> None:
    async with World(clock) as world:
        world.device.answer = good = Reading({"battery.charge": 50}, status, alarms)
        await clock.advance(5)
        world.device.answer = StaleError("its driver does not reach the UPS")
        await clock.advance(7.5)
        assert world.driver.snapshot.stale is at_once
        await clock.advance(120)
        assert world.driver.snapshot.stale
        assert all("ALARM" not in snapshot.variables["ups.status"].value for snapshot in world.history[-1:]) or at_once
        world.device.answer = good
        await clock.advance(6)
        assert not world.driver.snapshot.stale


@pytest.mark.parametrize(("maxage", "pollinterval"), [(2, 1), (5, 2), (15, 5), (120, 5)])
@pytest.mark.parametrize(("status", "alarms"), [(Status.OL, ("Replace battery",)), (Status.OL | Status.CAL, ()), (Status.OL | Status.OVER, ())])
async def test_upsmon_sees_an_alarm_on_the_grid_go_before_the_data_go_stale_however_short_maxage_is(
    clock: FakeClock, status: Status, alarms: tuple[str, ...], maxage: int, pollinterval: int
) -> None:
    """upsmon 2.8.3 takes a UPS that had an alarm and then went stale for dead; it looks every 5 s."""
    async with World(clock, maxage=maxage, pollinterval=pollinterval) as world:
        world.device.answer = Reading({}, status, alarms)
        await clock.advance(2 * pollinterval)
        assert world.status is not None
        assert world.status != "OL"
        world.device.answer = DeviceError("away")
        quiet = 0.0
        for _ in range(2 * maxage + 60):
            await clock.advance(0.5)
            quiet += 0.5 * (world.status == "OL")
            if world.driver.snapshot.stale:
                break
        assert world.driver.snapshot.stale
        assert quiet >= 6


async def test_data_go_stale_on_time_although_a_poll_hangs(clock: FakeClock) -> None:
    world = World(clock, maxage=15, pollinterval=2)
    async with world:
        world.device.answer = lambda: asyncio.Event().wait()  # type: ignore[assignment]
        await clock.advance(20)
        assert world.driver.snapshot.stale


async def test_while_blind_on_battery_the_charge_counts_down_and_lb_comes(clock: FakeClock) -> None:
    world = World(clock)
    world.device.answer = Reading({"battery.charge": 24, "battery.runtime": 600}, Status.OB | Status.DISCHRG, decline=FALLING)
    async with world:
        world.device.answer = DeviceError("no answer")
        await clock.advance(20)
        assert world.status == "OB DISCHRG"
        assert world.value("battery.charge") == "22"
        assert world.value("battery.runtime") == "580"
        await clock.advance(30)
        assert world.status == "OB LB DISCHRG"
        world.device.answer = Reading({"battery.charge": 23, "battery.runtime": 500}, Status.OB | Status.DISCHRG, decline=FALLING)
        await clock.advance(5)
        assert world.status == "OB DISCHRG"


async def test_alarms_are_withdrawn_on_the_grid_before_data_go_stale(clock: FakeClock) -> None:
    """upsmon 2.8.3+ takes a UPS that had an alarm (or CAL, BYPASS) and then goes silent for dead and shuts down."""
    world = World(clock, maxage=120)
    world.device.answer = Reading({}, Status.OL | Status.CAL, ("No battery is usable",))
    async with world:
        assert world.status == "ALARM OL CAL"
        world.device.answer = DeviceError("no answer")
        await clock.advance(50)
        assert world.status == "ALARM OL CAL"
        await clock.advance(20)
        assert world.status == "OL"
        assert world.value("ups.alarm") is None
        await clock.advance(60)
        assert world.driver.snapshot.stale


@pytest.mark.parametrize(("pollinterval", "maxage"), [(2, 4), (2, 7), (3, 8), (5, 10), (2, 60)])
async def test_alarms_are_gone_before_data_go_stale_however_short_maxage_is(clock: FakeClock, pollinterval: int, maxage: int) -> None:
    world = World(clock, pollinterval=pollinterval, maxage=maxage)
    world.device.answer = Reading({}, Status.OL | Status.CAL, ("Overtemperature",))
    async with world:
        await clock.advance(pollinterval * 5)
        assert world.status == "ALARM OL CAL", "they stay while polls come"
        world.device.answer = DeviceError("no answer")
        while not world.driver.snapshot.stale:
            before = world.status
            await clock.advance(1)
        assert before == "OL"


async def test_a_backend_that_has_news_is_polled_at_once(clock: FakeClock) -> None:
    world = World(clock, pollinterval=5)
    async with world:
        world.device.answer = Reading({}, Status.OB)
        await clock.advance(1)
        assert world.status == "OL"
        world.device.wake()
        await clock.settle()
        assert world.status == "OB"
        polls = world.device.polls
        await clock.advance(4)
        assert world.device.polls == polls
        await clock.advance(1)
        assert world.device.polls == polls + 1


async def test_news_that_come_during_a_poll_make_another_one(clock: FakeClock) -> None:
    world = World(clock, pollinterval=5)

    async def slow() -> Reading:
        await clock.sleep(1)
        world.device.answer = Reading({}, Status.OB)
        return Reading({}, Status.OL)

    world.device.answer = slow
    async with world:
        await clock.advance(0.5)
        world.device.wake()
        await clock.advance(0.6)
        assert world.status == "OB"
        assert world.device.polls == 2


async def test_alarms_stay_on_battery(clock: FakeClock) -> None:
    world = World(clock)
    world.device.answer = Reading({"battery.charge": 90}, Status.OB, ("x",))
    async with world:
        world.device.answer = DeviceError("no answer")
        await clock.advance(100)
        assert world.status == "ALARM OB"


async def test_what_vanishes_from_a_reading_vanishes_from_upsd(clock: FakeClock) -> None:
    world = World(clock)
    world.device.answer = Reading({"battery.charge": 80, "ups.load": 5}, Status.OL)
    async with world:
        assert world.value("ups.load") == "5"
        world.device.answer = Reading({"battery.charge": 80}, Status.OL)
        await clock.advance(5)
        assert world.value("ups.load") is None


@pytest.mark.parametrize("status", [Status(0), Status.CHRG, Status.OL | Status.OB, Status.OL | Status.OB | Status.LB])
async def test_an_impossible_status_is_never_published(clock: FakeClock, status: Status) -> None:
    world = World(clock)
    async with world:
        world.device.answer = Reading({}, status)
        await clock.advance(10)
        assert world.status == "OL"


@pytest.mark.parametrize("error", [ValueError("bug"), KeyError("x"), RecursionError(), AssertionError()])
async def test_a_bug_in_a_backend_is_a_failed_poll_logged_once(clock: FakeClock, error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    world = World(clock)
    async with world:
        world.device.answer = error
        await clock.advance(50)
        assert world.status == "OL"
        await clock.advance(100)
        assert world.driver.snapshot.stale
    assert sum("internal error in the backend" in record.message for record in caplog.records) == 1


async def test_an_early_outage_is_published_before_the_poll_ends(clock: FakeClock) -> None:
    world = World(clock)
    async with world:

        async def slow() -> Reading:
            world.device.publish(Reading({"battery.charge": 80}, Status.OB))
            await clock.sleep(30)
            return Reading({"battery.charge": 80}, Status.OB)

        world.device.answer = slow
        await clock.advance(6)
        assert world.status == "OB"


async def test_at_the_start_an_incomplete_reading_on_the_grid_waits_for_the_rest_but_an_outage_does_not(clock: FakeClock) -> None:
    """Clients such as Home Assistant create sensors only for what is there at first; an outage cannot wait for that."""

    async def story(status: Status, expected: str | None) -> None:
        world = World(clock)

        async def slow() -> Reading:
            world.device.publish(Reading({}, status))
            await clock.sleep(50)
            return Reading({"battery.charge": 80}, status)

        world.device.answer = slow
        async with world:
            await clock.advance(2)
            assert world.status == expected
            await clock.advance(FIRST_HOLD)
            assert world.status == str(status)

    await story(Status.OL, None)
    await story(Status.OB, "OB")


async def test_each_poll_tells_its_state_as_a_heartbeat(clock: FakeClock) -> None:
    world = World(clock)
    async with world:
        del world.history[:]
        await clock.advance(5)
        assert [s.variables["driver.state"].value for s in world.history] == ["updateinfo", "quiet"]
    assert [s.variables["driver.state"].value for s in world.history][-2:] == ["cleanup.upsdrv", "cleanup.exit"]


async def test_polls_keep_their_rhythm(clock: FakeClock) -> None:
    world = World(clock, pollinterval=5)

    async def slow() -> Reading:
        await clock.sleep(3)
        return Reading({}, Status.OL)

    world.device.answer = slow
    async with world:
        await clock.advance(49)
        assert world.device.polls == 10


@pytest.mark.parametrize(
    ("name", "value", "result"),
    [
        ("driver.debug", "-1", Result.HANDLED),
        ("driver.debug", " 3 ", Result.HANDLED),
        ("driver.debug", "foo", Result.INVALID),
        ("driver.flag.allow_killpower", "junk", Result.HANDLED),
        ("ups.status", "OB LB", Result.INVALID),
        ("driver.name", "x", Result.INVALID),
        ("battery.charge.low", "30", Result.HANDLED),
        ("BATTERY.charge.LOW", "30", Result.HANDLED),
        ("battery.charge.low", "0", Result.INVALID),
        ("battery.charge.low", "100", Result.INVALID),
        ("battery.charge.low", "x", Result.INVALID),
        ("no.such.thing", "1", Result.UNKNOWN),
        ("Driver.Debug", "1", Result.INVALID),
    ],
)
async def test_set_checks_again_what_upsd_would_have_checked(clock: FakeClock, name: str, value: str, result: Result) -> None:
    world = World(clock)
    world.device.answer = Reading({"battery.charge.low": 20}, Status.OL)
    async with world:
        assert await world.requests.set(name, value) is result


@pytest.mark.parametrize(
    ("value", "flag"),
    [("1", "1"), ("5", "1"), ("enable", "1"), ("enabled!", "1"), ("true", "1"), ("YES", "1"), ("0", "0"), ("off", "0"), ("-1", "0")],
)
async def test_allow_killpower_understands_what_main_c_does(clock: FakeClock, value: str, flag: str) -> None:
    async with World(clock) as world:
        await world.requests.set("driver.flag.allow_killpower", value)
        assert world.value("driver.flag.allow_killpower") == flag


async def test_a_setting_is_shown_at_once(clock: FakeClock) -> None:
    world = World(clock)
    world.device.answer = Reading({"battery.charge.low": 20}, Status.OL)
    async with world:
        await world.requests.set("battery.charge.low", "35")
        await clock.settle()
        assert world.value("battery.charge.low") == "35"
        assert world.device.done == ["battery.charge.low=35"]


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("load.off", Result.HANDLED),
        ("LOAD.OFF", Result.HANDLED),
        ("test.fail", Result.FAILED),
        ("no.such", Result.UNKNOWN),
        ("DRIVER.EXIT", Result.UNKNOWN),
        ("driver.killpower", Result.INVALID),
        ("shutdown.default", Result.FAILED),
        ("driver.reload-or-restart", Result.UNKNOWN),
    ],
)
async def test_instant_commands_answer_with_nuts_codes(clock: FakeClock, name: str, result: Result) -> None:
    async with World(clock) as world:
        assert await world.requests.instcmd(name, None) is result


async def test_driver_exit_ends_the_driver_with_0(clock: FakeClock) -> None:
    async with World(clock) as world:
        await clock.advance(10)
        assert await world.requests.instcmd("driver.exit", None) is Result.HANDLED
        assert await asyncio.wait_for(asyncio.shield(world.task), 5) == 0


async def test_killpower_runs_the_sdcommands_and_ends_the_driver_only_when_one_worked(clock: FakeClock) -> None:
    async def story(sdcommands: tuple[str, ...], result: Result) -> None:
        async with World(clock, sdcommands=sdcommands) as world:
            await world.requests.set("driver.flag.allow_killpower", "1")
            assert await world.requests.instcmd("driver.killpower", None) is result
            await clock.settle()
            assert world.task.done() is (result is Result.HANDLED)
            if result is Result.HANDLED:
                assert world.device.done == ["load.off"]

    await story(("test.fail", "load.off"), Result.HANDLED)
    await story(("test.fail",), Result.FAILED)
    await story(("shutdown.default", "load.off"), Result.FAILED)


def _reloading(world_settings: Callable[[Settings], Settings | Exception]) -> tuple[list[Settings], Callable[[], Settings]]:
    base: list[Settings] = []

    def load() -> Settings:
        found = world_settings(base[0])
        if isinstance(found, Exception):
            raise found
        return found

    return base, load


async def test_a_reload_changes_what_it_can_without_a_gap(clock: FakeClock) -> None:
    base, load = _reloading(lambda s: dataclasses.replace(s, config=dataclasses.replace(s.config, pollinterval=1, maxage=7), debug_min=2))
    world = World(clock, load=load)
    base.append(world.settings)
    async with world:
        del world.history[:]
        assert await world.requests.instcmd("driver.reload-or-error", None) is Result.HANDLED
        await clock.advance(0.1)
        assert world.value("driver.debug") == "2"
        polls = world.device.polls
        await clock.advance(10)
        assert world.device.polls >= polls + 9
        assert not any(snapshot.stale for snapshot in world.history)
        assert {"reloading", "quiet"} <= {s.variables["driver.state"].value for s in world.history}


async def test_a_reload_that_needs_a_restart_says_so_in_three_ways(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    base, load = _reloading(lambda s: dataclasses.replace(s, group="other"))
    world = World(clock, load=load)
    base.append(world.settings)
    async with world:
        assert await world.requests.instcmd("driver.reload-or-error", None) is Result.INVALID
        assert await world.requests.instcmd("driver.reload", None) is Result.HANDLED
        await clock.settle()
        assert not world.task.done()
        assert await world.requests.instcmd("driver.reload-or-exit", None) is Result.HANDLED
        await clock.advance(10)
        assert await world.task == EXIT_RELOAD
    assert any("only a restart takes it over: group" in record.message for record in caplog.records)


async def test_a_broken_configuration_is_not_taken_over_and_never_ends_the_driver(clock: FakeClock) -> None:
    base, load = _reloading(lambda s: ConfigError("ups.conf:3: nonsense"))
    world = World(clock, load=load)
    base.append(world.settings)
    async with world:
        assert await world.requests.instcmd("driver.reload-or-error", None) is Result.INVALID
        assert await world.requests.instcmd("driver.reload-or-exit", None) is Result.HANDLED
        await clock.advance(20)
        assert not world.task.done()
        assert world.status == "OL"


@pytest.mark.parametrize("wrong", [None, OSError("no disk"), RecursionError(), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x")])
@pytest.mark.parametrize("command", ["driver.reload", "driver.reload-or-exit", "driver.reload-or-error"])
async def test_a_reload_that_cannot_be_done_is_a_line_in_the_log(
    clock: FakeClock, caplog: pytest.LogCaptureFixture, command: str, wrong: Exception | None
) -> None:
    base, load = _reloading(lambda s: wrong or s)
    world = World(clock, load=load if wrong is not None else None)
    base.append(world.settings)
    unseen: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: unseen.append(context))
    async with world:
        for _ in range(2):
            await world.requests.instcmd(command, None)
            await clock.advance(5)
        assert not world.task.done()
        assert world.status == "OL"
    gc.collect()
    assert not unseen
    assert any(f"INSTCMD {command}" in record.message for record in caplog.records)


async def test_a_command_error_of_the_device_is_answered_with_its_code(clock: FakeClock) -> None:
    world = World(clock)
    async with world:

        async def refuse(name: str, param: str | None) -> None:
            raise CommandError("not now", Result.INVALID)

        world.device.command = refuse  # type: ignore[method-assign]
        assert await world.requests.instcmd("load.off", "5") is Result.INVALID


async def test_a_command_or_setting_that_hangs_does_not_keep_the_polls_away(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nutdrv_py.core.poller.COMMAND_LIMIT", 0.05)
    async with World(clock) as world:

        async def hang(*words: object) -> None:
            await asyncio.Event().wait()

        world.device.command = world.device.set = hang  # type: ignore[method-assign,assignment]
        world.device.answer = Reading({"battery.charge.low": 20}, Status.OL)
        await clock.advance(5)
        assert await world.requests.instcmd("load.off", None) is Result.FAILED
        assert await world.requests.set("battery.charge.low", "30") is Result.FAILED
        polls = world.device.polls
        await clock.advance(10)
        assert world.device.polls > polls


@pytest.mark.parametrize("error", [SystemExit(0), KeyboardInterrupt()], ids=["exit", "interrupt"])
async def test_a_backend_that_wants_to_end_the_process_has_failed_a_poll(error: BaseException, clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    async def ends() -> Reading:
        raise error

    async with World(clock) as world:
        world.device.answer = ends
        await clock.advance(20)
        assert not world.task.done()
        assert world.status == "OL"
        world.device.answer = Reading({}, Status.OB)
        await clock.advance(5)
        assert world.status == "OB"
    assert "it called sys.exit or the like" in caplog.text


async def test_a_time_of_the_wall_clock_makes_no_reading_that_never_ages(clock: FakeClock) -> None:
    async with World(clock) as world:
        world.device.answer = Reading({}, Status.OL, at=clock.wall())
        await clock.advance(200)
        assert world.driver.snapshot.stale
        world.device.answer = Reading({}, Status.OB, at=clock.monotonic() + 30)
        await clock.advance(5)
        assert world.status == "OB", "the clock of a device may be ahead"


@pytest.mark.parametrize("how", ["cancel", "left over", "value"])
async def test_no_bug_of_a_backend_ends_the_driver(clock: FakeClock, how: str) -> None:
    async with World(clock) as world:
        if how == "cancel":

            async def cancelled() -> Reading:
                raise asyncio.CancelledError

            world.device.answer = cancelled
        elif how == "left over":

            async def left_over() -> Reading:
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
                await asyncio.sleep(0)
                raise AssertionError

            world.device.answer = left_over
        else:
            world.device.answer = Reading({"battery.charge": float("nan"), "ups.load": None, "ups.id": object()}, Status.OL)  # type: ignore[dict-item]
        await clock.advance(60)
        assert not world.task.done()
        assert world.status == "OL"
        assert world.value("battery.charge") in (None, "80")


async def test_lb_of_a_coasted_reading_survives_a_reload_and_a_setting(clock: FakeClock) -> None:
    base, load = _reloading(lambda s: dataclasses.replace(s, debug_min=1))
    world = World(clock, load=load)
    base.append(world.settings)
    world.device.answer = Reading({"battery.charge": 22, "battery.charge.low": 20}, Status.OB, decline=FALLING)
    async with world:
        world.device.answer = DeviceError("no answer")
        await clock.advance(40)
        assert world.status == "OB LB"
        await world.requests.instcmd("driver.reload-or-error", None)
        await world.requests.set("battery.charge.low", "15")
        await clock.settle()
        assert all(s.variables["ups.status"].value != "OB" for s in world.history[-6:])


async def test_ignorelb_without_a_low_mark_does_not_start(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    world = World(clock, ignorelb=True)
    async with world:
        assert await world.task == 1
        assert not world.driver.ready.is_set()
    good = World(FakeClock(), ignorelb=True, overrides={"battery.charge.low": "30"})
    async with good:
        assert good.driver.ready.is_set()
    assert "no way to determine the battery state of charge" in caplog.text


async def test_the_summary_is_a_sentence_for_systemd(clock: FakeClock) -> None:
    async with World(clock) as world:
        await clock.advance(2)
        assert world.driver.summary() == "OL 80 %, data 2 s old"
        world.device.answer = DeviceError("x")
        await clock.advance(300)
        assert world.driver.summary().startswith("data stale for ")


@pytest.mark.parametrize(
    ("status", "alarms", "least", "most"),
    [
        (Status.OL, (), 0, 0), (Status.OL, ("hot",), 7, 8), (Status.OL | Status.CAL, (), 7, 8), (Status.OL | Status.OFF, (), 7, 8),
        (Status.OB, (), 0, 0), (Status.OB | Status.LB, ("hot",), 0, 0),
    ],
)  # fmt: skip
async def test_an_orderly_end_waits_until_upsmon_holds_nothing_against_it(
    clock: FakeClock, status: Status, alarms: tuple[str, ...], least: float, most: float
) -> None:
    world = World(clock)
    world.device.answer = Reading({"battery.charge": 50}, status, alarms)
    async with world:
        await clock.advance(30)
        await world.requests.instcmd("driver.exit", None)
        await clock.settle()
        if Status.OL in status:
            assert world.status == "OL"
        took = 0.0
        while not world.task.done() and took < 30:
            await clock.advance(0.5)
            took += 0.5
        assert least <= took <= most + 0.5


async def test_a_second_signal_ends_the_driver_at_once(clock: FakeClock) -> None:
    world = World(clock)
    world.device.answer = Reading({}, Status.OL, ("hot",))
    async with world:
        await clock.advance(30)
        world.driver.stop()
        await clock.settle()
        assert not world.task.done()
        world.driver.stop()
        await clock.settle()
        assert world.task.done()


async def test_the_low_mark_of_a_backend_that_knows_none_is_set_by_any_way(clock: FakeClock) -> None:
    async def story(settings: dict[str, object], expected: str) -> None:
        world = World(clock, **settings)  # type: ignore[arg-type]
        world.device.answer = Reading({"battery.charge": 25, "battery.runtime": 100}, Status.OB)
        async with world:
            await clock.advance(30)
            assert world.status == expected

    for settings, expected in (
        ({}, "OB"),
        ({"lowbatt": 30}, "OB LB"),
        ({"overrides": {"battery.charge.low": "30"}}, "OB LB"),
        ({"defaults": {"battery.charge.low": "30"}}, "OB LB"),
        ({"defaults": {"battery.runtime.low": "120"}}, "OB LB"),
        ({"overrides": {"battery.charge.low": "20"}, "lowbatt": 30}, "OB"),
    ):
        await story(settings, expected)  # type: ignore[arg-type]


async def test_upsrw_sets_the_mark_of_a_backend_that_reckons_one(clock: FakeClock) -> None:
    before = Device.writable
    try:
        world = World(clock)
        world.device.answer = Reading({"battery.charge": 25}, Status.OB, decline=Decline(low=20.0, warning=10.0))
        type(world.device).writable = property(lambda self: {})  # type: ignore[assignment,method-assign]
        async with world:
            assert (world.status, world.value("battery.charge.low"), world.value("battery.charge.warning")) == ("OB", "20", "30")
            assert await world.requests.set("battery.charge.low", "30") is Result.HANDLED
            assert (world.status, world.value("battery.charge.low"), world.value("battery.charge.warning")) == ("OB LB", "30", "40")
    finally:
        Device.writable = before  # type: ignore[method-assign]


async def test_off_the_grid_without_any_low_mark_is_said_once_and_shown(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    world = World(clock)
    world.device.answer = Reading({"ups.load": 5}, Status.OB)
    async with world:
        await clock.advance(30)
        assert (world.value("experimental.lowbattery.detection") or "").startswith("impossible")
    assert caplog.text.count("NO LOW BATTERY CAN BE SEEN") == 1


async def test_a_login_that_is_refused_for_good_is_not_tried_again_and_again_but_after_a_reload(clock: FakeClock) -> None:
    base, load = _reloading(lambda s: dataclasses.replace(s, debug_min=1))
    world = World(clock, pollinterval=1, load=load)
    base.append(world.settings)
    world.device.answer = AuthError("wrong password", rejected=True)
    async with world:
        await clock.advance(50)
        assert world.device.polls == 1
        await clock.advance(3600)
        assert world.device.polls <= 7
        polls = world.device.polls
        await world.requests.instcmd("driver.reload-or-error", None)
        await clock.settle()
        assert world.device.polls == polls + 1


async def test_a_reading_ages_from_when_it_was_taken(clock: FakeClock) -> None:
    async with World(clock, maxage=20, pollinterval=1) as world:
        world.device.answer = Reading({"battery.charge": 5}, Status.OB, at=clock.now)
        await clock.advance(19)
        assert not world.driver.snapshot.stale
        await clock.advance(3)
        assert world.driver.snapshot.stale, "a backend that hands over the same old value"
        world.device.answer = Reading({"battery.charge": 5}, Status.OB, at=float("-inf"))
        await clock.advance(3)
        assert world.driver.snapshot.stale


async def test_a_retained_message_of_unknown_age_says_nothing_at_the_start(clock: FakeClock) -> None:
    world = World(clock, lowbatt=20)
    world.device.answer = Reading({"battery.charge": 5}, Status.OB, at=float("-inf"))
    async with world:
        await clock.advance(30)
        assert world.driver.snapshot.stale
        assert world.value("ups.status") is None


async def test_what_is_no_data_is_dropped_counted_and_said_once_and_the_grid_stays(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    async with World(clock) as world:
        values = {"battery.charge": 250, "battery.runtime": -5, 'x 1\nSETINFO ups.status "OB LB"': 1, "ups.alarm": "x", "ups.id": "me"}
        world.device.answer = Reading(values, Status.OL | Status.LB | Status.FSD)  # type: ignore[arg-type]
        await clock.advance(50)
        assert world.status == "OL"
        assert world.value("ups.id") == "me"
        assert world.value("battery.charge") is None
        assert world.driver.poller.dropped["battery.charge"] == 10
    assert caplog.text.count("battery.charge from the backend is dropped") == 1


@pytest.mark.parametrize("how", ["exit", "thread of execution"])
async def test_a_backend_that_calls_sys_exit_is_a_failed_poll_with_a_line(clock: FakeClock, caplog: pytest.LogCaptureFixture, how: str) -> None:
    async def leave() -> Reading:
        sys.exit(3)

    async with World(clock) as world:
        world.device.answer = leave
        await clock.advance(20)
        assert not world.task.done()
        assert world.status == "OL"
    assert caplog.text.count("it called sys.exit") == 1


async def test_no_secret_of_the_configuration_leaves_the_driver(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    @dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
    class Secretive(Config):
        password: str = option("x", sensitive=True, default="hunter2 secret")

    world = World(clock)
    settings = dataclasses.replace(world.settings, config=Secretive(port="x", pollinterval=5, maxage=120))
    world.driver = Driver(settings, world.device, clock)
    world.driver.subscribe(lambda old, new: world.history.append(new))
    async with world:
        world.device.answer = Reading({"ups.id": "my hunter2 secret", "ups.contacts": "x"}, Status.OL)
        await clock.advance(5)
        assert world.value("ups.id") is None
        assert world.value("ups.contacts") == "x"
        for error in (ValueError("https://u:hunter2 secret@host"), DeviceError("refused: hunter2 secret"), KeyError("hunter2%20secret")):
            world.device.answer = error
            await clock.advance(5)
    assert "***" in caplog.text
    assert "hunter2" not in caplog.text


async def test_a_mark_that_would_never_be_reached_is_said_once(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    world = World(clock, lowbatt=5)
    world.device.answer = Reading({"battery.charge": 12}, Status.OB, decline=Decline(low=15.0, cutoff=10.0))
    async with world:
        await clock.advance(20)
        assert world.status == "OB"
        world.device.answer = Reading({"battery.charge": 11}, Status.OB, decline=Decline(low=15.0, cutoff=10.0))
        await clock.advance(5)
        assert world.status == "OB LB"
    (said,) = [record.message for record in caplog.records if "would be too late" in record.message]
    assert "LB comes at 11 %" in said


class _Odd(Device):
    """A backend whose offers are wrong from the second poll on."""

    wrong: str = ""

    @property
    def writable(self) -> Mapping[str, Writable]:
        if self.polls < 2:
            return {}
        if self.wrong == "raises":
            raise KeyError("model")
        return {"no mapping": None, "no rule": {"battery.charge": 5}, "empty rule": {"battery.charge": Writable()}}.get(self.wrong, {})  # type: ignore[return-value]

    @property
    def commands(self) -> frozenset[str]:  # type: ignore[override]
        if self.polls >= 2 and self.wrong == "commands raise":
            raise KeyError("model")
        return frozenset({7, "load.off", 'x\nSETINFO ups.status "OB LB"'}) if self.wrong == "commands" else frozenset()  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", ["raises", "no mapping", "no rule", "empty rule", "commands", "commands raise"])
async def test_whatever_a_backend_offers_an_outage_is_served_and_silence_goes_stale(clock: FakeClock, wrong: str) -> None:
    world = World(clock, maxage=20)
    world.device = _Odd(world.settings.config, clock)
    world.device.wrong = wrong
    world.driver = Driver(world.settings, world.device, clock)
    world.requests = Requests(world.driver, Reload(world.driver))
    async with world:
        world.device.answer = Reading({"battery.charge": 50}, Status.OB)
        await clock.advance(10)
        assert world.status == "OB"
        assert await world.requests.set("battery.charge", "5") is Result.INVALID
        world.device.answer = DeviceError("away")
        await clock.advance(40)
        assert world.driver.snapshot.stale


@pytest.mark.parametrize(
    "decline",
    [
        Decline(load="abc", capacity=1000.0),  # type: ignore[arg-type]
        Decline(load=1000.0, capacity="x"),  # type: ignore[arg-type]
        Decline(load=float("nan"), capacity=-5.0, charge=float("nan"), low=float("nan"), cutoff=float("inf")),
        Decline(low=250.0, cutoff=250.0, charge=-3.0),
        Decline(falling=None),  # type: ignore[arg-type]
        Decline(load=1e300, capacity=1e-300),
        "no decline",
    ],
)
async def test_whatever_a_decline_holds_an_outage_is_served_without_lb_and_silence_goes_stale(clock: FakeClock, decline: Decline) -> None:
    async with World(clock, maxage=20) as world:
        world.device.answer = Reading({"battery.charge": 50}, Status.OB, decline=decline)
        await clock.advance(10)
        assert world.status == "OB"
        world.device.answer = DeviceError("away")
        await clock.advance(40)
        assert world.driver.snapshot.stale
        assert not any("LB" in snapshot.variables["ups.status"].value for snapshot in world.history if not snapshot.stale)


@pytest.mark.parametrize("value", [10**5000, -(10**20), 1e300], ids=["endless", "large", "float"])
async def test_a_number_without_end_costs_itself_alone(clock: FakeClock, value: float) -> None:
    async with World(clock) as world:
        world.device.answer = Reading({"experimental.x": value, "battery.charge": 50}, Status.OB)
        await clock.advance(10)
        assert (world.status, world.value("experimental.x"), world.value("battery.charge")) == ("OB", None, "50")


async def test_a_client_that_sets_something_does_not_make_a_refused_login_tried_again(clock: FakeClock) -> None:
    async with World(clock, pollinterval=1) as world:
        world.device.answer = AuthError("wrong password", rejected=True)
        await clock.advance(3)
        polls = world.device.polls
        for _ in range(5):
            await world.requests.instcmd("load.off", None)
            await clock.advance(1)
        assert world.device.polls == polls


async def test_a_poll_that_blocks_the_event_loop_for_three_seconds_is_logged(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    async with World(clock, pollinterval=1) as world:

        async def block() -> Reading:
            world.device.answer = Reading({}, Status.OL)
            clock.now += 3.5  # nothing else runs meanwhile
            return world.device.answer

        world.device.answer = block
        await clock.advance(10)
    assert caplog.text.count("could not be answered for") == 1


@pytest.mark.parametrize("where", ["Shaper.shape", "Marks.of"])
async def test_whatever_breaks_the_core_in_a_reading_the_outage_is_served(
    clock: FakeClock, where: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A reading on which the core itself fails is taken over as its status alone."""
    real: Callable[..., object] = {"Shaper.shape": Shaper.shape, "Marks.of": Marks.of}[where]  # type: ignore[assignment]

    def broken(*args: object) -> object:
        reading = next(one for one in args if isinstance(one, Reading))
        if "battery.charge" in reading.values and Status.OB in reading.status:
            raise OverflowError("cannot convert float infinity to integer")
        return real(*args)

    async with World(clock) as world:
        await clock.advance(6)
        monkeypatch.setattr(f"nutdrv_py.core.variables.{where}", broken)
        world.device.answer = Reading({"battery.charge": 50}, Status.OB)
        await clock.advance(6)
        assert world.status == "OB"
        await clock.advance(20)
        assert sum("of which only the status is used" in record.getMessage() for record in caplog.records) == 1
