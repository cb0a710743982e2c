# SPDX-License-Identifier: GPL-2.0-or-later
"""``nutdrv_py check``, room by room: each check once as it should be and once as it goes wrong, with what to type."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nutdrv_py.backends.dummy import Dummy
from nutdrv_py.backends.dummy.config import DummyConfig
from nutdrv_py.backends.enphase import Enphase, examine
from nutdrv_py.backends.enphase.config import EnphaseConfig
from nutdrv_py.backends.rct import Rct
from nutdrv_py.backends.rct.config import RctConfig
from nutdrv_py.backends.repeater import Repeater
from nutdrv_py.backends.repeater.config import RepeaterConfig
from nutdrv_py.backends.repeater.examine import marks
from nutdrv_py.cli import main
from nutdrv_py.clock import Clock
from nutdrv_py.commands.check import _line, configuration, nut, server, upsd, upsmon
from nutdrv_py.commands.check import device as rooms
from nutdrv_py.commands.check.device import resolved
from nutdrv_py.commands.check.who import Who
from nutdrv_py.commands.check.within import Within
from nutdrv_py.commands.sections import Section, Seen, chosen
from nutdrv_py.device.backend import Backend
from nutdrv_py.device.findings import Finding, Level, failed, ok
from nutdrv_py.errors import ConfigError, DeviceError
from nutdrv_py.exporters.config_file import read_exports
from nutdrv_py.simulators.enphase import Fault, RunningSimulator
from nutdrv_py.simulators.enphase import load_scenario as enphase_scenario
from nutdrv_py.simulators.nut import free_port
from nutdrv_py.simulators.rct import RunningInverter
from nutdrv_py.simulators.rct import load_scenario as rct_scenario

OK, WARNING, FAILED = Level

WHO = Who("nut", "nut", "nut")
"""root, having become the driver's user."""


def by_topic(findings: list[Finding]) -> dict[str, Finding]:
    """The worst of each topic, of equals the first."""
    order = list(Level)
    return {f.topic: f for f in sorted(reversed(findings), key=lambda f: order.index(f.level))}


# The name


@pytest.mark.parametrize(
    ("host", "addresses", "in_hosts", "level", "advice"),
    [
        ("192.168.1.20", [], False, OK, ""),
        ("fd00::5", [], False, OK, ""),
        ("gateway.lan", ["192.168.1.20"], False, OK, ""),
        ("envoy.local", ["192.168.1.20"], True, OK, ""),
        ("envoy.local", ["192.168.1.20"], False, WARNING, "fixed address"),
        ("envoy.local", ["192.168.1.20", "fe80::1%eth0"], False, WARNING, "fixed address"),
        ("gateway.lan", ["2001:db8::5"], False, WARNING, "fixed address"),
        ("envoy.local", ["169.254.120.1"], False, FAILED, "fixed address"),
        ("envoy.local", ["fe80::1%2"], False, FAILED, "fixed address"),
        ("envoy.local", [], False, FAILED, "libnss-mdns"),
        ("gatevay.lan", [], False, FAILED, "correct port ="),
    ],
)
def test_a_name_that_will_not_work_when_it_counts_is_told(host: str, addresses: list[str], in_hosts: bool, level: Level, advice: str) -> None:
    finding = resolved(host, addresses, "Name or service not known", in_hosts=in_hosts)
    assert finding.level is level
    assert advice in finding.advice


def looked_at(section: Section) -> dict[str, Finding]:
    async def collect() -> list[Finding]:
        settings, _ = configuration.settings_of(section)
        assert settings is not None
        within = Within(asyncio.get_running_loop().time() + 20)
        return [finding async for finding in rooms.look(settings, within, login=False)]

    return by_topic(asyncio.run(collect()))


