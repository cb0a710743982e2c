# SPDX-License-Identifier: GPL-2.0-or-later
"""MQTT end to end: the real mosquitto, its own clients, and a driver whose device says what the test wants."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import errno
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path

import pytest

pytest.importorskip("paho.mqtt.client")

from nutdrv_py.backends.rct import Rct
from nutdrv_py.backends.rct.config import RctConfig
from nutdrv_py.clock import Clock
from nutdrv_py.core.driver import Driver
from nutdrv_py.core.settings import Settings
from nutdrv_py.core.telemetry import Source
from nutdrv_py.device.reading import Reading, Status
from nutdrv_py.errors import DeviceError
from nutdrv_py.exporters import mqtt
from nutdrv_py.exporters.config import Mqtt
from nutdrv_py.exporters.mqtt import MqttExporter
from nutdrv_py.exporters.mqtt_discovery import SENSORS
from nutdrv_py.exporters.topics import RCTMON
from nutdrv_py.protocols import mqtt as wire
from nutdrv_py.simulators.rct import RunningInverter
from tests.conftest import REPO, FakeClock
from tests.core.test_driver import World

MOSQUITTO = "/usr/sbin/mosquitto"
PATIENCE = 30.0
OL, OB, LB = Status.OL, Status.OB, Status.LB

pytestmark = pytest.mark.skipif(not Path(MOSQUITTO).exists(), reason="there is no mosquitto here")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Mosquitto:
    """A broker on a port of its own; it remembers nothing over a restart."""

    def __init__(self, folder: Path, *lines: str, port: int | None = None) -> None:
        self.port = port or free_port()
        self._conf = folder / f"mosquitto-{self.port}.conf"
        user = "user root\n" if os.geteuid() == 0 else ""
        access = "" if any("allow_anonymous" in line for line in lines) else "allow_anonymous true\n"
        self._conf.write_text(f"{user}persistence false\n{access}listener {self.port} 127.0.0.1\n" + "".join(f"{line}\n" for line in lines))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen([MOSQUITTO, "-c", str(self._conf)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            assert self.process.poll() is None, "mosquitto has ended"
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.02)
        raise AssertionError("mosquitto does not listen")

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(PATIENCE)
            self.process = None

    def __enter__(self) -> Mosquitto:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()

    def publish(self, topic: str, payload: str, *more: str) -> None:
        subprocess.run(["mosquitto_pub", "-p", str(self.port), "-t", topic, "-m", payload, *more], check=True, timeout=PATIENCE)

    def retained(self, *more: str) -> dict[str, str]:
        """What a late subscriber is given."""
        marker = "late/subscriber"
        self.publish(marker, "end", "-r")
        with Reader(self.port, "#", *more) as reader:
            end = time.monotonic() + PATIENCE
            # Retained messages come in any order; the probe after them does not.
            while not reader.of(marker):
                assert time.monotonic() < end
                time.sleep(0.02)
            self.publish("late/probe", "x")
            while not reader.of("late/probe"):
                assert time.monotonic() < end
                time.sleep(0.02)
            return {topic: payload for topic, payload, retained in reader.messages if retained and topic != marker}


class Reader:
    """mosquitto_sub: all messages since it is ready, in their order, each with whether it came from the broker's store."""

    def __init__(self, port: int, *topics: str) -> None:
        self.messages: list[tuple[str, str, bool]] = []
        words = [word for topic in topics for word in ("-t", topic)]
        self._process = subprocess.Popen(["mosquitto_sub", "-p", str(port), "-F", "%j", *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told = json.loads(line)
            self.messages.append((told["topic"], told.get("payload") or "", bool(told["retain"])))

    def of(self, topic: str) -> list[str]:
        return [payload for name, payload, _ in list(self.messages) if name == topic]

    def last(self, topic: str) -> str | None:
        found = self.of(topic)
        return found[-1] if found else None

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.wait(PATIENCE)


async def until(test: Callable[[], object], what: str = "") -> None:
    end = time.monotonic() + PATIENCE
    while not test():
        assert time.monotonic() < end, what or "it did not come true"
        await asyncio.sleep(0.02)


@contextlib.contextmanager
def listening(broker: Mosquitto, *topics: str) -> Iterator[Reader]:
    """A reader that is known to have subscribed."""
    with Reader(broker.port, *(topics or ("rctmon/#", "homeassistant/#")), "probe") as reader:
        end = time.monotonic() + PATIENCE
        while not reader.of("probe"):
            assert time.monotonic() < end
            broker.publish("probe", "x")
        yield reader


class Home:
    """A driver on a clock that the test moves, and the exporter of it."""

    def __init__(self, port: int, *, ups: str = "home", backend: str = "rct", **options: object) -> None:
        self.clock = FakeClock()
        self.world = World(self.clock)
        self.world.settings = self.world.driver.settings = dataclasses.replace(self.world.settings, ups=ups, backend_name=backend)
        self.say(OL)
        self.options = Mqtt(enable=True, mqtt_host="127.0.0.1", mqtt_port=port, **options)  # type: ignore[arg-type]
        self.source = Source(self.world.driver)
        self.exporter = MqttExporter([self.source], self.options)

    def say(self, status: Status = OL, charge: int = 80, raw: Mapping[str, object] | None = None, **values: object) -> None:
        named = {name.replace("_", "."): value for name, value in values.items()}
        shown = {"battery.charge": charge, "ups.mfr": "RCT Power", "ups.serial": "0065A4631487", **named}
        self.world.device.answer = Reading(shown, status, raw=raw if raw is not None else {"battery.soc": charge / 100})  # type: ignore[arg-type]

    async def poll(self) -> None:
        await self.clock.advance(5)

    async def vanish(self) -> None:
        """The device is silent until its data are stale."""
        self.world.device.answer = DeviceError("no answer")
        await self.clock.advance(130)
        assert self.world.driver.snapshot.stale


@contextlib.asynccontextmanager
async def running(home: Home) -> AsyncIterator[Home]:
    async with home.world:
        await home.exporter.start()
        try:
            yield home
        finally:
            await home.exporter.stop()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path) as running_broker:
        yield running_broker


async def test_a_late_subscriber_sees_each_of_rctmons_topics_and_each_nut_variable(broker: Mosquitto) -> None:
    home = Home(broker.port)
    home.say(raw={name: float(index) for index, (_, name) in enumerate(RCTMON)})
    async with running(home):
        await until(lambda: home.exporter._connected and not len(home.exporter._outbox) and not home.exporter._flight)
        found = await asyncio.to_thread(broker.retained)
    assert {f"rctmon/{topic}": f"{index}.0" for index, (topic, _) in enumerate(RCTMON)}.items() <= found.items()
    expected = {
        "rctmon/availability": "online", "rctmon/ups/home/availability": "online", "rctmon/ups/home/ups.status": "OL",
        "rctmon/ups/home/battery.charge": "80", "rctmon/ups/home/device.serial": "0065A4631487",
    }  # fmt: skip
    assert expected.items() <= found.items()
    assert not [topic for topic in found if "driver." in topic]


# Sensors of Enphase, of a single phase, of an alarm, and of a device that is away
ELSEWHERE = {
    "input.current", "input.L1.current", "input.L2.current", "input.L3.current", "ups.alarm", "experimental.generator.realpower",
    "experimental.token.days",
}  # fmt: skip


async def test_the_simulated_inverter_is_on_the_topics_that_rctmon_has_and_on_all_of_home_assistants(broker: Mosquitto) -> None:
    with RunningInverter("online") as inverter, listening(broker, "rctmon/#") as reader:
        config = RctConfig(ups="home", port=inverter.sim.host_port, pollinterval=2)
        settings = dataclasses.replace(World(FakeClock()).settings, backend_name="rct", ups="home", config=config, backend=Rct)
        assert isinstance(settings, Settings)
        driver = Driver(settings, Rct(config, Clock()), Clock())
        exporter = MqttExporter([Source(driver)], Mqtt(enable=True, mqtt_host="127.0.0.1", mqtt_port=broker.port))
        task = asyncio.ensure_future(driver.run())
        await exporter.start()
        wished = {f"rctmon/{topic}" for topic, _ in RCTMON}
        await until(lambda: wished <= {topic for topic, _, _ in list(reader.messages)}, "topics are missing")
        assert {row.variable for row in SENSORS} - exporter.sources[0].view().variables.keys() <= ELSEWHERE
        assert 0 < float(reader.last("rctmon/battery/soc") or "") <= 1
        assert reader.last("rctmon/basic/power_switch_available") == "True"
        assert reader.last("rctmon/basic/inverter_grid_separated") == "2"
        inverter.set(grid="outage")
        await until(lambda: (reader.last("rctmon/ups/home/ups.status") or "").startswith("OB"))
        await exporter.stop()
        driver.stop(0)
        await task


async def test_what_does_not_change_is_published_once_and_a_new_status_first(broker: Mosquitto) -> None:
    with listening(broker) as reader:
        async with running(Home(broker.port, discovery=False)) as home:
            await until(lambda: reader.of("rctmon/availability"))
            before = len(reader.messages)
            home.say(OL, 79)
            await home.poll()
            await until(lambda: reader.last("rctmon/ups/home/battery.charge") == "79")
            home.say(OB | LB, 12)
            await home.poll()
            await until(lambda: reader.last("rctmon/battery/soc") == "0.12")
            news = [(topic, payload) for topic, payload, _ in reader.messages[before:]]
        assert news == [
            ("rctmon/ups/home/battery.charge", "79"), ("rctmon/battery/soc", "0.79"),
            ("rctmon/ups/home/ups.status", "OB LB"), ("rctmon/ups/home/battery.charge", "12"),
            ("rctmon/ups/home/experimental.lowbattery.detection", "possible: by the device itself"), ("rctmon/battery/soc", "0.12"),
        ]  # fmt: skip


async def test_stale_data_are_offline_at_once_and_leave_no_value_behind_until_they_are_good(broker: Mosquitto) -> None:
    with listening(broker) as reader:
        async with running(Home(broker.port)) as home:
            await until(lambda: reader.last("rctmon/availability") == "online")
            before = len(reader.messages)
            await home.vanish()
            await until(lambda: reader.last("rctmon/battery/soc") == "")
            await home.poll()
            found = await asyncio.to_thread(broker.retained)
            assert {topic: text for topic, text in found.items() if topic.startswith("rctmon/")} == {
                "rctmon/availability": "online", "rctmon/ups/home/availability": "offline"
            }  # fmt: skip
            coasting_over = reader.of("rctmon/ups/home/availability")
            assert coasting_over[-1] == "offline"
            silence = [(topic, payload) for topic, payload, _ in reader.messages[before:]]
            assert all(not payload for _, payload in silence[silence.index(("rctmon/ups/home/availability", "offline")) + 1 :])
            before = len(reader.messages)
            home.say(OB, 55)
            await home.poll()
            await until(lambda: reader.last("rctmon/ups/home/availability") == "online")
            back = [(topic, payload) for topic, payload, _ in reader.messages[before:]]
            assert back[0] == ("rctmon/ups/home/ups.status", "OB")
            assert back[-1] == ("rctmon/ups/home/availability", "online"), "values come before the word that they are good"
            assert ("rctmon/battery/soc", "0.55") in back


async def test_a_variable_that_vanishes_is_taken_back(broker: Mosquitto) -> None:
    async with running(Home(broker.port)) as home:
        home.say(OL, 80, battery_runtime=3600)
        await home.poll()
        await until(lambda: not home.exporter._flight and not len(home.exporter._outbox) and home.exporter._connected)
        assert (await asyncio.to_thread(broker.retained))["rctmon/ups/home/battery.runtime"] == "3600"
        with listening(broker, "rctmon/ups/home/battery.runtime") as reader:
            home.say(OL, 80)
            await home.poll()
            await until(lambda: reader.last("rctmon/ups/home/battery.runtime") == "")
        assert "rctmon/ups/home/battery.runtime" not in await asyncio.to_thread(broker.retained)


async def test_without_mqtt_retain_the_broker_keeps_no_value(broker: Mosquitto) -> None:
    broker.publish("rctmon/battery/soc", "0.99", "-r")
    with listening(broker, "rctmon/#") as reader:
        async with running(Home(broker.port, mqtt_retain=False)):
            await until(lambda: reader.of("rctmon/battery/soc")[-2:] == ["", "0.8"], "the old one is gone, the new one told")
            found = await asyncio.to_thread(broker.retained)
    assert [topic for topic in found if topic.startswith("rctmon/")] == ["rctmon/availability", "rctmon/ups/home/availability"]


async def test_what_an_earlier_run_left_at_the_broker_is_gone_also_while_the_device_is_away(broker: Mosquitto) -> None:
    old = ("rctmon/ups/home/battery.charge", "rctmon/ups/home/no.such.thing", "rctmon/battery/soc", "rctmon/solargenerator/a/power")
    for topic in (*old, "rctmon/ups/other/battery.charge", "else"):
        broker.publish(topic, "99", "-r")
    home = Home(broker.port)
    home.world.device.answer = DeviceError("no answer")
    with listening(broker, "rctmon/#") as reader:
        async with running(home):
            await until(lambda: all(reader.last(topic) == "" for topic in old))
            found = await asyncio.to_thread(broker.retained)
    assert not set(old) & set(found)
    assert {"rctmon/ups/other/battery.charge", "else"} <= set(found), "what is not ours stays"


async def test_a_broker_that_is_down_at_the_start_is_found_when_it_comes(
    broker: Mosquitto, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "STEADY", 0.1)
    broker.kill()
    async with running(Home(broker.port)) as home:
        await until(lambda: any("cannot be reached" in r.message for r in caplog.records))
        home.say(OL, 70)
        await home.poll()
        broker.start()
        with listening(broker) as reader:
            await until(lambda: reader.last("rctmon/availability") == "online")
            assert reader.last("rctmon/ups/home/battery.charge") == "70"
            await until(lambda: any("is connected again" in r.message for r in caplog.records))
        assert home.exporter.dropped >= 1
    messages = [r.message for r in caplog.records if "MQTT" in r.message]
    assert len(messages) == 2, "one sentence for the trouble, one for its end"
    assert f"127.0.0.1 port {broker.port}" in messages[0]
    assert "Connection refused" in messages[0]


async def test_after_a_restart_of_the_broker_only_what_is_current_is_published(broker: Mosquitto) -> None:
    async with running(Home(broker.port)) as home:
        with listening(broker) as reader:
            await until(lambda: reader.last("rctmon/availability") == "online")
        broker.kill()
        for charge in (70, 60, 50):
            home.say(OB, charge)
            await home.poll()
        broker.start()
        with listening(broker) as reader:
            await until(lambda: reader.last("rctmon/availability") == "online")
            assert reader.of("rctmon/ups/home/battery.charge") == ["50"]
            assert reader.of("rctmon/ups/home/ups.status") == ["OB"]
            assert reader.of("rctmon/battery/soc") == ["0.5"]


async def test_an_error_that_ends_the_loop_of_the_library_does_not_end_the_exporter(
    broker: Mosquitto, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """paho 1.6.1 lets "no route to host" through, and its thread would be gone for good."""
    monkeypatch.setattr(wire, "REST_AFTER_FAULT", 0.1)
    async with running(Home(broker.port)) as home:
        await until(lambda: home.exporter._connected and not home.exporter._flight)
        assert home.exporter._broker is not None
        client = home.exporter._broker._client

        def broken(*args: object) -> None:
            del client.loop_read
            raise OSError(errno.EHOSTUNREACH, "No route to host")

        client.loop_read = broken
        broker.publish("homeassistant/status", "online")
        await until(lambda: any("No route to host" in r.message for r in caplog.records))
        home.say(OL, 42)
        await home.poll()
        with listening(broker, "rctmon/#") as reader:
            await until(lambda: reader.last("rctmon/ups/home/battery.charge") == "42")


@contextlib.contextmanager
def deaf() -> Iterator[int]:
    """A server that accepts and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(16)
        yield int(server.getsockname()[1])


async def test_a_broker_that_hangs_holds_up_neither_polls_nor_the_exit(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "KEEPALIVE", 1)
    lags: list[float] = []

    async def watch() -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.01)
            lags.append(time.monotonic() - began)

    with deaf() as port:
        home = Home(port)
        async with home.world:
            watcher = asyncio.ensure_future(watch())
            await home.exporter.start()
            polls = home.world.device.polls
            for charge in range(80, 20, -1):
                home.say(OB, charge)
                await home.poll()
            await until(lambda: any("does not greet" in r.message for r in caplog.records))
            assert home.world.device.polls >= polls + 60
            began = time.monotonic()
            await home.exporter.stop()
            assert time.monotonic() - began < 3
            watcher.cancel()
    assert len(lags) > 10
    assert max(lags) < 1.5
    assert len([r for r in caplog.records if "MQTT" in r.message]) == 1


async def test_a_broker_that_stops_in_the_middle_holds_up_neither_polls_nor_the_exit(broker: Mosquitto) -> None:
    home = Home(broker.port)
    async with home.world:
        await home.exporter.start()
        await until(lambda: home.exporter._connected and not home.exporter._flight)
        assert broker.process is not None
        broker.process.send_signal(signal.SIGSTOP)
        for charge in range(80, 20, -1):
            home.say(OB, charge)
            await home.poll()
        began = time.monotonic()
        await home.exporter.stop()
        assert time.monotonic() - began < 3


async def test_a_broker_that_falls_silent_is_left_and_given_what_is_current_when_it_wakes(broker: Mosquitto, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "KEEPALIVE", 1)
    async with running(Home(broker.port)) as home:
        await until(lambda: home.exporter._connected and not home.exporter._flight)
        assert broker.process is not None
        broker.process.send_signal(signal.SIGSTOP)
        await until(lambda: not home.exporter._connected)
        home.say(OB, 40)
        await home.poll()
        broker.process.send_signal(signal.SIGCONT)
        with listening(broker, "rctmon/#") as reader:
            await until(lambda: reader.last("rctmon/ups/home/ups.status") == "OB")
            await until(lambda: reader.last("rctmon/availability") == "online")
            assert reader.last("rctmon/ups/home/battery.charge") == "40"


async def test_two_programs_of_one_client_name_do_not_fill_the_log(broker: Mosquitto, caplog: pytest.LogCaptureFixture) -> None:
    one, other = Home(broker.port, topic_prefix="one"), Home(broker.port, topic_prefix="other")
    async with running(one), running(other):
        await until(lambda: sum("does another program use the client_name rctmon?" in r.message for r in caplog.records) == 2)
        # Each throws the other out once a second.
        await asyncio.sleep(3)
    assert len([r for r in caplog.records if "MQTT" in r.message]) == 2, "one sentence of each"


_CHILD = "from tests.integration.test_mqtt import child; child({port}, tls={tls}, end={end})"


def child(port: int, *, tls: bool, end: bool) -> None:
    """What a process of its own runs: ``end``: it leaves when told to by a line."""

    async def story() -> None:
        home = Home(port, tls_enable=tls, tls_insecure=tls)
        async with home.world:
            await home.exporter.start()
            print("started", flush=True)
            await asyncio.to_thread(sys.stdin.readline)
            if end:
                await home.exporter.stop()

    asyncio.run(story())


def _spawn(port: int, *, tls: bool = False, end: bool = True) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _CHILD.format(port=port, tls=tls, end=end)],
        cwd=REPO, env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(REPO), os.environ.get("PYTHONPATH"))))},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    return process


@pytest.mark.parametrize("tls", [False, True])
def test_the_process_ends_although_a_connection_hangs(tls: bool) -> None:
    with deaf() as port, _spawn(port, tls=tls) as process:
        time.sleep(0.3)
        assert process.stdin is not None
        began = time.monotonic()
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.wait(PATIENCE) == 0
        assert time.monotonic() - began < 4


def test_the_last_will_is_seen_when_the_process_is_killed(broker: Mosquitto) -> None:
    with listening(broker, "rctmon/#") as reader, _spawn(broker.port) as process:
        end = time.monotonic() + PATIENCE
        while reader.last("rctmon/availability") != "online":
            assert time.monotonic() < end
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        while reader.last("rctmon/availability") != "offline":
            assert time.monotonic() < end
            time.sleep(0.02)
    assert broker.retained()["rctmon/availability"] == "offline"


async def test_a_clean_end_says_offline_and_leaves_no_value_behind(broker: Mosquitto) -> None:
    with listening(broker, "rctmon/#") as reader:
        async with running(Home(broker.port)):
            await until(lambda: reader.last("rctmon/availability") == "online")
        await until(lambda: reader.last("rctmon/availability") == "offline")
    left = {topic: text for topic, text in (await asyncio.to_thread(broker.retained)).items() if topic.startswith("rctmon/")}
    assert left == {"rctmon/availability": "offline", "rctmon/ups/home/availability": "offline"}


async def test_credentials_that_are_refused_are_one_sentence_without_the_password(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    secret = "correct horse"
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(passwords), "nut", secret], check=True, timeout=PATIENCE)
    caplog.set_level(logging.DEBUG)

    async def story(port: int) -> None:
        async with running(Home(port, auth_user="nut", auth_pass="wrong staple")):
            await until(lambda: any("auth_user" in r.message for r in caplog.records))
        good = Home(port, auth_user="nut", auth_pass=secret)
        async with running(good):
            await until(lambda: good.exporter._connected)
        assert secret not in repr(good.options)

    with Mosquitto(tmp_path, "allow_anonymous false", f"password_file {passwords}") as broker:
        await story(broker.port)
    messages = [r.getMessage() for r in caplog.records if "MQTT" in r.getMessage()]
    assert len(messages) == 1
    assert "refuses the login; see auth_user and auth_pass" in messages[0]
    assert not [r for r in caplog.records if "staple" in r.getMessage() or secret in r.getMessage()]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ca, server and client, and an authority that nobody trusts."""
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True, timeout=PATIENCE)

    new = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    for name in ("ca", "foreign"):
        openssl(*new, "-x509", "-days", "2", "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem")
    (folder / "san").write_text("subjectAltName=IP:127.0.0.1\n")
    for name in ("server", "client"):
        openssl(*new, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
                "-extfile", "san", "-out", f"{name}.pem")  # fmt: skip
    return folder


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        ({"tls_ca_cert": "ca.pem", "tls_certfile": "client.pem", "tls_keyfile": "client.key"}, ""),
        ({"tls_insecure": True, "tls_certfile": "client.pem", "tls_keyfile": "client.key"}, ""),
        ({"tls_ca_cert": "foreign.pem", "tls_certfile": "client.pem", "tls_keyfile": "client.key"}, "its certificate is not trusted"),
        ({"tls_certfile": "client.pem", "tls_keyfile": "client.key"}, "its certificate is not trusted"),
        ({"tls_ca_cert": "ca.pem"}, "MQTT"),
        ({"tls_enable": False}, "does not greet"),
    ],
    ids=["trusted", "insecure", "foreign authority", "unknown authority", "no certificate of ours", "no TLS"],
)  # fmt: skip
async def test_tls(certificates: Path, tmp_path: Path, keys: dict[str, object], complaint: str, caplog: pytest.LogCaptureFixture) -> None:
    lines = (f"cafile {certificates}/ca.pem", f"certfile {certificates}/server.pem", f"keyfile {certificates}/server.key", "require_certificate true")
    found = {key: str(certificates / value) if isinstance(value, str) else value for key, value in keys.items()}

    async def story(port: int) -> None:
        home = Home(port, **{"tls_enable": True, **found})  # type: ignore[arg-type]
        async with running(home):
            if complaint:
                await until(lambda: any("MQTT" in r.message and complaint in r.message for r in caplog.records))
                assert not home.exporter._connected
            else:
                await until(lambda: home.exporter._connected)

    with Mosquitto(tmp_path, *lines) as broker:
        await story(broker.port)


