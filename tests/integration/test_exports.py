# SPDX-License-Identifier: GPL-2.0-or-later
"""All exporters at once: beside upsd in the driver, and alone in the daemon, with servers that are there, away or hang."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from nutdrv_py.machine.extras import how_to_get
from nutdrv_py.simulators import enphase, rct
from nutdrv_py.simulators.nut import find_program, free_port
from tests.conftest import REPO
from tests.integration.conftest import Watched, wait
from tests.integration.test_influxdb import Victoria
from tests.integration.test_mqtt import Mosquitto

LOOKS = 8
"""Seconds after a transfer in which a driver takes its time to end: the option looks, and one more."""

UNIT = REPO / "packaging" / "systemd" / "nutdrv_py-daemon.service"


@contextlib.contextmanager
def hung() -> Iterator[int]:
    """A port that accepts and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(50)
        kept: list[socket.socket] = []

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    kept.append(listener.accept()[0])

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield listener.getsockname()[1]
        finally:
            for connection in kept:
                connection.close()


@pytest.fixture
def inverter() -> Iterator[rct.RunningInverter]:
    with rct.RunningInverter(replace(rct.load_scenario("online"), timeline=())) as running:
        running.set(soc=60, reclose_seconds=0)
        yield running


@pytest.fixture
def gateway() -> Iterator[enphase.RunningSimulator]:
    with enphase.RunningSimulator(replace(enphase.load_scenario("online"), timeline=())) as running:
        yield running


