# SPDX-License-Identifier: GPL-2.0-or-later
"""What the serial line between inverter and network does to answers.

The network module is a serial bridge: every client sees what goes to any of them (rctpower_writesupport #3, evcc #9146), and
much arrives damaged. Each quirk is a field of :class:`Line`; all are off at first, but for the 00 that inverters send in front
of a frame.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from nutdrv_py.protocols.rct.frame import Command, build, checksum, read_request
from nutdrv_py.protocols.rct.objects import BY_NAME, OBJECTS
from nutdrv_py.simulators.spelling import nearest
from nutdrv_py.simulators.stories import known_keys, plain_words, right_types

SHORT_MOST = 251
"""Bytes of the longest payload that an ordinary answer carries (vendor document)."""

BOOTLOADER = bytes.fromhex("50f705ab")
"""What the bootloader sends every half second, outside of any frame (vendor document)."""

MODEM_BLOCK = bytes.fromhex("2b2b2b0d2b2b2bf8") + bytes.fromhex("41542b0d0a00ff7f3e1c0855aa60910a0d0a4f")
"""27 bytes as a modem's escape sequence begins them; what really follows is not published."""

KEEP_ALIVE = b"AT+\r"
"""What the vendor's cloud sends now and then."""

MODEM_SHARE = 0.1
"""Part of the answers that the modem talks into."""

UNKNOWN_OID = 0x0BADC0DE
"""In no registry."""

PLANT_ADDRESS = 1
PLANT_OID = BY_NAME["battery.soc"].oid

EVENT_TABLE_OID = 0x6F3876BC
"""An answer longer than a short frame can be (rctclient's registry)."""

LONG_LIES = (-16, 472)
"""Errors of the length field of long answers, as rct-manager captured them (14 of 18 too small, 2 too large)."""

_ESCAPED = re.compile(rb"[+\-]")

_WORDS: Mapping[tuple[str, Any], Any] = {("foreign", True): 1.0, ("foreign", False): 0.0}
"""Other spellings of a value."""


@dataclass(frozen=True, slots=True)
class Line:
    """How the line behaves. Shares (``drop``, ``corrupt``, ``truncate``, ``cut``, ``foreign``, ``collide``) go from 0 to 1.

    ``lead_zero``: a 00 before each answer. ``drop``: requests that are lost. ``corrupt``: answers with a wrong CRC.
    ``truncate``: answers whose payload is too short, with length and CRC to match. ``cut``: answers that end in the middle.
    ``collide``: requests that find another one unanswered and truncate its answer. ``foreign``: answers that come with one
    no client here has asked for. ``echo``: requests come back to every client. ``modem``: a modem's escape sequences in between.
    ``long_lies``: the length field of long answers is wrong. ``raw_crc``: the CRC is sent without escapes.
    ``escape_crc_only``: requests whose CRC bytes are escaped are not understood. ``garbage_after_nul``: text fields end with
    what looks like an old frame. ``pieces``: answers arrive in odd pieces. ``needs_extension``: a connection is mute until the
    app's greeting came. ``bootloader``: the firmware is being updated. ``silent``: connections are taken, nothing is answered.
    ``offline``: no connections. ``delay``: seconds before each answer, real time. ``mute``: objects that are never answered.
    ``max_clients``: connections beyond are closed.
    """

    lead_zero: bool = True
    drop: float = 0.0
    corrupt: float = 0.0
    truncate: float = 0.0
    cut: float = 0.0
    collide: float = 0.0
    foreign: float = 0.0
    echo: bool = False
    modem: bool = False
    long_lies: bool = False
    raw_crc: bool = False
    escape_crc_only: bool = False
    garbage_after_nul: bool = False
    pieces: bool = False
    needs_extension: bool = False
    bootloader: bool = False
    silent: bool = False
    offline: bool = False
    delay: float = 0.0
    mute: tuple[str, ...] = ()
    max_clients: int = 5

    def __post_init__(self) -> None:
        """Refuse a line that cannot be."""
        for name in ("drop", "corrupt", "truncate", "cut", "collide", "foreign"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"The line's {name} is a share from 0 to 1, not {getattr(self, name)}.")
        if not 0 <= self.delay <= 3600:
            raise ValueError(f"The line's delay is from 0 to 3600 s, not {self.delay}.")
        if self.max_clients < 0:
            raise ValueError(f"The line's max_clients cannot be {self.max_clients}.")
        for name in self.mute:
            if name not in BY_NAME:
                raise ValueError(f'The inverter has no object "{name}"{nearest(str(name), BY_NAME)}.')

    def changed(self, changes: Mapping[str, Any]) -> Line:
        """Return the line with these changes; wrong names and values are errors."""
        known_keys(changes, LINE_NAMES, "line")
        values = plain_words(changes, _WORDS)
        right_types(values, Line(), "line")
        return replace(self, **values)


