# SPDX-License-Identifier: GPL-2.0-or-later
"""The magic packet (AMD, "Magic Packet Technology", publication 20213), and whether a machine answers."""

from __future__ import annotations

import asyncio
import contextlib
import socket

__all__ = ["answers", "magic", "send"]

ANSWER = 3.0
"""Seconds in which a machine must take or refuse a connection."""


def magic(mac: str) -> bytes:
    """Return the packet that wakes the network card ``mac``: six bytes 0xFF, then its address sixteen times."""
    return b"\xff" * 6 + bytes.fromhex(mac.replace(":", "").replace("-", "")) * 16


def send(mac: str, broadcast: str, port: int) -> None:
    """Send the packet once. Raises OSError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sender.sendto(magic(mac), (broadcast, port))


async def answers(place: str) -> bool:
    """Return whether the machine at ``address:port`` takes a connection or refuses it: both only a running machine does."""
    host, _, port = place.rpartition(":")
    try:
        async with asyncio.timeout(ANSWER):
            _, writer = await asyncio.open_connection(host.removeprefix("[").removesuffix("]"), int(port))
    except ConnectionRefusedError:
        return True
    except (OSError, TimeoutError):
        return False
    writer.close()
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(ANSWER):
            await writer.wait_closed()
    return True