def test_a_name_service_that_hangs_and_a_port_that_is_closed_end_the_look_at_the_device(etc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    (etc / "ups.conf").write_text(f"[home]\n driver = nutdrv_py\n backend = rct\n port = localhost:{port}\n")
    found = looked_at(home())
    assert [finding.level for finding in found.values()] == [OK, FAILED]
    assert f"not on port {port}" in found["connection"].advice
    release = threading.Event()
    monkeypatch.setattr(rooms, "RESOLVE", 0.2)
    monkeypatch.setattr(rooms, "_addresses", lambda host, port: release.wait(30) and [])
    found = looked_at(home())
    release.set()
    assert list(found) == ["name"]
    assert found["name"].level is FAILED
    assert "name service" in found["name"].text


# Files


@pytest.fixture
def etc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of NUT's with a section [home] in it; where drivers are is a folder of its own."""
    for name in ("etc", "run", "bin"):
        (tmp_path / name).mkdir(mode=0o755)
    folder = tmp_path / "etc"
    monkeypatch.setenv("NUT_CONFPATH", str(folder))
    monkeypatch.setenv("NUT_STATEPATH", str(tmp_path / "run"))
    (folder / "ups.conf").write_text(
        f"driverpath = {tmp_path}/bin\n[home]\n driver = nutdrv_py\n backend = enphase\n port = 127.0.0.1:1\n credentials = secret\n"
    )
    secret = folder / "secret"
    secret.write_text("USERNAME=somebody@example.org\nPASSWORD=very-secret\n")
    secret.chmod(0o600)
    return folder


def home() -> Section:
    return chosen("home")[0]


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


@pytest.mark.parametrize(
    ("spoil", "level", "advice"),
    [
        (lambda etc: None, OK, ""),
        (lambda etc: (etc / "secret").chmod(0o644), FAILED, "chmod o-rwx"),
        (lambda etc: (etc / "secret").unlink(), FAILED, "install -m 0640"),
        (lambda etc: (etc / "ups.conf").chmod(0o666), FAILED, "chmod o-w"),
        (lambda etc: append(etc / "ups.conf", " config = exporters.yml\n"), FAILED, "exporters.yml"),
        (lambda etc: (etc.parent / "run").rmdir(), FAILED, "install -d"),
    ],
)
def test_files_that_the_driver_cannot_use_or_that_others_can_are_told(etc: Path, spoil: Callable[[Path], object], level: Level, advice: str) -> None:
    spoil(etc)
    found = by_topic(configuration.permissions(home(), "nut", "nut"))["permissions"]
    assert found.level is level
    assert advice in found.advice
    assert "very-secret" not in str(found)


@pytest.mark.parametrize(
    ("line", "level", "words"),
    [
        ("", OK, "backend enphase"),
        (" pollinterval = often\n", FAILED, "ups.conf:7"),
        (" pollintervall = 5\n", FAILED, "pollinterval"),
        (" maxage = 1\n", WARNING, "maxage"),
        (" maxage = 89\n", WARNING, "90 s"),
        (" maxage = 90\n", OK, "maxage 90 s"),
    ],
)
def test_the_configuration_is_read_as_the_driver_reads_it_with_file_and_line(etc: Path, line: str, level: Level, words: str) -> None:
    append(etc / "ups.conf", line)
    found = by_topic(configuration.settings_of(home())[1])["configuration"]
    assert found.level is level
    assert words in found.text
    assert bool(found.advice) is (level is not OK)


@pytest.mark.parametrize(("maxage", "level"), [(14, WARNING), (15, OK)])
def test_a_maxage_in_which_upsmon_misses_what_was_withdrawn_is_too_short_for_any_backend(etc: Path, maxage: int, level: Level) -> None:
    (etc / "ups.conf").write_text(f"[home]\n driver = nutdrv_py\n backend = rct\n port = 127.0.0.1\n maxage = {maxage}\n")
    found = by_topic(configuration.settings_of(home())[1])["configuration"]
    assert found.level is level
    assert ("write maxage = 15" in found.advice) is (level is WARNING)


def test_without_a_name_each_section_of_this_driver_is_meant_and_none_is_an_error(etc: Path) -> None:
    append(etc / "ups.conf", "[other]\n driver = dummy-ups\n port = x.dev\n[rct]\n driver = nutdrv_py_rct\n port = 10.0.0.1\n")
    assert [section.ups for section in chosen(None)] == ["home", "rct"]
    assert chosen("other")[0].socket == etc.parent / "run" / "dummy-ups-other"
    with pytest.raises(ConfigError, match="home, other, rct"):
        chosen("hom")
    (etc / "ups.conf").write_text("[other]\n driver = dummy-ups\n port = x.dev\n")
    with pytest.raises(ConfigError, match="driver = nutdrv_py"):
        chosen(None)
    assert [section.ups for section in chosen(None, foreign=True)] == ["other"]


# Exporters


class Listener:
    """Takes connections and answers all with the same."""

    def __init__(self, answer: bytes) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._answer = answer
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            with contextlib.suppress(ConnectionError), client:
                self._talk(client)

    def _talk(self, client: socket.socket) -> None:
        client.recv(1000)
        client.sendall(self._answer)

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *gone: object) -> None:
        self._socket.close()


def exported(path: Path, *, running: bool) -> dict[str, Finding]:
    async def collect() -> list[Finding]:
        within = Within(asyncio.get_running_loop().time() + 20)
        return [finding async for finding in configuration.exporters(read_exports(path), running=running, within=within)]

    return by_topic(asyncio.run(collect()))


@pytest.mark.parametrize(
    ("answer", "running", "level"),
    [
        (b"HTTP/1.1 404 Not Found\r\nServer: nutdrv_py\r\n\r\n", True, OK),
        (b"HTTP/1.1 404 Not Found\r\nServer: nutdrv_py\r\n\r\n", False, FAILED),
        (b"HTTP/1.1 404 Not Found\r\nServer: nginx\r\n\r\n", True, FAILED),
    ],
)
def test_an_exporters_port_may_be_used_by_our_own_driver_and_nobody_else(tmp_path: Path, answer: bytes, running: bool, level: Level) -> None:
    path = tmp_path / "exporters.yml"
    with Listener(answer) as listener:
        path.write_text(f"page:\n  bind_port: {listener.port}\n")
        found = exported(path, running=running)["exporters"]
        assert found.level is level
        if level is FAILED:
            assert f"ss -ltnp 'sport = :{listener.port}'" in found.advice
    path.write_text(f"page:\n  bind_port: {free_port()}\n")
    assert exported(path, running=False)["exporters"].level is OK


def test_a_machine_to_wake_that_does_not_answer_is_told_because_it_counts_as_switched_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def answers(place: str) -> bool:
        return place.endswith(":22")

    monkeypatch.setattr(configuration, "answers", answers)
    path = tmp_path / "exporters.yml"
    machine = "{{name: {}, mac: '00:11:22:33:44:55', answers: '192.168.1.10:{}'}}"
    path.write_text(f"wake: {{machines: [{machine.format('nas', 22)}]}}\n")
    assert exported(path, running=True)["wake"].level is OK
    path.write_text(f"wake: {{machines: [{machine.format('nas', 22)}, {machine.format('rack', 23)}]}}\n")
    found = exported(path, running=True)["wake"]
    assert found.level is WARNING
    assert "rack at 192.168.1.10:23" in found.text
    assert "nas" not in found.text


def test_an_exporter_without_its_package_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "exporters.yml"
    path.write_text("mqtt:\n  enable: true\n  mqtt_host: broker\n")
    assert exported(path, running=False)["exporters"].level is OK
    monkeypatch.setitem(__import__("sys").modules, "paho.mqtt.client", None)
    found = exported(path, running=False)["exporters"]
    assert found.level is FAILED
    assert "pip install 'nutdrv_py[mqtt]'" in found.advice


# NUT


def executable(path: Path) -> Path:
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("prepare", "level", "advice"),
    [
        (lambda place: executable(place), OK, ""),
        (lambda place: None, FAILED, "nutdrv_py install --driverpath"),
        (lambda place: place.symlink_to("/nonexistent/nutdrv_py"), FAILED, "nutdrv_py install --driverpath"),
        (lambda place: executable(place).chmod(0o644), FAILED, "chmod a+rx"),
    ],
)
def test_the_launcher_must_be_where_upsdrvctl_looks(etc: Path, prepare: Callable[[Path], object], level: Level, advice: str) -> None:
    prepare(etc.parent / "bin" / "nutdrv_py")
    found = by_topic(nut.launcher(home(), "root"))["launcher"]
    assert found.level is level
    assert advice in found.advice


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder that the user nut may not enter")
def test_a_launcher_in_a_place_that_nuts_user_may_not_enter_is_told(etc: Path, tmp_path: Path) -> None:
    pytest.importorskip("pwd").getpwnam("nobody")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (etc.parent / "bin" / "nutdrv_py").symlink_to(executable(closed / "nutdrv_py"))
    found = by_topic(nut.launcher(home(), "nobody"))["launcher"]
    assert found.level is FAILED
    assert "/opt/nutdrv_py" in found.advice


