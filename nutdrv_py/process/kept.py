# SPDX-License-Identifier: GPL-2.0-or-later
"""The file that keeps what is known of the battery over a restart, beside the tokens."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from pathlib import Path

from nutdrv_py.core.recall import Memory, parsed
from nutdrv_py.core.settings import Settings
from nutdrv_py.log import Trouble
from nutdrv_py.machine.paths import writable

__all__ = ["Kept"]

MOST = 4096
"""Bytes of the file that are read; it has about 150."""


class Kept:
    """Reads and writes the file; a fault of the disk is logged once and costs nothing else.

    ``folder`` is where it is; without one, the first of NUT's home and state path in which files can be made.
    """

    def __init__(self, settings: Settings, folder: Path | None = None) -> None:
        where = settings.paths
        name = f"{os.path.basename(settings.progname)}-{settings.ups}.battery"
        self.path = Path(os.path.abspath(folder or writable(where.home, where.statepath))) / name
        self._trouble = Trouble()
        self._next: Memory | None = None
        self._job: asyncio.Future[None] | None = None

    def read(self) -> Memory | None:
        """Return what was kept; None when nothing, or nothing usable, is there."""
        try:
            file = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                return parsed(json.loads(os.read(file, MOST)))
            finally:
                os.close(file)
        except (OSError, ValueError, RecursionError):
            return None

    def keep(self, memory: Memory) -> None:
        """Write ``memory`` by and by, from the event loop; a later one takes the place of one that waits."""
        self._next = memory
        if self._job is None:
            self._write_next(None)

    def _write_next(self, done: object) -> None:
        memory, self._next, self._job = self._next, None, None
        if memory is not None:
            # In a thread, because a disk may take its time.
            self._job = asyncio.get_running_loop().run_in_executor(None, self._write, memory)
            self._job.add_done_callback(self._write_next)

    def _write(self, memory: Memory) -> None:
        new = self.path.with_name(f".{self.path.name}.new")
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(new)
            file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
            with os.fdopen(file, "w", encoding="ascii") as out:
                json.dump(memory.values(), out)
            os.replace(new, self.path)
        except OSError as error:
            text = f"{self.path} cannot be written ({error.strerror}), so a restart in an outage forgets the charge"
            self._trouble.report("kept", text)
        else:
            self._trouble.clear("kept")
