# SPDX-License-Identifier: GPL-2.0-or-later
"""Gateways that answer, but not as most do: each has its sentence, or serves."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from nutdrv_py.backends.enphase import Enphase, older
from nutdrv_py.backends.enphase.client import Gateway, Stranger
from nutdrv_py.backends.enphase.config import EnphaseConfig, gateway_url
from nutdrv_py.backends.enphase.older import old_firmware
from nutdrv_py.device.findings import Level
from nutdrv_py.errors import ConfigError, DeviceError
from nutdrv_py.simulators.enphase import Fault
from tests.backends.enphase.conftest import House, house

ABSENT = Fault("status", status=404)


async def _findings(h: House) -> dict[str, tuple[Level, str]]:
    return {finding.topic: (finding.level, finding.text) async for finding in h.backend.examine(login=True)}


async def test_a_house_with_solar_panels_alone_is_told_that_there_is_nothing_to_read(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        h.sim.faults["/ivp/ensemble/relay"] = h.sim.faults["/ivp/ensemble/status"] = ABSENT
        for _ in range(2):
            with pytest.raises(DeviceError, match="no battery system to read"):
                await h.poll()
        level, text = (await _findings(h))["endpoints"]
        assert level is Level.FAILED
        assert "no battery system to read" in text


async def test_check_reads_the_relay_where_the_driver_reads_it(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.poll()
        h.sim.faults["/ivp/ensemble/relay"] = ABSENT
        found = await _findings(h)
        assert found["outage"] == (Level.OK, "can be seen (IQ System Controller); now on-grid")
        assert found["endpoints"][0] is not Level.FAILED


async def test_a_slow_relay_is_told_with_the_option_that_waits_longer(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.poll()
        h.sim.faults["/ivp/ensemble/relay"] = Fault("hang")
        with pytest.raises(DeviceError, match=r"no answer within 1 s; .*api_timeout = "):
            await h.poll()


@pytest.mark.parametrize("port", ["fe80::1", "https://fe80::1", "2001:db8::17", "fe80::1%eth0"])
def test_an_ipv6_address_without_brackets_is_told_with_them(port: str) -> None:
    with pytest.raises(ConfigError, match=r"write it in brackets: port = \[(fe80|2001)"):
        gateway_url(port)
    assert gateway_url(f"[{port.removeprefix('https://')}]").startswith("https://[")


async def _served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes) -> None:
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def _server(body: bytes, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    server = await asyncio.start_server(lambda r, w: _served(r, w, body), "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        # Python 3.12 would wait for clients that are still there.
        server.close()


async def test_a_gateway_without_forward_secrecy_is_connected_to_and_pinned_all_the_same(tmp_path: Path) -> None:
    pem = tmp_path / "pem"
    openssl = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=envoy-1", "-keyout", str(pem), "-out", str(tmp_path / "crt")]
    subprocess.run(openssl, capture_output=True, check=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "crt", pem)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AES256-GCM-SHA384")
    fingerprint = hashlib.sha256(ssl.PEM_cert_to_DER_cert((tmp_path / "crt").read_text())).hexdigest()
    async with _server(b"{}", context) as port:
        for trusted in (fingerprint, "0" * 64):
            gateway = Gateway(f"https://127.0.0.1:{port}", lambda shown, trusted=trusted: shown == trusted)
            try:
                if trusted == fingerprint:
                    assert (await gateway.get("/x", timeout=5, token="t")).body == b"{}"
                else:
                    with pytest.raises(Stranger):
                        await gateway.get("/x", timeout=5, token="t")
            finally:
                await gateway.close()


INFO = b"<envoy_info><device><sn>122333444455</sn><pn>1</pn><software>R4.10.35</software></device></envoy_info>"


@pytest.mark.parametrize(
    ("body", "sentence"),
    [(INFO, r"firmware before 7 does \(R4.10.35\)"), (b"<html><title>Envoy</title></html>", "as firmware before 7 does;"), (b"<html>a printer</html>", "")],
)
async def test_a_gateway_that_answers_by_plain_http_alone_is_told_to_be_too_old(
    tmp_path: Path, body: bytes, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with _server(body) as port:
        monkeypatch.setattr(older, "PORT", port)
        said = await old_firmware("https://127.0.0.1")
        assert bool(said) is bool(sentence)
        # A port of one's own is not that of a gateway.
        assert await old_firmware(f"https://127.0.0.1:{port}") == ""
        async with house(tmp_path) as h:
            # Nothing listens on port 443 here.
            config = EnphaseConfig(ups="home", port="127.0.0.1", username="a", password="b", tokenfile=str(tmp_path / "t"))
            backend = Enphase(config, h.clock)
            for _ in range(2):
                with pytest.raises(DeviceError, match=sentence or r"cannot be reached: [^;]*$"):
                    await backend.poll()
            found = [finding async for finding in backend.examine(login=False)]
            assert found[-1].level is Level.FAILED
            assert (sentence == "") is ("cannot be reached" in found[-1].text)
            await backend.__aexit__(None, None, None)


async def test_ac_batteries_are_told_with_their_part_and_a_load_that_needs_it_is_left_out(tmp_path: Path) -> None:
    async with house(tmp_path, "ac-battery") as h:
        h.sim.set(load=1000, pv=0, soc=50, acb_soc=75, policy="self-consumption")
        shown = h.shown(await h.polls(3))
        assert shown["experimental.battery.acb.capacity"] == "4800"
        assert int(shown["experimental.battery.acb.energy"]) == pytest.approx(3600, abs=10)
        assert shown["experimental.battery.acb.charge"] == "75"
        assert shown["experimental.battery.energy.capacity"] == "5000", "the IQ Battery alone"
        assert shown["ups.realpower"] == "1000.0"
    (tmp_path / "b").mkdir()
    async with house(tmp_path / "b", "ac-battery") as h:
        h.sim.set(load=1000, pv=0, soc=10, acb_soc=75, policy="self-consumption")
        h.sim.faults["/ivp/livedata/status"] = ABSENT
        assert h.shown(await h.polls(3))["ups.realpower"] == "1000.0", "the storage CT tells their part"
        h.sim.options = h.sim.options.__class__(firmware="D8.2.4382", storage_ct=False)
        shown = h.shown(await h.polls(20))
        assert h.sim.site.flows.acb > 500
        assert "ups.realpower" not in shown
