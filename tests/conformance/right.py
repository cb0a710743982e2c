# SPDX-License-Identifier: GPL-2.0-or-later
"""A backend that does everything right, and its device, which is a dictionary: what the wrong ones are made of."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from nutdrv_py import Backend, Config, Decline, Field, Reading, Status, option
from nutdrv_py.clock import Clock
from nutdrv_py.device.backend import Writable
from nutdrv_py.device.mapping import integer, number, text, to_number, translate
from nutdrv_py.device.storage import Charger, charger_status
from nutdrv_py.errors import AuthError, CommandError, DeviceError, Result
from nutdrv_py.testing import Device

PASSWORD = "t0p-secret-word"


@dataclass
class Cloud:
    """What the device answers, and how."""

    clock: Clock
    state: dict[str, Any] = field(
        default_factory=lambda: {
            "grid": "up", "soc": 80, "battery": 0.0, "volts": 52.0, "load": 500.0, "left": 18000, "name": "Box", "serial": "B1", "delay": 20,
            "temperature": 24.5, "frequency": 50.0,
        }
    )  # fmt: skip
    hidden: set[str] = field(default_factory=set)
    mode: str = ""
    delay: float = 0.0
    session: int = 1
    told_at: float | None = None
    """When what is repeated was told; None: now."""
    asked: int = 0

    async def ask(self, password: str, session: int) -> dict[str, Any]:
        self.asked += 1
        if self.delay:
            await asyncio.sleep(self.delay)
        if self.mode == "silence":
            raise ConnectionRefusedError(111, "Connection refused")
        if self.mode == "refuse" or password != PASSWORD:
            raise PermissionError(f"401 for {password}")
        if session != self.session:
            raise ConnectionResetError(104, "Connection reset by peer")
        if self.mode == "garbage":
            return {"grid": "\x00\x07", "soc": "NaN", "error": {"code": 500}}
        told = self.clock.monotonic() if self.told_at is None else self.told_at
        return {**{name: value for name, value in self.state.items() if name not in self.hidden}, "age": self.clock.monotonic() - told}


CLOUDS: dict[str, Cloud] = {}


class FakeBox(Device):
    """Everything that can be described."""

    patience = 1.0
    capacity = 10000.0

    def __init__(self, clock: Clock, folder: Path) -> None:
        super().__init__(clock, folder)
        self.cloud = CLOUDS[str(folder)] = Cloud(clock)

    async def __aexit__(self, *error: object) -> None:
        del CLOUDS[str(self.folder)]

    def config(self) -> Config:
        return RightConfig(port=str(self.folder), password=PASSWORD, pollinterval=5, maxage=30)

    async def grid(self) -> None:
        self.cloud.state["grid"] = "up"

    async def outage(self) -> None:
        self.cloud.state["grid"] = "down"

    async def charge(self, percent: float) -> None:
        self.cloud.state["soc"] = percent

    async def battery(self, watts: float) -> None:
        self.cloud.state["battery"] = watts

    async def voltage(self, share: float) -> None:
        self.cloud.state["volts"] = 44.0 + 12.0 * share

    async def load(self, watts: float) -> None:
        self.cloud.state["load"] = watts

    async def runtime(self, seconds: float) -> None:
        self.cloud.state["left"] = seconds

    async def hide_charge(self) -> None:
        self.cloud.hidden = {"soc"}

    async def hide_grid(self) -> None:
        self.cloud.hidden = {"grid"}

    async def silence(self) -> None:
        self.cloud.mode = "silence"

    async def garbage(self) -> None:
        self.cloud.mode = "garbage"

    async def repeat(self) -> None:
        self.cloud.told_at = self.clock.monotonic()

    async def slow(self, seconds: float) -> None:
        self.cloud.delay = seconds

    async def refuse(self) -> None:
        self.cloud.mode = "refuse"

    async def restart(self) -> None:
        self.cloud.session += 1

    async def recover(self) -> None:
        self.cloud.mode, self.cloud.hidden, self.cloud.told_at, self.cloud.delay = "", set(), None, 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RightConfig(Config):
    password: str | None = option("of the device", default=None, sensitive=True)
    mode: str = option("how it is read", default="quick", choices=("quick", "full"))


FIELDS = (
    Field("battery.charge", "soc", integer),
    Field("battery.runtime", "left", integer),
    Field("battery.voltage", "volts"),
    Field("battery.temperature", "temperature"),
    Field("input.frequency", "frequency"),
    Field("ups.realpower", "load"),
    Field("ups.model", "name", text),
    Field("ups.serial", "serial", text),
    Field("ups.delay.shutdown", "delay", integer),
    Field("experimental.battery.energy.capacity", "capacity", number),
)


class Right(Backend[RightConfig]):
    """A box in a cloud."""

    Config: ClassVar[type[RightConfig]] = RightConfig
    description: ClassVar[str] = "Right backend"
    version: ClassVar[str] = "1.0"
    commands: ClassVar[frozenset[str]] = frozenset({"test.battery.start", "load.off"})

    def __init__(self, config: RightConfig, clock: Clock) -> None:
        super().__init__(config, clock)
        self.session = 0
        self.charger = Charger()

    @property
    def writable(self) -> Mapping[str, Writable]:
        return {"ups.delay.shutdown": Writable(ranges=((0, 600),))}

    @property
    def cloud(self) -> Cloud:
        return CLOUDS[self.config.port]

    async def poll(self) -> Reading:
        raw = await self.ask()
        values, at = self.values(raw), self.told_at(raw)
        return Reading(values, self.status(raw), raw=raw, at=at, decline=self.decline(raw))

    async def ask(self) -> dict[str, Any]:
        """One request; a session that has ended is begun anew."""
        try:
            with contextlib.suppress(ConnectionResetError):
                return await self.cloud.ask(self.config.password or "", self.session)
            self.session = self.cloud.session
            return await self.cloud.ask(self.config.password or "", self.session)
        except PermissionError:
            raise AuthError("the device refuses the password; correct password = in ups.conf", rejected=True) from None
        except OSError as error:
            raise DeviceError(f"the device does not answer: {error.strerror}") from error

    def told_at(self, raw: Mapping[str, Any]) -> float | None:
        age = to_number(raw.get("age"))
        return None if age is None else self.clock.monotonic() - age

    def values(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        values = translate(FIELDS, raw)
        power = to_number(raw.get("battery"))
        charge = to_number(values.get("battery.charge"))
        self.direction = self.charger.update(power)
        if power is not None:
            values["battery.charger.status"] = charger_status(self.direction, charge)
        return values

    def grid(self, raw: Mapping[str, Any]) -> Status:
        """OL or OB, from the device's word about the grid."""
        if raw.get("grid") not in ("up", "down"):
            raise DeviceError("the device does not say whether the grid is up or down")
        return Status.OL if raw["grid"] == "up" else Status.OB

    def status(self, raw: Mapping[str, Any]) -> Status:
        return self.grid(raw) | self.direction

    def decline(self, raw: Mapping[str, Any]) -> Decline | None:
        return Decline(load=max(0.0, to_number(raw.get("battery")) or 0.0), capacity=10000.0, low=20)

    async def set(self, name: str, value: str) -> None:
        self.cloud.state["delay"] = int(value)

    async def command(self, name: str, param: str | None) -> None:
        if name == "load.off":
            raise CommandError("this device has no switch", Result.FAILED)
