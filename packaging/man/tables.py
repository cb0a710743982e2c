# SPDX-License-Identifier: GPL-2.0-or-later
"""The options and commands of the program, from the tables it runs by: the one source of the man page and the completion."""

from __future__ import annotations

import argparse
import configparser
import dataclasses
import importlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO))

from nutdrv_py import cli  # noqa: E402
from nutdrv_py.core.settings import backend_options, default  # noqa: E402
from nutdrv_py.device.backend import Backend, Config  # noqa: E402
from nutdrv_py.device.backend import load as load_backend  # noqa: E402
from nutdrv_py.process.options import OPTIONS  # noqa: E402
from nutdrv_py.process.upsconf import CORE, Core  # noqa: E402

__all__ = ["BACKENDS", "OPTIONS", "REPO", "Argument", "Command", "Row", "backend", "commands", "core", "own", "shared"]


def _entry_points(group: str) -> dict[str, str]:
    setup = configparser.ConfigParser()
    setup.read(REPO / "setup.cfg", encoding="utf-8")
    lines = setup["options.entry_points"][group].strip().splitlines()
    return {name.strip(): place.strip() for name, _, place in (line.partition("=") for line in lines)}


BACKENDS: Mapping[str, str] = _entry_points("nutdrv_py.backends")
"""The built-in backends, in the order of the page. From setup.cfg: at build time no entry points are installed."""


@dataclass(frozen=True, slots=True)
class Row:
    """An option of ups.conf. ``default`` is what stands for a value that is not given; empty when nothing does."""

    name: str
    help: str
    flag: bool = False
    default: str = ""
    required: bool = False


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of a command: its spellings (none for an operand), what it takes, the words it may be, and what it is for."""

    spellings: tuple[str, ...]
    metavar: str
    choices: tuple[str, ...]
    help: str


@dataclass(frozen=True, slots=True)
class Command:
    """A command of the command line."""

    name: str
    help: str
    arguments: tuple[Argument, ...]


def backend(name: str) -> type[Backend]:
    """The class of a built-in backend."""
    return load_backend(BACKENDS[name])


def core() -> Iterator[Core]:
    """The core's options that ``-L`` lists."""
    return (row for row in CORE if row.kind not in ("ignored", "refused", "backend") and row.scope != "global")


def own(name: str) -> list[Row]:
    """The options of a backend that are its own, or that it gives another default or meaning."""
    config = backend(name).Config
    common = {row.name: row for row in shared()}
    return [row for row in _rows(config) if common.get(row.name) != row]


def shared() -> list[Row]:
    """The options that every backend has, with their general meaning."""
    return list(_rows(Config))


def _rows(config: type[Config]) -> Iterator[Row]:
    for name, settled in backend_options(config).items():
        value = default(config, name)
        given = value not in (None, False, dataclasses.MISSING)
        text = settled.default_text or (f"{value:g}" if isinstance(value, float) else str(value) if given else "")
        yield Row(name, settled.help, flag=isinstance(value, bool), default=text, required=value is dataclasses.MISSING)


def commands() -> list[Command]:
    """The commands, as their parsers have them."""
    found = []
    for name in cli.COMMANDS:
        module = importlib.import_module(f"nutdrv_py.commands.{name.replace('-', '_')}")
        parser = argparse.ArgumentParser(prog=f"nutdrv_py {name}")
        module.configure(parser)
        found.append(Command(name, module.HELP, tuple(_arguments(parser))))
    return found


def _arguments(parser: argparse.ArgumentParser) -> Iterator[Argument]:
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction) or action.help == argparse.SUPPRESS:
            continue
        metavar = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
        values = "" if action.nargs == 0 else metavar
        choices = tuple(map(str, action.choices or ()))
        text = (action.help or "") % {"default": action.default, "prog": parser.prog}
        yield Argument(tuple(action.option_strings), values, choices, text)
