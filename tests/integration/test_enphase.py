# SPDX-License-Identifier: GPL-2.0-or-later
"""An Enphase house end to end: simulated gateway, this driver, the real upsd, upsc and upsmon."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from nutdrv_py.simulators.enphase import Fault, RunningSimulator, load_scenario
from tests.integration.conftest import DEADTIME, LOOKS, Watched, alive, wait


class Home(Watched):
    """A stage with an Enphase section for a running simulator."""

    def __init__(self, running: RunningSimulator, **options: str) -> None:
        sim = running.sim
        section = {
            "driver": "nutdrv_py", "port": sim.host_port, "backend": "enphase", "serial": sim.serial, "credentials": "credentials",
            "tokenfile": "home.token", "login_url": sim.login_url, "token_url": sim.token_url, "pollinterval": "2", "pollfreq": "5",
            "api_timeout": "2", **LOOKS, **options,
        }  # fmt: skip
        super().__init__({name: value for name, value in section.items() if value}, ups="home", deadtime=DEADTIME)
        self.running = running
        secret = self.folder / "etc" / "credentials"
        secret.touch(mode=0o600)
        secret.write_text(f"USERNAME={sim.username}\nPASSWORD={sim.password}\n")


@contextlib.contextmanager
def _home(scenario: str = "online", **options: str) -> Iterator[Home]:
    with RunningSimulator(replace(load_scenario(scenario), timeline=())) as running:
        stage = Home(running, **options)
        try:
            yield stage
        finally:
            stage.close()


def test_upsc_shows_the_house_and_the_relay_within_the_poll_interval_and_a_second() -> None:
    with _home() as home:
        home.start()
        home.upsd()
        wait(lambda: home.status().startswith("OL"))
        shown = home.variables()
        assert shown["battery.charge"] == "80"
        assert shown["ups.mfr"] == "Enphase Energy"
        assert shown["driver.parameter.port"] == home.running.sim.host_port
        everything = str(shown)
        for secret in (home.running.sim.password, home.running.sim.username, (home.folder / "etc" / "home.token").read_text().strip()):
            assert secret not in everything
        for grid, status in (("outage", "OB"), ("on", "OL"), ("generator", "OB"), ("on", "OL"), ("island", "OB"), ("on", "OL")):
            home.running.set(grid=grid)
            assert wait(lambda status=status: home.status().startswith(status)) <= 3


def test_pong_comes_within_a_second_while_the_gateway_hangs() -> None:
    with _home(api_timeout="10") as home:
        home.start()
        client = home.client()
        client.silence()
        home.running.fault("*", Fault("hang"))
        deadline = time.monotonic() + 12
        worst = 0.0
        while time.monotonic() < deadline:
            began = time.monotonic()
            assert client.ask(b"PING\n", b"\n") == b"PONG\n"
            worst = max(worst, time.monotonic() - began)
            time.sleep(0.05)
        assert worst < 1


def test_a_gateway_that_is_away_at_the_start_does_not_stop_the_start_and_is_found_later() -> None:
    with _home() as home:
        home.running.offline(True)
        began = time.monotonic()
        home.start()
        assert time.monotonic() - began < 10
        home.upsd()
        wait(lambda: "Data stale" in home.upsc("ups.status").stderr)
        home.running.offline(False)
        wait(lambda: home.status().startswith("OL"), timeout=15)


def test_an_outage_at_the_start_is_ob_from_the_first_answer() -> None:
    with _home() as home:
        home.running.set(grid="outage")
        home.start()
        home.upsd()
        wait(lambda: home.status() not in ("", "WAIT"))
        assert home.status().startswith("OB")


ON_GRID_FAULTS: list[Fault | str] = [
    Fault("refuse"), Fault("drip", seconds=0.5), Fault("hang"), Fault("truncated"), Fault("html"),
    *(Fault("status", status=status) for status in (401, 404, 429, 503)), "certificate", "offline",
]  # fmt: skip
"""One of each kind: the backend's own tests have all of them."""


