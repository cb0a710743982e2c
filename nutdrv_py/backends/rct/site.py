# SPDX-License-Identifier: GPL-2.0-or-later
"""From the inverter's objects to NUT's variables: one row each, and the few that need arithmetic. Pure.

Those of the battery: :mod:`~nutdrv_py.backends.rct.storage`.

``values`` maps object names to values, without what is too old. Powers in W: battery + = discharging, grid + =
import (so ``input.realpower`` is negative while the house feeds the grid; NUT has no rule for that).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from nutdrv_py.backends.rct.faults import REGISTERS, active
from nutdrv_py.device.mapping import Field, between, integer, lookup, scaled, text, to_number, translate
from nutdrv_py.device.reading import Value

__all__ = [
    "FIELDS", "PERCENT", "Values", "auxiliary_firmware", "faults", "grid_side", "house_alive", "household_load", "model",
    "nominal_power", "number", "phase_values", "phases", "positive",
]  # fmt: skip

Values = Mapping[str, object]

OWN_USE = 50.0
"""W that the inverter takes for itself, on top of the house's load."""

ALIVE = 50.0
"""V on the inverter's side from which the house has power."""

PERCENT = between(0, 100.5, scaled(100))
OHM = between(0, 1e9)

_STATES: Mapping[object, Value] = {
    0: "standby", 1: "initialisation", 2: "standby", 3: "efficiency", 4: "insulation check", 5: "island check", 6: "power check",
    7: "symmetry", 8: "relay test", 9: "grid passive", 10: "prepare battery passive", 11: "battery passive",
    12: "hardware check", 13: "feed-in",
}  # fmt: skip


def positive(raw: object) -> Value | None:
    """Return a number above 0; firmware answers 0 for what it does not know."""
    value = to_number(raw)
    return value if value and value > 0 else None


_NO_MODEL = "Power Storage"

# fmt: off
FIELDS: tuple[Field, ...] = (
    Field("ups.serial",                                "inverter_sn",                            text),
    Field("ups.firmware",                              "svnversion",                             text),
    Field("ups.id",                                    "android_description",                    text),
    Field("device.description",                        "android_description",                    text),
    Field("ups.temperature",                           "db.core_temp"),
    Field("experimental.heatsink.temperature",         "db.temp1"),
    Field("experimental.heatsink.battery.temperature", "db.temp2"),
    Field("ups.power",                                 "g_sync.s_ac_sum_lp"),
    Field("experimental.reactivepower",                "g_sync.q_ac_sum_lp"),
    Field("experimental.inverter.realpower",           "g_sync.p_ac_sum_lp"),
    Field("experimental.inverter.state",               "prim_sm.state",                          lookup(_STATES)),
    Field("experimental.island.flag",                  "prim_sm.island_flag",                    integer),
    Field("experimental.grid.code",                    "parameter_file",                         text),
    Field("experimental.grid.realpower",               "g_sync.p_ac_grid_sum_lp"),
    Field("experimental.insulation.resistance",        "iso_struct.Riso",                        OHM),
    Field("experimental.external.realpower",           "io_board.s0_external_power"),
    Field("input.transfer.low",                        "grid_mon[0].u_under.threshold",          positive),
    Field("input.transfer.high",                       "grid_mon[0].u_over.threshold",           positive),
    Field("input.frequency.low",                       "grid_mon[0].f_under.threshold",          positive),
    Field("input.frequency.high",                      "grid_mon[0].f_over.threshold",           positive),
    Field("experimental.energy.load.total",            "energy.e_load_total"),
    Field("experimental.energy.grid.import.total",     "energy.e_grid_load_total"),
    Field("experimental.energy.grid.export.total",     "energy.e_grid_feed_total",               scaled(-1)),
    Field("experimental.energy.inverter.total",        "energy.e_ac_total"),
    Field("experimental.pv.1.realpower",               "dc_conv.dc_conv_struct[0].p_dc_lp"),
    Field("experimental.pv.1.voltage",                 "g_sync.u_sg_avg[0]"),
    Field("experimental.pv.2.realpower",               "dc_conv.dc_conv_struct[1].p_dc_lp"),
    Field("experimental.pv.2.voltage",                 "g_sync.u_sg_avg[1]"),
)

# fmt: on


def number(values: Values, name: str) -> float | None:
    """Return the object's number, None when it is not known."""
    return to_number(values.get(name))


def phases(values: Values, name: str) -> tuple[float, float, float] | None:
    """Return the three numbers of an object with one per phase; None unless all are known."""
    found = [number(values, f"{name}[{index}]") for index in range(3)]
    first, second, third = found
    return None if first is None or second is None or third is None else (first, second, third)


def grid_side(values: Values) -> tuple[float, float, float] | None:
    """Return the V on the grid's side of the Power Switch; None without one, or when not all three phases are known."""
    return phases(values, "rb485.u_l_grid") if values.get("rb485.available") is True else None


def house_alive(values: Values) -> bool | None:
    """Return whether the inverter's side has voltage on any phase; None when that is not known."""
    volts = phases(values, "g_sync.u_l_rms")
    return None if volts is None else any(volt >= ALIVE for volt in volts)


