# SPDX-License-Identifier: GPL-2.0-or-later
"""A clock that moves only when a test moves it. What waits on it is woken in order, and let finish before time goes on."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable

from nutdrv_py.clock import Clock

__all__ = ["BackendClock", "DeviceClock", "FakeClock"]

START = 500_000_000.0
"""Monotonic seconds at which a story begins: no machine has been up for so long, so that another clock shows."""

WALL = 1_800_000_000.0
"""Seconds since 1970 at which a story begins."""

TURNS = 100
"""Turns of the event loop after which what is still ready to run is left alone."""

SPIN = 200
"""Turns of the event loop after which what is waited for counts as real input or output."""

QUIET = 0.02
"""Real seconds after which a backend that waits on this clock counts as doing nothing else."""


class FakeClock(Clock):
    """Monotonic and wall time of a story.

    ``busy`` holds functions that return whether something is under way that time must wait for.
    """

    def __init__(self) -> None:
        self.now = START
        self.busy: list[Callable[[], bool]] = []
        self.asleep = 0
        """How many waits of backends there are."""
        self.linger = 0.0
        """Real seconds that pass whenever a device has waited on this clock: what it sends then takes a while to arrive."""
        self.sent = False
        self.patience = 5.0
        """Real seconds that are waited for what is under way."""
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    def monotonic(self) -> float:
        """Return the seconds that only :meth:`advance` moves."""
        return self.now

    def wall(self) -> float:
        """Return the seconds since 1970, moved likewise."""
        return WALL + self.now - START

    async def sleep(self, seconds: float) -> None:
        """Wait until time was moved so far."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._sleepers, (self.now + max(0.0, seconds), self._count, future))
        await future

    async def advance(self, seconds: float) -> None:
        """Move time, waking what waits one after the other."""
        end = self.now + seconds
        await self.settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            at, _, future = heapq.heappop(self._sleepers)
            if not future.done():
                self.now = max(self.now, at)
                future.set_result(None)
                await self.settle()
        self.now = end

    def _busy(self) -> bool:
        return any(busy() for busy in self.busy)

    async def settle(self) -> None:
        """Let everything run that can, and real input and output come to an end."""
        await _turns()
        if self.sent:
            self.sent = False
            await asyncio.sleep(self.linger)
            await _turns()
        began, turns = time.monotonic(), 0
        while self._busy():
            turns += 1
            passed = time.monotonic() - began
            if passed > (QUIET if self.asleep else self.patience):
                return
            await asyncio.sleep(0 if turns < SPIN else 0.001)
            if not self._busy():
                await _turns()


async def _turns() -> None:
    """Let run what is ready, until nothing is."""
    # An event loop of another kind does not show what is ready.
    ready = getattr(asyncio.get_running_loop(), "_ready", None)
    for _ in range(TURNS):
        await asyncio.sleep(0)
        if ready is not None and not ready:
            return


class _View(Clock):
    """The same time for another reader."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock

    def monotonic(self) -> float:
        """Return the seconds that only the story moves."""
        return self._clock.monotonic()

    def wall(self) -> float:
        """Return the seconds since 1970, moved likewise."""
        return self._clock.wall()


class DeviceClock(_View):
    """The time of a device that sends by itself: what it has sent after a wait is given time to arrive."""

    async def sleep(self, seconds: float) -> None:
        """Wait until time was moved so far."""
        await self._clock.sleep(seconds)
        self._clock.sent = self._clock.linger > 0


class BackendClock(_View):
    """The time of a backend, whose waits are counted."""

    async def sleep(self, seconds: float) -> None:
        """Wait until time was moved so far."""
        self._clock.asleep += 1
        try:
            await self._clock.sleep(seconds)
        finally:
            self._clock.asleep -= 1
