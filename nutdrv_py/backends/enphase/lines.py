# SPDX-License-Identifier: GPL-2.0-or-later
"""``input.*`` and ``output.*``: powers, voltages and currents of the whole and of each phase. Pure.

Apparent power, power factor and current follow from the source of the power, so that they belong to one instant.
"""

from __future__ import annotations

from nutdrv_py.backends.enphase.powers import Flow, live, report
from nutdrv_py.backends.enphase.site import Grid, Raw, read
from nutdrv_py.device.mapping import between, find
from nutdrv_py.device.reading import Value

__all__ = ["battery_current", "phase_values"]

DEAD = 0.5
"""Share of the highest line voltage below which a line is dead; meters show 0 to 5 V there."""

MOST_VOLTS = 1000.0
"""Maximum voltage of a line in V."""

_HERTZ, _AMPERES = between(1, 100), between(0, 1e4)


def _voltage(meter: object, count: int) -> tuple[float | None, bool]:
    """Return the voltage of the whole, and whether each line is alive. A report reports the sum of its lines.

    Split phase: the voltage between the lines; three phases: that of a line, the mean of those that are alive.
    """
    lines = _lines(meter, count)
    alive = [volts for volts in lines if volts > DEAD * max(lines)]
    if count > 1 and len(alive) < len(lines) == count and alive:
        return sum(alive) / len(alive), False
    volts = read(find(meter, "cumulative"), "rmsVoltage")
    if volts is None or not 0 < volts < 3000:
        return None, True
    return (volts / 3 if count == 3 else volts), True


def _lines(meter: object, count: int) -> list[float]:
    told = (_volts(find(meter, f"l{n}")) for n in range(1, count + 1))
    return [volts for volts in told if volts is not None]


def _volts(row: object) -> float | None:
    volts = read(row, "rmsVoltage")
    return volts if volts is not None and 0 <= volts <= MOST_VOLTS else None


def battery_current(raw: Raw, watts: float, count: int) -> float | None:
    """Return the batteries' current in A on the house's side, by the sum of the line voltages; None when there is no voltage."""
    for name in ("storage", "bus"):
        volts, complete = _voltage(raw.get(name), count)
        if volts:
            return watts / (volts * count if count == 3 or not complete else volts)
    return None


def phase_values(raw: Raw, state: Grid, count: int, flow: Flow | None) -> dict[str, Value]:
    """Return ``input.*`` and ``output.*`` for 1, 2 or 3 phases; ``flow`` is the load.

    While the relay is open nothing flows from the grid (0 W, 0 A) and its voltage and frequency are not known, so those
    are left out; the meters then show the house's own voltage, which is the output's.
    """
    values: dict[str, Value] = {"input.phases": count, "output.phases": count}
    told = live(raw, "grid")
    bought = told if told is not None else report(raw, "net")
    incoming = _voltages("input", raw.get("net"), count) | _powers("input", bought, raw.get("net"), count)
    if told is None:
        incoming |= _currents(raw.get("net"), count)
    for name, value in incoming.items():
        if state.on_grid:
            # A meter reports no sign of a current; it is that of the power, below zero where the house feeds in.
            power = incoming.get(f"{name.removesuffix('current')}realpower")
            fed = name.endswith("current") and isinstance(power, float) and power < 0
            values[name] = -abs(value) if fed and isinstance(value, float) else value
        elif name.endswith(("power", "current")):
            values[name] = 0.0
    return values | _voltages("output", raw.get("bus"), count) | _powers("output", flow, raw.get("bus"), count)


def _voltages(domain: str, meter: object, count: int) -> dict[str, Value]:
    """Return voltage and frequency of the whole and of each line."""
    values: dict[str, Value] = {}
    volts, complete = _voltage(meter, count)
    if volts is not None:
        values[f"{domain}.voltage"] = volts
        if count == 2 and complete:
            values[f"{domain}.L1-L2.voltage"] = volts
    for name, row in _rows(domain, meter, count):
        found: dict[str, Value | None] = {"frequency": _HERTZ(find(row, "freqHz"))}
        if name != domain:
            found["voltage"] = _volts(row)
        for key, value in found.items():
            if value is not None:
                values[f"{name}-N.{key}" if key == "voltage" else f"{name}.{key}"] = value
    return values


def _rows(domain: str, meter: object, count: int) -> list[tuple[str, object]]:
    lines = [(f"{domain}.L{n}", find(meter, f"l{n}")) for n in range(1, count + 1)] if count > 1 else []
    return [(domain, find(meter, "cumulative")), *lines]


def _powers(domain: str, flow: Flow | None, meter: object, count: int) -> dict[str, Value]:
    """Return the powers of the whole and of each phase, and what follows: power factor, and current by the meter's voltage."""
    if flow is None:
        return {}
    values: dict[str, Value] = {}
    for name, row in _rows(domain, meter, count):
        part = flow if name == domain else flow.lines[int(name[-1]) - 1] if len(flow.lines) >= count else None
        if part is None:
            continue
        values[f"{name}.realpower"] = part.watts
        if part.voltamperes is None:
            continue
        values[f"{name}.power"] = part.voltamperes
        apparent = abs(part.voltamperes)
        if apparent:
            values[f"{name}.powerfactor"] = max(-1.0, min(1.0, part.watts / apparent))
        volts = _volts(row)
        if volts and (count == 1 or name != domain):
            values[f"{name}.current"] = apparent / volts
    return values


def _currents(meter: object, count: int) -> dict[str, Value]:
    """Return the currents that the grid's meter has measured; the sum over the phases is none."""
    rows = [(name, row) for name, row in _rows("input", meter, count) if count == 1 or name != "input"]
    found = {name: _AMPERES(find(row, "rmsCurrent")) for name, row in rows}
    return {f"{name}.current": value for name, value in found.items() if value is not None}
