# SPDX-License-Identifier: GPL-2.0-or-later
"""A backend that receives: a broker, a WebSocket or a bus sends by itself, and each poll returns what was sent.

A value ages from the moment at which the device sent it. What a broker has kept, or a cache, is not news, however late it
arrives; a device that is silent is silent, although its last words are still there.
"""

from __future__ import annotations

import abc
import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace
from types import TracebackType
from typing import ClassVar, Self

from nutdrv_py.clock import Clock
from nutdrv_py.core.confined import LeftError, SelfCancelledError, confined
from nutdrv_py.device.backend import Backend, ConfigT
from nutdrv_py.device.reading import Reading
from nutdrv_py.errors import AuthError, DeviceError
from nutdrv_py.log import Trouble, log

__all__ = ["LEAVE", "MOST_NAMES", "RETRY", "WAKE", "PushBackend"]

WAKE = 0.5
"""Minimum seconds between two polls that messages cause."""

RETRY = (1.0, 2.0, 5.0, 10.0)
"""Seconds before the next attempts to listen; the last one repeats. Less than maxage, so that a short restart goes unnoticed."""

ATTEMPT = 5.0
"""Seconds for which the reason of the last failure is given while the next attempt is under way."""

LEAVE = 1.5
"""Seconds that :meth:`PushBackend.listen` gets to end."""

MOST_NAMES = 4096
"""Maximum number of names that are kept; a device that makes up more is not believed any further."""


