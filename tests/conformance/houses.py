# SPDX-License-Identifier: GPL-2.0-or-later
"""The simulators and files of this project, as devices of the conformance suite."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

from nutdrv_py.backends.dummy.config import DummyConfig
from nutdrv_py.backends.enphase.config import EnphaseConfig
from nutdrv_py.backends.mapping.config import MappingConfig
from nutdrv_py.backends.rct.config import RctConfig
from nutdrv_py.clock import Clock
from nutdrv_py.simulators.enphase import GatewaySimulator
from nutdrv_py.simulators.enphase import load_scenario as gateway_scenario
from nutdrv_py.simulators.rct import InverterSimulator
from nutdrv_py.simulators.rct import load_scenario as inverter_scenario
from nutdrv_py.testing import Device
from tests.conftest import REPO

TEMPLATE = REPO / "nutdrv_py" / "commands" / "template"
PASSWORD = "demo-password"
HOUSE = 300.0
"""W that the house takes while the battery is charged."""


def faked() -> type[Device]:
    """Return the device of the package that new-backend makes, which is that of the skeleton."""
    fake = ModuleType("fake_of_the_skeleton")
    exec(compile((TEMPLATE / "fake.py.in").read_text(), "fake.py.in", "exec"), fake.__dict__)
    sys.modules[fake.__name__] = fake
    text = (TEMPLATE / "test.py.in").read_text().replace("@MODULE@.fake", fake.__name__)
    test: dict[str, Any] = {"__name__": "test_of_the_skeleton"}
    exec(compile(text.replace("@MODULE@", "skeleton").replace("@CLASS@", "Skeleton"), "test.py.in", "exec"), test)
    found: type[Device] = test["Faked"]
    return found


class Gateway(Device):
    """An Enphase system."""

    patience = 3.0
    capacity = 10000.0

    def __init__(self, clock: Clock, folder: Path) -> None:
        super().__init__(clock, folder)
        story = gateway_scenario("online")
        self.sim = GatewaySimulator(replace(story, timeline=()), clock=clock.monotonic, wall=clock.wall)
        self.sim.set(soc=80, load=500, pv=0, policy="rest")

    async def __aenter__(self) -> Gateway:
        await self.sim.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.sim.stop()

    def config(self) -> EnphaseConfig:
        return EnphaseConfig(
            port=self.sim.host_port, username=self.sim.username, password=PASSWORD, tokenfile=str(self.folder / "token"),
            login_url=self.sim.login_url, token_url=self.sim.token_url, api_timeout=1, pollinterval=10, maxage=90,
        )  # fmt: skip

    async def grid(self) -> None:
        self.sim.set(grid="on")

    async def outage(self) -> None:
        self.sim.set(grid="outage")

    async def charge(self, percent: float) -> None:
        self.sim.set(soc=percent)

    async def battery(self, watts: float) -> None:
        if watts < 0:
            self.sim.set(load=HOUSE, pv=HOUSE - watts, policy="self-consumption")
        else:
            self.sim.set(load=max(watts, HOUSE), pv=HOUSE if watts < HOUSE else 0, policy="self-consumption" if watts else "rest")

    async def load(self, watts: float) -> None:
        self.sim.set(load=watts)

    async def silence(self) -> None:
        self.sim.set(offline=True)

    async def garbage(self) -> None:
        self.sim.set(fault={"*": {"kind": "html"}})

    async def slow(self, seconds: float) -> None:
        self.sim.set(fault={"*": {"kind": "delay", "seconds": seconds}})

    async def refuse(self) -> None:
        self.sim.set(login="invalid", forget_tokens=True)
        (self.folder / "token").unlink(missing_ok=True)

    async def restart(self) -> None:
        self.sim.set(offline=True)
        self.sim.set(offline=False, forget_tokens=True)

    async def recover(self) -> None:
        self.sim.set(offline=False, clear_faults=True, login="ok")


class Inverter(Device):
    """An RCT Power inverter."""

    patience = 3.0
    capacity = 3840.0

    def __init__(self, clock: Clock, folder: Path) -> None:
        super().__init__(clock, folder)
        story = inverter_scenario("online")
        self.sim = InverterSimulator(replace(story, timeline=()), clock=clock.monotonic, wall=clock.wall)
        self.sim.set(soc=80.0, load=500.0, pv=500.0, reclose_seconds=20.0, soc_max=100.0)

    async def __aenter__(self) -> Inverter:
        await self.sim.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.sim.stop()

    def config(self) -> RctConfig:
        return RctConfig(port=self.sim.host_port, pollinterval=15, maxage=60)

    async def grid(self) -> None:
        self.sim.set(grid="on")

    async def outage(self) -> None:
        self.sim.set(grid="outage")

    async def charge(self, percent: float) -> None:
        self.sim.set(soc=percent)

    async def battery(self, watts: float) -> None:
        self.sim.set(load=max(HOUSE, watts), pv=HOUSE - watts if watts <= 0 else 0.0)

    async def load(self, watts: float) -> None:
        self.sim.set(load=watts)

    async def hide_charge(self) -> None:
        self.sim.set(mute=("battery.soc",))

    async def hide_grid(self) -> None:
        self.sim.set(mute=("prim_sm.island_flag", *(f"rb485.u_l_grid[{phase}]" for phase in range(3))))

    async def silence(self) -> None:
        self.sim.set(offline=True)

    async def garbage(self) -> None:
        self.sim.set(corrupt=1.0)

    async def slow(self, seconds: float) -> None:
        self.sim.set(delay=seconds / 8)  # for each of many answers

    async def restart(self) -> None:
        self.sim.set(offline=True)
        self.sim.set(offline=False)

    async def recover(self) -> None:
        self.sim.set(offline=False, corrupt=0.0, delay=0.0, mute=())


class Described(Device):
    """A file that another program writes, described by a file."""

    capacity: ClassVar[float | None] = 10000.0
    DESCRIPTION = """\
