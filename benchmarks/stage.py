# SPDX-License-Identifier: GPL-2.0-or-later
"""A stage for the benchmarks: drivers on simulated devices or files, and dummy-ups on a file, in one scratch directory.

Every wait here has a limit. Drivers are started in the foreground and ended by their process id.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nutdrv_py.simulators import enphase, rct
from nutdrv_py.simulators.nut import Stage, find_program
from nutdrv_py.simulators.running import RunningDevice

PEER = "peer"

LIMIT = 30.0
"""Seconds after which a wait is given up, and the benchmark with it."""


@dataclass(frozen=True)
class Device:
    """A simulated device: how it runs, its section in ups.conf, and the request that begins each poll."""

    make: Callable[[], RunningDevice[Any]]
    section: Callable[[Any], dict[str, str]]
    begins_poll: Callable[[Any], bool]


DEVICES = {
    "enphase": Device(
        lambda: enphase.RunningSimulator(replace(enphase.load_scenario("split-phase"), timeline=())),
        lambda sim: {"port": sim.host_port, "serial": sim.serial, "token": sim.issue_token(), "tokenfile": "token"},
        lambda request: request.path == "/ivp/ensemble/relay",
    ),
    "rct": Device(
        lambda: rct.RunningInverter("online"),
        lambda sim: {"port": sim.host_port},
        lambda request: request.name == "prim_sm.island_flag",
    ),
}


class Scene:
    """A scratch NUT with any number of drivers: ``ours`` by backend, ``peer`` is dummy-ups."""

    def __init__(self) -> None:
        self.nut = Stage({"driver": "dummy-ups", "port": "none"}, ups="unused")
        self.folder = self.nut.folder
        self._conf = ["user = root"] * (os.geteuid() == 0)
        self._sections: dict[str, str] = {}
        self._processes: dict[int, tuple[str, subprocess.Popen[bytes]]] = {}
        self._devices = contextlib.ExitStack()

    def file(self, name: str, variables: int, status: str = "OL") -> Path:
        """Write a port file with so many variables."""
        path = self.folder / f"{name}.dev"
        rows = "".join(f"experimental.v{number}.realpower: {number}.0\n" for number in range(variables))
        part = path.with_suffix(".new")
        part.write_text(f"{rows}battery.charge: 80\nups.status: {status}\n")
        part.replace(path)
        return path

    def device(self, ups: str, backend: str, **options: str) -> Any:
        """Add a section for a simulated device; return the running simulator."""
        device = DEVICES[backend]
        running = self._devices.enter_context(device.make())
        self.section(ups, driver="nutdrv_py", backend=backend, **device.section(running.sim), **options)
        return running

    def section(self, ups: str, **options: str) -> None:
        """Add a section."""
        self._sections[ups] = options["driver"]
        self._conf += [f"[{ups}]", *(f" {name} = {value}" for name, value in options.items())]
        self.nut._write("ups.conf", "\n".join(self._conf) + "\n")

    def start(self, ups: str, *, wait: bool = True) -> int:
        """Start the driver of a section in the foreground; return its process id once its socket answers."""
        ours = self._sections[ups] == "nutdrv_py"
        command = [str(self.folder / "bin" / "nutdrv_py")] if ours else [find_program("dummy-ups")]
        with open(self.folder / "log" / ups, "ab") as log:
            process = subprocess.Popen([*command, "-a", ups, "-F"], env=self.nut.environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._processes[process.pid] = ups, process
        if wait:
            self.await_socket(ups)
        return process.pid

    def await_socket(self, ups: str) -> None:
        """Wait until the driver's socket answers; that of dummy-ups is only looked at: 2.8.0 spins once a client has left."""
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            if self._sections[ups] != "nutdrv_py" and self.socket(ups).exists():
                return
            with contextlib.suppress(OSError), self.connect(ups) as found:
                found.sendall(b"PING\n")
                if b"PONG" in found.recv(4096):
                    return
            time.sleep(0.002)
        raise SystemExit(f"the driver of [{ups}] did not start:\n{(self.folder / 'log' / ups).read_text()[-2000:]}")

    def socket(self, ups: str) -> Path:
        """Return the path of a driver's socket."""
        return self.folder / "run" / f"{self._sections[ups]}-{ups}"

    def connect(self, ups: str) -> socket.socket:
        """Return a connection to a driver's socket; waits on it have a limit."""
        end = time.monotonic() + LIMIT
        while True:
            found = socket.socket(socket.AF_UNIX)
            found.settimeout(LIMIT)
            try:
                found.connect(str(self.socket(ups)))
                return found
            except BlockingIOError:
                # Its queue of clients is full.
                if time.monotonic() > end:
                    raise
                time.sleep(0.01)

    def upsd(self) -> socket.socket:
        """Start upsd, and return a connection to it."""
        self.nut.upsd()
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                return socket.create_connection(("127.0.0.1", self.nut.port), LIMIT)
            time.sleep(0.05)
        raise SystemExit("upsd did not start")

    def end(self, process: int) -> None:
        """Kill a driver and forget its socket: how a driver stops is no part of a figure, and takes its time on purpose."""
        ups, one = self._processes.pop(process)
        one.kill()
        one.wait(LIMIT)
        self.socket(ups).unlink(missing_ok=True)

    def close(self) -> None:
        """End everything that was started here."""
        for process in list(self._processes):
            self.end(process)
        self.nut.close()
        self._devices.close()


