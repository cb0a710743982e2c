# SPDX-License-Identifier: GPL-2.0-or-later
"""Frames of the "RCT Power Serial Communication Protocol": bytes in, frames out; nothing here reads or writes.

::

    2B | command | length (1 byte, 2 in long frames) | [address 4, plant frames] | OID 4 | payload | CRC 2

Numbers are big-endian. ``length`` counts address, OID and payload. A 2B or 2D after the start byte is preceded by 2D, which
counts in neither length nor CRC; an unescaped 2B begins a frame wherever it stands. The CRC is CRC-16/CCITT over command to
payload, started with FFFF, with one 00 appended when the number of those bytes is odd.

Sources: vendor document "Serial Communication Protocol" 1.14 as quoted by other projects; what inverters really send was
observed by users of rctclient, evcc, ioBroker and openWB.
"""

from __future__ import annotations

import binascii
import enum
import functools
import re
from dataclasses import dataclass

__all__ = ["ANSWERS", "EXTENSION", "LIMIT", "Command", "Damage", "Frame", "FrameReader", "build", "checksum", "read_request"]


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

LIMIT = 4096
"""Bytes, unescaped, of the longest frame that is waited for: event tables and time series are the longest, below 3 KiB."""

_PLANT = 0x40
_LONG = frozenset({Command.LONG_WRITE, Command.LONG_RESPONSE, Command.PLANT_LONG_WRITE, Command.PLANT_LONG_RESPONSE})
_SHORT_MOST = 251
_ESCAPED = re.compile(rb"[+\-]")
_SEGMENT = re.compile(rb"(?:[^+\-]|-[+\-])*")
_ESCAPE = re.compile(rb"-([+\-])")
_BOOTLOADER = bytes.fromhex("50f705ab")


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame whose CRC was right. ``address`` is None except in plant frames."""

    command: Command
    oid: int
    payload: bytes = b""
    address: int | None = None


@dataclass(slots=True)
class Damage:
    """What a :class:`FrameReader` has thrown away, by reason."""

    crc: int = 0
    command: int = 0
    length: int = 0
    escape: int = 0
    overflow: int = 0
    bootloader: int = 0
    """Calls of the bootloader: the firmware is being updated, or an update has failed."""

    @property
    def frames(self) -> int:
        """Frames that were lost."""
        return self.crc + self.command + self.length + self.escape + self.overflow


def checksum(data: bytes) -> int:
    """The CRC of command to payload, unescaped, without the start byte."""
    return binascii.crc_hqx(data + b"\0" if len(data) & 1 else data, 0xFFFF)


def build(
    command: Command, oid: int, payload: bytes = b"", address: int | None = None, *, raw_crc: bool = False, lead: bytes = b""
) -> bytes:
    """A frame as it goes over the wire.

    ``raw_crc`` leaves the CRC unescaped, as evcc and ioBroker send it; ``lead`` goes in front (devices like a 00 there).
    Raises ValueError for a payload that does not fit the command, or an address where none belongs.
    """
    if (address is not None) != bool(command & _PLANT):
        raise ValueError(f"{command.name} needs an address" if address is None else f"{command.name} has no address")
    content = (b"" if address is None else address.to_bytes(4, "big")) + oid.to_bytes(4, "big") + payload
    if command not in _LONG and len(payload) > _SHORT_MOST:
        raise ValueError(f"{command.name} carries {_SHORT_MOST} bytes at most, not {len(payload)}")
    body = bytes([command]) + len(content).to_bytes(2 if command in _LONG else 1, "big") + content
    crc = checksum(body).to_bytes(2, "big")
    escaped = _ESCAPED.sub(rb"-\g<0>", body if raw_crc else body + crc)
    return lead + b"+" + escaped + (crc if raw_crc else b"")


@functools.cache
def read_request(oid: int, *, raw_crc: bool = False) -> bytes:
    """The READ of an object, made once."""
    return build(Command.READ, oid, raw_crc=raw_crc)


_Shape = tuple[Command, bool, int]
_SHAPES: dict[int, _Shape] = {
    int(command): (command, command in _LONG, 8 if command & _PLANT else 4) for command in Command
}


class _Waiting(Exception):
    """The frame is not complete yet."""


class FrameReader:
    """Cuts a stream of bytes into frames. Feed it whatever arrives, in whatever pieces; it never raises.

    A frame is given out as soon as its length is satisfied and its CRC fits. After any damage reading goes on at the next
    start byte. The length field of long frames is often wrong, so such a frame also ends at the next start byte, or when
    :meth:`flush` says that the line is silent. CRC bytes that the sender did not escape are understood.
    """

    def __init__(self) -> None:
        self.damage = Damage()
        self.frames = 0
        """Frames given out."""
        self._buffer = b""

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that ``data`` completes."""
        return self._read(self._buffer + data, final=False)

    def flush(self) -> list[Frame]:
        """The line is silent: what has begun will not be continued. The frames that this completes."""
        return self._read(self._buffer, final=True)

    def reset(self) -> None:
        """Forget the unfinished frame: a new connection begins."""
        self._buffer = b""

    def _read(self, buffer: bytes, *, final: bool) -> list[Frame]:
        found: list[Frame] = []
        position = 0
        end = len(buffer)
        while True:
            start = buffer.find(b"+", position)
            if start < 0:
                self._junk(buffer[position:])
                # A piece of the bootloader's call may wait for its rest.
                self._buffer = b"" if final else buffer[max(position, end - len(_BOOTLOADER) + 1) :]
                break
            if start > position:
                self._junk(buffer[position:start])
            frame = self._quick(buffer, start, end)
            if frame is not None:
                found.append(frame[0])
                position = frame[1]
                continue
            try:
                slow, position = self._careful(buffer, start, final=final)
            except _Waiting:
                self._buffer = buffer[start:]
                break
            if slow is not None:
                found.append(slow)
        self.frames += len(found)
        return found

    def _junk(self, data: bytes) -> None:
        self.damage.bootloader += data.count(_BOOTLOADER)

    @staticmethod
    def _quick(buffer: bytes, start: int, end: int) -> tuple[Frame, int] | None:
        """A whole short frame without any escape, which nearly all are: the frame and the position after it."""
        if start + 9 > end:
            return None
        shape = _SHAPES.get(buffer[start + 1])
        if shape is None or shape[1]:
            return None
        command, _, head = shape
        length = buffer[start + 2]
        stop = start + 3 + length
        if length < head or stop + 2 > end:
            return None
        body = buffer[start + 1 : stop]
        if b"-" in body or b"+" in body or checksum(body) != (buffer[stop] << 8 | buffer[stop + 1]):
            return None
        if buffer[stop] in b"+-" or buffer[stop + 1] in b"+-":
            return None
        if head == 4:
            return Frame(command, int.from_bytes(body[2:6], "big"), body[6:]), stop + 2
        return Frame(command, int.from_bytes(body[6:10], "big"), body[10:], int.from_bytes(body[2:6], "big")), stop + 2

    def _careful(self, buffer: bytes, start: int, *, final: bool) -> tuple[Frame | None, int]:
        """The frame that begins at ``start``, or None if it is damaged, and where to read on. Raises :class:`_Waiting`."""
        if buffer[start : start + 3] == EXTENSION:
            return None, start + 3
        matched = _SEGMENT.match(buffer, start + 1)
        stop = matched.end() if matched else start + 1
        segment = buffer[start + 1 : stop]
        plain = _ESCAPE.sub(rb"\1", segment)
        # What ends the segment: a start byte, an escape of what needs none, or the end of what has arrived.
        bounded = final or (stop < len(buffer) and (buffer[stop] == 0x2B or stop + 1 < len(buffer)))
        if not plain:
            if bounded:
                return None, max(stop, start + 1)
            raise _Waiting
        shape = _SHAPES.get(plain[0])
        if shape is None:
            if plain[0] == EXTENSION[1] and len(plain) < 2 and not bounded:
                raise _Waiting
            # A lone 00 is what devices put in front of the next frame.
            self.damage.command += bool(plain.strip(b"\0"))
            return None, stop
        command, long, head = shape
        ahead = 3 if long else 2
        if len(plain) >= ahead:
            length = int.from_bytes(plain[1:ahead], "big")
            if not long and length < head:
                self.damage.length += 1
                return None, stop
            crc_at = ahead + length
            complete = self._complete(buffer, start, segment, plain, crc_at, command, head, ahead)
            if complete is not None:
                return complete
            if not long and len(plain) >= crc_at + 2:
                self.damage.crc += 1
                return None, self._after(start, segment, crc_at + 2)
            if crc_at <= len(plain) < crc_at + 2 and not final and stop + 2 > len(buffer):
                # The CRC may hold an unescaped start byte or escape: what follows tells.
                raise _Waiting
        if not bounded:
            if len(plain) > LIMIT:
                self.damage.overflow += 1
                return None, stop
            raise _Waiting
        if long:
            for cut in (plain, plain[:-1] if plain.endswith(b"\0") else b""):
                if len(cut) >= ahead + head + 2 and checksum(cut[:-2]) == int.from_bytes(cut[-2:], "big"):
                    return _frame(command, cut[ahead:-2], head), stop
            self.damage.crc += 1
        elif stop < len(buffer) and buffer[stop] == 0x2D:
            self.damage.escape += 1
        else:
            self.damage.length += 1
        return None, stop

    def _complete(
        self, buffer: bytes, start: int, segment: bytes, plain: bytes, crc_at: int, command: Command, head: int, ahead: int
    ) -> tuple[Frame | None, int] | None:
        """The frame if the CRC fits where the length field says, escaped or not; and where to read on."""
        if len(plain) < crc_at or crc_at < ahead + head:
            return None
        wanted = checksum(plain[:crc_at])
        if len(plain) >= crc_at + 2 and plain[crc_at : crc_at + 2] == wanted.to_bytes(2, "big"):
            return _frame(command, plain[ahead:crc_at], head), self._after(start, segment, crc_at + 2)
        raw_at = start + 1 + _raw_length(segment, crc_at)
        if buffer[raw_at : raw_at + 2] == wanted.to_bytes(2, "big"):
            return _frame(command, plain[ahead:crc_at], head), raw_at + 2
        return None

    @staticmethod
    def _after(start: int, segment: bytes, count: int) -> int:
        """Where to read on after ``count`` unescaped bytes.

        When the last of them was an escaped start byte, it may be that the escape is the damage and a frame begins there.
        """
        raw = _raw_length(segment, count)
        return start + 1 + raw - (1 if segment[raw - 2 : raw] == b"-+" else 0)


def _raw_length(segment: bytes, count: int) -> int:
    """How many bytes of ``segment`` hold its first ``count`` unescaped ones: each escape among them makes it one more."""
    raw = count
    escape = segment.find(b"-")
    while 0 <= escape < raw:
        raw += 1
        escape = segment.find(b"-", escape + 2)
    return raw


def _frame(command: Command, content: bytes, head: int) -> Frame:
    if head == 4:
        return Frame(command, int.from_bytes(content[:4], "big"), content[4:])
    return Frame(command, int.from_bytes(content[4:8], "big"), content[8:], int.from_bytes(content[:4], "big"))
