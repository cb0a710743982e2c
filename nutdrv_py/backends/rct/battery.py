# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds the battery's part of a reading: charge, runtime, and the tokens LB, CHRG, DISCHRG and RB."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from nutdrv_py.backends.rct import faults, site, storage
from nutdrv_py.backends.rct.config import RctConfig
from nutdrv_py.backends.rct.inventory import Inventory
from nutdrv_py.device.house import LOW_UNKNOWN, HouseBattery
from nutdrv_py.device.mapping import translate
from nutdrv_py.device.reading import Decline, Status, Value
from nutdrv_py.device.storage import CONFIRMATION, ChargeFilter
from nutdrv_py.device.trust import Band

__all__ = ["Battery", "Moment"]

CHARGE_AGE = 15.0
"""Seconds for which a charge counts as reported; off the grid an older one is counted down."""

CORRECTION = 10.0
"""Seconds for which a charge above 0 that has jumped down must stay: batteries of this kind correct themselves by tens of
percent when they come near their end, and the low mark leaves only some points."""

LEAST_ENERGY = 1900.0
"""Wh: one module, to count the charge down by when the battery's size is unknown."""

LIMIT_WAIT = 60.0
"""Seconds for which the limit may be on its way: until then no mark is known, and none makes LB."""

HEALTH_LOW = 0.7
"""State of health below which a battery should be replaced (RB)."""

EMPTY_CHARGE = 50.0
"""Percent from which a battery on the grid cannot be empty: a sign of emptiness is then not believed in an outage."""

EMPTY_CURRENT = 0.1
"""Amperes below which permitted discharge counts as zero."""

LIMIT = Band(0, 90, 0, 30, step=5)
"""Percent: ``power_mng.soc_min_island``; a battery of which nothing may be used in an island is a wrong answer."""

SIZE = Band(500, 1e6, LEAST_ENERGY, 3e5, share=0.3, rises=True)
"""Wh of the full battery: towers of this kind hold 3.8 to 23 kWh."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What one reading is made of.

    ``values`` are the answers that are not too old, ``times`` when each was given (monotonic seconds), ``faults`` the confirmed
    fault numbers. ``early``: the grid has just changed, and the powers are from before.
    """

    now: float
    values: Mapping[str, object]
    times: Mapping[str, float]
    faults: frozenset[int]
    inventory: Inventory
    options: RctConfig
    off_grid: bool
    early: bool


class _Emptiness:
    """A sign that the battery is empty: it counts when two answers in an outage, one after the other, have shown it.

    One that shows on the grid with a full battery means something else here. Beside a charge that is high or not known it is
    doubted as a charge of 0 is: it must stay.
    """

    def __init__(self) -> None:
        self._trusted = True
        self._at: float | None = None
        self._count = 0
        self._since = 0.0

    def judge(self, active: bool, at: float | None, *, off_grid: bool, charge: float | None) -> tuple[bool, bool]:
        """Take in the answer made at ``at``; return whether the sign counts, and whether beside a high charge, too."""
        if not active:
            self._trusted = True
        elif not off_grid and charge is not None and charge >= EMPTY_CHARGE:
            self._trusted = False
        if at is not None and at != self._at:
            self._at = at
            # A battery that rests on the grid permits no discharge either; its answer in the outage counts.
            self._count = self._count + 1 if active and off_grid else 0
            self._since = self._since if self._count > 1 else at
        counts = off_grid and self._count >= 2 and self._trusted
        return counts, counts and self._at is not None and self._at - self._since >= CONFIRMATION