@pytest.mark.parametrize(
    ("version", "there", "level"),
    [("2.8.0", False, OK), ("2.8.3", True, OK), ("2.8.5", False, WARNING), ("", False, WARNING)],
)
def test_newer_upsdrvctl_needs_the_interpreter_of_the_drivers_name(etc: Path, monkeypatch: pytest.MonkeyPatch, version: str, there: bool, level: Level) -> None:
    folder = etc.parent / "bin"
    executable(folder / "nutdrv_py")
    tool = executable(folder / "upsdrvctl")
    tool.write_text(f"#!/bin/sh\necho 'Network UPS Tools upsdrvctl {version}'\n")
    monkeypatch.setattr("nutdrv_py.simulators.nut._PLACES", ())
    monkeypatch.setenv("PATH", str(folder))
    interpreter = etc / "interpreter"
    monkeypatch.setattr(nut, "named_interpreter", lambda name: interpreter)
    if there:
        interpreter.touch()
    assert by_topic(nut.launcher(home(), "root"))["upsdrvctl"].level is level


UPSMON = 'MONITOR home@localhost 1 monuser very-secret primary\nSHUTDOWNCMD "/sbin/shutdown -h +0"\n'


@pytest.mark.parametrize(
    ("text", "topic", "level", "words"),
    [
        (UPSMON, "upsmon", OK, ""),
        (UPSMON, "deadtime", OK, ""),
        (UPSMON + "DEADTIME 25\nPOLLFREQALERT 5\n", "deadtime", OK, ""),
        (UPSMON + "DEADTIME 8\n", "deadtime", FAILED, "DEADTIME 15"),
        (UPSMON + "POLLFREQ 30\n", "deadtime", FAILED, "DEADTIME 90"),
        (UPSMON + "DEADTIME 12\n", "deadtime", WARNING, "DEADTIME 15"),
        (UPSMON + "DEADTIME many\n", "deadtime", FAILED, "DEADTIME 15"),
        (UPSMON, "looks", OK, ""),
        (UPSMON + "POLLFREQ 30\n", "looks", WARNING, "looks = 32"),
        (UPSMON + "POLLFREQALERT 6\n", "looks", WARNING, "looks = 8"),
        (UPSMON.replace("home@", "HOME@"), "upsmon", OK, ""),
        (UPSMON.replace("@localhost", ""), "upsmon", OK, ""),
        (UPSMON.replace("localhost", "[::1]:3493"), "upsmon", OK, ""),
        (UPSMON.replace("home@", "office@"), "upsmon", WARNING, "MONITOR home@localhost"),
        (UPSMON.replace(" monuser very-secret primary", ""), "upsmon", FAILED, "MONITOR home@localhost 1 USER PASSWORD primary"),
        (UPSMON.replace(" monuser", ""), "upsmon", FAILED, "MONITOR home@localhost 1 USER PASSWORD primary"),
        (UPSMON.replace(" 1 ", " 0 "), "upsmon", FAILED, "power value of 1"),
        (UPSMON.replace(" 1 ", " 0 ") + "MINSUPPLIES 0\n", "upsmon", WARNING, "write 1 behind MONITOR home@localhost"),
        (UPSMON.replace(" 1 ", " 0 ") + "MONITOR rack@nas 1 u p primary\n", "upsmon", WARNING, "write 1 behind MONITOR home@localhost"),
        (UPSMON + "MINSUPPLIES 0\n", "upsmon", WARNING, "MINSUPPLIES 1"),
        (UPSMON + "MINSUPPLIES 2\n", "upsmon", FAILED, "MINSUPPLIES 1"),
        (UPSMON + "MONITOR rack@nas 1 u p primary\n", "upsmon", WARNING, "MINSUPPLIES 2"),
        (UPSMON + "MONITOR rack@nas 1 u p primary\nMINSUPPLIES 2\n", "upsmon", OK, ""),
        (UPSMON + "MONITOR rack@nas 0 u p primary\n", "upsmon", OK, ""),
        (UPSMON + UPSMON, "upsmon", OK, ""),
        (UPSMON.replace("localhost", "nas.example"), "upsmon", WARNING, "upsc home@nas.example ups.status"),
        (UPSMON.replace("localhost", "localhost:4000"), "upsmon", WARNING, "upsc home@localhost:4000 ups.status"),
        (UPSMON.replace("SHUTDOWNCMD", "#"), "upsmon", WARNING, "SHUTDOWNCMD"),
        (UPSMON.replace('"/sbin/shutdown -h +0"', ""), "upsmon", WARNING, "SHUTDOWNCMD"),
        (UPSMON.replace("/sbin/shutdown -h +0", ""), "upsmon", WARNING, "SHUTDOWNCMD"),
        (None, "upsmon", WARNING, "nut-client"),
    ],
)
def test_upsmon_must_watch_the_ups_and_be_patient_enough(
    etc: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, topic: str, level: Level, words: str
) -> None:
    monkeypatch.setattr(server.Server, "clients", lambda self: ["127.0.0.1"])
    if text is not None:
        (etc / "upsmon.conf").write_text(text)
    settings, _ = configuration.settings_of(home())
    assert settings is not None
    assert settings.config.pollinterval == 5
    found = by_topic(upsmon.client(home(), settings, WHO))[topic]
    assert found.level is level, found
    assert words in found.advice
    assert "very-secret" not in str(found)


