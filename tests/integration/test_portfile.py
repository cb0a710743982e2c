# SPDX-License-Identifier: GPL-2.0-or-later
"""The port file with the real dummy-ups and upsd, beside the native driver on the same simulated device."""

from __future__ import annotations

import configparser
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nutdrv_py.nut.portitems import MAX_ENTRY
from nutdrv_py.simulators import enphase, rct
from nutdrv_py.simulators.nut import find_program
from nutdrv_py.simulators.running import RunningDevice
from tests.conftest import REPO
from tests.integration.conftest import LOOKS, Watched, wait

PEER = "peer"
AGES = ("experimental.data.age", "experimental.livedata.age", "experimental.token.days")


class Home(Watched):
    """A native section, and a section of dummy-ups that reads the port file."""

    def __init__(self, running: RunningDevice[Any], backend: str, section: dict[str, str], config: str) -> None:
        super().__init__({"driver": "nutdrv_py", "backend": backend, "pollinterval": "2", **LOOKS, **section}, ups="home")
        self.running = running
        self.file = self.folder / "port" / "peer.dev"
        self.file.parent.mkdir(mode=0o700)
        self.file.write_text("# mine\nups.location: cellar\n")
        self.config = self.folder / "etc" / "enphase-peer.conf"
        self.config.write_text(f"{config}PORT_FILE={self.file}\nUPS={PEER}\nPOLLFREQ=5\nPOLLFREQALERT=5\nPOLLINTERVAL=2\n")
        self.config.chmod(0o600)
        drivers = next(Path(folder) for folder in ("/usr/libexec/nut", "/usr/lib/nut", "/lib/nut") if os.path.exists(f"{folder}/dummy-ups"))
        (self.folder / "bin" / "dummy-ups").symlink_to(drivers / "dummy-ups")
        with (self.folder / "etc" / "ups.conf").open("a") as conf:
            conf.write(f"[{PEER}]\n driver = dummy-ups\n port = {self.file}\n mode = dummy-once\n pollinterval = 1\n")

    @property
    def away(self) -> Path:
        return self.file.with_name("peer.dev-nocomms")

    def portfile(self, *words: str) -> subprocess.Popen[bytes]:
        with (self.folder / "log" / "portfile").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "nutdrv_py", "portfile", "-c", str(self.config), *words],
                env=self.environment(), stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self._processes.append(process)
        return process

    def of(self, ups: str) -> dict[str, str]:
        done = subprocess.run([find_program("upsc"), f"{ups}@127.0.0.1:{self.port}"], capture_output=True, text=True, check=False)
        return dict(line.split(": ", 1) for line in done.stdout.splitlines() if ": " in line)

    def peer(self) -> str:
        return self.of(PEER).get("ups.status", "")


@contextlib.contextmanager
def _home(backend: str) -> Iterator[Home]:
    if backend == "enphase":
        with enphase.RunningSimulator(replace(enphase.load_scenario("online"), timeline=())) as running:
            sim = running.sim
            section = {
                "port": sim.host_port, "serial": sim.serial, "token": sim.issue_token(), "tokenfile": "home.token",
                "login_url": sim.login_url, "token_url": sim.token_url, "api_timeout": "2", "pollfreq": "5",
            }  # fmt: skip
            config = (
                f"ENVOY_HOST={sim.host_port}\nSERIAL={sim.serial}\nUSERNAME='{sim.username}'\nPASSWORD='{sim.password}'\n"
                f"LOGIN_URL={sim.login_url}\nTOKEN_URL={sim.token_url}\nAPI_TIMEOUT=2\nMAXAGE=6\n"
            )
            with contextlib.closing(Home(running, backend, section, config)) as home:
                yield home
    else:
        with rct.RunningInverter("online") as other:
            config = f"BACKEND=rct\nHOST={other.sim.host_port}\nMAXAGE=6\n"
            with contextlib.closing(Home(other, backend, {"port": other.sim.host_port}, config)) as home:
                yield home


def _agree(home: Home) -> None:
    """Variable by variable, as soon as the file has caught up: it is written each 5 s."""
    deadline = time.monotonic() + 20
    while True:
        try:
            _compare(home)
            return
        except AssertionError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.5)


def _compare(home: Home) -> None:
    """What moves by itself agrees within a part in twenty."""
    native, peer = home.of("home"), home.of(PEER)
    wanted = {name: value for name, value in native.items() if not name.startswith("driver.") and name not in AGES and len(value) <= MAX_ENTRY}
    assert wanted.keys() <= peer.keys(), wanted.keys() - peer.keys()
    for name, value in wanted.items():
        other = peer[name]
        try:
            assert abs(float(value) - float(other)) <= 0.05 * abs(float(value)) + 5, (name, value, other)
        except ValueError:
            assert value == other, name


@pytest.mark.timeout(180)
@pytest.mark.parametrize("backend", ["enphase", "rct"])
def test_dummy_ups_with_our_file_agrees_with_the_native_driver(backend: str) -> None:
    with _home(backend) as home:
        home.start()
        process = home.portfile()
        wait(lambda: "ups.status" in home.file.read_text(), timeout=25)
        assert home.upsdrvctl("start", PEER).returncode == 0
        home.upsd()
        wait(lambda: home.status().startswith("OL") and home.peer().startswith("OL"))
        time.sleep(6)
        _agree(home)
        assert home.of(PEER)["ups.location"] == "cellar"
        home.running.set(grid="outage")
        wait(lambda: home.peer().startswith("OB"), timeout=12)
        time.sleep(8)
        _agree(home)
        home.running.set(grid="on")
        wait(lambda: home.peer().startswith("OL"), timeout=90)
        process.terminate()
        assert process.wait(10) == 0
        assert home.away.exists() and not home.file.exists(), "nobody keeps it any more"


