# SPDX-License-Identifier: GPL-2.0-or-later
"""RCT Power: an inverter with a house battery, asked over its serial protocol on TCP port 8899. Read-only.

Here it is decided what is asked when; see :mod:`~nutdrv_py.backends.rct.grid` for the one decision that must be right,
:mod:`~nutdrv_py.backends.rct.house` for what is made of the answers, :mod:`~nutdrv_py.backends.rct.site` and
:mod:`~nutdrv_py.backends.rct.storage` for what they mean, :mod:`~nutdrv_py.backends.rct.client` for the line,
:mod:`~nutdrv_py.protocols.rct.objects` for the objects.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Mapping
from typing import ClassVar

from nutdrv_py.backends.rct import faults, look, site
from nutdrv_py.backends.rct.config import RctConfig, address, check
from nutdrv_py.backends.rct.contact import Contact
from nutdrv_py.backends.rct.heard import Datum
from nutdrv_py.backends.rct.house import House
from nutdrv_py.backends.rct.inventory import TOWERS, Inventory, Schedule, discover
from nutdrv_py.backends.rct.look import AGES, PHASES, SHARE
from nutdrv_py.clock import Clock
from nutdrv_py.device.backend import Answers
from nutdrv_py.device.findings import Finding
from nutdrv_py.device.reading import Reading
from nutdrv_py.errors import DeviceError
from nutdrv_py.protocols.rct.objects import BY_NAME, Group, Object

__all__ = ["Rct"]

TRIES = 3
"""How often the grid is asked in one poll; the other fast objects one time less, the rest once."""

CONFIRM = 0.5
"""Seconds between the two looks at an outage that is there when the driver starts."""

LONGEST = 15.0
"""Seconds after which a poll ends even if the interval is longer."""

LEAST = 0.2
"""Seconds that the slower objects have in each poll, however long the grid has taken."""

LOOKS = 5
"""Maximum looks at the grid in one poll at the start."""

FIRST = 15.0
"""Seconds that the first poll may take to bring the whole inventory, the grid being asked all along."""

CHARGES = ("battery.soc", "battery_placeholder[0].soc")
EMPTINESS = ("battery.status2", "battery.maximum_discharge_current")
"""Asked again at once when the house is cut off: what the battery reported on the grid does not count."""

LIMIT = "power_mng.soc_min_island"
"""The charge at which the inverter ends an island."""

QUANTITIES = {"charge": "battery.soc", "power": "g_sync.p_acc_lp", "load": "g_sync.p_ac_load_sum_lp"}
"""The objects whose ages exporters show, besides that of the grid."""


class Rct(Contact):
    """An RCT Power Storage, with or without a Power Switch."""

    Config: ClassVar[type[RctConfig]] = RctConfig
    description: ClassVar[str] = "RCT Power inverter"
    version: ClassVar[str] = "0.1"
    tools: ClassVar[str] = "nutdrv_py.commands.tools_rct:TOOLS"

    def __init__(self, config: RctConfig, clock: Clock) -> None:
        super().__init__(config, clock)
        self._serial: object = None
        self._stranger: Datum | None = None
        self._first = True

    @classmethod
    def check(cls, config: RctConfig) -> None:
        """Refuse options that cannot work."""
        check(config)

    # The poll

    async def poll(self) -> Reading:
        """Read the grid first and publish it at once when it has changed; then charge and power; then what is due."""
        await self._connect()
        # Of this address only: another inverter's switch may measure nothing.
        switch = f"{self.config.port} measures the grid"
        if self.seen == switch:
            self._house.switch_alive = True
        try:
            reading = await self._whole() if self._first else await self._round()
            self.seen = switch if self._house.switch_alive else ""
            return reading
        except DeviceError as error:
            if self.line.opened is None and self.clock.monotonic() >= self._not_before:
                self._give_up(str(error))
            raise

    async def _whole(self) -> Reading:
        """Make the first poll: rounds until everything has been asked once, so that clients see all variables from the start."""
        began = self.clock.monotonic()
        reading = await self._round()
        while not self._schedule.complete(self._inventory.parts) and self.clock.monotonic() - began < FIRST:
            self.publish(reading)
            reading = await self._round(charge=False)
        self._first = False
        return reading

    async def _round(self, *, charge: bool = True) -> Reading:
        """Ask for the grid, then for charge and power unless that can wait, then for what is due, until the next poll is."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        before = self._house.off_grid
        try:
            await self._ask_grid()
        except DeviceError:
            # One that has not answered anything may sleep: more questions do not wake it.
            if self.line.opened is not None and self.line.heard is not None and self._untold > self.config.maxage:
                await self._ask_the_rest(began)
            raise
        changed = self._house.off_grid is not before
        # Whether there are two towers decides what the charge is, and the limit when it is low.
        await self._ask(self._schedule.new(BY_NAME[name] for name in (*TOWERS, LIMIT)), tries=TRIES - 1)
        fast = self._schedule.quick(Group.FAST, self._inventory.parts, self.clock.monotonic())
        if changed:
            # What was drawn before is of no use now, nor the voltages of the phases that need not be asked on a slow line.
            fast += [row for row in self._quick_grid() if row.name in PHASES] if self._slow and before is not None else []
        elif not (charge or self._house.off_grid):
            fast = self._schedule.unanswered(fast)
        elif self._slow:
            fast = [row for row in fast if row.name in CHARGES]
        await self._ask(fast, tries=TRIES - 1)
        await self._ask_due(began)
        self._compare_serial()
        return self._reading()

    async def _ask_due(self, began: float) -> None:
        until = max(began + min(SHARE * self.config.pollinterval, LONGEST), asyncio.get_running_loop().time() + LEAST)
        await self._ask(self._due(), tries=1, until=until, least=1)

    async def _ask_the_rest(self, began: float) -> None:
        """Ask for what exporters show while the grid is unknown: upsd needs a status, they do not."""
        fast = self._schedule.quick(Group.FAST, self._inventory.parts, self.clock.monotonic())
        answered = await self.line.ask(fast, tries=1)
        if not any(answered.values()):
            # Silence to everything, as above.
            self._answering_at = None
            return
        self._settle(fast, answered)
        self._answering_at = self.clock.monotonic()
        await self._ask_due(began)

    @property
    def _slow(self) -> bool:
        """Return whether the line is too slow for all of grid, charge, power and faults in each poll."""
        return look.is_slow(self.config, self.line.pace)

    def _due(self) -> list[Object]:
        parts, now = self._inventory.parts, self.clock.monotonic()
        if self._first or not self._slow:
            return self._schedule.due(parts, now)
        alert = (*EMPTINESS, faults.REGISTERS[3]) if self._house.off_grid else ()
        return self._schedule.urgent(parts, now, look.intervals(self.config), alert)

    async def _ask_grid(self) -> None:
        """Ask for the grid and judge it; an outage that is there at the start is looked at twice at once."""
        for _ in range(LOOKS):
            await self._look()
            if not self._house.suspicious or self._house.off_grid is not None:
                break
            await asyncio.sleep(CONFIRM)
        if self._house.off_grid is None or self._untold > max(AGES[Group.GRID], 3.0 * self.config.pollinterval):
            raise self._unanswered(
                f"the inverter at {self.config.port} answers, but reports neither prim_sm.island_flag nor the voltages of a "
                "Power Switch"
            )

    async def _look(self) -> None:
        options = self.config
        began = self.clock.monotonic()
        every = self._quick_grid()
        rows = look.deciding(every) if self._slow else every
        answered = await self.line.ask(rows, tries=TRIES if self._answering_at is None else 1)
        if not any(answered.values()):
            # Silence to everything does not mean that the inverter lacks an object.
            raise self._unanswered(f"the inverter at {options.port} is connected but does not answer")
        self._settle(rows, answered)
        fresh = look.answers(self.line.values, rows, began, options)
        votes = self._house.votes(fresh, options)
        alive = look.is_alive(self.line.values, rows, began, options)
        if self._slow and any(row.name in PHASES for row in every) and not (votes.get("island_flag") or alive):
            # The phase that was asked is dead or silent: the other ones decide.
            await self._ask([row for row in every if row not in rows], tries=TRIES)
            fresh = look.answers(self.line.values, every, began, options)
            votes = self._house.votes(fresh, options)
        if not self._house.off_grid and any(votes.values()):
            # They hold the reason, and whether the voltages of the Power Switch can be believed.
            registers = faults.REGISTERS if not self._slow else () if votes.get("island_flag") else (faults.DEAF_REGISTER,)
            await self._ask(self._schedule.answering(BY_NAME[name] for name in registers), tries=1)
        numbers = site.faults({name: datum.value for name, datum in self._current().items()})
        if self._house.judge(fresh, options, numbers):
            self.publish(self._house.reading(self._current(), options, self._inventory, early=True))
            self._schedule.hurry(BY_NAME[name] for name in (*faults.REGISTERS, *EMPTINESS))
        if self._house.told_at >= began:
            self._heard()

    def _quick_grid(self) -> list[Object]:
        return self._schedule.quick(Group.GRID, self._inventory.parts, self.clock.monotonic())

    async def _ask(self, rows: list[Object], *, tries: int, until: float | None = None, least: int = 0) -> None:
        self._settle(rows, await self.line.ask(rows, tries=tries, until=until, least=least))

    def _settle(self, rows: list[Object], answered: Mapping[str, bool]) -> None:
        now, off_grid = self.clock.monotonic(), bool(self._house.off_grid)
        pollfreq = float(self.config.pollfreq)
        self._schedule.settle(rows, answered, now, pollfreq=pollfreq, off_grid=off_grid, brisk=self.for_exporters)

    def _compare_serial(self) -> None:
        """Forget everything when another inverter is behind the address. One answer alone may be another one's, or cut short."""
        found = self.line.values.get("inverter_sn")
        if found is None or found.value in (self._serial, ""):
            self._stranger = None
        elif self._serial is None:
            self._serial = found.value
        elif self._stranger is None or self._stranger.value != found.value:
            self._stranger = found
            self._schedule.hurry([BY_NAME["inverter_sn"]])
        elif found is not self._stranger:
            before, self._serial, self._stranger = self._serial, found.value, None
            self.line.forget()
            self._schedule = Schedule()
            self._house = House(self.clock)
            self.seen = ""
            self._first = True
            raise DeviceError(
                f"another inverter answers at {self.config.port}: {found.value} instead of {before}; from now on it is read. If "
                "it is not yours, correct port = in ups.conf"
            )

    # What is known

    @property
    def _inventory(self) -> Inventory:
        return discover({name: datum.value for name, datum in self.line.values.items()})

    def _current(self) -> Mapping[str, Datum]:
        """Return the answers that still count."""
        now = self.clock.monotonic()
        ages = look.ages(self.config, self.line.pace)
        parts = self._inventory.parts
        return {
            name: datum
            for name, datum in self.line.values.items()
            if (row := BY_NAME[name]).part in parts and now - datum.at <= ages.get(row.group, float("inf"))
        }

    def _reading(self) -> Reading:
        return self._house.reading(self._current(), self.config, self._inventory)

    @property
    def answers(self) -> Answers | None:
        """Return the inverter's objects, while it answers without the state of the grid."""
        if self._answering_at is None or self.clock.monotonic() - self._answering_at > AGES[Group.FAST]:
            return None
        current = self._current().items()
        return Answers({name: datum.value for name, datum in current}, {name: datum.at for name, datum in current})

    @property
    def counters(self) -> Mapping[str, int]:
        """Return the bytes, frames and damage on the line."""
        damage = {f"damage_{name}": count for name, count in dataclasses.asdict(self.line.damage).items()}
        return {**dataclasses.asdict(self.line.counts), **damage}

    @property
    def ages(self) -> Mapping[str, float]:
        """Return the seconds since grid, charge, power and load were answered."""
        now, values = self.clock.monotonic(), self.line.values
        found = {name: now - values[row].at for name, row in QUANTITIES.items() if row in values}
        if self._house.told_at > float("-inf"):
            found["grid"] = now - self._house.told_at
        return found

    # The operator's check

    @property
    def address(self) -> tuple[str, int]:
        """Return host and port of the inverter's network module."""
        return address(self.config.port)

    def examine(self, *, login: bool) -> AsyncIterator[Finding]:
        """Check the inverter; see :mod:`nutdrv_py.backends.rct.examine`."""
        # Imported here: a driver stays small.
        from nutdrv_py.backends.rct.examine import examine

        return examine(self.config, self.clock)
