# SPDX-License-Identifier: GPL-2.0-or-later
"""Time in a simulated house."""

from __future__ import annotations

from collections.abc import Callable


class Pace:
    """Simulator time: it runs ``speed`` times as fast as ``clock`` (seconds, any start) and can jump ahead."""

    def __init__(self, clock: Callable[[], float], speed: float) -> None:
        if not 0 < speed < float("inf"):
            raise ValueError(f"The speed must be more than 0, not {speed}.")
        self.speed = speed
        self._clock = clock
        self._began = clock()
        self._skipped = 0.0

    @property
    def seconds(self) -> float:
        """Return the simulator time since the start, s."""
        return (self._clock() - self._began) * self.speed + self._skipped

    def restart(self) -> None:
        """Set the start to now; what was skipped before stays skipped."""
        self._began = self._clock()

    def skip(self, seconds: float) -> None:
        """Jump ahead by simulator time, s."""
        if seconds < 0:
            raise ValueError("Time cannot be turned back.")
        self._skipped += seconds
