# SPDX-License-Identifier: GPL-2.0-or-later
"""A scratch NUT with this driver in it, on the real programs of the distribution."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from nutdrv_py.nut.messages import Message, parse_message
from nutdrv_py.nut.parseconf import Line, Reader
from nutdrv_py.simulators.nut import Stage, find_program
from tests.conftest import REPO


def alone() -> list[str]:
    """Words to put before a command so that it has a /run/nut of its own; none where that is not allowed.

    upsmon 2.8.0 knows one pid file for the whole machine, and takes any process that has the number in it for an upsmon.
    """
    shield = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /run/nut && exec "$0" "$@"']
    return shield if subprocess.run([*shield, "true"], capture_output=True, check=False).returncode == 0 else []


class Client:
    """A socket client of a driver: sends raw bytes, reads lines."""

    def __init__(self, path: Path) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(5)
        self.sock.connect(os.fspath(path))
        self._reader = Reader()
        self.text = b""

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def until(self, end: bytes, timeout: float = 5) -> bytes:
        """Everything up to and with ``end``."""
        deadline = time.monotonic() + timeout
        while end not in self.text:
            self.sock.settimeout(max(0.01, deadline - time.monotonic()))
            data = self.sock.recv(65536)
            if not data:
                raise EOFError(self.text)
            self.text += data
        head, found, self.text = self.text.partition(end)
        return head + found

    def quiet(self, seconds: float = 0.3) -> bytes:
        """What comes unasked within ``seconds``."""
        self.sock.settimeout(seconds)
        try:
            data = self.sock.recv(65536)
        except TimeoutError:
            data = b""
        found, self.text = self.text + data, b""
        return found

    def eof(self, timeout: float = 5) -> bool:
        """Whether the driver closes within ``timeout``."""
        self.sock.settimeout(timeout)
        try:
            while self.sock.recv(65536):
                pass
        except TimeoutError:
            return False
        except ConnectionError:
            pass
        return True

    def ask(self, request: bytes, end: bytes) -> bytes:
        self.send(request)
        return self.until(end)

    def silence(self) -> None:
        """No more unasked lines, and those that came before are taken away."""
        self.ask(b"NOBROADCAST\nPING\n", b"PONG\n")
        self.text = b""

    def messages(self, data: bytes) -> list[Message | None]:
        return [parse_message(item.words) for item in Reader().feed(data) if isinstance(item, Line)]

    def close(self) -> None:
        self.sock.close()


DEADTIME = 6
"""Seconds of silence on battery after which upsmon acts, where a test waits for that; it looks every second."""

LOOKS = {"looks": "3"}
"""The option that fits an upsmon which looks every second."""


class Watched(Stage):
    """A stage whose driver a test looks at from all sides."""

    @property
    def socket(self) -> Path:
        return self.folder / "run" / f"nutdrv_py-{self.ups}"

    @property
    def pid_file(self) -> Path:
        return self.folder / "run" / f"nutdrv_py-{self.ups}.pid"

    @property
    def pid(self) -> int:
        return int(self.pid_file.read_text())

    def client(self) -> Client:
        return Client(self.socket)

    def start(self) -> None:
        done = self.upsdrvctl("start")
        assert done.returncode == 0, done.stdout + done.stderr

    def upsmon(self) -> subprocess.Popen[bytes]:
        """Start upsmon, so that it does not meet those of other tests."""
        shield = alone()
        if not shield:
            return super().upsmon()
        with (self.folder / "log" / "upsmon").open("ab") as log:
            monitor = subprocess.Popen(
                [*shield, find_program("upsmon"), "-F", "-p"],
                env=self.environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self._processes.append(monitor)
        time.sleep(1)
        assert monitor.poll() is None, self.log("upsmon")
        return monitor

    def status(self) -> str:
        return self.upsc("ups.status").stdout.strip()

    def stale(self) -> bool:
        return "Data stale" in self.upsc("ups.status").stderr

    def log(self, name: str = "driver") -> str:
        path = self.folder / "log" / name
        return path.read_text(errors="replace") if path.exists() else ""


class Lab(Watched):
    """A stage whose device is a file that plain.py reads."""

    def __init__(self, section: Mapping[str, str] | None = None, *, environ: Mapping[str, str] | None = None) -> None:
        lines = {"driver": "nutdrv_py", "port": "placeholder", "backend": "plain:Plain", "pollinterval": "1", "looks": "1", **(section or {})}
        super().__init__(dict(lines), ups="ups", environ={"PYTHONPATH": str(REPO / "tests" / "integration"), **(environ or {})})
        self.device = self.folder / "device"
        conf = self.folder / "etc" / "ups.conf"
        conf.write_text(conf.read_text().replace('"placeholder"', f'"{self.device}"'))
        self.say()

    def say(self, **values: object) -> None:
        """What the device answers from now on."""
        content: dict[str, object] = {"grid": "up", "soc": 87, "left": 3600, "load": 12.5, "watts": 640, "name": "Plain", "low": 20, **values}
        new = self.device.with_suffix(".new")
        new.write_text("".join(f"{name}={value}\n" for name, value in content.items() if value is not None))
        new.replace(self.device)

    def configure(self, *lines: str, ups: str = "ups") -> None:
        """Append lines to the section."""
        with (self.folder / "etc" / "ups.conf").open("a") as file:
            file.write("".join(f"    {line}\n" for line in lines))

    def driver(self, *words: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run the driver's own command line to its end."""
        command = [str(self.folder / "bin" / "nutdrv_py"), *words]
        return subprocess.run(command, env=self.environment(), capture_output=True, text=True, timeout=timeout, check=False)

    def foreground(self, *words: str) -> subprocess.Popen[bytes]:
        """Start the driver with its output in log/driver; ended with the stage."""
        with (self.folder / "log" / "driver").open("ab") as log:
            process = subprocess.Popen([str(self.folder / "bin" / "nutdrv_py"), *words], env=self.environment(), stdout=log, stderr=log, start_new_session=True)
        self._processes.append(process)
        return process


def wait(test: Callable[[], object], timeout: float = 10, what: str = "") -> float:
    """Wait until ``test`` is true; the seconds it took."""
    began = time.monotonic()
    while True:
        try:
            if test():
                return time.monotonic() - began
        except (OSError, EOFError, ValueError):
            pass
        if time.monotonic() - began > timeout:
            raise AssertionError(f"{what or test} did not come true within {timeout} s")
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def lab() -> Iterator[Lab]:
    stage = Lab()
    try:
        yield stage
    finally:
        stage.close()


@pytest.fixture
def labs() -> Iterator[Callable[..., Lab]]:
    """Labs with sections of their own."""
    made: list[Lab] = []

    def make(section: Mapping[str, str] | None = None, **more: object) -> Lab:
        made.append(Lab(section, **more))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for stage in made:
        stage.close()
