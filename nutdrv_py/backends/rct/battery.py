# SPDX-License-Identifier: GPL-2.0-or-later
"""The battery as upsd is told of it: charge, runtime, and the tokens LB, CHRG, DISCHRG and RB."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nutdrv_py.backends.rct import faults, site
from nutdrv_py.backends.rct.config import RctConfig
from nutdrv_py.backends.rct.inventory import Inventory
from nutdrv_py.device.mapping import translate
from nutdrv_py.device.reading import Decline, Status, Value
from nutdrv_py.device.storage import ChargeFilter, Charger, Smoothed, charger_status, runtime

__all__ = ["Battery", "Moment"]

CHARGE_AGE = 15.0
"""Seconds for which a charge counts as told; off the grid an older one is counted down."""

CORRECTION = 10.0
"""Seconds for which a charge above 0 that has jumped down must stay: batteries of this kind correct themselves by tens of
percent when they come near their end, and the low mark leaves only some points."""

LEAST_ENERGY = 1900.0
"""Wh: one module, to count the charge down by when nothing tells what the battery holds."""

CHARGE_GONE = 600.0
"""Seconds without a charge after which, on the grid, none is shown."""

LOW_UNKNOWN = 20.0
"""Percent: the low mark of an inverter that never tells its own limit."""

LIMIT_WAIT = 60.0
"""Seconds for which the limit may be on its way: until then no mark is known, and none makes LB."""

WARNING = 10.0
"""Percentage points above the low mark for ``battery.charge.warning``."""

LEAST_DRAIN = 100.0
"""W: the runtime is never reckoned with less, because a house never takes less for long."""

HEALTH_LOW = 0.7
"""State of health below which a battery should be replaced (RB)."""

EMPTY_CHARGE = 50.0
"""Percent from which a battery on the grid cannot be empty: what says so all the same is not believed in an outage."""

EMPTY_CURRENT = 0.1
"""A of permitted discharge that mean none."""


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

    One that shows on the grid with a full battery means something else here.
    """

    def __init__(self) -> None:
        self._trusted = True
        self._at: float | None = None
        self._count = 0

    def judge(self, active: bool, at: float | None, *, off_grid: bool, charge: float | None) -> bool:
        """Take in what the answer made at ``at`` says; gives whether the sign makes LB."""
        if not active:
            self._trusted = True
        elif not off_grid and charge is not None and charge >= EMPTY_CHARGE:
            self._trusted = False
        if at is not None and at != self._at:
            self._at = at
            # A battery that rests on the grid permits no discharge either; what counts is what it says in the outage.
            self._count = self._count + 1 if active and off_grid else 0
        return off_grid and self._count >= 2 and self._trusted


