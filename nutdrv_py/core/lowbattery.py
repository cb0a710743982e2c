# SPDX-License-Identifier: GPL-2.0-or-later
"""When the battery is low: LB, derived here from charge and runtime for every backend.

Pure: readings, wishes and times come in, a new :class:`Low` goes out. The rules:

1. LB only with OB. It begins when the charge is at or below its mark, when the runtime has been so for :data:`SHORT` seconds, or
   when the device reports LB for a reason of its own.
2. Each reason stays until OL, or until a fresh value of the same quantity is above its mark. A value that vanishes takes nothing
   back, nor does one that was counted down.
3. A mark that is not known makes no LB. :func:`mark` is the one order in which marks are looked for.
4. While a generator carries the house and the charge rises, charge and runtime make no LB, and what they have made is taken back:
   a generator often starts at the low mark. Both must have been reported within :data:`RELIEF_AGE`; a charge that falls all the
   same, or one too close to the device's own limit, ends the relief. Then the rules above hold as always.
5. With ``ignorelb`` the device's own LB does not count, and the comparison is that of NUT drivers/main.c and dstate.c: whole
   numbers, strictly below, at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from nutdrv_py.device.mapping import to_number
from nutdrv_py.device.reading import Decline, Reading, Status, Value

__all__ = [
    "ABOVE", "CHARGE", "RELIEF_AGE", "RUNTIME", "SHORT", "Low", "Relief", "Wish", "Wishes", "after", "coasted", "detection",
    "in_force", "mark", "wished",
]  # fmt: skip

CHARGE = "battery.charge"
RUNTIME = "battery.runtime"

SHORT = 20.0
"""Seconds for which the runtime must stay at or below its mark before it makes LB: a kettle is no reason."""

ABOVE = 1.0
"""Minimum percentage points that the low mark stays above the device's own limit."""

RELIEF_AGE = 30.0
"""Seconds without news for which the relief by a generator goes on: one lost answer shuts nothing down, a silent device does."""

RELIEF_FALL = 1.0
"""Percentage points that the charge may fall during a relief: two sources round differently."""

RELIEF_RESERVE = 3.0
"""Percentage points above the device's own limit at which no generator gives relief: hosts need them if it stops."""

RELIEF_LIMIT = 10.0
"""Percent; minimum of that limit, because a device may not report it."""

HIGHEST = 99.0
"""Percent; no mark is raised above it."""

_NO_DECLINE = Decline()


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for one mark: ``firm`` by override.*, lowbatt or upsrw, ``default`` by default.*; None: nothing."""

    firm: float | None = None
    default: float | None = None


@dataclass(frozen=True, slots=True)
class Wishes:
    """What was set here for LB. ``says_low``: the device makes LB itself, so its own marks make none here."""

    charge: Wish = Wish()
    runtime: Wish = Wish()
    ignorelb: bool = False
    says_low: bool = False

    def of(self, name: str) -> Wish:
        """Return the wish for the mark of :data:`CHARGE` or :data:`RUNTIME`."""
        return self.charge if name == CHARGE else self.runtime


@dataclass(frozen=True, slots=True)
class Relief:
    """A generator carries the house and charges the battery."""

    peak: float
    """Highest charge in percent since it charges."""
    at: float
    """Monotonic time at which nothing spoke against it for the last time; -inf: never."""


@dataclass(frozen=True, slots=True)
class Low:
    """Why LB is served, and what must be remembered to decide on it."""

    reasons: frozenset[str] = frozenset()
    """``device``, :data:`CHARGE`, :data:`RUNTIME`; empty: no LB."""
    told: frozenset[str] = frozenset()
    """The quantities that the device reported with its LB; while one of them is missing, its LB is not withdrawn."""
    known: tuple[float | None, float | None] = (None, None)
    """The marks of charge and runtime that the device reported last: it may leave them out of a reading."""
    short_since: float | None = None
    """Monotonic time since which the runtime has been at or below its mark."""
    relief: Relief | None = None
    """Relief by a generator; None while none charges the battery."""


def wished(name: str, reading: Reading, wishes: Wishes, known: float | None = None) -> float | None:
    """Return the low mark of :data:`CHARGE` (percent) or :data:`RUNTIME` (seconds) that is asked for; None when there is none.

    The order: override.*, ``lowbatt``, upsrw; the device's (a variable, or its last value); default.*; what the backend
    reckons.
    """
    decline = reading.decline or _NO_DECLINE
    wish = wishes.of(name)
    own = decline.low if name == CHARGE else None
    candidates = (wish.firm, to_number(reading.values.get(f"{name}.low")), known, wish.default, own)
    return next((candidate for candidate in candidates if candidate is not None), None)


def mark(name: str, reading: Reading, wishes: Wishes, known: float | None = None) -> float | None:
    """Return the mark in force: that of :func:`wished`, but above the charge at which the device ends the island."""
    found, cutoff = wished(name, reading, wishes, known), (reading.decline or _NO_DECLINE).cutoff
    if found is None or name != CHARGE or cutoff is None or found > cutoff:
        return found
    return min(HIGHEST, cutoff + ABOVE)


def in_force(name: str, reading: Reading, wishes: Wishes, known: float | None = None) -> float | None:
    """Return the mark that makes LB: that of :func:`mark`, unless it is the device's own business."""
    wish = wishes.of(name)
    if wishes.says_low and not wishes.ignorelb and wish.firm is None:
        told = to_number(reading.values.get(f"{name}.low"))
        return wish.default if told is None and known is None else None
    return mark(name, reading, wishes, known)


