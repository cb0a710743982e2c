# SPDX-License-Identifier: GPL-2.0-or-later
"""A battery whose state is published by MQTT, on a real mosquitto."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from pathlib import Path

from nutdrv_py.backends.mapping.config import MappingConfig
from nutdrv_py.clock import Clock
from nutdrv_py.testing import Device
from tests.integration.test_mqtt import MOSQUITTO, Mosquitto

__all__ = ["MOSQUITTO", "Published"]


def _text(words: str) -> bytes:
    return len(words).to_bytes(2, "big") + words.encode()


class Published(Device):
    """The topics of the shipped description generic-mqtt, published each twenty seconds."""

    delay = 0.02
    capacity = 10000.0

    def __init__(self, clock: Clock, folder: Path) -> None:
        super().__init__(clock, folder)
        self.state: dict[str, object] = {
            "status": "online", "grid": "on", "charge": 80, "load": 500, "power": 0, "capacity": 10000, "runtime": 18000, "temperature": 24,
        }  # fmt: skip
        self.kept, self.lively = True, True
        self.hidden = ""

    async def __aenter__(self) -> Published:
        self.broker = await asyncio.to_thread(Mosquitto(Path(tempfile.mkdtemp(dir=self.folder))).__enter__)
        self.connect()
        self.task = asyncio.ensure_future(self.go_on())
        self.publish(self.state)
        return self

    async def __aexit__(self, *error: object) -> None:
        self.task.cancel()
        self.line.close()
        await asyncio.to_thread(self.broker.kill)

    def connect(self) -> None:
        self.line = socket.create_connection(("127.0.0.1", self.broker.port))
        # With a last will: house/status is offline, and the broker keeps it.
        body = _text("MQTT") + b"\x04\x26\x00\x00" + _text("fake") + _text("house/status") + _text("offline")
        self.line.sendall(b"\x10" + bytes((len(body),)) + body)
        assert self.line.recv(4) == b"\x20\x02\x00\x00"

    def config(self) -> MappingConfig:
        return MappingConfig(port="generic-mqtt", address=f"127.0.0.1:{self.broker.port}", topic="house", maxage=60, pollinterval=10)

    def publish(self, values: dict[str, object]) -> None:
        for name, value in values.items():
            body = _text(f"house/{name}") + str(value).encode()
            self.line.sendall(bytes((0x31 if self.kept else 0x30, len(body))) + body)

    async def go_on(self) -> None:
        while True:
            await self.clock.sleep(20)
            self.tell()

    def tell(self, **values: object) -> None:
        self.state.update(values)
        if self.lively:
            self.publish({name: value for name, value in self.state.items() if name != self.hidden})

    async def grid(self) -> None:
        self.tell(grid="on")

    async def outage(self) -> None:
        self.tell(grid="off")

    async def charge(self, percent: float) -> None:
        self.tell(charge=percent)

    async def battery(self, watts: float) -> None:
        self.tell(power=watts)

    async def load(self, watts: float) -> None:
        self.tell(load=watts)

    async def runtime(self, seconds: float) -> None:
        self.tell(runtime=seconds)

    async def hide_charge(self) -> None:
        self.hidden = "charge"

    async def garbage(self) -> None:
        self.tell(grid="{", charge="x")
        self.lively = False

    async def repeat(self) -> None:
        await self.silence()

    async def silence(self) -> None:
        # Its connection ends, and the broker publishes its will; what it keeps is still there.
        self.lively = False
        self.line.close()

    async def recover(self) -> None:
        if self.line.fileno() < 0:
            self.connect()
        self.lively, self.hidden = True, ""
        if self.state["grid"] not in ("on", "off"):
            self.state["grid"] = "on"
        self.tell()
