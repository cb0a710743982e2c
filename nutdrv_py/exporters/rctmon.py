# SPDX-License-Identifier: GPL-2.0-or-later
"""The Prometheus metrics of RctMon 0.0.2 (its models and monitoring modules): one row each, with the objects they show.

Names, labels and types are RctMon's, so that dashboards made for it go on working; also its oddities: ``percent`` metrics go
from 0 to 1, ``rctmon_bms_info_info`` has info twice, energy fed into the grid counts below zero. A row with ``ours`` shows what
RctMon fetched but never showed. Every metric has the label ``inverter``, the device's name, before those of its row.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter

__all__ = ["COUNTERS", "MODULES", "ROWS", "Counter", "Metric", "OfModule", "Sample", "samples"]

MODULES = 7
"""Battery modules of a tower; the label ``module`` counts from 0, as the inverter's objects do."""

_AB = ("a", "b")
_PHASES = ("l1", "l2", "l3")


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric of the device. ``objects`` gives an object by the value of ``label``, or by "" when there is no label.

    ``kind`` is gauge, counter or info; of an info the objects give its labels, and its value is 1.
    """

    name: str
    objects: Mapping[str, str]
    help: str
    label: str = ""
    kind: str = "gauge"
    ours: bool = False

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the labels beside ``inverter``."""
        if self.kind == "info":
            return tuple(self.objects)
        return (self.label,) if self.label else ()


@dataclass(frozen=True, slots=True)
class OfModule:
    """A metric of each battery module, or with ``cells`` of each cell in it, whose object holds all of them.

    ``attribute`` leads from the object's value, or from a cell, to the number; "" when it is the number. Of an info the object
    gives the label ``text``.
    """

    name: str
    object: str
    help: str
    attribute: str = ""
    kind: str = "gauge"
    text: str = ""
    cells: bool = False
    scale: float = 1.0
    """Factor of the number: cells report milliohm."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the labels beside ``inverter``."""
        return ("module", "cell") if self.cells else ("module", self.text) if self.text else ("module",)


@dataclass(frozen=True, slots=True)
class Counter:
    """What is counted of the line. ``counters`` gives the backend's counter by the value of ``label``; None: always 0."""

    name: str
    counters: Mapping[str, str | None]
    help: str
    label: str = ""


def _one(name: str) -> dict[str, str]:
    return {"": name}


def _each(pattern: str, values: Sequence[str]) -> dict[str, str]:
    return {value: pattern.format(index) for index, value in enumerate(values)}


