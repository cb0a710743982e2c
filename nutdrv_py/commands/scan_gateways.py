# SPDX-License-Identifier: GPL-2.0-or-later
"""Enphase gateways by mDNS: they announce ``_enphase-envoy._tcp.local.`` with their serial number (zeroconf)."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import re
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from nutdrv_py.errors import StartError
from nutdrv_py.machine.extras import load

__all__ = ["SERVICE", "Gateway", "best_address", "find_gateways"]

SERVICE = "_enphase-envoy._tcp.local."
"""What an IQ Gateway announces."""

RESOLVE = 1000
"""Milliseconds for the address of one that has announced itself."""

_SERIAL = re.compile(r"[0-9A-Za-z]{6,20}")
_HOST = re.compile(r"[0-9A-Za-z]([0-9A-Za-z-]{0,62}\.)+[A-Za-z0-9-]{1,63}")


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway: ``where`` is its address, or its name when it announced no address; ``serial`` is "" when it announced none."""

    where: str
    serial: str
    name: str


def best_address(found: Iterable[str]) -> str | None:
    """Return the address that a driver should use: IPv4 before IPv6, one of the network before one that only a link knows."""

    def rank(text: str) -> tuple[bool, bool, str]:
        address = ipaddress.ip_address(text)
        return address.is_link_local, address.version == 6, text

    usable: list[str] = []
    for text in found:
        with contextlib.suppress(ValueError):
            address = ipaddress.ip_address(text)
            # Without its interface a link-local address leads nowhere.
            if not (address.is_unspecified or address.is_multicast) and (
                not isinstance(address, ipaddress.IPv6Address) or not address.is_link_local or address.scope_id
            ):
                usable.append(text)
    return min(usable, key=rank, default=None)


async def find_gateways(seconds: float, interfaces: Sequence[str] | None = None) -> list[Gateway]:
    """Listen for so long; ``interfaces`` are addresses of this machine, by default all.

    Raises :class:`ConfigError` without zeroconf, :class:`StartError` when mDNS cannot be used.
    """
    zeroconf = load("discover", "the search for gateways")
    ended = threading.Event()
    try:
        return await asyncio.to_thread(_listen, zeroconf, seconds, interfaces, ended)
    finally:
        # Ctrl-C must not wait for the thread to have listened to its end.
        ended.set()


class _Heard:
    """What zeroconf calls; the names of the services that were announced."""

    def __init__(self) -> None:
        self.names: dict[str, None] = {}

    def add_service(self, zc: object, type_: str, name: str) -> None:
        self.names[name] = None

    update_service = add_service

    def remove_service(self, zc: object, type_: str, name: str) -> None:
        pass


def _listen(zeroconf: Any, seconds: float, interfaces: Sequence[str] | None, ended: threading.Event) -> list[Gateway]:
    try:
        responder = _responder(zeroconf, interfaces)
    except OSError as error:
        raise StartError(f"gateways cannot be looked for: mDNS (UDP port 5353) cannot be used: {error.strerror}") from error
    try:
        heard = _Heard()
        browser = zeroconf.ServiceBrowser(responder, SERVICE, heard)
        names = [] if ended.wait(seconds) else list(heard.names)
        found = [_gateway(responder.get_service_info(SERVICE, name, timeout=RESOLVE)) for name in names]
        browser.cancel()
    finally:
        responder.close()
    return [gateway for gateway in found if gateway is not None]


def _responder(zeroconf: Any, interfaces: Sequence[str] | None) -> Any:
    if interfaces:
        return zeroconf.Zeroconf(interfaces=list(interfaces))
    try:
        return zeroconf.Zeroconf(ip_version=zeroconf.IPVersion.All)
    except OSError:  # a machine without IPv6
        return zeroconf.Zeroconf()


def _gateway(info: Any) -> Gateway | None:
    """Return the gateway of an announcement; None when it leads nowhere. It comes from the network, so nothing in it is
    trusted."""
    if info is None:
        return None
    properties: dict[Any, Any] = info.properties or {}
    told = properties.get(b"serialnum")
    serial = told.decode("ascii", "replace") if isinstance(told, bytes) else ""
    host = str(info.server or "").rstrip(".")
    name = host if _HOST.fullmatch(host) else ""
    try:
        addresses = info.parsed_scoped_addresses()
    except AttributeError:  # zeroconf before 0.47
        addresses = info.parsed_addresses()
    where = best_address(addresses) or name
    return Gateway(where, serial if _SERIAL.fullmatch(serial) else "", name) if where else None
