# SPDX-License-Identifier: GPL-2.0-or-later
"""The sections of ups.conf that a command is about, and the running driver of each, read over its own socket."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nutdrv_py.errors import ConfigError
from nutdrv_py.machine.paths import Paths, paths
from nutdrv_py.nut.messages import DataOk, DataStale, DumpAll, DumpDone, SetInfo
from nutdrv_py.nut.parseconf import BadLine, parse
from nutdrv_py.process.older import ask
from nutdrv_py.process.upsconf import UpsConf, read_ups_conf

__all__ = ["NAME", "Section", "Seen", "chosen", "look", "ours"]

NAME = "nutdrv_py"

ANSWER = 3.0
"""Seconds that a driver may take to send everything; NUT's own tools wait as long."""


@dataclass(frozen=True, slots=True)
class Section:
    """A section of ups.conf: its name, its driver, its lines."""

    ups: str
    driver: str
    conf: UpsConf
    paths: Paths

    @property
    def socket(self) -> Path:
        """Return where its driver listens."""
        return self.paths.statepath / f"{self.driver}-{self.ups}"

    def value(self, name: str) -> str | None:
        """Return the last value of an option, in the section or above all sections; None when it is not there."""
        entries = (*self.conf.globals, *self.conf.section)
        return next((entry.value for entry in reversed(entries) if entry.name == name), None)


@dataclass(frozen=True, slots=True)
class Seen:
    """The values of a running driver. ``variables`` are those of the moment, also while ``stale``."""

    stale: bool
    variables: Mapping[str, str]


def ours(driver: str) -> bool:
    """Return whether a driver of this name is this program."""
    return driver == NAME or driver.startswith(f"{NAME}_")


def chosen(ups: str | None, *, foreign: bool = False, environ: Mapping[str, str] = os.environ) -> list[Section]:
    """Return section ``ups``, or without a name each whose driver is this program; with ``foreign`` all, if there is none.

    Raises :class:`ConfigError`.
    """
    path = paths(environ=environ).confpath / "ups.conf"
    drivers = _drivers(path)
    if ups is not None and ups not in drivers:
        known = f"; the sections are {', '.join(drivers)}" if drivers else ""
        raise ConfigError(f"there is no section [{ups}] in {path}{known}")
    names = [ups] if ups is not None else [name for name, driver in drivers.items() if ours(driver)]
    if not names and foreign:
        names = list(drivers)
    if not names:
        raise ConfigError(
            f"no section of {path} has driver = {NAME}; write one (nutdrv_py simulate enphase prints an example), "
            "then type: upsdrvctl start"
        )
    found: list[Section] = []
    for name in names:
        conf = read_ups_conf(path, name)
        state = next((entry.value for entry in reversed(conf.globals) if entry.name.lower() == "statepath"), None)
        found.append(Section(name, drivers[name], conf, paths(state, environ)))
    return found


def _drivers(path: Path) -> dict[str, str]:
    """Return each section's driver, in the order of the file."""
    try:
        data = path.read_bytes()
    except PermissionError:
        raise ConfigError(f"{path} cannot be read by this user; type the same with sudo") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}; write it, see man ups.conf") from error
    found: dict[str, str] = {}
    current: str | None = None
    for line in parse(data):
        if isinstance(line, BadLine):
            continue
        words = line.words
        if len(words[0]) > 1 and words[0][0] == "[" and words[0][-1] == "]":
            current = words[0][1:-1]
            found.setdefault(current, "")
        elif current is not None and words[0] == "driver" and len(words) > 2:
            found[current] = words[2]
    return found


def look(path: Path, *, timeout: float = ANSWER) -> Seen | None:
    """Return the values of the driver at this socket; None when it does not send all in time. Raises OSError when nothing listens
    there."""
    variables: dict[str, str] = {}
    stale = True
    for message in ask(path, DumpAll(), timeout=timeout):
        match message:
            case SetInfo():
                variables[message.name] = message.value
            case DataOk():
                stale = False
            case DataStale():
                stale = True
            case DumpDone():
                return Seen(stale, variables)
    return None
