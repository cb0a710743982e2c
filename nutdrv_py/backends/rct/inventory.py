# SPDX-License-Identifier: GPL-2.0-or-later
"""What an inverter has, found out much as RctMon does it, and which objects are due. Pure: time comes in as an argument."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

from nutdrv_py.device.mapping import to_number
from nutdrv_py.protocols.rct.objects import MODULES, OBJECTS, Group, Object, Part

__all__ = ["FLAG", "MEDIUM", "RARE", "TOWERS", "Inventory", "Schedule", "discover"]

NO_BATTERY = 5
"""``power_mng.battery_type``: no battery. 0 is a lead-acid one, which RctMon takes for none."""

MEDIUM = 10.0
"""Seconds between two questions for objects of that group."""

ALERT = 4.0
"""The same while the house is off the grid: the battery management may end the supply."""

RARE = 5
"""Full polls between two questions for a rare object."""

INVENTORY = 3600.0
"""Seconds between two questions for the inventory on one connection: an answer that was cut short must not last."""

UNANSWERED = (30.0, 60.0, 600.0, 3600.0)
"""Seconds before an object that was never answered is asked again; firmware does not answer for unknown objects."""

QUICK_UNANSWERED = (0.0, 0.0, 0.0, 60.0)
"""The same for the grid and the fast objects."""

AGAIN = 30.0
"""Seconds before an object is asked again that was answered before: then it was lost on the line."""

TOWERS = ("battery_placeholder[0].bms_sn", "battery_placeholder[0].ah_capacity")
"""The objects that show whether there is a second tower. Counts of batteries may count modules."""

NEW = 30.0
"""Seconds for which an object that was never asked may wait on a slow line, in the reckoning of :meth:`Schedule.urgent`."""

RCTMON_MEDIUM = frozenset({
    "adc.u_acc", "power_mng.battery_power", "power_mng.state", "rb485.f_grid[1]", "rb485.f_grid[2]", "iso_struct.Riso",
    "iso_struct.Rp", "iso_struct.Rn", *(f"{name}[{index}]" for name in ("g_sync.u_ptp_rms", "rb485.f_wr") for index in range(3)),
})  # fmt: skip
"""What RctMon asks every ten seconds, and NUT does not need so often."""

FLAG = "prim_sm.island_flag"
"""The object that is asked for in every poll, answered or not: without it nothing is known."""

Values = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Inventory:
    """What there is; None: not known yet, which counts as there for the switch and the battery, and as absent for the rest."""

    switch: bool | None = None
    battery: bool | None = None
    tower: bool | None = None
    generators: tuple[bool | None, bool | None] = (None, None)
    modules: tuple[bool | None, ...] = (None,) * len(MODULES)

    @property
    def parts(self) -> frozenset[Part]:
        """Return the parts whose objects are asked. What is only there in larger systems is asked once it is known to be
        there."""
        found = {Part.INVERTER}
        found |= {Part.SWITCH} if self.switch is not False else set()
        found |= {Part.BATTERY} if self.battery is not False else set()
        found |= {Part.TOWER} if self.tower else set()
        for there, part in zip(self.generators, (Part.GENERATOR_A, Part.GENERATOR_B), strict=True):
            found |= {part} if there else set()
        for there, part in zip(self.modules, MODULES, strict=True):
            found |= {part} if there else set()
        return frozenset(found)


def discover(values: Values) -> Inventory:
    """Return the inventory of the answers so far. ``values`` by the object's name."""
    return Inventory(
        switch=_flag(values.get("rb485.available")),
        battery=_battery(values),
        tower=_tower(values),
        generators=(
            _flag(values.get("dc_conv.dc_conv_struct[0].enabled")),
            _flag(values.get("dc_conv.dc_conv_struct[1].enabled")),
        ),
        modules=tuple(_named(values.get(f"battery.module_sn[{index}]")) for index in range(len(MODULES))),
    )


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _named(value: object) -> bool | None:
    return bool(value.strip()) if isinstance(value, str) else None


def _battery(values: Values) -> bool | None:
    """Return whether there is a battery. One that sleeps shows zeros everywhere, so only the type means that there is none,
    and no charge may contradict."""
    kind = values.get("power_mng.battery_type")
    if to_number(values.get("battery.soc")):
        return True
    return None if kind is None else kind != NO_BATTERY


def _tower(values: Values) -> bool | None:
    serial, capacity = (values.get(name) for name in TOWERS)
    if serial is None and capacity is None:
        return None
    return bool(_named(serial)) or (to_number(capacity) or 0.0) > 0


