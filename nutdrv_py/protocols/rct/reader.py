# SPDX-License-Identifier: GPL-2.0-or-later
"""Cuts what comes over the inverter's line into frames: bytes in, frames out; nothing here reads or writes."""

from __future__ import annotations

import functools
import re
import sys
from dataclasses import dataclass

from nutdrv_py.protocols.rct.frame import EXTENSION, LONG, PLANT, Command, Frame, checksum

__all__ = ["LIMIT", "Damage", "FrameReader"]

LIMIT = 4096
"""Bytes, unescaped, of the longest frame that is waited for: event tables and time series are the longest, below 3 KiB."""

_SEGMENT = re.compile(rb"[^+\-]*(?:-[+\-][^+\-]*)*")
_PIECES = re.compile(rb"-?([^+\-]+|[+\-])")
_BOOTLOADER = bytes.fromhex("50f705ab")


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
        """Return the number of frames that were lost."""
        return self.crc + self.command + self.length + self.escape + self.overflow


@functools.cache
def _at_most(count: int) -> re.Pattern[bytes]:
    """Return the pattern of ``count`` unescaped bytes, or as many as there are."""
    return re.compile(rb"(?:[^+\-]|-[+\-]){0,%d}" % count)


_Shape = tuple[Command, bool, int]
_SHAPES: dict[int, _Shape] = {int(command): (command, command in LONG, 8 if command & PLANT else 4) for command in Command}


class _Waiting(Exception):
    """The frame is not complete yet."""


