# SPDX-License-Identifier: GPL-2.0-or-later
"""Servers that answer without end, or with a few bytes that become gigabytes, cost the driver a bounded number of bytes."""

from __future__ import annotations

import asyncio
import ssl
import time
from typing import Any

import pytest

from nutdrv_py.backends.enphase.client import MOST_BODY, Gateway
from nutdrv_py.backends.enphase.cloud import ask_cloud
from nutdrv_py.backends.enphase.config import Credentials, EnphaseConfig
from nutdrv_py.errors import AuthError, DeviceError
from nutdrv_py.exporters.config import InfluxDB, Mqtt
from nutdrv_py.exporters.delivery import RefusedError
from nutdrv_py.exporters.influxdb import MOST_ANSWER, _connection
from nutdrv_py.exporters.mqtt_broker import Broker
from nutdrv_py.protocols.mqtt import MOST_PACKET
from tests.exporters.hostile import ENDLESS, Hostile, bomb, hostile

BUFFERS = 8 << 20
"""Bytes that two sockets may hold besides."""

BOMB = bomb()
ANSWERS: dict[str, Hostile] = {
    "twice compressed": Hostile(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip, gzip\r\nContent-Length: %d\r\n\r\n" % len(BOMB), BOMB),
    "compressed": Hostile(b"HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\nContent-Length: 9\r\n\r\n", b"x" * 9),
    "without end": Hostile(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536, endless=True),
    "in chunks without end": Hostile(b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"x" * 65536 + b"\r\n", endless=True),
    "headers without end": Hostile(b"HTTP/1.1 200 OK\r\n", b"X: " + b"x" * 65536 + b"\r\n", endless=True),
}
each_answer = pytest.mark.parametrize("name", ANSWERS)


def bounded(what: Hostile, most: int) -> None:
    assert what.asked
    assert all(b"identity" in head for head in what.asked)
    assert what.taken < most + BUFFERS < ENDLESS


@each_answer
async def test_a_gateway(name: str) -> None:
    async def story(port: int) -> None:
        gateway = Gateway(f"http://127.0.0.1:{port}", lambda _: True)
        try:
            with pytest.raises(DeviceError):
                await gateway.get("/info", timeout=20)
        finally:
            await gateway.close()

    with hostile(ANSWERS[name]) as what:
        await story(what.port)
        bounded(what, MOST_BODY)


@each_answer
async def test_a_cloud(name: str) -> None:
    with hostile(ANSWERS[name]) as what:
        url = f"http://127.0.0.1:{what.port}/login"
        config = EnphaseConfig(ups="home", port="x", login_url=url, token_url=url, login_timeout=20)
        with pytest.raises(AuthError):
            await ask_cloud(config, Credentials("user", "password"), "1")
        bounded(what, 1 << 20)


@pytest.mark.parametrize("database", ["", "house"])
@each_answer
def test_an_influxdb(name: str, database: str) -> None:
    with hostile(ANSWERS[name]) as what:
        options = InfluxDB(enable=True, url=f"http://127.0.0.1:{what.port}", token="token", database=database)
        try:
            with _connection(options, ssl.create_default_context(), 20) as send:
                send(b"x value=1")
        except RefusedError as error:
            assert len(error.body) <= MOST_ANSWER
        except Exception as error:
            assert "Protocol" in type(error).__name__
        bounded(what, MOST_ANSWER)


class Nobody:
    def connected(self) -> None: ...
    def gone(self) -> None: ...
    def sent(self, mid: int) -> None: ...
    def arrived(self, topic: str, payload: bytes, retained: bool) -> None:
        raise AssertionError("nothing was to arrive")


async def test_a_broker_that_sends_one_packet_of_256_megabytes() -> None:
    greeting, length = b"\x20\x02\x00\x00", b"\xff\xff\xff\x7f"
    what = Hostile(greeting + b"\x30" + length + b"\x00\x01t", b"x" * 65536, endless=True)

    async def story(port: int) -> Any:
        options = Mqtt(enable=True, mqtt_host="127.0.0.1", mqtt_port=port, client_name="test", topic_prefix="t")
        broker = Broker(options, "t/status", Nobody())
        until = time.monotonic() + 10
        while len(what.asked) < 2 and time.monotonic() < until:
            await asyncio.sleep(0.05)
        await broker.leave()

    with hostile(what) as served:
        await story(served.port)
        assert len(served.asked) >= 2, "the connection was ended, and made again"
        assert served.taken < 2 * (MOST_PACKET + BUFFERS)
