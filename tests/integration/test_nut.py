# SPDX-License-Identifier: GPL-2.0-or-later
"""The real upsd, upsc, upsrw, upscmd and upsmon with this driver behind them."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from nutdrv_py.nut import messages as m
from nutdrv_py.simulators.nut import find_program
from tests.conftest import REPO
from tests.integration.conftest import Lab, alive, wait


@pytest.fixture
def served(lab: Lab) -> Iterator[Lab]:
    lab.start()
    lab.upsd()
    wait(lambda: lab.upsc("ups.status").stdout == "OL\n")
    yield lab


def _client(lab: Lab, program: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [find_program(program), *words, lab.address]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, env=lab.environment())


def _upsrw(lab: Lab, setting: str, value: str) -> str:
    done = _client(lab, "upsrw", "-s", f"{setting}={value}", "-u", "demo", "-p", "demo", "-w")
    return done.stdout + done.stderr


def test_upsc_shows_what_the_driver_knows(served: Lab) -> None:
    found = served.variables()
    assert found["battery.charge"] == "87"
    assert found["device.model"] == "Plain"
    assert found["driver.name"] == "nutdrv_py"
    assert "Error: Variable not supported by UPS" in served.upsc("bogus.name").stderr


def test_hostile_text_reaches_upsc_and_costs_nothing_around_it(served: Lab) -> None:
    served.say(name='IQ "5P" #2 \\ = Gerät')
    wait(lambda: served.upsc("ups.model").stdout == 'IQ "5P" #2 \\ = Geraet\n' or "5P" in served.upsc("ups.model").stdout)
    before = set(served.variables())
    served.say(name="x" * 500)
    wait(lambda: served.upsc("ups.model").stdout.strip() == "x" * 255)
    assert set(served.variables()) == before


def test_a_change_of_the_grid_reaches_upsc_within_the_poll_interval_and_a_second(served: Lab) -> None:
    served.say(grid="down")
    assert wait(lambda: served.upsc("ups.status").stdout == "OB\n") < 2


def test_stale_is_said_and_taken_back(labs: Callable[..., Lab]) -> None:
    lab = labs({"maxage": "2"})
    lab.start()
    lab.upsd()
    wait(lambda: lab.upsc("ups.status").stdout == "OL\n")
    lab.say(grid=None)
    wait(lambda: "Data stale" in lab.upsc("ups.status").stderr, timeout=10)
    lab.say()
    wait(lambda: lab.upsc("ups.status").stdout == "OL\n", timeout=5)


def test_a_driver_that_starts_stale_is_stale_for_an_upsd_that_knew_it_good(served: Lab) -> None:
    """upsd keeps the old DATAOK over a reconnection, so the dump must say DATASTALE."""
    os.kill(served.pid, signal.SIGKILL)
    served.say(grid=None)
    served.start()
    wait(lambda: "Data stale" in served.upsc("ups.status").stderr)


def test_a_killed_driver_is_missed_at_once_and_back_within_two_seconds_of_its_start(served: Lab) -> None:
    os.kill(served.pid, signal.SIGKILL)
    wait(lambda: "Driver not connected" in served.upsc("ups.status").stderr or "Data stale" in served.upsc("ups.status").stderr)
    served.start()
    assert wait(lambda: served.upsc("ups.status").stdout == "OL\n") < 3


def test_an_upsd_that_restarts_finds_the_driver(served: Lab) -> None:
    for process in list(served._processes):
        process.terminate()
        process.wait(10)
    assert "Connection failure" in served.upsc("ups.status").stderr
    served.upsd()
    wait(lambda: served.upsc("ups.status").stdout == "OL\n")


def test_upsrw_lists_and_sets_with_upsds_own_checks(served: Lab) -> None:
    listed = _client(served, "upsrw").stdout
    assert "[ups.delay.shutdown]" in listed
    assert "Type: RANGE NUMBER" in listed or "Type: RANGE" in listed
    assert 'Option: "0-600"' in listed
    assert "[ups.id]" in listed
    assert "Maximum length: 20" in listed
    assert "SUCCESS" in _upsrw(served, "ups.delay.shutdown", "42")
    wait(lambda: served.upsc("ups.delay.shutdown").stdout == "42\n")
    assert "SUCCESS" in _upsrw(served, "ups.id", 'a "b" #1')
    wait(lambda: "b" in served.upsc("ups.id").stdout)
    assert "SUCCESS" in _upsrw(served, "driver.debug", "2")
    assert "SUCCESS" not in _upsrw(served, "ups.delay.shutdown", "601")
    assert served.upsc("ups.delay.shutdown").stdout == "42\n"


def test_upscmd_lists_runs_and_is_told_the_outcome(served: Lab) -> None:
    listed = _client(served, "upscmd", "-l").stdout
    for name in ("driver.reload", "load.off", "shutdown.default", "test.battery.start"):
        assert name in listed

    def run(name: str) -> str:
        command = [find_program("upscmd"), "-u", "demo", "-p", "demo", "-w", served.address, name]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, env=served.environment())
        return done.stdout + done.stderr

    assert "SUCCESS" in run("test.battery.start")
    assert "FAILED" in run("load.off").upper()
    assert "SUCCESS" in run("driver.reload-or-error")


def test_a_running_dump_and_updates_survive_many_upsc_at_once(served: Lab) -> None:
    processes = [subprocess.Popen([find_program("upsc"), served.address], stdout=subprocess.PIPE, env=served.environment()) for _ in range(20)]
    for soc in range(60, 80):
        served.say(soc=soc)
    outputs = [process.communicate(timeout=30)[0] for process in processes]
    assert all(b"ups.status: OL" in output for output in outputs)


def test_upsmon_shuts_down_once_on_ob_lb(served: Lab) -> None:
    monitor = served.upsmon()
    time.sleep(2)
    served.say(grid="down", soc=50)
    time.sleep(3)
    assert not served.shutdown_file.exists(), "on battery alone nothing happens"
    served.say(grid="down", soc=10)
    wait(served.shutdown_file.exists)
    time.sleep(2)
    assert len(served.shutdown_file.read_text().splitlines()) == 1
    wait(lambda: monitor.poll() is not None)


def test_upsmon_does_nothing_when_the_driver_is_stopped_killed_or_stale_on_the_grid(served: Lab) -> None:
    """Also with an alarm and a full DEADTIME of silence after a clean reading on the grid."""
    served.upsmon()
    time.sleep(2)
    os.kill(served.pid, signal.SIGKILL)
    time.sleep(18)
    served.start()
    wait(lambda: served.upsc("ups.status").stdout == "OL\n")
    served.upsdrvctl("stop")
    time.sleep(3)
    served.start()
    wait(lambda: served.upsc("ups.status").stdout == "OL\n")
    assert alive(served.pid)
    assert not served.shutdown_file.exists()


def test_pong_comes_within_a_second_while_the_device_takes_its_time_over_a_command(labs: Callable[..., Lab]) -> None:
    lab = labs({"backend": "noswitch:SlowSwitch"}, environ={"PYTHONPATH": str(REPO / "tests" / "integration")})
    lab.start()
    client = lab.client()
    client.silence()
    client.send(b"INSTCMD test.battery.start TRACKING slow\n")
    began = time.monotonic()
    for _ in range(20):
        client.send(b"PING\n")
        assert client.until(b"PONG\n") == b"PONG\n", "the command is still under way"
    assert time.monotonic() - began < 1
    assert client.until(b"TRACKING slow 0\n")
    assert time.monotonic() - began > 1


def test_upsd_and_pynut2_list_exactly_what_the_driver_said(served: Lab) -> None:
    """LIST VAR, RW, CMD and RANGE against the driver's own dump."""
    from pynut2.nut2 import PyNUTClient

    client = served.client()
    client.silence()
    dump = client.messages(client.ask(b"DUMPALL\n", b"DUMPDONE\n"))
    nut = PyNUTClient(host="127.0.0.1", port=served.port, login="demo", password="demo")
    expected = {message.name: message.value for message in dump if isinstance(message, m.SetInfo)}
    listed = nut.list_vars("ups")
    assert set(listed) == set(expected)
    assert {name: value for name, value in listed.items() if name != "driver.state"} == {
        name: value for name, value in expected.items() if name != "driver.state"
    }
    assert set(nut.list_rw_vars("ups")) == {message.name for message in dump if isinstance(message, m.SetFlags) and "RW" in message.flags}
    assert set(nut.list_commands("ups")) == {message.name for message in dump if isinstance(message, m.AddCmd)}
    assert nut.list_range("ups", "ups.delay.shutdown") == ["0"], "pynut2 gives the lower bound only"
    assert nut.list_ups()["ups"]
