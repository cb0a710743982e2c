# SPDX-License-Identifier: GPL-2.0-or-later
"""``nutdrv_py record``: the conversation with a device in a file for a bug report, without what names a person or a house."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import os
import signal
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nutdrv_py import __version__, log
from nutdrv_py.clock import Clock
from nutdrv_py.commands.doors import tools
from nutdrv_py.core.confined import confined
from nutdrv_py.core.settings import Settings
from nutdrv_py.device.backend import Backend, Config
from nutdrv_py.device.reading import Reading
from nutdrv_py.errors import ConfigError, DeviceError, StartError
from nutdrv_py.machine.paths import paths
from nutdrv_py.machine.place import place
from nutdrv_py.process.loading import load
from nutdrv_py.process.upsconf import read_ups_conf
from nutdrv_py.recording.file import Recorder
from nutdrv_py.recording.standins import StandIns

__all__ = ["HELP", "Tape", "configure", "run"]

HELP = "record the conversation with a device into a file, without secrets, serial numbers and names, for a bug report"

MINUTES = 10
"""Minutes of a recording: long enough for each slow value to be asked for twice."""

MOST_MINUTES = 240
"""Maximum minutes: a night's restart or a long outage. The recording is kept in memory until it is written."""

WRITE_EVERY = 60.0
"""Seconds of the recording that are lost at most when we are killed."""

LONGEST_POLL = 60.0
"""Seconds after which a poll is given up, as by the driver."""

SHOW_EVERY = 0.5
"""Seconds between two looks at the progress, on a terminal."""

