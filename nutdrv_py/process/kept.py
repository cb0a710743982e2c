# SPDX-License-Identifier: GPL-2.0-or-later
"""The file that keeps what is known of the battery over a restart, beside the tokens."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

from nutdrv_py.core.recall import Memory, parsed
from nutdrv_py.core.settings import Settings
from nutdrv_py.log import Trouble
from nutdrv_py.machine.files import read, replace
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
            return parsed(json.loads(read(self.path, MOST)))
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
        try:
            replace(self.path, json.dumps(memory.values()).encode("ascii"), 0o640, sync=False)
        except OSError as error:
            self._trouble.report(
                "kept",
                f"{self.path} cannot be written ({error.strerror}), so a restart in an outage forgets the charge; "
                f"type: ls -ld {self.path.parent}",
            )
        else:
            self._trouble.clear("kept")