LINE_NAMES = tuple(item.name for item in fields(Line))
"""Everything about the line that can be changed."""


class Wire:
    """Makes of payloads what arrives at the clients. ``payload_of`` gives the present payload of an object, by name."""

    def __init__(self, line: Line, payload_of: Callable[[str], bytes], seed: int = 1) -> None:
        self.line = line
        self._payload_of = payload_of
        self._chance = random.Random(seed)

    def strikes(self, share: float) -> bool:
        """Return whether something that happens in this share of the cases happens now."""
        # Without a draw when it is off: one quirk does not shift what another one hits.
        return share > 0 and self._chance.random() < share

    def answer(self, oid: int, payload: bytes, *, collided: bool = False) -> bytes:
        """Return all that comes over the line instead of one answer."""
        line = self.line
        parts = [self._modem()] if line.modem and self.strikes(MODEM_SHARE) else []
        if line.echo:
            parts.insert(0, read_request(oid))
        parts.append(self._damaged(oid, payload, collided))
        if self.strikes(line.foreign):
            parts.insert(self._chance.randint(0, len(parts)), self._foreign())
        return b"".join(parts)

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """Yield the same bytes in the portions in which they arrive."""
        if not self.line.pieces:
            yield data
            return
        position = 0
        while position < len(data):
            size = self._chance.choice((1, 1, 2, 3, 5, 7))
            yield data[position : position + size]
            position += size

    def _damaged(self, oid: int, payload: bytes, collided: bool) -> bytes:
        line = self.line
        if payload and (collided or self.strikes(line.truncate)):
            payload = payload[: -self._chance.randint(1, len(payload))]
        if self.strikes(line.corrupt):
            return self._frame(oid, payload, flip=self._chance.randint(1, 0xFFFF))
        whole = self._frame(oid, payload)
        # Without its CRC, and at least one byte of it arrives.
        return whole[: self._chance.randint(1, len(whole) - 3)] if self.strikes(line.cut) else whole

    def _frame(self, oid: int, payload: bytes, *, flip: int = 0) -> bytes:
        """Return an answer; ``flip`` is what the line turns over in the CRC."""
        line = self.line
        lead = b"\0" * line.lead_zero
        command = Command.RESPONSE if len(payload) <= SHORT_MOST else Command.LONG_RESPONSE
        lies = command is Command.LONG_RESPONSE and line.long_lies
        if not flip and not lies:
            return build(command, oid, payload, raw_crc=line.raw_crc, lead=lead)
        content = oid.to_bytes(4, "big") + payload
        length = len(content) + (self._chance.choice(LONG_LIES) if lies else 0)
        body = bytes([command]) + length.to_bytes(2 if command is Command.LONG_RESPONSE else 1, "big") + content
        crc = (checksum(body) ^ flip).to_bytes(2, "big")
        return lead + b"+" + _escape(body) + (crc if line.raw_crc else _escape(crc))

    def _foreign(self) -> bytes:
        """Return an answer to a foreign client."""
        return self._chance.choice((self._other_object, self._other_object, self._follower, self._stranger, self._events))()

    def _other_object(self) -> bytes:
        row = self._chance.choice(OBJECTS)
        return self._frame(row.oid, self._payload_of(row.name))

    def _follower(self) -> bytes:
        """Return the charge of another inverter, behind this one: nothing that belongs to this house."""
        lead = b"\0" * self.line.lead_zero
        charge = bytes.fromhex(self._chance.choice(("3d4ccccd", "3f7d70a4")))
        return build(Command.PLANT_RESPONSE, PLANT_OID, charge, PLANT_ADDRESS, raw_crc=self.line.raw_crc, lead=lead)

    def _stranger(self) -> bytes:
        return self._frame(UNKNOWN_OID, self._chance.randbytes(4))

    def _events(self) -> bytes:
        return self._frame(EVENT_TABLE_OID, self._chance.randbytes(4 + 20 * 16))

    def _modem(self) -> bytes:
        return self._chance.choice((MODEM_BLOCK, KEEP_ALIVE))


def _escape(data: bytes) -> bytes:
    return _ESCAPED.sub(rb"-\g<0>", data)