@pytest.mark.timeout(300)
def test_no_fault_on_the_grid_makes_upsmon_act_and_the_driver_recovers_from_each_by_itself() -> None:
    """upsmon watches all the time, with data going stale in between (maxage 4)."""
    with _home(maxage="4") as home:
        home.running.set(packs_bad=0)
        home.start()
        pid = home.pid
        home.upsd()
        wait(lambda: home.status().startswith("OL"))
        monitor = home.upsmon()
        time.sleep(2)
        for fault in ON_GRID_FAULTS:
            if fault == "certificate":
                home.running.call(home.running.sim.rotate_certificate)
                time.sleep(3)
                assert home.status().startswith("OL")
                continue
            if fault == "offline":
                home.running.offline(True)
            else:
                assert isinstance(fault, Fault)
                home.running.fault("*", fault)
            wait(lambda: "Data stale" in home.upsc("ups.status").stderr, timeout=20, what=f"stale by {fault}")
            if fault == "offline":
                time.sleep(DEADTIME + 3)
            home.running.set(clear_faults=True, offline=False)
            wait(lambda: home.status().startswith("OL"), timeout=75, what=f"recovery from {fault}")
        assert home.pid == pid
        assert monitor.poll() is None
        assert not home.shutdown_file.exists()


@pytest.mark.timeout(180)
def test_a_gateway_that_restarts_during_an_outage_does_not_shut_anything_down() -> None:
    """85 s in the field; here more than twice upsmon's DEADTIME and HOSTSYNC together."""
    with _home() as home:
        home.start()
        home.upsd()
        wait(lambda: home.status().startswith("OL"))
        home.upsmon()
        home.running.set(grid="outage", load=600)
        wait(lambda: home.status().startswith("OB"))
        home.running.offline(True)
        time.sleep(2 * DEADTIME + 5)
        assert home.status().startswith("OB")
        assert not home.shutdown_file.exists()
        home.running.offline(False)
        home.running.set(grid="on")
        wait(lambda: home.status().startswith("OL"), timeout=15)
        assert not home.shutdown_file.exists()


@pytest.mark.timeout(180)
def test_a_gateway_that_never_comes_back_during_an_outage_does_shut_down_in_time() -> None:
    """After maxage the data are stale, and upsmon takes a UPS that was on battery and is silent for lost."""
    with _home(maxage="10") as home:
        home.start()
        home.upsd()
        wait(lambda: home.status().startswith("OL"))
        home.upsmon()
        home.running.set(grid="outage")
        wait(lambda: home.status().startswith("OB"))
        home.running.offline(True)
        took = wait(home.shutdown_file.exists, timeout=90)
        assert 10 < took < 60


def test_a_frozen_or_killed_upsdrvctl_cycle_leaves_one_driver() -> None:
    with _home() as home:
        home.start()
        first = home.pid
        home.start()
        assert home.pid != first
        assert not alive(first)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"credentials": "nothing"}, "cannot be read"),
        ({"credentials": ""}, "no way to log in"),
        ({"pollinterval": "often"}, "is not a whole number"),
        ({"certificat": "pin"}, "Did you mean 'certificate'?"),
        ({"port": "http://envoy.local"}, "plain http"),
    ],
)
def test_a_wrong_section_fails_upsdrvctl_with_a_sentence(options: dict[str, str], sentence: str) -> None:
    with _home(**options) as home:
        done = home.upsdrvctl("start")
        assert done.returncode == 1
        assert sentence in done.stderr


def test_credentials_that_others_may_read_stop_the_start() -> None:
    with _home() as home:
        (home.folder / "etc" / "credentials").chmod(0o644)
        done = home.upsdrvctl("start")
        assert done.returncode == 1
        assert "chmod o-rwx" in done.stderr