# fmt: off
_OF_DEVICE: tuple[Metric, ...] = (
    Metric("rctmon_inventory", {"generator_a": "dc_conv.dc_conv_struct[0].enabled",
                                "generator_b": "dc_conv.dc_conv_struct[1].enabled",
                                "power_switch": "rb485.available"}, "Whether the component is there", "component"),
    Metric("rctmon_inverter_info", {"control_software_version": "svnversion", "parameter_file": "parameter_file",
                                    "serial_number": "inverter_sn"}, "The inverter", kind="info"),
    Metric("rctmon_inverter_status", _one("prim_sm.state"), "State of the inverter, its own number (13: feed-in)"),
    Metric("rctmon_inverter_grid_separated", _one("prim_sm.island_flag"), "Island flag, raw; 2 on the grid, bit 0: island"),
    Metric("rctmon_inverter_insulation", {"total": "iso_struct.Riso", "positive": "iso_struct.Rp", "negative": "iso_struct.Rn"},
           "Insulation resistance, Ohm", "unit"),
    Metric("rctmon_inverter_faults", _each("fault[{}].flt", "0123"), "Fault register, raw: 32 bits", "register"),
    Metric("rctmon_temperature", {"heatsink": "db.temp1", "heatsink_battery_actuator": "db.temp2", "core": "db.core_temp"},
           "Temperature, degrees Celsius", "sensor"),
    Metric("rctmon_generator_voltage_volt", _each("g_sync.u_sg_avg[{}]", _AB), "Voltage of the solar generator, V", "generator"),
    Metric("rctmon_generator_power_watt", _each("dc_conv.dc_conv_struct[{}].p_dc_lp", _AB), "Power of the solar generator, W",
           "generator"),
    Metric("rctmon_generator_mpp_target_voltage_volt", _each("dc_conv.dc_conv_struct[{}].u_target", _AB),
           "Voltage the tracker of the solar generator aims at, V", "generator"),
    Metric("rctmon_generator_mpp_search_step_volt", _each("dc_conv.dc_conv_struct[{}].mpp.mpp_step", _AB),
           "Step of the tracker of the solar generator, V", "generator"),
    Metric("rctmon_household_load", _one("g_sync.p_ac_load_sum_lp"), "Load of the house, W"),
    Metric("rctmon_household_load_phase", _each("g_sync.p_ac_load[{}]", _PHASES), "Load of the house on the phase, W", "phase"),
    Metric("rctmon_grid_power_watt", _each("g_sync.p_ac_sc[{}]", _PHASES), "Power from the grid, W; below zero: fed in",
           "phase"),
    Metric("rctmon_grid_power_sum_watt", _one("g_sync.p_ac_grid_sum_lp"), "Power from all phases of the grid, W", ours=True),
    Metric("rctmon_grid_voltage_volt", _each("g_sync.u_l_rms[{}]", _PHASES), "Voltage of the phase at the inverter, V", "phase"),
    Metric("rctmon_grid_voltage_phase_to_phase_volt", _each("g_sync.u_ptp_rms[{}]", "123"), "Voltage between two phases, V",
           "measurement"),
    Metric("rctmon_grid_frequency_hertz", _one("grid_pll[0].f"), "Frequency at the inverter, Hz"),
    Metric("rctmon_energy_ac_sum", _one("energy.e_ac_total"), "Energy the inverter has given since it was built, Wh"),
    Metric("rctmon_energy_household_sum", _one("energy.e_load_total"), "Energy the house has used, Wh"),
    Metric("rctmon_energy_grid_load_sum", _one("energy.e_grid_load_total"), "Energy taken from the grid, Wh"),
    Metric("rctmon_energy_grid_feed_sum", _one("energy.e_grid_feed_total"), "Energy fed into the grid, Wh; counts below zero"),
    Metric("rctmon_energy_solar_generator_sum", {"generator_a": "energy.e_dc_total[0]", "generator_b": "energy.e_dc_total[1]"},
           "Energy of the solar generator, Wh", "component"),
    Metric("rctmon_powerswitch_info", {"bootloader_version": "rb485.version_boot", "software_version": "rb485.version_main"},
           "The Power Switch", kind="info"),
    Metric("rctmon_powerswitch_voltage_volt", _each("rb485.u_l_grid[{}]", _PHASES),
           "Voltage of the phase on the grid's side of the Power Switch, V", "phase"),
    Metric("rctmon_powerswitch_frequency_hertz", _each("rb485.f_grid[{}]", _PHASES),
           "Frequency of the phase on the grid's side of the Power Switch, Hz", "phase"),
    Metric("rctmon_powerstorage_frequency_hertz", _each("rb485.f_wr[{}]", _PHASES),
           "Frequency of the phase on the inverter's side of the Power Switch, Hz", "phase"),
    Metric("rctmon_bms_info_info", {"serial_number": "battery.bms_sn"}, "The battery management system", kind="info"),
    Metric("rctmon_battery_state_of_charge_min_percent", _one("power_mng.soc_min"), "Least charge on the grid, 0 to 1"),
    Metric("rctmon_battery_state_of_charge_percent", _one("battery.soc"), "Charge, 0 to 1"),
    Metric("rctmon_battery_state_of_charge_target_percent", _one("battery.soc_target"), "Charge the inverter aims at, 0 to 1"),
    Metric("rctmon_battery_state_of_health_percent", _one("battery.soh"), "State of health, 0 to 1"),
    Metric("rctmon_battery_voltage", _one("power_mng.u_acc_mix_lp"), "Voltage as the inverter measures it, V"),
    Metric("rctmon_battery_bms_voltage", _one("battery.voltage"), "Voltage as the battery measures it, V", ours=True),
    Metric("rctmon_battery_current", _one("battery.current"), "Current, A; its sign varies", ours=True),
    Metric("rctmon_battery_power", _one("g_sync.p_acc_lp"), "Power of the battery, W; below zero: charging"),
    Metric("rctmon_battery_state", _one("power_mng.state"), "State of the battery's connection, raw"),
    Metric("rctmon_battery_temperature", _one("battery.temperature"), "Temperature, degrees Celsius"),
    Metric("rctmon_battery_bat_status", _one("battery.bat_status"), "Status of the battery, raw"),
    Metric("rctmon_battery_status", _one("battery.status"), "Status of the battery as the inverter sees it, bits", ours=True),
    Metric("rctmon_battery_status2", _one("battery.status2"), "Status of the battery as it says itself, bits", ours=True),
    Metric("rctmon_battery_impedance_fine", _one("battery.bat_impedance.impedance_fine"), "Impedance, Ohm"),
    Metric("rctmon_battery_efficiency", _one("battery.efficiency"), "Efficiency, 0 to 1", ours=True),
    Metric("rctmon_battery_cycles_total", _one("battery.cycles"), "Charging cycles", kind="counter", ours=True),
    Metric("rctmon_battery_discharge_amp_hours_total", _one("battery.discharged_amp_hours"), "Charge given, Ah", kind="counter"),
    Metric("rctmon_battery_stored_energy_total", _one("battery.stored_energy"), "Energy taken in, Wh", kind="counter"),
    Metric("rctmon_battery_used_energy_total", _one("battery.used_energy"), "Energy given, Wh", kind="counter"),
)

