# SPDX-License-Identifier: GPL-2.0-or-later
"""A device that a YAML file describes: no code, no guess about the grid.

What decides on shutdowns is not in the file: ``grid:`` lists the device's own words for "the grid is there" and "there is none",
and anything else is no statement. Nothing else makes OL or OB.
"""

from __future__ import annotations

from collections import abc
from types import TracebackType
from typing import ClassVar, Self

from nutdrv_py.backends.mapping.battery import Battery
from nutdrv_py.backends.mapping.config import MappingConfig, check, login
from nutdrv_py.backends.mapping.sources import Place, Told
from nutdrv_py.clock import Clock
from nutdrv_py.device.backend import Backend
from nutdrv_py.device.findings import Finding
from nutdrv_py.device.parts import Parts
from nutdrv_py.device.reading import Reading, Status, Value
from nutdrv_py.errors import DeviceError
from nutdrv_py.log import Trouble, log

__all__ = ["CONFIRM", "Mapping"]

CONFIRM = 1.0
"""Seconds after which an outage is looked at again before it is believed: beside a low charge one wrong word would be OB LB."""


class Mapping(Backend[MappingConfig]):
    """A device described by a file."""

    Config: ClassVar[type[MappingConfig]] = MappingConfig
    description: ClassVar[str] = "Described device"
    version: ClassVar[str] = "0.1"

    def __init__(self, config: MappingConfig, clock: Clock) -> None:
        super().__init__(config, clock)
        assert config.plan is not None
        self._plan = plan = config.plan
        self._source = plan.kind.source(
            plan.spec, clock, lambda: login(self.config), (plan.grid.place, *plan.places), maxage=plan.maxage
        )
        self._source.wake = lambda: self.wake()
        self._battery = Battery(plan.battery, plan.maxage, clock.monotonic())
        self._on: bool | None = None
        self._suspected: float | None = None
        self._able = False
        self._told: dict[Place, Told] = {}
        self._parts = Parts()
        self._trouble = Trouble()

    @classmethod
    def check(cls, config: MappingConfig) -> None:
        """Refuse what cannot work."""
        check(config)

    @property
    def address(self) -> tuple[str, int] | None:
        """Return host and port of the device or its broker; None for a file."""
        return self._plan.spec.address

    async def __aenter__(self) -> Self:
        """Begin to listen."""
        await self._source.open()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End the connection."""
        await self._source.close()

    async def reload(self, config: MappingConfig) -> None:
        """Take over options; another file needs a restart."""
        if config.plan is not None and config.plan.path == self._plan.path and config.plan != self._plan:
            text = "%s has changed; to use it, type while the grid is there: upsdrvctl stop %s; upsdrvctl start %s"
            log.warning(text, self._plan.path, config.ups, config.ups)
        self.config = config

    async def poll(self) -> Reading:
        """Ask for the grid, then for the rest, which may be missing."""
        on, at = await self._grid()
        if not on and self._on is not False and not self._confirmed():
            # A second look that gets no answer keeps the first one: the next with the same answer confirms it.
            await self.clock.sleep(CONFIRM)
            on, at = await self._grid()
        self._suspected = None
        changed, known = on != self._on, self._on is not None
        self._on = on
        if changed:
            self._battery.transferred()
            if not on:
                log.warning("The house is off the grid, as the device says at %s", self._plan.grid.place)
            elif known:
                log.warning("The house is on the grid again")
            if known:
                self.publish(self._reading(at, early=True))
        if self._plan.places:
            try:
                self._told = dict(await self._source.ask(self._plan.places))
                self._trouble.clear("values")
            except DeviceError as error:
                self._trouble.report("values", f"Only the state of the grid is known now: {error}")
        return self._reading(at, early=False)

    def _confirmed(self) -> bool:
        """Take in a look that says "no grid"; return whether one before it showed the same, a while ago and not too long."""
        now = self.clock.monotonic()
        if self._suspected is None or now - self._suspected > self._plan.maxage:
            self._suspected = now
        return now - self._suspected >= CONFIRM

    async def _grid(self) -> tuple[bool, float]:
        """Return whether the grid is there and the monotonic time of that. Raises :class:`DeviceError` when it is not
        reported."""
        grid = self._plan.grid
        told = (await self._source.ask((grid.place,))).get(grid.place)
        if told is None:
            raise DeviceError(f"the device says nothing at {grid.place}, so the state of the grid is not known")
        age = self.clock.monotonic() - told.at
        if age > self._plan.maxage:
            raise DeviceError(f"what the device says of the grid is {age:.0f} s old; its file allows {self._plan.maxage} s")
        on = grid.judge(told.value)
        if on is None:
            raise DeviceError(
                f"the device says {str(told.value)[:40]!a} of the grid, which is neither on nor off in {self._plan.path}"
            )
        return on, told.at

    def _reading(self, at: float, *, early: bool) -> Reading:
        """Return what is known and not too old."""
        now, plan = self.clock.monotonic(), self._plan
        told = {place: said for place, said in self._told.items() if now - said.at <= plan.maxage}
        self._able = self._able or not self._on
        # That a description can see an outage is only known once it has.
        shown: dict[str, Value] = {"device.type": "ups", "experimental.outage.detection": "possible" if self._able else "unknown"}
        times: dict[str, float] = {}

        def fields() -> None:
            for rule in plan.rules:
                if rule.quantity is None:
                    shown[rule.name] = rule.constant
                elif (found := rule.quantity.of(told)) is not None:
                    shown[rule.name], times[rule.name] = found

        self._parts.do("fields", fields, None)
        status = Status.OL if self._on else Status.OB
        charge_at = times.get("battery.charge")
        status |= self._parts.do(
            "battery",
            lambda: self._battery.look(told, shown, charge_at, now, off_grid=not self._on, early=early),
            Status(0),
        )
        raw = {name: shown[name] for name in times if name in shown}
        return Reading(shown, status, raw=raw, raw_times=times, at=at, decline=self._battery.decline)

    def examine(self, *, login: bool) -> abc.AsyncIterator[Finding]:
        """Check file and device; see :mod:`nutdrv_py.backends.mapping.examine`."""
        # Imported here: a driver stays small.
        from nutdrv_py.backends.mapping.examine import examine

        return examine(self.config, self.clock)
