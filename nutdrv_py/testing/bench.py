# SPDX-License-Identifier: GPL-2.0-or-later
"""Plays stories with a backend and keeps what was wrong: the failures, each rule once."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import threading
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from nutdrv_py import log
from nutdrv_py.core.settings import backend_options
from nutdrv_py.device.backend import Backend, Config
from nutdrv_py.device.reading import Reading
from nutdrv_py.errors import NutdrvError
from nutdrv_py.testing import readings
from nutdrv_py.testing.clock import FakeClock
from nutdrv_py.testing.device import Device, given
from nutdrv_py.testing.rules import FOLLOWING, RULES, Failure
from nutdrv_py.testing.stage import AWAY, Stage, Stuck, staged

__all__ = ["Bench", "Heard", "Report", "listening", "secrets_of"]

SHORTEST_SECRET = 4
"""Characters of a secret that is looked for: a shorter one is a part of everything."""

MOST_SAID = 5
"""Times that one message may be logged in a story, which is of some minutes."""

THREADS = ("asyncio_", "MainThread")
"""Names of threads that are the event loop's."""


@dataclass(slots=True)
class Report:
    """What came of the stories: the failures, and the rules that were not tested with the methods that are missing."""

    backend: str
    failures: list[Failure] = field(default_factory=list)
    untested: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def cause(self, rule: str) -> str | None:
        """Return the broken rule because of which this one was not judged; None when it was."""
        broken = (failure.rule for failure in self.failures)
        return next((name for name in broken if rule in FOLLOWING.get(name, ()) and self.failure(rule) is None), None)

    def failure(self, rule: str) -> Failure | None:
        """Return the failure of this rule; None when it holds or was not tested."""
        return next((failure for failure in self.failures if failure.rule == rule), None)


def secrets_of(config: Config, more: Iterable[str] = ()) -> tuple[str, ...]:
    """Return what must not be seen: the values of the sensitive options and ``more``, as they are and as in a URL."""
    options = backend_options(type(config)).items()
    texts = [getattr(config, name) for name, option in options if option.sensitive]
    found = [text for text in (*texts, *more) if isinstance(text, str) and len(text) >= SHORTEST_SECRET]
    return tuple(dict.fromkeys(form for text in found for form in (text, quote(text, safe=""))))


class _Heard(logging.Handler):
    """Keeps each line and traceback that is logged."""

    def __init__(self, kept: Heard) -> None:
        super().__init__()
        self.kept = kept

    def emit(self, record: logging.LogRecord) -> None:
        self.kept.lines.append(self.format(record))
        if record.levelno >= logging.INFO:
            self.kept.said[record.getMessage()] += 1


@dataclass(slots=True)
class Heard:
    """What was logged and printed, and what the backend itself has asked to be hidden."""

    lines: list[str] = field(default_factory=list)
    said: Counter[str] = field(default_factory=Counter)
    """How often each message was logged that is no debugging."""
    hidden: tuple[str, ...] = ()


@contextlib.contextmanager
def listening() -> Iterator[Heard]:
    """Keep what is logged and printed, without the driver's redaction and past other handlers."""
    kept = Heard()
    heard, heard_libraries = _Heard(kept), _Heard(kept)
    root, printed = logging.getLogger(), io.StringIO()
    hidden, level, propagate = dict(log._hidden), log.log.level, log.log.propagate
    heard_libraries.setLevel(logging.WARNING)
    log._hidden.clear()
    log.log.addHandler(heard)
    root.addHandler(heard_libraries)
    log.log.setLevel(1)
    log.log.propagate = False
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            yield kept
    finally:
        kept.lines.append(printed.getvalue())
        kept.hidden = log.hidden()
        root.removeHandler(heard_libraries)
        log.log.removeHandler(heard)
        log.log.setLevel(level)
        log.log.propagate = propagate
        log._hidden.clear()
        log._hidden.update(hidden)


