# SPDX-License-Identifier: GPL-2.0-or-later
"""The connection to an MQTT broker, by paho-mqtt 1.6.1 or 2.x in a thread of its own; its news come in the event loop.

A broker that is away, refuses or hangs is logged once per change of state, and tried again for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ssl
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from nutdrv_py.log import Trouble
from nutdrv_py.machine.extras import load

__all__ = ["Broker", "Guest", "Link"]

KEEPALIVE = 20
"""Seconds without a word after which either side takes the other for gone; a broker that never greets is left after them."""

LONGEST_REST = 30
"""Maximum seconds between two attempts to connect; they begin with 1 and double."""

REST_AFTER_FAULT = 5.0
"""Seconds of rest after an error that paho does not catch: "no route to host" and alerts of TLS end the thread of 1.6.1."""

STEADY = 10.0
"""Seconds a connection must hold before it counts as mended, so that two programs of one name do not fill the log."""

LEAVE = 0.4
"""Seconds the connection gets to end at exit."""

MOST_UNCONFIRMED = 8
"""Messages of QoS 1 that paho may keep."""

MOST_PACKET = 256 * 1024
"""Bytes of a packet from the broker; what is subscribed to here has some hundred. A longer one ends the connection."""

_TOPIC = "broker"

_LOGIN = "refuses the login; see {login}"
_REFUSALS: Mapping[int, str] = {
    1: "does not speak MQTT 3.1.1", 2: "refuses the client_name {name}", 3: "is not available", 4: _LOGIN, 5: _LOGIN,
    132: "does not speak MQTT 3.1.1", 133: "refuses the client_name {name}", 136: "is not available", 134: _LOGIN, 135: _LOGIN,
}  # fmt: skip
"""Return codes of CONNACK (MQTT 3.1.1, 3.2.2.3), and the codes of MQTT 5 that paho 2.x makes of them."""


class Guest(Protocol):
    """Receives news of the connection, in the event loop."""

    def connected(self) -> None:
        """Take note that the broker has greeted."""

    def gone(self) -> None:
        """Take note that the connection is lost; what was published and not sent is lost with it."""

    def sent(self, mid: int) -> None:
        """Take note that this message has left; one of QoS 1: has arrived."""

    def arrived(self, topic: str, payload: bytes, retained: bool) -> None:
        """Take in a message of a subscription."""


@dataclass(frozen=True, slots=True)
class Link:
    """How to connect. ``will`` is a topic and what the broker sets it to when we vanish."""

    who: str
    """What needs the broker, in a sentence about a missing package."""
    host: str
    port: int
    client_name: str
    username: str = ""
    password: str = field(default="", repr=False)
    context: ssl.SSLContext | None = None
    insecure: bool = False
    will: tuple[str, str] | None = None
    login: str = "auth_user and auth_pass"
    """Where user and password are set, in a sentence about a refused login."""
    wiring: str = "mqtt_port and tls_enable"
    """The same of port and TLS."""
    authority: str = "tls_ca_cert"
    """The same of the certificate authority."""


class Broker:
    """A connection that keeps itself up.

    Created and used in the event loop, which nothing here blocks. Raises :class:`~nutdrv_py.errors.ConfigError` when paho-mqtt
    is missing.
    """

    def __init__(self, link: Link, guest: Guest) -> None:
        self._link = link
        self._guest = guest
        self._loop = asyncio.get_running_loop()
        self._trouble = Trouble()
        self._connected_at: float | None = None
        self._refused = False
        self._leaving = threading.Event()
        self._steady: asyncio.TimerHandle | None = None
        self._client = self._made(link)
        self._client.connect_async(link.host, link.port, KEEPALIVE)
        self._client.loop_start()

    def _made(self, link: Link) -> Any:
        paho = load("mqtt", link.who)
        # 2.x needs the version of its callbacks; those below take both.
        version = getattr(paho, "CallbackAPIVersion", None)
        client = _bounded(paho.Client)(*([version.VERSION2] if version is not None else []), client_id=link.client_name)
        if link.username:
            client.username_pw_set(link.username, link.password)
        if link.context is not None:
            client.tls_set_context(link.context)
            client.tls_insecure_set(link.insecure)
        if link.will is not None:
            client.will_set(*link.will, 1, True)
        client.max_queued_messages_set(MOST_UNCONFIRMED)
        client.reconnect_delay_set(1, LONGEST_REST)
        client.loop_forever = functools.partial(self._forever, client, client.loop_forever)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        return client

    def publish(self, topic: str, payload: str, qos: int, *, retain: bool) -> int | None:
        """Have it sent; its number, or None when it was not taken. Only while connected: paho might send it before CONNECT."""
        info = self._client.publish(topic, payload, qos, retain)
        return int(info.mid) if info.rc == 0 else None

    def subscribe(self, filters: Sequence[str]) -> None:
        """Ask for these topics."""
        self._client.subscribe([(pattern, 0) for pattern in filters])

    def unsubscribe(self, filters: Sequence[str]) -> None:
        """Ask for them no more."""
        self._client.unsubscribe(list(filters))

    async def leave(self) -> None:
        """Send what is published, and end; after :data:`LEAVE` seconds in any case. Then the broker finds out by itself."""
        self._leaving.set()
        if self._steady is not None:
            self._steady.cancel()
        self._client.disconnect()
        ended = asyncio.Event()

        def end() -> None:
            # This joins paho's thread, which may hang in a connection, or may just have ended by itself.
            with contextlib.suppress(Exception):
                self._client.loop_stop()
            self._hop(ended.set)

        threading.Thread(target=end, name="mqtt farewell", daemon=True).start()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE):
                await ended.wait()

    # In paho's thread

    def _hop(self, what: Callable[..., None], *args: object) -> None:
        # The loop may have ended before paho's thread.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(what, *args)

    def _forever(self, client: Any, loop_forever: Callable[..., object], *args: object, **more: object) -> None:
        """Run paho's loop in its thread, and again when an error has ended it."""
        while not self._leaving.is_set():
            try:
                loop_forever(*args, **more)
                return
            except Exception as error:
                self._hop(self._lost, f"cannot be used: {self._reason(error)}")
            self._leaving.wait(REST_AFTER_FAULT)
            with contextlib.suppress(Exception):
                client.reconnect()

    def _on_connect(self, client: Any, userdata: object, flags: object, code: Any, properties: object = None) -> None:
        if self._leaving.is_set():
            client.disconnect()
            return
        self._hop(self._answered, int(getattr(code, "value", code)))

    def _on_connect_fail(self, client: object, userdata: object) -> None:
        # paho calls this while it handles the error, and does not hand it over.
        self._hop(self._report, f"cannot be reached: {self._reason(sys.exc_info()[1])}")

    def _on_disconnect(self, client: object, userdata: object, *rest: object) -> None:
        self._hop(self._lost)

    def _on_publish(self, client: object, userdata: object, mid: int, *rest: object) -> None:
        self._hop(self._guest.sent, mid)

    def _on_message(self, client: object, userdata: object, message: Any) -> None:
        self._hop(self._guest.arrived, message.topic, bytes(message.payload), bool(message.retain))

    def _reason(self, error: BaseException | None) -> str:
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted ({error.verify_message}); see {self._link.authority}"
        if isinstance(error, ssl.SSLError):
            return f"no TLS is possible with it ({error.reason or 'broken off'})"
        return str((error.strerror if isinstance(error, OSError) else None) or error or "no answer")

    # In the event loop

    @property
    def _name(self) -> str:
        return f"The MQTT broker at {self._link.host} port {self._link.port}"

    def _report(self, sentence: str) -> None:
        if not self._leaving.is_set():
            self._trouble.report(_TOPIC, f"{self._name} {sentence}; it is tried again, at least every {LONGEST_REST} s")

    def _answered(self, code: int) -> None:
        if code != 0:
            self._refused = True
            text = _REFUSALS.get(code, "refuses the connection (code {code})")
            self._report(text.format(name=self._link.client_name, login=self._link.login, code=code))
            return
        self._connected_at = self._loop.time()
        self._steady = self._loop.call_later(STEADY, self._trouble.clear, _TOPIC, f"{self._name} is connected again")
        self._guest.connected()

    def _lost(self, why: str = "") -> None:
        since, self._connected_at = self._connected_at, None
        refused, self._refused = self._refused, False
        if self._steady is not None:
            self._steady.cancel()
        if since is None:
            if not refused:
                self._report(why or f"takes the connection but does not greet; are {self._link.wiring} right?")
            return
        self._guest.gone()
        short = self._loop.time() - since < STEADY
        hint = f" soon after its greeting (does another program use the client_name {self._link.client_name}?)"
        self._report(why or f"has ended the connection{hint if short else ''}")


def _bounded(base: Any) -> Any:
    """Return paho's class for a client that does not read a packet which its header announces as too long.

    paho 1.6.1 and 2.x both keep what they know of the packet in ``_in_packet``, and read by ``_sock_recv``.
    """

    class Client(base):  # type: ignore[misc]
        def _sock_recv(self, size: int) -> bytes:
            packet = self._in_packet
            if packet["have_remaining"] and packet["remaining_length"] > MOST_PACKET:
                raise ConnectionResetError(f"a packet of {packet['remaining_length']} bytes")
            return super()._sock_recv(size)  # type: ignore[no-any-return]

    return Client
