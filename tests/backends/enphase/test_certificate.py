# SPDX-License-Identifier: GPL-2.0-or-later
"""The certificate: whom a token is shown to. The simulator's request log shows what was sent."""

from __future__ import annotations

import base64
import hashlib
import ssl
import stat
import subprocess
from pathlib import Path

import pytest

from nutdrv_py.backends.enphase import Enphase
from nutdrv_py.backends.enphase.certificate import common_name, public_key
from nutdrv_py.backends.enphase.config import EnphaseConfig
from nutdrv_py.backends.enphase.pin import Pin
from nutdrv_py.device.reading import Status
from nutdrv_py.errors import ConfigError, DeviceError
from nutdrv_py.log import Trouble
from nutdrv_py.simulators.enphase import Fault, GatewaySimulator, load_scenario
from tests.backends.enphase.conftest import house


async def test_the_first_certificate_is_remembered_with_its_serial(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.poll()
        pin = tmp_path / "home.pin"
        serial, fingerprint, key = pin.read_text().split()
        assert (serial, fingerprint, len(key)) == (h.sim.serial, h.sim.fingerprint, 64)
        assert stat.S_IMODE(pin.stat().st_mode) == 0o600


async def test_a_new_certificate_of_the_same_gateway_is_taken_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with house(tmp_path) as h:
        await h.polls(2)
        h.sim.rotate_certificate()
        await h.polls(3)
        assert h.sim.fingerprint in (tmp_path / "home.pin").read_text()
    assert sum("new certificate" in record.message for record in caplog.records) == 1


@pytest.mark.parametrize(("change", "said"), [("ask", r"another key.*type: rm .*home\.pin"), ("refuse", r"another key.*refuse")])
async def test_another_key_is_not_trusted_unless_that_is_wanted(tmp_path: Path, change: str, said: str) -> None:
    async with house(tmp_path, certificate_change=change) as h:
        await h.polls(2)
        h.sim.rotate_certificate()
        asked = len(h.sim.requests)
        for _ in range(3):
            with pytest.raises(DeviceError, match=said):
                await h.poll()
        assert {request.path for request in list(h.sim.requests)[asked:]} <= {"/info"}, "nothing that takes a token"
        (tmp_path / "home.pin").unlink()
    async with house(tmp_path, certificate_change=change) as h:
        await h.poll()


async def test_a_new_certificate_with_the_same_key_is_taken_whatever_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nutdrv_py.backends.enphase.client.public_key", lambda certificate: "k" * 64)
    async with house(tmp_path, certificate_change="refuse") as h:
        await h.polls(2)
        h.sim.rotate_certificate()
        await h.polls(3)
        assert h.sim.fingerprint in (tmp_path / "home.pin").read_text()


def test_the_key_of_a_certificate_is_found_as_openssl_finds_it(tmp_path: Path) -> None:
    openssl = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", "-keyout", "/dev/null"]
    pem = subprocess.run(openssl, capture_output=True, check=True).stdout.decode()
    der = ssl.PEM_cert_to_DER_cert(pem[pem.index("-----BEGIN CERT") :])
    key = subprocess.run(["openssl", "x509", "-pubkey", "-noout"], input=pem.encode(), capture_output=True, check=True).stdout
    raw = base64.b64decode(b"".join(key.splitlines()[1:-1]))
    assert public_key(der) == hashlib.sha256(raw).hexdigest()
    assert common_name(der) == "x"
    for cut in range(0, len(der), 7):
        assert common_name(der[:cut]) in ("", "x")
        assert public_key(der[:cut]) in ("", hashlib.sha256(raw).hexdigest())


async def test_a_stranger_with_another_serial_gets_no_token(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.poll()
        # Another gateway has taken the address: other certificate, other serial.
        other = GatewaySimulator(load_scenario("online"), serial="999999999999", clock=h.clock.monotonic, wall=h.clock.wall)
        port = h.sim.port
        await h.sim.stop()
        await other.start(port=port)
        try:
            for _ in range(3):
                with pytest.raises(DeviceError, match=r"nothing secret was sent|999999999999"):
                    await h.poll()
            assert {request.path for request in other.requests} == {"/info"}
        finally:
            await other.stop()


async def test_any_takes_every_certificate_and_writes_no_pin(tmp_path: Path) -> None:
    async with house(tmp_path, certificate="any") as h:
        await h.poll()
        h.sim.rotate_certificate()
        await h.polls(2)
        assert not (tmp_path / "home.pin").exists()


async def test_a_fingerprint_in_a_file_is_the_only_one_that_is_trusted(tmp_path: Path) -> None:
    path = tmp_path / "gateway.fingerprint"
    path.write_text("0" * 64 + "\n")
    async with house(tmp_path, certificate=str(path)) as h:
        with pytest.raises(DeviceError, match="not the trusted one"):
            await h.poll()
        assert h.asked("/info") == 0, "not even a question without secrets"
        colons = ":".join(h.sim.fingerprint[i : i + 2].upper() for i in range(0, 64, 2))
        path.write_text(f"SHA256={colons}\n")
        other = type(h.backend)(h.backend.config, h.clock)
        await other.poll()
        await other.__aexit__(None, None, None)


async def test_a_file_without_a_certificate_is_refused_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "x.pem"
    path.write_text("nothing here\n")
    with pytest.raises(ConfigError, match="neither a PEM certificate nor a SHA-256 fingerprint"):
        async with house(tmp_path, certificate=str(path)):
            pass


async def test_a_pem_file_is_understood(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        import ssl

        pem = await __import__("asyncio").to_thread(ssl.get_server_certificate, ("127.0.0.1", h.sim.port))
        path = tmp_path / "gateway.pem"
        path.write_text(pem)
        config = __import__("dataclasses").replace(h.backend.config, certificate=str(path))
        type(h.backend).check(config)
        other = type(h.backend)(config, h.clock)
        await other.poll()
        await other.__aexit__(None, None, None)


def test_a_fingerprint_that_others_may_write_is_not_trusted(tmp_path: Path) -> None:
    """Otherwise another user names the gateway that gets the token."""
    path = tmp_path / "home.pin"
    path.write_text(f"122333444455 {'ab' * 32}\n")
    config = EnphaseConfig(port="127.0.0.1", tokenfile=str(tmp_path / "home.token"))
    assert Pin(config, Trouble()).serial == "122333444455"
    path.chmod(0o666)
    with pytest.raises(ConfigError, match=f"{path} may have been written by another user.*rm {path}"):
        Pin(config, Trouble())


SERIAL = "122333444455"
SILENT = [Fault("status", status=504), Fault("hang"), Fault("html"), Fault("reset")]


@pytest.mark.parametrize("fault", SILENT, ids=lambda fault: fault.kind)
async def test_a_gateway_that_never_says_who_it_is_serves_with_serial_from_the_very_first_start(tmp_path: Path, fault: Fault) -> None:
    async with house(tmp_path, serial=SERIAL) as h:
        h.sim.faults["/info"] = fault
        assert h.shown(await h.poll())["ups.status"] == "OL"
        h.sim.set(grid="outage")
        assert Status.OB in (await h.poll()).status
        assert (tmp_path / "home.pin").read_text().split()[:2] == [SERIAL, h.sim.fingerprint]
        # From then on only this certificate is shown the token, also after a restart.
        again = Enphase(h.backend.config, h.clock)
        try:
            assert Status.OB in (await again.poll()).status
        finally:
            await again.__aexit__(None, None, None)


@pytest.mark.parametrize("changeable", ["pin", "any", "file"])
async def test_it_serves_with_each_kind_of_trust_in_its_certificate(tmp_path: Path, changeable: str) -> None:
    sim = GatewaySimulator(load_scenario("online"))
    named = tmp_path / "named"
    named.write_text("0" * 64 + "\n")
    certificate = str(named) if changeable == "file" else changeable
    async with house(tmp_path, sim, serial=SERIAL, certificate=certificate) as h:
        named.write_text(sim.fingerprint + "\n")
        h.sim.faults["/info"] = Fault("status", status=504)
        backend = Enphase(h.backend.config, h.clock)
        try:
            assert Status.OL in (await backend.poll()).status
        finally:
            await backend.__aexit__(None, None, None)


async def test_a_first_certificate_that_is_not_made_out_to_the_serial_gets_no_token_before_info(tmp_path: Path) -> None:
    sim = GatewaySimulator(load_scenario("online"), serial="999999999999")
    async with house(tmp_path, sim, serial=SERIAL) as h:
        h.sim.faults["/info"] = Fault("status", status=504)
        for _ in range(3):
            with pytest.raises(DeviceError, match="HTTP 504"):
                await h.poll()
        assert {request.path for request in h.sim.requests} == {"/info"}
        assert not (tmp_path / "home.pin").exists()


async def test_a_remembered_certificate_that_changes_while_info_is_out_of_order_is_judged_all_the_same(tmp_path: Path) -> None:
    async with house(tmp_path, serial=SERIAL) as h:
        h.sim.faults["/info"] = Fault("status", status=504)
        await h.polls(2)
        h.sim.rotate_certificate()
        await h.polls(2)
        assert h.sim.fingerprint in (tmp_path / "home.pin").read_text(), "made out to the same serial"
    async with house(tmp_path, GatewaySimulator(load_scenario("online"), serial="999999999999"), serial=SERIAL) as h:
        h.sim.faults["/info"] = Fault("status", status=504)
        for _ in range(2):
            with pytest.raises(DeviceError):
                await h.poll()
        assert {request.path for request in h.sim.requests} == {"/info"}, "made out to another one"


async def test_with_ask_another_key_is_not_taken_while_info_is_out_of_order(tmp_path: Path) -> None:
    async with house(tmp_path, serial=SERIAL, certificate_change="ask") as h:
        h.sim.faults["/info"] = Fault("status", status=504)
        await h.polls(2)
        h.sim.rotate_certificate()
        with pytest.raises(DeviceError, match="another key"):
            await h.poll()


async def test_a_gateway_that_turns_out_to_be_another_one_is_not_asked_on(tmp_path: Path) -> None:
    async with house(tmp_path, serial=SERIAL) as h:
        h.sim.faults["/info"] = Fault("status", status=504)
        await h.poll()
        del h.sim.faults["/info"]
        other = "<envoy_info><device><sn>999999999999</sn><software>D8.2.1</software></device></envoy_info>"
        h.sim.faults["/info"] = Fault("wrong-json", body=other)
        with pytest.raises(DeviceError, match="999999999999, but serial"):
            await h.polls(10, 31)
