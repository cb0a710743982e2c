# SPDX-License-Identifier: GPL-2.0-or-later
"""Topics of a real mosquitto: what a broker has kept says nothing until the device has shown that it is there."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

pytest.importorskip("paho.mqtt.client")

from nutdrv_py.backends.mapping import Mapping
from nutdrv_py.device.reading import Status
from nutdrv_py.errors import ConfigError, DeviceError
from tests.backends.mapping.conftest import House
from tests.backends.mapping.speakers import WebServer
from tests.integration.test_mqtt import MOSQUITTO, Mosquitto, until

pytestmark = pytest.mark.skipif(not Path(MOSQUITTO).exists(), reason="there is no mosquitto here")

DEVICE = """\
maxage: 60
source: {mqtt: "{address}"MORE}
grid: {topic: "{topic}/state", path: grid.state, on: [on], off: [off]}
fields:
  battery.charge: {topic: "{topic}/soc"}
"""
AVAILABILITY = ', silence: 300, availability: {topic: "{topic}/status", online: online, offline: offline}'
ON, OFF = '{"grid": {"state": "on"}}', '{"grid": {"state": "off"}}'


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path) as running:
        yield running


@contextlib.asynccontextmanager
async def listening(home: House, broker: Mosquitto, *, more: str = "", **options: object) -> AsyncIterator[Mapping]:
    home.describe(DEVICE.replace("MORE", more))
    async with home.backend(address=f"127.0.0.1:{broker.port}", topic="house", **options) as backend:
        await until(lambda: backend._source._connected)  # type: ignore[attr-defined]
        await send(broker, "house/unrelated", "x")
        yield backend


async def send(broker: Mosquitto, topic: str, payload: str, *more: str) -> None:
    await asyncio.to_thread(broker.publish, topic, payload, *more)


async def holds(backend: Mapping, topic: str, payload: str) -> None:
    kept = backend._source._kept  # type: ignore[attr-defined]
    await until(lambda: kept.get(topic) == payload.encode(), f"{payload} at {topic}")


async def test_what_the_broker_has_kept_says_nothing_until_a_live_message(home: House, broker: Mosquitto) -> None:
    for topic, payload in (("house/state", ON), ("house/soc", "64")):
        await send(broker, topic, payload, "-r")
    async with listening(home, broker) as backend:
        await holds(backend, "house/state", ON)
        with pytest.raises(DeviceError, match="may be hours old"):
            await backend.poll()
        home.clock.now += 30
        await send(broker, "house/soc", "63", "-r")
        await holds(backend, "house/soc", "63")
        reading = await backend.poll()
        assert (reading.status, reading.values["battery.charge"], reading.at) == (Status.OL, 63, home.clock.now)


async def test_the_first_reading_waits_a_moment_for_the_topics_that_the_broker_sends_one_after_the_other(
    home: House, broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    for topic, payload in (("house/state", OFF), ("house/status", "online")):
        await send(broker, topic, payload, "-r")
    async with listening(home, broker, more=AVAILABILITY) as backend:
        await until(lambda: backend._source._available)  # type: ignore[attr-defined]
        sleep = home.clock.sleep

        async def late(seconds: float) -> None:
            await sleep(seconds)
            if home.clock.now - backend._source._heard >= 0.5:  # type: ignore[attr-defined]
                backend._source.arrived("house/soc", b"64", True)  # type: ignore[attr-defined]

        monkeypatch.setattr(home.clock, "sleep", late)
        backend._source._heard = home.clock.now  # type: ignore[attr-defined]
        reading = await backend.poll()
        assert (reading.status, reading.values["battery.charge"]) == (Status.OB, 64)


async def test_a_topic_that_never_comes_holds_an_outage_up_for_a_second_at_most(home: House, broker: Mosquitto) -> None:
    async with listening(home, broker) as backend:
        await send(broker, "house/state", OFF)
        await holds(backend, "house/state", OFF)
        began = home.clock.now
        reading = await backend.poll()
        assert reading.status == Status.OB
        assert 1.9 < home.clock.now - began < 2.5, "one second, and one more to look at the outage again"


async def test_without_availability_a_value_is_as_old_as_the_last_message(home: House, broker: Mosquitto) -> None:
    async with listening(home, broker) as backend:
        await send(broker, "house/state", OFF)
        await holds(backend, "house/state", OFF)
        assert (await backend.poll()).status == Status.OB
        before = home.clock.now
        home.clock.now += 40
        reading = await backend.poll()
        assert reading.at is not None
        assert reading.at <= before
        home.clock.now += 30
        with pytest.raises(DeviceError, match="s old"):
            await backend.poll()


async def test_an_availability_topic_speaks_for_what_was_kept_until_the_silence_limit(home: House, broker: Mosquitto) -> None:
    for topic, payload in (("house/state", ON), ("house/status", "online")):
        await send(broker, topic, payload, "-r")
    async with listening(home, broker, more=AVAILABILITY) as backend:
        await holds(backend, "house/state", ON)
        await until(lambda: backend._source._available)  # type: ignore[attr-defined]
        home.clock.now += 250
        reading = await backend.poll()
        assert (reading.status, reading.at) == (Status.OL, home.clock.now)
        # A publisher that hangs, or whose online is no last will, is not believed for ever.
        home.clock.now += 60
        with pytest.raises(DeviceError, match=r"sent nothing for 31. s"):
            await backend.poll()
        await send(broker, "house/state", OFF)
        await holds(backend, "house/state", OFF)
        assert (await backend.poll()).status == Status.OB
        await send(broker, "house/status", "offline", "-r")
        await until(lambda: backend._source._available is False)  # type: ignore[attr-defined]
        with pytest.raises(DeviceError, match="offline"):
            await backend.poll()


@pytest.mark.parametrize("payload", ["", "off", "{}", '{"grid": "off"}', '{"grid": {"state": "OFFLINE"}}', "[" * 3000, "x" * 70000])
async def test_a_message_that_is_no_statement_ends_what_was_said_before(payload: str, home: House, broker: Mosquitto) -> None:
    async with listening(home, broker) as backend:
        await send(broker, "house/state", ON)
        await holds(backend, "house/state", ON)
        assert (await backend.poll()).status == Status.OL
        broker_file = home.folder / "payload"
        broker_file.write_text(payload)
        await send(broker, "house/state", payload) if len(payload) < 60000 else await asyncio.to_thread(_send_file, broker, str(broker_file))
        await until(lambda: backend._source._kept.get("house/state") != ON.encode())  # type: ignore[attr-defined]
        with pytest.raises(DeviceError):
            await backend.poll()


def _send_file(broker: Mosquitto, path: str) -> None:
    import subprocess

    subprocess.run(["mosquitto_pub", "-p", str(broker.port), "-t", "house/state", "-f", path], check=True, timeout=30)


async def test_a_change_of_the_grid_wakes_the_driver(home: House, broker: Mosquitto) -> None:
    async with listening(home, broker) as backend:
        woken: list[float] = []
        backend.wake = lambda: woken.append(home.clock.now)
        await send(broker, "house/state", ON)
        await holds(backend, "house/state", ON)
        assert len(woken) == 1
        home.clock.now += 1
        await send(broker, "house/state", ON)
        await send(broker, "house/state", OFF)
        await holds(backend, "house/state", OFF)
        assert len(woken) == 2


async def test_a_certificate_that_is_not_trusted_names_the_key_of_the_file(home: House, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    home.describe(DEVICE.replace("MORE", ", tls: yes"))
    (tmp_path / "tls").mkdir()
    with WebServer(tmp_path / "tls") as web:
        async with home.backend(address=web.address, topic="house"):
            await until(lambda: "see the file's ca:" in caplog.text)


async def test_after_a_lost_connection_nothing_is_known(home: House, broker: Mosquitto) -> None:
    async with listening(home, broker) as backend:
        await send(broker, "house/state", ON)
        await holds(backend, "house/state", ON)
        await backend.poll()
        broker.kill()
        await until(lambda: not backend._source._connected)  # type: ignore[attr-defined]
        with pytest.raises(DeviceError, match="no connection"):
            await backend.poll()
        broker.start()
        await until(lambda: backend._source._connected)  # type: ignore[attr-defined]
        with pytest.raises(DeviceError, match="sent nothing yet"):
            await backend.poll()


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('"{address}"MORE', "{address}", 'put it into quotes: "{address}"'),
        ('"{address}"MORE', '"mqtt://x/y"', "no host or host:port"),
        ('"{address}"MORE', '"{address}", ca: x', "of no use without tls"),
        ('"{address}"MORE', '"{address}", availability: {topic: a}', "online: is missing"),
        ('"{address}"MORE', '"{address}", availability: {topic: a, online: x, offline: X}', "cannot mean both"),
        ('"{topic}/state"', "a/#", "without"),
        ("MORE", "", "write topic = "),
    ],
)
def test_a_wrong_source_is_refused(old: str, new: str, sentence: str, home: House) -> None:
    home.describe(DEVICE.replace(old, new).replace("MORE", ""))
    with pytest.raises(ConfigError, match=sentence):
        home.config(address="127.0.0.1")