class Battery:
    """What is known of the battery, and remembered from one reading to the next. ``began`` is monotonic time."""

    def __init__(self, began: float) -> None:
        self._began = began
        self._charger = Charger()
        self._filter = ChargeFilter(CORRECTION)
        self._towers = False
        self._word = faults.Confirmed()
        self._charge: float | None = None
        self._charge_at = 0.0
        self._counted_at = 0.0
        self._drain = 0.0
        self._power = Smoothed()
        self._reserve: float | None = None
        self._energy: float | None = None
        self.decline = Decline()
        """How the battery goes on while the inverter is silent, as of the last :meth:`look`."""
        self._empty = {"status": _Emptiness(), "current": _Emptiness(), "fault": _Emptiness()}

    @property
    def broken(self) -> bool:
        """Whether the battery reports an error of its own."""
        return bool(self._word.confirmed & faults.BATTERY_ERROR)

    def transferred(self) -> None:
        """The house was cut off or is back: what was drawn before says nothing now."""
        self._power.reset()

    def look(self, moment: Moment, shown: dict[str, Value], load: float | None) -> Status:
        """Put the battery's variables into ``shown``, and give its tokens. ``load`` is what the house draws (W)."""
        values, now, off_grid, early = moment.values, moment.now, moment.off_grid, moment.early
        power = site.battery_power(values)
        count = sum(1 for there in moment.inventory.modules if there)
        towers = bool(moment.inventory.tower) and site.number(values, "battery_placeholder[0].soc") is not None
        if towers is not self._towers:
            # The charge of both is another one than that of the first; it has not fallen.
            self._towers, self._filter = towers, ChargeFilter(CORRECTION)
        self._energy = site.full_energy(values, count, tower=bool(moment.inventory.tower)) or self._energy
        predicted = (site.household_load(values, off_grid=False) or load or 0.0) + site.OWN_USE
        drain = max(power if off_grid and power is not None and not early else predicted, LEAST_DRAIN)
        charge = self._believed(site.charge(values, towers=towers), moment)
        self._drain = max(drain, load or 0.0)
        smooth = drain if early else self._power.update(drain, now)
        reserve = site.number(values, "power_mng.soc_min_island")
        self._reserve = reserve * 100 if reserve is not None else self._reserve
        left = None
        if charge is not None and self._energy:
            usable = max(0.0, charge - (self._reserve or 0.0)) / 100 * self._energy * site.efficiency(values)
            left = runtime(usable, smooth)
        empty = self._emptiness(moment, charge, towers=towers)
        direction = self._charger.update(power, max(1, count))
        word = values.get("battery.status2")
        self._word.update(word, moment.times.get("battery.status2"))
        tokens = faults.battery_status(self._word.confirmed)[1]
        status = direction | tokens | _worn(moment)
        if off_grid and empty:
            status |= Status.LB

        shown.update(translate(site.BATTERY_FIELDS, values))
        shown.update(site.modules(values))
        if charge is not None:
            shown["battery.charge"] = charge
            shown["battery.charger.status"] = charger_status(direction, charge)
        if left is not None:
            shown["battery.runtime"] = left
        current = site.number(values, "battery.current")
        if current is not None:
            # Firmware differs in the sign of the current, not in that of the power.
            shown["battery.current"] = -abs(current) if power is not None and power > 0 else abs(current)
        packs = site.packs(values)
        if packs:
            shown["battery.packs"] = packs
        text = faults.battery_status(word)[0] if isinstance(word, int) else ""
        if text:
            shown["battery.status"] = text
        if self._energy:
            shown["experimental.battery.energy.capacity"] = round(self._energy)
            if charge is not None:
                shown["experimental.battery.energy"] = round(self._energy * charge / 100)
        self.decline = Decline(
            load=self._drain, capacity=self._energy or LEAST_ENERGY, charge=charge, low=self._low(moment), cutoff=self._reserve,
            warning=WARNING, by_runtime=not early,
        )  # fmt: skip
        return status

    def _believed(self, told: float | None, moment: Moment) -> float | None:
        """The charge to go by: as told; off the grid counted down while nobody tells it."""
        now, at = moment.now, moment.times.get("battery.soc")
        if told is not None and at is not None and now - at <= CHARGE_AGE:
            if at > self._charge_at or self._charge is None:
                self._charge = self._filter.update(told, at)
                self._charge_at = at
            self._counted_at = now
        elif moment.off_grid and self._charge is not None:
            lost = self._drain * max(0.0, now - self._counted_at) / 36 / (self._energy or LEAST_ENERGY)
            self._charge = max(0.0, self._charge - lost)
            self._counted_at = now
        elif not moment.off_grid:
            self._counted_at = now
            if now - self._charge_at > CHARGE_GONE:
                self._charge = None
        return self._charge

    def _low(self, moment: Moment) -> float | None:
        if self._reserve is not None:
            return min(99.0, self._reserve + moment.options.charge_low_margin)
        return LOW_UNKNOWN if moment.now - self._began >= LIMIT_WAIT else None

    def _emptiness(self, moment: Moment, charge: float | None, *, towers: bool) -> bool:
        """Whether the battery's own electronics say that it is empty, whatever the charge; both towers must."""
        values, times = moment.values, moment.times
        prefixes = ("battery", "battery_placeholder[0]") if towers else ("battery",)
        words = [values.get(f"{prefix}.status2") for prefix in prefixes]
        currents = [site.number(values, f"{prefix}.maximum_discharge_current") for prefix in prefixes]
        known_words = [word for word in words if isinstance(word, int)]
        known_currents = [current for current in currents if current is not None]
        signs = {
            "status": (
                bool(known_words) and all(word & faults.BATTERY_EMPTY for word in known_words),
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
        return any(found)


def _worn(moment: Moment) -> Status:
    health = site.number(moment.values, "battery.soh")
    worn = health is not None and 0 < health < HEALTH_LOW
    return Status.RB if worn or moment.faults & faults.REPLACE else Status(0)
