# SPDX-License-Identifier: GPL-2.0-or-later
"""What a program prints: JSON, lines of ``name=value``, or one word. It is run for each poll, as the user of the driver.

The file names the program and its words as a list; no shell reads them. A user who can change the file or the program decides
what is run, so both, and all folders above them, must belong to root or to that user, and no other user may change them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from nutdrv_py.backends.mapping.nodes import Node
from nutdrv_py.backends.mapping.sources import Login, Options, Place, Source, Told
from nutdrv_py.backends.mapping.sources.file import FORMATS, MAIN, MOST_BYTES, PLACE, parsed, places, said
from nutdrv_py.clock import Clock
from nutdrv_py.core.confined import confined
from nutdrv_py.errors import ConfigError, DeviceError
from nutdrv_py.machine.private import own_file

__all__ = ["MAIN", "PLACE", "places", "source", "spec"]

TIMEOUT = 10.0
"""Seconds after which the program is ended."""

LEAVE = 1.0
"""Seconds that the program gets to be gone after it was killed."""

FRESH = 0.5
"""Seconds after its end in which what it has printed is not asked for again: one poll asks twice."""

ENVIRONMENT: Mapping[str, str] = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
"""All that the program finds in its environment."""

MOST_WORDS = 64


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """The program with its words, and how it writes."""

    words: tuple[str, ...]
    format: str
    timeout: float
    address: None = None


def spec(node: Node, options: Options) -> CommandSpec:
    """Read ``source: {command: [/usr/local/bin/battery, --json], format: json, timeout: 10}``. Raises ConfigError."""
    entries = node.entries({"command", "format", "timeout"})
    words = [item.text() for item in entries["command"].items()]
    if not words or not words[0].startswith("/") or (len(words) == 1 and " " in words[0]):
        raise entries["command"].fail("a list is needed here, the whole path of a program first: [/usr/bin/battery, --json]")
    if len(words) > MOST_WORDS:
        raise entries["command"].fail(f"there are more than {MOST_WORDS} words")
    if any("{address}" in word for word in words) and not options.address:
        raise entries["command"].fail("the address is missing; write address = HOST into its section in ups.conf")
    try:
        own_file(Path(node.file), "is not used, because it names a program to run and")
        own_file(Path(words[0]), "is not run, because")
    except OSError as error:
        raise entries["command"].fail(str(error) if isinstance(error, ConfigError) else f"{words[0]}: {error.strerror}") from None
    except ConfigError as error:
        raise entries["command"].fail(str(error)) from None
    return CommandSpec(
        tuple(word.replace("{address}", options.address) for word in words),
        entries["format"].choice(FORMATS) if "format" in entries else "json",
        entries["timeout"].number(1, 60) if "timeout" in entries else TIMEOUT,
    )


def source(spec: CommandSpec, clock: Clock, login: Callable[[], Login], places: Collection[Place], *, maxage: float) -> Source:
    """Return what runs the program."""
    return Command(spec, clock, login)


class Command(Source):
    """Runs the program at each poll."""

    def __init__(self, spec: CommandSpec, clock: Clock, login: Callable[[], Login]) -> None:
        super().__init__(clock, login)
        self._spec = spec
        self._last: tuple[object, float, float] | None = None

    async def ask(self, places: Collection[Place]) -> Mapping[Place, Told]:
        """Return what the program prints, said when it was started. Raises :class:`DeviceError` without quoting it."""
        if self._last is None or not 0 <= self.clock.monotonic() - self._last[2] <= FRESH:
            began, name, self._last = self.clock.monotonic(), self._spec.words[0], None
            try:
                data = await confined(self._run(), self._spec.timeout)
            except TimeoutError:
                raise DeviceError(f"{name} did not end within {self._spec.timeout:g} s, and was ended") from None
            except OSError as error:
                raise DeviceError(f"{name} cannot be run: {error.strerror}; the driver's user must be able to run it") from None
            try:
                self._last = parsed(data, self._spec.format), began, self.clock.monotonic()
            except ValueError:
                raise DeviceError(f"{name} prints something that is not {self._spec.format}; type it yourself and look") from None
        document, began, _ = self._last
        return said(document, places, began)

    async def _run(self) -> bytes:
        """Return what the program prints. Whatever ends this ends the program too, and all that it has started."""
        process = await asyncio.create_subprocess_exec(
            *self._spec.words, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL, env=ENVIRONMENT, cwd="/", start_new_session=True
        )
        try:
            assert process.stdout is not None
            data = bytearray()
            while piece := await process.stdout.read(65536):
                data += piece
                if len(data) > MOST_BYTES:
                    raise DeviceError(f"{self._spec.words[0]} prints more than {MOST_BYTES} bytes, and was ended")
            code = await process.wait()
        finally:
            await _end(process)
        if code:
            raise DeviceError(f"{self._spec.words[0]} ended with {code}; type it yourself, as the driver's user, and look")
        return bytes(data)


async def _end(process: Process) -> None:
    # It leads a group of its own, so this reaches it and its children, and no other process.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LEAVE):
            # Until its pipe is empty asyncio does not call it ended.
            while process.stdout is not None and await process.stdout.read(65536):
                pass
            await process.wait()