class FrameReader:
    """Cuts a stream of bytes into frames. Feed it whatever arrives, in whatever pieces; it never raises.

    The pieces make no difference to what is found. A byte is looked at a bounded number of times, whatever comes.
    A frame is given out as soon as its length is satisfied and its CRC fits. After any damage reading goes on at the next
    start byte. The length field of long frames is often wrong, so such a frame also ends at the next start byte, or when
    :meth:`flush` reports that the line is silent. CRC bytes that the sender did not escape are understood.
    """

    def __init__(self) -> None:
        self.damage = Damage()
        self.frames = 0
        """Frames given out."""
        self._buffer = b""
        self._floor = 0
        self._begun: tuple[int, bytes] | None = None

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames that ``data`` completes."""
        return self._read(self._buffer + data, final=False)

    @property
    def unfinished(self) -> bool:
        """Whether a frame has begun that is not complete."""
        return self._buffer.startswith(b"+")

    def flush(self) -> list[Frame]:
        """Return the frames that a silent line completes: what has begun will not be continued."""
        return self._read(self._buffer, final=True)

    def reset(self) -> None:
        """Forget the unfinished frame: a new connection begins."""
        self._buffer = b""
        self._floor = 0
        self._begun = None

    def _read(self, buffer: bytes, *, final: bool) -> list[Frame]:
        found: list[Frame] = []
        begun, self._begun = self._begun, None
        position = 0
        end = len(buffer)
        while True:
            start = buffer.find(b"+", position)
            if start < 0:
                self._junk(buffer[position:])
                # A piece of the bootloader's call may wait for its rest.
                rest = end if final else max(position, end - len(_BOOTLOADER) + 1)
                self._keep(buffer[rest:], rest)
                break
            if start - position > 1 and position >= self._floor:
                self._junk(buffer[position:start])
            if start >= self._floor:
                quick = self._quick(buffer, start, end)
                if quick is not None:
                    frame, position = quick
                    found.append(frame)
                    continue
            try:
                slow, position = self._careful(buffer, start, begun if start == 0 else None, final=final)
            except _Waiting:
                self._keep(buffer[start:], start)
                break
            self._begun = None
            if slow is not None:
                found.append(slow)
        self.frames += len(found)
        return found

    def _keep(self, rest: bytes, position: int) -> None:
        self._buffer = rest
        self._floor = max(0, self._floor - position)

    def _junk(self, data: bytes) -> None:
        self.damage.bootloader += data.count(_BOOTLOADER)

    @staticmethod
    def _quick(buffer: bytes, start: int, end: int) -> tuple[Frame, int] | None:
        """Return a whole short frame without any escape, which nearly all are: the frame and the position after it."""
        if start + 9 > end:
            return None
        shape = _SHAPES.get(buffer[start + 1])
        if shape is None or shape[1]:
            return None
        command, _, head = shape
        length = buffer[start + 2]
        stop = start + 3 + length
        after = stop + 2
        if length < head or after > end or buffer.find(b"-", start, after) >= 0 or buffer.find(b"+", start + 1, after) >= 0:
            return None
        body = buffer[start + 1 : stop]
        if checksum(body) != (buffer[stop] << 8 | buffer[stop + 1]):
            return None
        return _frame(command, body[2:], head), after

    def _careful(self, buffer: bytes, start: int, begun: tuple[int, bytes] | None, *, final: bool) -> tuple[Frame | None, int]:
        """Return the frame that begins at ``start``, or None if it is damaged, and where to read on. Raises :class:`_Waiting`.

        ``begun`` is how far it was read before, and what had come by then, unescaped.
        """
        if buffer[start : start + 3] == EXTENSION:
            return None, start + 3
        stop, begins = _unescaped(_at_most(3), buffer, start + 1)
        shape = _SHAPES.get(begins[0]) if begins else None
        if shape is None:
            if begins in (b"", EXTENSION[1:2]) and _open(buffer, stop, final=final):
                raise _Waiting
            # A lone 00 is what devices put in front of the next frame.
            stop = _raw_end(buffer, start, 1)
            return None, stop if begins[:1] in (b"", b"\0") else self._damaged("command", buffer, start, stop)
        command, long, head = shape
        size = begins[1] + 4 if len(begins) > 1 else 1
        if start < self._floor and (long or (start + 1 + 2 * size < self._floor and len(begins) > 1)):
            # It hides in a damaged frame, and what ends before that one does is old.
            return None, start + 1
        done, plain = begun or (start + 1, b"")
        pattern = _SEGMENT if long else _at_most(size - len(plain))
        stop, more = _unescaped(pattern, buffer, done, start + 3 + 2 * LIMIT)
        plain += more
        self._begun = stop - start, plain
        # What ends the segment: a start byte, an escape of what needs none, or the end of what has arrived.
        bounded = not _open(buffer, stop, final=final)
        ahead = 3 if long else 2
        if len(plain) >= ahead:
            length = int.from_bytes(plain[1:ahead], "big")
            if not long and length < head:
                return None, self._damaged("length", buffer, start, _raw_end(buffer, start, ahead))
            crc_at = ahead + length
            if length >= head and len(plain) >= crc_at:
                raw_at = _raw_end(buffer, start, crc_at)
                after = _after_crc(buffer, start, plain, crc_at, raw_at)
                if after:
                    return self._accepted(_frame(command, plain[ahead:crc_at], head), buffer, start, raw_at, after)
                if not long and len(plain) >= crc_at + 2:
                    return None, self._damaged("crc", buffer, start, _raw_end(buffer, start, crc_at + 2))
                if len(plain) < crc_at + 2 and not final and stop + 2 > len(buffer):
                    # The CRC may hold an unescaped start byte or escape: what follows decides.
                    raise _Waiting
                if len(plain) >= crc_at + 2:
                    hidden = buffer.find(b"+", raw_at, stop)
                    if hidden >= 0 and self._quick(buffer, hidden, len(buffer)):
                        return None, self._damaged("crc", buffer, hidden - 1, hidden)
        if len(plain) > LIMIT:
            return None, self._damaged("overflow", buffer, start, _raw_end(buffer, start, LIMIT + 1))
        if not bounded:
            raise _Waiting
        if long:
            for cut in (plain, plain[:-1] if plain.endswith(b"\0") else b""):
                if len(cut) >= ahead + head + 2 and checksum(cut[:-2]) == int.from_bytes(cut[-2:], "big"):
                    return self._accepted(_frame(command, cut[ahead:-2], head), buffer, start, stop, stop)
            return None, self._damaged("crc", buffer, start, stop)
        broken = stop < len(buffer) and buffer[stop] == 0x2D
        return None, self._damaged("escape" if broken else "length", buffer, start, stop)

    def _damaged(self, reason: str, buffer: bytes, start: int, stop: int) -> int:
        """Count the damage of the bytes from ``start`` to ``stop``; return where to read on.

        A start byte may hide there behind an escape that is part of the damage. Old answers hide there too, in the unused
        rest of strings; only a frame that goes on to the end of the damaged one is new.
        """
        if start >= self._floor:
            setattr(self.damage, reason, getattr(self.damage, reason) + 1)
            self._floor = stop
        hidden = buffer.find(b"+", start + 1, stop)
        return hidden if hidden >= 0 else stop

    def _accepted(self, frame: Frame, buffer: bytes, start: int, crc_at: int, after: int) -> tuple[Frame | None, int]:
        """Return the frame, unless it hides in a damaged one, and where to read on."""
        if start < self._floor and after < self._floor:
            return None, start + 1
        # A start byte in the CRC may be the one of the next frame, when this one has lost its last byte or an escape.
        inside = buffer.find(b"+", crc_at, after)
        if inside < 0:
            return frame, after
        self._floor = after
        return frame, inside


def _after_crc(buffer: bytes, start: int, plain: bytes, crc_at: int, raw_at: int) -> int:
    """Return the position after the CRC if it fits, escaped or not; 0 if it does not."""
    wanted = checksum(plain[:crc_at]).to_bytes(2, "big")
    if plain[crc_at : crc_at + 2] == wanted:
        return _raw_end(buffer, start, crc_at + 2)
    return raw_at + 2 if buffer[raw_at : raw_at + 2] == wanted else 0


def _open(buffer: bytes, stop: int, *, final: bool) -> bool:
    """Return whether what ends at ``stop`` may go on with what is still to come."""
    return not final and (stop >= len(buffer) or (buffer[stop] == 0x2D and stop + 1 >= len(buffer)))


def _unescaped(pattern: re.Pattern[bytes], buffer: bytes, begin: int, end: int = sys.maxsize) -> tuple[int, bytes]:
    """Return the position after what ``pattern`` matches at ``begin``, and the unescaped bytes up to there."""
    matched = pattern.match(buffer, begin, end)
    stop = matched.end() if matched else begin
    raw = buffer[begin:stop]
    return stop, b"".join(_PIECES.findall(raw)) if b"-" in raw else raw


def _raw_end(buffer: bytes, start: int, count: int) -> int:
    """Return the position after the first ``count`` unescaped bytes behind ``start``; each escape among them makes it one
    more."""
    if count <= 0xFF + 4:
        matched = _at_most(count).match(buffer, start + 1)
        return matched.end() if matched else start + 1
    end = start + 1 + count
    escape = buffer.find(b"-", start + 1, end)
    while escape >= 0:
        end += 1
        escape = buffer.find(b"-", escape + 2, end)
    return end


def _frame(command: Command, content: bytes, head: int) -> Frame:
    if head == 4:
        return Frame(command, int.from_bytes(content[:4], "big"), content[4:])
    return Frame(command, int.from_bytes(content[4:8], "big"), content[8:], int.from_bytes(content[:4], "big"))
