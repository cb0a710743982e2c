# SPDX-License-Identifier: GPL-2.0-or-later
"""From what is served to the snapshot of it: nothing is made again that has not changed, the snapshot least of all."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from nutdrv_py import __version__, log
from nutdrv_py.core.freshness import Served
from nutdrv_py.core.settings import Settings
from nutdrv_py.core.variables import Marks, Shaper, with_kinds
from nutdrv_py.device.backend import Backend, Writable
from nutdrv_py.nut.kinds import kind_of
from nutdrv_py.nut.snapshot import Flag, Snapshot, Variable

__all__ = ["NUT_VERSION", "Snapshots"]

NUT_VERSION = "2.8.5"
"""The release of NUT whose driver core this one does (``driver.version``)."""

AGE_STEP = 5
"""Seconds by which ``experimental.data.age`` moves while the device is away: the value need not change each second."""

_AGE = "experimental.data.age"
_NUMBER = Flag.RW | Flag.NUMBER


class Snapshots:
    """Makes snapshots of what a driver serves."""

    def __init__(self, settings: Settings, backend: Backend[Any]) -> None:
        self._settings, self._backend = settings, backend
        self._shaper = Shaper()
        self._device: Mapping[str, Variable] = {"device.type": Variable("ups")}
        self._fixed = _fixed(settings, backend)
        self._shaped: object = None
        self._made: object = None
        self._last = Snapshot()

    def settle(self, settings: Settings) -> None:
        """Take over other settings."""
        self._settings = settings
        self._fixed = _fixed(settings, self._backend)

    def shape(self, served: Served, marks: Marks, writable: Mapping[str, Writable], detection: str) -> None:
        """Take over the device's variables; while they are stale they stay as they were."""
        reading, settings = served.reading, self._settings
        if reading is None or (served.stale and self._shaped is not None):
            return
        parts = (marks, writable, settings.defaults, settings.overrides, detection)
        shaped = (reading.values, reading.status, reading.alarms, *parts)
        if shaped != self._shaped:
            self._device = self._shaper.shape(reading, *parts)
            self._shaped = shaped

    def take(self, served: Served, age: float, state: str, commands: frozenset[str], *, killpower: bool) -> Snapshot:
        """Return the snapshot of what is served: the last one if nothing has changed. ``age`` is in seconds, ``state`` NUT's."""
        shown = served.reading is not None and _AGE not in self._settings.overrides
        moving = (state, str(log.debug_level()), str(int(killpower)), str(int(age // AGE_STEP * AGE_STEP)) if shown else "")
        made = (self._device, self._fixed, moving, commands, served.stale)
        if made != self._made:
            self._made = made
            variables = MappingProxyType({**self._device, **self._fixed, **_moving(*moving)})
            self._last = Snapshot(variables, commands, served.stale)
        return self._last


def _fixed(settings: Settings, backend: Backend[Any]) -> dict[str, Variable]:
    """Return those of ``driver.*`` that stay until the next reload."""
    result = {name: Variable(text) for name, text in settings.parameters.items()}
    result["driver.name"] = Variable(settings.progname)
    result["driver.version"] = Variable(NUT_VERSION)
    result["driver.version.internal"] = Variable(__version__)
    result["driver.version.data"] = Variable(f"{backend.description} {backend.version}")
    given = {f"driver.parameter.{item.name}": getattr(settings.config, item.name) for item in dataclasses.fields(settings.config)}
    return with_kinds(result, given)


def _moving(state: str, debug: str, killpower: str, age: str) -> dict[str, Variable]:
    """Return the rest of ``driver.*``, and the age of the data unless it is empty."""
    found = {
        "driver.state": Variable(state),
        "driver.debug": Variable(debug, _NUMBER, kind=kind_of("driver.debug")),
        "driver.flag.allow_killpower": Variable(killpower, _NUMBER, kind=kind_of("driver.flag.allow_killpower")),
    }
    if age:
        found[_AGE] = Variable(age, kind=kind_of(_AGE))
    return found
