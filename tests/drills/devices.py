# SPDX-License-Identifier: GPL-2.0-or-later
"""What stands behind the driver in a drill: a file that a backend reads, or a simulator."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from nutdrv_py.simulators import enphase, rct
from nutdrv_py.simulators.nut import Stage
from tests.conftest import REPO
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

    environ: ClassVar[Mapping[str, str]] = {}
    """What the driver's environment needs besides."""
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

    def close(self) -> None:
        """End what was started."""


class ScriptedDevice(Device):
    """The backend of :mod:`tests.drills.scripted`."""

    environ: ClassVar[Mapping[str, str]] = {"PYTHONPATH": str(REPO)}
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


class RepeaterDevice(DummyDevice):
    """``backend = repeater`` of another upsd, whose driver reads a ``.dev`` file."""

    usual: ClassVar[Mapping[str, str]] = {"backend": "repeater"}

    def __init__(self) -> None:
        super().__init__()
        self._source = Stage({"driver": "nutdrv_py", "backend": "dummy", "port": FILE, "pollinterval": "1", "maxage": "3"}, ups="source")
        self.section = {**self.usual, "port": self._source.address}
        self.path = self._source.folder / "etc" / FILE

    def prepare(self, folder: Path) -> None:
        """Start the other upsd; its file is not in the scratch NUT."""
        super().say(Answer())
        done = self._source.upsdrvctl("start")
        assert done.returncode == 0, done.stdout + done.stderr
        self._source.upsd()

    def close(self) -> None:
        """End the other upsd and its driver."""
        self._source.close()


class SkeletonDevice(Device):
    """``drivers/skeleton.py``: the values are the device's own names."""

    environ: ClassVar[Mapping[str, str]] = {"PYTHONPATH": f"{REPO / 'drivers'}:{REPO}"}
    usual: ClassVar[Mapping[str, str]] = {"backend": "skeleton:Skeleton", "port": FILE}

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
        self.running.set(offline=False, **changes)

    def close(self) -> None:
        """End the simulator."""
        self._stack.close()


class RctDevice(SimulatedDevice):
    """The simulated inverter."""

    def __init__(self) -> None:
        super().__init__(lambda: rct.RunningInverter(replace(rct.load_scenario("online"), timeline=())))
        self.section = {"backend": "rct", "port": self.running.sim.host_port}


class EnphaseDevice(SimulatedDevice):
    """The simulated gateway and its cloud."""

    def __init__(self) -> None:
        super().__init__(lambda: enphase.RunningSimulator(replace(enphase.load_scenario("online"), timeline=())))
        sim = self.running.sim
        self.section = {
            "backend": "enphase", "port": sim.host_port, "serial": sim.serial, "credentials": "credentials",
            "tokenfile": "home.token", "login_url": sim.login_url, "token_url": sim.token_url, "pollfreq": "5", "api_timeout": "2",
        }  # fmt: skip

    def prepare(self, folder: Path) -> None:
        """Write the account's name and password beside ups.conf."""
        super().prepare(folder)
        secret = folder / "credentials"
        secret.touch(mode=0o600)
        secret.write_text(f"USERNAME={self.running.sim.username}\nPASSWORD={self.running.sim.password}\n", encoding="ascii")


DEVICES: Mapping[str, Callable[[], Device]] = {
    "scripted": ScriptedDevice,
    "dummy": DummyDevice,
    "repeater": RepeaterDevice,
    "skeleton": SkeletonDevice,
    "rct": RctDevice,
    "enphase": EnphaseDevice,
}
"""The kinds of devices a row may name."""
