# SPDX-License-Identifier: GPL-2.0-or-later
"""A fake device, a backend, and the driver's core around it, on a clock that a story moves; with a record of what was served."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from nutdrv_py.core.driver import Driver
from nutdrv_py.core.reload import Reload
from nutdrv_py.core.requests import Requests
from nutdrv_py.core.settings import Settings
from nutdrv_py.device.backend import Backend, Config
from nutdrv_py.device.reading import Reading, Status
from nutdrv_py.errors import DeviceError
from nutdrv_py.machine.paths import Paths
from nutdrv_py.nut.snapshot import Snapshot
from nutdrv_py.testing.clock import BackendClock, DeviceClock, FakeClock
from nutdrv_py.testing.device import Device
from nutdrv_py.testing.seen import Moment, Noted, Poll

__all__ = ["GRID", "Stage", "Stuck", "staged"]

GRID = Status.OL | Status.OB

AWAY = 1.0
"""Real seconds that a backend gets to end what it has begun."""

CONNECTING = 5
"""Times ``delay`` that a connection takes."""

BUSY = 25
"""Times ``delay`` that a message may take on a busy machine."""

HUNG = 0.05
"""Real seconds that one poll may take after two have hung."""

BEAT = 0.01
"""Real seconds between two beats, whose gaps show what blocks the event loop."""


T = TypeVar("T")


class Stuck(Exception):
    """A poll goes on although it was cancelled: the story cannot go on."""


class _Open(Settings):
    """Settings that hide nothing: what the backend lets out must be seen."""

    @property
    def secrets(self) -> tuple[object, ...]:
        """None: the driver's second line of defence is off."""
        return ()


