# SPDX-License-Identifier: GPL-2.0-or-later
"""The shipped descriptions, each with a stand-in that speaks the device's protocol; and another upsd."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from nutdrv_py.backends.mapping.config import MappingConfig
from nutdrv_py.backends.repeater.config import RepeaterConfig
from nutdrv_py.clock import Clock
from nutdrv_py.testing import Device
from tests.backends.mapping.speakers import ModbusServer, WebServer
from tests.backends.test_repeater import CLOSE, SECRET, USER, Server, variables
from tests.integration.test_mapping import REGISTERS, Registers

Values = Callable[[float], Mapping[int, int]]


def _words(number: float) -> tuple[int, int]:
    """Two registers of a signed number of 32 bits, the high one first."""
    high, low = struct.unpack(">2H", struct.pack(">i", round(number)))
    return high, low


def _float(address: int) -> Values:
    def values(number: float) -> Mapping[int, int]:
        high, low = struct.unpack(">2H", struct.pack(">f", number))
        return {address: low, address + 1: high}

    return values


@dataclass(frozen=True, slots=True)
class Handles:
    """The register of the grid, and which hold the charge, the battery's power and the load, and how."""

    grid: int
    charge: Values
    battery: Values | None = None
    load: Values | None = None


HANDLES: dict[str, Handles] = {
    "victron-gx": Handles(826, lambda n: {843: round(n)}, lambda n: {842: round(-n)}, lambda n: {817: round(n), 818: 0, 819: 0}),
    "deye": Handles(194, lambda n: {184: round(n)}, lambda n: {190: round(n)}, lambda n: {178: round(n)}),
    "deye-three-phase": Handles(552, lambda n: {588: round(n)}, lambda n: {590: round(n)}, lambda n: {653: round(n)}),
    "sungrow-sh": Handles(12999, lambda n: {13022: round(10 * n)}, None, lambda n: {13007: _words(n)[1], 13008: _words(n)[0]}),
    "solaredge": Handles(40114, _float(57732), lambda n: _float(57716)(-n)),
    "huawei": Handles(32004, lambda n: {37760: round(10 * n)}, lambda n: dict(zip((37765, 37766), _words(-n), strict=True))),
}


class Modbus(Device):
    """A device that is read over Modbus TCP."""

    row: ClassVar[Registers]

    def __init__(self, clock: Clock, folder: Path) -> None:
        super().__init__(clock, folder)
        self.server = ModbusServer()
        self.handles = HANDLES[self.row.name]
        self.say(self.row.online)
        self.say(self.handles.charge(80.0))

    def say(self, values: Mapping[int, int]) -> None:
        self.server.say(self.row.unit, values, self.row.table)

    async def __aenter__(self) -> Modbus:
        self.server.__enter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await asyncio.to_thread(self.server.__exit__)

    def config(self) -> MappingConfig:
        return MappingConfig(port=self.row.name, address=self.server.address, pollinterval=15)

    async def grid(self) -> None:
        self.say({self.handles.grid: self.row.online[self.handles.grid]})

    async def outage(self) -> None:
        self.say({self.handles.grid: self.row.outage[self.handles.grid]})

    async def charge(self, percent: float) -> None:
        self.say(self.handles.charge(percent))

    async def hide_grid(self) -> None:
        self.kept = self.server.registers.pop(self.key)

    @property
    def key(self) -> tuple[int, str, int]:
        return self.row.unit, self.row.table, self.handles.grid

    async def silence(self) -> None:
        def nothing(answer: bytes) -> bytes:
            raise OSError

        self.server.spoil = nothing

    async def garbage(self) -> None:
        # Exception 4, device failure: of a register that is read bit by bit each value means something.
        self.server.spoil = lambda answer: answer[:4] + bytes((0, 3)) + answer[6:7] + bytes((answer[7] | 0x80, 4))

    async def restart(self) -> None:
        def once(answer: bytes) -> bytes:
            self.server.spoil = lambda answer: answer
            raise OSError

        self.server.spoil = once

    async def recover(self) -> None:
        self.server.spoil = lambda answer: answer
        if self.kept is not None:
            self.server.registers.setdefault(self.key, self.kept)

    kept: int | None = None


class ModbusBattery(Modbus):
    """One that tells the battery's power."""

    async def battery(self, watts: float) -> None:
        assert self.handles.battery is not None
        self.say(self.handles.battery(watts))


class ModbusLoad(Modbus):
    """One that tells the load."""

    async def load(self, watts: float) -> None:
        assert self.handles.load is not None
        self.say(self.handles.load(watts))


class ModbusBoth(ModbusBattery, ModbusLoad):
    """One that tells both."""


