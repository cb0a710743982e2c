# SPDX-License-Identifier: GPL-2.0-or-later
"""A simulated house and the backend that reads it, both on a clock that the test moves."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nutdrv_py.backends.enphase import Enphase
from nutdrv_py.backends.enphase.config import EnphaseConfig
from nutdrv_py.device.reading import Reading
from nutdrv_py.simulators.enphase import GatewaySimulator, load_scenario
from tests.backends.seen import Seen
from tests.conftest import FakeClock

PASSWORD = "demo-password"


@dataclass
class House:
    sim: GatewaySimulator
    backend: Enphase
    clock: FakeClock
    early: list[Reading]
    seen: Seen

    async def poll(self, seconds: float = 5) -> Reading:
        """One poll, ``seconds`` after the last one."""
        self.clock.now += seconds
        return self.seen.look(await self.backend.poll())

    async def polls(self, count: int, seconds: float = 5) -> Reading:
        for _ in range(count):
            reading = await self.poll(seconds)
        return reading

    def shown(self, reading: Reading) -> dict[str, str]:
        """What upsc would show."""
        return self.seen.shown(reading)

    def asked(self, path: str) -> int:
        return sum(request.path == path for request in self.sim.requests)


@contextlib.asynccontextmanager
async def house(
    tmp_path: Path, scenario: str | GatewaySimulator = "online", *, clock: FakeClock | None = None, keep: bool = False, **options: Any
) -> AsyncIterator[House]:
    """The scenario without its own timeline, and a backend with ``options``; ``keep`` keeps the timeline."""
    clock = clock or FakeClock()
    if isinstance(scenario, str):
        story = load_scenario(scenario)
        sim = GatewaySimulator(story if keep else replace(story, timeline=()), clock=clock.monotonic, wall=clock.wall)
    else:
        sim = scenario
    await sim.start()
    settings: dict[str, Any] = {
        "ups": "home",
        "port": sim.host_port,
        "username": sim.username,
        "password": PASSWORD,
        "tokenfile": str(tmp_path / "home.token"),
        "login_url": sim.login_url,
        "token_url": sim.token_url,
        "api_timeout": 1,
        **options,
    }
    config = EnphaseConfig(**settings)
    early: list[Reading] = []
    try:
        Enphase.check(config)
        backend = Enphase(config, clock)
        seen = Seen(backend)
        backend.publish = lambda reading: early.append(seen.look(reading))
        try:
            yield House(sim, backend, clock, early, seen)
        finally:
            await backend.__aexit__(None, None, None)
    finally:
        await sim.stop()
