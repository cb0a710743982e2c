# SPDX-License-Identifier: GPL-2.0-or-later
"""What the payload of an object means: one :mod:`construct` declaration per type, read by :mod:`struct`.

Everything is big-endian except where a definition differs. Types and widths: vendor document 1.14, "data types"; the
structures of battery modules as rctclient and ioBroker found them.
"""

from __future__ import annotations

import enum
import math
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import construct as c

from nutdrv_py.errors import ProtocolError

__all__ = ["Cell", "CellExtremes", "Event", "Extreme", "Kind", "Sample", "Series", "Value", "decode", "encode"]


class Cell(NamedTuple):
    """A battery cell: degrees Celsius, volts, and a status whose meaning is not published."""

    temperature: int
    voltage: float
    status: int


@dataclass(frozen=True, slots=True)
class Extreme:
    """The highest or lowest value a cell of a module ever had: which cell, when (Unix time), what (V or degrees Celsius)."""

    cell: int
    time: int
    value: float


@dataclass(frozen=True, slots=True)
class CellExtremes:
    """The life-time extremes of a battery module."""

    voltage_min: Extreme
    voltage_max: Extreme
    temperature_min: Extreme
    temperature_max: Extreme


@dataclass(frozen=True, slots=True)
class Sample:
    """A value of a time series; the inverter's clock runs in local time and is sent as if it were UTC."""

    time: int
    value: float


@dataclass(frozen=True, slots=True)
class Series:
    """A time series: the time that was asked for, and what is older than it."""

    asked: int
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True)
class Event:
    """A row of the event table; ``kind`` has the number of the fault bit."""

    kind: int
    start: int
    end: int
    third: int
    fourth: int


Value = bool | int | float | str | tuple[Cell, ...] | tuple[float, ...] | CellExtremes | Series | tuple[Event, ...]
"""What a payload decodes to."""


class Kind(enum.Enum):
    """Type of an object's value, by the names of the vendor document and the public registries."""

    BOOL = "BOOL"
    ENUM = "ENUM"
    UINT8 = "UINT8"
    INT8 = "INT8"
    UINT16 = "UINT16"
    INT16 = "INT16"
    UINT32 = "UINT32"
    INT32 = "INT32"
    FLOAT = "FLOAT"
    STRING = "STRING"
    TIMESERIES = "TIMESERIES"
    EVENT_TABLE = "EVENT_TABLE"
    CELLS = "BATTERY_MODULE_STATUS"
    CELLS_STAT = "BATTERY_MODULE_STATISTICS"
    CELLS_RESIST = "BATTERY_MODULE_RESISTANCE"

    __hash__ = object.__hash__  # members are unique; the one of enum.Enum is slow


CELLS = 24
"""Cells of a battery module."""

MOHM = 256
"""Steps of a cell's resistance in one milliohm."""


def _layout(declaration: Any) -> struct.Struct:
    """Return the layout of a number or of a structure of numbers: read so, no object is made for each of them."""
    numbers = [named.subcon for named in declaration.subcons] if isinstance(declaration, c.Struct) else [declaration]
    (order,) = {number.fmtstr[0] for number in numbers if number.length > 1} or {">"}
    return struct.Struct(order + "".join(number.fmtstr[1:] for number in numbers))


_FLOAT = _layout(c.Float32b)
_ASKED = _layout(c.Int32ub)
_CELL = _layout(c.Struct("temperature" / c.Int8ub, "millivolt" / c.Int16ul, "status" / c.Int8ub))
_EXTREME = _layout(c.Struct("cell" / c.Int32ul, "time" / c.Int32ul, "value" / c.Float32l))
_RESISTANCE = _layout(c.Struct("resistance" / c.Int16ub, "unused" / c.Int16ub))
_SAMPLE = _layout(c.Struct("time" / c.Int32ub, "value" / c.Float32b))
_EVENT = _layout(c.Struct("kind" / c.Int32ub, "start" / c.Int32ub, "end" / c.Int32ub, "third" / c.Int32ub, "fourth" / c.Int32ub))


def _float(payload: bytes) -> float:
    number: float = _FLOAT.unpack(payload)[0]
    if not math.isfinite(number):
        raise ProtocolError("the value is not a number")
    return number


def _text(payload: bytes) -> str:
    # What follows the first NUL is whatever stood in the buffer before.
    text = payload.partition(b"\0")[0]
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("latin-1")


def _cells(payload: bytes) -> tuple[Cell, ...]:
    return tuple(Cell(temperature, millivolt / 1000, status) for temperature, millivolt, status in _CELL.iter_unpack(payload))


def _of_cells(value: Iterable[Cell]) -> bytes:
    return _packed(_CELL, ((cell.temperature, round(cell.voltage * 1000), cell.status) for cell in value))


