# SPDX-License-Identifier: GPL-2.0-or-later
"""What stands behind the driver in a drill: a file that a backend reads, or a simulator."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from nutdrv_py.commands.check.programs import version
from nutdrv_py.simulators import enphase, rct
from nutdrv_py.simulators.enphase.documents import DOCUMENTS
from nutdrv_py.simulators.nut import Stage
from tests.conftest import REPO
from tests.drills.ports import move
from tests.drills.scripted import PASSWORD

__all__ = ["DEVICES", "FILE", "Answer", "Device"]

FILE = "device.dev"
"""Name of the file in the scratch NUT's configuration; written into ``port`` as a whole path."""

USUAL = {"battery.charge": 80, "battery.charge.low": 20}
"""Values of an answer that names none."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of the device. ``age`` in seconds: None for a device that is asked anew at each poll."""

    status: str = "OL"
    values: Mapping[str, object] = field(default_factory=lambda: USUAL)
    alarms: tuple[str, ...] = ()
    age: float | None = None
    how: str = ""
    seconds: float = 0.0


class Device:
    """A device whose answers are lines in a file; subclasses say which."""

    environ: Mapping[str, str] = {}
    """What the driver's environment needs besides, once :meth:`prepare` was called."""
    usual: ClassVar[Mapping[str, str]] = {}
    """Options of the section."""

    def __init__(self) -> None:
        self.section = dict(self.usual)
        self.answer = Answer()
        self.path = Path()

    def prepare(self, folder: Path) -> None:
        """Take the folder of the scratch NUT's configuration."""
        self.path = folder / FILE

    def say(self, answer: Answer) -> None:
        """Answer so from now on; None as text makes the file disappear."""
        self.answer = answer
        text = self.text(answer)
        if text is None:
            self.path.unlink(missing_ok=True)
            return
        new = self.path.with_suffix(".new")
        new.write_text(text, encoding="utf-8")
        new.replace(self.path)

    def text(self, answer: Answer) -> str | None:
        """Return the file's content."""
        return ""

    def change(self, **changes: object) -> None:
        """Change a simulator; a file has nothing to change."""
        raise AssertionError("only a simulator can be changed")

    def back(self) -> None:
        """Answer again after a failure."""
        self.say(replace(self.answer, how=""))

    def noise(self, data: bytes) -> None:
        """Put bytes on the line, or into the file."""
        self.path.write_bytes(data)

    def close(self) -> None:
        """End what was started."""


class ScriptedDevice(Device):
    """The backend of :mod:`tests.drills.scripted`."""

    environ: Mapping[str, str] = {"PYTHONPATH": str(REPO)}
    usual: ClassVar[Mapping[str, str]] = {"backend": "tests.drills.scripted:Scripted", "port": FILE, "password": PASSWORD}

    def text(self, answer: Answer) -> str:
        """Return the answer as JSON."""
        at = None if answer.age is None else time.monotonic() - answer.age
        return json.dumps(
            {
                "status": answer.status, "values": dict(answer.values), "alarms": answer.alarms, "at": at,
                "how": answer.how, "seconds": answer.seconds,
            }
        )  # fmt: skip


class DummyDevice(Device):
    """``backend = dummy``."""

    usual: ClassVar[Mapping[str, str]] = {"backend": "dummy", "port": FILE}

    def text(self, answer: Answer) -> str | None:
        """Return the answer as a ``.dev`` file; any failure is a file that is gone."""
        if answer.how:
            return None
        alarms = "".join(f"[{alarm}]" for alarm in answer.alarms)
        lines = {"ups.status": answer.status, **answer.values, **({"ups.alarm": alarms} if alarms else {})}
        return "".join(f"{name}: {value}\n" for name, value in lines.items())


class PlainDevice(Device):
    """``tests/integration/plain.py``: the values are the device's own names."""

    environ: Mapping[str, str] = {"PYTHONPATH": f"{REPO / 'tests' / 'integration'}:{REPO}"}
    usual: ClassVar[Mapping[str, str]] = {"backend": "plain:Plain", "port": FILE}

    def text(self, answer: Answer) -> str | None:
        """Return ``name=value`` lines; ``grid`` follows from the status."""
        if answer.how:
            return None
        lines = {"grid": "down" if "OB" in answer.status.split() else "up", **answer.values}
        return "".join(f"{name}={value}\n" for name, value in lines.items())


class SimulatedDevice(Device):
    """A simulator in a thread of this process; its scenario's timeline is left out."""

    def __init__(self, running: Callable[[], Any]) -> None:
        super().__init__()
        self._stack = ExitStack()
        self.running = self._stack.enter_context(running())

    def say(self, answer: Answer) -> None:
        """A simulator has no answers but its own; a failure takes it off the network."""
        self.running.set(offline=bool(answer.how))

    def change(self, **changes: object) -> None:
        """Change the house or the device, which is on the network again."""
        self.running.set(**{"offline": False, **changes})

    def close(self) -> None:
        """End the simulator."""
        self._stack.close()


class RctDevice(SimulatedDevice):
    """The simulated inverter."""

    def __init__(self) -> None:
        super().__init__(lambda: rct.RunningInverter(replace(rct.load_scenario("online"), timeline=())))
        self.section = {"backend": "rct", "port": self.running.sim.host_port, "pollinterval": "2"}

    def noise(self, data: bytes) -> None:
        """Send the bytes to every client of the line."""
        self.running.call(lambda: self.running.sim.broadcast(data))


