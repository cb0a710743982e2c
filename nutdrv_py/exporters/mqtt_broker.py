# SPDX-License-Identifier: GPL-2.0-or-later
"""The connection to an MQTT broker, by paho-mqtt 1.6.1 or 2.x in a thread of its own; its news come in the event loop.

A broker that is away, refuses or hangs is logged once per change of state, and tried again for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import re
import ssl
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from nutdrv_py.errors import ConfigError
from nutdrv_py.exporters.config import Mqtt
from nutdrv_py.exporters.tls import trusting
from nutdrv_py.exporters.topics import OFFLINE, unfit
from nutdrv_py.log import Trouble
from nutdrv_py.machine.extras import load

__all__ = ["Broker", "Guest", "check"]

KEEPALIVE = 20
"""Seconds without a word after which either side takes the other for gone; a broker that never greets is left after them."""

LONGEST_REST = 30
"""Seconds between two attempts to connect, at most; they begin with 1 and double."""

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

_LOGIN = "refuses the login; see auth_user and auth_pass"
_REFUSALS: Mapping[int, str] = {
    1: "does not speak MQTT 3.1.1", 2: "refuses the client_name {name}", 3: "is not available", 4: _LOGIN, 5: _LOGIN,
    132: "does not speak MQTT 3.1.1", 133: "refuses the client_name {name}", 136: "is not available", 134: _LOGIN, 135: _LOGIN,
}  # fmt: skip
"""Return codes of CONNACK (MQTT 3.1.1, 3.2.2.3), and the codes of MQTT 5 that paho 2.x makes of them."""


class Guest(Protocol):
    """Who is told of the connection, in the event loop."""

    def connected(self) -> None:
        """The broker has greeted."""

    def gone(self) -> None:
        """The connection is lost; what was published and not sent is lost with it."""

    def sent(self, mid: int) -> None:
        """This message has left; one of QoS 1: has arrived."""

    def arrived(self, topic: str, payload: bytes, retained: bool) -> None:
        """Something that was subscribed to."""


class Broker:
    """A connection that keeps itself up. ``will`` is the topic that the broker sets to offline when we vanish.

    Created and used in the event loop, which nothing here blocks. Raises :class:`ConfigError` for what only an administrator
    can mend.
    """

    def __init__(self, options: Mqtt, will: str, guest: Guest) -> None:
        check(options)
        self._options = options
        self._guest = guest
        self._loop = asyncio.get_running_loop()
        self._trouble = Trouble()
        self._connected_at: float | None = None
        self._refused = False
        self._leaving = threading.Event()
        self._steady: asyncio.TimerHandle | None = None
        self._client = self._made(_context(options), will)
        self._client.connect_async(options.mqtt_host, options.mqtt_port, KEEPALIVE)
        self._client.loop_start()

    def _made(self, context: ssl.SSLContext | None, will: str) -> Any:
        options = self._options
        paho = load("mqtt", "the section mqtt")
        # 2.x wants to be told the manner of its callbacks; those below take both manners.
        version = getattr(paho, "CallbackAPIVersion", None)
        client = _bounded(paho.Client)(*([version.VERSION2] if version is not None else []), client_id=options.client_name)
        if options.auth_user:
            client.username_pw_set(options.auth_user, options.auth_pass)
        if context is not None:
            client.tls_set_context(context)
            client.tls_insecure_set(options.tls_insecure)
        client.will_set(will, OFFLINE, 1, True)
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
        """What paho's thread runs: its own loop, and again when an error has ended it."""
        while not self._leaving.is_set():
            try:
                loop_forever(*args, **more)
                return
            except Exception as error:
                self._hop(self._lost, f"cannot be used: {_reason(error)}")
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
        self._hop(self._report, f"cannot be reached: {_reason(sys.exc_info()[1])}")

    def _on_disconnect(self, client: object, userdata: object, *rest: object) -> None:
        self._hop(self._lost)

    def _on_publish(self, client: object, userdata: object, mid: int, *rest: object) -> None:
        self._hop(self._guest.sent, mid)

    def _on_message(self, client: object, userdata: object, message: Any) -> None:
        self._hop(self._guest.arrived, message.topic, bytes(message.payload), bool(message.retain))

    # In the event loop

    @property
    def _name(self) -> str:
        return f"The MQTT broker at {self._options.mqtt_host} port {self._options.mqtt_port}"

    def _report(self, sentence: str) -> None:
        if not self._leaving.is_set():
            self._trouble.report(_TOPIC, f"{self._name} {sentence}; it is tried again, at least every {LONGEST_REST} s")

    def _answered(self, code: int) -> None:
        if code != 0:
            self._refused = True
            text = _REFUSALS.get(code, "refuses the connection (code {code})")
            self._report(text.format(name=self._options.client_name, code=code))
            return
        self._connected_at = self._loop.time()
        self._steady = self._loop.call_later(STEADY, self._trouble.clear, _TOPIC, f"{self._name} takes the values again")
        self._guest.connected()

    def _lost(self, why: str = "") -> None:
        since, self._connected_at = self._connected_at, None
        refused, self._refused = self._refused, False
        if self._steady is not None:
            self._steady.cancel()
        if since is None:
            if not refused:
                self._report(why or "takes the connection but does not greet; are mqtt_port and tls_enable right?")
            return
        self._guest.gone()
        short = self._loop.time() - since < STEADY
        hint = f" soon after its greeting (does another program use the client_name {self._options.client_name}?)"
        self._report(why or f"has ended the connection{hint if short else ''}")


