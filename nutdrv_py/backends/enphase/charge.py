# SPDX-License-Identifier: GPL-2.0-or-later
"""Which charge to believe, and how it falls while none is reported.

Two sources report the charge, livedata and secctrl; each may be late, absent, or zero because the gateway has just started. A
wrong charge of 0 shuts servers down for nothing, a charge that does not fall while the battery empties shuts them down too
late. So the fresher believable source counts, and a charge that is not reported is counted down, but only while the house is
off the grid.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nutdrv_py.device.mapping import between
from nutdrv_py.device.storage import ChargeFilter
from nutdrv_py.device.trust import NOT_FALLING, Band, Drain, Standstill, Steady, most_power
from nutdrv_py.log import Trouble

__all__ = ["Charge", "State", "Told"]

COMPARABLE = 120.0
"""Seconds between the two sources within which a livedata charge far below secctrl's is not believed."""

FAR_BELOW = 10.0
"""Gap in percentage points beyond which a livedata charge is doubted."""

DOUBT = 120.0
"""Seconds for which a livedata charge that fell at once is put behind secctrl's; then it may be the truer one."""

HIGHEST_LOW = 50.0
"""Percent; a low mark from the device's own limits is never above it, whatever they are."""

LEAST_LOW = 20.0
MARGIN = 5.0
"""Percent: the default low mark is the greatest of 20, very low limit + 5 and recovery exit + 5."""

LIMIT = Band(0, 90, 0, 30, step=5)
"""Percent: the system's own limits, ``VLS_Limit`` and ``soc_recovery_exit``."""

SIZE = Band(500, 1e6, 1000, 1e6, share=0.5, rises=True)
"""Wh of the IQ Batteries; the smallest holds 3,300, an AC Battery 1,200."""

MOST_POWER = 30000.0
"""W that the batteries give at most while their size is not known."""

_PERCENT = between(0, 100)
_ENERGY = between(0, 1e6)


@dataclass(frozen=True, slots=True)
class Told:
    """Values of one source at monotonic time ``at``: charges in percent, energy left in Wh."""

    charge: float | None
    backup: float | None
    energy: float | None
    at: float


@dataclass(frozen=True, slots=True)
class State:
    """The batteries as they are believed to be.

    ``charge`` is that of all batteries, ``backup`` that of the IQ Batteries, which alone carry an island; both None when too
    old or unknown. ``decisive`` is the backup charge for LB, counted down while none is reported. ``energy`` in Wh is of the
    same source as the charge; ``capacity`` in Wh, of the IQ Batteries, is remembered.
    """

    charge: float | None = None
    backup: float | None = None
    decisive: float | None = None
    energy: float | None = None
    capacity: float | None = None


