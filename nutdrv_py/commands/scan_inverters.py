# SPDX-License-Identifier: GPL-2.0-or-later
"""RCT inverters by their TCP port on a network that the user has named: one connection and one read request each."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nutdrv_py.errors import ConfigError, ProtocolError
from nutdrv_py.protocols.rct import payload
from nutdrv_py.protocols.rct.frame import ANSWERS, read_request
from nutdrv_py.protocols.rct.objects import BY_NAME
from nutdrv_py.protocols.rct.reader import FrameReader

__all__ = ["Inverter", "Network", "find_inverters", "hosts_of", "read_network"]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MOST_HOSTS = 1024
"""Maximum addresses that are tried: a /22. A house has fewer, and more would be foreign ones."""

AT_A_TIME = 32
"""Connections under way at a time: small routers count them."""

PATIENCE = 1.0
"""Seconds for a connection, and for the answer on it; on a local network both take milliseconds."""

PIECE = 4096

_SERIAL = BY_NAME["inverter_sn"]


@dataclass(frozen=True, slots=True)
class Inverter:
    """Something that listens on the port: ``sure`` when it has answered as an RCT inverter does; "" without a serial number."""

    where: str
    serial: str
    sure: bool


def read_network(text: str, *, anywhere: bool) -> Network:
    """Return a network as the user writes it. Raises :class:`ConfigError` for one that is too wide, or not private."""
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ConfigError(f"--network {text} is not a network; write one such as 192.168.1.0/24") from None
    if network.num_addresses > MOST_HOSTS:
        narrow = f"{network.network_address}/{network.max_prefixlen - 8}"
        raise ConfigError(f"--network {text} has {network.num_addresses} addresses; name at most a /22, such as {narrow}")
    if not anywhere and not (network.is_private or network.is_loopback or network.is_link_local):
        raise ConfigError(f"--network {text} is not private; if it is yours all the same, add --yes")
    return network


def hosts_of(network: Network) -> list[str]:
    """Return the addresses that a device can have in it."""
    return [str(host) for host in network.hosts()]


async def find_inverters(hosts: Sequence[str], port: int, progress: Callable[[int, int], None]) -> list[Inverter]:
    """Try all of them once, :data:`AT_A_TIME` together; ``progress`` is called with how many of how many are done."""
    free = asyncio.Semaphore(AT_A_TIME)
    done = 0

    async def one(host: str) -> Inverter | None:
        nonlocal done
        async with free:
            found = await _try(host, port)
        done += 1
        progress(done, len(hosts))
        return found

    found = await asyncio.gather(*(one(host) for host in hosts))
    return [inverter for inverter in found if inverter is not None]


async def _try(host: str, port: int) -> Inverter | None:
    try:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return None
    try:
        writer.write(read_request(_SERIAL.oid))
        return await _hear(reader, host)
    finally:
        # At once: an inverter has few connections to give, and its line may wait until they are gone.
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _hear(reader: asyncio.StreamReader, host: str) -> Inverter:
    """Wait for the serial number; any other valid answer, meant for another client, proves as much."""
    frames = FrameReader()
    sure = False
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(PATIENCE):
            while data := await reader.read(PIECE):
                for frame in frames.feed(data):
                    sure = sure or frame.command in ANSWERS
                    if frame.command in ANSWERS and frame.oid == _SERIAL.oid and frame.address is None:
                        with contextlib.suppress(ProtocolError):
                            return Inverter(host, _serial(payload.decode(_SERIAL.kind, frame.payload)), sure=True)
    return Inverter(host, "", sure)


def _serial(value: object) -> str:
    text = str(value).strip()
    return text if text.isascii() and text.isalnum() and len(text) <= 16 else ""
