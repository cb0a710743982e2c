# SPDX-License-Identifier: GPL-2.0-or-later
"""What the commands need of a device besides its backend: a simulator, a recorder, a search on the network.

``Backend.tools`` names a :class:`Tools`, which only the commands import: a driver stays small.
"""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from nutdrv_py.clock import Clock
from nutdrv_py.device.backend import Backend
from nutdrv_py.errors import ConfigError

__all__ = ["Demo", "Found", "Recorded", "Search", "Simulation", "Simulator", "Tape", "Tools", "tools_of"]


class Simulator(Protocol):
    """A device without hardware, on the loopback interface; all of it belongs to one event loop."""

    async def start(self, host: str = ..., port: int = ...) -> None:
        """Listen on this address; port 0 takes a free one. Raises OSError."""

    async def stop(self) -> None:
        """Stop listening. Stopping twice is fine."""

    def set(self, **changes: Any) -> None:
        """Change what the device says, by name, as of now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """What ``nutdrv_py demo`` shows of a device: its charge must fall by itself while the grid is gone."""

    title: str
    """What is simulated."""
    cut: str
    """What happens at the device when the grid fails."""
    make: Callable[[float], Any]
    """Returns the simulator, whose time runs so many times as fast as ours."""
    begin: Mapping[str, Any]
    """Changes before the driver is started: on the grid, with a charge some percent above the low mark."""
    outage: Mapping[str, Any] = field(default_factory=lambda: {"grid": "outage"})
    back: Mapping[str, Any] = field(default_factory=lambda: {"grid": "on"})
    options: Mapping[str, str] = field(default_factory=dict)
    """Lines for ups.conf besides those of the simulation."""
    epilogue: str = ""
    """What to type for a real device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """What ``nutdrv_py simulate`` runs."""

    scenarios: Mapping[str, str]
    """Names with a title each; the first is played when none is named."""
    make: Callable[[str, Mapping[str, Any]], Any]
    """Returns the :class:`Simulator` for a scenario and the settings ``speed`` and ``serial``, as far as they were given.

    Raises ValueError with a sentence.
    """
    section: Callable[[Any, Path], Mapping[str, str]]
    """Returns the lines of ups.conf for the simulator, which listens; what they mention may be written into the folder."""
    title: Callable[[Any], str] | None = None
    """Returns name and title of the scenario that a simulator plays, where they are not those of the table."""
    demo: Demo | None = None


class Tape(Protocol):
    """The recording that ``nutdrv_py record`` makes."""

    @property
    def stand_ins(self) -> Any:
        """What replaces names and serial numbers: ``know(secret)``, ``replace(text)``."""

    def now(self) -> float:
        """Return the seconds since the beginning."""

    def take(self, lines: Iterable[Mapping[str, object]]) -> None:
        """Note what was heard; it counts when the poll has come to its end."""


class Recorded(Protocol):
    """What a backend that is recorded has besides."""

    def settle(self) -> Mapping[str, object]:
        """Note what has come until the end of a poll. Return what is noted with that end."""


@dataclass(frozen=True, slots=True)
class Search:
    """What ``nutdrv_py scan`` was asked for."""

    seconds: float
    """How long to listen for what announces itself."""
    hosts: Sequence[str]
    """Addresses that may be tried; empty: none may."""
    port: int | None
    """TCP port to try in place of the device's own."""
    progress: Callable[[int, int], None]
    """Called with how many addresses of how many were tried."""
    say: Callable[[str], None]
    """Called with a sentence for the person who searches."""


@dataclass(frozen=True, slots=True)
class Found:
    """A device on the network, as a section of ups.conf."""

    comment: str
    name: str
    """For the section; a number is added where it is taken."""
    lines: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What a device brings for the commands; each is optional."""

    simulation: Simulation | None = None
    record: Callable[[Any, Clock, Tape], Backend[Any]] | None = None
    """Returns the backend for a configuration, which hands what it hears to the tape. It may be :class:`Recorded`."""
    find: Callable[[Search], Awaitable[Sequence[Found]]] | None = None
    """Searches the network. Raises :class:`ConfigError` or :class:`StartError` when that is not possible here."""


def tools_of(backend: type[Backend[Any]]) -> Tools:
    """Return what the device brings. Raises :class:`ConfigError` when it cannot be imported."""
    if not backend.tools:
        return Tools()
    module, _, name = backend.tools.partition(":")
    try:
        made = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"the tools {backend.tools} of {backend.description} cannot be imported: {error}") from None
    if not isinstance(made, Tools):
        raise ConfigError(f"{backend.tools}, the tools of {backend.description}, are no nutdrv_py.api.Tools")
    return made