class Battery:
    """What is known of the battery, and remembered from one reading to the next. ``began`` is monotonic time."""

    def __init__(self, began: float) -> None:
        self._began = began
        self._house = HouseBattery(
            began, CHARGE_AGE, size=SIZE, limit=LIMIT, least=LEAST_ENERGY, charges=ChargeFilter(CORRECTION)
        )
        self._second = ChargeFilter(CORRECTION)
        self._gap: float | None = None
        """Percentage points between the two towers, as both have reported last."""
        self._word = faults.Confirmed()
        self.decline = Decline()
        """How the battery goes on while the inverter is silent, as of the last :meth:`look`."""
        self._empty = {"status": _Emptiness(), "current": _Emptiness(), "fault": _Emptiness()}

    @property
    def broken(self) -> bool:
        """Return whether the battery reports an error of its own."""
        return bool(self._word.confirmed & faults.BATTERY_ERROR)

    def transferred(self) -> None:
        """Forget what was drawn: the house was cut off or is back."""
        self._house.transferred()

    def look(self, moment: Moment, shown: dict[str, Value]) -> Status:
        """Put the battery's variables into ``shown``, and give its tokens."""
        values, now, off_grid, early = moment.values, moment.now, moment.off_grid, moment.early
        power = storage.battery_power(values)
        count = sum(1 for there in moment.inventory.modules if there)
        second = site.number(values, "battery_placeholder[0].soc") if moment.inventory.tower else None
        towers = second is not None
        first = storage.charge(values, None)
        if second is not None:
            # A tower that has just appeared reports 0, like a device that has not measured yet.
            second = self._second.update(second * 100, moment.times.get("battery_placeholder[0].soc", now))
            self._gap = None if first is None or second is None else first - second
        elif moment.inventory.tower and first is not None and self._gap is not None:
            # Without it the charge would jump to that of the first, fuller or emptier.
            second = min(100.0, max(0.0, first - self._gap))
        full = self._house.size.update(storage.full_energy(values, count, tower=bool(moment.inventory.tower)), now)
        reserve = site.number(values, "power_mng.soc_min_island")
        told_at = moment.times.get("power_mng.soc_min_island", now)
        self._house.cutoff.update(reserve * 100 if reserve is not None else None, told_at)
        usual, own = site.household_load(values, off_grid=False), site.household_load(values, off_grid=off_grid)
        load = None if usual is None and own is None else max(usual or 0.0, own or 0.0) + site.OWN_USE
        soc_at = moment.times.get("battery.soc")
        believed = self._house.update(
            now, off_grid=off_grid, early=early, charge=storage.charge(values, second) if soc_at is not None else None,
            charge_at=soc_at, power=power, load=load, packs=max(1, count), usable=storage.efficiency(values),
        )  # fmt: skip
        charge = believed.charge
        empty = self._emptiness(moment, charge, towers=towers)
        word = faults.battery_word(values.get("battery.status2"))
        self._word.update(word, moment.times.get("battery.status2"))
        tokens = faults.battery_status(self._word.confirmed)[1]
        status = believed.status | tokens | _worn(moment)
        if off_grid and empty:
            status |= Status.LB

        shown.update(translate(storage.BATTERY_FIELDS, values))
        shown.update(storage.modules(values))
        shown.update(believed.values)
        current = site.number(values, "battery.current")
        if current is not None:
            # Firmware differs in the sign of the current, not in that of the power.
            shown["battery.current"] = -abs(current) if power is not None and power > 0 else abs(current)
        packs = storage.packs(values)
        if packs:
            shown["battery.packs"] = packs
        text = faults.battery_status(word)[0] if word is not None else ""
        if text:
            shown["battery.status"] = text
        if full and charge is not None:
            shown["experimental.battery.energy"] = round(full * charge / 100)
        self.decline = replace(believed.decline, low=self._low(moment))
        return status

    def _low(self, moment: Moment) -> float | None:
        cutoff = self._house.cutoff.value
        if cutoff is not None:
            return min(99.0, cutoff + moment.options.charge_low_margin)
        return LOW_UNKNOWN if moment.now - self._began >= LIMIT_WAIT else None

    def _emptiness(self, moment: Moment, charge: float | None, *, towers: bool) -> bool:
        """Return whether the battery's own electronics say that it is empty, whatever the charge; both towers must."""
        values, times = moment.values, moment.times
        prefixes = ("battery", "battery_placeholder[0]") if towers else ("battery",)
        words = [faults.battery_word(values[name]) for prefix in prefixes if (name := f"{prefix}.status2") in values]
        currents = [site.number(values, f"{prefix}.maximum_discharge_current") for prefix in prefixes]
        known_currents = [current for current in currents if current is not None]
        signs = {
            "status": (
                bool(words) and all(word is not None and word & faults.BATTERY_EMPTY for word in words),
                times.get("battery.status2"),
            ),
            "current": (
                bool(known_currents) and all(abs(current) < EMPTY_CURRENT for current in known_currents),
                times.get("battery.maximum_discharge_current"),
            ),
            "fault": (faults.EMPTY in site.faults(values), times.get(faults.REGISTERS[3])),
        }
        found = [
            self._empty[name].judge(active, at, off_grid=moment.off_grid, charge=charge) for name, (active, at) in signs.items()
        ]
        if charge is not None and charge < EMPTY_CHARGE:
            return any(counts for counts, _ in found)
        # Two signs are no mistake of one object.
        return any(stayed for _, stayed in found) or sum(counts for counts, _ in found) > 1


def _worn(moment: Moment) -> Status:
    health = site.number(moment.values, "battery.soh")
    worn = health is not None and 0 < health < HEALTH_LOW
    return Status.RB if worn or moment.faults & faults.REPLACE else Status(0)
