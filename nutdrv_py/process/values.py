# SPDX-License-Identifier: GPL-2.0-or-later
"""From the words of ups.conf to values of the types that a backend's options have."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Mapping

from nutdrv_py.core.settings import backend_options
from nutdrv_py.device.backend import Config
from nutdrv_py.errors import ConfigError
from nutdrv_py.process.upsconf import Entry

__all__ = ["convert", "nearest", "switch"]

_ON = frozenset({"", "1", "yes", "true", "on", "enabled"})
_OFF = frozenset({"0", "no", "false", "off", "disabled"})


def convert(config: type[Config], own: Mapping[str, Entry], notes: list[str]) -> Iterable[tuple[str, object]]:
    """Yield the backend's options that ``own`` sets, with values of their types; what was raised to a minimum becomes a note.

    Raises :class:`ConfigError`.
    """
    hints = typing.get_type_hints(config)
    for name, settled in backend_options(config).items():
        if name not in own:
            continue
        entry = own[name]
        try:
            value = _typed(entry, hints[name])
        except ConfigError:
            if not settled.sensitive:
                raise
            raise ConfigError(f"{entry.where}: {name} is not what it must be; see the options of the backend") from None
        if settled.choices and value not in settled.choices:
            near = nearest(str(value), settled.choices)
            raise ConfigError(
                f"{entry.where}: {name}{'' if settled.sensitive else f' = {value}'} is not one of {', '.join(settled.choices)}"
                + (f"; did you mean {near}?" if near else "")
            )
        if name == "pollinterval" and isinstance(value, int) and value < 1:
            raise ConfigError(f"Error: {entry.where}: invalid pollinterval: {value}")
        if settled.minimum is not None and isinstance(value, int | float) and value < settled.minimum:
            given = name if settled.sensitive else f"{name} = {value}"
            notes.append(f"{entry.where}: {given} is below the minimum and is raised to {settled.minimum:g}")
            value = type(value)(settled.minimum)
        yield name, value


_KIND = {int: "a whole number", float: "a number"}


def _typed(entry: Entry, hint: object) -> object:
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    kind = next(kind for kind in kinds if kind is not type(None))
    if kind is bool:
        return switch(entry)
    if entry.value is None:
        raise ConfigError(f"{entry.where}: {entry.name} needs a value: {entry.name} = ...")
    if kind is str:
        return entry.value
    if kind is int or kind is float:
        try:
            value = kind(entry.value)
            if value != value or value in (float("inf"), float("-inf")):
                raise ValueError
        except ValueError:
            raise ConfigError(f"{entry.where}: {entry.name} = {entry.value!r} is not {_KIND[kind]}") from None
        return value
    raise TypeError(f"option {entry.name}: no conversion to {kind}")


def switch(entry: Entry) -> bool:
    """Return whether a flag is on. Raises :class:`ConfigError`."""
    word = (entry.value or "").lower()
    if word in _ON:
        return True
    if word in _OFF:
        return False
    raise ConfigError(f"{entry.where}: {entry.name} is a flag: write it alone on its line, or = yes or = no, not {entry.value!r}")


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the one of ``known`` that may be meant; empty when none is close."""
    # Imported here: only a mistake needs it.
    import difflib

    return next(iter(difflib.get_close_matches(name, list(known), n=1)), "")
