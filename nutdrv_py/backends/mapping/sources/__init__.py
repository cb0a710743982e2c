# SPDX-License-Identifier: GPL-2.0-or-later
"""Where answers come from. Each kind is a module that is only imported when a file names it."""

from __future__ import annotations

import abc
import importlib
import re
from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from nutdrv_py.backends.mapping.nodes import Node
from nutdrv_py.clock import Clock

__all__ = ["KINDS", "Kind", "Login", "Options", "Place", "Source", "Spec", "Told", "host_and_port", "kind"]

KINDS = ("http", "mqtt", "modbus", "file", "command")
"""Each is a module of this package."""


class Place(Hashable, Protocol):
    """Where one value of the device is; ``str()`` of it is what a person is shown."""


class Spec(Protocol):
    """The section ``source`` of a file."""

    @property
    def address(self) -> tuple[str, int] | None:
        """Return host and TCP port; None for a file or a program."""


@dataclass(frozen=True, slots=True)
class Told:
    """The device's value at one place, and its monotonic time."""

    value: object
    at: float


@dataclass(frozen=True, slots=True)
class Login:
    """User and password of the credentials file; either may be empty. Never shown by ``repr``."""

    username: str = ""
    password: str = ""

    def __repr__(self) -> str:
        return "Login(***)"


@dataclass(frozen=True, slots=True)
class Options:
    """The options besides the file: where the device is, and how it is met."""

    address: str = ""
    topic: str = ""
    unit: int | None = None
    certificate: str = ""
    ups: str = "ups"
    folder: Path = Path()
    """The folder of the YAML file's relative names: NUT's configuration folder."""


def host_and_port(node: Node, options: Options, otherwise: int) -> tuple[str, int]:
    """Return what ``"{address}"``, host or host:port means. Raises ConfigError with the line."""
    text = node.text()
    if "{address}" in text and not options.address:
        raise node.fail("the address is missing; write address = HOST into its section in ups.conf")
    found = re.fullmatch(
        r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s/@?#\\:\[\]{}]+))(?::([0-9]{1,5}))?", text.replace("{address}", options.address)
    )
    port = int(found[3] or otherwise) if found else 0
    if found is None or not 0 < port < 0x10000:
        raise node.fail('that is no host or host:port; write "{address}"')
    return found[1] or found[2], port


class Source(abc.ABC):
    """A connection to the device. Methods are called one at a time, from one task."""

    wake: Callable[[], None]
    """Called from the event loop when the device has sent something by itself."""

    def __init__(self, clock: Clock, login: Callable[[], Login]) -> None:
        self.clock = clock
        self.login = login
        self.wake = lambda: None

    async def open(self) -> None:
        """Begin to listen, if the device speaks by itself."""
        return

    async def close(self) -> None:
        """End the connection."""
        return

    @abc.abstractmethod
    async def ask(self, places: Collection[Place]) -> Mapping[Place, Told]:
        """Return the device's values at these places; a place without one is left out.

        Raises :class:`~nutdrv_py.errors.DeviceError` when it has none at all.
        """


class Kind(Protocol):
    """A module of this package."""

    PLACE: frozenset[str]
    """The keys of a value's place."""
    MAIN: str
    """The one of them that every place has."""

    @staticmethod
    def spec(node: Node, options: Options) -> Spec:
        """Return the section ``source``. Raises ConfigError."""

    @staticmethod
    def places(node: Node, entries: Mapping[str, Node], options: Options) -> tuple[Place, ...]:
        """Return where a value is; more than one place for a sum. Raises ConfigError."""

    @staticmethod
    def source(spec: Spec, clock: Clock, login: Callable[[], Login], places: Collection[Place], *, maxage: float) -> Source:
        """Return the connection, which is not opened yet. Raises ConfigError when a library is missing."""


def kind(name: str) -> Kind:
    """Return the module of that kind."""
    return cast("Kind", importlib.import_module(f"{__name__}.{name}"))
