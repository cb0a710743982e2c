# SPDX-License-Identifier: GPL-2.0-or-later
"""``nutdrv_py scan``: finds what is there, asks nobody else, writes nothing."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nutdrv_py.backends.enphase.config import gateway_url
from nutdrv_py.backends.rct.config import address
from nutdrv_py.commands import scan, scan_gateways, scan_inverters, tools_enphase
from nutdrv_py.commands.scan_gateways import Gateway, best_address, find_gateways
from nutdrv_py.commands.scan_inverters import AT_A_TIME, find_inverters, hosts_of, read_network
from nutdrv_py.errors import ConfigError
from nutdrv_py.process.upsconf import read_ups_conf
from nutdrv_py.protocols.rct.frame import Command, build
from nutdrv_py.protocols.rct.objects import BY_NAME
from nutdrv_py.simulators.rct import RunningInverter
from tests.conftest import REPO

QUIET = ["--seconds", "0.01"]


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test of the command listens on the real network."""
    monkeypatch.setenv("NUT_CONFPATH", str(tmp_path))

    async def nobody(seconds: float, interfaces: object = None) -> list[Gateway]:
        return []

    monkeypatch.setattr(tools_enphase, "find_gateways", nobody)


def _found(monkeypatch: pytest.MonkeyPatch, *gateways: Gateway) -> None:
    async def these(seconds: float, interfaces: object = None) -> list[Gateway]:
        return list(gateways)

    monkeypatch.setattr(tools_enphase, "find_gateways", these)


def _run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    scan.configure(parser)
    return scan.run(parser.parse_args([*QUIET, *words]))


@pytest.fixture
def inverter() -> Iterator[RunningInverter]:
    with RunningInverter(host="127.0.0.3") as running:
        yield running


def _port(running: RunningInverter) -> str:
    return running.sim.host_port.rpartition(":")[2]