class Schedule:
    """Decides which objects are due. The grid and the fast ones are always; the rest when their time has come."""

    def __init__(self) -> None:
        self._next: dict[str, float] = {}
        self._failed: dict[str, int] = {}
        self._asked: set[str] = set()
        self._since: dict[str, float] = {}
        self._known: set[str] = set()

    def restart(self) -> None:
        """Begin anew for a new connection: the inverter may have another firmware now, or be another one."""
        self._next.clear()
        self._failed.clear()
        self._asked.clear()
        self._since.clear()

    def hurry(self, rows: Iterable[Object]) -> None:
        """Ask these with the next opportunity."""
        for row in rows:
            self._next[row.name] = 0.0

    def quick(self, group: Group, parts: frozenset[Part], now: float) -> list[Object]:
        """Return the objects of the grid or the fast group, without those that stay unanswered."""
        return [
            row
            for row in OBJECTS
            if row.group is group and row.part in parts and (row.name not in self._failed or self._next[row.name] <= now)
        ]

    def due(self, parts: frozenset[Part], now: float) -> list[Object]:
        """Return the other objects that are due: those of its identity first, then the oldest."""
        found = [
            row
            for row in OBJECTS
            if row.group not in (Group.GRID, Group.FAST) and row.part in parts and self._next.get(row.name, 0.0) <= now
        ]
        return sorted(found, key=lambda row: (row.group is not Group.INVENTORY, self._next.get(row.name, 0.0)))

    def urgent(
        self, parts: frozenset[Part], now: float, every: Mapping[Group, float], alert: Container[str] = ()
    ) -> list[Object]:
        """Return what is due on a line that is too slow for all: first what has waited for the most of its intervals.

        ``every`` gives the seconds between two questions by group; the objects of ``alert`` are as urgent as the fast ones. The
        grid and the fast ones are among them, so that each has its turn.
        """
        quick = [row for group in (Group.GRID, Group.FAST) for row in self.quick(group, parts, now)]

        def waited(row: Object) -> float:
            since = self._since.setdefault(row.name, now)
            known = row.name in self._asked
            interval = every[Group.FAST] if row.name in alert else every.get(row.group, NEW) if known else NEW
            return (now - since) / interval

        return sorted((*quick, *self.due(parts, now)), key=waited, reverse=True)

    def new(self, rows: Iterable[Object]) -> list[Object]:
        """Return those of the objects that have not been asked on this connection."""
        return [row for row in rows if row.name not in self._asked]

    def unanswered(self, rows: Iterable[Object]) -> list[Object]:
        """Return those of the objects that have never been answered."""
        return [row for row in rows if row.name not in self._known]

    def answering(self, rows: Iterable[Object]) -> list[Object]:
        """Return those of the objects whose last request was answered, or that have not been asked."""
        return [row for row in rows if row.name not in self._failed]

    def complete(self, parts: frozenset[Part]) -> bool:
        """Return whether each object of the parts has been asked on this connection."""
        return not self.new(row for row in OBJECTS if row.part in parts)

    def settle(
        self, rows: Iterable[Object], answered: Mapping[str, bool], now: float, *, pollfreq: float, off_grid: bool,
        brisk: bool = False,
    ) -> None:  # fmt: skip
        """Note which objects were asked: ``answered`` holds them by name and whether an answer came.

        With ``brisk`` those of :data:`RCTMON_MEDIUM` are asked again as often as RctMon asks them.
        """
        every = {
            Group.MEDIUM: ALERT if off_grid else MEDIUM,
            Group.SLOW: pollfreq,
            Group.RARE: RARE * pollfreq,
            Group.INVENTORY: INVENTORY,
        }
        for row in rows:
            if row.name not in answered:
                continue
            self._asked.add(row.name)
            self._since[row.name] = now
            if answered[row.name]:
                self._known.add(row.name)
                self._failed.pop(row.name, None)
                quick = brisk and row.name in RCTMON_MEDIUM
                self._next[row.name] = now + (MEDIUM if quick else every.get(row.group, 0.0))
                continue
            failed = self._failed[row.name] = self._failed.get(row.name, 0) + 1
            quick = row.group in (Group.GRID, Group.FAST)
            if row.name in self._known or row.name == FLAG:
                wait = 0.0 if quick else AGAIN
            else:
                wait = (QUICK_UNANSWERED if quick else UNANSWERED)[min(failed, len(UNANSWERED)) - 1]
            self._next[row.name] = now + wait
