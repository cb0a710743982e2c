#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Write bash's completion of nutdrv_py: ``generate.py FILE``. The words come from the tables of the code."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "man"))

from tables import BACKENDS, OPTIONS, Argument, backend, commands, core

from nutdrv_py.backends.mapping.description import shipped
from nutdrv_py.core.settings import backend_options
from nutdrv_py.process.options import COMMANDS

__all__ = ["script"]

TEMPLATE = Path(__file__).with_name("nutdrv_py.bash.in")

FILES = ("FILE", "CONFIG", "DRIVERPATH", "DIRECTORY", "NAME|FILE|DIRECTORY")
"""What stands for a file in the help texts; after such an option files are offered."""

SECTIONS = ("UPS", "ups")
"""What stands for the name of a UPS: the sections of ups.conf are offered."""


def _case(pattern: str, action: str) -> str:
    return f"        {pattern}) {action} ;;"


def _offer(words: Iterable[str]) -> str:
    return f"words='{' '.join(words)}'"


def _value(argument: Argument) -> str:
    """What to offer for the value of an argument."""
    if argument.choices:
        return _offer(argument.choices)
    if argument.metavar in FILES:
        return "files=1"
    return "sections=1" if argument.metavar in SECTIONS else "words="


def _values() -> Iterable[str]:
    for command in commands():
        for argument in command.arguments:
            if argument.spellings and argument.metavar:
                yield _case("|".join(f"{command.name}:{word}" for word in argument.spellings), _value(argument))


def _operands() -> Iterable[str]:
    for command in commands():
        operands = [argument for argument in command.arguments if not argument.spellings]
        if command.name == "backends":
            yield _case(command.name, _offer([*BACKENDS, *shipped()]))
        elif operands:
            yield _case(command.name, "; ".join(_value(argument) for argument in operands))


def _options() -> Iterable[str]:
    for command in commands():
        yield _case(command.name, _offer([*(word for item in command.arguments for word in item.spellings), "-h", "--help"]))


def _settings() -> list[str]:
    """What may follow -x: flags alone, others with their equals sign. Secrets are refused there."""
    found = {row.name + ("" if row.kind == "flag" else "=") for row in core()}
    for name in BACKENDS:
        config = backend(name).Config
        flags = {item.name for item in config.__dataclass_fields__.values() if item.default is False}
        options = backend_options(config)
        found |= {option + ("" if option in flags else "=") for option, settled in options.items() if not settled.sensitive}
    return sorted(found)


def script() -> str:
    """The whole script."""
    tables = {
        "@COMMANDS@": " ".join(command.name for command in commands()),
        "@DRIVER@": " ".join(f"-{letter}" for letter, _, _ in OPTIONS),
        "@SETTINGS@": " ".join(_settings()),
        "@RELOADS@": " ".join(COMMANDS),
        "@VALUES@": "\n".join(_values()),
        "@OPERANDS@": "\n".join(_operands()),
        "@OPTIONS@": "\n".join(_options()),
    }
    text = TEMPLATE.read_text(encoding="ascii")
    for name, table in tables.items():
        text = text.replace(name, table)
    return text


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(script(), encoding="ascii")
