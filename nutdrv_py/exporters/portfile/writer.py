# SPDX-License-Identifier: GPL-2.0-or-later
"""When the port file is written: at once when the status has changed, else not more often than asked for.

It may lie on a memory card.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from nutdrv_py.clock import Clock
from nutdrv_py.exporters.portfile.file import FIRST, PortFile, not_taken_away
from nutdrv_py.log import Trouble, log

__all__ = ["PATIENCE", "STUCK", "Writer"]

PATIENCE = 15.0
"""Seconds for which writes may fail before the file is taken away, because its values are old then."""

STUCK = 60.0
"""Seconds that one write may take before the writer counts as stuck."""

RETRY = 5.0
"""Seconds before a write that has failed is tried again."""


class Writer:
    """Decides when the file is written. ``every`` and ``alert`` are seconds between two writes, on the grid and off it."""

    def __init__(self, file: PortFile, clock: Clock, *, every: float, alert: float) -> None:
        self.file = file
        self._clock = clock
        self._every = every
        self._alert = alert
        self._trouble = Trouble()
        self._latest: Mapping[str, str] | None = None
        self._known = False
        self._status: str | None = None
        self._wrote_at = float("-inf")
        self._retry_at = float("-inf")
        self._failing_since: float | None = None
        self._began = self._turned_at = clock.monotonic()
        self._news = asyncio.Event()
        self.written = asyncio.Event()
        """Set when the file has been brought up to date, or taken away, for the first time."""
        self.wrote = asyncio.Event()
        """Set with each write: the file was read, too, and may hold other settings of the user."""

    @property
    def stuck(self) -> bool:
        """Return whether the present write lasts too long, so that the file is old."""
        return self._clock.monotonic() - self._turned_at > STUCK

    def tell(self, variables: Mapping[str, str] | None) -> None:
        """Take in what is known now; None while the data are stale."""
        self._known = self._known or variables is not None
        self._latest = variables
        self._news.set()

    async def run(self) -> None:
        """Keep the file until cancelled."""
        while True:
            self._news.clear()
            await self.step()
            waits = [asyncio.ensure_future(self._clock.sleep(1.0)), asyncio.ensure_future(self._news.wait())]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()

    async def step(self) -> None:
        """Write or hide, if it is time to. Never raises: a keeper that has failed must not leave an old file behind."""
        now = self._clock.monotonic()
        if now >= self._retry_at:
            try:
                await self._bring(now)
                self._failing_since = None
                self._trouble.clear("write", "The port file can be written again")
            except Exception as error:
                await self._failed(error, now)
        self._turned_at = self._clock.monotonic()

    async def _bring(self, now: float) -> None:
        latest = self._latest
        if latest is None:
            if self._known or now - self._began >= FIRST:
                if await asyncio.to_thread(self.file.hide):
                    log.warning("No data: the port file is now %s", self.file.away)
                self.written.set()
            self._status = None
        elif (shown := await asyncio.to_thread(self._shown)) is False or self._due(latest, now):
            status = latest.get("ups.status", "")
            await asyncio.to_thread(self.file.show, latest)
            self._wrote_at, self._status = now, status
            self.wrote.set()
            if not shown:
                log.info("The port file %s is there again", self.file.path)
            self.written.set()

    async def _failed(self, error: Exception, now: float) -> None:
        """Try again later; the file is old meanwhile, so after a while, or with another status, it is taken away."""
        self._retry_at = now + RETRY
        self._failing_since = self._failing_since if self._failing_since is not None else now
        reason = error.strerror or str(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
        self._trouble.report("write", f"The port file {self.file.path} cannot be written: {reason}", logging.ERROR)
        status = (self._latest or {}).get("ups.status", "")
        if status != self._status or now - self._failing_since >= PATIENCE:
            try:
                if await asyncio.to_thread(self.file.hide):
                    log.error("The port file is taken away, because it says what is no longer true: now %s", self.file.away)
            except OSError as worse:
                self._trouble.report("hide", not_taken_away(self.file.path, worse.strerror), logging.ERROR)

    def _due(self, variables: Mapping[str, str], now: float) -> bool:
        status = variables.get("ups.status", "")
        every = self._alert if "OB" in status.split() else self._every
        return status != self._status or now - self._wrote_at >= every

    def _shown(self) -> bool:
        # A disk that hangs must not block the event loop.
        return self.file.shown
