# SPDX-License-Identifier: GPL-2.0-or-later
"""A backend that is told: what it serves, how old that is, and what happens when its listening ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar

import pytest

from nutdrv_py.clock import Clock
from nutdrv_py.device.backend import Config
from nutdrv_py.device.push import ATTEMPT, RETRY, WAKE, PushBackend
from nutdrv_py.device.reading import Reading, Status
from nutdrv_py.errors import AuthError, DeviceError
from tests.conftest import FakeClock


class Pushed(PushBackend[Config]):
    """Listens as a test wants it; serves the grid and the charge."""

    urgent: ClassVar[tuple[str, ...]] = ("grid",)

    def __init__(self, clock: Clock, listening: Callable[[Pushed], Awaitable[None]] | None = None) -> None:
        super().__init__(Config(port="x", maxage=30), clock)
        self.listening = listening
        self.began = self.ended = self.woken = 0
        self.wake = self._count

    def _count(self) -> None:
        self.woken += 1

    async def listen(self) -> None:
        self.began += 1
        try:
            await (self.listening(self) if self.listening is not None else asyncio.Event().wait())
        finally:
            self.ended += 1

    def compose(self, told: Mapping[str, object], times: Mapping[str, float]) -> Reading:
        if told.get("grid") not in ("up", "down"):
            raise DeviceError("the device does not say whether the grid is up or down")
        charge = told.get("soc")
        values = {"battery.charge": charge} if isinstance(charge, int) else {}
        return Reading(values, Status.OL if told["grid"] == "up" else Status.OB, at=times["grid"])


class Repeating(Pushed):
    """Sends a value only when it changes."""

    unchanged: ClassVar[bool] = True


def play(clock: FakeClock, story: Callable[[Pushed], Awaitable[None]], *, kind: type[Pushed] = Pushed, listening: Any = None) -> None:
    async def run() -> None:
        async with kind(clock, listening) as backend:
            await clock.settle()
            await story(backend)

    asyncio.run(run())


def test_what_was_told_is_served_with_its_time(clock: FakeClock) -> None:
    async def story(backend: Pushed) -> None:
        backend.told({"grid": "down", "soc": 81})
        at = clock.now
        await clock.advance(7)
        reading = await backend.poll()
        assert (reading.status, reading.at, reading.values) == (Status.OB, at, {"battery.charge": 81})

    play(clock, story)


def test_before_anything_was_told_there_is_no_reading(clock: FakeClock) -> None:
    async def story(backend: Pushed) -> None:
        with pytest.raises(DeviceError, match="has sent nothing yet"):
            await backend.poll()

    play(clock, story)


def test_a_silent_device_is_not_served_as_fresh(clock: FakeClock) -> None:
    async def story(backend: Pushed) -> None:
        backend.told({"grid": "up"})
        await clock.advance(31)
        with pytest.raises(DeviceError, match="has sent nothing for 31 s"):
            await backend.poll()

    play(clock, story)


def test_a_value_that_is_sent_no_more_goes_although_others_come(clock: FakeClock) -> None:
    async def story(backend: Pushed) -> None:
        backend.told({"grid": "up", "soc": 81})
        for _ in range(4):
            await clock.advance(10)
            backend.told({"grid": "up"})
        assert "battery.charge" not in (await backend.poll()).values
        for _ in range(4):
            await clock.advance(10)
            backend.told({"soc": 80})
        with pytest.raises(DeviceError, match="grid"):
            await backend.poll()

    play(clock, story)


@pytest.mark.parametrize(("kind", "alive"), [(Pushed, False), (Pushed, True), (Repeating, False)])
def test_what_a_broker_has_kept_says_nothing(clock: FakeClock, kind: type[Pushed], alive: bool) -> None:
    async def story(backend: Pushed) -> None:
        backend.told({"grid": "down", "soc": 3}, kept=True)
        if alive:
            backend.alive()
        with pytest.raises(DeviceError):
            await backend.poll()
        assert backend.woken == 0

    play(clock, story, kind=kind)


def test_of_a_device_that_sends_changes_only_what_was_kept_counts_once_it_lives_and_ages_with_it(clock: FakeClock) -> None:
    async def story(backend: Pushed) -> None:
        backend.told({"grid": "down"}, kept=True)
        backend.told({"soc": 50})
        at = clock.now
        await clock.advance(20)
        assert (await backend.poll()).at == at
        backend.alive()
        assert (await backend.poll()).at == clock.now
        await clock.advance(31)
        with pytest.raises(DeviceError, match="nothing for 31 s"):
            await backend.poll()

    play(clock, story, kind=Repeating)


def test_a_time_stamp_counts_and_one_of_the_future_is_now(clock: FakeClock) -> None:
    async def story(backend: Pushed) -> None:
        backend.told({"grid": "up"}, at=clock.monotonic_of(clock.wall() - 12))
        assert (await backend.poll()).at == clock.now - 12
        backend.told({"grid": "down"}, at=clock.monotonic_of(clock.wall() + 3600))
        assert (await backend.poll()).at == clock.now
        backend.told({"grid": "up"}, at=clock.now - 5)
        assert (await backend.poll()).status == Status.OB, "it was overtaken"

    play(clock, story)


def test_a_change_wakes_the_driver_at_once_and_a_burst_not_more_often_than_twice_a_second(clock: FakeClock) -> None:
    async def story(backend: Pushed) -> None:
        backend.told({"grid": "up", "soc": 1})
        backend.told({"soc": 2})
        assert backend.woken == 1
        for number in range(50):
            backend.told({"grid": "down" if number % 2 else "up"})
        assert backend.woken == 1
        await clock.advance(WAKE)
        assert backend.woken == 2, "the last change is not lost"
        await clock.advance(10)
        assert backend.woken == 2

    play(clock, story)


def test_a_listening_that_dies_is_a_sentence_without_its_text_and_begins_again(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    async def dies(backend: Pushed) -> None:
        backend.told({"grid": "up"})
        await clock.sleep(1)
        if backend.began == 1:
            raise ValueError("password unicorn-4711")
        await asyncio.Event().wait()

    async def story(backend: Pushed) -> None:
        assert (await backend.poll()).status == Status.OL
        await clock.advance(1)
        with pytest.raises(DeviceError, match="internal error in the backend, which listens again: ValueError") as caught:
            await backend.poll()
        assert "unicorn" not in str(caught.value)
        assert backend.began == 1, "not at once"
        await clock.advance(RETRY[0])
        with pytest.raises(DeviceError, match="ValueError"):
            await backend.poll()
        await clock.settle()
        assert (await backend.poll()).status == Status.OL
        assert backend.began == 2

    play(clock, story, listening=dies)


async def _no_connection(backend: Pushed) -> None:
    raise DeviceError("192.0.2.1 does not answer; is it switched on?")


async def _no_login(backend: Pushed) -> None:
    raise AuthError("the password is wrong; correct it in mine.conf", rejected=True)


async def _ended(backend: Pushed) -> None:
    return


async def _left(backend: Pushed) -> None:
    raise SystemExit(3)


async def _cancelled(backend: Pushed) -> None:
    raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("listening", "kind", "text"),
    [(_no_connection, DeviceError, "switched on"), (_no_login, AuthError, "mine.conf"), (_ended, DeviceError, "opened again"),
     (_left, DeviceError, "(?i)exit"), (_cancelled, DeviceError, "cancelled from within")],
)  # fmt: skip
def test_each_end_of_the_listening_is_said_and_tried_again_less_and_less_often(clock: FakeClock, listening: Any, kind: type[DeviceError], text: str) -> None:
    async def story(backend: Pushed) -> None:
        for wait in (*RETRY, RETRY[-1]):
            began = backend.began
            with pytest.raises(kind, match=text):
                await backend.poll()
            await clock.advance(wait - 0.1)
            with pytest.raises(kind, match=text):
                await backend.poll()
            assert backend.began == began
            await clock.advance(0.2)
            with pytest.raises(kind, match=text):
                await backend.poll()
            await clock.settle()
            assert backend.began == began + 1

    play(clock, story, listening=listening)


def test_a_connection_that_stands_but_is_silent_is_not_called_broken(clock: FakeClock) -> None:
    async def silent(backend: Pushed) -> None:
        if backend.began == 1:
            raise DeviceError("no connection")
        await asyncio.Event().wait()

    async def story(backend: Pushed) -> None:
        await clock.advance(RETRY[0])
        with pytest.raises(DeviceError, match="no connection"):
            await backend.poll()
        await clock.advance(ATTEMPT + 1)
        with pytest.raises(DeviceError, match="nothing yet"):
            await backend.poll()

    play(clock, story, listening=silent)


def test_what_was_told_before_a_lost_connection_is_forgotten(clock: FakeClock) -> None:
    """While it was away the grid may have gone; the driver itself holds the last reading for maxage."""

    async def lost(backend: Pushed) -> None:
        if backend.began == 1:
            backend.told({"grid": "up"})
            await clock.sleep(5)
        await asyncio.Event().wait() if backend.began > 1 else None

    async def story(backend: Pushed) -> None:
        await clock.advance(5 + RETRY[0])
        for _ in range(2):
            with pytest.raises(DeviceError):
                await backend.poll()
            await clock.settle()

    play(clock, story, listening=lost)


async def test_the_end_of_the_driver_ends_the_listening(clock: FakeClock) -> None:
    backend, before = Pushed(clock), asyncio.all_tasks()
    async with backend:
        await clock.settle()
        backend.told({"grid": "up"})
        backend.told({"grid": "down"})
    assert backend.ended == 1
    assert asyncio.all_tasks() == before


async def test_a_listening_that_ignores_its_end_does_not_keep_the_driver(clock: FakeClock) -> None:
    free = asyncio.Event()

    async def stubborn(backend: Pushed) -> None:
        while not free.is_set():
            try:
                await free.wait()
            except asyncio.CancelledError:
                continue

    loop = asyncio.get_running_loop()
    async with Pushed(clock, stubborn):
        await clock.settle()
        began = loop.time()
    assert loop.time() - began < 3
    free.set()
    await clock.settle()
