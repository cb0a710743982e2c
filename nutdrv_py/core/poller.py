# SPDX-License-Identifier: GPL-2.0-or-later
"""One task owns the backend: polls, and what is done between them.

A poll ends as an event of :mod:`~nutdrv_py.core.freshness`, whatever the backend does: it may hang, ignore its cancellation,
raise anything, call sys.exit or return nonsense.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from nutdrv_py import log
from nutdrv_py.clock import Clock
from nutdrv_py.core.confined import LeftError, SelfCancelledError, confined
from nutdrv_py.core.events import Disowned, Early, Event, Failed, Polled
from nutdrv_py.core.guard import guarded
from nutdrv_py.core.settings import Settings
from nutdrv_py.device.backend import Backend
from nutdrv_py.device.reading import Reading, Value
from nutdrv_py.errors import AuthError, DeviceError, NutdrvError, StaleError
from nutdrv_py.log import Trouble

__all__ = ["FAILURES", "LEAVE", "LONGEST_POLL", "Poller", "pause"]

LONGEST_POLL = 60.0
"""Seconds after which a poll is given up although the backend should have: a hanging backend must not stay unnoticed."""

COMMAND_LIMIT = 30.0
"""Seconds after which a setting or an instant command is given up, so that it cannot keep the polls away for ever."""

FAILURES = ("timeout", "auth", "device", "stale", "internal")
"""The kinds of failed polls: the backend did not end, a refused login, no usable answer, stale data, a fault of ours."""

REJECTED = (60.0, 300.0, 900.0)
"""Seconds before the next polls after a login was refused for good; the last one repeats. More tries could lock the account."""

LEAVE = 2.0
"""Seconds the backend gets to close its connection at exit."""

AHEAD = 86400.0
"""Seconds from now beyond which a reading's time is that of another clock. A little is a rounding, or a device's clock."""

MOST_NAMED = 100
"""Maximum dropped names that are counted and logged: a device that makes up names must not fill memory and log."""


async def pause(clock: Clock, seconds: float | None, event: asyncio.Event) -> None:
    """Wait so many seconds (None: for ever), or until ``event`` is set."""
    if seconds is None:
        await event.wait()
        return
    waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(clock.sleep(seconds)), asyncio.ensure_future(event.wait())]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


class Poller:
    """Asks a backend and hands what comes of it to ``apply``. ``settings`` are replaced by a reload."""

    def __init__(
        self, settings: Settings, backend: Backend[Any], clock: Clock, trouble: Trouble, apply: Callable[[Event], None]
    ) -> None:
        self.settings = settings
        self.dropped: Counter[str] = Counter()
        """What the guard dropped, by name."""
        self.polled: Callable[[float, str | None], None] = lambda seconds, failure: None
        """Called after each poll with how long it took, and the kind of failure or None."""
        self._backend = backend
        self._clock = clock
        self._trouble = trouble
        self._apply = apply
        self._wake = asyncio.Event()
        self._device = asyncio.Lock()
        self._opened = False
        self._began = clock.monotonic()
        self._rejections = 0
        self._not_before = 0.0
        self._passed: tuple[tuple[str, ...], Mapping[str, Value]] = (), {}
        """Secrets, and the values that passed the guard last with them."""
        backend.publish = self._early
        backend.wake = self._wake.set

    @property
    def lively(self) -> bool:
        """Return whether polls come to an end."""
        limit = max(LONGEST_POLL, float(self.settings.config.maxage)) + COMMAND_LIMIT
        return self._clock.monotonic() - self._began < limit

    async def run(self, state: Callable[[str], None]) -> None:
        """Poll for ever. ``state`` publishes ``driver.state``, NUT's heartbeat."""
        while True:
            began = self._began = self._clock.monotonic()
            # Clear first: a wake() during the poll must cause another poll.
            self._wake.clear()
            try:
                state("updateinfo")
                if began >= self._not_before:
                    await self.once()
                else:
                    self._apply(Failed(began))
                state("quiet")
            except Exception as error:
                # A dead driver is worse than a skipped poll.
                if self._trouble.report("poll loop", f"internal error in the poll loop: {type(error).__name__}", logging.ERROR):
                    log.log.error("please report this:", exc_info=error)
            rest = began + self.settings.config.pollinterval - self._clock.monotonic()
            await pause(self._clock, max(0.0, rest), self._wake)

    async def once(self) -> None:
        """Poll the device once and take over its answers: the body of the loop, and all that ``-d`` needs."""
        async with self._device:
            began = self._clock.monotonic()
            failure = await self._poll()
            self.polled(self._clock.monotonic() - began, failure)

    def soon(self) -> None:
        """Have the next poll at once, unless a login was refused for good."""
        self._wake.set()

    def anew(self) -> None:
        """Have the next poll at once, also after a refused login: the configuration was changed."""
        self._not_before, self._rejections = 0.0, 0
        self._wake.set()

    async def open(self) -> None:
        """Have the backend open its connection, unless it has."""
        if not self._opened:
            await self._backend.__aenter__()
            self._opened = True

    async def close(self) -> None:
        """Let the backend close its connection, within :data:`LEAVE` seconds. Process exit ends what ignores cancellation."""
        if self._opened:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(LEAVE):
                    await confined(self._backend.__aexit__(None, None, None))
            self._opened = False

    async def between_polls(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do ``work`` on the device while no poll is under way. Raises TimeoutError after :data:`COMMAND_LIMIT` seconds."""

        async def alone() -> None:
            async with self._device:
                await work()

        await confined(alone(), COMMAND_LIMIT)

    async def _poll(self) -> str | None:
        """Poll once; None, or the kind of failure: one of :data:`FAILURES`."""
        limit = max(LONGEST_POLL, float(self.settings.config.maxage))
        internal = f"internal error in the backend {self.settings.backend_name}"
        try:
            reading = self._guarded(await confined(self._ask(), limit, stubborn=self._stubborn))
        except TimeoutError:
            self._failed(f"the device did not finish a poll within {limit:.0f} s")
            return "timeout"
        except SelfCancelledError as error:
            self._failed(f"{internal}: it cancelled its own poll", error)
        except LeftError as error:
            self._failed(f"{internal}: it called sys.exit or the like; a backend raises DeviceError instead", error)
        except StaleError as error:
            self._report(str(error))
            self._apply(Disowned(self._clock.monotonic()))
            return "stale"
        except AuthError as error:
            self._failed(str(error))
            if error.rejected:
                self._not_before = self._clock.monotonic() + REJECTED[min(self._rejections, len(REJECTED) - 1)]
                self._rejections += 1
            return "auth"
        except NutdrvError as error:
            self._failed(str(error))
            return "device"
        except Exception as error:
            self._failed(f"{internal}: {type(error).__name__}", error)
        else:
            self._rejections = 0
            self._trouble.clear("poll", "Communications with the device are established again: the data are current")
            self._hand_over(Polled, reading)
            return None
        return "internal"

    def _hand_over(self, event: type[Polled] | type[Early], reading: Reading) -> None:
        """Apply the reading; what breaks the core in it must not keep the state of the grid from upsd."""
        at = self._clock.monotonic()
        try:
            self._apply(event(at, reading))
        except Exception as error:
            text = f"internal error while a reading was taken over, of which only the status is used: {type(error).__name__}"
            if self._trouble.report("reading", text, logging.ERROR):
                log.log.error("please report this:", exc_info=error)
            self._apply(event(at, Reading({}, reading.status, at=reading.at)))
        else:
            self._trouble.clear("reading")

    async def _ask(self) -> Reading:
        await self.open()
        return await self._backend.poll()

    def _early(self, reading: Reading) -> None:
        try:
            self._hand_over(Early, self._guarded(reading))
        except DeviceError as error:
            self._report(str(error))

    def _guarded(self, reading: Reading) -> Reading:
        """Return what may be seen of the reading. Raises :class:`DeviceError` when that is nothing."""
        secrets = log.hidden()
        passed = self._passed[1] if self._passed[0] == secrets else {}
        kept, dropped = guarded(reading, secrets, fsd=self._backend.says_fsd, passed=passed)
        self._passed = secrets, kept.values
        for item in dropped:
            if item.name in self.dropped or len(self.dropped) < MOST_NAMED:
                self.dropped[item.name] += 1
                self._trouble.report(f"dropped {item.name}", f"{item.name} from the backend is dropped: {item.reason}")
        maxage, age = self.settings.config.maxage, 0.0 if kept.at is None else self._clock.monotonic() - kept.at
        if age > maxage:
            raise DeviceError(f"what the device has said is older than maxage = {maxage} s")
        if age < -AHEAD:
            # Such a reading would never age: silence would not be seen, nor an outage in it.
            raise DeviceError("the backend gives its reading a time that is not of its clock.monotonic(); correct Reading.at")
        return kept

    def _failed(self, message: str, error: BaseException | None = None) -> None:
        self._report(message, error)
        self._apply(Failed(self._clock.monotonic()))

    def _report(self, message: str, error: BaseException | None = None) -> None:
        if self._trouble.report("poll", message, logging.ERROR if error else logging.WARNING) and error is not None:
            log.log.error("please report this:", exc_info=error)

    def _stubborn(self, seconds: float) -> None:
        name = self.settings.backend_name
        text = f"the backend {name} goes on {seconds:.0f} s after its poll was cancelled; no other poll can begin before it ends"
        self._trouble.report("stubborn", text, logging.ERROR)