def _extremes(payload: bytes) -> CellExtremes:
    found = [Extreme(*row) for row in _EXTREME.iter_unpack(payload)]
    if not all(math.isfinite(extreme.value) for extreme in found):
        raise ProtocolError("an extreme of a battery module is not a number")
    return CellExtremes(*found)


def _of_extremes(value: CellExtremes) -> bytes:
    rows = (value.voltage_min, value.voltage_max, value.temperature_min, value.temperature_max)
    return _packed(_EXTREME, ((row.cell, row.time, row.value) for row in rows))


def _resistances(payload: bytes) -> tuple[float, ...]:
    return tuple(resistance / MOHM for resistance, _ in _RESISTANCE.iter_unpack(payload))


def _of_resistances(value: Iterable[float]) -> bytes:
    return _packed(_RESISTANCE, ((round(resistance * MOHM), 0) for resistance in value))


def _series(payload: bytes) -> Series:
    rows = _SAMPLE.iter_unpack(payload[4:])
    return Series(_ASKED.unpack_from(payload)[0], tuple(Sample(time, value) for time, value in rows if math.isfinite(value)))


def _of_series(value: Series) -> bytes:
    return _ASKED.pack(value.asked) + _packed(_SAMPLE, ((row.time, row.value) for row in value.samples))


def _events(payload: bytes) -> tuple[Event, ...]:
    return tuple(Event(*row) for row in _EVENT.iter_unpack(payload[4:]))


def _of_events(value: Iterable[Event]) -> bytes:
    return _ASKED.pack(0) + _packed(_EVENT, ((row.kind, row.start, row.end, row.third, row.fourth) for row in value))


def _packed(layout: struct.Struct, rows: Iterable[tuple[float, ...]]) -> bytes:
    return b"".join(layout.pack(*row) for row in rows)


@dataclass(frozen=True, slots=True)
class _Rule:
    """Form of a type on the wire. ``size`` 0: any number of bytes that is ``head`` plus a multiple of ``step``."""

    size: int
    parse: Callable[[bytes], Value]
    build: Callable[[Any], bytes]
    head: int = 0
    step: int = 1


def _whole(declaration: Any) -> _Rule:
    number = _layout(declaration)
    return _Rule(number.size, lambda payload: int(number.unpack(payload)[0]), number.pack)


# fmt: off
_RULES: dict[Kind, _Rule] = {
    Kind.BOOL:         _Rule(1, lambda payload: payload != b"\0", lambda value: bytes([int(value)])),
    Kind.ENUM:         _whole(c.Int8ub),
    Kind.UINT8:        _whole(c.Int8ub),
    Kind.INT8:         _whole(c.Int8sb),
    Kind.UINT16:       _whole(c.Int16ub),
    Kind.INT16:        _whole(c.Int16sb),
    Kind.UINT32:       _whole(c.Int32ub),
    Kind.INT32:        _whole(c.Int32sb),
    Kind.FLOAT:        _Rule(_FLOAT.size, _float, _FLOAT.pack),
    Kind.STRING:       _Rule(0, _text, lambda value: value.encode("utf-8")),
    Kind.CELLS:        _Rule(CELLS * _CELL.size, _cells, _of_cells),
    Kind.CELLS_STAT:   _Rule(4 * _EXTREME.size, _extremes, _of_extremes),
    Kind.CELLS_RESIST: _Rule(CELLS * _RESISTANCE.size, _resistances, _of_resistances),
    Kind.TIMESERIES:   _Rule(0, _series, _of_series, head=4, step=_SAMPLE.size),
    Kind.EVENT_TABLE:  _Rule(0, _events, _of_events, head=4, step=_EVENT.size),
}
# fmt: on


def decode(kind: Kind, payload: bytes) -> Value:
    """Return the value of an object of that type.

    Raises :class:`ProtocolError` when the payload has not the size of the type (answers cut short by another client's request
    have a valid CRC) or holds what is not a number.
    """
    rule = _RULES[kind]
    size = len(payload)
    if rule.size:
        if size != rule.size:
            raise ProtocolError(f"a {kind.value} has {rule.size} bytes, not {size}")
    elif size < rule.head or (size - rule.head) % rule.step:
        raise ProtocolError(f"a {kind.value} cannot have {size} bytes")
    return rule.parse(payload)


def encode(kind: Kind, value: Any, *, size: int = 0) -> bytes:
    """Return the payload for a value, padded with NUL to ``size`` bytes; simulators need it.

    Raises ValueError when the value does not fit the type.
    """
    try:
        return _RULES[kind].build(value).ljust(size, b"\0")
    except (struct.error, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"{value!r} is no {kind.value}") from error
