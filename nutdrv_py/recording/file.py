# SPDX-License-Identifier: GPL-2.0-or-later
"""The file: gzip-compressed JSON lines, so that ``zcat FILE | less`` shows all there is in it.

The first line names what was recorded. Each other one has ``t``, seconds since the beginning, and one of: ``poll`` (a poll begins
or ends), ``ask`` (a request to a gateway and its answer), ``out`` and ``in`` (frames to and from an inverter), ``line`` (its
connection), ``damaged`` and ``others`` (what was not taken over, counted). What was there before in the same words is the number
of that line, ``same``, counted from 1.
"""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nutdrv_py.errors import ConfigError, ProtocolError
from nutdrv_py.machine.files import replace
from nutdrv_py.machine.place import place
from nutdrv_py.recording.gateway import Exchange
from nutdrv_py.recording.inverter import Bytes, LineState
from nutdrv_py.recording.standins import StandIns

__all__ = ["FORMAT", "Poll", "Recorder", "Recording", "read"]

FORMAT = 1
"""Version of the format; a reader takes its own."""

MARK = "nutdrv_py recording"

MOST_BYTES = 256 << 20
"""Bytes of a recording without compression: some days of an inverter. A file may be a bomb."""

MOST_LINE = 4 << 20
"""Bytes of a line; the longest answer of a gateway that is read has half of it."""

REPEATED = 32
"""Characters from which on a repetition is written as a number: shorter ones cost less than that."""

LATEST = 1e11
"""Seconds and options from here on are none: some thousand years."""

_CONTENT = ("body", "in")

Event = Exchange | Bytes | LineState


@dataclass(frozen=True, slots=True)
class Poll:
    """A poll of the backend, from ``begun`` to ``ended``, and what came of it: a status, or nothing when it failed."""

    begun: float
    ended: float
    says: str


@dataclass(frozen=True, slots=True)
class Recording:
    """What is in a file."""

    backend: str
    began: float
    """Seconds since 1970."""
    options: Mapping[str, int | float | bool]
    polls: tuple[Poll, ...]
    events: tuple[Event, ...]
    token: float | None = None
    """Seconds of life that the gateway's token had left at the beginning."""


@dataclass(slots=True)
class Recorder:
    """Collects the lines of a recording, and writes them. ``began`` in seconds since 1970."""

    backend: str
    began: float
    options: Mapping[str, int | float | bool]
    stand_ins: StandIns
    version: str = ""
    _lines: list[str] = field(default_factory=list)
    _numbers: dict[str, int] = field(default_factory=dict)
    _swept: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        """Write the first line."""
        head = {"backend": self.backend, "version": self.version, "began": round(self.began), "options": dict(self.options)}
        self._lines.append(_dumped({MARK: FORMAT, **head}))

    def add(self, lines: Iterable[Mapping[str, object]]) -> None:
        """Take in lines; what was there before becomes a reference."""
        for line in lines:
            entry = dict(line)
            for name in _CONTENT:
                text = _dumped(entry[name]) if name in entry else ""
                if len(text) >= REPEATED:
                    first = self._numbers.setdefault(text, len(self._lines) + 1)
                    if first <= len(self._lines):
                        entry[name] = {"same": first}
            self._lines.append(_dumped(entry))

    @property
    def count(self) -> int:
        """Return the lines so far."""
        return len(self._lines)

    def write(self, path: Path) -> int:
        """Write all lines so far in place of the file, readable by its owner alone; gives its size in bytes.

        A kill in the meantime leaves the file as it was. Raises :class:`OSError`.
        """
        self._sweep()
        data = gzip.compress(("\n".join(self._lines) + "\n").encode("ascii"), compresslevel=9, mtime=0)
        replace(path, data)
        return len(data)

    def _sweep(self) -> None:
        """Replace once more: what was replaced in one place is in no other, also where a rule would have let it pass."""
        done, generation = self._swept
        start = done if generation == self.stand_ins.generation else 0
        for index in range(start, len(self._lines)):
            self._lines[index] = self.stand_ins.sweep(self._lines[index])
        self._swept = len(self._lines), self.stand_ins.generation


def _dumped(content: object) -> str:
    return json.dumps(content, separators=(",", ":"), allow_nan=False)


