# SPDX-License-Identifier: GPL-2.0-or-later
"""A simulated device and the backend that reads it, both on a clock that the test moves."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from nutdrv_py.device.backend import Backend
from nutdrv_py.device.reading import Reading
from tests.backends.seen import Seen
from tests.conftest import FakeClock

__all__ = ["Played", "playing"]

Sim = TypeVar("Sim")
Device = TypeVar("Device", bound=Backend[Any])


@dataclass
class Played(Generic[Sim, Device]):
    """A device under way, and what its backend has read."""

    INTERVAL: ClassVar[float]
    """Seconds between two polls."""

    sim: Sim
    backend: Device
    clock: FakeClock
    early: list[Reading]
    """What the backend has published between polls."""
    seen: Seen

    async def poll(self, seconds: float | None = None) -> Reading:
        """Poll once, ``seconds`` after the last time."""
        self.clock.now += self.INTERVAL if seconds is None else seconds
        return self.seen.look(await self.backend.poll())

    async def polls(self, count: int, seconds: float | None = None) -> Reading:
        """Poll ``count`` times; return the last reading."""
        for _ in range(count):
            reading = await self.poll(seconds)
        return reading

    def shown(self, reading: Reading) -> dict[str, str]:
        """Return what upsc would show."""
        return self.seen.shown(reading)


Kind = TypeVar("Kind", bound=Played[Any, Any])


@contextlib.asynccontextmanager
async def playing(kind: type[Kind], sim: Any, make: Callable[[], Backend[Any]], clock: FakeClock) -> AsyncIterator[Kind]:
    """Start the device and the backend that ``make`` then makes for it; both end with the block."""
    await sim.start()
    early: list[Reading] = []
    try:
        backend = make()
        type(backend).check(backend.config)
        seen = Seen(backend)
        backend.publish = lambda reading: early.append(seen.look(reading))
        try:
            yield kind(sim, backend, clock, early, seen)
        finally:
            await backend.__aexit__(None, None, None)
    finally:
        await sim.stop()
