# SPDX-License-Identifier: GPL-2.0-or-later
"""The line to an RCT inverter as lines of a recording: whole frames of known objects, with their texts replaced.

The line is shared, and other clients may ask for anything on it, a password of the network too. So nothing is taken over that
is not a valid frame of an object in use; the rest is only counted.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from nutdrv_py.errors import ProtocolError
from nutdrv_py.protocols.rct.frame import EXTENSION, Command, Frame, build
from nutdrv_py.protocols.rct.objects import BY_OID, Object
from nutdrv_py.protocols.rct.payload import Kind
from nutdrv_py.protocols.rct.reader import FrameReader
from nutdrv_py.recording.rules import version
from nutdrv_py.recording.standins import StandIns

__all__ = ["LINE_STATES", "Bytes", "Ear", "LineState"]

LINE_STATES = ("open", "failed", "lost")
"""What can happen to the connection: it was made, could not be made, was closed by the inverter."""

_SIZES: Mapping[Kind, int] = {
    Kind.BOOL: 1, Kind.ENUM: 1, Kind.UINT8: 1, Kind.INT8: 1, Kind.UINT16: 2, Kind.INT16: 2, Kind.UINT32: 4, Kind.INT32: 4,
    Kind.FLOAT: 4, Kind.CELLS: 96, Kind.CELLS_STAT: 48, Kind.CELLS_RESIST: 96,
}  # fmt: skip
"""Bytes of what holds only numbers."""

_MODEL = re.compile(rb"\b(?:PS|PI|DC|PST|IS) \d{1,2}\.\d(?: [A-Z]{2}\d[A-Z]\b)?")
"""What the vendor calls its inverters; the owner may have written more around it."""

_GRID_CODE = re.compile(rb"[A-Z]{2}(?:[ _.-](?:[A-Z]{2,5}|[A-Z]?\d{1,4})){1,5}")


@dataclass(frozen=True, slots=True)
class Bytes:
    """A frame that went over the line ``at`` seconds after the beginning; ``sent`` by us, or heard."""

    at: float
    sent: bool
    data: bytes

    @classmethod
    def of(cls, line: Mapping[str, object]) -> Bytes:
        """Read a line that :class:`Ear` made. Raises :class:`ProtocolError`."""
        at, sent = line.get("t"), "out" in line
        text = line.get("out" if sent else "in")
        try:
            if not isinstance(at, int | float) or not isinstance(text, str):
                raise ValueError
            return cls(float(at), sent, bytes.fromhex(text))
        except ValueError:
            raise ProtocolError("a frame is not as it should be") from None


@dataclass(frozen=True, slots=True)
class LineState:
    """Something has happened to the connection: one of :data:`LINE_STATES`."""

    at: float
    state: str

    @classmethod
    def of(cls, line: Mapping[str, object]) -> LineState:
        """Read such a line. Raises :class:`ProtocolError`."""
        at, state = line.get("t"), line.get("line")
        if not isinstance(at, int | float) or state not in LINE_STATES:
            raise ProtocolError("what happened to the connection is not as it should be")
        return cls(float(at), str(state))


class Ear:
    """Makes lines of what is sent and heard."""

    def __init__(self, stand_ins: StandIns) -> None:
        self._stand_ins = stand_ins
        self._reader = FrameReader()
        self._damage = dataclasses.asdict(self._reader.damage)

    def opened(self, at: float) -> dict[str, object]:
        """Return a new connection."""
        self._reader.reset()
        return {"t": round(at, 3), "line": "open"}

    def sent(self, at: float, data: bytes) -> Iterator[dict[str, object]]:
        """Yield the lines for a request of ours."""
        if data == EXTENSION:
            yield {"t": round(at, 3), "out": data.hex()}
        reader = FrameReader()
        for frame in [*reader.feed(data), *reader.flush()]:
            if frame.command is Command.READ and frame.oid in BY_OID:
                yield {"t": round(at, 3), "out": build(Command.READ, frame.oid).hex()}

    def heard(self, at: float, data: bytes | None) -> Iterator[dict[str, object]]:
        """Yield the lines for bytes that came; None when the line has been silent for a while."""
        strangers = 0
        for frame in self._reader.flush() if data is None else self._reader.feed(data):
            row = BY_OID.get(frame.oid)
            if row is None or frame.command is not Command.RESPONSE or frame.address is not None:
                strangers += 1
                continue
            yield {"t": round(at, 3), "in": build(Command.RESPONSE, row.oid, self._payload(row, frame)).hex()}
        if strangers:
            yield {"t": round(at, 3), "others": strangers}
        damage = dataclasses.asdict(self._reader.damage)
        new = {name: count - self._damage[name] for name, count in damage.items() if count > self._damage[name]}
        if new:
            self._damage = damage
            yield {"t": round(at, 3), "damaged": new}

    def _payload(self, row: Object, frame: Frame) -> bytes:
        if row.kind is Kind.STRING:
            text, _, _ = frame.payload.partition(b"\0")
            # Bytes behind the end of a text are left from other answers.
            return self._text(row, text).ljust(len(frame.payload), b"\0")
        size = _SIZES.get(row.kind, 0)
        # An answer that was mixed with another one may be longer than its type.
        return frame.payload if len(frame.payload) <= size else bytes(len(frame.payload))

    def _text(self, row: Object, text: bytes) -> bytes:
        if row.name == "svnversion" and version(text.decode("latin-1")):
            return text
        if row.name == "parameter_file" and _GRID_CODE.fullmatch(text):
            return text
        found = _MODEL.search(text) if row.name == "android_description" else None
        if found is None:
            return self._stand_ins.octets(text, row.name) if text else text
        before, after = text[: found.start()], text[found.end() :]
        return b"".join((
            self._stand_ins.octets(before, row.name) if before else b"",
            found.group(),
            self._stand_ins.octets(after, row.name) if after else b"",
        ))  # fmt: skip
