# SPDX-License-Identifier: GPL-2.0-or-later
"""From the battery's objects to NUT's variables, and what follows from them: charge, capacity, energy. Pure.

``values`` are as in :mod:`~nutdrv_py.backends.rct.site`.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Mapping, Sequence

from nutdrv_py.backends.rct.site import PERCENT, Values, number, positive
from nutdrv_py.device.mapping import Field, between, integer, lookup, scaled, text, to_number
from nutdrv_py.device.reading import Value
from nutdrv_py.protocols.rct.payload import Cell, CellExtremes

__all__ = ["BATTERY_FIELDS", "battery_power", "capacity", "charge", "efficiency", "full_energy", "modules", "packs"]

MODULE_ENERGY = 1900.0
"""Wh of an RCT battery module, when the battery does not report its capacity."""

MODULE_VOLTAGE = 24 * 3.2
"""V of a module at mid charge: 24 LiFePO4 cells."""

EFFICIENCY = 0.94
"""Part of the battery's energy that reaches the house, if the battery does not report a believable one."""

_TYPES: Mapping[object, Value] = {
    0: "PbAc", 1: "Li-ion", 2: "Li-ion", 3: "LiFePO4", 4: "Li-ion", 6: "Li-ion", 7: "LiFePO4",
}  # fmt: skip
_MAKERS: Mapping[object, Value] = {
    0: "Powerfit", 1: "Akasol", 2: "Laukner", 3: "RCT Power", 4: "Zach", 6: "Power loop", 7: "BYD",
}  # fmt: skip


def _date(raw: object) -> Value | None:
    """Return a Unix time as a date; the inverter's clock runs in local time as if it were UTC. Nothing for what is no date."""
    seconds = to_number(raw)
    if seconds is None or not 1e9 <= seconds <= 4e9:
        return None
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d")


# fmt: off
BATTERY_FIELDS: tuple[Field, ...] = (
    Field("battery.charge.restart",                    "power_mng.soc_min",                      PERCENT),
    Field("battery.voltage",                           "battery.voltage",                        positive),
    Field("battery.voltage",                           "power_mng.u_acc_mix_lp",                 positive),
    Field("battery.voltage.low",                       "battery.minimum_discharge_voltage",      positive),
    Field("battery.voltage.high",                      "battery.maximum_charge_voltage",         positive),
    Field("battery.temperature",                       "battery.temperature"),
    Field("battery.voltage.cell.min",                  "battery.min_cell_voltage",               positive),
    Field("battery.voltage.cell.max",                  "battery.max_cell_voltage",               positive),
    Field("battery.temperature.cell.min",              "battery.min_cell_temperature"),
    Field("battery.temperature.cell.max",              "battery.max_cell_temperature"),
    Field("battery.capacity",                          "battery.ah_capacity",                    positive),
    Field("battery.capacity",                          "power_mng.amp_hours_measured",           positive),
    Field("battery.type",                              "power_mng.battery_type",                 lookup(_TYPES)),
    Field("battery.date.maintenance",                  "power_mng.bat_next_calib_date",          _date),
    Field("experimental.battery.mfr",                  "power_mng.battery_type",                 lookup(_MAKERS)),
    Field("experimental.battery.serial",               "battery.bms_sn",                         text),
    Field("experimental.battery.charge.target",        "battery.soc_target",                     PERCENT),
    Field("experimental.battery.charge.reserve",       "power_mng.soc_min_island",               PERCENT),
    Field("experimental.battery.health",               "battery.soh",                            between(1, 120, scaled(100))),
    Field("experimental.battery.cycles",               "battery.cycles",                         integer),
    Field("experimental.battery.current.discharge.maximum", "battery.maximum_discharge_current"),
    Field("experimental.battery.current.charge.maximum", "battery.maximum_charge_current"),
    Field("experimental.energy.battery.in.total",      "battery.stored_energy"),
    Field("experimental.energy.battery.out.total",     "battery.used_energy"),
    Field("experimental.storage.realpower",            "g_sync.p_acc_lp"),
    Field("experimental.battery.2.serial",             "battery_placeholder[0].bms_sn",          text),
    Field("experimental.battery.2.charge",             "battery_placeholder[0].soc",             PERCENT),
    Field("experimental.battery.2.voltage",            "battery_placeholder[0].voltage",         positive),
    Field("experimental.battery.2.temperature",        "battery_placeholder[0].temperature"),
    Field("experimental.battery.2.health",             "battery_placeholder[0].soh",             between(1, 120, scaled(100))),
)
# fmt: on


def packs(values: Values) -> int:
    """Return the number of battery modules of both towers, as far as they have serial numbers."""
    names = [f"{tower}.module_sn[{index}]" for tower in ("battery", "battery_placeholder[0]") for index in range(7)]
    return sum(1 for name in names if isinstance(serial := values.get(name), str) and serial.strip())


