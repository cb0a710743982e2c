# SPDX-License-Identifier: GPL-2.0-or-later
"""Time as an argument, so that tests can move it."""

from __future__ import annotations

import asyncio
import time

__all__ = ["Clock"]


class Clock:
    """The machine's clocks. Monotonic time is for ages and intervals, wall time for tokens and for what people read."""

    def monotonic(self) -> float:
        """Return the seconds that never jump."""
        return time.monotonic()

    def wall(self) -> float:
        """Return the seconds since 1970 (UTC); may jump."""
        return time.time()

    def monotonic_of(self, stamp: float) -> float:
        """Return the monotonic time of a wall-clock time stamp (seconds since 1970), never later than now.

        It is right as long as the clock of the device that made the stamp is.
        """
        return self.monotonic() - max(0.0, self.wall() - stamp)

    async def sleep(self, seconds: float) -> None:
        """Wait that many seconds of monotonic time."""
        await asyncio.sleep(seconds)
