# SPDX-License-Identifier: GPL-2.0-or-later
"""``nutdrv_py backends``: what is installed, with the options of each, and the devices that backend = mapping comes with."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nutdrv_py.backends.mapping import Mapping
from nutdrv_py.backends.mapping.description import describe, shipped
from nutdrv_py.backends.mapping.sources import Options
from nutdrv_py.core import settings
from nutdrv_py.device import backend as backends
from nutdrv_py.errors import ConfigError
from nutdrv_py.machine import plugins

HELP = "list the backends installed, with their options; with a shipped device's name, its file"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", nargs="?", help="only this backend, or the file of this device of backend = mapping")


def run(args: argparse.Namespace) -> int:
    """Print the list."""
    known = backends.names()
    if args.name in shipped() and args.name not in known:
        path = shipped()[args.name]
        print(f"# {path}")
        print(path.read_text(encoding="utf-8"), end="")
        return 0
    if args.name and args.name not in known and ":" not in args.name:
        backends.load(args.name)
    for name in [args.name] if args.name else [*sorted(known), *_plugins()]:
        try:
            backend = backends.load(name)
        except ConfigError as error:
            print(f"{name}: {error}")
            continue
        print(f"backend = {name}    {backend.description} {backend.version}")
        for option, settled in settings.backend_options(backend.Config).items():
            print(f"    {option:<16} {settled.help}{_default(backend, option, settled)}")
        if backend is Mapping:
            for device, tried, path in _devices():
                print(f"  port = {path.stem:<18} {device}: {tried}")
        print()
    return 0


def _plugins() -> Iterator[str]:
    """Yield the backends in the plug-in folder as ``module:Class``; of a file that is refused its name, and say why."""
    for name in plugins.found():
        try:
            module = plugins.plugin(name)
        except ConfigError as error:
            print(f"{name}: {error}")
            continue
        for kind in vars(module).values():
            if isinstance(kind, type) and issubclass(kind, backends.Backend) and sys.modules[kind.__module__] is module:
                yield f"{name}:{kind.__name__}"


def _devices() -> Iterator[tuple[str, str, Path]]:
    """Yield the device, what it was tried on, and the file of each that comes with the package."""
    for path in shipped().values():
        plan = describe(path, Options(address="192.0.2.1", topic="x"))
        yield plan.device, plan.tried, path


def _default(backend: type[backends.Backend[Any]], name: str, settled: backends.Option) -> str:
    default = settings.default(backend.Config, name)
    if settled.default_text:
        return f" (default: {settled.default_text})"
    if default is dataclasses.MISSING:
        return " (required)"
    return "" if default is None or default is False else f" (default: {default})"