LEAVE = 2.0
"""Seconds in which the poll that is under way must have ended when the recording does."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("ups", metavar="UPS", help="section of ups.conf")
    parser.add_argument("file", metavar="FILE", type=Path, help="file to make; it must not be there yet")
    parser.add_argument(
        "--minutes", type=_minutes, default=float(MINUTES), metavar="N",
        help=f"how long, up to {MOST_MINUTES} (default: {MINUTES}); Ctrl-C ends it earlier",
    )  # fmt: skip
    parser.epilog = "example: nutdrv_py record home /tmp/home.recording --minutes 30"


def _minutes(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found <= MOST_MINUTES:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of minutes up to {MOST_MINUTES}")
    return found


def run(args: argparse.Namespace) -> int:
    """Record; 0 when a file was made, also when the device has not answered: that is worth a report too."""
    log.to_stderr()
    settings = _settings(args.ups)
    path: Path = args.file
    _claim(path)
    tape = Tape(settings.backend_name, settings.config, Clock())
    # Not asyncio.run: that waits for threads, and a name that is being looked up may hold one for minutes.
    asyncio.Runner().run(tape.run(path, args.minutes * 60))
    tape.explain(path)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _settings(ups: str) -> Settings:
    conf = read_ups_conf(paths().confpath / "ups.conf", ups)
    driver = next((entry.value for entry in reversed(conf.section) if entry.name == "driver" and entry.value), "nutdrv_py")
    if not driver.startswith("nutdrv_py"):
        raise ConfigError(f"[{ups}] is for the driver {driver}, which cannot be recorded; name a section with driver = nutdrv_py")
    settings = load(ups, driver, conf=conf)
    tools(settings.backend_name, "record")
    return settings


def _claim(path: Path) -> None:
    """Make the file now, so that a file that cannot be written fails at once and not after ten minutes."""
    try:
        with place(path, follow=False) as at:
            os.close(at.create(path.name, 0o600))
    except FileExistsError:
        raise ConfigError(f"{path} is there already; remove it, or name another file") from None
    except OSError as error:
        raise StartError(f"{path} cannot be made: {error.strerror}; name a file in a folder of yours") from error


class Tape:
    """One recording from its beginning to its end: polls a backend of its own, and keeps what it hears."""

    def __init__(self, backend_name: str, config: Config, clock: Clock) -> None:
        self.stand_ins = StandIns()
        """What replaces names."""
        self._config = config
        self._clock = clock
        self._began = clock.monotonic()
        self._recorder = Recorder(backend_name, clock.wall(), _options(config), self.stand_ins, __version__)
        record = tools(backend_name, "record").record
        assert record is not None
        self.backend: Backend[Any] = record(config, clock, self)
        self._open: list[Mapping[str, object]] = []
        """The poll that is under way: one that the end of the recording cut off would look like one that failed."""
        self._polls = 0
        self._good = 0
        self._says = ""
        self._size = 0
        self._trouble = log.Trouble()

    def now(self) -> float:
        """Return the seconds since the beginning."""
        return self._clock.monotonic() - self._began

    def take(self, lines: Iterable[Mapping[str, object]]) -> None:
        """Note lines; they count when the poll has come to its end."""
        self._open.extend(lines)

    async def run(self, path: Path, seconds: float) -> None:
        """Record for so long, or until a signal comes, and write the file each minute and at the end."""
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, ended.set)
        tasks = [asyncio.create_task(work) for work in (self._poll_loop(), self._write_loop(path), self._show(seconds))]
        waiting = asyncio.create_task(ended.wait())
        try:
            await asyncio.wait([waiting, *tasks], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            waiting.cancel()
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=LEAVE)
            with contextlib.suppress(Exception):
                async with asyncio.timeout(LEAVE):
                    await confined(self.backend.__aexit__(None, None, None))
            self.write(path)

    async def _poll_loop(self) -> None:
        while True:
            began = self.now()
            await self.poll()
            await asyncio.sleep(max(0.0, began + self._config.pollinterval - self.now()))

    async def poll(self) -> Reading | None:
        """Poll once and record all that is heard in it; None when it failed."""
        self.take([{"t": round(self.now(), 3), "poll": "begins"}])
        reading: Reading | None = None
        try:
            reading = await confined(self.backend.poll(), LONGEST_POLL)
            self._trouble.clear("poll", "The device answers")
        except (DeviceError, TimeoutError) as error:
            why = str(error) or f"a poll did not end within {LONGEST_POLL:.0f} s"
            self._trouble.report("poll", f"The device does not answer: {why}; that is recorded too")
        except Exception as error:
            # A fault of the backend is what the recording may be made for.
            self._trouble.report("poll", f"The backend has failed: {type(error).__name__}; what the device said is recorded")
        self._end_poll(reading)
        return reading

    def _end_poll(self, reading: Reading | None) -> None:
        says = str(reading.status) if reading is not None else ""
        line: dict[str, object] = {"poll": "ends", "says": says}
        settle = getattr(self.backend, "settle", None)
        if settle is not None:
            line |= settle()
        self.take([{"t": round(self.now(), 3), **line}])
        self._recorder.add(self._open)
        self._open.clear()
        self._polls += 1
        self._good += reading is not None
        self._says = says

    async def _write_loop(self, path: Path) -> None:
        while True:
            await asyncio.sleep(WRITE_EVERY)
            self.write(path)

    def write(self, path: Path) -> None:
        """Write what there is so far. Raises :class:`StartError`."""
        try:
            self._size = self._recorder.write(path)
        except OSError as error:
            raise StartError(f"{path} cannot be written: {error.strerror}") from error

    async def _show(self, seconds: float) -> None:
        """Print how far it is: in one line on a terminal, else once a minute."""
        terminal = sys.stderr.isatty()
        try:
            while True:
                text = f"{self.now() / 60:4.1f} of {seconds / 60:g} min: {self._polls} polls, {self._recorder.count} lines"
                text += f", {self._says or 'no answer'}"
                print(f"\r{text}\033[K" if terminal else text, end="" if terminal else "\n", file=sys.stderr, flush=True)
                await asyncio.sleep(SHOW_EVERY if terminal else WRITE_EVERY)
        finally:
            if terminal:
                print(file=sys.stderr, flush=True)

    def explain(self, path: Path) -> None:
        """Print what is in the file and what is not."""
        print(f"{path}: {self._polls} polls in {self.now() / 60:.1f} min, {self._good} of them good, {self._size / 1024:.0f} KiB")
        replaced = self.stand_ins.replaced
        if replaced:
            rows = ", ".join(f"{where or 'texts'} ({count})" for where, count in sorted(replaced.items()))
            print(f"Replaced by stand-ins of the same form, the same one everywhere: {rows}")
        print("Never written: tokens, passwords, cookies, certificates, addresses, names in pages, frames of other clients")
        print(f"Please look at it before you send it:  zcat {path} | less")


def _options(config: Config) -> dict[str, int | float | bool]:
    """Return the options that are numbers and flags: how the device was asked, and nothing about its owner."""
    found = {item.name: getattr(config, item.name) for item in dataclasses.fields(config)}
    return {name: value for name, value in found.items() if isinstance(value, bool | int | float)}