@pytest.mark.parametrize(
    ("clients", "listen", "monitor", "level", "words"),
    [
        (["127.0.0.1"], "", "localhost", OK, ""),
        (["::1"], "", "localhost", OK, ""),
        (["::ffff:127.0.0.1"], "", "localhost", OK, ""),
        ([], "", "localhost", WARNING, "systemctl status nut-monitor; journalctl -u nut-monitor"),
        (["192.168.1.7"], "", "localhost", WARNING, "systemctl status nut-monitor"),
        (["127.0.0.1"], "LISTEN * 4000\n", "localhost:4000", OK, ""),
        (["192.168.1.5"], "LISTEN *\n", "192.168.1.5", OK, ""),
        (["192.168.1.5"], "LISTEN 192.168.1.5\n", "192.168.1.5", OK, ""),
        ([], "LISTEN 192.168.1.5\n", "192.168.1.5", WARNING, "systemctl status nut-monitor"),
        (["192.168.1.7"], "LISTEN *\n", "192.168.1.5", WARNING, "upsc home@192.168.1.5 ups.status"),
        (None, "", "localhost", WARNING, "LISTEN"),
        (None, "", "nas.example", WARNING, "upsc home@nas.example ups.status"),
    ],
)
def test_an_upsmon_that_is_not_logged_in_to_this_upsd_is_told(
    etc: Path, monkeypatch: pytest.MonkeyPatch, clients: list[str] | None, listen: str, monitor: str, level: Level, words: str
) -> None:
    def answer(self: server.Server) -> list[str]:
        if clients is None:
            raise DeviceError("nobody is there; start it")
        return clients

    monkeypatch.setattr(server.Server, "clients", answer)
    (etc / "upsd.conf").write_text(listen)
    (etc / "upsmon.conf").write_text(UPSMON.replace("localhost", monitor))
    found = by_topic(upsmon.client(home(), None, WHO))["upsmon"]
    assert found.level is level, found
    assert words in found.advice


@pytest.mark.parametrize(("here", "words"), [("nut", "chown root:nut {}; chmod 0640 {}"), ("anna", "the same with sudo")])
@pytest.mark.parametrize(("name", "topic"), [("upsd.conf", "upsd"), ("upsmon.conf", "upsmon"), ("nut.conf", "mode")])
def test_a_file_of_nuts_that_may_not_be_read_is_told_with_the_user(
    etc: Path, monkeypatch: pytest.MonkeyPatch, name: str, topic: str, here: str, words: str
) -> None:
    path = etc / name
    path.touch()
    read = Path.read_bytes

    def forbidden(self: Path) -> bytes:
        if self == path:
            raise PermissionError(13, "Permission denied", str(path))
        return read(self)

    monkeypatch.setattr(Path, "read_bytes", forbidden)
    who = replace(WHO, here=here)
    looks = {"upsd": lambda: upsd.server(home(), None, who), "upsmon": lambda: upsmon.client(home(), None, who), "mode": lambda: nut.mode(home(), who)}
    found = [finding for finding in looks[topic]() if str(path) in finding.text]
    assert [(finding.topic, finding.level) for finding in found] == [(topic, WARNING)]
    assert f"user {here} may not read {path}" in found[0].text
    assert words.format(path, path) in found[0].advice


@given(st.binary(max_size=300))
def test_any_upsmon_conf_gives_findings_and_no_error(data: bytes) -> None:
    import tempfile

    from nutdrv_py.machine.paths import Paths
    from nutdrv_py.process.upsconf import UpsConf

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file in ("upsmon.conf", "upsd.conf", "nut.conf"):
            (folder / file).write_bytes(data)
        section = Section("home", "nutdrv_py", UpsConf((), ()), Paths(folder, folder, folder, folder))
        assert upsmon.client(section, None, WHO)
        assert nut.mode(section, WHO)
        assert all(0 < port < 0x10000 for _, port in server.listens(folder / "upsd.conf"))


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("MODE=standalone\n", OK), ('# MODE=none\nMODE="netserver"  # ours\n', OK), ("MODE=none\n", FAILED), ("MODE=netclient\n", FAILED),
        ("MODE=none\nMODE=standalone\n", OK), ("", WARNING), (None, WARNING), ("MODE=\n", WARNING), ("MODE = standalone\n", WARNING),
        ("MODE=foo\n", WARNING), ("MODE=Standalone\n", WARNING), ("MODE=stand-alone\n", WARNING), ("MODE=standalone\r\n", WARNING),
        ("MODE=controlled\n", WARNING), ("MODE=manual\n", WARNING),
    ],
)  # fmt: skip
def test_nut_must_be_switched_on(etc: Path, text: str | None, level: Level) -> None:
    if text is not None:
        (etc / "nut.conf").write_text(text)
        assert (etc / "nut.conf").read_bytes() == text.encode()
    found = by_topic(nut.mode(home(), WHO))["mode"]
    assert found.level is level
    assert ("MODE=standalone" in found.advice or "sed -i 's/\\r$//'" in found.advice) is (level is not OK)
    assert ("carriage" in found.text) is ("\r" in (text or ""))


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", ("127.0.0.1", 3493)), ("LISTEN 0.0.0.0 4000\n", ("127.0.0.1", 4000)), ("LISTEN ::1\n", ("::1", 3493)),
        ("LISTEN * 99\nLISTEN 10.0.0.5 77\n", ("127.0.0.1", 99)), ("LISTEN localhost many\n", ("localhost", 3493)),
        ("LISTEN\nLISTEN :: 70000\n", ("::1", 3493)),
    ],
)  # fmt: skip
def test_upsd_is_asked_where_it_listens(etc: Path, text: str, where: tuple[str, int]) -> None:
    (etc / "upsd.conf").write_text(text)
    assert server.listens(etc / "upsd.conf")[0] == where


