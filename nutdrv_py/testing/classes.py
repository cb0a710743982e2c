# SPDX-License-Identifier: GPL-2.0-or-later
"""What can be judged of a backend's class alone, without a device: its options and what it offers."""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Iterator
from typing import Any

from nutdrv_py.core.settings import backend_options
from nutdrv_py.device.backend import Backend, Config, Option
from nutdrv_py.nut.names import is_command
from nutdrv_py.testing.rules import Failure

__all__ = ["class_faults"]

SECRET = re.compile(r"(?:.*_)?(?:pass(?:word|wd|phrase|code)?|token|secret|(?:api|access|private)_?key|pin)(?:_.*)?", re.ASCII)
"""Options that hold a secret by their names."""

NOT_SECRET = re.compile(r".*(?:file|path|url|_timeout|_seconds|_age)|credentials", re.ASCII)
"""Names of options that only lead to one."""

LONGEST_AGE = 600
"""Seconds for which the last reading may be served by default: a house that is on battery for longer may be empty."""

_TYPES = (str, int, float, bool)


def class_faults(backend: type[Backend[Any]]) -> Iterator[Failure]:
    """Yield what is wrong with the class."""
    try:
        hints = typing.get_type_hints(backend.Config)
    except Exception as error:
        yield Failure("options", f"the types of {backend.Config.__name__} cannot be read ({type(error).__name__})")
        return
    yield from _options(backend.Config, hints)
    yield from _limits(backend)
    for name in ("description", "version"):
        if not getattr(backend, name) or getattr(backend, name) == getattr(Backend, name):
            yield Failure("described", f"the class has no {name} of its own")
    yield from _offers(backend)


def _options(config: type[Config], hints: dict[str, Any]) -> Iterator[Failure]:
    options = backend_options(config)
    common = {item.name for item in dataclasses.fields(Config)}
    for item in dataclasses.fields(config):
        if item.name in common and item.name not in options:
            continue
        settled = options.get(item.name)
        if settled is None:
            if item.init and item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING:
                yield Failure("options", f"{item.name} of {config.__name__} is no option: nobody can set it in ups.conf")
            continue
        if not settled.help.strip():
            yield Failure("options", f"the option {item.name} has no help text")
        if item.name != item.name.lower():
            yield Failure("options", f"the option {item.name} is not in lower case, as ups.conf is read")
        if _plain(hints[item.name]) not in _TYPES:
            yield Failure("options", f"the option {item.name} is of a type that ups.conf cannot hold")
        if not settled.default_text and (problem := _default(item.default, settled)):
            yield Failure("options", f"the default of the option {item.name} {problem}")
        shown = not settled.sensitive and item.name not in common
        if shown and SECRET.fullmatch(item.name) and not NOT_SECRET.fullmatch(item.name):
            text = f"the option {item.name} is not sensitive, so that upsc shows it as driver.parameter.{item.name}"
            yield Failure("secret-option", text)


def _plain(hint: Any) -> Any:
    """Return the type of an option, of ``X | None`` the X."""
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union else (hint,)
    kinds = tuple(kind for kind in kinds if kind is not type(None))
    return kinds[0] if len(kinds) == 1 else None


def _default(default: object, settled: Option) -> str:
    if default in (None, dataclasses.MISSING, False):
        return ""
    if settled.choices and default not in settled.choices:
        return f"is none of its choices {', '.join(settled.choices)}"
    if settled.minimum is not None and isinstance(default, int | float) and default < settled.minimum:
        return f"is below its minimum {settled.minimum:g}"
    if settled.sensitive and default:
        return "is a secret that stands in the program"
    return ""


def _limits(backend: type[Backend[Any]]) -> Iterator[Failure]:
    defaults = {item.name: item.default for item in dataclasses.fields(backend.Config)}
    interval, age = defaults.get("pollinterval"), defaults.get("maxage")
    if any(backend_options(backend.Config)[name].default_text for name in ("pollinterval", "maxage")):
        return  # they follow from something else
    if not isinstance(interval, int) or not isinstance(age, int):
        yield Failure("limits", "pollinterval and maxage have no whole numbers as defaults")
        return
    if age < 2 * interval:
        yield Failure("limits", f"maxage of {age} s holds no two pollintervals of {interval} s")
    if age < backend.patience:
        yield Failure("limits", f"maxage of {age} s is less than the patience of {backend.patience} s")
    if age > LONGEST_AGE:
        yield Failure("limits", f"maxage of {age} s is more than {LONGEST_AGE} s")


def _offers(backend: type[Backend[Any]]) -> Iterator[Failure]:
    offered = vars(backend).get("commands", frozenset())
    if not isinstance(offered, property) and offered:
        if isinstance(offered, str):
            yield Failure("offers", "commands is one text, not a set of names")
            return
        unknown = sorted(str(name) for name in offered if not is_command(str(name)))
        if unknown:
            yield Failure("offers", f"the command {unknown[0]} is none of NUT's")
        if backend.command is Backend.command:
            yield Failure("offers", f"the command {sorted(offered)[0]} is offered, and command() is missing")
    if backend.writable is not Backend.writable and backend.set is Backend.set:
        yield Failure("offers", "writable is there, and set() is missing")