def faults(values: Values) -> frozenset[int]:
    """Return the numbers of the active faults."""
    found = [values.get(register) for register in REGISTERS]
    return active(register if isinstance(register, int) else None for register in found)


_MODEL = re.compile(r"\b(?:PS|PI|DC|PST|IS)\b ?\d+(?:\.\d+)?(?: [A-Z0-9]{1,8}\b)?")
_SIZE = re.compile(r"\b(?:PS|PI|DC|PST|IS)\b ?(\d{1,2}(?:\.\d)?)\b")


def model(values: Values) -> str:
    """Return the model out of the device's name, which the user may have changed; the family when there is none in it."""
    name = values.get("android_description")
    found = _MODEL.search(name) if isinstance(name, str) else None
    return found.group() if found else _NO_MODEL


def auxiliary_firmware(values: Values) -> str:
    """Return the versions of the battery management and of the Power Switch."""
    rows = (("BMS", "battery.bms_software_version"), ("Power Switch", "rb485.version_main"))
    return ", ".join(f"{name} {int(version)}" for name, key in rows if (version := number(values, key)))


def nominal_power(values: Values, configured: float | None) -> float | None:
    """Return the power in W the inverter can give: as configured, as it reports, or by its model ("PS 6.0": 6000)."""
    if configured:
        return float(configured)
    told = number(values, "p_rec_lim[2]")
    if told and 500 <= told <= 50000:
        return told
    name = values.get("android_description")
    found = _SIZE.search(name) if isinstance(name, str) else None
    return float(found.group(1)) * 1000 if found else None


def household_load(values: Values, *, off_grid: bool) -> float | None:
    """Return the power in W the house takes; off the grid what the inverter gives, which is all there is."""
    load, output = number(values, "g_sync.p_ac_load_sum_lp"), number(values, "g_sync.p_ac_sum_lp")
    found = (output if output is not None else load) if off_grid else load
    return None if found is None else max(0.0, found)


_LINES = ("L1", "L2", "L3")
_PAIRS = ("L1-L2", "L2-L3", "L3-L1")

# Off the grid the input has no power and no current, and what the inverter's side shows is the output.
# fmt: off
_INPUT = tuple(
    field
    for index, line in enumerate(_LINES)
    for field in (
        Field(f"input.{line}-N.voltage",          f"input.u[{index}]"),
        Field(f"input.{_PAIRS[index]}.voltage",   f"input.u_ptp[{index}]"),
        Field(f"input.{line}.realpower",          f"input.p[{index}]"),
    )
)
_OUTPUT = tuple(
    field
    for index, line in enumerate(_LINES)
    for field in (
        Field(f"output.{line}-N.voltage",         f"g_sync.u_l_rms[{index}]"),
        Field(f"output.{_PAIRS[index]}.voltage",  f"g_sync.u_ptp_rms[{index}]"),
        Field(f"output.{line}.realpower",         f"g_sync.p_ac_load[{index}]"),
        Field(f"output.{line}.power",             f"g_sync.s_ac_lp[{index}]"),
        Field(f"output.{line}.current",           f"g_sync.i_dr_eff[{index}]"),
    )
)
# fmt: on


def phase_values(values: Values, *, off_grid: bool, nominal_voltage: float, nominal_frequency: float) -> dict[str, Value]:
    """Return ``input.*`` and ``output.*`` of the three phases."""
    switch = values.get("rb485.available") is True
    raw = dict(values)
    for index in range(3):
        if switch:
            raw[f"input.u[{index}]"] = values.get(f"rb485.u_l_grid[{index}]")
        else:
            raw[f"input.u[{index}]"] = 0.0 if off_grid else values.get(f"g_sync.u_l_rms[{index}]")
        raw[f"input.u_ptp[{index}]"] = None if off_grid else values.get(f"g_sync.u_ptp_rms[{index}]")
        raw[f"input.p[{index}]"] = 0.0 if off_grid else values.get(f"g_sync.p_ac_sc[{index}]")
    found: dict[str, Value] = {"input.phases": 3, "output.phases": 3}
    found.update(translate((*_INPUT, *_OUTPUT), raw))
    power = 0.0 if off_grid else number(values, "g_sync.p_ac_grid_sum_lp")
    if power is not None:
        found["input.realpower"] = power
    found.update(_frequencies(values, switch=switch, off_grid=off_grid))
    for domain in ("input", "output"):
        found[f"{domain}.voltage.nominal"] = nominal_voltage
        found[f"{domain}.frequency.nominal"] = nominal_frequency
        volts = [to_number(found.get(f"{domain}.{line}-N.voltage")) for line in _LINES]
        known = [volt for volt in volts if volt is not None]
        if known:
            found[f"{domain}.voltage"] = sum(known) / len(known)
    return found


def _frequencies(values: Values, *, switch: bool, off_grid: bool) -> dict[str, Value]:
    found: dict[str, Value] = {}
    inverter = number(values, "grid_pll[0].f")
    outside = number(values, "rb485.f_grid[0]") if switch else None if off_grid else inverter
    inside = number(values, "rb485.f_wr[0]") if switch and off_grid else None
    if outside is not None:
        found["input.frequency"] = outside
    if inside is None:
        inside = inverter
    if inside is not None:
        found["output.frequency"] = inside
    return found