def after(low: Low, reading: Reading, wishes: Wishes, at: float, *, fresh: bool) -> Low:
    """Return what holds with ``reading`` at monotonic time ``at``; ``fresh``: reported by the device, not counted down."""
    known = (
        _remembered(CHARGE, reading, low.known[0]),
        _remembered(RUNTIME, reading, low.known[1]),
    )
    if Status.OL in reading.status:
        return Low(known=known)
    if Status.OB not in reading.status:
        return replace(low, known=known)
    found = {
        CHARGE: _compare(CHARGE, reading, wishes, known[0]),
        RUNTIME: _compare(RUNTIME, reading, wishes, known[1]),
    }
    since = low.short_since
    if found[RUNTIME]:
        since = at if since is None else since
        if not wishes.ignorelb and at - since < SHORT:
            found[RUNTIME] = None
    elif found[RUNTIME] is False or fresh:
        since = None
    reasons, told = set(low.reasons), low.told
    for name, reached in found.items():
        if reached:
            reasons.add(name)
        elif reached is False and fresh:
            reasons.discard(name)
    present = frozenset(name for name in (CHARGE, RUNTIME) if _value(name, reading) is not None)
    if wishes.ignorelb:
        reasons.discard("device")
    elif Status.LB in reading.status:
        reasons.add("device")
        told = present
    elif fresh and told <= present:
        reasons.discard("device")
    relief = _relief(low.relief, reading, at, fresh=fresh)
    if relief is not None and at - relief.at <= RELIEF_AGE:
        # Only what was derived here: the LB of the device itself counts also then.
        reasons -= {CHARGE, RUNTIME}
    return Low(frozenset(reasons), told, known, since, relief)


def _relief(before: Relief | None, reading: Reading, at: float, *, fresh: bool) -> Relief | None:
    """Return the relief by a generator at monotonic time ``at``."""
    if not fresh:
        # A value that is counted down is no news of a generator; the age decides.
        return before
    decline, charge = reading.decline or _NO_DECLINE, _value(CHARGE, reading)
    if not decline.recharged or charge is None:
        return None
    peak = charge if before is None else max(charge, before.peak)
    limit = max(decline.cutoff or 0.0, RELIEF_LIMIT) + RELIEF_RESERVE
    return Relief(peak, at if charge > limit and peak - charge <= RELIEF_FALL else float("-inf"))


def _remembered(name: str, reading: Reading, known: float | None) -> float | None:
    told = to_number(reading.values.get(f"{name}.low"))
    return known if told is None else told


def _value(name: str, reading: Reading) -> float | None:
    decline = reading.decline or _NO_DECLINE
    if name == CHARGE:
        return decline.charge if decline.charge is not None else to_number(reading.values.get(CHARGE))
    return to_number(reading.values.get(RUNTIME)) if decline.by_runtime else None


def _compare(name: str, reading: Reading, wishes: Wishes, known: float | None) -> bool | None:
    """Return whether the value has reached its mark; None when either is not known."""
    limit, value = in_force(name, reading, wishes, known), _value(name, reading)
    if limit is None or value is None:
        return None
    if wishes.ignorelb:
        # What upsd shows is what main.c compares.
        shown = to_number(reading.values.get(name))
        return shown is not None and int(shown) < int(limit)
    return value <= limit


def coasted(reading: Reading, seconds: float) -> Reading:
    """Return ``reading`` as it is ``seconds`` later while the device is silent.

    On the grid nothing changes. Off it the charges fall by the load, and the runtime by the time, never below 0.
    """
    if Status.OB not in reading.status or seconds <= 0:
        return reading
    decline = reading.decline or _NO_DECLINE
    values: dict[str, Value] = dict(reading.values)
    lost = max(0.0, decline.load) * seconds / 36.0 / decline.capacity if decline.capacity else 0.0
    for name in decline.falling if lost else ():
        percent = to_number(values.get(name))
        if percent is not None:
            left = max(0.0, percent - lost)
            values[name] = int(left) if isinstance(values[name], int) else left
    remaining = to_number(values.get(RUNTIME))
    if remaining is not None:
        values[RUNTIME] = int(max(0.0, remaining - seconds))
    if decline.charge is not None:
        decline = replace(decline, charge=max(0.0, decline.charge - lost))
    return replace(reading, values=values, decline=decline)


def detection(reading: Reading, wishes: Wishes, low: Low) -> str:
    """Return ``experimental.lowbattery.detection``: by what LB will come, or that it cannot."""
    by = [
        name
        for name, known in zip((CHARGE, RUNTIME), low.known, strict=True)
        if to_number(reading.values.get(name)) is not None and in_force(name, reading, wishes, known) is not None
    ]
    if by or "device" in low.reasons:
        return f"possible: by {', '.join(by) or 'the device itself'}"
    if Status.OB in reading.status:
        return "impossible: neither a charge nor a runtime with a low mark is known"
    return "unknown"
