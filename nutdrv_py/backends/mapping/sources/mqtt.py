# SPDX-License-Identifier: GPL-2.0-or-later
"""Topics of an MQTT broker. Retained messages are not used by themselves: they may be hours old.

A retained value counts once the device has shown that it is there: by a message that has just been sent, or by its availability
topic, which the broker sets to offline when the device vanishes (its last will). Even then something must be sent within
``silence`` seconds. Without an availability topic a value is as old as the last message of the device.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from nutdrv_py.backends.mapping import jsonpath
from nutdrv_py.backends.mapping.nodes import Node
from nutdrv_py.backends.mapping.rules import canonical
from nutdrv_py.backends.mapping.sources import Login, Options, Place, Source, Told, host_and_port
from nutdrv_py.clock import Clock
from nutdrv_py.errors import ConfigError, DeviceError
from nutdrv_py.protocols.mqtt import Broker, Link
from nutdrv_py.protocols.tls import trusting

__all__ = ["MAIN", "PLACE", "places", "source", "spec"]

PLACE = frozenset({"topic", "path"})
MAIN = "topic"

MOST_PAYLOAD = 64 * 1024
"""Bytes of a message; a longer one is no value."""

SILENCE = 900
"""Seconds without any message after which a device that its availability topic calls online counts as silent."""

FIRST = 1.0
"""Seconds from the connection, and from the first live message, that topics are waited for: they come one after the other, and
the first reading has to be whole. An outage waits no longer than this either."""

LOOK = 0.1
"""Seconds between two looks whether all are there."""

WAKE = 0.5
"""Minimum seconds between two polls that messages cause."""


@dataclass(frozen=True, slots=True)
class Availability:
    """The topic of whether the device is there, and its words."""

    topic: str
    online: frozenset[str | float]
    offline: frozenset[str | float]


@dataclass(frozen=True, slots=True)
class MqttSpec:
    """The broker."""

    address: tuple[str, int]
    name: str
    tls: bool
    authority: Path | None
    availability: Availability | None
    silence: float


@dataclass(frozen=True, slots=True)
class In:
    """The payload of a topic, or a value in its JSON."""

    topic: str
    path: tuple[str | int, ...] = ()

    def __str__(self) -> str:
        return " ".join((self.topic, *(".".join(map(str, self.path)) for _ in self.path[:1])))


def spec(node: Node, options: Options) -> MqttSpec:
    """Read ``source: {mqtt: "{address}", tls: no, ca: FILE, availability: {...}, silence: 900}``."""
    entries = node.entries({"mqtt", "tls", "ca", "availability", "silence"})
    tls = "tls" in entries and entries["tls"].flag()
    if "ca" in entries and not tls:
        raise entries["ca"].fail("ca: is of no use without tls: yes")
    return MqttSpec(
        host_and_port(entries["mqtt"], options, 8883 if tls else 1883), f"nutdrv_py-{options.ups}", tls,
        options.folder / entries["ca"].text() if "ca" in entries else None,
        _availability(entries["availability"], options) if "availability" in entries else None,
        entries["silence"].number(15, 3600) if "silence" in entries else SILENCE,
    )  # fmt: skip


def _availability(node: Node, options: Options) -> Availability:
    entries = node.entries({"topic", "online", "offline"})
    for name in ("topic", "online", "offline"):
        if name not in entries:
            raise node.fail(f"{name}: is missing; write availability: {{topic: a/b, online: online, offline: offline}}")
    words = {
        name: frozenset(said for item in entries[name].items() if (said := canonical(item.text())) is not None)
        for name in ("online", "offline")
    }
    if words["online"] & words["offline"]:
        raise node.fail("one word cannot mean both online and offline")
    return Availability(_topic(entries["topic"], options), words["online"], words["offline"])


def _topic(node: Node, options: Options) -> str:
    text = node.text()
    if "{topic}" in text and not options.topic:
        raise node.fail("the beginning of the topics is missing; write topic = house/battery into its section in ups.conf")
    text = text.replace("{topic}", options.topic)
    if re.search(r"[+#{}\x00]", text):
        raise node.fail("a topic without + and # is needed here")
    return text


def places(node: Node, entries: Mapping[str, Node], options: Options) -> tuple[Place, ...]:
    """Read ``topic: a/b`` and, for JSON, ``path: c.d``."""
    if "topic" not in entries:
        raise node.fail("topic: is missing; write topic: house/battery/grid, and path: name.of.value if its message is JSON")
    paths: list[tuple[str | int, ...]] = []
    for item in entries["path"].items() if "path" in entries else ():
        try:
            paths.append(jsonpath.steps(item.text()))
        except ValueError:
            raise item.fail('that is no path; write names with dots between them: a.b[0]."c d"') from None
    return tuple(In(_topic(item, options), path) for item in entries["topic"].items() for path in paths or [()])


def source(spec: MqttSpec, clock: Clock, login: Callable[[], Login], places: Collection[Place], *, maxage: float) -> Source:
    """Return the subscriber."""
    context: ssl.SSLContext | None = None
    if spec.tls:
        try:
            context = trusting(str(spec.authority or ""))
        except OSError as error:
            raise ConfigError(f"ca: {spec.authority} cannot be used: {error.strerror or 'it holds no certificate'}") from None
    return Subscriber(spec, clock, login, tuple(place for place in places if isinstance(place, In)), context)


class Subscriber(Source):
    """Keeps the last message of each topic, for as long as the connection holds."""

    def __init__(
        self, spec: MqttSpec, clock: Clock, login: Callable[[], Login], places: tuple[In, ...], context: ssl.SSLContext | None
    ) -> None:
        super().__init__(clock, login)
        self._spec = spec
        self._context = context
        self._topics = frozenset(place.topic for place in places)
        self._first = places[0].topic
        self._broker: Broker | None = None
        self._woken = float("-inf")
        self._forget()
        self._connected = False

    def _forget(self) -> None:
        self._kept: dict[str, bytes] = {}
        self._live_at: float | None = None
        self._since = self._heard = self.clock.monotonic()
        self._available: bool | None = None

    async def open(self) -> None:
        """Begin to listen."""
        if self._broker is None:
            who = self.login()
            name = f"{self._spec.name}-{os.urandom(3).hex()}"
            host, port = self._spec.address
            link = Link(
                "mqtt: in the file of port =", host, port, name, who.username, who.password, self._context,
                login="credentials = in ups.conf", wiring="address = and the file's tls:", authority="the file's ca:",
            )  # fmt: skip
            self._broker = Broker(link, self)

    async def close(self) -> None:
        """Leave the broker."""
        broker, self._broker = self._broker, None
        self.gone()
        if broker is not None:
            await broker.leave()

    # Messages of the broker

    def connected(self) -> None:
        """Subscribe; what was kept before is forgotten."""
        self._forget()
        self._connected = True
        available = self._spec.availability
        if self._broker is not None:
            self._broker.subscribe(sorted(self._topics | ({available.topic} if available is not None else set())))

    def gone(self) -> None:
        """Forget: what was missed is not known."""
        self._connected = False
        self._forget()

    def sent(self, mid: int) -> None:
        """Do nothing: no message is sent."""

    def arrived(self, topic: str, payload: bytes, retained: bool) -> None:
        """Keep a message."""
        now, available = self.clock.monotonic(), self._spec.availability
        if available is not None and topic == available.topic:
            said = canonical(payload[:MOST_PAYLOAD].decode("utf-8", "replace"))
            self._available = True if said in available.online else False if said in available.offline else None
        if topic in self._topics:
            if not retained:
                self._heard = now if self._live_at is None else self._heard
                self._live_at = now
            before = self._kept.pop(topic, None)
            if 0 < len(payload) <= MOST_PAYLOAD:
                self._kept[topic] = payload
            if topic == self._first and payload != before and now - self._woken >= WAKE:
                self._woken = now
                self.wake()

    # What the driver asks

    async def ask(self, places: Collection[Place]) -> Mapping[Place, Told]:
        """Return the values of the topics, with the time at which the device was last known to be there."""
        while self._connected and not self._topics <= self._kept.keys() and self.clock.monotonic() - self._heard < FIRST:
            await self.clock.sleep(LOOK)
        at = self._at()
        told: dict[Place, Told] = {}
        documents: dict[str, object] = {}
        for place in places:
            payload = self._kept.get(place.topic) if isinstance(place, In) else None
            if payload is None or not isinstance(place, In):
                continue
            value: object = payload.decode("utf-8", "replace")
            if place.path:
                if place.topic not in documents:
                    try:
                        documents[place.topic] = jsonpath.decode(payload)
                    except ValueError:
                        documents[place.topic] = None
                value = jsonpath.dig(documents[place.topic], place.path)
            if value is not None:
                told[place] = Told(value, at)
        return told

    def _at(self) -> float:
        """Return when the device was last known to be there. Raises :class:`DeviceError` when it has not shown that."""
        host, port = self._spec.address
        if not self._connected:
            raise DeviceError(f"there is no connection to the MQTT broker at {host} port {port}")
        available, now = self._spec.availability, self.clock.monotonic()
        if available is not None and self._available is False:
            raise DeviceError(f"the device is offline, as {available.topic} says")
        if self._available:
            silent = now - (self._since if self._live_at is None else self._live_at)
            if silent <= self._spec.silence:
                return now
            raise DeviceError(f"the device has sent nothing for {silent:.0f} s, although its availability topic calls it online")
        if self._live_at is None:
            raise DeviceError("the device has sent nothing yet; what the broker has kept of it may be hours old")
        return self._live_at
