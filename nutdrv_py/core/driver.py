# SPDX-License-Identifier: GPL-2.0-or-later
"""The driver: a shell around what decides.

The poller and a timer hand events to :mod:`~nutdrv_py.core.freshness`; what that serves becomes a Snapshot. Nothing here touches
a socket: the server and the exporters subscribe to changes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from nutdrv_py import log
from nutdrv_py.clock import Clock
from nutdrv_py.core import freshness, lowbattery
from nutdrv_py.core.events import Changed, Early, Event, Leave, Limited, Opened, Polled, Tick
from nutdrv_py.core.freshness import Phase, Served
from nutdrv_py.core.guard import NAME
from nutdrv_py.core.poller import LEAVE, Poller, pause
from nutdrv_py.core.recall import Memory, Recall, seen_before
from nutdrv_py.core.remarks import Remarks
from nutdrv_py.core.settings import Settings
from nutdrv_py.core.snapshots import Snapshots
from nutdrv_py.core.variables import Marks, usable
from nutdrv_py.device.backend import Answers, Backend, Writable
from nutdrv_py.device.reading import Reading
from nutdrv_py.log import Trouble
from nutdrv_py.nut.snapshot import Snapshot

__all__ = ["Driver"]

BEAT = 1.0
"""Seconds between two beats of the heart, which feeds systemd's watchdog and notices that the event loop was blocked."""

T = TypeVar("T")
Listener = Callable[[Snapshot, Snapshot], None]