def test_without_pynut2_and_upsc_upsd_is_not_asked_and_it_is_said_how_to_get_it(etc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynut2.nut2", None)
    monkeypatch.setattr(server, "found", lambda name: None)
    found = by_topic(upsd.server(home(), None, WHO))["upsd"]
    assert found.level is WARNING
    assert "pip install 'nutdrv_py[client]'" in found.advice


@pytest.mark.parametrize(
    ("script", "name", "seen", "level", "words"),
    [
        ("echo OL CHRG", "echo nutdrv_py", "OL", OK, ""),
        ("echo 'Init SSL without certificate database' >&2; echo OB DISCHRG", "echo nutdrv_py", "OB", OK, ""),
        ("echo OL", "echo 'Error: Variable not supported by UPS' >&2; exit 1", "OL", OK, ""),
        ("echo OL", "echo dummy-ups", "OL", FAILED, "restart nut-driver@home nut-server; if dummy-ups was started by hand"),
        ("echo OL", "echo dummy-ups", None, FAILED, "restart nut-driver@home nut-server"),
        ("echo OL", "echo nutdrv_py", "OB", WARNING, "nut-server"),
        ("echo 'Error: Unknown UPS' >&2; exit 1", "", None, FAILED, "upsd -c reload"),
        ("echo 'Error: Driver not connected' >&2; exit 1", "", None, FAILED, "upsdrvctl start home"),
        ("echo 'Error: Driver not connected' >&2; exit 1", "", "OL", FAILED, "upsd -c reload"),
        ("echo 'Init SSL' >&2; echo 'Error: Data stale' >&2; exit 1", "", None, FAILED, "see the line about the driver"),
        ("echo 'Error: Data stale' >&2; exit 1", "", "OL", FAILED, "another driver of that name"),
        ("echo 'Error: Connection failure: Connection refused' >&2; exit 1", "", None, FAILED, "nut-server"),
        ("exit 1", "", None, FAILED, "nut-server"),
        ("sleep 5", "", None, FAILED, "nut-server"),
    ],
)
def test_without_pynut2_upsc_asks_upsd(etc: Path, monkeypatch: pytest.MonkeyPatch, script: str, name: str, seen: str | None, level: Level, words: str) -> None:
    program = executable(etc / "upsc")
    program.write_text(f'#!/bin/sh\nif [ "$2" = driver.name ]; then\n{name or ":"}\nexit\nfi\n{script}\n')
    monkeypatch.setitem(sys.modules, "pynut2.nut2", None)
    monkeypatch.setattr(server, "ANSWER", 0.5 if "sleep" in script else 30.0)
    monkeypatch.setattr(server, "found", lambda name: str(program))
    found = by_topic(upsd.server(home(), None if seen is None else Seen(False, {"ups.status": seen}), WHO))["upsd"]
    assert found.level is level, found
    assert words in found.advice
    if "dummy-ups" in name:
        assert f"holds {etc.parent}/run/dummy-ups-home " in found.advice


@pytest.mark.parametrize(("detection", "levels"), [("", []), ("possible: by battery.charge", [OK]), ("unknown", [FAILED]), ("impossible: neither", [FAILED])])
def test_a_ups_whose_battery_is_never_low_fails(etc: Path, monkeypatch: pytest.MonkeyPatch, detection: str, levels: list[Level]) -> None:
    told = {"ups.status": "OL", **({"experimental.lowbattery.detection": detection} if detection else {})}
    monkeypatch.setattr("nutdrv_py.commands.check.nut.look", lambda socket: Seen(False, told))
    found, _ = nut.driver(home())
    assert [finding.level for finding in found if finding.topic == "lowbattery"] == levels


@pytest.mark.parametrize(("release", "warned"), [("2.8.0", False), ("2.8.1", True), ("2.8.5", False), (None, False)])
def test_an_upsmon_that_does_not_wait_for_deadtime_is_warned_of(etc: Path, monkeypatch: pytest.MonkeyPatch, release: str | None, warned: bool) -> None:
    (etc / "upsmon.conf").write_text(UPSMON)
    folder = etc / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr("nutdrv_py.simulators.nut._PLACES", ())
    if release is not None:
        executable(folder / "upsmon").write_text(f"#!/bin/sh\necho 'Network UPS Tools upsmon {release}'\n")
    settings, _ = configuration.settings_of(home())
    said = [finding for finding in upsmon.client(home(), settings, WHO) if finding.topic == "deadtime"]
    assert any(finding.level is WARNING and "in an outage" in finding.advice for finding in said) is warned


# Enphase


def examined(backend: Backend[Any], *, login: bool = False) -> dict[str, Finding]:
    async def collect() -> list[Finding]:
        return [finding async for finding in backend.examine(login=login)]

    return by_topic(asyncio.run(collect()))


class Gateway:
    """A simulated gateway, and a driver's files for it."""

    def __init__(self, running: RunningSimulator, folder: Path) -> None:
        self.running, self.sim, self.folder = running, running.sim, folder

    def keep(self, text: str) -> None:
        path = self.folder / "token"
        path.write_text(text)
        path.chmod(0o600)

    def backend(self, **options: Any) -> Enphase:
        sim = self.sim
        base: dict[str, Any] = {
            "port": sim.host_port, "ups": "home", "username": sim.username, "password": sim.password, "login_url": sim.login_url,
            "token_url": sim.token_url, "tokenfile": str(self.folder / "token"), "api_timeout": 2,
        }  # fmt: skip
        return Enphase(EnphaseConfig(**{**base, **options}), Clock())

    @property
    def paths(self) -> list[str]:
        return [request.path for request in self.sim.requests]


def gateway_in(folder: Path, scenario: str = "online", site: Mapping[str, Any] | None = None, **options: Any) -> RunningSimulator:
    base = enphase_scenario(scenario)
    made = replace(base, timeline=(), site=replace(base.site, **(site or {})), gateway=replace(base.gateway, **options))
    return RunningSimulator(made)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examine, "PAUSE", 0.0)


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    with gateway_in(tmp_path) as running:
        made = Gateway(running, tmp_path)
        made.keep(running.sim.issue_token())
        yield made


def test_a_good_gateway_is_good_throughout_asked_once_for_each_and_nothing_is_written(gateway: Gateway) -> None:
    before = sorted(path.name for path in gateway.folder.iterdir())
    found = examined(gateway.backend())
    assert {finding.level for finding in found.values()} == {OK}, found
    assert {"certificate", "gateway", "clock", "token", "endpoints", "outage", "battery", "low", "meters"} == set(found)
    assert len(gateway.paths) == len(set(gateway.paths)) <= 6
    assert {request.method for request in gateway.sim.requests} == {"GET"}
    assert sorted(path.name for path in gateway.folder.iterdir()) == before
    assert gateway.sim.authority.issued == 1
    said = str(found)
    for secret in (gateway.sim.password, gateway.sim.username, (gateway.folder / "token").read_text()):
        assert secret not in said


DAY = 86400.0