def read(path: Path) -> Recording:
    """Return the recording in a file. Raises :class:`ConfigError`."""
    try:
        lines = list(_lines(path))
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise ConfigError(f"{path} is not a file; write port = the file that nutdrv_py record has made") from None
    except OSError as error:
        hint = f"; type: chown {os.geteuid()} {path}" if isinstance(error, PermissionError) else ""
        raise ConfigError(f"the recording {path} cannot be read: {error.strerror or error}{hint}") from error
    try:
        return _recording(lines)
    except ProtocolError as error:
        raise ConfigError(f"{path} is no recording that can be played: {error}") from None


def _lines(path: Path) -> Iterator[dict[str, object]]:
    wrong = f"{path} is no recording, or a damaged one"
    total = number = 0
    try:
        with place(path) as at, at.open() as packed, gzip.open(packed, "rb") as file:
            while line := file.readline(MOST_LINE + 1):
                number, total = number + 1, total + len(line)
                if len(line) > MOST_LINE or total > MOST_BYTES:
                    raise ConfigError(f"{wrong}: it is longer than any recording (line {number})")
                content = json.loads(line, parse_constant=_no_number)
                if not isinstance(content, dict):
                    raise ConfigError(f"{wrong}: line {number} is no object")
                yield content
    except EOFError:
        raise ConfigError(f"{path} is cut short after line {number}; was it copied whole?") from None
    except (gzip.BadGzipFile, zlib.error):
        raise ConfigError(f"{wrong}: the compressed data break off after line {number}; was it copied as it is?") from None
    except (ValueError, RecursionError):
        raise ConfigError(f"{wrong}: line {number} is not JSON") from None


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _within(value: object, most: float) -> bool:
    """Return whether it is a number from ``-most`` to ``most``."""
    return isinstance(value, int | float) and -most <= value <= most


def _recording(lines: list[dict[str, object]]) -> Recording:
    head = lines[0] if lines else {}
    if MARK not in head:
        raise ProtocolError("its first line does not say what it is")
    if head[MARK] != FORMAT:
        raise ProtocolError(f"it has format {head[MARK]!a}, and this program knows {FORMAT}; install the version that made it")
    began, options, backend = head.get("began"), head.get("options"), head.get("backend")
    if not _within(began, LATEST) or not isinstance(options, dict) or not isinstance(backend, str):
        raise ProtocolError("its first line is not as it should be")
    events: list[Event] = []
    polls: list[Poll] = []
    token: float | None = None
    begun = before = 0.0
    for number, line in enumerate(lines[1:], 2):
        try:
            at = line.get("t")
            if isinstance(at, bool) or not isinstance(at, int | float) or not before <= at < 1e9:
                raise ProtocolError("the time is not as it should be")
            before = float(at)
            if line.get("poll") == "begins":
                begun = before
            elif "poll" in line:
                polls.append(Poll(begun, before, str(line.get("says", ""))))
                left = line.get("token")
                if token is None and isinstance(left, int | float):
                    if not _within(left, LATEST):
                        raise ProtocolError("the token's time is not as it should be")
                    token = left + before
            else:
                event = _event(_resolved(line, lines, number))
                events += [event] if event is not None else []
        except ProtocolError as error:
            raise ProtocolError(f"line {number}: {error}") from None
    if not polls:
        raise ProtocolError("there is no poll in it; record for longer")
    kept = {name: value for name, value in options.items() if isinstance(value, bool | int | float)}
    for name, value in kept.items():
        if not _within(value, LATEST):
            raise ProtocolError(f"its option {name} is not as it should be")
    assert isinstance(began, int | float)
    return Recording(backend, float(began), kept, tuple(polls), tuple(events), token)


def _resolved(line: dict[str, object], lines: list[dict[str, object]], number: int) -> dict[str, object]:
    for name in _CONTENT:
        content = line.get(name)
        if isinstance(content, dict) and "same" in content:
            first = content["same"]
            if not isinstance(first, int) or not 2 <= first < number or name not in lines[first - 1]:
                raise ProtocolError("it repeats a line that is not there")
            return {**line, name: lines[first - 1][name]}
    return line


def _event(line: Mapping[str, object]) -> Event | None:
    if "ask" in line:
        return Exchange.of(line)
    if "out" in line or "in" in line:
        return Bytes.of(line)
    return LineState.of(line) if "line" in line else None
