# SPDX-License-Identifier: GPL-2.0-or-later
"""What the core makes of a backend's readings, without a driver: LB, low marks, and the readings while the device is silent."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nutdrv_py.core import lowbattery
from nutdrv_py.core.guard import guarded
from nutdrv_py.core.lowbattery import Low
from nutdrv_py.core.settings import Settings
from nutdrv_py.core.variables import Marks, shape
from nutdrv_py.device.backend import Backend
from nutdrv_py.device.reading import Reading, Status
from nutdrv_py.machine.paths import Paths


class Seen:
    """Follows the readings of ``backend``, whose configuration holds what a section of ups.conf sets."""

    def __init__(self, backend: Backend[Any]) -> None:
        self._backend = backend
        self.written: dict[str, float] = {}
        """What upsrw has set."""
        self._low = Low()

    @property
    def _settings(self) -> Settings:
        config, paths = self._backend.config, Paths(*[None] * 4)  # type: ignore[arg-type]
        backend = type(self._backend)
        return Settings("home", "nutdrv_py", "x", backend, config, paths, defaults=config.defaults, overrides=config.overrides)

    @property
    def wishes(self) -> lowbattery.Wishes:
        return self._settings.wishes(self.written, says_low=self._backend.says_low)

    def look(self, reading: Reading) -> Reading:
        """The reading as it is served while it is current."""
        kept, dropped = guarded(reading, fsd=self._backend.says_fsd)
        assert not dropped, dropped
        self._low = lowbattery.after(self._low, kept, self.wishes, self._backend.clock.monotonic(), fresh=True)
        return self._with_lb(kept, self._low)

    def coast(self, reading: Reading, seconds: float) -> Reading:
        """The reading as it is served when the device has been silent for so long."""
        later, low = lowbattery.coasted(reading, seconds), self._low
        for step in range(int(seconds) + 1):
            at = self._backend.clock.monotonic() + step
            low = lowbattery.after(low, lowbattery.coasted(reading, step), self.wishes, at, fresh=False)
        return self._with_lb(later, low)

    @staticmethod
    def _with_lb(reading: Reading, low: Low) -> Reading:
        status = (reading.status & ~Status.LB) | (Status.LB if low.reasons else Status(0))
        return reading if status == reading.status else replace(reading, status=status)

    def marks(self, reading: Reading) -> Marks:
        """The low marks, and which of them upsrw may set."""
        return Marks.of(reading, self.wishes, self._low.known, self._settings.fixed_marks)

    def shown(self, reading: Reading) -> dict[str, str]:
        """What upsc would show."""
        config = self._backend.config
        found = shape(reading, self.marks(reading), self._backend.writable, config.defaults, config.overrides)
        return {name: variable.value for name, variable in found.items()}