@contextlib.contextmanager
def scene() -> Iterator[Scene]:
    """Give a scene, and end it."""
    found = Scene()
    try:
        yield found
    finally:
        found.close()


def ask(connection: socket.socket, request: bytes, end: bytes) -> bytes:
    """Send a request, and return all up to what ends the answer. Raises ConnectionError when the connection ends before."""
    connection.sendall(request)
    limit, data = time.monotonic() + LIMIT, b""
    while end not in data[-65536:]:
        piece = connection.recv(1 << 20)
        if not piece:
            raise ConnectionError("the connection was closed")
        if time.monotonic() > limit:
            raise TimeoutError(f"no answer within {LIMIT:.0f} s")
        data += piece
    return data


def seen(upsd: socket.socket, ups: str, status: bytes) -> bool:
    """Return whether upsd shows a status that begins so."""
    return f'VAR {ups} ups.status "'.encode() + status in ask(upsd, f"GET VAR {ups} ups.status\n".encode(), b"\n")


def await_status(upsd: socket.socket, ups: str, status: bytes, pause: float = 0.001) -> float:
    """Return the seconds until upsd shows the status; :data:`LIMIT` at most."""
    began = time.monotonic()
    while not seen(upsd, ups, status) and time.monotonic() - began < LIMIT:
        time.sleep(pause)
    return time.monotonic() - began


@contextlib.contextmanager
def home(backend: str = "enphase", **options: str) -> Iterator[tuple[Any, Stage]]:
    """Give a section with the default intervals, its device and its NUT (for ``soak.py``)."""
    device = DEVICES[backend]
    with device.make() as running:
        stage = Stage({"driver": "nutdrv_py", "backend": backend, **device.section(running.sim), **options}, ups="home")
        try:
            yield running, stage
        finally:
            stage.close()


def pid(stage: Stage, driver: str, ups: str) -> int:
    return int((stage.folder / "run" / f"{driver}-{ups}.pid").read_text())


def resident_kib(process: int) -> int:
    status = Path(f"/proc/{process}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))


def proportional_kib(process: int) -> int:
    rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
    return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))


def cpu_seconds(process: int) -> float:
    """Return the time that a process's first thread and its others have had on a processor."""
    return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{process}/task").glob("*/schedstat")) / 1e9


def imported_kib(modules: str) -> int:
    """Return the resident memory of a Python that has imported modules and nothing else."""
    code = f"import {modules}; print(next(l.split()[1] for l in open('/proc/self/status') if l.startswith('VmRSS:')))"
    return int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=LIMIT, check=True).stdout)