@pytest.mark.parametrize(
    ("spoil", "options", "topic", "level", "advice"),
    [
        (lambda g: None, {"serial": "999"}, "gateway", FAILED, "serial in ups.conf"),
        (lambda g: g.running.fault("/info", Fault("hang")), {}, "gateway", FAILED, "restart the gateway"),
        (lambda g: g.running.fault("/info", Fault("html")), {}, "gateway", FAILED, "/info"),
        (lambda g: None, {"certificate": "any"}, "certificate", WARNING, "remove the line"),
        (lambda g: (g.folder / "token.pin").write_text(f"999 {'0' * 64}\n"), {}, "certificate", FAILED, "rm "),
        (lambda g: (g.folder / "token.pin").write_text(f"{g.sim.serial} {'0' * 64}\n"), {}, "certificate", OK, ""),
        (lambda g: (g.folder / "prints").write_text("0" * 64), {"certificate": "prints"}, "certificate", FAILED, "SHA-256"),
        (lambda g: g.running.set(gateway_clock_offset=600), {}, "clock", WARNING, "timedatectl"),
        (lambda g: g.running.set(gateway_clock_offset=-3 * DAY), {}, "token", FAILED, "internet"),
        (lambda g: g.keep(g.sim.issue_token(-5)), {}, "token", FAILED, "check --login home"),
        (lambda g: g.keep(g.sim.issue_token(-5)), {"username": None, "password": None}, "token", FAILED, "entrez.enphaseenergy.com"),
        (lambda g: g.keep(g.sim.issue_token(20 * DAY)), {"username": None, "password": None}, "token", WARNING, "TOKEN="),
        (lambda g: g.keep(g.sim.issue_token(role="installer")), {}, "token", WARNING, "owner"),
        (lambda g: g.keep(g.sim.issue_token(serial="999")), {}, "token", WARNING, "rm "),
        (lambda g: (g.folder / "token").unlink(), {}, "token", WARNING, "check --login home"),
        (lambda g: g.running.set(forget_tokens=True), {}, "endpoints", FAILED, "owner"),
        (lambda g: g.running.fault("/ivp/ensemble/relay", Fault("status", status=502)), {}, "endpoints", FAILED, "restart the gateway"),
        (lambda g: g.running.fault("/ivp/meters", Fault("status", status=404)), {}, "endpoints", WARNING, "restarted"),
        (lambda g: g.running.fault("/ivp/ensemble/relay", Fault("wrong-json")), {}, "outage", FAILED, "restart the gateway"),
    ],
)
def test_what_is_wrong_at_the_gateway_is_told_with_what_to_do(
    gateway: Gateway, spoil: Callable[[Gateway], object], options: dict[str, Any], topic: str, level: Level, advice: str
) -> None:
    spoil(gateway)
    if "certificate" in options and options["certificate"] != "any":
        options = {**options, "certificate": str(gateway.folder / options["certificate"])}
    found = examined(gateway.backend(**options))[topic]
    assert found.level is level, found
    assert advice in found.advice
    assert gateway.sim.authority.issued <= 2  # none beside those made here


@pytest.mark.parametrize(
    ("scenario", "site", "options", "topic", "level"),
    [
        ("no-controller", {}, {}, "outage", FAILED),
        ("collar", {}, {}, "outage", OK),
        ("no-batteries", {}, {}, "battery", FAILED),
        ("no-meters", {}, {}, "meters", WARNING),
        ("online", {"soc": 10.0, "vls": 10.0}, {}, "battery", WARNING),
        ("online", {"soc": 11.0, "vls": 10.0}, {}, "battery", OK),
        ("online", {"soc": 5.0, "vls": 10.0}, {}, "battery", WARNING),
        ("old-firmware", {}, {}, "gateway", FAILED),
    ],
)
def test_a_system_that_cannot_do_its_job_is_told(
    tmp_path: Path, scenario: str, site: dict[str, Any], options: dict[str, Any], topic: str, level: Level
) -> None:
    with gateway_in(tmp_path, scenario, site, **options) as running:
        made = Gateway(running, tmp_path)
        made.keep(running.sim.issue_token())
        found = examined(made.backend())[topic]
        assert found.level is level, found
        assert bool(found.advice) is (level is not OK)


LOW = "battery.charge.low"
RUNTIME = {"battery.runtime.low": "600"}

LIMITED = [   # the device's limit, options, what is to be said of the low mark
    (10.0, {}, OK),
    (10.0, {"lowbatt": 15.0}, OK),
    (10.0, {"lowbatt": 14.0}, WARNING),
    (10.0, {"lowbatt": 10.0}, FAILED),
    (10.0, {"lowbatt": 0.0}, FAILED),
    (10.0, {"overrides": {LOW: "8"}}, FAILED),
    (10.0, {"lowbatt": 30.0, "overrides": {LOW: "8"}}, FAILED),
    (10.0, {"defaults": {LOW: "8"}}, FAILED),
    (10.0, {"defaults": {LOW: "8"}, "lowbatt": 30.0}, OK),
    (10.0, {"lowbatt": 8.0, "defaults": RUNTIME}, WARNING),
    (30.0, {"lowbatt": 20.0}, FAILED),
    (30.0, {}, OK),
    (0.0, {"lowbatt": 0.0}, FAILED),
]  # fmt: skip


@pytest.mark.parametrize(("limit", "options", "level"), LIMITED)
def test_a_low_mark_that_enphases_batteries_never_reach_is_told(tmp_path: Path, limit: float, options: dict[str, Any], level: Level) -> None:
    with gateway_in(tmp_path, "online", {"vls": limit, "recovery_exit": limit}) as running:
        made = Gateway(running, tmp_path)
        made.keep(running.sim.issue_token())
        found = examined(made.backend(**options))["low"]
    assert found.level is level, found
    assert (f"write lowbatt = {limit + 5:g} or more" in found.advice) is (level is not OK)


def test_a_gateway_that_tells_no_limit_is_not_reproached_with_it(tmp_path: Path) -> None:
    with gateway_in(tmp_path) as running:
        made = Gateway(running, tmp_path)
        made.keep(running.sim.issue_token())
        running.fault("/ivp/ensemble/secctrl", Fault("status", status=404))
        assert examined(made.backend())["low"].level is OK
        assert examined(made.backend(lowbatt=0.0))["low"].level is FAILED