def test_an_inverter_is_found_by_its_answer_and_becomes_a_section(inverter: RunningInverter, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert _run("--network", "127.0.0.0/29", "--port", _port(inverter)) == 0
    out, err = capsys.readouterr()
    assert inverter.sim.serial in out
    assert err == ""
    (tmp_path / "ups.conf").write_text(out)
    section = {entry.name: entry.value for entry in read_ups_conf(tmp_path / "ups.conf", "rct").section}
    assert section == {"driver": "nutdrv_py", "port": inverter.sim.host_port, "backend": "rct", "desc": "House battery"}
    assert address(str(section["port"])) == ("127.0.0.3", int(_port(inverter)))
    names = [request.name for request in inverter.sim.requests]
    assert names == ["inverter_sn"], "one request, and nothing else"
    for _ in range(100):
        if not inverter.call(lambda: inverter.sim.clients):
            break
        time.sleep(0.02)
    assert inverter.call(lambda: inverter.sim.clients) == 0, "the line is left"


def test_section_names_are_unique_also_beside_those_of_ups_conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    _found(
        monkeypatch, Gateway("192.168.1.20", "122333444455", "envoy.local"), Gateway("192.168.1.21", "122333444456", "envoy-2.local"),
        Gateway("envoy.local", "122333444455", "envoy.local"),
    )  # fmt: skip
    (tmp_path / "ups.conf").write_text("[enphase]\n    driver = nutdrv_py\n")
    before = (tmp_path / "ups.conf").read_bytes()
    assert _run() == 0
    out = capsys.readouterr().out
    assert [line for line in out.splitlines() if line.startswith("[")] == ["[enphase2]", "[enphase3]"]
    assert (tmp_path / "ups.conf").read_bytes() == before
    (tmp_path / "ups.conf").write_text(out)
    section = {entry.name: entry.value for entry in read_ups_conf(tmp_path / "ups.conf", "enphase3").section}
    assert section["port"] == "192.168.1.21"
    assert section["credentials"] == "enphase.conf"


def test_nothing_found_is_exit_code_1_and_says_what_was_not_looked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run() == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "--network" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [(["--network", "10.0.0.0/21"], "at most a /22"), (["--network", "0.0.0.0/0"], "at most a /22"), (["--network", "house"], "not a network"),
     (["--network", "203.0.114.0/24"], "--yes"), (["--network", "10.0.0.0/16", "--yes"], "at most a /22"), (["--network", "fd00::/64"], "at most a /22")],
)  # fmt: skip
def test_a_network_that_is_not_the_users_is_refused(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(*words) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--seconds", "0"], ["--seconds", "x"], ["--port", "0"], ["--port", "65536"], ["--what"]])
def test_wrong_usage_is_exit_code_2(words: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        _run(*words)
    assert caught.value.code == 2


@given(text=st.text(max_size=30) | st.ip_addresses().map(str) | st.tuples(st.ip_addresses(), st.integers(0, 128)).map(lambda pair: f"{pair[0]}/{pair[1]}"))
def test_whatever_is_named_no_more_than_a_house_is_tried(text: str) -> None:
    try:
        network = read_network(text, anywhere=False)
    except ConfigError:
        return
    assert len(hosts_of(network)) <= 1024
    assert network.is_private or network.is_loopback or network.is_link_local


class Stranger:
    """Listens like an inverter and says something else; counts who comes."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.heard = b""
        self.most = self.now = self.came = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.now, self.came = self.now + 1, self.came + 1
        self.most = max(self.most, self.now)
        writer.write(self.answer)
        while data := await reader.read(100):
            self.heard += data
        self.now -= 1
        writer.close()


def _strangers(answer: bytes, hosts: list[str]) -> tuple[Stranger, list[scan_inverters.Inverter], list[tuple[int, int]]]:
    stranger = Stranger(answer)
    steps: list[tuple[int, int]] = []

    async def story() -> list[scan_inverters.Inverter]:
        server = await asyncio.start_server(stranger.serve, "0.0.0.0", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            return await find_inverters(hosts, port, lambda done, total: steps.append((done, total)))
        finally:
            server.close()

    return stranger, asyncio.run(story()), steps


def test_what_only_listens_is_not_taken_for_an_inverter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_inverters, "PATIENCE", 0.2)
    for answer in (b"", b"HTTP/1.0 400 Bad Request\r\n\r\n", b"\x2b" * 50):
        stranger, found, _ = _strangers(answer, ["127.0.0.1"])
        assert [inverter.sure for inverter in found] == [False]
        assert stranger.heard == build(Command.READ, BY_NAME["inverter_sn"].oid)
        assert stranger.came == 1


def test_an_answer_for_another_client_is_as_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_inverters, "PATIENCE", 0.2)
    _, found, _ = _strangers(build(Command.RESPONSE, BY_NAME["battery.soc"].oid, b"\x3f\0\0\0"), ["127.0.0.1"])
    assert [(inverter.sure, inverter.serial) for inverter in found] == [(True, "")]


def test_no_more_than_32_connections_are_open_at_a_time_and_each_address_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_inverters, "PATIENCE", 0.3)
    hosts = hosts_of(read_network("127.9.9.0/25", anywhere=False))
    stranger, found, steps = _strangers(b"", hosts)
    assert stranger.came == len(hosts) == len(found) == 126
    assert 1 < stranger.most <= AT_A_TIME
    assert steps[-1] == (126, 126)


@given(serial=st.binary(max_size=16))
def test_a_serial_number_cannot_write_into_ups_conf(serial: bytes) -> None:
    shown = scan_inverters._serial(serial.decode("latin-1"))
    assert shown == "" or shown.isalnum()


# Gateways


@pytest.mark.parametrize(
    ("addresses", "best"),
    [(["fe80::1%3", "192.168.1.20"], "192.168.1.20"), (["169.254.120.1", "192.168.1.20"], "192.168.1.20"), (["fe80::1%3"], "fe80::1%3"),
     (["fe80::1"], None), (["169.254.120.1", "fd00::5"], "fd00::5"), (["fe80::1%3", "169.254.120.1"], "169.254.120.1"), (["0.0.0.0", "x"], None), ([], None)],
)  # fmt: skip
def test_the_address_is_the_one_a_driver_can_use(addresses: list[str], best: str | None) -> None:
    assert best_address(addresses) == best


def test_a_gateway_known_only_by_a_link_local_address_or_its_name_becomes_a_section_that_works(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    _found(monkeypatch, Gateway("fe80::1%3", "", "envoy.local"), Gateway("envoy-2.local", "", "envoy-2.local"))
    assert _run() == 0
    (tmp_path / "ups.conf").write_text(capsys.readouterr().out)
    ports = [{e.name: e.value for e in read_ups_conf(tmp_path / "ups.conf", name).section}["port"] for name in ("enphase", "enphase2")]
    assert sorted(gateway_url(str(port)) for port in ports) == ["https://[fe80::1%3]", "https://envoy-2.local"]


@pytest.mark.parametrize(
    ("addresses", "properties", "expected"),
    [(["192.168.77.5"], {"serialnum": "122333444455", "protovers": "7"}, Gateway("192.168.77.5", "122333444455", "envoy-test.local")),
     (["169.254.120.1", "192.168.77.6"], {"serialnum": "1\n[evil]"}, Gateway("192.168.77.6", "", "envoy-test.local"))],
)  # fmt: skip
def test_a_gateway_that_announces_itself_is_found(addresses: list[str], properties: dict[str, str], expected: Gateway) -> None:
    zeroconf: Any = pytest.importorskip("zeroconf")
    responder = zeroconf.Zeroconf(interfaces=["127.0.0.1"])
    try:
        info = zeroconf.ServiceInfo(
            scan_gateways.SERVICE, f"envoy-{expected.where[-1]}.{scan_gateways.SERVICE}", port=443, properties=properties,
            addresses=[socket.inet_aton(text) for text in addresses], server="envoy-test.local.",
        )  # fmt: skip
        responder.register_service(info)
        for _ in range(8):
            found = asyncio.run(find_gateways(2.0, ["127.0.0.1"]))
            if expected in found:
                break
        assert expected in found
        responder.unregister_service(info)
    finally:
        responder.close()


def test_without_zeroconf_it_says_what_to_install_and_the_rest_goes_on(
    inverter: RunningInverter, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = importlib.import_module

    def without(name: str, package: str | None = None) -> Any:
        if name == "zeroconf":
            raise ImportError(name)
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", without)
    monkeypatch.setattr(tools_enphase, "find_gateways", find_gateways)
    with pytest.raises(ConfigError, match="discover"):
        asyncio.run(find_gateways(0.1))
    assert _run("--network", "127.0.0.0/29", "--port", _port(inverter)) == 0
    out, err = capsys.readouterr()
    assert "[rct]" in out
    assert "pip install 'nutdrv_py[discover]'" in err


async def test_a_network_module_that_hangs_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_inverters, "PATIENCE", 0.1)
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            found = await asyncio.wait_for(find_inverters(["127.0.0.1"] * 3, port, lambda done, total: None), 10)
    assert not any(inverter.sure for inverter in found)


def test_ctrl_c_does_not_wait_until_the_listening_is_over() -> None:
    pytest.importorskip("zeroconf")
    command = [sys.executable, "-m", "nutdrv_py", "scan", "--seconds", "100"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=REPO)
    deadline = time.monotonic() + 30
    while len(os.listdir(f"/proc/{process.pid}/task")) == 1 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    try:
        process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130
