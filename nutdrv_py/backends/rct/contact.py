# SPDX-License-Identifier: GPL-2.0-or-later
"""The connection of the RCT backend: when it is made, given up and woken, by what was answered."""

from __future__ import annotations

from types import TracebackType

from nutdrv_py.backends.rct.client import Line
from nutdrv_py.backends.rct.config import RctConfig, address
from nutdrv_py.backends.rct.house import House
from nutdrv_py.backends.rct.inventory import Schedule
from nutdrv_py.clock import Clock
from nutdrv_py.device.backend import Backend
from nutdrv_py.errors import DeviceError
from nutdrv_py.log import Trouble, log

__all__ = ["Contact"]

SILENT_POLLS = 3
"""Polls without any answer after which the connection is given up: the line may have locked up."""

UNTOLD_POLLS = 30
"""The same while it answers other questions than those about the grid, and has answered about the grid before."""

RETRY = (5.0, 10.0, 20.0, 30.0, 60.0)
"""Seconds before the next attempts to connect. The last one repeats: an inverter that sleeps at night is found again within a
minute of its waking."""

RETRY_OFF_GRID = 5.0
"""The same while the house is off the grid."""

WAKE_AFTER = 5.0
"""Seconds of silence on a new connection after which the extension frame is tried."""

UPDATING = 300.0
"""Seconds for which an inverter whose bootloader is calling is left alone (vendor document)."""

CALLS = 2
"""Calls of the bootloader, with no answer in between, that mean an update."""


class Contact(Backend[RctConfig]):
    """An inverter's line, and what is known of it from poll to poll; :class:`~nutdrv_py.backends.rct.Rct` asks over it."""

    def __init__(self, config: RctConfig, clock: Clock) -> None:
        super().__init__(config, clock)
        host, port = address(config.port)
        self.line = Line(host, port, clock, window=config.window)
        self._trouble = Trouble()
        self._house = House(clock)
        self._schedule = Schedule()
        self._silent = 0
        self._failures = 0
        self._not_before = 0.0
        self._why = ""
        self._woken = False
        self._must_wake = config.wakeup
        self._called = 0
        self._answering_at: float | None = None

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close the connection."""
        self.line.close()

    async def _connect(self) -> None:
        now = self.clock.monotonic()
        if self.line.opened is not None:
            return
        if now < self._not_before:
            raise DeviceError(self._why)
        try:
            await self.line.open()
            if self._must_wake:
                self.line.wake()
        except DeviceError as error:
            self._give_up(str(error))
            raise
        self._schedule.restart()
        self._house.reconnected()
        self._called = self.line.damage.bootloader
        self._woken = self._must_wake
        self._silent = 0

    def _give_up(self, why: str, pause: float | None = None) -> None:
        """Close, and wait before the next attempt: longer each time, but not while the house is off the grid."""
        self.line.close()
        self._answering_at = None
        if pause is None:
            pause = RETRY_OFF_GRID if self._house.off_grid else RETRY[min(self._failures, len(RETRY) - 1)]
            self._failures += 1
        self._why = why
        self._not_before = self.clock.monotonic() + pause

    def _unanswered(self, why: str) -> DeviceError:
        """Count a poll that has brought nothing about the grid, and do what may help."""
        now = self.clock.monotonic()
        self._silent += 1
        if self.line.damage.bootloader >= self._called + CALLS:
            why = "the inverter's firmware is being updated, or an update has failed: its bootloader is calling"
            self._give_up(why, UPDATING)
            return DeviceError(why)
        opened = self.line.opened
        patient = opened is None or (now - opened < WAKE_AFTER and self._silent < SILENT_POLLS)
        if not patient and self.line.heard is None and not self._woken:
            self._woken = True
            self._silent = 0
            self._trouble.report("wakeup", "No answer from the inverter yet; trying the extension frame (option wakeup)")
            self.line.wake()
        elif self._answering_at is not None:
            if self._silent >= UNTOLD_POLLS and self._house.told_at > float("-inf"):
                self._give_up(why, RETRY_OFF_GRID)
        elif self._silent >= SILENT_POLLS:
            self._give_up(why)
        return DeviceError(why)

    def _heard(self) -> None:
        self._answering_at = None
        self._silent = self._failures = 0
        self._called = self.line.damage.bootloader
        if self._woken and not self._must_wake:
            self._must_wake = True
            log.info("The inverter answers since the extension frame was sent; from now on it is sent on connecting")
        self._trouble.clear("wakeup")

    @property
    def _untold(self) -> float:
        """Return the seconds since the last answer about the grid."""
        return self.clock.monotonic() - self._house.told_at
