# SPDX-License-Identifier: GPL-2.0-or-later
"""What exporters see: the data while they are good, none of them while they are stale, and how the driver does."""

from __future__ import annotations

import pytest

from nutdrv_py.core.telemetry import BUCKETS, Source, View
from nutdrv_py.device.backend import Answers
from nutdrv_py.device.reading import Reading, Status
from nutdrv_py.errors import AuthError, DeviceError
from tests.conftest import FakeClock
from tests.core.test_driver import World


async def test_a_view_is_what_upsc_shows_with_the_time_of_the_data(clock: FakeClock) -> None:
    async with World(clock) as world:
        world.device.answer = Reading({"battery.charge": 50}, Status.OL | Status.CHRG, ("Replace it",), {"soc": 0.5})
        source = Source(world.driver, clients=lambda: 3)
        await clock.advance(5)
        await clock.advance(2)
        view = source.view()
        assert (view.ups, view.backend, view.stale) == ("u", "device", False)
        assert (view.texts["battery.charge"], view.texts["ups.status"]) == ("50", "ALARM OL CHRG")
        assert view.numbers["battery.charge"] == 50.0
        assert "ups.status" not in view.numbers
        assert (view.status, view.alarms, view.raw) == (Status.OL | Status.CHRG, ("Replace it",), {"soc": 0.5})
        assert view.age == pytest.approx(2)
        assert view.at == pytest.approx(clock.wall() - 2)
        assert source.health().clients == 3


async def test_while_the_data_are_stale_a_view_holds_none_of_them(clock: FakeClock) -> None:
    async with World(clock, maxage=20) as world:
        world.device.answer = Reading({"battery.charge": 50}, Status.OB, (), {"soc": 0.5})
        source = Source(world.driver)
        seen: list[View] = []
        source.subscribe(seen.append)
        await clock.advance(6)
        world.device.answer = DeviceError("away")
        await clock.advance(60)
        view = source.view()
        assert view.stale
        assert seen[-1].stale
        assert all(name.startswith("driver.") for name in view.variables)
        assert (view.status, view.alarms, dict(view.raw)) == (Status(0), (), {})
        assert view.age == pytest.approx(61, abs=5)


async def test_what_a_device_answers_without_a_reading_is_seen_stale_or_not_and_nonsense_is_none(clock: FakeClock) -> None:
    async with World(clock, maxage=20) as world:
        world.device.answer = DeviceError("it does not tell of the grid")
        source = Source(world.driver)
        await clock.advance(30)
        assert (source.view().answering, dict(source.view().current_raw)) == (False, {})
        offered: list[object] = [Answers({"soc": 0.5}, {"soc": clock.monotonic() - 2})]
        type(world.device).answers = property(lambda self: offered[0])  # type: ignore[assignment]
        try:
            view = source.view()
            assert (view.stale, view.answering, dict(view.current_raw)) == (True, True, {"soc": 0.5})
            assert view.raw_at["soc"] == pytest.approx(clock.wall() - 2)
            assert (view.status, view.texts.get("ups.status")) == (Status(0), None)
            offered[0] = "nonsense"
            assert not source.view().answering
        finally:
            del type(world.device).answers


async def test_polls_and_their_failures_are_counted_by_kind(clock: FakeClock) -> None:
    async with World(clock) as world:
        source = Source(world.driver)
        for answer in (DeviceError("away"), AuthError("no"), ValueError("bug")):
            world.device.answer = answer
            await clock.advance(5)
        assert not source.health().up
        world.device.answer = Reading({}, Status.OL)
        await clock.advance(5)
        health = source.health()
        assert health.up
        assert health.polls == 4
        assert health.failures == {"timeout": 0, "auth": 1, "device": 1, "stale": 0, "internal": 1}
        assert health.buckets == (4,) * len(BUCKETS)


async def test_a_fault_in_an_exporter_never_reaches_upsd_and_is_said_once(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    async with World(clock) as world:
        source = Source(world.driver)

        def broken(view: View) -> None:
            raise ValueError("a bug")

        good: list[View] = []
        source.subscribe(broken)
        source.subscribe(good.append)
        for charge in range(50, 60):
            world.device.answer = Reading({"battery.charge": charge}, Status.OL)
            await clock.advance(5)
        assert world.value("battery.charge") == "59"
        assert [view.texts["battery.charge"] for view in good][-1] == "59"
    assert sum("internal error in an exporter" in record.message for record in caplog.records) == 1
