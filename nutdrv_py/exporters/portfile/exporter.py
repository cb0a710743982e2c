# SPDX-License-Identifier: GPL-2.0-or-later
"""The port file as an exporter, beside the others: of the driver, or of the daemon."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from nutdrv_py.clock import Clock
from nutdrv_py.core.telemetry import Source, View
from nutdrv_py.errors import ConfigError
from nutdrv_py.exporters.base import Exporter
from nutdrv_py.exporters.config import PortFileSection
from nutdrv_py.exporters.portfile.file import PortFile, not_taken_away
from nutdrv_py.exporters.portfile.writer import Writer
from nutdrv_py.log import log

__all__ = ["PortFileExporter"]

UPS = "{ups}"
"""Placeholder for the name of the UPS in the path."""

LEAVE = 0.5
"""Seconds in which the file must have been taken away at the end."""


class PortFileExporter(Exporter):
    """Keeps one file per source. Raises :class:`ConfigError` when several sources would share one."""

    first = True

    def __init__(self, sources: Sequence[Source], options: PortFileSection, clock: Clock) -> None:
        super().__init__(sources)
        if len(sources) > 1 and UPS not in options.path:
            raise ConfigError(f"portfile.path must hold {UPS}, because there are {len(sources)} devices: write home-{UPS}.dev")
        self._options = options
        self._clock = clock
        self._files: dict[Path, PortFile] = {}
        self._writers: list[Writer] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin. Raises :class:`ConfigError` when a file is not there, or is kept by another process."""
        for source in self.sources:
            path = Path(self._options.path.replace(UPS, source.ups))
            if path in self._files:
                continue
            # In a thread: a disk may hang, and upsd must not wait for it.
            file = self._files[path] = await asyncio.to_thread(PortFile, path)
            writer = Writer(file, self._clock, every=self._options.pollfreq, alert=self._options.pollfreqalert)
            self._writers.append(writer)

            def changed(view: View, writer: Writer = writer) -> None:
                writer.tell(None if view.stale else view.texts)

            source.subscribe(changed)
            view = source.view()
            if not view.stale:
                changed(view)
            self._tasks.append(asyncio.create_task(writer.run()))

    @property
    def stuck(self) -> bool:
        """Return whether a write lasts too long, so that a file is old."""
        return any(writer.stuck for writer in self._writers)

    async def stop(self) -> None:
        """Take the files away, except for a restart: nothing updates them any more, and dummy-ups would serve them for ever."""
        for task in self._tasks:
            task.cancel()
        for file in self._files.values():
            if self.restart:
                file.close()
                continue
            try:
                async with asyncio.timeout(LEAVE):
                    await asyncio.to_thread(file.hide, final=True)
            except OSError as error:
                why = error.strerror or "no answer in time"
                log.error("%s", not_taken_away(file.path, why))
            file.close()
        self._files.clear()
