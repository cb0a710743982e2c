# SPDX-License-Identifier: GPL-2.0-or-later
"""A file that another program keeps: JSON, lines of ``name=value``, or one word. Its age is that of its last change."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from nutdrv_py.backends.mapping import jsonpath
from nutdrv_py.backends.mapping.nodes import Node
from nutdrv_py.backends.mapping.sources import Login, Options, Place, Source, Told
from nutdrv_py.clock import Clock
from nutdrv_py.errors import DeviceError
from nutdrv_py.machine.files import read

__all__ = ["FORMATS", "MAIN", "MOST_BYTES", "PLACE", "parsed", "places", "said", "source", "spec"]

PLACE = frozenset({"path"})
MAIN = "path"

MOST_BYTES = 256 * 1024
"""Maximum bytes of the file that are read."""

FORMATS = ("json", "lines", "word")


@dataclass(frozen=True, slots=True)
class FileSpec:
    """The file, and how it is written."""

    path: Path
    format: str
    address: None = None


@dataclass(frozen=True, slots=True)
class In:
    """A value in the file."""

    path: tuple[str | int, ...]

    def __str__(self) -> str:
        return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.path).removeprefix(".")


def spec(node: Node, options: Options) -> FileSpec:
    """Read ``source: {file: NAME, format: json}``."""
    entries = node.entries({"file", "format"})
    chosen = entries["format"].choice(FORMATS) if "format" in entries else "json"
    return FileSpec(options.folder / entries["file"].text(), chosen)


def places(node: Node, entries: Mapping[str, Node], options: Options) -> tuple[Place, ...]:
    """Read ``path: a.b[0]``."""
    if "path" not in entries:
        raise node.fail("path: is missing, where the value stands in the file: path: battery.charge")
    found = []
    for item in entries["path"].items():
        try:
            found.append(In(jsonpath.steps(item.text())))
        except ValueError:
            raise item.fail('that is no path; write names with dots between them: a.b[0]."c d"') from None
    return tuple(found)


def source(spec: FileSpec, clock: Clock, login: Callable[[], Login], places: Collection[Place], *, maxage: float) -> Source:
    """Return the reader."""
    return File(spec, clock, login)


class File(Source):
    """Reads the file at each poll."""

    def __init__(self, spec: FileSpec, clock: Clock, login: Callable[[], Login]) -> None:
        super().__init__(clock, login)
        self._spec = spec
        self._seen: tuple[object, float] | None = None

    async def ask(self, places: Collection[Place]) -> Mapping[Place, Told]:
        """Return the values of the file, with the time of its last change."""
        path = self._spec.path
        try:
            data, state = await asyncio.to_thread(_read, path)
        except OSError as error:
            raise DeviceError(f"{path} cannot be read: {error.strerror}") from None
        try:
            document = parsed(data, self._spec.format)
        except ValueError:
            raise DeviceError(f"{path} is not {self._spec.format}; let its writer write another file and rename it") from None
        return said(document, places, self._time(state))

    def _time(self, state: os.stat_result) -> float:
        """Return when the file was changed, in monotonic time.

        The wall clock, which may jump, is only asked for a change that was made before the first look.
        """
        now, mark = self.clock.monotonic(), (state.st_mtime_ns, state.st_ino, state.st_size)
        if self._seen is None:
            self._seen = mark, now - max(0.0, self.clock.wall() - state.st_mtime)
        elif self._seen[0] != mark:
            self._seen = mark, now
        return self._seen[1]


def _read(path: Path) -> tuple[bytes, os.stat_result]:
    states: list[os.stat_result] = []
    data = read(path, MOST_BYTES, check=lambda place, state: states.append(state))
    return data, states[0]


def said(document: object, places: Collection[Place], at: float) -> Mapping[Place, Told]:
    """Return what a document has at these places, said at ``at``."""
    values = {place: jsonpath.dig(document, place.path) for place in places if isinstance(place, In)}
    return {place: Told(value, at) for place, value in values.items() if value is not None}


def parsed(data: bytes, format: str) -> object:
    """Return what is written in ``data`` as nested values. Raises ValueError."""
    if format == "json":
        return jsonpath.decode(data)
    text = data.decode("utf-8", "replace")
    if format == "word":
        return {"word": text.strip()}
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}
