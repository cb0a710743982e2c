# SPDX-License-Identifier: GPL-2.0-or-later
"""An event loop whose time moves only while nothing happens, and then fast: what is waited for comes soon, in its order."""

from __future__ import annotations

import asyncio
import selectors
import time
from typing import Any

from nutdrv_py.clock import Clock

__all__ = ["HastyLoop", "LoopClock"]

LOOK = 0.002
"""Seconds that the sockets are looked at before time moves: a packet on loopback takes less."""

STEP = 0.05
"""Maximum seconds by which time moves at once: a packet that is late on a busy machine has several looks."""


class _Selector(selectors.DefaultSelector):
    """Waits for sockets a moment only, and moves the loop's time instead of waiting on."""

    now = 0.0
    """The loop's time."""

    jobs = 0
    """Calls that threads of the loop work at: their time is real, so it does not run ahead then."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or self.jobs:
            began = time.monotonic()
            ready = super().select(timeout)
            self.now += time.monotonic() - began
            return ready
        ready = super().select(min(timeout, LOOK))
        if not ready:
            self.now += min(timeout, STEP)
        return ready


class HastyLoop(asyncio.SelectorEventLoop):
    """For tests whose device and driver are both tasks of it: no other thread or process is waited for."""

    def __init__(self) -> None:
        self._hasty = _Selector()
        super().__init__(self._hasty)

    def time(self) -> float:
        return self._hasty.now

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        self._hasty.jobs += 1
        job = super().run_in_executor(executor, func, *args)
        job.add_done_callback(self._done)
        return job

    def _done(self, job: asyncio.Future[Any]) -> None:
        self._hasty.jobs -= 1


class LoopClock(Clock):
    """The time of the running loop, for a driver that is to keep up with it."""

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()
