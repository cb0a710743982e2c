# SPDX-License-Identifier: GPL-2.0-or-later
"""A backend that is told, not asked, and the broker in a dictionary that tells it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from nutdrv_py.api import Clock, Config, DeviceError, PushBackend, Reading, Status, number
from nutdrv_py.testing import Device

BROKERS: dict[str, Broker] = {}


class Pushed(PushBackend[Config]):
    """Takes what is sent."""

    description: ClassVar[str] = "Pushed"
    version: ClassVar[str] = "1.0"
    urgent: ClassVar[tuple[str, ...]] = ("grid",)

    async def listen(self) -> None:
        broker = BROKERS[self.config.port]
        if not broker.open:
            raise DeviceError("the broker takes no connection now")
        queue: asyncio.Queue[Mapping[str, Any] | None] = asyncio.Queue()
        broker.listeners.append(queue)
        self.told(broker.state, kept=True)
        try:
            while (values := await queue.get()) is not None:
                self.told(values)
        finally:
            broker.listeners.remove(queue)

    def compose(self, told: Mapping[str, object], times: Mapping[str, float]) -> Reading:
        if told.get("grid") not in ("up", "down"):
            raise DeviceError("the messages say nothing of the grid")
        values = {"battery.charge": charge} if (charge := number(told.get("soc"))) is not None else {}
        return Reading(values, Status.OL if told["grid"] == "up" else Status.OB, at=times["grid"])


class Broker(Device):
    """Sends its state each five seconds, and at once when it changes; keeps it for those that come later."""

    def __init__(self, clock: Clock, folder: Path) -> None:
        super().__init__(clock, folder)
        self.state: dict[str, Any] = {"grid": "up", "soc": 80}
        self.listeners: list[asyncio.Queue[Mapping[str, Any] | None]] = []
        self.open, self.lively, self.hidden = True, True, ""
        BROKERS[str(folder)] = self

    async def __aenter__(self) -> Broker:
        self.task = asyncio.ensure_future(self.go_on())
        return self

    async def __aexit__(self, *error: object) -> None:
        self.task.cancel()
        del BROKERS[str(self.folder)]

    def config(self) -> Config:
        return Config(port=str(self.folder), pollinterval=5, maxage=30)

    async def go_on(self) -> None:
        while True:
            await self.clock.sleep(5)
            self.send()

    def send(self, **values: object) -> None:
        self.state.update(values)
        told = {name: value for name, value in self.state.items() if name != self.hidden}
        for queue in self.listeners if self.lively else []:
            queue.put_nowait(told)

    async def grid(self) -> None:
        self.send(grid="up")

    async def outage(self) -> None:
        self.send(grid="down")

    async def charge(self, percent: float) -> None:
        self.send(soc=percent)

    async def hide_grid(self) -> None:
        self.hidden = "grid"

    async def garbage(self) -> None:
        self.send(grid={"error": 1})
        self.lively = False

    async def repeat(self) -> None:
        self.lively = False

    async def silence(self) -> None:
        self.open = False
        for queue in self.listeners:
            queue.put_nowait(None)

    async def restart(self) -> None:
        for queue in self.listeners:
            queue.put_nowait(None)

    async def recover(self) -> None:
        self.open, self.lively, self.hidden = True, True, ""
        if self.state["grid"] not in ("up", "down"):
            self.state["grid"] = "up"
        self.send()
