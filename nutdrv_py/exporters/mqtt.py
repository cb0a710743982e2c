# SPDX-License-Identifier: GPL-2.0-or-later
"""Values for an MQTT broker: RctMon's topics, NUT's variables, Home Assistant's discovery.

Values are sent with QoS 0: what paho keeps of QoS 1 it repeats after a reconnection, when it is old. What a lost connection
swallows is made good by sending everything that is current on each connection.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence

from nutdrv_py.core.telemetry import Source, View
from nutdrv_py.errors import ConfigError
from nutdrv_py.exporters.base import Exporter
from nutdrv_py.exporters.config import Mqtt
from nutdrv_py.exporters.mqtt_broker import Broker
from nutdrv_py.exporters.mqtt_discovery import IDENTITY, configs
from nutdrv_py.exporters.mqtt_outbox import Message, Outbox, Rank
from nutdrv_py.exporters.topics import OFFLINE, ONLINE, Place, availability, nut_values, rctmon_values, word

__all__ = ["MqttExporter"]

WINDOW = 20
"""Messages that paho may hold unsent: few, so that a new status overtakes what still waits."""

LOOK = 5.0
"""Seconds between two looks at each source: the device's own values may change while NUT's do not."""

SWEEP = 5.0
"""Seconds after a connection in which the broker's retained values of earlier runs are looked for."""

REPLAY = 3.0
"""Seconds that Home Assistant gets to take in an announcement before values that are not retained are sent again."""

FAREWELL = 0.4
"""Seconds the broker gets to confirm the farewell at exit; with :data:`~nutdrv_py.protocols.mqtt.LEAVE` less than one."""


