# SPDX-License-Identifier: GPL-2.0-or-later
"""More of what can happen in a drill: to the programs around the driver, and what a client or another device does meanwhile."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from nutdrv_py.nut.parseconf import MAX_WORD, quote
from nutdrv_py.protocols.rct.frame import read_request
from nutdrv_py.protocols.rct.objects import OBJECTS
from tests.drills.stage import Scene, Stopped

__all__ = ["Back", "Command", "Configure", "End", "Freeze", "Neighbour", "NoFiles", "Noise", "Server", "Set", "WallClock"]


@dataclass(frozen=True, slots=True)
class Back:
    """A device that was away answers again, as it did before."""

    def play(self, scene: Scene) -> None:
        """Bring it back."""
        scene.happens()
        scene.device.back()


@dataclass(frozen=True, slots=True)
class Noise:
    """Bytes on the device's line that nobody has asked for, ``times`` times with ``pause`` seconds in between."""

    data: bytes
    times: int = 1
    pause: float = 0.2

    def play(self, scene: Scene) -> None:
        """Send them, recording in between."""
        scene.happens()
        for _ in range(self.times):
            scene.device.noise(self.data)
            scene.watch(self.pause)


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another client on the inverter's line asks for all objects in turn, so many per second, until the scene ends."""

    per_second: float = 20.0

    def play(self, scene: Scene) -> None:
        """Start it."""
        scene.happens()
        ended = threading.Event()
        host, _, port = scene.device.section["port"].rpartition(":")

        def ask() -> None:
            with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 5) as line:
                line.setblocking(False)
                while True:
                    for row in OBJECTS:
                        if ended.wait(1 / self.per_second):
                            return
                        line.send(read_request(row.oid))
                        with contextlib.suppress(BlockingIOError):
                            while line.recv(1 << 16):
                                pass

        thread = threading.Thread(target=ask, name="another client")
        thread.start()
        scene.after.callback(thread.join)
        scene.after.callback(ended.set)


@dataclass(frozen=True, slots=True)
class Freeze:
    """Stop processes for so many seconds by SIGSTOP: the driver, or all of NUT, as on a host that hangs or is paused."""

    seconds: float
    whom: tuple[str, ...] = ("driver",)
    """Of ``driver``, ``server`` (upsd) and ``monitor`` (upsmon)."""

    def play(self, scene: Scene) -> None:
        """Stop them, record, and let them go on."""
        processes: list[subprocess.Popen[bytes]] = [getattr(scene, name) for name in self.whom]
        scene.happens()
        try:
            for process in processes:
                os.kill(process.pid, signal.SIGSTOP)
            scene.watch(self.seconds)
        finally:
            for process in processes:
                os.kill(process.pid, signal.SIGCONT)
        if not scene.shut_down:
            scene.happens()


@dataclass(frozen=True, slots=True)
class End:
    """``kill -9`` upsd (``server``) or upsmon (``monitor``)."""

    whom: str

    def play(self, scene: Scene) -> None:
        """Kill it."""
        scene.happens()
        scene.kill(getattr(scene, self.whom))


@dataclass(frozen=True, slots=True)
class Server:
    """Start upsd again."""

    def play(self, scene: Scene) -> None:
        """Start it, and wait until it answers."""
        scene.start_upsd()
        scene.happens()


@dataclass(frozen=True, slots=True)
class Set:
    """``upsrw -s name=value``; ``answer`` is a pattern that upsrw must print."""

    name: str
    value: str
    answer: str = "OK|SUCCESS"

    def play(self, scene: Scene) -> None:
        """Set it."""
        scene.happens()
        _expect("upsrw", scene.client("upsrw", "-s", f"{self.name}={self.value}", "-w", scene.address), self.answer)


@dataclass(frozen=True, slots=True)
class Command:
    """``upscmd``; ``answer`` is a pattern that it must print."""

    name: str
    answer: str = "OK|SUCCESS"

    def play(self, scene: Scene) -> None:
        """Send it."""
        scene.happens()
        _expect("upscmd", scene.client("upscmd", "-w", scene.address, self.name), self.answer)


def _expect(program: str, answer: str, pattern: str) -> None:
    if not re.search(pattern, answer):
        raise Stopped(f"{program} answered {answer!r}, not {pattern}")


@dataclass(frozen=True, slots=True)
class Configure:
    """Write options into the section of ups.conf, and reload the driver by SIGHUP. ``text`` is appended as it is."""

    options: Mapping[str, str] = field(default_factory=dict)
    text: str = ""

    def play(self, scene: Scene) -> None:
        """Write and reload."""
        path = scene.folder / "etc" / "ups.conf"
        lines = [line for line in path.read_text().splitlines() if line.split("=")[0].strip() not in self.options]
        lines += [f"    {name} = {quote(value, MAX_WORD)}" for name, value in self.options.items()]
        path.write_text("\n".join([*lines, self.text]) + "\n")
        scene.happens()
        scene.signal(signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class NoFiles:
    """From now on the driver cannot write into any file, its log included; so does one that is started later."""

    def play(self, scene: Scene) -> None:
        """Take the right away."""
        scene.limits = ("prlimit", "--fsize=0")
        if scene.driver is not None:
            subprocess.run(["prlimit", f"--pid={scene.driver.pid}", "--fsize=0"], check=True)


@dataclass(frozen=True, slots=True)
class WallClock:
    """The driver's clock of day jumps by ``by`` seconds; it must be a device whose driver lets it."""

    by: float

    def play(self, scene: Scene) -> None:
        """Set it."""
        scene.happens()
        (scene.folder / "run" / "wall").write_text(str(self.by))
