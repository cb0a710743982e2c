# SPDX-License-Identifier: GPL-2.0-or-later
"""A simulated device that is recorded, on a clock that the test moves, and the recording played."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import nutdrv_py.backends.rct as rct_backend
from nutdrv_py.backends.enphase.config import EnphaseConfig
from nutdrv_py.backends.rct import client
from nutdrv_py.backends.rct.config import RctConfig
from nutdrv_py.backends.replay import Replay
from nutdrv_py.backends.replay.config import ReplayConfig
from nutdrv_py.commands.record import Tape
from nutdrv_py.device.backend import Config
from nutdrv_py.device.reading import Reading
from nutdrv_py.errors import DeviceError
from nutdrv_py.simulators import enphase, rct
from tests.backends.seen import Seen
from tests.conftest import FakeClock


class Taping:
    """A recording under way: the simulator, and what each poll has brought."""

    def __init__(self, sim: Any, config: Config, clock: FakeClock, path: Path) -> None:
        self.sim = sim
        self.clock = clock
        self.path = path
        self.tape = Tape("rct" if isinstance(config, RctConfig) else "enphase", config, clock)
        self.seen = Seen(self.tape.backend)
        self.live: list[Reading | None] = []

    async def polls(self, count: int, seconds: float) -> None:
        for _ in range(count):
            self.clock.now += seconds
            reading = await self.tape.poll()
            self.live.append(None if reading is None else self.seen.look(reading))


@contextlib.asynccontextmanager
async def taping(
    kind: str, tmp_path: Path, scenario: str = "online", *, clock: FakeClock | None = None, sim: Any = None, **options: Any
) -> AsyncIterator[Taping]:
    """Record the scenario without its own timeline; the file is ``tmp_path``/home.recording afterwards."""
    clock = clock or FakeClock()
    device: Any = rct if kind == "rct" else enphase
    if sim is None:
        make = device.InverterSimulator if kind == "rct" else device.GatewaySimulator
        sim = make(replace(device.load_scenario(scenario), timeline=()), clock=clock.monotonic, wall=clock.wall)
    await sim.start()
    settings: dict[str, Any] = {"ups": "home", "port": sim.host_port}
    config: Config
    if kind == "rct":
        config = RctConfig(**settings, **options)
    else:
        config = EnphaseConfig(
            **settings, username=sim.username, password=sim.password, tokenfile=str(tmp_path / "home.token"),
            **{"login_url": sim.login_url, "token_url": sim.token_url, "api_timeout": 1, **options},
        )  # fmt: skip
    before = client.GAP, client.ANSWER, rct_backend.CONFIRM
    client.GAP, client.ANSWER, rct_backend.CONFIRM = 0.0, 0.2, 0.01
    try:
        found = Taping(sim, config, clock, tmp_path / "home.recording")
        try:
            yield found
        finally:
            await found.tape.backend.__aexit__(None, None, None)
            found.tape.write(found.path)
    finally:
        client.GAP, client.ANSWER, rct_backend.CONFIRM = before
        await sim.stop()


def player(path: Path, clock: FakeClock | None = None, **options: Any) -> Replay:
    """The backend that plays the file, with speed 0 unless something else is wanted."""
    config = ReplayConfig(**{"ups": "home", "port": str(path), "speed": 0.0, **options})
    Replay.check(config)
    return Replay(config, clock or FakeClock())


async def play(backend: Replay, count: int, seen: Seen | None = None) -> list[Reading | DeviceError]:
    """So many polls, as the core serves them."""
    seen = seen or Seen(backend)
    found: list[Reading | DeviceError] = []
    for _ in range(count):
        try:
            found.append(seen.look(await backend.poll()))
        except DeviceError as error:
            found.append(error)
    return found