class Bench:
    """A backend and a fake device, and what was found of them."""

    def __init__(self, backend: type[Backend[Any]], device: type[Device], folder: Path) -> None:
        self.backend, self.device = backend, device
        self.report = Report(f"{backend.__module__}:{backend.__qualname__}")
        self._folder = folder
        self._count = 0
        for row in RULES:
            if missing := tuple(name for name in row.needs if not self.can(name)):
                self.report.untested[row.name] = missing

    def can(self, *names: str) -> bool:
        """Return whether all of this is described of the device."""
        return all(given(self.device, name) for name in names)

    def fail(self, rule: str, seen: str) -> None:
        """Note a failure; the first of each rule counts."""
        if self.report.failure(rule) is None:
            self.report.failures.append(Failure(rule, seen))

    def failed(self, *rules: str) -> bool:
        """Return whether one of the rules is broken."""
        return any(self.report.failure(rule) for rule in rules)

    def folder(self) -> Path:
        """Return a folder of its own for one more device."""
        self._count += 1
        return self._folder / str(self._count)

    @contextlib.asynccontextmanager
    async def stage(
        self, when: str, *, begin: bool = True, clock: FakeClock | None = None, **options: object
    ) -> AsyncIterator[Stage]:
        """Play with a fresh device and backend; ``when`` is what is played, ``begin`` whether the driver is started at once."""
        tasks, threads = asyncio.all_tasks(), set(threading.enumerate())
        stage: Stage | None = None
        with listening() as heard:
            try:
                async with staged(self.backend, self.device, self.folder(), clock, **options) as stage:
                    if begin:
                        await stage.begin()
                    yield stage
            except Stuck:
                self.fail("cancel", f"{when}, a poll that was cancelled went on for {AWAY:.0f} s and more")
        if stage is not None:
            self._judge(stage, when)
            self._secrets(stage, heard, when)
            for message, count in heard.said.most_common(1):
                if count > MOST_SAID:
                    self.fail("chatter", f"{when}, the log had {count} times: {message[:80]}")
        await self._leftovers(tasks, threads, when)

    def _judge(self, stage: Stage, when: str) -> None:
        """Judge what each poll gave or raised."""
        for poll in stage.polls:
            if poll.error is not None:
                self._error(poll.error, when)
            if poll.reading is not None:
                for rule, seen in readings.faults(poll.reading, stage.backend, stage.clock.now):
                    self.fail(rule, f"{when}, {seen}")
        for reading in stage.noted.early:
            for rule, seen in readings.faults(reading, stage.backend, stage.clock.now):
                self.fail(rule, f"{when}, {seen}, in what was published before the end of a poll")
        if stage.noted.hung:
            self.fail("hang", f"{when}, a poll had not ended after {stage.device.patience:g} s")
        for name in sorted(stage.noted.wrong_threads):
            self.fail("thread", f"{when}, {name} was called from another thread than the event loop's")

    def _error(self, error: BaseException, when: str) -> None:
        kind, text = type(error).__name__, str(error)
        if isinstance(error, asyncio.CancelledError):
            return
        if not isinstance(error, Exception):
            self.fail("exit", f"{when}, the backend raised {kind}")
        elif not isinstance(error, NutdrvError):
            self.fail(
                "error", f"{when}, the backend raised {kind}: {text[:80]}" if text else f"{when}, the backend raised {kind}"
            )
        elif len(text.split()) < 3:
            self.fail("sentence", f"{when}, the backend raised {kind} with the text {text!r}")

    def _secrets(self, stage: Stage, heard: Heard, when: str) -> None:
        secrets = secrets_of(stage.config, (*stage.device.secrets, *heard.hidden))
        if not secrets:
            return
        places = [("a log line, or what was printed,", text) for text in heard.lines]
        last: Reading | None = None
        places += [("a line of nutdrv_py check", text) for text in stage.texts]
        for poll in stage.polls:
            if poll.error is not None:
                places.append(("the text or traceback of an exception", "".join(traceback.format_exception(poll.error))))
            if poll.reading is not None:
                places.append(("a value or an alarm", f"{poll.reading.values} {poll.reading.alarms}"))
                last = poll.reading
        if last is not None:
            places.append(("raw, which exporters publish,", str(last.raw)))
        places.append(("the representation of the configuration or of the backend", f"{stage.config!r} {stage.backend!r}"))
        places.append(("driver.parameter.*", str(stage.driver.snapshot)))
        for place, text in places:
            if any(secret in text for secret in secrets):
                self.fail("secret", f"{when}, {place} held a secret")
                return

    async def _leftovers(self, tasks: set[asyncio.Task[Any]], threads: set[threading.Thread], when: str) -> None:
        """Judge what runs on after the end, and end what can be ended."""

        def more() -> list[str]:
            found = [task.get_name() for task in asyncio.all_tasks() - tasks - {asyncio.current_task()}]
            return found + [thread.name for thread in set(threading.enumerate()) - threads if not thread.name.startswith(THREADS)]

        for turn in range(int(AWAY / 0.01)):
            if not more():
                return
            await asyncio.sleep(0 if turn < 20 else 0.01)
        count = len(more())
        what = "a task or thread" if count == 1 else f"{count} tasks or threads"
        self.fail("leftovers", f"{when}, {what} ran on {AWAY:.0f} s after the end")
        for task in asyncio.all_tasks() - tasks:
            if task is not asyncio.current_task():
                task.cancel()
        await asyncio.sleep(0)