def modbus(row: Registers) -> type[Modbus]:
    """Return the device of a row."""
    handles = HANDLES[row.name]
    base = ModbusBoth if handles.battery and handles.load else ModbusBattery if handles.battery else ModbusLoad
    return type(f"Fake_{row.name}", (base,), {"row": row})


MODBUS = {row.name: modbus(row) for row in REGISTERS}


class Powerwall(Device):
    """A Tesla gateway."""

    patience = 7.0
    capacity = 13500.0

    def __init__(self, clock: Clock, folder: Path) -> None:
        super().__init__(clock, folder)
        self.web: WebServer
        self.state: dict[str, Any] = {"grid": "SystemGridConnected", "soe": 80.0, "battery": 0.0, "load": 500.0}

    async def __aenter__(self) -> Powerwall:
        self.web = WebServer(self.folder, password=SECRET)
        self.web.__enter__()
        path = self.folder / "powerwall"
        path.touch(mode=0o600)
        path.write_text(f"USERNAME=me@example.org\nPASSWORD={SECRET}\n")
        self.say()
        return self

    async def __aexit__(self, *error: object) -> None:
        await asyncio.to_thread(self.web.__exit__)

    @property
    def secrets(self) -> tuple[str, ...]:
        return (SECRET,)

    def config(self) -> MappingConfig:
        return MappingConfig(
            port="tesla-powerwall", address=self.web.address, credentials="powerwall", certificate=self.web.fingerprint,
            confpath=str(self.folder), pollinterval=15,
        )  # fmt: skip

    def say(self, **values: object) -> None:
        self.state.update(values)
        state = self.state
        self.web.answers = {
            "/api/system_status/grid_status": {"grid_status": state["grid"]},
            "/api/system_status/soe": {"percentage": state["soe"]},
            "/api/system_status": {"nominal_full_pack_energy": 13500},
            "/api/meters/aggregates": {
                "site": {"instant_power": -20.5, "frequency": 49.98}, "battery": {"instant_power": state["battery"]},
                "load": {"instant_power": state["load"]}, "solar": {"instant_power": 0},
            },
        }  # fmt: skip

    async def grid(self) -> None:
        self.say(grid="SystemGridConnected")

    async def outage(self) -> None:
        self.say(grid="SystemIslandedActive")

    async def charge(self, percent: float) -> None:
        self.say(soe=percent)

    async def battery(self, watts: float) -> None:
        self.say(battery=watts)

    async def load(self, watts: float) -> None:
        self.say(load=watts)

    async def hide_charge(self) -> None:
        self.web.answers["/api/system_status/soe"] = {}

    async def hide_grid(self) -> None:
        self.web.answers["/api/system_status/grid_status"] = {}

    async def silence(self) -> None:
        self.web.status = dict.fromkeys(self.web.answers, 503)

    async def garbage(self) -> None:
        self.web.answers = dict.fromkeys(self.web.answers, b"<html>")

    async def refuse(self) -> None:
        self.web.password = "another"
        self.web.forget()

    async def restart(self) -> None:
        self.web.forget()

    async def recover(self) -> None:
        self.web.status = {}
        self.web.password = SECRET
        self.say()


class OtherUpsd(Device):
    """Another upsd with a UPS."""

    patience = 3.0

    def __init__(self, clock: Clock, folder: Path) -> None:
        super().__init__(clock, folder)
        self.server: Server
        self.state: dict[str, str] = {"ups.status": "OL", "battery.charge": "80", "battery.runtime": "3600", "ups.model": "Box"}
        self.drop = False

    async def __aenter__(self) -> OtherUpsd:
        self.server = Server()
        self.say()
        return self

    async def __aexit__(self, *error: object) -> None:
        self.server.close()

    def config(self) -> RepeaterConfig:
        return RepeaterConfig(port=f"ups@127.0.0.1:{self.server.port}", username=USER, password=SECRET, pollinterval=5)

    def say(self, **values: object) -> None:
        self.state.update({name.replace("_", "."): str(value) for name, value in values.items()})
        self.server.answers["LIST VAR ups"] = variables(self.state)

    async def grid(self) -> None:
        self.say(ups_status="OL")

    async def outage(self) -> None:
        self.say(ups_status="OB")

    async def charge(self, percent: float) -> None:
        self.say(battery_charge=f"{percent:g}")

    async def runtime(self, seconds: float) -> None:
        self.say(battery_runtime=f"{seconds:g}")

    async def silence(self) -> None:
        self.server.answers["LIST VAR ups"] = CLOSE

    async def garbage(self) -> None:
        self.server.answers["LIST VAR ups"] = b"\x00\xff nonsense\n"

    async def repeat(self) -> None:
        self.server.answers["LIST VAR ups"] = b"ERR DATA-STALE\n"

    async def restart(self) -> None:
        self.server.drop()

    async def recover(self) -> None:
        self.say()
