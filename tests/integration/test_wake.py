# SPDX-License-Identifier: GPL-2.0-or-later
"""The section wake in a real driver that is killed in the outage, with real packets on loopback."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading
import urllib.request
from collections.abc import Iterator

import pytest

from nutdrv_py.exporters.wake.net import magic
from nutdrv_py.simulators.nut import free_port
from tests.integration.conftest import Watched, wait

MAC = "00:11:22:33:44:55"


class Machine:
    """A machine on a loopback port. Switched off, its queue of connections is full: nothing is taken or refused."""

    def __init__(self) -> None:
        self.on = threading.Event()
        self.on.set()
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.place = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._queue: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while self.on.wait():
                self._socket.accept()[0].close()

    def switch_off(self) -> None:
        self.on.clear()
        # The first is taken by the accept() that goes on, the second fills the queue.
        for _ in range(2):
            self._queue.append(socket.create_connection(self._socket.getsockname(), 2))

    def close(self) -> None:
        for one in (*self._queue, self._socket):
            one.close()
        self.on.set()


@pytest.fixture
def machine() -> Iterator[Machine]:
    made = Machine()
    yield made
    made.close()


def test_a_machine_that_was_up_is_waked_although_the_driver_was_killed_in_the_outage(machine: Machine) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.255.255.255", 0))
        receiver.settimeout(40)
        web = free_port()
        stage = Watched({"driver": "nutdrv_py", "backend": "dummy", "port": "device.dev", "pollinterval": "1", "config": "exporters.yml"}, ups="home")

        def say(status: str, charge: int) -> None:
            new = stage.folder / "etc" / "device.new"
            new.write_text(f"ups.status: {status}\nbattery.charge: {charge}\n")
            new.replace(stage.folder / "etc" / "device.dev")

        def text() -> str:
            with urllib.request.urlopen(f"http://127.0.0.1:{web}/status.json", timeout=5) as answer:
                return str(json.load(answer)["wake"][0]["text"])

        try:
            (stage.folder / "etc" / "exporters.yml").write_text(
                f"page: {{bind_port: {web}}}\nwake:\n  after: 1\n  interval: 1\n  attempts: 1\n  broadcast: 127.255.255.255\n"
                f"  port: {receiver.getsockname()[1]}\n  machines: [{{name: nas, mac: '{MAC}', answers: '{machine.place}'}}]\n"
            )
            say("OB", 90)
            stage.start()
            wait(lambda: text() == "was up in this outage", 30)
            # Shown first, then written: the disk is not waited for.
            wait(lambda: any("nas" in file.read_text() for file in stage.folder.rglob("*.wake")), 10)
            os.kill(stage.pid, signal.SIGKILL)
            machine.switch_off()
            say("OL", 90)
            stage.start()
            assert receiver.recv(1024) == magic(MAC)
            wait(lambda: text() == "does not wake up", 30)
        finally:
            stage.close()
