# SPDX-License-Identifier: GPL-2.0-or-later
"""What the batteries give and what the house uses, as :class:`Flow`: the whole and its phases, of one instant. Pure.

Phases that do not add up to the whole are left out, and so is a load that may count a charging battery.
"""

from __future__ import annotations

from dataclasses import dataclass

from nutdrv_py.backends.enphase.meters import CONSUMPTION, meter_kinds
from nutdrv_py.backends.enphase.site import MW, Grid, Raw, W, acb_capacity, packs, read
from nutdrv_py.device.mapping import find
from nutdrv_py.device.storage import DEAD_BAND, DEAD_BAND_PACK

__all__ = ["Flow", "live", "load", "load_percent", "report", "storage", "storage_power"]

ADDS_UP = 0.005
ADDS_UP_WATTS = 1.5
"""Share and W by which phases may differ from the whole: each is rounded by itself."""


@dataclass(frozen=True, slots=True)
class Flow:
    """One power: W and VA of the whole and of each phase, + = into the house; None for what was not reported."""

    watts: float
    voltamperes: float | None = None
    lines: tuple[Flow, ...] = ()


def _float(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def live(raw: Raw, block: str) -> Flow | None:
    """Return a power of livedata."""
    row = find(raw, f"livedata.meters.{block}")
    watts = _float(MW(find(row, "agg_p_mw")))
    if watts is None:
        return None
    lines = []
    for letter in "abc":
        part = _float(MW(find(row, f"agg_p_ph_{letter}_mw")))
        if part is not None:
            lines.append(_flow(part, _float(MW(find(row, f"agg_s_ph_{letter}_mva")))))
    return _flow(watts, _float(MW(find(row, "agg_s_mva"))), tuple(lines))


def report(raw: Raw, name: str) -> Flow | None:
    """Return the power of a report."""
    watts = _float(W(find(raw, f"{name}.cumulative.currW")))
    if watts is None:
        return None
    rows = [row for n in (1, 2, 3) if (row := find(raw, f"{name}.l{n}")) is not None]
    parts = [(_float(W(find(row, "currW"))), _float(W(find(row, "apprntPwr")))) for row in rows]
    lines = tuple(_flow(part, apparent) for part, apparent in parts if part is not None)
    return _flow(watts, _float(W(find(raw, f"{name}.cumulative.apprntPwr"))), lines)


def _flow(watts: float, voltamperes: float | None, lines: tuple[Flow, ...] = ()) -> Flow:
    """Return a flow; an apparent power below the real one cannot be, and phases that do not add up are not those of the whole."""
    if voltamperes is not None and abs(voltamperes) < abs(watts) * (1 - ADDS_UP) - ADDS_UP_WATTS:
        voltamperes = None
    if abs(sum(line.watts for line in lines) - watts) > max(ADDS_UP * abs(watts), ADDS_UP_WATTS):
        lines = ()
    return Flow(watts, voltamperes, lines)


def storage_power(raw: Raw) -> float | None:
    """Return the battery power in W, + = discharging; None when nothing reports it."""
    return storage(raw)[0]


def storage(raw: Raw) -> tuple[float | None, str]:
    """Return :func:`storage_power` and its source: livedata, else the sum of /ivp/ensemble/power, else the storage CT."""
    live = MW(find(raw, "livedata.meters.storage.agg_p_mw"))
    if isinstance(live, float):
        return live, "livedata"
    listed = find(raw, "power.devices:")
    if isinstance(listed, list) and listed:
        powers = [p for d in listed if isinstance(p := MW(find(d, "real_power_mw")), float)]
        if powers:
            return sum(powers), "power"
    return _float(W(find(raw, "storage.cumulative.currW"))), "reports"


def _stored(raw: Raw) -> Flow | None:
    """Return what the batteries give at the instant of the reports; None when that is not known."""
    told = report(raw, "storage")
    if told is not None:
        return told
    watts, source = storage(raw)
    if watts is not None:
        # That list holds the IQ Batteries alone; what AC Batteries give is reported by nothing else that is fast enough.
        return None if source == "power" and acb_capacity(raw) is not None else Flow(watts)
    return Flow(0.0) if _no_battery(raw) else None


def _no_battery(raw: Raw) -> bool:
    found = packs(raw)
    return found is not None and found.count == 0 and not read(raw.get("secctrl"), "Max_energy")


def load(raw: Raw, state: Grid) -> Flow | None:
    """Return what the house uses, in W; None when nothing measures it.

    On the grid it takes a consumption meter: livedata's load, else what the house's meters and batteries add up to. In an
    island the meters' own powers read 0, so livedata's load or, if that is nothing, the balance of battery and PV counts.
    """
    told = live(raw, "load")
    if state.on_grid:
        return _load_on_grid(raw, told)
    if told is not None and told.watts > 0:
        return told
    watts = storage_power(raw)
    if watts is None:
        return None
    others = sum(flow.watts for block in ("pv", "generator") if (flow := live(raw, block)) is not None)
    return Flow(watts + others) if watts + others > 0 else None


def _load_on_grid(raw: Raw, told: Flow | None) -> Flow | None:
    kinds = meter_kinds(raw)
    if kinds is not None and not kinds & CONSUMPTION:
        return None
    if told is not None and (kinds is not None or told.watts > 0):
        return told if told.watts >= 0 else Flow(0.0)
    stored = _stored(raw)
    made, bought, total = (report(raw, name) for name in ("production", "net", "total"))
    if stored is None:
        return None
    if made is not None and bought is not None:
        parts = (made, bought, stored)
        watts = sum(part.watts for part in parts)
        # A battery whose phases are not reported rests, or its share of each phase is not known.
        lines = [part.lines for part in parts if part.lines or abs(part.watts) > ADDS_UP_WATTS]
        rows = zip(*lines, strict=True) if len({len(each) for each in lines}) == 1 else ()
        return _flow(max(0.0, watts), None, tuple(Flow(sum(line.watts for line in row)) for row in rows))
    # The total counts a charging battery as consumption on most systems, so it only serves while there is none.
    found = packs(raw)
    resting = abs(stored.watts) <= max(DEAD_BAND, DEAD_BAND_PACK * (found.count if found is not None else 1))
    return total if resting else None


def load_percent(watts: float | None, given: float | None, capacity: float | None, per_kwh: float | None) -> float | None:
    """Return ``ups.load`` in percent: of ``per_kwh`` W for each kWh of capacity where that is set (0: none), else of the
    power ``given``."""
    limit = given if per_kwh is None else (capacity or 0.0) / 1000 * per_kwh
    return 100.0 * watts / limit if watts is not None and limit else None
