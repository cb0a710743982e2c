# SPDX-License-Identifier: GPL-2.0-or-later
"""What the payload of an object means: one compiled :mod:`construct` definition per type.

Everything is big-endian except where a definition differs. Types and widths: vendor document 1.14, "data types"; the
structures of battery modules as rctclient and ioBroker found them.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import construct as c

from nutdrv_py.errors import ProtocolError

__all__ = ["Cell", "CellExtremes", "Event", "Extreme", "Kind", "Sample", "Series", "Value", "decode", "encode"]


@dataclass(frozen=True, slots=True)
class Cell:
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

_CELL = c.Struct("temperature" / c.Int8ub, "millivolt" / c.Int16ul, "status" / c.Int8ub)
_EXTREME = c.Struct("cell" / c.Int32ul, "time" / c.Int32ul, "value" / c.Float32l)
_RESISTANCE = c.Struct("resistance" / c.Int16ub, "unused" / c.Int16ub)
_SAMPLE = c.Struct("time" / c.Int32ub, "value" / c.Float32b)
_EVENT = c.Struct("kind" / c.Int32ub, "start" / c.Int32ub, "end" / c.Int32ub, "third" / c.Int32ub, "fourth" / c.Int32ub)

MOHM = 256
"""Steps of a cell's resistance in one milliohm."""


def _cells(parsed: Any) -> tuple[Cell, ...]:
    return tuple(Cell(cell.temperature, cell.millivolt / 1000, cell.status) for cell in parsed)


def _of_cells(value: Any) -> Any:
    return [{"temperature": cell.temperature, "millivolt": round(cell.voltage * 1000), "status": cell.status} for cell in value]


def _extremes(parsed: Any) -> CellExtremes:
    found = [Extreme(row.cell, row.time, row.value) for row in parsed]
    if not all(math.isfinite(extreme.value) for extreme in found):
        raise ProtocolError("an extreme of a battery module is not a number")
    return CellExtremes(*found)


def _of_extremes(value: Any) -> Any:
    rows = (value.voltage_min, value.voltage_max, value.temperature_min, value.temperature_max)
    return [{"cell": row.cell, "time": row.time, "value": row.value} for row in rows]


def _resistances(parsed: Any) -> tuple[float, ...]:
    return tuple(row.resistance / MOHM for row in parsed)


def _of_resistances(value: Any) -> Any:
    return [{"resistance": round(resistance * MOHM), "unused": 0} for resistance in value]


def _series(parsed: Any) -> Series:
    return Series(parsed.asked, tuple(Sample(row.time, row.value) for row in parsed.rows if math.isfinite(row.value)))


def _of_series(value: Any) -> Any:
    return {"asked": value.asked, "rows": [{"time": row.time, "value": row.value} for row in value.samples]}


def _events(parsed: Any) -> tuple[Event, ...]:
    return tuple(Event(row.kind, row.start, row.end, row.third, row.fourth) for row in parsed.rows)


def _of_events(value: Any) -> Any:
    rows = [{name: getattr(row, name) for name in ("kind", "start", "end", "third", "fourth")} for row in value]
    return {"asked": 0, "rows": rows}


def _number(parsed: Any) -> float:
    number = float(parsed)
    if not math.isfinite(number):
        raise ProtocolError("the value is not a number")
    return number


def _text(parsed: bytes) -> str:
    # What follows the first NUL is whatever stood in the buffer before.
    text = parsed.partition(b"\0")[0]
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("latin-1")


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True)
class _Rule:
    """Form of a type on the wire. ``size`` 0: any number of bytes that is ``head`` plus a multiple of ``step``."""

    size: int
    parse: Callable[[bytes], Any]
    build: Callable[[Any], bytes]
    after: Callable[[Any], Value] = _same
    before: Callable[[Any], Any] = _same
    head: int = 0
    step: int = 1


def _rule(
    definition: Any, after: Callable[[Any], Value] = _same, before: Callable[[Any], Any] = _same, *, head: int = 0, step: int = 1
) -> _Rule:
    compiled = definition.compile()
    size = 0 if head or step > 1 else definition.sizeof()
    return _Rule(size, compiled.parse, definition.build, after, before, head, step)


# fmt: off
_RULES: dict[Kind, _Rule] = {
    Kind.BOOL:         _rule(c.Int8ub, bool, int),
    Kind.ENUM:         _rule(c.Int8ub),
    Kind.UINT8:        _rule(c.Int8ub),
    Kind.INT8:         _rule(c.Int8sb),
    Kind.UINT16:       _rule(c.Int16ub),
    Kind.INT16:        _rule(c.Int16sb),
    Kind.UINT32:       _rule(c.Int32ub),
    Kind.INT32:        _rule(c.Int32sb),
    Kind.FLOAT:        _rule(c.Float32b, _number),
    Kind.STRING:       _Rule(0, c.GreedyBytes.parse, c.GreedyBytes.build, _text, lambda value: value.encode("utf-8")),
    Kind.CELLS:        _rule(c.Array(CELLS, _CELL), _cells, _of_cells),
    Kind.CELLS_STAT:   _rule(c.Array(4, _EXTREME), _extremes, _of_extremes),
    Kind.CELLS_RESIST: _rule(c.Array(CELLS, _RESISTANCE), _resistances, _of_resistances),
    Kind.TIMESERIES:   _rule(c.Struct("asked" / c.Int32ub, "rows" / c.GreedyRange(_SAMPLE)), _series, _of_series, head=4, step=8),
    Kind.EVENT_TABLE:  _rule(c.Struct("asked" / c.Int32ub, "rows" / c.GreedyRange(_EVENT)), _events, _of_events, head=4, step=20),
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
    return rule.after(rule.parse(payload))


def encode(kind: Kind, value: Any, *, size: int = 0) -> bytes:
    """Return the payload for a value, padded with NUL to ``size`` bytes; simulators need it.

    Raises ValueError or :class:`construct.ConstructError` when the value does not fit the type.
    """
    rule = _RULES[kind]
    return bytes(rule.build(rule.before(value))).ljust(size, b"\0")