class MqttExporter(Exporter):
    """Publishes each change of each source, while there is a broker."""

    def __init__(self, sources: Sequence[Source], options: Mqtt) -> None:
        super().__init__(sources)
        self._options = options
        self._places = _places(self.sources, options)
        self._alive = availability(options.topic_prefix)
        self._outbox = Outbox()
        self._shown: dict[str, frozenset[str]] = {}
        self._known: dict[str, dict[str, str]] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._flight: set[int] = set()
        self._all_sent = asyncio.Event()
        self._lost = 0
        self._broker: Broker | None = None
        self._connected = False
        self._stopping = False

    @property
    def dropped(self) -> int:
        """Return the number of messages that a newer one replaced before the broker took them, or that were lost with a
        connection."""
        return self._outbox.replaced + self._lost

    async def start(self) -> None:
        """Connect in the background. Raises :class:`ConfigError` for keys that cannot work and for certificates."""
        _distinct(self._places)
        self._broker = Broker(self._options, self._alive, self)
        self._outbox.put(self._alive, ONLINE, Rank.ONLINE, retain=True)
        for source in self.sources:
            source.subscribe(self._look)
        self._tick()

    async def stop(self) -> None:
        """Publish offline, and withdraw each value that the broker would retain."""
        self._stopping = True
        for timer in self._timers.values():
            timer.cancel()
        if self._broker is None:
            return
        if self._connected:
            for place in self._places.values():
                self._show(place, {}, good=False)
            self._outbox.put(self._alive, OFFLINE, Rank.ONLINE, retain=True)
            while (message := self._outbox.take()) is not None:
                self._send(self._broker, message)
            # A connection that ends before the broker has answered may lose what it was sent: TCP resets it.
            self._all_sent.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FAREWELL):
                    await self._all_sent.wait()
        self._connected = False
        await self._broker.leave()

    # The broker's news

    def connected(self) -> None:
        """Send everything, and find what an earlier run has left at the broker."""
        if self._stopping or self._broker is None:
            return
        self._connected = True
        broker, filters = self._broker, [pattern for place in self._places.values() for pattern in place.filters]
        if self._options.discovery:
            broker.subscribe([f"{self._options.discovery_prefix}/status"])
        if filters:
            broker.subscribe(filters)
            self._later("sweep", SWEEP, lambda: broker.unsubscribe(filters))
        self._outbox.again()
        self._replay_later()
        self._pump()

    def gone(self) -> None:
        """Wait for the next connection."""
        self._connected = False
        self._lost += len(self._flight)
        self._flight.clear()
        for name in {"sweep", "replay", "swept"} & self._timers.keys():
            self._timers.pop(name).cancel()

    def sent(self, mid: int) -> None:
        """Send the next message, because there is room for it."""
        self._flight.discard(mid)
        if not self._flight:
            self._all_sent.set()
        self._pump()

    def arrived(self, topic: str, payload: bytes, retained: bool) -> None:
        """Handle the start of Home Assistant, or a retained value of an earlier run."""
        if not self._connected:
            return
        if topic == f"{self._options.discovery_prefix}/status":
            if payload == ONLINE.encode() and not retained:
                self._outbox.again((Rank.CONFIG,))
                self._replay_later()
        elif retained and payload:
            self._sweep(topic)
        self._pump()

    def _sweep(self, topic: str) -> None:
        message = self._outbox.get(topic)
        if message is None:
            self._outbox.put(topic, "", Rank.VALUE, retain=True)
        elif not message.retain and self._broker is not None:
            # Live readers see the empty payload too, so the value follows.
            self._broker.publish(topic, "", 0, retain=True)
            self._later("swept", 0, self._replay)

    # What is published

    def _tick(self) -> None:
        self._later("look", LOOK, self._tick)
        for source in self.sources:
            self._look(source.view())

    def _look(self, view: View) -> None:
        if self._stopping:
            return
        place = self._places[view.ups]
        if view.stale:
            self._show(place, rctmon_values(place, view.current_raw), good=False)
        else:
            self._show(place, {**nut_values(place, view.texts), **rctmon_values(place, view.raw)}, good=True)
            if self._options.discovery:
                self._discover(place, view.texts)
        self._pump()

    def _show(self, place: Place, values: Mapping[str, str], *, good: bool) -> None:
        here = availability(place.base)
        if not good:
            self._outbox.put(here, OFFLINE, Rank.URGENT, retain=True)
        for topic in self._shown.get(place.ups, frozenset()) - values.keys():
            self._outbox.withdraw(topic)
        for topic, text in values.items():
            rank = Rank.URGENT if topic == place.status else Rank.VALUE
            self._outbox.put(topic, text, rank, retain=self._options.mqtt_retain)
        if good:
            self._outbox.put(here, ONLINE, Rank.ONLINE, retain=True)
        self._shown[place.ups] = frozenset(values)

    def _discover(self, place: Place, variables: Mapping[str, str]) -> None:
        # What was known once is kept: a variable that is away for a minute must not change what was announced.
        known = self._known.setdefault(place.ups, {})
        news = {
            name: text
            for name, text in variables.items()
            if text and (name not in known or (name in IDENTITY and known[name] != text))
        }
        if not news:
            return
        known.update(news)
        for topic, text in configs(place, known).items():
            self._outbox.put(topic, text, Rank.CONFIG, retain=True)
        self._replay_later()

    def _replay_later(self) -> None:
        # Retained values Home Assistant gets from the broker as soon as it asks for them.
        if self._options.discovery and not self._options.mqtt_retain and self._connected:
            self._later("replay", REPLAY, self._replay)

    def _replay(self) -> None:
        self._outbox.again((Rank.URGENT, Rank.VALUE))
        self._pump()

    def _pump(self) -> None:
        while self._broker is not None and self._connected and len(self._flight) < WINDOW:
            message = self._outbox.take()
            if message is None:
                return
            self._send(self._broker, message)

    def _send(self, broker: Broker, message: Message) -> None:
        mid = broker.publish(message.topic, message.payload, int(message.topic == self._alive), retain=message.retain)
        # One that is not taken means that the connection is lost; the next is sent everything.
        if mid is not None:
            self._flight.add(mid)

    def _later(self, name: str, seconds: float, what: Callable[[], object]) -> None:
        if name in self._timers:
            self._timers[name].cancel()
        self._timers[name] = asyncio.get_running_loop().call_later(seconds, what)


def _places(sources: Iterable[Source], options: Mqtt) -> dict[str, Place]:
    """Return the topics of each source. A single inverter has RctMon's topics, several have their name between."""
    sources = tuple(sources)
    alone = sum(source.backend == "rct" for source in sources) == 1
    prefix, found = options.topic_prefix, {}
    for source in sources:
        form = None if source.backend != "rct" else prefix if alone else f"{prefix}/{word(source.ups)}"
        found[source.ups] = Place(prefix, source.ups, form, options.discovery_prefix)
    return found


def _distinct(places: Mapping[str, Place]) -> None:
    seen: dict[str, str] = {}
    for ups, place in places.items():
        other = seen.setdefault(place.slug.lower(), ups)
        if other != ups:
            raise ConfigError(f"mqtt: {other} and {ups} would have the same topics; give one a name of other letters or digits")
