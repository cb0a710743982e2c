# SPDX-License-Identifier: GPL-2.0-or-later
"""A UPS served by two, three servers in a row: each a real upsd, the first with a driver of a device."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from nutdrv_py.backends.repeater.mirror import PATH
from nutdrv_py.simulators.nut import Stage
from tests.integration.conftest import Client, Lab, wait

BACKEND = "nutdrv_py.backends.repeater:Repeater"
OWN = ("ups.status", PATH, "experimental.data.age")


class Mirror(Stage):
    """A NUT that repeats another one's UPS."""

    def __init__(self, address: str, *, ups: str = "mirror", login: str = "demo", **options: str) -> None:
        section = {"driver": "nutdrv_py", "port": address, "backend": BACKEND, "pollinterval": "1", "maxage": "3", "looks": "1", **options}
        super().__init__(section | ({"username": login, "password": login} if login else {}), ups=ups)

    def up(self) -> Mirror:
        done = self.upsdrvctl("start")
        assert done.returncode == 0, done.stdout + done.stderr
        self.upsd()
        return self

    def client(self) -> Client:
        return Client(self.folder / "run" / f"nutdrv_py-{self.ups}")

    def redirect(self, address: str) -> None:
        """Start the driver anew for another source."""
        path = self.folder / "etc" / "ups.conf"
        lines = [f'    port = "{address}"' if line.strip().startswith("port =") else line for line in path.read_text().splitlines()]
        path.write_text("\n".join(lines) + "\n")
        assert self.upsdrvctl("start").returncode == 0


class Upsd:
    """A client of upsd that speaks its protocol."""

    def __init__(self, stage: Stage) -> None:
        self.ups = stage.ups
        self._file = socket.create_connection(("127.0.0.1", stage.port), timeout=10).makefile("rwb")
        for line in ("USERNAME demo", "PASSWORD demo", "SET TRACKING ON"):
            assert self.ask(line) == "OK"

    def ask(self, line: str) -> str:
        self._file.write(f"{line}\n".encode())
        self._file.flush()
        return self._file.readline().decode().rstrip("\n")

    def rows(self, kind: str, name: str = "") -> list[str]:
        """The rows of a list without the name of the UPS; those of ``driver.*`` are left out."""
        assert self.ask(f"LIST {kind} {self.ups} {name}".strip()).startswith("BEGIN")
        rows = []
        while not (row := self._file.readline().decode().rstrip("\n")).startswith("END"):
            rows.append(row.replace(f" {self.ups} ", " ", 1))
        return sorted(row for row in rows if " driver." not in row)

    def told(self, line: str) -> str:
        """The outcome of a SET or INSTCMD."""
        answer = self.ask(line)
        if answer.startswith("OK TRACKING"):
            tracking = answer.split()[2]
            wait(lambda: self.ask(f"GET TRACKING {tracking}") != "PENDING", timeout=15)
            return self.ask(f"GET TRACKING {tracking}")
        return answer


def _status(stage: Stage) -> set[str]:
    return set(stage.upsc("ups.status").stdout.split())


def _stale(stage: Stage) -> bool:
    return "Data stale" in stage.upsc("ups.status").stderr


def _source() -> Lab:
    lab = Lab({"maxage": "2"})
    lab.start()
    lab.upsd()
    return lab


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Lab, Mirror]]:
    """A source and its mirror, for tests that leave them as they are."""
    lab = _source()
    mirror = Mirror(lab.address)
    try:
        mirror.up()
        wait(lambda: "OL" in _status(mirror))
        yield lab, mirror
    finally:
        mirror.close()
        lab.close()


@pytest.fixture
def mirrors() -> Iterator[Callable[..., Mirror]]:
    made: list[Mirror] = []

    def make(address: str, **options: str) -> Mirror:
        made.append(Mirror(address, **options))
        return made[-1]

    yield make
    for stage in reversed(made):
        stage.close()


@pytest.fixture
def source() -> Iterator[Lab]:
    lab = _source()
    try:
        yield lab
    finally:
        lab.close()


def _ours(stage: Stage) -> dict[str, str]:
    return {name: text for name, text in stage.variables().items() if not name.startswith("driver.") and name not in OWN}