@pytest.mark.timeout(120)
def test_without_the_device_the_file_is_away_and_dummy_ups_with_it() -> None:
    with _home("rct") as home:
        home.portfile()
        wait(lambda: "ups.status" in home.file.read_text(), timeout=25)
        assert home.upsdrvctl("start", PEER).returncode == 0
        home.upsd()
        wait(lambda: home.peer().startswith("OL"))
        home.running.set(silent=True)
        wait(lambda: home.away.exists() and not home.file.exists(), timeout=30)
        wait(lambda: home.peer() == "", timeout=15, what="upsd has no old status")
        home.running.set(silent=False)
        wait(home.file.exists, timeout=45)
        wait(lambda: not home.away.exists(), timeout=5)
        assert home.upsdrvctl("start", PEER).returncode == 0
        wait(lambda: home.peer().startswith("OL"))


def test_once_writes_the_file_and_leaves_it() -> None:
    with _home("enphase") as home:
        assert home.portfile("-s").wait(30) == 0, home.log("portfile")
        text = home.file.read_text()
        assert text.startswith("# mine\nups.location: cellar\n")
        assert 'ups.status: "OL' in text
        home.running.set(offline=True)
        assert home.portfile("-s").wait(30) == 0
        assert home.file.read_text() == text, "it is young, and the keeper that is started next may have data"
        home.file.write_text("ups.status: OB LB\n")
        assert home.portfile("-s").wait(30) == 0
        assert home.away.exists() and not home.file.exists(), "who wrote that is not known"


@pytest.mark.timeout(90)
def test_a_low_mark_that_is_written_into_the_file_is_obeyed_with_the_next_write() -> None:
    with _home("enphase") as home:
        home.running.set(grid="outage", soc=60)
        home.portfile()
        wait(lambda: 'ups.status: "OB' in home.file.read_text(), timeout=25)
        assert " LB" not in home.file.read_text()

        def obeyed() -> bool:
            text = home.file.read_text()
            if "70" not in text.partition("battery.charge.low:")[2][:6]:
                # Again, if the keeper put a new file in its place in that moment.
                with home.file.open("a") as file:
                    file.write("battery.charge.low: 70\n")
            return "OB LB" in text

        wait(obeyed, timeout=30)
        assert home.file.read_text().count("battery.charge.low:") == 1
        text = home.file.read_text()
        assert 'battery.charge.low: "70"' in text or "battery.charge.low: 70" in text


def test_a_keeper_that_was_killed_is_followed_by_the_units_last_word() -> None:
    with _home("enphase") as home:
        process = home.portfile()
        wait(lambda: "ups.status" in home.file.read_text(), timeout=25)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert home.file.exists()
        assert home.portfile("--away").wait(20) == 0
        assert home.away.exists() and not home.file.exists()


def test_the_test_mode_goes_round() -> None:
    with _home("enphase") as home:
        with home.config.open("a") as config:
            config.write("TEST_MODE=1\nTEST_DELAY=3\n")
        home.portfile("-v")
        seen: list[str] = []
        deadline = time.monotonic() + 40
        wanted = ["OL", "away", "OL", "OB DISCHRG", "OB LB DISCHRG", "OL"]
        while seen[-len(wanted) :] != wanted:
            assert time.monotonic() < deadline, seen
            try:
                text = home.file.read_text()
            except FileNotFoundError:
                text = None
            state = "away" if text is None else next((line[13:-1] for line in text.splitlines() if line.startswith("ups.status: ")), "")
            if state and (not seen or seen[-1] != state):
                seen.append(state)
            time.sleep(0.05)


def test_a_hostile_configuration_is_refused_and_nothing_is_run() -> None:
    with _home("enphase") as home:
        victim = home.folder / "victim"
        with home.config.open("a") as config:
            config.write(f"PASSWORD=$(touch {victim})\n")
        assert home.portfile().wait(20) == 1
        assert "nothing in this file is run" in home.log("portfile")
        assert not victim.exists()


UNIT = REPO / "packaging" / "systemd" / "nutdrv_py-portfile@.service"


def test_the_unit_is_hardened_and_leaves_nocomms_behind() -> None:
    class Unit(configparser.RawConfigParser):
        optionxform = staticmethod(str)  # type: ignore[assignment]

    unit = Unit(strict=False)
    unit.read(UNIT)
    service = unit["Service"]
    for name in ("NoNewPrivileges", "ProtectHome", "PrivateTmp", "PrivateDevices", "LockPersonality"):
        assert service[name] == "yes"
    assert (service["ProtectSystem"], service["ReadWritePaths"], service["CapabilityBoundingSet"]) == (
        "strict",
        "-/var/lib/nut -/var/lib/ups",
        "",
    )
    assert service["Type"] == "notify" and int(service["WatchdogSec"]) > 150
    assert service["ExecStart"] == "/usr/bin/nutdrv_py portfile %i"
    assert service["ExecStopPost"] == "/usr/bin/nutdrv_py portfile --away %i"
    if shutil.which("systemd-analyze"):
        done = subprocess.run(["systemd-analyze", "verify", str(UNIT)], capture_output=True, text=True, check=False)
        assert "Unknown" not in done.stderr