def test_a_token_is_fetched_with_login_only_and_only_when_there_is_none(gateway: Gateway) -> None:
    token = gateway.folder / "token"
    kept = token.read_text()
    examined(gateway.backend(), login=True)
    assert token.read_text() == kept
    token.unlink()
    examined(gateway.backend())
    assert not token.exists()
    found = examined(gateway.backend(), login=True)
    assert found["login"].level is OK
    assert found["token"].level is OK
    assert token.stat().st_mode & 0o077 == 0
    token.unlink()
    found = examined(gateway.backend(password="wrong"), login=True)
    assert found["login"].level is FAILED
    assert "credentials file" in found["login"].text
    assert found["login"].advice.startswith("correct that")
    found = examined(gateway.backend(login_url="https://127.0.0.1:9/login"), login=True)
    assert found["login"].level is FAILED
    assert "wait" in found["login"].advice, "nothing is wrong with the credentials file"


def test_a_gateway_whose_services_hang_is_left_alone_after_two(gateway: Gateway) -> None:
    for path in ("/ivp/livedata/status", "/ivp/ensemble/secctrl"):
        gateway.running.fault(path, Fault("hang"))
    found = examined(gateway.backend())
    assert found["endpoints"].level is WARNING
    assert "inventory was not asked any more" in found["endpoints"].text
    assert not {"/ivp/ensemble/inventory", "/ivp/meters"} & set(gateway.paths)


# RCT


@pytest.mark.usefixtures("quick_line")
@pytest.mark.parametrize(
    ("house", "line", "topic", "level"),
    [
        ({}, {}, "inverter", OK), ({}, {}, "outage", OK), ({}, {}, "battery", OK), ({}, {}, "line", OK),
        ({"switch": False}, {}, "outage", FAILED), ({"battery": False}, {}, "battery", FAILED),
        ({"soc": 10.0, "soc_min_island": 10.0}, {}, "battery", WARNING), ({"soc": 7.0}, {}, "battery", WARNING),
        ({"soc": 11.0}, {}, "battery", OK), ({}, {}, "low", OK), ({}, {"mute": ("power_mng.soc_min_island",)}, "low", OK),
        ({}, {"silent": True}, "inverter", FAILED), ({}, {"bootloader": True}, "inverter", FAILED),
        ({}, {"needs_extension": True}, "wakeup", WARNING), ({}, {"offline": True}, "inverter", FAILED),
        ({}, {"mute": ("inverter_sn", "svnversion", "battery.soc")}, "line", WARNING),
    ],
)  # fmt: skip
def test_what_an_inverter_can_do_is_told(house: dict[str, Any], line: dict[str, Any], topic: str, level: Level) -> None:
    base = rct_scenario("online")
    with RunningInverter(replace(base, house=replace(base.house, **house), line=replace(base.line, **line))) as running:
        found = examined(Rct(RctConfig(port=running.sim.host_port, ups="rct"), Clock()))[topic]
        assert found.level is level, found
        assert bool(found.advice) is (level is not OK)
        assert all(request.command.name == "READ" for request in running.sim.requests)


@pytest.mark.usefixtures("quick_line")
@pytest.mark.parametrize(
    ("limit", "options", "level"),
    [*LIMITED, (10.0, {"charge_low_margin": 0.0}, FAILED), (10.0, {"charge_low_margin": 2.0}, WARNING), (97.0, {}, WARNING)],
)
def test_a_low_mark_that_an_inverter_never_reaches_is_told(limit: float, options: dict[str, Any], level: Level) -> None:
    base = rct_scenario("online")
    with RunningInverter(replace(base, house=replace(base.house, soc_min_island=limit))) as running:
        found = examined(Rct(RctConfig(port=running.sim.host_port, ups="rct", **options), Clock()))["low"]
    assert found.level is level, found
    assert (f"write lowbatt = {min(99, limit + 5):g} or more" in found.advice) is (level is not OK)


# A file


@pytest.mark.parametrize(
    ("text", "options", "level", "words"),
    [
        ("ups.status: OL CHRG\nbattery.charge: 80\n", {}, OK, ""),
        ("ups.status: OB\nTIMER 60\nups.status: OL\n", {"mode": "dummy-loop"}, OK, ""),
        ("ups.status: OL", {}, OK, ""),
        (None, {}, FAILED, "start what writes it"),
        ("", {}, FAILED, "add a line such as ups.status: OL"),
        ("battery.charge: 80\n", {}, FAILED, "add a line such as ups.status: OL"),
        ("ups.status: LB\n", {}, FAILED, "write for example ups.status: OL"),
        ("ups.status: OL OB\n", {}, FAILED, "write one of them"),
        ("ups.status: OL\0\n", {}, FAILED, "write it anew"),
        ("ups.status: OL FINE\n", {}, WARNING, "correct it"),
        ("ups.status: OL\nbattery.charge\n", {}, WARNING, "correct the line"),
        ("ups.status: OL\n" + "nonsense\n" * 1000, {}, WARNING, "correct"),
    ],
)
async def test_what_is_wrong_with_a_file_is_told(tmp_path: Path, text: str | None, options: dict[str, Any], level: Level, words: str) -> None:
    path = tmp_path / "home.dev"
    if text is not None:
        path.write_text(text)

    async def collect() -> list[Finding]:
        return [finding async for finding in Dummy(DummyConfig(port=str(path), ups="home", **options), Clock()).examine(login=False)]

    told = await collect()
    assert len(told) <= 12
    found = by_topic(told)["file"]
    assert found.level is level, found
    assert str(path) in found.text
    assert words in found.advice
    assert bool(found.advice) is (level is not OK)


# Another server


class Upsd(Listener):
    """A server that answers each line with what is said for its beginning, else with an error."""

    def __init__(self, answers: Mapping[str, str]) -> None:
        self._answers = answers
        super().__init__(b"")

    def _talk(self, client: socket.socket) -> None:
        with client.makefile("r") as lines:
            for line in lines:
                answer = next((text for begin, text in self._answers.items() if line.startswith(begin)), "ERR UNKNOWN-COMMAND")
                client.sendall(f"{answer}\n".encode())

    def __enter__(self) -> Upsd:
        return self

    def __exit__(self, *gone: object) -> None:
        self._socket.close()