async def test_home_assistant_is_told_again_when_it_starts(broker: Mosquitto) -> None:
    topic = "homeassistant/sensor/rctmon_home/battery_charge/config"
    with listening(broker) as reader:
        async with running(Home(broker.port)) as home:
            await until(lambda: reader.last("rctmon/availability") == "online")
            assert len(reader.of(topic)) == 1
            broker.publish("homeassistant/status", "online")
            await until(lambda: len(reader.of(topic)) == 2)
            assert len(set(reader.of(topic))) == 1
            await home.vanish()
            await until(lambda: reader.last("rctmon/ups/home/availability") == "offline")
            assert "" not in reader.of(topic), "an entity that is taken back would lose what the user made of it"
        config = json.loads((await asyncio.to_thread(broker.retained))[topic])
    assert config["device"]["serial_number"] == "0065A4631487"
    assert {item["topic"] for item in config["availability"]} == {"rctmon/availability", "rctmon/ups/home/availability"}


async def test_home_assistant_gets_values_that_are_not_retained_after_it_was_told_of_them(broker: Mosquitto, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "REPLAY", 0.5)
    with listening(broker) as reader:
        async with running(Home(broker.port, mqtt_retain=False)):
            await until(lambda: reader.last("rctmon/availability") == "online")
            await until(lambda: len(reader.of("rctmon/ups/home/ups.status")) == 2)
            broker.publish("homeassistant/status", "online")
            await until(lambda: len(reader.of("rctmon/ups/home/ups.status")) == 3)


async def test_two_inverters_have_their_names_in_rctmons_topics(broker: Mosquitto) -> None:
    house, barn = Home(broker.port, ups="house"), Home(broker.port, ups="barn")
    barn.say(OL, 33)
    exporter = MqttExporter([house.source, barn.source], house.options)
    with listening(broker) as reader:
        async with house.world, barn.world:
            await exporter.start()
            await until(lambda: reader.last("rctmon/availability") == "online")
            await exporter.stop()
        assert reader.of("rctmon/house/battery/soc")[0] == "0.8"
        assert reader.of("rctmon/barn/battery/soc")[0] == "0.33"
        assert not reader.of("rctmon/battery/soc")