class EnphaseDevice(SimulatedDevice):
    """The simulated gateway and its cloud."""

    def __init__(self) -> None:
        super().__init__(lambda: enphase.RunningSimulator(replace(enphase.load_scenario("online"), timeline=())))
        sim = self.running.sim
        self.section = {
            "backend": "enphase", "port": sim.host_port, "serial": sim.serial, "credentials": "credentials",
            "tokenfile": "home.token", "login_url": sim.login_url, "token_url": sim.token_url, "pollfreq": "5", "api_timeout": "2",
            "pollinterval": "2",
        }  # fmt: skip

    def change(self, **changes: Any) -> None:
        """Change house and gateway. ``documents``: by path, members that its answer has otherwise from now on; None: as it is."""
        documents = changes.pop("documents", {})
        if changes:
            super().change(**changes)
        sim = self.running.sim
        for path, members in documents.items():
            fault = None if members is None else {"kind": "status", "status": 200, "body": json.dumps(self._patched(path, members))}
            self.running.call(lambda path=path, fault=fault: sim.set(fault={path: fault}))

    def _patched(self, path: str, members: Mapping[str, object]) -> object:
        sim = self.running.sim
        make = {**DOCUMENTS, "/ivp/livedata/status": lambda _: sim.live.document()}[path]
        document = self.running.call(lambda: make(sim.view()))
        for name, value in members.items():
            *way, last = name.split("/")
            place = document
            for step in way:
                place = place[int(step) if isinstance(place, list) else step]
            place[int(last) if isinstance(place, list) else last] = value
        return document

    def prepare(self, folder: Path) -> None:
        """Write the account's name and password beside ups.conf."""
        super().prepare(folder)
        secret = folder / "credentials"
        secret.touch(mode=0o600)
        secret.write_text(f"USERNAME={self.running.sim.username}\nPASSWORD={self.running.sim.password}\n", encoding="ascii")


class RepeaterDevice(DummyDevice):
    """``backend = repeater`` of a second scratch NUT, whose UPS is the file of a real ``dummy-ups``."""

    def __init__(self) -> None:
        super().__init__()
        self._source = Stage({"driver": "dummy-ups", "port": FILE, "mode": "dummy-once", "pollinterval": "1"}, ups="rack")
        move(self._source)
        conf = self._source.folder / "etc" / "upsd.conf"
        conf.write_text(conf.read_text().replace("MAXAGE 15", "MAXAGE 3"))
        self.section = {"backend": "repeater", "port": self._source.address, "username": "demo", "password": "demo"}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._second = 0

    def prepare(self, folder: Path) -> None:
        """Keep the file beside the source's ups.conf."""
        self.path = self._source.folder / "etc" / FILE

    def text(self, answer: Answer) -> str | None:
        """Return the file. Since 2.8.4 dummy-ups takes alarms by a word of their own, and a bare one ends them."""
        if (version("upsmon") or ()) < (2, 8, 4):
            return super().text(answer)
        alarms = "".join(f"ALARM {alarm}\n" for alarm in answer.alarms) or "ALARM\n"
        return f"{super().text(replace(answer, alarms=()))}{alarms}"

    def say(self, answer: Answer) -> None:
        """Write the source's file; ``how`` is one of :data:`LOST`."""
        how, before = answer.how, self.answer.how
        super().say(replace(answer, how=""))
        # dummy-ups 2.8.0 reads a file again when the second of its change is another one.
        self._second += 1
        os.utime(self.path, (self._second, self._second))
        self.answer = answer
        if how != before:
            LOST[how or before](self, not how)
        if not how:
            self._start()

    def _start(self) -> None:
        user = ["-u", "root"] if os.geteuid() == 0 else []
        for name, words in (("dummy-ups", ["-a", "rack", "-F", *user]), ("upsd", ["-F", *user])):
            if name not in self._running:
                self._running[name] = self._source.spawn(name, *words)

    def _killed(self, name: str, back: bool) -> None:
        if not back:
            process = self._running.pop(name)
            process.kill()
            process.wait()

    def _stopped(self, name: str, back: bool) -> None:
        self._running[name].send_signal(signal.SIGCONT if back else signal.SIGSTOP)

    def close(self) -> None:
        """End the source."""
        for process in self._running.values():
            process.kill()
            process.wait()
        self._source.close()


LOST: Mapping[str, Callable[[RepeaterDevice, bool], None]] = {
    "device": lambda device, back: device._killed("upsd", back),
    "driver": lambda device, back: device._killed("dummy-ups", back),
    "hang": lambda device, back: device._stopped("upsd", back),
    "stale": lambda device, back: device._stopped("dummy-ups", back),
}
"""How a repeater's source can be lost: upsd or its driver killed or stopped."""


class MovedDevice(EnphaseDevice):
    """The same, with a driver whose clock of day can be moved."""

    def prepare(self, folder: Path) -> None:
        """Say where the clock's offset will be."""
        super().prepare(folder)
        self.environ = {"PYTHONPATH": str(Path(__file__).parent / "wall"), "DRILLS_WALL": str(folder.parent / "run" / "wall")}


DEVICES: Mapping[str, Callable[[], Device]] = {
    "scripted": ScriptedDevice,
    "dummy": DummyDevice,
    "plain": PlainDevice,
    "rct": RctDevice,
    "enphase": EnphaseDevice,
    "enphase, clock moved": MovedDevice,
    "repeater": RepeaterDevice,
}
"""The kinds of devices a row may name."""