class PushBackend(Backend[ConfigT]):
    """A device that sends by itself. A subclass has :meth:`listen`, which calls :meth:`told`, and :meth:`compose`."""

    silence: ClassVar[float | None] = None
    """Seconds after which a value that was not sent again counts no more; None: ``maxage``."""

    unchanged: ClassVar[bool] = False
    """True for a device that sends a value only when it changes: then all values are as old as its last sign of life."""

    urgent: ClassVar[tuple[str, ...]] = ()
    """Names whose change causes a poll at once, such as that of the grid; none: each change does."""

    def __init__(self, config: ConfigT, clock: Clock) -> None:
        super().__init__(config, clock)
        self._values: dict[str, tuple[object, float | None]] = {}
        self._alive: float | None = None
        self._task: asyncio.Task[None] | None = None
        self._failures = 0
        self._began = self._not_before = float("-inf")
        self._why: DeviceError | None = None
        self._woken = float("-inf")
        self._later: asyncio.Task[None] | None = None
        self._trouble = Trouble()

    # What a subclass writes

    @abc.abstractmethod
    async def listen(self) -> None:
        """Connect, and call :meth:`told` for what comes, for ever; closing what was opened is done here, in ``finally``.

        It is a task of its own. Raise :class:`DeviceError` with the reason when there is no connection, :class:`AuthError` when a
        login was refused. Whatever ends it, all that was received is forgotten then, because what was missed is not known, and
        it is called again.
        """

    @abc.abstractmethod
    def compose(self, told: Mapping[str, object], times: Mapping[str, float]) -> Reading:
        """Return the reading of the values that were received and still count; ``times`` are monotonic.

        Give it ``at=times[...]`` of the name that holds the grid; without ``at`` it is as old as the oldest value.
        Raises :class:`DeviceError` when the device does not report whether the grid is there.
        """

    # What a subclass calls

    def told(self, values: Mapping[str, object], *, at: float | None = None, kept: bool = False) -> None:
        """Take in what the device has sent, by names of its own. Call it from the event loop.

        ``at`` is the monotonic time at which the device sent it (None: now); for a time stamp take ``clock.monotonic_of(stamp)``.
        ``kept``: a broker or cache had it; it is not used until the device itself gives a sign of life, and only with
        :attr:`unchanged`.
        """
        now = self.clock.monotonic()
        at = now if at is None else min(at, now)
        if not kept:
            self.alive(at)
        news = False
        for name, value in values.items():
            before = self._values.get(name)
            if before is None and len(self._values) >= MOST_NAMES:
                self._trouble.report("names", f"The device has sent more than {MOST_NAMES} names; the others are left out")
                continue
            if before is not None and at < (before[1] or at):
                continue  # overtaken by a later one
            self._values[name] = value, None if kept else at
            news = news or ((before is None or before[0] != value) and (not self.urgent or name in self.urgent))
        if news and not kept:
            self._soon(now)

    def alive(self, at: float | None = None) -> None:
        """Take note of a sign of life: the device is there, and nothing has changed."""
        at = self.clock.monotonic() if at is None else at
        self._alive = at if self._alive is None else max(self._alive, at)

    def forget(self) -> None:
        """Forget all that was received, because something was missed: the device has restarted, or has announced that it
        leaves."""
        self._values.clear()
        self._alive = None

    # What the driver calls

    async def __aenter__(self) -> Self:
        """Begin to listen."""
        self._begin()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End the listening; what ignores its cancellation is abandoned."""
        task, self._task = self._task, None
        if self._later is not None:
            self._later.cancel()
            self._later = None
        if task is not None:
            task.cancel()
            await asyncio.wait({task}, timeout=LEAVE)
        self.forget()

    async def poll(self) -> Reading:
        """Return the values that were received and still count. Raises :class:`DeviceError` when that is nothing, and why."""
        self._begin()
        if self._why is not None and not self._values:
            # Without its traceback: each raise would make it longer.
            raise self._why.with_traceback(None)
        now, limit = self.clock.monotonic(), self.config.maxage if self.silence is None else self.silence
        times: dict[str, float] = {}
        for name, (_, at) in self._values.items():
            said = self._alive if self.unchanged else at
            if said is not None and now - said <= limit:
                times[name] = said
        if not times:
            silent = "has sent nothing yet" if self._alive is None else f"has sent nothing for {now - self._alive:.0f} s"
            kept = "; what was kept of it may be hours old" if self._values and self._alive is None else ""
            raise DeviceError(f"the device {silent}{kept}")
        reading = self.compose({name: self._values[name][0] for name in times}, times)
        return reading if reading.at is not None else replace(reading, at=min(times.values()))

    def _begin(self) -> None:
        """Listen, unless that is under way or was tried a moment ago."""
        now = self.clock.monotonic()
        if (self._task is None or self._task.done()) and now >= self._not_before:
            self._began = now
            self._task = asyncio.ensure_future(self._listening())
        elif self._why is not None and self._task is not None and not self._task.done() and now - self._began > ATTEMPT:
            self._why = None

    async def _listening(self) -> None:
        """Listen until that ends, and keep why it did."""
        try:
            await confined(self.listen())
            why = DeviceError("the device has ended the connection; it is opened again")
        except (AuthError, DeviceError) as error:
            why = error
        except (SelfCancelledError, LeftError) as error:
            why = DeviceError(f"internal error in the backend, which listens again: {error}")
        except Exception as error:
            # The text of a library's error may hold a password.
            text = f"internal error in the backend, which listens again: {type(error).__name__}"
            if self._trouble.report("listen", text, logging.ERROR):
                log.error("please report this:", exc_info=error)
            why = DeviceError(text)
        # A connection without a value is tried less and less often.
        self._failures = 1 if self._alive is not None else self._failures + 1
        self._not_before = self.clock.monotonic() + RETRY[min(self._failures, len(RETRY)) - 1]
        self._why = why
        self.forget()

    def _soon(self, now: float) -> None:
        """Have a poll, at most one every :data:`WAKE` seconds; none is lost."""
        if self._later is not None:
            return
        wait = self._woken + WAKE - now
        if wait <= 0:
            self._woken = now
            self.wake()
        else:
            self._later = asyncio.ensure_future(self._wake_after(wait))

    async def _wake_after(self, seconds: float) -> None:
        await self.clock.sleep(seconds)
        self._later = None
        self._woken = self.clock.monotonic()
        self.wake()