class Charge:
    """Keeps the batteries' reported values from reading to reading."""

    def __init__(self) -> None:
        self._charge = ChargeFilter()
        self._backup = ChargeFilter()
        self._taken: Told | None = None
        self._energy: float | None = None
        self.counted: float | None = None
        """The charge for LB, as counted last; None when none was ever believed."""
        self._counted_at = 0.0
        self._drain = Drain()
        self._drawn = 0.0
        self._still = Standstill()
        self._trouble = Trouble()
        self._off_since: float | None = None
        self._believed: tuple[float | None, float | None] = (None, None)
        self._last_live: Told | None = None
        self._sudden_since: float | None = None
        self._mixed = False
        self._empty_at: float | None = None
        self._estimate = Steady(SIZE)
        self._verylow, self._exit = Steady(LIMIT), Steady(LIMIT)
        self._capacity = Steady(SIZE)

    @property
    def capacity(self) -> float | None:
        """Return the capacity in Wh of the IQ Batteries, the last one to be believed; None when there are none."""
        return self._capacity.value

    @property
    def drain(self) -> float:
        """Return the power in W that the battery loses off the grid, as far as is known."""
        return self._drain.watts

    @property
    def measured(self) -> bool:
        """Return whether :attr:`drain` follows from a power that was reported."""
        return self._drain.measured

    @property
    def most(self) -> float:
        """Return the power in W that the batteries give at most."""
        return most_power(self.size, MOST_POWER)

    @property
    def size(self) -> float | None:
        """Return the Wh to count down with: the capacity, else what livedata's energy and charge come to."""
        return self.capacity or self._estimate.value

    @property
    def verylow(self) -> float:
        """Return the percent at which the system stops, the last one reported; 0 when it never was."""
        return self._verylow.value or 0.0

    @property
    def low(self) -> float:
        """Return the low mark in percent that follows from the device's own limits, remembered for the life of the driver."""
        limits = [limit.value + MARGIN for limit in (self._verylow, self._exit) if limit.value is not None]
        return min(HIGHEST_LOW, max([LEAST_LOW, *limits]))

    def update(
        self,
        live: tuple[object, float] | None,
        control: tuple[object, float] | None,
        *,
        on_grid: bool,
        drain: float | None,
        now: float,
        load: float | None = None,
    ) -> State:
        """Take in the ``meters`` of livedata and secctrl, each with its time.

        ``drain`` is what the battery loses and ``load`` what the house uses, in W; None when it is not reported now.
        """
        self._off_since = None if on_grid else now if self._off_since is None else self._off_since
        self._drain.update(drain, load, now, self.most)
        if control is not None:
            self._learn(*control)
        told = self._choose(live, control, now)
        # What was drawn until now belongs to the charge that is reported now.
        self._count(now, measured=drain is not None)
        believed = self._believe(told, off_grid=not on_grid)
        self._count(now, measured=False)
        if told is None:
            return State(decisive=self.counted, capacity=self.capacity)
        charge, backup = believed
        return State(charge, backup, self.counted, self._energy, self.capacity)

    def _learn(self, control: object, at: float) -> None:
        self._empty_at = None if _knows_batteries(control) else at
        self._mixed = self._mixed or bool(_number(control, "ACB_agg_energy") or _number(control, "ACB_agg_soc"))
        self._capacity.update(_number(control, "Enc_max_available_capacity"), at)
        self._verylow.update(_percent(control, "VLS_Limit"), at)
        self._exit.update(_percent(control, "soc_recovery_exit"), at)

    def _choose(self, live: tuple[object, float] | None, control: tuple[object, float] | None, now: float) -> Told | None:
        """Return the fresher of the sources that can be believed."""
        slow = self._from_control(control)
        fast = self._from_live(live)
        if fast is not None and self._doubtful(fast, slow, now):
            fast = None
        elif fast is not None:
            self._last_live = fast
        if fast is None or slow is None:
            return fast or slow
        return slow if slow.at > fast.at else fast

    def _doubtful(self, fast: Told, slow: Told | None, now: float) -> bool:
        """Return whether livedata are those of a gateway that has just started, or fell at once while secctrl did not."""
        zero = fast.charge == 0 or fast.backup == 0
        if zero and self._empty_at is not None and abs(fast.at - self._empty_at) <= COMPARABLE:
            return True
        sudden = zero or (self._last_live is not None and _far_below(fast, self._last_live))
        if not sudden or slow is None or abs(fast.at - slow.at) > COMPARABLE or not _far_below(fast, slow):
            self._sudden_since = None
            return False
        self._sudden_since = now if self._sudden_since is None else self._sudden_since
        return now - self._sudden_since < DOUBT

    def _from_control(self, control: tuple[object, float] | None) -> Told | None:
        if control is None:
            return None
        payload, at = control
        if not _knows_batteries(payload):
            # No battery, or a gateway that has just started and does not know them yet.
            return None
        encharge = _percent(payload, "ENC_agg_soc")
        charge = _percent(payload, "agg_soc")
        charge = encharge if charge is None else charge
        if charge is None:
            return None
        energy = _number(payload, "ENC_agg_avail_energy")
        return Told(charge, self._carrying(encharge, charge, energy), energy, at)

    def _carrying(self, encharge: float | None, charge: float, energy: float | None) -> float | None:
        """Return the charge of the IQ Batteries; a 0 beside energy left, or beside a charge that nothing else holds, was not
        reported."""
        if encharge is None:
            return None if self._mixed else charge
        if encharge > 0 or (charge == 0 and not energy):
            return encharge
        if energy and self.capacity:
            return min(100.0, energy / self.capacity * 100)
        return encharge if self._mixed else charge

    def _from_live(self, live: tuple[object, float] | None) -> Told | None:
        if live is None:
            return None
        payload, at = live
        charge, backup = _percent(payload, "soc"), _percent(payload, "enc_agg_soc")
        if charge is None or (charge == 0 and self.capacity is None):
            return None
        energy = _number(payload, "enc_agg_energy")
        if energy and backup and backup >= FAR_BELOW:
            self._estimate.update(energy / backup * 100, at)
        return Told(charge, self._carrying(backup, charge, energy), energy, at)

    def _believe(self, told: Told | None, *, off_grid: bool) -> tuple[float | None, float | None]:
        if told is None or told.charge is None:
            return None, None
        if self._taken is not None and told.at < self._taken.at:
            # The other source has gone and this one is older: it adds nothing to what is believed.
            return self._believed
        charge = self._charge.update(told.charge, told.at)
        backup = None if told.backup is None else self._backup.update(told.backup, told.at)
        doubted = self._charge.suspicious or self._backup.suspicious
        if told != self._taken:
            self._taken = told
            if not doubted:
                usable = told.energy is not None and (told.energy > 0 or (charge or 0.0) <= self.verylow + 1)
                self._energy = told.energy if usable else None
                self._decide(backup if backup is not None else charge, told.at, off_grid=off_grid)
        behind = self._still.behind
        self._believed = _less(charge, behind), _less(backup, behind)
        return self._believed

    def _decide(self, decisive: float | None, at: float, *, off_grid: bool) -> None:
        """Take over the charge for LB, unless it does not fall while energy is drawn."""
        drawn, self._drawn = self._drawn, 0.0
        self.counted = None if decisive is None else self._still.update(decisive, drawn, off_grid=off_grid)
        self._counted_at = at
        if self._still.behind:
            self._trouble.report("standstill", NOT_FALLING)
        else:
            self._trouble.clear("standstill")

    def _count(self, now: float, *, measured: bool) -> None:
        """Count the charge down. On the grid nothing is lost; off it the charge falls from the last one reported, or from
        when the relay opened."""
        if self._off_since is None or self.counted is None or not self.size:
            return
        began = max(self._counted_at, self._off_since)
        lost = self.drain * max(0.0, now - began) / 36 / self.size
        self._drawn += lost if measured else 0.0
        self.counted = max(0.0, self.counted - lost)
        self._counted_at = max(began, now)


def _less(charge: float | None, behind: float) -> float | None:
    return None if charge is None else max(0.0, charge - behind)


def _knows_batteries(control: object) -> bool:
    return bool(_number(control, "Enc_max_available_capacity") or _number(control, "Max_energy"))


def _far_below(fast: Told, slow: Told) -> bool:
    pairs = ((fast.charge, slow.charge), (fast.backup, slow.backup))
    return any(one is not None and other is not None and (other - one > FAR_BELOW) for one, other in pairs)


def _get(source: object, key: str) -> object:
    return source.get(key) if isinstance(source, Mapping) else None


def _number(source: object, key: str) -> float | None:
    value = _ENERGY(_get(source, key))
    return float(value) if isinstance(value, int | float) else None


def _percent(source: object, key: str) -> float | None:
    value = _PERCENT(_get(source, key))
    return float(value) if isinstance(value, int | float) else None
