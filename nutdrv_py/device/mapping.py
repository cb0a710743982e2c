# SPDX-License-Identifier: GPL-2.0-or-later
"""From a device's names to NUT's: one :class:`Field` per variable, no branches.

A backend lists its fields; :func:`translate` looks each one up in the device's nested answer and converts it. What is
missing, ``null``, not a number or out of range is left out: no value is better than a wrong one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from nutdrv_py.device.reading import Value

__all__ = ["Converter", "Field", "between", "find", "integer", "lookup", "number", "scaled", "text", "to_number", "translate"]

Converter = Callable[[object], Value | None]
"""Turns the device's answer into a value, or None when it is not usable."""


def to_number(raw: object) -> float | None:
    """Return a finite number from a number or from text that holds one ("12", "-0", "12.5"); None for anything else."""
    if isinstance(raw, bool) or not isinstance(raw, int | float | str):
        return None
    try:
        value = float(raw)
    except (ValueError, OverflowError):
        return None
    return value + 0.0 if math.isfinite(value) else None


def number(raw: object) -> Value | None:
    """Return a finite number as it is."""
    return to_number(raw)


def integer(raw: object) -> Value | None:
    """Return a finite number rounded to a whole one."""
    value = to_number(raw)
    return None if value is None else round(value)


def scaled(factor: float) -> Converter:
    """Return a number times ``factor``."""

    def convert(raw: object) -> Value | None:
        value = to_number(raw)
        return None if value is None else value * factor

    return convert


def between(low: float, high: float, convert: Converter = number) -> Converter:
    """Return what ``convert`` gives if it lies from ``low`` to ``high``, both included; else nothing."""

    def check(raw: object) -> Value | None:
        value = convert(raw)
        return value if isinstance(value, int | float) and low <= value <= high else None

    return check


def lookup(table: Mapping[object, Value]) -> Converter:
    """Return the table's entry; nothing for what the table does not know."""

    def convert(raw: object) -> Value | None:
        return table.get(raw) if isinstance(raw, str | int | bool) else None

    return convert


def text(raw: object) -> Value | None:
    """Return non-empty text without the blanks around it."""
    return raw.strip() or None if isinstance(raw, str) else None


@dataclass(frozen=True, slots=True)
class Field:
    """``name`` (NUT's) is found at ``path`` (the device's keys, dots between them) and made a value by ``convert``."""

    name: str
    path: str
    convert: Converter = number


def find(raw: object, path: str) -> object:
    """Return the value at ``path`` in nested mappings, or under a flat key of that name; None when any step is missing."""
    if isinstance(raw, Mapping) and path in raw:
        return raw[path]
    for key in path.split("."):
        if not isinstance(raw, Mapping):
            return None
        raw = raw.get(key)
    return raw


def translate(fields: Iterable[Field], raw: Mapping[str, object]) -> dict[str, Value]:
    """Return the variables that ``raw`` holds; of two fields for one name the first that has a value wins."""
    values: dict[str, Value] = {}
    for field in fields:
        if field.name in values:
            continue
        value = field.convert(find(raw, field.path))
        if value is not None:
            values[field.name] = value
    return values
