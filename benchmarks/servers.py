# SPDX-License-Identifier: GPL-2.0-or-later
"""Servers of the exporters that come and go: a real mosquitto and a real influxd, killed and started again by turns."""

from __future__ import annotations

import abc
import contextlib
import os
import shutil
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from nutdrv_py.simulators.nut import free_port

AWAY, THERE = 15.0, 45.0
"""Seconds for which a server is away, and there."""

PATIENCE = 30.0


class Server(abc.ABC):
    """A program on a loopback port; it keeps nothing over a restart but what is in its folder."""

    def __init__(self, folder: Path, program: str) -> None:
        self.port, self.folder, self.program = free_port(), folder, program
        self.starts = 0
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir()

    @abc.abstractmethod
    def command(self) -> list[str]:
        """Write the program's configuration, and return what starts it."""

    def ready(self) -> None:
        """Prepare what the exporter needs there."""

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self._process = subprocess.Popen(self.command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                self.ready()
                self.starts += 1
                return
            time.sleep(0.1)
        raise SystemExit(f"{self.program} did not start")

    def kill(self) -> None:
        """Kill it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class Mosquitto(Server):
    """A broker."""

    def command(self) -> list[str]:
        """Return what starts it."""
        conf = self.folder / "mosquitto.conf"
        user = "user root\n" if os.geteuid() == 0 else ""
        conf.write_text(f"{user}persistence false\nallow_anonymous true\nlistener {self.port} 127.0.0.1\n")
        return [self.program, "-c", str(conf)]


class Influx(Server):
    """InfluxDB 1.x with a database ``house``."""

    def command(self) -> list[str]:
        """Return what starts it."""
        conf = self.folder / "influxdb.conf"
        conf.write_text(
            f'reporting-disabled = true\nbind-address = "127.0.0.1:{free_port()}"\n[meta]\ndir = "{self.folder}/meta"\n'
            f'[data]\ndir = "{self.folder}/data"\nwal-dir = "{self.folder}/wal"\n[http]\nbind-address = "127.0.0.1:{self.port}"\n'
            "[monitor]\nstore-enabled = false\n"
        )
        return [self.program, "-config", str(conf)]

    def ready(self) -> None:
        """Make the database, unless it is there."""
        words = urllib.parse.urlencode({"q": "CREATE DATABASE house"}).encode()
        urllib.request.urlopen(f"http://127.0.0.1:{self.port}/query", words, timeout=PATIENCE).read()


@contextlib.contextmanager
def coming_and_going(folder: Path) -> Iterator[dict[str, Server]]:
    """Run those that are installed; each is killed once a minute, the two of them not at the same time."""
    places = {"mosquitto": (Mosquitto, shutil.which("mosquitto") or "/usr/sbin/mosquitto"), "influxd": (Influx, shutil.which("influxd") or "")}
    servers: dict[str, Server] = {}
    for name, (kind, program) in places.items():
        if os.access(program, os.X_OK):
            servers[name] = kind(folder / name, program)
        else:
            print(f"{name} is not installed, so nothing is sent to it", flush=True)
    ended = threading.Event()

    def turns(server: Server, first: float) -> None:
        pause = first
        while not ended.wait(pause):
            server.kill()
            if ended.wait(AWAY):
                return
            server.start()
            pause = THERE

    threads = []
    try:
        for number, server in enumerate(servers.values()):
            server.start()
            threads.append(threading.Thread(target=turns, args=(server, THERE - number * THERE / 2)))
            threads[-1].start()
        yield servers
    finally:
        ended.set()
        for thread in threads:
            thread.join()
        for server in servers.values():
            server.kill()
