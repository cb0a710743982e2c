# SPDX-License-Identifier: GPL-2.0-or-later
"""``nutdrv_py backends``: what is installed, with the options of each."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

from nutdrv_py.core import settings
from nutdrv_py.device import backend as backends
from nutdrv_py.errors import ConfigError

HELP = "list the backends installed, with their options"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", nargs="?", help="only this backend")


def run(args: argparse.Namespace) -> int:
    """Print the list."""
    known = backends.names()
    if args.name and args.name not in known and ":" not in args.name:
        backends.load(args.name)
    for name in [args.name] if args.name else sorted(known):
        try:
            backend = backends.load(name)
        except ConfigError as error:
            print(f"{name}: {error}")
            continue
        print(f"backend = {name}    {backend.description} {backend.version}")
        for option, settled in settings.backend_options(backend.Config).items():
            print(f"    {option:<16} {settled.help}{_default(backend, option, settled)}")
        print()
    return 0


def _default(backend: type[backends.Backend[Any]], name: str, settled: backends.Option) -> str:
    default = settings.default(backend.Config, name)
    if settled.default_text:
        return f" (default: {settled.default_text})"
    if default is dataclasses.MISSING:
        return " (required)"
    return "" if default is None or default is False else f" (default: {default})"