class Driver:
    """Polls a backend and keeps the :class:`Snapshot` that upsd may know."""

    def __init__(
        self, settings: Settings, backend: Backend[Any], clock: Clock, *, debug: int = 0, memory: Memory | None = None
    ) -> None:
        self.settings = settings
        self.backend = backend
        self.clock = clock
        self.cli_debug = debug
        self.snapshot = Snapshot()
        self.ready = asyncio.Event()
        """Set when the first state, even a stale one, can be served."""
        self.trouble = Trouble()
        self.poller = Poller(settings, backend, clock, self.trouble, self.apply)
        self.killpower = settings.allow_killpower
        self.written: dict[str, float] = {}
        """Low marks that upsrw has set, by variable. Kept until the driver ends."""
        self.commands: frozenset[str] = frozenset()
        """The core's own instant commands that are listed."""
        self.alive: Callable[[], None] = lambda: None
        """Called by each beat while polls come to an end: it feeds the watchdog."""
        self.keep: Callable[[Memory], None] = lambda memory: None
        """Called with what the next driver should know of the battery; it must not block."""
        # A device that makes LB itself is repeated as it is.
        self._recall = Recall(None if backend.says_low else memory)
        backend.seen = seen_before(memory, clock.wall())
        self._remarks = Remarks(self.trouble, settings.ups)
        self._listeners: list[Listener] = []
        self._moved = asyncio.Event()
        self._ended = asyncio.Event()
        self._exit_code: int | None = None
        self._driver_state = "quiet"
        self._state = freshness.begun(clock.monotonic(), settings.limits, self._wishes())
        self._served = freshness.served(self._state, clock.monotonic())
        self._age = 0.0
        self._snapshots = Snapshots(settings, backend)
        self._hide()
        self.refresh()

    def subscribe(self, listener: Listener) -> None:
        """Call ``listener(old, new)`` for every change of the snapshot."""
        self._listeners.append(listener)

    @property
    def reading(self) -> Reading | None:
        """Return the reading that is served, None while the data are stale: what exporters may show."""
        return None if self._served.stale else self._served.reading

    @property
    def answers(self) -> Answers | None:
        """Return what the device answers of which no reading can be made."""
        found = self._offer(lambda: self.backend.answers, None)
        return found if isinstance(found, Answers) else None

    @property
    def good_at(self) -> float | None:
        """Return monotonic time at which the device reported what is served; None before the first reading."""
        return self._state.taken if self._served.reading is not None else None

    def summary(self) -> str:
        """Return one line for a person: ``OL 87 %, 640 W, data 2 s old``."""
        if self.good_at is None:
            return "no data yet: " + ("waiting for the device" if not self.trouble.active() else "the device does not answer")
        return _summary(self.snapshot, self.clock.monotonic() - self.good_at)

    def stop(self, code: int = 0, *, at_once: bool = False) -> None:
        """End the driver with that exit code: as soon as upsmon holds nothing against its silence, or ``at_once``.

        That takes the seconds of ``looks`` at most, and none if upsmon has seen for so long what it must see before silence. A
        second call ends it at once.
        """
        at_once = at_once or self._exit_code is not None
        if self._exit_code is None:
            self._exit_code = code
            self.apply(Leave(self.clock.monotonic()))
        if at_once:
            self._ended.set()
        elif not self._ended.is_set():
            looks = self.settings.config.looks
            log.log.info("Ending within %d s: upsmon has to see the present status first, on the grid without alarms", looks)

    def opened(self) -> None:
        """Note that upsd can connect from now on."""
        self.apply(Opened(self.clock.monotonic()))

    async def run(self) -> int:
        """Poll until :meth:`stop`; returns the exit code."""
        works = (self.poller.run(self.set_state), self._timer(), self._heart(), self._ended.wait())
        tasks = [asyncio.ensure_future(work) for work in works]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
            return self._exit_code or 0
        finally:
            self.set_state("cleanup.upsdrv")
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=LEAVE)
            await self.poller.close()
            self.set_state("cleanup.exit")

    def set_state(self, state: str) -> None:
        """Publish ``driver.state`` (NUT drivers/main.c names the states)."""
        self._driver_state = state
        self.refresh()

    def settle(self, settings: Settings) -> None:
        """Take over other settings; what is served follows at once."""
        self.settings = self.poller.settings = settings
        self._snapshots.settle(settings)
        self._hide()
        self.apply(Limited(self.clock.monotonic(), settings.limits))
        self.renew_wishes()

    def renew_wishes(self) -> None:
        """Decide on LB by the marks that are set now."""
        self.apply(Changed(self.clock.monotonic(), self._wishes()))

    def _wishes(self) -> lowbattery.Wishes:
        return self.settings.wishes(self.written, says_low=self.backend.says_low)

    def _hide(self) -> None:
        for secret in self.settings.secrets:
            log.hide(secret)

    async def _timer(self) -> None:
        """Wake when time changes what is served."""
        while True:
            self._moved.clear()
            look = freshness.next_look(self._state)
            await pause(self.clock, None if look is None else max(0.0, look - self.clock.monotonic()), self._moved)
            if self._moved.is_set():
                # The event that has just come was applied with its time.
                continue
            try:
                self.apply(Tick(self.clock.monotonic()))
            except Exception as error:
                self._internal("timer", error)

    async def _heart(self) -> None:
        """Beat; this is late only when the event loop was blocked."""
        while True:
            due = self.clock.monotonic() + BEAT
            await self.clock.sleep(BEAT)
            self._remarks.blocked(self.clock.monotonic() - due, self.settings.backend_name)
            if self.poller.lively:
                self.alive()

    def apply(self, event: Event) -> None:
        """Take in an event and serve what follows from it."""
        before = self._served
        if isinstance(event, Polled | Early):
            event = replace(event, reading=self._recall.complete(event.reading, event.at, self.clock.wall()))
        self._state = freshness.after(self._state, event)
        self._served = now = freshness.served(self._state, self._state.at)
        if not isinstance(event, Tick):
            self._moved.set()
        if not isinstance(event, Tick) or now.phase is not Phase.CURRENT:
            self._age = now.age
        self._remarks.served(before, now, self._state, self.settings.config.maxage, self._detection())
        self.refresh()
        self._note(now)
        if self._exit_code is not None and now.may_end:
            self._ended.set()
        if now.ready and not self.ready.is_set() and self._may_start(now):
            self.ready.set()

    def _note(self, now: Served) -> None:
        if now.reading is None or now.stale or self.backend.says_low:
            return
        # A stranger's backend may have put anything there.
        seen = self.backend.seen if isinstance(self.backend.seen, str) else ""
        memory = self._recall.news(now.reading, self.clock.wall(), seen)
        if memory is not None:
            self.keep(memory)

    def _internal(self, where: str, error: Exception) -> None:
        """Log a bug. It must not end the driver: a dead driver is worse than a skipped turn."""
        if self.trouble.report(where, f"internal error in the {where}: {type(error).__name__}", logging.ERROR):
            log.log.error("please report this:", exc_info=error)

    def _detection(self) -> str:
        state = self._state
        if self.backend.says_low or state.shown is None:
            return ""
        return lowbattery.detection(state.shown, state.wishes, state.low)

    def _may_start(self, now: Served) -> bool:
        """Return whether LB can be derived as ``ignorelb`` wants it; a driver that cannot is not started (main.c)."""
        if now.reading is None or not self.settings.ignorelb:
            return True
        names = self.snapshot.variables
        if any(name in names and f"{name}.low" in names for name in (lowbattery.CHARGE, lowbattery.RUNTIME)):
            return True
        self._remarks.never_low()
        self.stop(1, at_once=True)
        return False

    def refresh(self) -> None:
        """Take the snapshot of what is served now, and give it to the listeners if it is another one."""
        self._snapshots.shape(self._served, self.marks, self.writable, self._detection())
        commands = self.commands | self.device_commands
        old = self.snapshot
        new = self._snapshots.take(self._served, self._age, self._driver_state, commands, killpower=self.killpower)
        if new is old:
            return
        self.snapshot = new
        for listener in self._listeners:
            try:
                listener(old, new)
            except Exception as error:
                self._internal(f"listener {listener!r}", error)

    @property
    def marks(self) -> Marks:
        """Return the low marks in force, and which of them upsrw may set."""
        state = self._state
        if state.shown is None:
            return Marks()
        return Marks.of(state.shown, state.wishes, state.low.known, self.settings.fixed_marks)

    @property
    def writable(self) -> Mapping[str, Writable]:
        """Return the variables of the backend that upsrw may set: not the marks that ups.conf fixes."""
        fixed, nothing = self.settings.fixed_marks, dict[str, Writable]()
        offer = self._offer(lambda: usable(self.backend.writable), nothing)
        return {name: rule for name, rule in offer.items() if name.lower() not in fixed}

    @property
    def device_commands(self) -> frozenset[str]:
        """Return the instant commands of the backend."""
        return self._offer(lambda: frozenset(name for name in self.backend.commands if NAME.fullmatch(str(name))), frozenset())

    def _offer(self, look: Callable[[], T], nothing: T) -> T:
        """Return what a backend offers; its faults must never keep a status from upsd."""
        try:
            return look()
        except Exception as error:
            self._internal("backend, which cannot say what may be set and done", error)
            return nothing


def _summary(snapshot: Snapshot, age: float) -> str:
    if snapshot.stale:
        return f"data stale for {age:.0f} s"
    shown = {name: variable.value for name, variable in snapshot.variables.items()}
    charge = f" {shown['battery.charge']} %" if "battery.charge" in shown else ""
    watts = f", {shown['ups.realpower'].partition('.')[0]} W" if "ups.realpower" in shown else ""
    return f"{shown['ups.status']}{charge}{watts}, data {age:.0f} s old"