def listed(status: str) -> str:
    return f'BEGIN LIST VAR rack\nVAR rack ups.status "{status}"\nVAR rack battery.charge "80"\nEND LIST VAR rack'


@pytest.mark.parametrize(
    ("answers", "secrets", "topic", "level", "words"),
    [
        ({"LIST VAR": listed("OL CHRG")}, {}, "source", OK, ""),
        ({"LIST VAR": listed("OL CHRG"), "": "OK"}, {"username": "u", "password": "very-secret"}, "source", OK, ""),
        ({"LIST VAR": listed("LB")}, {}, "source", FAILED, "upsc rack@"),
        ({"LIST VAR": listed("WAIT")}, {}, "source", FAILED, "upsc rack@"),
        ({"LIST VAR": "ERR DATA-STALE"}, {}, "source", FAILED, "upsc rack"),
        ({"LIST VAR": "ERR UNKNOWN-UPS"}, {}, "source", FAILED, "correct port ="),
        ({"LIST VAR": "hello"}, {}, "source", FAILED, "another service"),
        (
            {"LIST VAR": listed("OL"), "PASSWORD": "ERR INVALID-PASSWORD", "": "OK"}, {"username": "u", "password": "very-secret"},
            "login", WARNING, "correct password =",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_with_another_server_is_told(answers: dict[str, str], secrets: dict[str, str], topic: str, level: Level, words: str) -> None:
    with Upsd(answers) as source:
        backend = Repeater(RepeaterConfig(port=f"rack@127.0.0.1:{source.port}", ups="home", **secrets), Clock())  # type: ignore[arg-type]
        told = examined(backend)
    found = told[topic]
    assert found.level is level, found
    assert words in found.advice + found.text
    assert bool(found.advice) is (level is not OK)
    assert "very-secret" not in str(told)


CHARGED = {"battery.charge": "80", "battery.charge.low": "20"}


@pytest.mark.parametrize(
    ("options", "values", "level", "words"),
    [
        ({}, CHARGED, OK, "at 20 %"),
        ({}, {}, OK, "does not publish"),
        ({"overrides": {"battery.runtime.low": "600"}}, CHARGED, OK, "battery.runtime.low"),
        ({"lowbatt": 60}, CHARGED, OK, "at 60 %"),
        ({"overrides": {"battery.charge.low": "60"}}, CHARGED, OK, "at 60 %"),
        ({"lowbatt": 60}, {"battery.charge": "80"}, OK, "does not publish"),
        ({"lowbatt": 21}, CHARGED, OK, "at 21 %"),
        ({"lowbatt": 20}, CHARGED, WARNING, "lowbatt = 21"),
        ({"lowbatt": 10}, CHARGED, WARNING, "lowbatt = 21"),
        ({"lowbatt": 60, "overrides": {"battery.charge.low": "10"}}, CHARGED, WARNING, "mark of 10 %"),
        ({"lowbatt": 60}, CHARGED | {"battery.charge.low": "20.5"}, OK, "at 60 %"),
        ({"lowbatt": 60}, CHARGED | {"battery.charge.low": "low"}, OK, "does not publish"),
        ({"defaults": {"battery.charge.low": "60"}}, CHARGED, WARNING, "lowbatt = 60"),
        ({"defaults": {"battery.charge.low": "60"}}, {"battery.charge": "80"}, OK, "at 60 %"),
        ({"lowbatt": 60}, {"battery.charge.low": "20"}, FAILED, "battery.charge"),
        ({"lowbatt": 60}, CHARGED | {"battery.charge": "nan"}, FAILED, "battery.charge"),
    ],
)
def test_a_mark_of_a_copy_that_shuts_nothing_down_earlier_is_told(options: dict[str, Any], values: dict[str, str], level: Level, words: str) -> None:
    found = marks(RepeaterConfig(port="home@localhost", ups="early", **options), values)
    assert found.level is level, found
    assert words in f"{found.text}; {found.advice}"


def test_ignorelb_on_a_copy_is_told_because_the_devices_own_lb_does_not_come_through(etc: Path) -> None:
    (etc / "device.dev").write_text("ups.status: OL\nbattery.charge: 50\n")
    section = "[home]\n driver = nutdrv_py\n backend = dummy\n port = device.dev\n"
    (etc / "ups.conf").write_text(section)
    assert "ignorelb" not in looked_at(home())
    (etc / "ups.conf").write_text(f"{section} ignorelb\n lowbatt = 60\n")
    found = looked_at(home())["ignorelb"]
    assert found.level is WARNING
    assert "take ignorelb out" in found.advice


# All together


async def test_what_hangs_is_one_failure_and_the_rest_goes_on() -> None:
    async def story() -> tuple[list[Finding], bool, float]:
        loop = asyncio.get_running_loop()
        within = Within(loop.time() + 30)
        began = loop.time()
        told: list[Finding] = []
        release = threading.Event()

        def hang() -> list[Finding]:
            release.wait(30)
            return [ok("late", "")]

        def crash() -> list[Finding]:
            raise ValueError("very-secret")

        await within.tell(within.thread(hang, 0.2), told.append, "file", 0.2)
        await within.tell(within.thread(crash, 5), told.append, "crash", 5)
        await within.tell(within.thread(lambda: [ok("next", "")], 5), told.append, "next", 5)
        took = loop.time() - began
        release.set()
        return told, within.late, took

    told, late, took = await story()
    assert [(finding.topic, finding.level) for finding in told] == [("file", FAILED), ("crash", FAILED), ("next", OK)]
    assert late
    assert took < 10
    assert "very-secret" not in str(told)


def test_a_line_has_level_topic_text_and_what_to_type_and_no_control_characters() -> None:
    line = _line("home", failed("gateway", "it says \x1b[2J\nhello", "type: this"))
    assert line == "failed   home: gateway: it says  [2J hello; type: this"


def test_json_is_the_same_as_the_text_even_for_a_wrong_section(etc: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nutdrv_py", "check", "nothing", "--json"]) == 1
    rows = json.loads(capsys.readouterr().out)
    assert [row["level"] for row in rows] == ["failed"]
    assert set(rows[0]) == {"ups", "level", "topic", "text", "advice"}
    assert "home" in rows[0]["advice"]