class Stage:
    """One backend with its device and its driver. Seconds are the story's, unless they are called real."""

    def __init__(self, device: Device, backend: Backend[Any], config: Config, clock: FakeClock) -> None:
        self.device, self.backend, self.clock, self.config = device, backend, clock, config
        name = f"{type(backend).__module__}:{type(backend).__name__}"
        nowhere = Paths(*[Path("/nonexistent")] * 4)
        settings = _Open("home", "nutdrv_py", name, type(backend), config, nowhere)
        self.driver = Driver(settings, backend, clock)
        self.requests = Requests(self.driver, Reload(self.driver, None))
        self.moments: list[Moment] = []
        self.polls: list[Poll] = []
        self.noted = Noted()
        self.texts: list[str] = []
        """Lines for a person, such as those of an examination."""
        self.measuring = False
        self._running: set[int] = set()
        self._count = 0
        self._stuck = False
        self._task: asyncio.Future[int] | None = None
        self._look(Snapshot(), self.driver.snapshot)
        self.driver.subscribe(self._look)
        self._wrap()
        clock.busy.append(lambda: bool(self._running) and not self._stuck)
        clock.patience = device.patience + AWAY

    # What the backend is called by

    def _wrap(self) -> None:
        backend, loop_thread = self.backend, threading.get_ident()
        poll, enter, wake, publish = backend.poll, backend.__aenter__, backend.wake, backend.publish

        async def polled() -> Reading:
            record = Poll(self.clock.now)
            self.polls.append(record)
            record.reading = await self._called(record, poll)
            return record.reading

        async def entered() -> Backend[Any]:
            record = Poll(self.clock.now)
            try:
                return await self._called(record, enter)
            finally:
                if record.error is not None:
                    self.polls.append(record)

        def woken() -> None:
            if threading.get_ident() != loop_thread:
                self.noted.wrong_threads.add("wake()")
                return
            wake()

        def published(reading: Reading) -> None:
            if threading.get_ident() != loop_thread:
                self.noted.wrong_threads.add("publish()")
                return
            self.noted.early.append(reading)
            publish(reading)

        backend.poll = polled  # type: ignore[method-assign]
        backend.__aenter__ = entered  # type: ignore[method-assign]
        backend.wake, backend.publish = woken, published

    async def _called(self, record: Poll, call: Callable[[], Awaitable[T]]) -> T:
        """Call the backend as the driver does, within the device's patience; keep what it raises."""
        self._count += 1
        number = self._count
        self._running.add(number)
        beat = asyncio.ensure_future(self._beat(record)) if self.measuring else None
        if beat is not None:
            await asyncio.sleep(0)
        try:
            # One poll that hangs is enough to know it.
            async with asyncio.timeout(HUNG if self.noted.hung > 1 else self.device.patience) as limit:
                return await call()
        except TimeoutError as error:
            if limit.expired():
                self.noted.hung += 1
                raise DeviceError("the poll was given up") from None
            record.error = error
            raise
        except (Exception, asyncio.CancelledError) as error:
            record.error = error
            raise
        except BaseException as error:
            record.error = error
            raise DeviceError("the backend wanted to end the process") from None
        finally:
            self._running.discard(number)
            if beat is not None:
                # One more beat, which is late if the last thing that was done has blocked.
                for _ in range(3):
                    await asyncio.sleep(0)
                beat.cancel()

    @staticmethod
    async def _beat(record: Poll) -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(BEAT)
            record.blocked = max(record.blocked, time.perf_counter() - before - BEAT)

    # What upsd is given

    def _look(self, old: Snapshot, new: Snapshot) -> None:
        values = {name: variable.value for name, variable in new.variables.items() if not name.startswith("driver.")}
        words = values.get("ups.status", "")
        moment = Moment(self.clock.now, Status.parse(words)[0], new.stale, words, values)
        last = self.moments[-1] if self.moments else None
        if last is None or (last.words, last.stale, last.values) != (moment.words, moment.stale, moment.values):
            self.moments.append(moment)

    @property
    def now(self) -> Moment:
        """Return what upsd is given now."""
        return self.moments[-1]

    def since(self, at: float) -> list[Moment]:
        """Return what upsd was given from ``at`` on, with what held then."""
        before = [moment for moment in self.moments if moment.at <= at]
        return before[-1:] + [moment for moment in self.moments if moment.at > at]

    def served(self, token: Status) -> bool:
        """Return whether upsd is given this token now."""
        return not self.now.stale and token in self.now.status

    def number(self, name: str) -> float | None:
        """Return the number that upsd is given now; None when there is none."""
        try:
            return float(self.now.values[name])
        except (KeyError, ValueError):
            return None

    async def after(self, seconds: float, *changes: Any) -> list[Moment]:
        """Change the device and let time pass; return what upsd was given from the next poll on."""
        count, at = len(self.polls), self.clock.now
        await self.tell(*changes)
        await self.run(seconds)
        return self.since(self.polls[count].began if len(self.polls) > count else at)

    # Time

    async def run(self, seconds: float) -> None:
        """Let so much time pass. Raises :class:`Stuck` when a poll does not end although it was cancelled."""
        await self.clock.advance(seconds)
        if self._running and not self.clock.asleep:
            self._stuck = True
            raise Stuck("a poll goes on although it was cancelled")

    async def until(self, reached: Callable[[], bool], seconds: float) -> bool:
        """Let time pass until that is so, at most for ``seconds``; return whether it is."""
        end = self.clock.now + seconds
        await self.run(0)
        while not reached() and self.clock.now < end:
            await self.run(min(1.0, end - self.clock.now))
        if not reached() and self.device.delay:
            # A busy machine may need longer for what really takes time.
            await asyncio.sleep(BUSY * self.device.delay)
            await self.run(self.pace)
        return reached()

    async def tell(self, *changes: Any) -> None:
        """Carry out changes of the device, and let them arrive."""
        for change in changes:
            await change
        if self.device.delay:
            await asyncio.sleep(self.device.delay)

    async def begin(self) -> None:
        """Start the driver."""
        self._task = asyncio.ensure_future(self.driver.run())
        await self.clock.settle()
        if self.device.delay:
            await asyncio.sleep(CONNECTING * self.device.delay)

    async def end(self) -> None:
        """End the driver."""
        if self._task is not None:
            self.driver.stop(0, at_once=True)
            await asyncio.wait({self._task}, timeout=2 * AWAY)
            self._task.cancel()

    @property
    def maxage(self) -> float:
        """Return the seconds that the last reading is served."""
        return float(self.config.maxage)

    @property
    def pace(self) -> float:
        """Return the seconds in which two polls begin."""
        return 2.0 * self.config.pollinterval


@contextlib.asynccontextmanager
async def staged(
    backend: type[Backend[Any]], device: type[Device], folder: Path, clock: FakeClock | None = None, **options: object
) -> AsyncIterator[Stage]:
    """Start a device with its charge at 80 % on the grid, make a backend for it, with ``options`` changed, and end both."""
    clock = clock or FakeClock()
    folder.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - a local folder
    clock.linger = max(clock.linger, device.delay)
    async with device(DeviceClock(clock), folder) as fake:
        config = fake.config()
        named = {"ups": "home", "confpath": config.confpath or str(folder), "statepath": str(folder), "home": str(folder)}
        config = dataclasses.replace(config, **named, **options)  # type: ignore[arg-type]
        backend.check(config)
        stage = Stage(fake, backend(config, BackendClock(clock)), config, clock)
        try:
            yield stage
        finally:
            await stage.end()