def test_each_variable_is_that_of_the_source_whatever_is_in_it(pair: tuple[Lab, Mirror]) -> None:
    lab, mirror = pair
    for name in ("Plain", 'IQ "G" \\ x #2 = [y]', "x" * 250, "\\" * 120, "trailing "):
        lab.say(name=name, soc=42)
        wait(lambda name=name: lab.variables().get("ups.model", "").startswith(name[:20].rstrip()))
        wait(lambda: _ours(mirror) == _ours(lab), timeout=5, what=f"equal for {name}")
    assert len(_ours(mirror)) > 8
    shown = mirror.variables()
    assert shown["driver.parameter.port"] == lab.address
    assert "demo" not in {text for key, text in shown.items() if key.startswith("driver.")}
    lab.say()


def test_the_status_and_the_alarms_are_those_of_the_source(pair: tuple[Lab, Mirror]) -> None:
    lab, mirror = pair
    for device, tokens in (
        ({"grid": "down", "soc": 90}, {"OB"}),
        ({"grid": "down", "soc": 10}, {"OB", "LB"}),
        ({"grid": "up", "alarm": "Replace battery!"}, {"ALARM", "OL"}),
        ({"grid": "up"}, {"OL"}),
    ):
        lab.say(**device)
        wait(lambda tokens=tokens: _status(lab) == tokens)
        took = wait(lambda tokens=tokens: _status(mirror) == tokens)
        assert took <= 2.5
        assert mirror.upsc("ups.alarm").stdout == lab.upsc("ups.alarm").stdout


def test_what_can_be_set_and_done_is_what_the_source_offers(pair: tuple[Lab, Mirror]) -> None:
    lab, mirror = pair
    there, here = Upsd(lab), Upsd(mirror)
    wait(lambda: len(here.rows("RW")) == 3)
    assert here.rows("RW") == there.rows("RW")
    assert here.rows("CMD") == there.rows("CMD")
    assert "CMD load.off" in here.rows("CMD")
    assert here.rows("RANGE", "ups.delay.shutdown") == there.rows("RANGE", "ups.delay.shutdown")
    for name in ("ups.id", "ups.delay.shutdown"):
        assert here.ask(f"GET TYPE mirror {name}").split()[3:] == there.ask(f"GET TYPE ups {name}").split()[3:]


def test_a_setting_goes_through_two_servers_and_its_outcome_comes_back(pair: tuple[Lab, Mirror]) -> None:
    lab, mirror = pair
    there, here = Upsd(lab), Upsd(mirror)
    assert here.told('SET VAR mirror ups.id "a \\"b\\" \\\\ \\#"') == "SUCCESS"
    assert there.ask("GET VAR ups ups.id") == 'VAR ups ups.id "a \\"b\\" \\\\ \\#"'
    assert here.told("SET VAR mirror ups.delay.shutdown 77") == "SUCCESS"
    assert there.ask("GET VAR ups ups.delay.shutdown").endswith('"77"')
    assert here.told("SET VAR mirror ups.delay.shutdown 9999") == "ERR INVALID-VALUE"
    assert here.told("SET VAR mirror battery.charge 1") == "ERR READONLY"
    assert here.told("INSTCMD mirror test.battery.start 10") == "SUCCESS"
    assert here.told("INSTCMD mirror load.off") == "ERR FAILED"
    assert here.told("INSTCMD mirror nothing") == "ERR CMD-NOT-SUPPORTED"


@pytest.mark.parametrize("login", ["", "wrong"])
def test_without_the_right_user_the_ups_is_read_and_nothing_is_done(pair: tuple[Lab, Mirror], mirrors: Callable[..., Mirror], login: str) -> None:
    lab, _ = pair
    mirror = mirrors(lab.address, login=login).up()
    wait(lambda: "OL" in _status(mirror))
    here = Upsd(mirror)
    if not login:
        assert not here.rows("RW")
        assert here.told("INSTCMD mirror load.off") == "ERR CMD-NOT-SUPPORTED"
    else:
        wait(lambda: here.rows("RW"))
        assert here.told("SET VAR mirror ups.id x") == "ERR FAILED"
    assert "OL" in _status(mirror)


