# SPDX-License-Identifier: GPL-2.0-or-later
"""What is kept for a broker, in which order it leaves, and which configurations cannot work. No broker is needed."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nutdrv_py.core.telemetry import Source, View
from nutdrv_py.device.reading import Status
from nutdrv_py.errors import ConfigError
from nutdrv_py.exporters import mqtt
from nutdrv_py.exporters.config import Mqtt
from nutdrv_py.exporters.config_checks import check
from nutdrv_py.exporters.mqtt import WINDOW, MqttExporter
from nutdrv_py.exporters.mqtt_broker import Broker
from nutdrv_py.exporters.mqtt_outbox import Outbox, Rank
from nutdrv_py.protocols import mqtt as wire
from tests.conftest import REPO, kinded

GOOD = Mqtt(enable=True, mqtt_host="broker.example")


def _drain(outbox: Outbox) -> list[tuple[str, str]]:
    found = []
    while (message := outbox.take()) is not None:
        found.append((message.topic, message.payload))
    return found


def test_while_nothing_can_leave_only_the_newest_of_each_topic_waits() -> None:
    outbox = Outbox()
    for charge in range(1000):
        outbox.put("charge", str(charge), Rank.VALUE, retain=True)
    assert len(outbox) == 1
    assert outbox.replaced == 999
    assert _drain(outbox) == [("charge", "999")]
    outbox.put("charge", "999", Rank.VALUE, retain=True)
    assert _drain(outbox) == [], "no change"


def test_a_status_overtakes_and_online_comes_last() -> None:
    outbox = Outbox()
    outbox.put("alive", "online", Rank.ONLINE, retain=True)
    outbox.put("config", "{}", Rank.CONFIG, retain=True)
    outbox.put("charge", "5", Rank.VALUE, retain=True)
    outbox.put("status", "OB LB", Rank.URGENT, retain=True)
    assert [topic for topic, _ in _drain(outbox)] == ["status", "charge", "config", "alive"]


def test_a_word_that_is_urgent_now_does_not_wait_where_its_predecessor_did() -> None:
    outbox = Outbox()
    outbox.put("alive", "online", Rank.ONLINE, retain=True)
    outbox.put("charge", "5", Rank.VALUE, retain=True)
    outbox.put("alive", "offline", Rank.URGENT, retain=True)
    assert _drain(outbox) == [("alive", "offline"), ("charge", "5")]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["", "1", "2", "take", "again"]), st.sampled_from(Rank), st.booleans())))
def test_after_any_story_a_reader_has_the_newest_of_everything(story: Sequence[tuple[str, str, Rank, bool]]) -> None:
    outbox, held, wished = Outbox(), dict[str, str](), dict[str, str]()

    def deliver() -> bool:
        message = outbox.take()
        if message is None:
            return False
        held[message.topic] = message.payload
        if not message.payload:
            del held[message.topic]
        return True

    for topic, what, rank, _ in story:
        if what == "take":
            deliver()
        elif what == "again":
            outbox.again()
        elif what:
            outbox.put(topic, what, rank, retain=True)
            wished[topic] = what
        else:
            outbox.withdraw(topic)
            wished.pop(topic, None)
        assert len(outbox) <= 3
    while deliver():
        pass
    assert held == wished


class _Source:
    """A source whose view the test sets."""

    def __init__(self, ups: str = "home", backend: str = "enphase") -> None:
        self.ups, self.backend = ups, backend
        self.now = View(ups, backend, False, 0.0, 0.0, kinded({"ups.status": "OL"}), Status.OL, (), {})
        self.listeners: list[Any] = []

    def subscribe(self, listener: Any) -> None:
        self.listeners.append(listener)

    def view(self) -> View:
        return self.now

    def say(self, *, stale: bool = False, **variables: str) -> None:
        named = {name.replace("_", "."): text for name, text in variables.items()}
        self.now = dataclasses.replace(self.now, stale=stale, variables=kinded(named))
        for listener in self.listeners:
            listener(self.now)


class _Broker:
    """Takes all, and says that it has left only when the test wants it to."""

    def __init__(self, options: Mqtt, will: str, guest: Any) -> None:
        self.guest = guest
        self.taken: list[tuple[str, str]] = []
        _Broker.last = self

    last: _Broker

    def publish(self, topic: str, payload: str, qos: int, *, retain: bool) -> int:
        self.taken.append((topic, payload))
        return len(self.taken)

    def subscribe(self, filters: Sequence[str]) -> None:
        pass

    def unsubscribe(self, filters: Sequence[str]) -> None:
        pass

    async def leave(self) -> None:
        pass


async def test_a_broker_that_takes_nothing_gets_a_window_full_and_nothing_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "Broker", _Broker)
    monkeypatch.setattr(mqtt, "FAREWELL", 0.01)
    source = _Source()
    exporter = MqttExporter([source], dataclasses.replace(GOOD, discovery=False))  # type: ignore[list-item]
    await exporter.start()
    broker = _Broker.last
    exporter.connected()
    for count in range(200):
        source.say(ups_status="OL", **{f"a_b{n}": str(count) for n in range(40)})  # type: ignore[arg-type]
    assert len(broker.taken) <= WINDOW
    assert len(exporter._outbox) <= 50
    assert exporter.dropped > 1000
    source.say(ups_status="OB LB", **{f"a_b{n}": "0" for n in range(40)})  # type: ignore[arg-type]
    exporter.sent(1)
    assert broker.taken[-1] == ("rctmon/ups/home/ups.status", "OB LB"), "the status overtakes what waits"
    before = exporter.dropped
    exporter.gone()
    assert exporter.dropped == before + WINDOW
    source.say(ups_status="OL")
    exporter.connected()
    assert ("rctmon/ups/home/ups.status", "OB LB") not in broker.taken[WINDOW + 1 :]
    await exporter.stop()


async def test_while_stale_nothing_is_announced_and_only_the_availability_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "Broker", _Broker)
    monkeypatch.setattr(mqtt, "FAREWELL", 0.01)
    source = _Source()
    source.say(stale=True, driver_state="quiet")
    exporter = MqttExporter([source], GOOD)  # type: ignore[list-item]
    await exporter.start()
    exporter.connected()
    assert _Broker.last.taken == [("rctmon/ups/home/availability", "offline"), ("rctmon/availability", "online")]
    await exporter.stop()


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"mqtt_host": None}, "mqtt_host"), ({"mqtt_host": ""}, "mqtt_host"), ({"mqtt_host": "a b"}, "mqtt_host"),
        ({"mqtt_host": ".x"}, "mqtt_host"), ({"mqtt_host": "x" * 70}, "mqtt_host"), ({"mqtt_host": "http://x"}, "mqtt_host"),
        ({"mqtt_host": "mqtt://nut:hush@x"}, "mqtt_host"), ({"mqtt_host": "nut:hush@x"}, "mqtt_host"),
        ({"auth_user": "nut"}, "auth_pass"), ({"auth_pass": "hush"}, "auth_user"),
        ({"tls_enable": True, "tls_certfile": "/x"}, "tls_keyfile"), ({"tls_enable": True, "tls_keyfile": "/x"}, "tls_certfile"),
        ({"tls_certfile": "/x", "tls_keyfile": "/y"}, "tls_enable"),
        ({"topic_prefix": "a/#"}, "topic_prefix"), ({"topic_prefix": ""}, "topic_prefix"), ({"discovery_prefix": "/a"}, "discovery_prefix"),
        ({"topic_prefix": "a\n"}, "topic_prefix"), ({"discovery_prefix": "+"}, "discovery_prefix"), ({"client_name": "a\0"}, "client_name"),
    ],
)  # fmt: skip
def test_keys_that_cannot_work_are_named(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        check(dataclasses.replace(GOOD, **keys), "mqtt")
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"tls_ca_cert": "/x"},
        {"topic_prefix": "/a/"},
        {"mqtt_host": "::1"},
        {"mqtt_host": "Büro.example"},
        {"auth_user": "a", "auth_pass": "b"},
        {"topic_prefix": "a/b"},
        {"client_name": ""},
    ],
)
async def test_keys_that_work_are_taken_by_the_file_and_by_the_connection(keys: dict[str, Any]) -> None:
    options = dataclasses.replace(GOOD, **keys)
    check(options, "mqtt")
    Broker(options, "will", MqttExporter([], options))


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"tls_ca_cert": "missing.pem"}, "tls_ca_cert = .*missing.pem cannot be used: No such file"),
        ({"tls_ca_cert": "nonsense.pem"}, "tls_ca_cert = .*nonsense.pem cannot be used: not PEM"),
        ({"tls_certfile": "missing.pem", "tls_keyfile": "key.pem"}, "tls_certfile = .*missing.pem .*No such file"),
        ({"tls_certfile": "cert.pem", "tls_keyfile": "locked.pem"}, "a key with a passphrase"),
    ],
    ids=["no authority", "no PEM", "no certificate", "a key that would ask for a passphrase"],
)
async def test_a_certificate_that_cannot_be_used_is_an_error_at_the_start(tmp_path: Path, keys: dict[str, str], words: str) -> None:
    (tmp_path / "nonsense.pem").write_text("nonsense")
    for command in (
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=x -keyout key.pem -out cert.pem",
        "pkey -in key.pem -aes128 -passout pass:abcd -out locked.pem",
    ):
        subprocess.run(["openssl", *command.split()], cwd=tmp_path, check=True, capture_output=True, timeout=30, stdin=subprocess.DEVNULL)
    options = dataclasses.replace(GOOD, tls_enable=True, **{key: str(tmp_path / name) for key, name in keys.items()})  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=words):
        await MqttExporter([], options).start()


async def test_two_sources_that_would_share_topics_are_refused() -> None:
    sources: list[Source] = [_Source("a b"), _Source("a.b")]  # type: ignore[list-item]
    with pytest.raises(ConfigError, match="same topics"):
        await MqttExporter(sources, GOOD).start()


async def test_without_the_package_the_start_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "paho.mqtt.client", None)
    with pytest.raises(ConfigError, match=r"pip install 'nutdrv_py\[mqtt\]'"):
        await MqttExporter([], GOOD).start()


def test_importing_the_exporter_does_not_import_the_package() -> None:
    code = "import sys, nutdrv_py.exporters.mqtt; sys.exit(any(name.startswith('paho') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


def test_the_document_names_every_key_with_its_default() -> None:
    table = (REPO / "docs" / "mqtt.md").read_text().split("## Topics")[0]
    rows = [row.split("|") for row in table.splitlines() if row.startswith("| `")]
    told = {name: row[2].strip(" `") for row in rows for name in re.findall(r"`(\w+)`", row[1])}
    defaults = {item.name: item.default for item in dataclasses.fields(Mqtt)}
    assert told == {
        name: "" if default is None else str(default).lower() if isinstance(default, bool) else str(default)
        for name, default in defaults.items()
    }  # fmt: skip


async def test_stopping_what_was_never_started_is_fine() -> None:
    await MqttExporter([], GOOD).stop()


def test_the_whole_farewell_takes_less_than_a_second() -> None:
    assert mqtt.FAREWELL + wire.LEAVE < 1
