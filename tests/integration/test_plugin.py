# SPDX-License-Identifier: GPL-2.0-or-later
"""A backend in one file of the plug-in folder, told by its device, served by the real upsd."""

from __future__ import annotations

import json
import queue
import socket
import threading
from pathlib import Path

from tests.integration.conftest import Watched, wait
from tests.integration.test_writing import CODE


def _install(stage: Watched, mode: int = 0o644) -> Path:
    folder = stage.folder / "etc" / "nutdrv_py.d"
    folder.mkdir(mode=0o755)
    path = folder / "pushed.py"
    path.write_text(next(text for text in CODE if "class Pushed" in text))
    path.chmod(mode)
    return path


class Speaker:
    """A device that sends lines to the driver that has connected."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(30)
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"
        self._lines: queue.Queue[bytes] = queue.Queue()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def say(self, **values: object) -> None:
        self._lines.put(json.dumps(values).encode() + b"\n")

    def close(self) -> None:
        self._lines.put(b"")
        self._thread.join(30)
        self._server.close()

    def _serve(self) -> None:
        with self._server.accept()[0] as driver:
            while line := self._lines.get():
                driver.sendall(line)


def test_what_a_device_sends_is_at_upsd_long_before_the_next_poll() -> None:
    device = Speaker()
    stage = Watched({"driver": "nutdrv_py", "backend": "pushed:Pushed", "port": device.address, "pollinterval": "60", "maxage": "180"}, ups="pushed")
    try:
        _install(stage)
        device.say(grid="up")
        stage.start()
        stage.upsd()
        wait(lambda: stage.status() == "OL", 20)
        device.say(grid="down")
        assert wait(lambda: stage.status() == "OB", 20) < 15
        device.close()
        # The connection is lost: what was said last holds.
        assert stage.status() == "OB"
    finally:
        stage.close()


def test_a_file_that_others_may_change_stops_the_start_with_what_to_type() -> None:
    stage = Watched({"driver": "nutdrv_py", "backend": "pushed:Pushed", "port": "127.0.0.1:9"}, ups="pushed")
    try:
        path = _install(stage, 0o666)
        done = stage.upsdrvctl("start")
        assert done.returncode != 0
        assert f"{path} is not loaded, because others may change it; look into it, then type: chmod go-w {path}" in done.stdout + done.stderr
    finally:
        stage.close()