def charge(values: Values, second: float | None) -> float | None:
    """Return the percent of charge: that of the first battery, or with the ``second``, in percent, that of both by what they
    hold."""
    first = number(values, "battery.soc")
    if first is None:
        return None
    if second is not None:
        one, two = capacity(values), number(values, "battery_placeholder[0].ah_capacity")
        if not one or not two:
            one = two = 1.0
        first = (first * one + second / 100 * two) / (one + two)
    return min(100.0, max(0.0, first * 100.0))


def capacity(values: Values) -> float | None:
    """Return the capacity of the (first) battery in Ah."""
    return _number_of(positive(values.get(name)) for name in ("battery.ah_capacity", "power_mng.amp_hours_measured"))


def _number_of(found: Iterable[Value | None]) -> float | None:
    return next((float(value) for value in found if isinstance(value, int | float)), None)


def _health(values: Values, name: str) -> float:
    """Return the state of health; firmware that does not know it answers 0."""
    soh = number(values, name)
    return soh if soh is not None and 0 < soh <= 1 else 1.0


def efficiency(values: Values) -> float:
    """Return the part of the battery's energy that reaches the house, 0 to 1."""
    told = number(values, "battery.efficiency")
    return told if told is not None and 0.5 <= told <= 1 else EFFICIENCY


def full_energy(values: Values, count: int, *, tower: bool) -> float | None:
    """Return the Wh of the full battery, both towers, as healthy as it is. ``count`` modules in the first tower."""
    amperes = capacity(values)
    volts = count * MODULE_VOLTAGE if count else _number_of([positive(values.get("battery.voltage"))])
    by_modules = count * MODULE_ENERGY or None
    first = amperes * volts if amperes and volts else by_modules
    if first is None:
        return None
    if by_modules and not 0.5 <= first / by_modules <= 1.5:
        first = by_modules
    energy = first * _health(values, "battery.soh")
    if tower:
        other = number(values, "battery_placeholder[0].ah_capacity")
        share = other / amperes if other and amperes else 1.0
        energy += first * share * _health(values, "battery_placeholder[0].soh")
    return energy


def battery_power(values: Values) -> float | None:
    """Return the battery's power in W, + = discharging."""
    return number(values, "g_sync.p_acc_lp")


def modules(values: Values) -> dict[str, Value]:
    """Return the variables of each battery module that has a serial number: cells as one list per module, in their order."""
    found: dict[str, Value] = {}
    for index in range(7):
        serial = values.get(f"battery.module_sn[{index}]")
        if not isinstance(serial, str) or not serial.strip():
            continue
        name = f"experimental.battery.module.{index + 1}"
        found[f"{name}.serial"] = serial.strip()
        cycles = number(values, f"battery.stack_cycles[{index}]")
        if cycles is not None:
            found[f"{name}.cycles"] = int(cycles)
        software = number(values, f"battery.stack_software_version[{index}]")
        if software is not None:
            found[f"{name}.firmware"] = int(software)
        found.update(_cells(name, values.get(f"battery.cells[{index}]")))
        resistances = values.get(f"battery.cells_resist[{index}]")
        if isinstance(resistances, Sequence) and resistances:
            found[f"{name}.cells.resistance"] = _listed(resistances, lambda value: f"{value:.1f}")
        extremes = values.get(f"battery.cells_stat[{index}]")
        if isinstance(extremes, CellExtremes):
            found[f"{name}.voltage.lowest"] = f"{extremes.voltage_min.value:.3f}"
            found[f"{name}.voltage.highest"] = f"{extremes.voltage_max.value:.3f}"
            found[f"{name}.temperature.lowest"] = extremes.temperature_min.value
            found[f"{name}.temperature.highest"] = extremes.temperature_max.value
    return found


def _cells(name: str, cells: object) -> dict[str, Value]:
    if not isinstance(cells, Sequence) or not cells or not all(isinstance(cell, Cell) for cell in cells):
        return {}
    volts = [cell.voltage for cell in cells]
    degrees = [cell.temperature for cell in cells]
    return {
        f"{name}.cells.voltage": _listed(volts, lambda value: f"{value:.3f}"),
        f"{name}.cells.temperature": _listed(degrees, str),
        f"{name}.voltage.min": f"{min(volts):.3f}",
        f"{name}.voltage.max": f"{max(volts):.3f}",
        f"{name}.temperature.min": min(degrees),
        f"{name}.temperature.max": max(degrees),
    }


def _listed(values: Iterable[object], form: Callable[[object], str]) -> str:
    return " ".join(map(form, values))