device: Test
maxage: 60
source: {file: state.json}
grid: {path: grid, on: [up], off: [down]}
fields:
  battery.charge: {path: soc}
  ups.realpower: {path: load}
battery: {power: {path: power}, capacity: 10000}
"""

    def __init__(self, clock: Clock, folder: Path) -> None:
        super().__init__(clock, folder)
        self.state: dict[str, Any] = {"grid": "up", "soc": 80, "load": 500, "power": 0}
        self.text: str | None = None
        """What is written in place of the state; nothing when empty."""

    async def __aenter__(self) -> Described:
        (self.folder / "device.yaml").write_text(self.DESCRIPTION)
        self.write()
        self.writer = asyncio.ensure_future(self.go_on())
        return self

    async def __aexit__(self, *error: object) -> None:
        self.writer.cancel()

    async def go_on(self) -> None:
        """Write the file anew each few seconds, as the other program does."""
        while True:
            await self.clock.sleep(4)
            if self.text != "":
                self.write(self.text)

    def write(self, text: str | None = None) -> None:
        path = self.folder / "state.json"
        path.write_text(json.dumps(self.state) if text is None else text)
        os.utime(path, (self.clock.wall(),) * 2)

    def config(self) -> MappingConfig:
        return MappingConfig(port="device.yaml", confpath=str(self.folder), ups="home")

    async def say(self, **values: object) -> None:
        self.state.update(values)
        self.write()

    async def grid(self) -> None:
        await self.say(grid="up")

    async def outage(self) -> None:
        await self.say(grid="down")

    async def charge(self, percent: float) -> None:
        await self.say(soc=percent)

    async def battery(self, watts: float) -> None:
        await self.say(power=watts)

    async def load(self, watts: float) -> None:
        await self.say(load=watts)

    async def hide_charge(self) -> None:
        await self.say(soc=None)

    async def hide_grid(self) -> None:
        await self.say(grid=None)

    async def silence(self) -> None:
        self.text = ""
        (self.folder / "state.json").unlink()

    async def garbage(self) -> None:
        self.text = "<html>502</html>"
        self.write(self.text)

    async def repeat(self) -> None:
        self.text = ""

    async def recover(self) -> None:
        self.text = None
        self.state.update(soc=self.state["soc"] or 80, grid=self.state["grid"] or "up")
        self.write()


class Sizeless(Described):
    """One of a battery whose size nobody tells."""

    capacity = None
    DESCRIPTION = Described.DESCRIPTION.replace(", capacity: 10000", "")


class DevFile(Device):
    """The file of dummy-ups."""

    def __init__(self, clock: Clock, folder: Path) -> None:
        super().__init__(clock, folder)
        self.path = folder / "home.dev"
        self.state: dict[str, Any] = {"ups.status": "OL", "battery.charge": 80, "battery.runtime": 3600}

    async def __aenter__(self) -> DevFile:
        self.write()
        return self

    def write(self) -> None:
        self.path.write_text("".join(f"{name}: {value}\n" for name, value in self.state.items() if value is not None))

    def config(self) -> DummyConfig:
        return DummyConfig(port=str(self.path), mode="dummy-once")

    async def say(self, **values: object) -> None:
        self.state.update({name.replace("_", "."): value for name, value in values.items()})
        self.write()

    async def grid(self) -> None:
        await self.say(ups_status="OL")

    async def outage(self) -> None:
        await self.say(ups_status="OB")

    async def charge(self, percent: float) -> None:
        await self.say(battery_charge=percent)

    async def runtime(self, seconds: float) -> None:
        await self.say(battery_runtime=seconds)

    async def silence(self) -> None:
        self.path.unlink()

    async def recover(self) -> None:
        self.write()
