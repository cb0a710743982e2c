# SPDX-License-Identifier: GPL-2.0-or-later
"""A device that is a file of ``name=value`` lines: what the tests of the driver play with. Each value is served as it is, at once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from nutdrv_py import Backend, Config, Decline, Field, Reading, Status, option
from nutdrv_py.device.backend import Writable
from nutdrv_py.device.mapping import text, to_number, translate
from nutdrv_py.errors import CommandError, DeviceError, Result


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainConfig(Config):
    """Two options of its own."""

    factor: float = option("what the device's charge is multiplied with", default=1.0, reload=True)
    password: str | None = option("never shown anywhere", default=None, sensitive=True, reload=True)


FIELDS = (  # one row per variable: NUT's name, the device's name, the conversion
    Field("battery.charge", "soc"),
    Field("battery.runtime", "left"),
    Field("ups.load", "load"),
    Field("ups.realpower", "watts"),
    Field("ups.model", "name", text),
)


class Plain(Backend[PlainConfig]):
    """Reads ``name=value`` lines from the file that ``port`` names: a device that needs no hardware."""

    Config: ClassVar[type[PlainConfig]] = PlainConfig
    description: ClassVar[str] = "Plain backend"
    version: ClassVar[str] = "0.1"
    commands: ClassVar[frozenset[str]] = frozenset({"test.battery.start", "load.off"})

    @property
    def writable(self) -> Mapping[str, Writable]:
        """What upsrw may set."""
        return {"ups.delay.shutdown": Writable(ranges=((0, 600),)), "ups.id": Writable(maxlen=20)}

    async def poll(self) -> Reading:
        """Ask the device once."""
        try:
            content = await asyncio.to_thread(Path(self.config.port).read_text, "utf-8", "replace")
        except OSError as error:
            raise DeviceError(f"{self.config.port} cannot be read: {error.strerror}") from error
        raw: dict[str, object] = {name: value for name, _, value in (line.partition("=") for line in content.splitlines())}
        if raw.get("grid") not in ("up", "down"):
            raise DeviceError("the device does not say whether the grid is up or down")
        values = translate(FIELDS, raw)
        charge = values.get("battery.charge")
        if isinstance(charge, int | float):
            # The driver itself drops a charge that is not from 0 to 100.
            values["battery.charge"] = charge * self.config.factor
        values.update({"ups.mfr": "Example", "ups.delay.shutdown": self._delay, "ups.id": self._name})
        status = Status.OL if raw["grid"] == "up" else Status.OB
        alarm = raw.get("alarm")
        # what the battery loses and holds, so that the charge falls while the device is silent; its own low mark.
        load, capacity = to_number(raw.get("watts")), to_number(raw.get("capacity"))
        decline = Decline(load=load or 0.0, capacity=capacity, low=to_number(raw.get("low")))
        return Reading(values, status, (str(alarm),) if alarm else (), raw, decline=decline)

    _delay: int = 20
    _name: str = "plain"

    async def set(self, name: str, value: str) -> None:
        """Carry out upsrw; the value was checked."""
        if name == "ups.delay.shutdown":
            self._delay = int(value)
        else:
            self._name = value

    async def command(self, name: str, param: str | None) -> None:
        """Carry out upscmd."""
        if name == "load.off":
            raise CommandError("this device has no switch", Result.FAILED)

    async def shutdown(self) -> None:
        """Cut the power of the load; most house batteries cannot and leave this out."""
        try:
            Path(self.config.port + ".off").write_text("off\n", encoding="utf-8")
        except OSError as error:
            raise CommandError(f"the switch did not move: {error.strerror}", Result.FAILED) from error
