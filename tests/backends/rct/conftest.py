# SPDX-License-Identifier: GPL-2.0-or-later
"""A simulated inverter and the backend that reads it, both on a clock that the test moves, the line without its pauses."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from nutdrv_py.backends.rct import Rct
from nutdrv_py.backends.rct.config import RctConfig
from nutdrv_py.simulators.rct import InverterSimulator, load_scenario
from nutdrv_py.simulators.rct.scenarios import Scenario
from tests.backends.playing import Played, playing
from tests.conftest import FakeClock


@pytest.fixture(autouse=True)
def _quick(quick_line: None) -> None:
    """Each test here has a line without its pauses."""


class Home(Played[InverterSimulator, Rct]):
    INTERVAL = 2.0

    async def statuses(self, count: int, seconds: float = 2) -> list[str]:
        return [str((await self.poll(seconds)).status) for _ in range(count)]

    def asked(self, name: str) -> int:
        return sum(request.name == name for request in self.sim.requests)


@contextlib.asynccontextmanager
async def home(
    scenario: Scenario | str = "online", *, clock: FakeClock | None = None, keep: bool = False, changes: dict[str, Any] | None = None,
    **options: Any,
) -> AsyncIterator[Home]:  # fmt: skip
    """The scenario without its own timeline (``keep`` keeps it), ``changes`` made to it, and a backend with ``options``."""
    clock = clock or FakeClock()
    story = load_scenario(scenario) if isinstance(scenario, str) else scenario
    sim = InverterSimulator(story if keep else replace(story, timeline=()), clock=clock.monotonic, wall=clock.wall)
    if changes:
        sim.set(**changes)
    async with playing(Home, sim, lambda: Rct(RctConfig(**{"ups": "home", "port": sim.host_port, **options}), clock), clock) as made:
        yield made
