# SPDX-License-Identifier: GPL-2.0-or-later
"""Frames of the "RCT Power Serial Communication Protocol" and how to build them; :mod:`~nutdrv_py.protocols.rct.reader` cuts a
stream into them.

::

    2B | command | length (1 byte, 2 in long frames) | [address 4, plant frames] | OID 4 | payload | CRC 2

Numbers are big-endian. ``length`` counts address, OID and payload. A 2B or 2D after the start byte is preceded by 2D, which
counts in neither length nor CRC; an unescaped 2B begins a frame anywhere. The CRC is CRC-16/CCITT over command to
payload, started with FFFF, with one 00 appended when the number of those bytes is odd.

Sources: vendor document "Serial Communication Protocol" 1.14 as quoted by other projects; what inverters really send was
observed by users of rctclient, evcc, ioBroker and openWB.
"""

from __future__ import annotations

import binascii
import enum
import functools
import re
from typing import NamedTuple

__all__ = ["ANSWERS", "EXTENSION", "LONG", "PLANT", "Command", "Frame", "build", "checksum", "read_request"]


class Command(enum.IntEnum):
    """What a frame is. The plant forms carry the network address of an inverter behind the one that is asked."""

    READ = 0x01
    WRITE = 0x02
    LONG_WRITE = 0x03
    RESPONSE = 0x05
    LONG_RESPONSE = 0x06
    READ_PERIODICALLY = 0x08
    PLANT_READ = 0x41
    PLANT_WRITE = 0x42
    PLANT_LONG_WRITE = 0x43
    PLANT_RESPONSE = 0x45
    PLANT_LONG_RESPONSE = 0x46
    PLANT_READ_PERIODICALLY = 0x48


ANSWERS = frozenset({Command.RESPONSE, Command.LONG_RESPONSE, Command.PLANT_RESPONSE, Command.PLANT_LONG_RESPONSE})

EXTENSION = b"\x2b\x3c\xe1"
"""The only frame without OID and CRC: the vendor's app sends it when it connects, and some firmware is silent until then."""

PLANT = 0x40
"""Bit of the commands whose frames carry an address."""

LONG = frozenset({Command.LONG_WRITE, Command.LONG_RESPONSE, Command.PLANT_LONG_WRITE, Command.PLANT_LONG_RESPONSE})
"""Commands whose length has 2 bytes."""

_SHORT_MOST = 251
_ESCAPED = re.compile(rb"[+\-]")


class Frame(NamedTuple):
    """A frame whose CRC was right. ``address`` is None except in plant frames."""

    command: Command
    oid: int
    payload: bytes = b""
    address: int | None = None


def checksum(data: bytes) -> int:
    """Return the CRC of command to payload, unescaped, without the start byte."""
    return binascii.crc_hqx(data + b"\0" if len(data) & 1 else data, 0xFFFF)


def build(
    command: Command, oid: int, payload: bytes = b"", address: int | None = None, *, raw_crc: bool = False, lead: bytes = b""
) -> bytes:
    """Return a frame as it goes over the wire.

    ``raw_crc`` leaves the CRC unescaped, as evcc and ioBroker send it; ``lead`` goes in front (devices like a 00 there).
    Raises ValueError for a payload that does not fit the command, or an address where none belongs.
    """
    if (address is not None) != bool(command & PLANT):
        raise ValueError(f"{command.name} needs an address" if address is None else f"{command.name} has no address")
    content = (b"" if address is None else address.to_bytes(4, "big")) + oid.to_bytes(4, "big") + payload
    if command not in LONG and len(payload) > _SHORT_MOST:
        raise ValueError(f"{command.name} carries {_SHORT_MOST} bytes at most, not {len(payload)}")
    body = bytes([command]) + len(content).to_bytes(2 if command in LONG else 1, "big") + content
    crc = checksum(body).to_bytes(2, "big")
    escaped = _ESCAPED.sub(rb"-\g<0>", body if raw_crc else body + crc)
    return lead + b"+" + escaped + (crc if raw_crc else b"")


@functools.cache
def read_request(oid: int, *, raw_crc: bool = False) -> bytes:
    """Return the READ of an object, made once."""
    return build(Command.READ, oid, raw_crc=raw_crc)
