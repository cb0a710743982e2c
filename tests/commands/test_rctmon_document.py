# SPDX-License-Identifier: GPL-2.0-or-later
"""RctMon's overview, taken apart: each key with its default, its example file, and what it says of the daemon.

Where the overview is at hand (``RCTMON_DOCUMENT``), the example in it is read as it stands.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from nutdrv_py.exporters.config import Exports, InfluxDB, Prometheus
from nutdrv_py.exporters.config_file import read_exports
from nutdrv_py.simulators.nut import free_port
from tests.conftest import REPO

DOCUMENT = Path(os.environ.get("RCTMON_DOCUMENT", REPO.parent / "shared" / "seeds" / "rctmon-overview.txt"))

EXAMPLE = """\
---
device: {host: 127.0.0.1, port: 8899}
prometheus: {enable: true, exposition: false, bind_port: 9831, bind_address: 127.0.0.1}
influxdb: {enable: false, url: 'http://localhost:8086', token: your-token, org: rct, bucket: rct-inverter}
logging:
  version: 1
  formatters:
    simple:
      format: '%(asctime)s - %(name)s - %(levelname)s - %(message)s'
  handlers:
    console: {class: logging.StreamHandler, formatter: simple, level: INFO, stream: 'ext://sys.stdout'}
  root: {level: INFO, handlers: [console]}
"""
"""All keys of RctMon's example file, with their defaults."""


def read(folder: Path, text: str) -> Exports:
    path = folder / "config.yml"
    path.write_text(text)
    path.chmod(0o640)
    return read_exports(path)


def test_the_example_is_read_as_it_stands_and_shows_the_defaults(tmp_path: Path) -> None:
    found = read(tmp_path, EXAMPLE)
    assert found.prometheus == Prometheus()
    assert (found.prometheus.bind_address, found.prometheus.bind_port, found.prometheus.exposition) == ("127.0.0.1", 9831, False)
    assert found.influxdb is None and "influxdb" in found.disabled
    assert [(device.backend, device.options["port"]) for device in found.devices] == [("rct", "127.0.0.1:8899")]
    assert found.logging is not None and found.logging["version"] == 1
    shown = read(tmp_path, EXAMPLE.replace("enable: false, url", "enable: true, url")).influxdb
    assert shown == InfluxDB(enable=True, token="your-token")
    assert (shown.url, shown.org, shown.bucket) == ("http://localhost:8086", "rct", "rct-inverter")


@pytest.mark.parametrize("section", ["device:", "prometheus:", "influxdb:", "mqtt:"])
def test_a_section_may_be_empty_to_take_the_defaults(section: str, tmp_path: Path) -> None:
    read(tmp_path, "device: {host: inverter}\n" + section + "\n" if section != "device:" else "device:\nprometheus:\n")


def test_the_logging_section_may_be_left_out(tmp_path: Path) -> None:
    assert read(tmp_path, "device:\n  host: inverter\nprometheus:\n  enable: true\n").logging is None


def test_the_device_defaults_to_this_machine_and_rcts_port(tmp_path: Path) -> None:
    for text in ("device:\n", "device: {}\n", "device: {host: 127.0.0.1}\n", "device: {port: 8899}\n"):
        assert [device.options["port"] for device in read(tmp_path, text).devices] == ["127.0.0.1:8899"]


@pytest.mark.skipif(not DOCUMENT.exists(), reason="RctMon's overview is not at hand; RCTMON_DOCUMENT names it")
def test_the_example_of_the_overview_is_read_as_it_is_printed(tmp_path: Path) -> None:
    text = DOCUMENT.read_text()
    printed = re.search(r"^---\n.*?(?=^Do not be afraid)", text, re.MULTILINE | re.DOTALL)
    assert printed is not None
    theirs, ours = read(tmp_path, printed[0]), read(tmp_path, EXAMPLE)
    assert dataclasses.replace(theirs, devices=()) == dataclasses.replace(ours, devices=())
    assert [device.options for device in theirs.devices] == [device.options for device in ours.devices]
    for key in re.findall(r"^\s+(\w+): \S", printed[0], re.MULTILINE):
        assert key in EXAMPLE


@pytest.mark.timeout(90)
def test_the_daemon_may_be_started_before_everything_that_it_talks_to(tmp_path: Path) -> None:
    """The inverter, InfluxDB and the broker are away; RctMon itself hangs without InfluxDB."""
    web, away = free_port(), free_port()
    config = tmp_path / "config.yml"
    config.write_text(
        f"device: {{host: 127.0.0.1, port: {away}}}\nprometheus: {{enable: true, exposition: true, bind_port: {web}}}\n"
        f"influxdb: {{enable: true, url: 'http://127.0.0.1:{away}', token: 'user:password'}}\n"
        f"mqtt: {{enable: true, mqtt_host: 127.0.0.1, mqtt_port: {away}}}\n"
    )
    config.chmod(0o600)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(str(tmp_path / "notify"))
        notified.settimeout(60)
        environ = {**os.environ, "PYTHONPATH": str(REPO), "STATE_DIRECTORY": str(tmp_path), "NOTIFY_SOCKET": str(tmp_path / "notify")}
        command = [sys.executable, "-m", "nutdrv_py", "-c", str(config), "daemon", "--debug"]
        with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as running:
            try:
                while "READY=1" not in notified.recv(4096).decode():
                    pass
                shown = urllib.request.urlopen(f"http://127.0.0.1:{web}/metrics", timeout=10).read().decode()
                assert re.search(r"^rctmon_device_up\S* 0\.0$", shown, re.MULTILINE)
                began = time.monotonic()
            finally:
                running.send_signal(signal.SIGTERM)
                assert running.stdout is not None
                said = running.stdout.read()
        assert running.returncode == 0
        assert time.monotonic() - began < 5
        assert re.search(r"^\d{4}-\d\d-\d\d \S+ - nutdrv_py - (INFO|WARNING) - ", said, re.MULTILINE), said
        assert "Traceback" not in said
        assert "password" not in said
        assert json.dumps(said).count("cannot be reached") <= 6, "once for each that is away"
