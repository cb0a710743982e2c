# SPDX-License-Identifier: GPL-2.0-or-later
"""The file that keeps the last day over a restart. It is small, replaced as a whole, and never worth waiting for."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nutdrv_py.clock import Clock
from nutdrv_py.exporters.aside import aside
from nutdrv_py.exporters.history import Day, History, decode, encode
from nutdrv_py.log import Trouble
from nutdrv_py.machine.files import read, replace

__all__ = ["MOST", "SAVE", "HistoryFile"]

SAVE = 600.0
"""Seconds between two writes of the file: what a crash may lose, against the wear of a memory card."""

LEAVE = 0.5
"""Seconds that the last write may hold up the exit."""

MOST = 200_000
"""Bytes of the file for each UPS; a larger one is not ours."""

FUTURE = 120.0
"""Seconds by which a file may be newer than the clock: small corrections of the time are no reason to forget a day."""

FORMAT = "nutdrv_py history"
VERSION = 1


class HistoryFile:
    """Keeps histories, by name of the UPS, over a restart. Reads and writes in a thread that the exit does not wait for."""

    def __init__(self, path: Path, histories: Mapping[str, History], clock: Clock) -> None:
        self._path = path
        self._histories = histories
        self._clock = clock
        self._trouble = Trouble()
        self._readable = False
        self._writing = False

    async def run(self) -> None:
        """Read the file, then write it every :data:`SAVE` seconds, until cancelled."""
        await self._load()
        while True:
            await self._clock.sleep(SAVE)
            await self._save()

    async def stop(self) -> None:
        """Write it once more, within :data:`LEAVE` seconds; :meth:`run` must have been cancelled."""
        # A file that could not be read yet is not replaced by one that knows less.
        if self._readable and not self._writing:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LEAVE):
                    await self._save()

    async def _load(self) -> None:
        try:
            data = await aside(self._read)
            days = {} if data is None else _days(data, self._clock.wall())
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            self._trouble.report("load", f"The page's history begins anew: {self._path} cannot be used ({why})")
            days = {}
        for name, history in self._histories.items():
            if name in days:
                history.restore(days[name])
        self._readable = True

    def _read(self) -> bytes | None:
        try:
            return read(self._path, MOST * len(self._histories))
        except FileNotFoundError:
            return None

    async def _save(self) -> None:
        days = {name: encode(history.day()) for name, history in self._histories.items()}
        content = {"format": FORMAT, "version": VERSION, "saved": int(self._clock.wall()), "ups": days}
        data = json.dumps(content, separators=(",", ":"), allow_nan=False).encode()
        self._writing = True
        try:
            await aside(lambda: self._write(data))
        except OSError as error:
            self._trouble.report(
                "save", f"The page's history cannot be kept in {self._path}: {error.strerror}; see the page's key history"
            )
        else:
            self._trouble.clear("save", f"The page's history is kept in {self._path} again")

    def _write(self, data: bytes) -> None:
        try:
            replace(self._path, data)
        finally:
            self._writing = False


def _days(data: bytes, now: float) -> dict[str, Day]:
    try:
        content: Any = json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError("it is damaged") from None
    match content:
        case {"format": str(name), "version": int(version)} if name == FORMAT and version > VERSION:
            raise ValueError("a later version of this program has written it")
        case {"format": str(name), "version": int(version), "saved": int(saved), "ups": dict(days)} if (
            name == FORMAT and version == VERSION
        ):
            if saved > now + FUTURE:
                raise ValueError("it is from the future; is the clock of this machine right?")
            return {ups: decode(day) for ups, day in days.items()}
    raise ValueError("it is something else")