class Daemon:
    """``nutdrv_py daemon`` with this configuration, and with systemd's socket."""

    def __init__(self, folder: Path, config: Mapping[str, Any], **environ: str) -> None:
        self.folder = folder
        self.config = folder / "config.yml"
        self.config.write_text(yaml.safe_dump(dict(config)))
        self.config.chmod(0o600)
        self.notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notified.bind(os.fspath(folder / "notify"))
        self.said = ""
        """Everything that was told to systemd."""
        # As systemd does, it reads at once: few messages find room in the socket.
        threading.Thread(target=self._hear, daemon=True).start()
        with (folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "nutdrv_py", "daemon", "-c", os.fspath(self.config)], stdout=log, stderr=log,
                env={**os.environ, "NOTIFY_SOCKET": os.fspath(folder / "notify"), "STATE_DIRECTORY": os.fspath(folder), **environ},
            )  # fmt: skip

    def _hear(self) -> None:
        while said := self.notified.recv(4096).decode():
            self.said += f"{said}\n"
        self.notified.close()

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def end(self) -> float:
        """Seconds from SIGTERM to the end, which must be a good one."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(20) == 0, self.log
        return time.monotonic() - began


@contextlib.contextmanager
def daemon(folder: Path, config: Mapping[str, Any], **environ: str) -> Iterator[Daemon]:
    running = Daemon(folder, config, **environ)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.process.kill()
        running.process.wait()
        running.notified.sendto(b"", running.notified.getsockname())


def metrics(port: int) -> dict[str, float]:
    """The samples of /metrics; none while nobody listens."""
    try:
        text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
    except httpx.HTTPError:
        return {}
    rows = [line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, _, value in rows}


def sample(port: int, name: str) -> float | None:
    return next((value for row, value in metrics(port).items() if row.partition("{")[0] == name), None)


def _device(running: rct.RunningInverter) -> dict[str, Any]:
    host, _, port = running.sim.host_port.rpartition(":")
    return {"host": host, "port": int(port)}


def test_rctmons_file_is_served_as_it_is_and_systemd_is_told(tmp_path: Path, inverter: rct.RunningInverter) -> None:
    port = free_port()
    config = {"device": _device(inverter), "prometheus": {"enable": True, "exposition": True, "bind_port": port}, "influxdb": None, "mqtt": None}
    with daemon(tmp_path, config, WATCHDOG_USEC="6000000") as running:
        wait(lambda: sample(port, "rctmon_battery_state_of_charge_percent") == pytest.approx(0.6, abs=0.02), timeout=30)
        assert sample(port, "rctmon_device_up") == 1
        wait(lambda: "READY=1" in running.said, timeout=10)
        wait(lambda: "STATUS=OL" in running.said and "data" in running.said, timeout=10)
        wait(lambda: "WATCHDOG=1" in running.said, timeout=10)
        inverter.set(silent=True)
        wait(lambda: sample(port, "rctmon_device_up") == 0, timeout=90)
        assert running.end() < 2.5
        wait(lambda: "STOPPING=1" in running.said)


def test_exposition_off_hides_the_device(tmp_path: Path, inverter: rct.RunningInverter) -> None:
    port = free_port()
    with daemon(tmp_path, {"device": _device(inverter), "prometheus": {"bind_port": port}}):
        wait(lambda: sample(port, "rctmon_device_up") == 1, timeout=30)
        assert not [name for name in metrics(port) if name.startswith(("rctmon_battery", "rctmon_grid", "network_ups_tools"))]


def test_servers_that_hang_delay_neither_the_polls_nor_the_end(tmp_path: Path, inverter: rct.RunningInverter) -> None:
    port = free_port()
    with hung() as influx, hung() as broker:
        config = {
            "device": _device(inverter),
            "prometheus": {"bind_port": port, "exposition": True},
            "influxdb": {"enable": True, "url": f"http://127.0.0.1:{influx}", "token": "s3cret-token", "interval": 1},
            "mqtt": {"enable": True, "mqtt_host": "127.0.0.1", "mqtt_port": broker, "auth_user": "u", "auth_pass": "s3cret-pass"},
            "page": {"bind_port": port},
        }
        with daemon(tmp_path, config) as running:
            wait(lambda: sample(port, "nutdrv_py_up") == 1, timeout=30)
            before, began = sample(port, "nutdrv_py_polls_total"), time.monotonic()
            assert before is not None
            inverter.set(grid="outage")
            wait(lambda: sample(port, "rctmon_inverter_grid_separated") == 3, timeout=15)
            wait(lambda: (sample(port, "nutdrv_py_polls_total") or 0) >= before + 5, timeout=40)
            assert time.monotonic() - began < 40
            assert running.end() < 2.5
        assert "s3cret" not in running.log


def test_several_devices_with_all_exporters_from_one_process(tmp_path: Path, inverter: rct.RunningInverter, gateway: enphase.RunningSimulator) -> None:
    port, sim = free_port(), gateway.sim
    (tmp_path / "port").mkdir(mode=0o700)
    for name in ("house", "barn"):
        (tmp_path / "port" / f"{name}.dev").touch()
    devices = [
        {
            "name": "house", "backend": "enphase", "port": sim.host_port, "serial": sim.serial, "token": sim.issue_token(),
            "tokenfile": str(tmp_path / "token"), "login_url": sim.login_url, "token_url": sim.token_url, "looks": "1",
        },
        {"name": "barn", "backend": "rct", "port": inverter.sim.host_port, "looks": "1"},
    ]  # fmt: skip
    config = {
        "devices": devices,
        "prometheus": {"bind_port": port, "exposition": True},
        "page": {"bind_port": port},
        "portfile": {"path": str(tmp_path / "port" / "{ups}.dev"), "pollfreq": 5},
    }
    with daemon(tmp_path, config) as running:
        wait(lambda: 'network_ups_tools_battery_charge{ups="barn"}' in metrics(port), timeout=30)
        wait(lambda: 'network_ups_tools_battery_charge{ups="house"}' in metrics(port), timeout=30)
        wait(lambda: "\nups.status:" in (tmp_path / "port" / "barn.dev").read_text(), timeout=20)
        wait(lambda: "\nups.status:" in (tmp_path / "port" / "house.dev").read_text(), timeout=20)
        page = json.loads(httpx.get(f"http://127.0.0.1:{port}/status.json").text)
        assert "house" in json.dumps(page)
        assert "barn" in json.dumps(page)
        assert running.end() < 2.5
    assert sorted(path.name for path in (tmp_path / "port").glob("[bh]*.dev*")) == ["barn.dev-nocomms", "house.dev-nocomms"]


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"prometheus": None}, "there is no device"),
        ({"device": None, "mqtt": {"enable": True}}, "config.yml:3: mqtt.mqtt_host is missing"),
        ({"devices": [{"name": "a", "backend": "nothing", "port": "x"}], "page": None}, "there is no backend 'nothing'"),
        ({"devices": [{"name": "a", "backend": "rct", "port": "x", "windw": "3"}], "page": None}, "Did you mean 'window'?"),
        ({"device": None, "logging": {"version": 7}, "page": None}, "the section logging is not right"),
        ({"device": None, "portfile": {"path": "/nowhere/x.dev"}}, "the port file /nowhere/x.dev does not exist"),
    ],
)  # fmt: skip
def test_a_wrong_configuration_ends_with_1_and_a_sentence(tmp_path: Path, config: dict[str, Any], sentence: str) -> None:
    with daemon(tmp_path, config) as running:
        assert running.process.wait(30) == 1, running.log
        assert sentence in running.log
        assert "Traceback" not in running.log


def test_a_good_start_says_what_is_exported_where(tmp_path: Path, inverter: rct.RunningInverter) -> None:
    port = free_port()
    config = {
        "device": {"host": "127.0.0.1", "port": inverter.sim.port},
        "prometheus": {"bind_port": port},
        "influxdb": {"enable": True, "url": "http://127.0.0.1:9", "token": "s3cret-token"},
    }
    with daemon(tmp_path, config) as running:
        line = f"Exporting rct to http://127.0.0.1:{port}/metrics; InfluxDB at http://127.0.0.1:9, bucket rct-inverter"
        wait(lambda: line in running.log, timeout=30)
        wait(lambda: "READY=1" in running.said, timeout=60)
        assert running.end() < 2.5
    assert "s3cret" not in running.log


def test_a_file_with_nothing_enabled_runs_with_a_warning_as_with_rctmon(tmp_path: Path) -> None:
    with daemon(tmp_path, {"device": None, "prometheus": {"enable": False, "exposition": True}}) as running:
        wait(lambda: "READY=1" in running.said, timeout=60)
        assert "nothing to export to" in running.log
        assert running.process.poll() is None
        assert running.end() < 2.5


@pytest.mark.parametrize("words", [["--away"], []])
def test_a_port_file_that_nobody_keeps_any_more_is_taken_away_also_when_the_configuration_is_wrong(tmp_path: Path, words: list[str]) -> None:
    file = tmp_path / "rct.dev"
    file.write_text("ups.status: OL\n")
    (tmp_path / "config.yml").write_text(f"device:\nportfile: {{path: {file}}}\nmqtt: {{enable: true}}\n")
    command = [sys.executable, "-m", "nutdrv_py", "daemon", "-c", str(tmp_path / "config.yml"), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == (0 if words else 1), done.stderr
    assert not file.exists()
    assert file.with_name("rct.dev-nocomms").exists()


@pytest.mark.parametrize("wrong", ["exports.yml", "ups.conf"])
def test_a_driver_that_cannot_start_takes_the_port_file_away_that_it_left_when_it_was_killed(inverter: rct.RunningInverter, tmp_path: Path, wrong: str) -> None:
    file = tmp_path / "home.dev"
    file.touch()
    with home(inverter, {"portfile": {"path": str(tmp_path / "{ups}.dev")}}) as stage:
        stage.start()
        wait(lambda: 'ups.status: "OL' in file.read_text(), timeout=20)
        os.kill(stage.pid, signal.SIGKILL)
        (stage.folder / "etc" / wrong).open("a").write("\n    nonsense = 1\n" if wrong == "ups.conf" else "\nmqtt: {enable: true}\n")
        assert file.exists()
        assert stage.upsdrvctl("start").returncode != 0
        wait(lambda: not file.exists())
        assert file.with_name("home.dev-nocomms").exists()


def test_a_device_that_is_given_up_does_not_end_the_others(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "a.dev").write_text("ups.status: OL\n")
    (tmp_path / "b.dev").write_text("ups.status: OL\nbattery.charge: 50\n")
    devices = [
        {"name": "a", "backend": "dummy", "port": str(tmp_path / "a.dev"), "ignorelb": "yes"},
        {"name": "b", "backend": "dummy", "port": str(tmp_path / "b.dev")},
    ]
    config = {"devices": devices, "prometheus": {"bind_port": port, "exposition": True}}
    with daemon(tmp_path, config, WATCHDOG_USEC="6000000") as running:
        wait(lambda: "The device a has been given up" in running.log, timeout=20)
        wait(lambda: metrics(port).get('network_ups_tools_battery_charge{ups="b"}') == 50, timeout=20)
        wait(lambda: "READY=1" in running.said, timeout=10)
        wait(lambda: "WATCHDOG=1" in running.said, timeout=10)
        assert running.end() < 2.5


def test_of_two_port_files_none_is_left_behind_when_the_other_cannot_be_kept(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.dev").write_text("ups.status: OL\n")
    (tmp_path / "port").mkdir()
    kept = tmp_path / "port" / "a.dev"
    kept.write_text("ups.status: OL\n")
    devices = [{"name": name, "backend": "dummy", "port": str(tmp_path / f"{name}.dev")} for name in ("a", "b")]
    with daemon(tmp_path, {"devices": devices, "portfile": {"path": str(tmp_path / "port" / "{ups}.dev")}}) as running:
        assert running.process.wait(30) == 1, running.log
    assert not kept.exists()


def test_a_missing_package_is_said_with_what_to_type(tmp_path: Path) -> None:
    (tmp_path / "paho").mkdir()
    (tmp_path / "paho" / "__init__.py").write_text("raise ImportError\n")
    with daemon(tmp_path, {"device": None, "mqtt": {"enable": True, "mqtt_host": "x"}}, PYTHONPATH=f"{tmp_path}:{REPO}") as running:
        assert running.process.wait(30) == 1, running.log
        assert how_to_get("mqtt") in running.log


# In the driver, beside upsd


class Home(Watched):
    """A section with ``config =``, for a simulated inverter or gateway."""

    def __init__(self, running: rct.RunningInverter | enphase.RunningSimulator, exports: Mapping[str, Any]) -> None:
        section = {"driver": "nutdrv_py", "port": running.sim.host_port, "backend": "rct", "config": "exports.yml"}
        if isinstance(running, enphase.RunningSimulator):
            sim = running.sim
            section |= {
                "backend": "enphase", "serial": sim.serial, "token": sim.issue_token(), "pollinterval": "2", "api_timeout": "2",
                "login_url": sim.login_url, "token_url": sim.token_url,
            }  # fmt: skip
        super().__init__(section, ups="home")
        path = self.folder / "etc" / "exports.yml"
        path.write_text(yaml.safe_dump(dict(exports)))
        path.chmod(0o600)


@contextlib.contextmanager
def home(running: rct.RunningInverter | enphase.RunningSimulator, exports: Mapping[str, Any]) -> Iterator[Home]:
    stage = Home(running, exports)
    try:
        yield stage
    finally:
        stage.close()


def test_the_driver_serves_upsd_and_all_exporters_and_both_say_the_same(inverter: rct.RunningInverter) -> None:
    port = free_port()
    with hung() as influx, hung() as broker:
        exports = {
            "prometheus": {"bind_port": port, "exposition": True},
            "influxdb": {"enable": True, "url": f"http://127.0.0.1:{influx}", "token": "s3cret-token"},
            "mqtt": {"enable": True, "mqtt_host": "127.0.0.1", "mqtt_port": broker},
            "page": {"bind_port": port},
        }
        with home(inverter, exports) as stage:
            stage.start()
            stage.upsd()
            wait(lambda: stage.status().startswith("OL"))
            wait(lambda: sample(port, "network_ups_tools_battery_charge") == float(stage.variables()["battery.charge"]))
            wait(lambda: sample(port, "nutdrv_py_upsd_clients") == 1)
            inverter.set(grid="outage")
            wait(lambda: stage.status().startswith("OB"), timeout=10)
            wait(lambda: metrics(port).get('network_ups_tools_ups_status{flag="OB",ups="home"}') == 1)
            shown = stage.variables()
            assert shown["driver.parameter.config"] == "exports.yml"
            assert "s3cret" not in json.dumps(shown) + stage.log()
            time.sleep(LOOKS)
            began = time.monotonic()
            stopped = stage.upsdrvctl("stop")
            assert stopped.returncode == 0, stopped.stderr
            assert time.monotonic() - began < 5


@pytest.mark.parametrize("device", ["inverter", "gateway"])
def test_upsd_and_all_real_servers_at_once_say_the_same(device: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if shutil.which("victoria-metrics") is None:
        pytest.skip("victoria-metrics is not installed")
    running = request.getfixturevalue(device)
    port = free_port()
    for name in ("broker", "victoria"):
        (tmp_path / name).mkdir()
    victoria = Victoria(tmp_path / "victoria")
    victoria.start()
    request.addfinalizer(victoria.end)
    with Mosquitto(tmp_path / "broker") as broker:
        exports = {
            "prometheus": {"bind_port": port, "exposition": True},
            "influxdb": {"enable": True, "url": victoria.url, "interval": 1},
            "mqtt": {"enable": True, "mqtt_host": "127.0.0.1", "mqtt_port": broker.port},
            "page": {"bind_port": port},
        }
        with home(running, exports) as stage:
            stage.start()
            stage.upsd()
            wait(lambda: stage.status().startswith("OL"))
            running.set(grid="outage", soc=70)
            wait(lambda: stage.status().startswith("OB") and stage.variables()["battery.charge"] == "70", timeout=15)
            told: dict[str, Callable[[], object]] = {
                "prometheus": lambda: metrics(port).get('network_ups_tools_ups_status{flag="OB",ups="home"}') == 1,
                "charge": lambda: sample(port, "network_ups_tools_battery_charge") == 70,
                "mqtt": lambda: broker.retained().get("rctmon/ups/home/battery.charge") == "70",
                "influxdb": lambda: victoria.series('ups_battery.charge{ups="home"}')[0]["values"][-1] == 70,
                "page": lambda: '"battery.charge":"70"' in httpx.get(f"http://127.0.0.1:{port}/status.json").text.replace(" ", ""),
            }
            for name, test in told.items():
                wait(test, timeout=20, what=name)
            time.sleep(LOOKS)
            assert stage.upsdrvctl("stop").returncode == 0
            wait(lambda: broker.retained().get("rctmon/availability") == "offline", timeout=10)
            assert "rctmon/ups/home/battery.charge" not in broker.retained()


def test_a_port_that_is_taken_costs_the_exporter_and_not_upsd(inverter: rct.RunningInverter) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with home(inverter, {"page": {"bind_port": taken.getsockname()[1]}}) as stage:
            stage.start()
            stage.upsd()
            wait(lambda: stage.status().startswith("OL"))


def test_an_exporter_that_cannot_begin_does_not_cost_the_others(inverter: rct.RunningInverter) -> None:
    port = free_port()
    exports = {
        "mqtt": {"enable": True, "mqtt_host": "x", "tls_enable": True, "tls_ca_cert": "/nowhere.pem"},
        "prometheus": {"bind_port": port, "exposition": True},
    }
    with home(inverter, exports) as stage:
        stage.start()
        stage.upsd()
        wait(lambda: stage.status().startswith("OL"))
        wait(lambda: sample(port, "network_ups_tools_battery_charge") is not None)


def test_a_wrong_file_stops_the_start_of_the_driver(inverter: rct.RunningInverter) -> None:
    with home(inverter, {"page": {"bind_prot": 1}}) as stage:
        done = stage.upsdrvctl("start")
        assert done.returncode != 0
        assert "exports.yml:2: there is no key bind_prot; did you mean bind_port?" in done.stdout + done.stderr


def test_the_unit_is_right_and_hardened() -> None:
    text = UNIT.read_text()
    for word in ("Type=notify", "WatchdogSec=", "NoNewPrivileges=yes", "ProtectSystem=strict", "PrivateTmp=yes", "daemon -c"):
        assert word in text
    assert find_program("upsd")
