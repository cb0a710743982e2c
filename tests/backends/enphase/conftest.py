# SPDX-License-Identifier: GPL-2.0-or-later
"""A simulated house and the backend that reads it, both on a clock that the test moves."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from nutdrv_py.backends.enphase import Enphase
from nutdrv_py.backends.enphase.config import EnphaseConfig
from nutdrv_py.simulators.enphase import GatewaySimulator, load_scenario
from tests.backends.playing import Played, playing
from tests.conftest import FakeClock

PASSWORD = "demo-password"


class House(Played[GatewaySimulator, Enphase]):
    INTERVAL = 5.0

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

    def make() -> Enphase:
        settings: dict[str, Any] = {
            "ups": "home", "port": sim.host_port, "username": sim.username, "password": PASSWORD, "tokenfile": str(tmp_path / "home.token"),
            "login_url": sim.login_url, "token_url": sim.token_url, "api_timeout": 1, **options,
        }  # fmt: skip
        return Enphase(EnphaseConfig(**settings), clock)

    async with playing(House, sim, make, clock) as made:
        yield made