def test_a_killed_driver_of_the_source_is_stale_here_and_comes_back(source: Lab, mirrors: Callable[..., Mirror]) -> None:
    mirror = mirrors(source.address).up()
    wait(lambda: "OL" in _status(mirror))
    os.kill(source.pid, signal.SIGKILL)
    took = wait(lambda: _stale(mirror))
    assert took <= 6
    source.say(grid="down", soc=50)
    source.start()
    wait(lambda: _status(mirror) == {"OB"})
    assert mirror.variables()["battery.charge"] == "50"
    # The device alone is away: the driver of the source says that its data are stale.
    source.device.unlink()
    wait(lambda: _stale(source), timeout=30)
    wait(lambda: _stale(mirror), timeout=6)


def test_the_sources_server_may_hang_end_and_start_and_a_forced_shutdown_is_passed_on(source: Lab, mirrors: Callable[..., Mirror]) -> None:
    mirror = mirrors(source.address).up()
    wait(lambda: "OL" in _status(mirror))
    server = source._processes[-1]
    # The kernel goes on accepting for a stopped upsd, but nothing is ever answered.
    server.send_signal(signal.SIGSTOP)
    client = mirror.client()
    client.silence()
    worst, end = 0.0, time.monotonic() + 5
    while time.monotonic() < end:
        began = time.monotonic()
        assert client.ask(b"PING\n", b"\n") == b"PONG\n"
        worst = max(worst, time.monotonic() - began)
        time.sleep(0.05)
    assert worst < 1
    assert _stale(mirror)
    server.send_signal(signal.SIGCONT)
    wait(lambda: "OL" in _status(mirror), timeout=15)
    there = Upsd(source)
    assert there.ask("PRIMARY ups").startswith("OK")
    assert there.ask("FSD ups") == "OK FSD-SET"
    wait(lambda: _status(mirror) == {"FSD", "OL"})
    server.terminate()
    server.wait(5)
    wait(lambda: _stale(mirror))
    source.upsd()
    wait(lambda: _status(mirror) == {"OL"}, timeout=15)


def test_a_source_that_is_away_at_the_start_is_found_later(mirrors: Callable[..., Mirror]) -> None:
    lab = Lab()
    try:
        mirror = mirrors(lab.address).up()
        wait(lambda: _stale(mirror))
        lab.start()
        lab.upsd()
        wait(lambda: "OL" in _status(mirror), timeout=15)
    finally:
        lab.close()


def test_a_repeater_of_a_repeater_works_and_a_loop_does_not_keep_old_data_alive(pair: tuple[Lab, Mirror], mirrors: Callable[..., Mirror]) -> None:
    lab, _ = pair
    first = mirrors(lab.address, ups="first").up()
    second = mirrors(first.address, ups="second").up()
    wait(lambda: "OL" in _status(second))
    assert _ours(second) == _ours(lab)
    assert len(second.variables()[PATH].split()) == 2
    assert Upsd(second).told("SET VAR second ups.id chained") == "SUCCESS"
    assert lab.variables()["ups.id"] == "chained"
    # Now the first one repeats the second: nobody is left who knows the UPS.
    first.redirect(second.address)
    wait(lambda: _stale(first) and _stale(second), timeout=20)
    time.sleep(3)
    assert _stale(first) and _stale(second)


def test_a_repeater_of_itself_is_refused_or_never_has_data(mirrors: Callable[..., Mirror]) -> None:
    obvious = mirrors("mirror@localhost")
    done = obvious.upsdrvctl("start")
    assert done.returncode == 1
    assert "repeat itself" in done.stderr
    hidden = mirrors("placeholder")
    hidden.redirect(hidden.address)
    hidden.upsd()
    time.sleep(4)
    assert _stale(hidden)


@pytest.mark.parametrize(
    ("port", "options", "sentence"),
    [
        ("/dev/ttyS0", {}, "rack@192.168.1.5"),
        ("ups@fd00::5", {}, "rack@192.168.1.5"),
        ("ups@nas", {"login": "", "username": "x"}, "password is missing"),
    ],
)
def test_a_wrong_section_fails_the_start_with_a_sentence(mirrors: Callable[..., Mirror], port: str, options: dict[str, str], sentence: str) -> None:
    done = mirrors(port, **options).upsdrvctl("start")
    assert done.returncode == 1
    assert sentence in done.stderr