_OF_MODULES: tuple[OfModule, ...] = (
    OfModule("rctmon_battery_module_info", "battery.module_sn[{}]", "The battery module", kind="info", text="serial_number"),
    OfModule("rctmon_battery_module_cycles_total", "battery.stack_cycles[{}]", "Charging cycles of the module", kind="counter"),
    OfModule("rctmon_battery_module_voltage_min_volt", "battery.cells_stat[{}]", "Lowest voltage a cell ever had, V",
             "voltage_min.value"),
    OfModule("rctmon_battery_module_voltage_max_volt", "battery.cells_stat[{}]", "Highest voltage a cell ever had, V",
             "voltage_max.value"),
    OfModule("rctmon_battery_module_temperature_min_celsius", "battery.cells_stat[{}]", "Lowest temperature a cell ever had",
             "temperature_min.value"),
    OfModule("rctmon_battery_module_temperature_max_celsius", "battery.cells_stat[{}]", "Highest temperature a cell ever had",
             "temperature_max.value"),
    OfModule("rctmon_battery_module_cell_temperature_celsius", "battery.cells[{}]", "Temperature of the cell", "temperature",
             cells=True),
    OfModule("rctmon_battery_module_cell_voltage_volt", "battery.cells[{}]", "Voltage of the cell, V", "voltage", cells=True),
    OfModule("rctmon_battery_module_cell_resistance_ohm", "battery.cells_resist[{}]", "Resistance of the cell, Ohm", cells=True,
             scale=0.001),
)

ROWS: tuple[Metric | OfModule, ...] = (*_OF_DEVICE, *_OF_MODULES)

COUNTERS: tuple[Counter, ...] = (
    Counter("rctmon_bytes_received_total", _one("bytes_received"), "Bytes received from the inverter"),
    Counter("rctmon_bytes_sent_total", _one("bytes_sent"), "Bytes sent to the inverter"),
    Counter("rctmon_frames_received_total", _one("frames_received"), "Frames received from the inverter"),
    Counter("rctmon_frames_sent_total", _one("frames_sent"), "Frames sent to the inverter"),
    Counter("rctmon_frames_lost_total", {"normal": "lost", "inventory": None}, "Requests without a usable answer", "kind"),
    Counter("rctmon_decode_error_total", {"crc": "damage_crc", "command": "damage_command", "length": "damage_length",
                                          "payload": "payload"}, "Frames that could not be read", "kind"),
)
# fmt: on

Sample = tuple[tuple[str, ...], float]
"""The values of a row's labels, and the metric's."""


def samples(row: Metric | OfModule, raw: Mapping[str, object]) -> list[Sample]:
    """Return what the row shows of a device's objects. What is not known is left out."""
    return list(_of_device(row, raw) if isinstance(row, Metric) else _of_modules(row, raw))


def _of_device(row: Metric, raw: Mapping[str, object]) -> Iterator[Sample]:
    if row.kind == "info":
        values = [raw.get(name) for name in row.objects.values()]
        if any(value is not None for value in values):
            yield tuple("" if value is None else str(value).strip() for value in values), 1.0
        return
    for label, name in row.objects.items():
        value = _number(raw.get(name))
        if value is not None:
            yield (label,) if row.label else (), value


def _of_modules(row: OfModule, raw: Mapping[str, object]) -> Iterator[Sample]:
    for index in range(MODULES):
        value, module = raw.get(row.object.format(index)), str(index)
        if row.text:
            if isinstance(value, str) and value.strip():
                yield (module, value.strip()), 1.0
        elif row.cells:
            for cell, content in enumerate(value if isinstance(value, Sequence) else ()):
                if (found := _number(content, row.attribute)) is not None:
                    yield (module, str(cell)), found * row.scale
        elif (found := _number(value, row.attribute)) is not None:
            yield (module,), found


def _number(value: object, attribute: str = "") -> float | None:
    try:
        found: object = attrgetter(attribute)(value) if attribute else value
        return float(found) if isinstance(found, int | float) and math.isfinite(found) else None
    except (AttributeError, OverflowError):
        return None
