# SPDX-License-Identifier: GPL-2.0-or-later
"""The status page, and the JSON it is made of. It only shows: nothing can be set or switched by it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from nutdrv_py.clock import Clock
from nutdrv_py.core.telemetry import Source
from nutdrv_py.exporters.base import Exporter
from nutdrv_py.exporters.config import Page
from nutdrv_py.exporters.history import History, encode
from nutdrv_py.exporters.page.document import Document
from nutdrv_py.exporters.page.file import HistoryFile
from nutdrv_py.exporters.page.status import status
from nutdrv_py.exporters.wake import WakeExporter
from nutdrv_py.exporters.web import SAFE, Answer, Route, Web
from nutdrv_py.log import log

__all__ = ["VERSION", "PageExporter"]

VERSION = 1
"""Version of both JSON documents: it changes when a field goes away or gets another meaning, not when one is added."""

SAMPLE = 20.0
"""Seconds between two records: no minute is left out, however late a turn comes."""

REMAKE = 5.0
"""Seconds for which a history that was made is good enough: making it costs milliseconds, and many may ask."""


class PageExporter(Exporter):
    """Serves ``/``, ``/status.json`` and ``/history.json`` through ``web``.

    ``history`` is the folder in which a file keeps the last day; the key of that name is another file. ``wake`` is shown, too.
    """

    def __init__(
        self, sources: Sequence[Source], options: Page, web: Web, clock: Clock, history: Path, wake: WakeExporter | None = None
    ) -> None:
        super().__init__(sources)
        self._wake = wake
        self._clock = clock
        self._title = options.title
        self._document = Document(options.title)
        self._histories = {source.ups: History(clock) for source in self.sources}
        # A UPS has one driver, so its name is enough where several drivers share a folder.
        name = f"nutdrv_py-{quote(self.sources[0].ups, safe='')}.history"
        self._file = HistoryFile(history / (options.history or name), self._histories, clock)
        self._tasks: list[asyncio.Task[None]] = []
        self._made: tuple[float, bytes] | None = None
        routes: Mapping[str, Route] = {"/": self._page, "/status.json": self._status, "/history.json": self._history}
        for path, route in routes.items():
            web.add(options.bind_address, options.bind_port, path, route)

    async def start(self) -> None:
        """Begin to record."""
        for source in self.sources:
            source.subscribe(self._histories[source.ups].record)
        self._tasks = [asyncio.create_task(self._record()), asyncio.create_task(self._file.run())]

    async def stop(self) -> None:
        """Record no more, and keep what there is."""
        for task in self._tasks:
            task.cancel()
        for ended in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(ended, Exception):
                log.error("internal error in the page's history; please report this:", exc_info=ended)
        if self._tasks:
            self._look()
            await self._file.stop()
        self._tasks = []

    async def _record(self) -> None:
        while True:
            self._look()
            await self._clock.sleep(SAMPLE)

    def _look(self) -> None:
        for source in self.sources:
            self._histories[source.ups].record(source.view())

    def _page(self, headers: Mapping[str, str]) -> Answer:
        policy = {"Content-Security-Policy": self._document.policy}
        return Answer(self._document.body, "text/html; charset=utf-8", {**SAFE, **policy})

    def _status(self, headers: Mapping[str, str]) -> Answer:
        views = [source.view() for source in self.sources]
        now = self._clock.wall()
        content = {"version": VERSION, "title": self._title, "page": self._document.version, "now": round(now, 1)}
        rows = self._wake.progress if self._wake is not None else []
        wake = [{"name": row.name, "waits": row.waits, "sent": row.sent, "text": row.text} for row in rows]
        return _json({**content, "ups": [status(view) for view in views], **({"wake": wake} if wake else {})})

    def _history(self, headers: Mapping[str, str]) -> Answer:
        now = self._clock.monotonic()
        if self._made is None or now - self._made[0] >= REMAKE:
            self._look()
            days = [{"name": name, **encode(history.day())} for name, history in self._histories.items()]
            self._made = now, _json({"version": VERSION, "ups": days}).body
        return Answer(self._made[1], "application/json", SAFE)


def _json(content: object) -> Answer:
    return Answer(json.dumps(content, separators=(",", ":"), allow_nan=False).encode() + b"\n", "application/json", SAFE)
