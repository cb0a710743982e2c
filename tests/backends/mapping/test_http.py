# SPDX-License-Identifier: GPL-2.0-or-later
"""A device with a web server: logins, certificates, and answers that nobody vouches for."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nutdrv_py import log
from nutdrv_py.backends.mapping import Mapping
from nutdrv_py.clock import Clock
from nutdrv_py.device.reading import Status
from nutdrv_py.errors import AuthError, ConfigError, DeviceError
from nutdrv_py.protocols.web import MOST_BODY
from tests.backends.mapping.conftest import House
from tests.backends.mapping.speakers import WebServer

DEVICE = """\
maxage: 60
source:
  http: SCHEME://{address}
  timeout: 1
LOGIN
grid: {get: /grid, path: state, on: [up], off: [down]}
fields:
  battery.charge: {get: /soc, path: "all[0].percent"}
"""
LOGIN = '  login: {post: /login, json: {username: customer, password: "{password}"}TOKEN}'
SECRET = "gr0ßes Geheimnis"


@pytest.fixture
def web(tmp_path: Path) -> Iterator[WebServer]:
    (tmp_path / "tls").mkdir()
    with WebServer(tmp_path / "tls") as server:
        server.answers = {"/grid": {"state": "up"}, "/soc": {"all": [{"percent": 61.5}]}}
        yield server


def _backend(home: House, web: WebServer, *, login: str = "", scheme: str = "https", **options: object) -> Mapping:
    home.describe(DEVICE.replace("SCHEME", scheme).replace("LOGIN\n", f"{login}\n" if login else ""))
    if login:
        (home.folder / "who").touch(mode=0o600)
        (home.folder / "who").write_text(f'# the label on the inside\nPASSWORD="{SECRET}"\n')
        options = {"credentials": "who", **options}
    return home.backend(address=web.address, **{"certificate": web.fingerprint, **options})


async def test_values_come_from_each_path_once_and_by_one_connection(home: House, web: WebServer) -> None:
    async with _backend(home, web) as backend:
        reading = await backend.poll()
        assert (reading.status, reading.values["battery.charge"]) == (Status.OL, 61.5)
        assert [path for _, path, _ in web.seen] == ["/grid", "/soc"]


@pytest.mark.parametrize("token", ["", "ey.abc"])
async def test_a_login_by_cookie_or_token_is_made_once_and_again_when_it_has_ended(token: str, home: House, web: WebServer) -> None:
    web.password, web.token = SECRET, token
    async with _backend(home, web, login=LOGIN.replace("TOKEN", ", token: token" if token else "")) as backend:
        await backend.poll()
        await backend.poll()
        assert sum(method == "POST" for method, *_ in web.seen) == 1
        if token:
            web.token = "ey.def"
        else:
            web.forget()
            web.refusal = 302
        assert (await backend.poll()).status == Status.OL
        assert sum(method == "POST" for method, *_ in web.seen) == 2


async def test_a_refused_login_is_no_reading_is_not_tried_on_and_shows_no_password(home: House, web: WebServer, caplog: pytest.LogCaptureFixture) -> None:
    web.password = "another"
    log.set_debug_level(6)
    caplog.set_level(logging.DEBUG)
    backend = _backend(home, web, login=LOGIN.replace("TOKEN", ""))
    with pytest.raises(AuthError) as caught:
        await backend.poll()
    assert caught.value.rejected
    assert SECRET not in str(caught.value) + caplog.text + repr(backend.config) + repr(backend._plan)
    log.log.warning("the body was %s", SECRET)
    assert SECRET not in caplog.text
    await backend._source.close()


async def test_nothing_is_sent_to_a_device_with_another_certificate(home: House, web: WebServer) -> None:
    web.password = SECRET
    backend = _backend(home, web, login=LOGIN.replace("TOKEN", ""), certificate="0" * 64)
    with pytest.raises(DeviceError, match=f"another certificate.*{web.fingerprint}"):
        await backend.poll()
    assert web.seen == []


async def test_a_certificate_of_nobody_is_refused_and_check_shows_what_to_write(home: House, web: WebServer) -> None:
    backend = _backend(home, web, certificate=None)
    with pytest.raises(DeviceError, match="no authority"):
        await backend.poll()
    assert web.seen == []
    found = {finding.topic: finding async for finding in backend.examine(login=False)}
    assert f"certificate = {web.fingerprint}" in found["certificate"].advice
    async with _backend(home, web, certificate="any") as trusting:
        assert (await trusting.poll()).status == Status.OL


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"<html>", 200), (b"", 200), (b'{"state": "up"}', 500), (b'{"state": "up"}', 302), (b'"up"', 200), (b"[" * 5000, 200),
        (b'{"state": ["up"]}', 200), (b'{"state": "' + b"u" * MOST_BODY + b'"}', 200), (b"\xff\xfe\x00", 200), (b'{"state": NaN}', 200),
    ],
)  # fmt: skip
async def test_an_answer_that_is_wrong_is_no_statement(answer: bytes, status: int, home: House, web: WebServer) -> None:
    async with _backend(home, web) as backend:
        await backend.poll()
        web.answers["/grid"], web.status["/grid"] = answer, status
        with pytest.raises(DeviceError):
            await backend.poll()
        web.answers["/grid"], web.status["/grid"] = {"state": "down"}, 200
        assert (await backend.poll()).status == Status.OB


async def test_an_answer_that_does_not_come_is_given_up_and_the_next_one_counts(home: House, web: WebServer) -> None:
    async with _backend(home, web) as backend:
        web.hang.clear()
        with pytest.raises(DeviceError, match="no answer within 1 s"):
            await backend.poll()
        web.hang.set()
        assert (await backend.poll()).status == Status.OL


async def test_paths_that_hang_keep_the_next_look_at_the_grid_waiting_for_one_of_them_alone(home: House, web: WebServer) -> None:
    _backend(home, web)
    home.describe(home.path.read_text() + "".join(f"  experimental.x{n}.voltage: {{get: /slow{n}, path: v}}\n" for n in range(4)))
    backend = home.backend(address=web.address, certificate=web.fingerprint)
    backend.clock = backend._source.clock = Clock()
    web.answers.update({f"/slow{n}": {"v": 1} for n in range(4)})
    web.hanging = {f"/slow{n}" for n in range(4)}
    web.hang.clear()
    began = time.monotonic()
    reading = await backend.poll()
    assert time.monotonic() - began < 2
    assert (reading.status, reading.values["battery.charge"]) == (Status.OL, 61.5)
    web.hang.set()
    assert "experimental.x3.voltage" in (await backend.poll()).values
    await backend._source.close()


async def test_one_path_that_fails_loses_its_own_values_alone(home: House, web: WebServer) -> None:
    async with _backend(home, web) as backend:
        web.status["/soc"] = 500
        reading = await backend.poll()
        assert reading.status == Status.OL
        assert "battery.charge" not in reading.values


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("  http: ftp://{address}", "that is no URL"),
        ("  http: https://user:geheim@{address}", "that is no URL"),
        ("  http: https://{address}/?token=geheim", "that is no URL"),
        ("  login: {post: /login}\n  http: https://{address}", "json: is missing"),
        ("  login: {post: /login, json: {password: geheim}}\n  http: https://{address}", "no value is {password}"),
        ("  login: {post: //evil/login, json: {p: '{password}'}}\n  http: https://{address}", "a path on the device"),
    ],
)
def test_a_wrong_source_is_refused(line: str, sentence: str, home: House) -> None:
    home.describe(DEVICE.replace("LOGIN\n", "").replace("  http: SCHEME://{address}", line))
    with pytest.raises(ConfigError, match=sentence) as caught:
        home.config(address="10.0.0.1")
    assert "geheim" not in str(caught.value)


def test_a_shipped_device_asks_for_its_address(home: House) -> None:
    with pytest.raises(ConfigError, match="write address = HOST"):
        home.config(port="tesla-powerwall")