# What only an administrator can mend


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


def check(options: Mqtt) -> None:
    """Raise :class:`ConfigError` for keys that cannot work; the pairs are those that RctMon 0.0.2 asks for."""
    for right, sentence in (
        (options.mqtt_host, "needs mqtt_host, the address of the broker"),
        (_is_host(options.mqtt_host or ""), "has a mqtt_host that is neither a name nor an address"),
        (bool(options.auth_user) == bool(options.auth_pass), "needs auth_user and auth_pass together, or neither"),
        (bool(options.tls_certfile) == bool(options.tls_keyfile), "needs tls_certfile and tls_keyfile together, or neither"),
        (options.tls_enable or not options.tls_certfile, "has tls_certfile, which is of no use unless tls_enable is true"),
        (options.tls_enable or not options.tls_ca_cert, "has tls_ca_cert, but nothing is encrypted unless tls_enable is true"),
        (_is_prefix(options.topic_prefix), "has a topic_prefix that cannot be; leave out + and #, and slashes around it"),
        (_is_prefix(options.discovery_prefix), "has a discovery_prefix that cannot be; leave out + and #, and slashes around it"),
        (not any(map(unfit, options.client_name.translate(_WILDCARDS))), "has control characters in its client_name"),
    ):
        if not right:
            raise ConfigError(f"the section mqtt {sentence}")


_WILDCARDS = str.maketrans("", "", "+#")


def _is_host(host: str) -> bool:
    try:
        return bool(re.fullmatch(r"[^\s\x00-\x1f/]+", host)) and bool(host.encode("idna"))
    except UnicodeError:
        return False


def _is_prefix(prefix: str) -> bool:
    return bool(prefix) and prefix == prefix.strip("/") and not any(map(unfit, prefix))


def _context(options: Mqtt) -> ssl.SSLContext | None:
    """The TLS context; None without TLS."""
    if not options.tls_enable:
        return None
    try:
        context = trusting(options.tls_ca_cert or "")
    except OSError as error:
        raise ConfigError(f"mqtt: tls_ca_cert = {options.tls_ca_cert} cannot be used: {_file_reason(error)}") from None
    if options.tls_insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if options.tls_certfile:
        files = f"tls_certfile = {options.tls_certfile} with tls_keyfile = {options.tls_keyfile}"
        try:
            # Without a password of ours OpenSSL would ask for one at the terminal, and wait.
            context.load_cert_chain(options.tls_certfile, options.tls_keyfile, password="")
        except OSError as error:
            raise ConfigError(f"mqtt: {files} cannot be used: {_file_reason(error)}") from None
    return context


def _file_reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"not PEM, not a pair, or a key with a passphrase ({error.reason or 'no certificate in it'})"
    return error.strerror or str(error)


def _reason(error: BaseException | None) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message}); see tls_ca_cert"
    if isinstance(error, ssl.SSLError):
        return f"no TLS is possible with it ({error.reason or 'broken off'})"
    return str((error.strerror if isinstance(error, OSError) else None) or error or "no answer")
