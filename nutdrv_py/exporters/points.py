# SPDX-License-Identifier: GPL-2.0-or-later
"""Points of a device for InfluxDB: RctMon's measurements, and the NUT variables of any device. Pure.

Measurements, tags and fields of ``raw_data``, ``battery_overview``, ``battery_module`` and ``temperature`` are those of
RctMon 0.0.2, with the same types, so that its buckets and dashboards go on. What it did not do: a time on each point, and
nothing old repeated as new.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass

from nutdrv_py.core.telemetry import View
from nutdrv_py.device.reading import Status
from nutdrv_py.exporters.rctmon import MODULES
from nutdrv_py.nut.kinds import What

__all__ = ["FieldValue", "Measured", "device_points", "driver_point", "line"]

FieldValue = bool | int | float | str


@dataclass(frozen=True, slots=True)
class Measured:
    """A point. ``at`` is in milliseconds since 1970."""

    measurement: str
    tags: Mapping[str, str]
    fields: Mapping[str, FieldValue]
    at: int


# fmt: off
_RCT_FIELDS: tuple[tuple[str, str, str], ...] = (   # measurement, field, object
    ("battery_overview", "voltage",                   "power_mng.u_acc_mix_lp"),
    ("battery_overview", "power",                     "g_sync.p_acc_lp"),
    ("battery_overview", "state",                     "power_mng.state"),
    ("battery_overview", "soc_min",                   "power_mng.soc_min"),
    ("battery_overview", "soc_target",                "battery.soc_target"),
    ("battery_overview", "soc",                       "battery.soc"),
    ("battery_overview", "soh",                       "battery.soh"),
    ("battery_overview", "temperature",               "battery.temperature"),
    ("battery_overview", "status",                    "battery.bat_status"),
    ("battery_overview", "impedance_fine",            "battery.bat_impedance.impedance_fine"),
    ("battery_overview", "discharged_amp_hours",      "battery.discharged_amp_hours"),
    ("battery_overview", "stored_energy",             "battery.stored_energy"),
    ("temperature",      "heatsink",                  "db.temp1"),
    ("temperature",      "heatsink_battery_actuator", "db.temp2"),
    ("temperature",      "core",                      "db.core_temp"),
    ("temperature",      "battery",                   "battery.temperature"),
)
# fmt: on

_RAW_FIELDS: Mapping[type, str] = {float: "value_float", bool: "value_bool", str: "value_string", int: "value_int"}
"""Field of ``raw_data`` by the type of the object's value. Cells and other structures have none, as in RctMon."""


def driver_point(view: View) -> Measured:
    """Return whether the data are stale, and how old: the only point of a device whose data are."""
    fields: dict[str, FieldValue] = {"stale": view.stale}
    if view.age is not None:
        fields["age"] = view.age
    return Measured("driver", {"ups": view.ups}, fields, _milliseconds(view.now))


def device_points(view: View, oids: Mapping[str, int], known: Container[str] = frozenset()) -> Iterator[Measured]:
    """Yield the points of a device; while its data are stale those of what it answers, if it does. ``oids`` are the numbers of
    RCT's objects by their names.

    ``known`` are the objects that have not been reported anew: they make no ``raw_data``.
    """
    at = _milliseconds(view.now if view.answering or view.at is None else view.at)
    if not view.stale and view.at is not None:
        yield Measured("ups", {"ups": view.ups, "backend": view.backend}, _nut_fields(view), _milliseconds(view.at))
    if view.backend == "rct" and view.current_raw:
        yield from _rct_points(view, oids, at, known)


def _nut_fields(view: View) -> dict[str, FieldValue]:
    # What.OTHER may be a number today and a word tomorrow, but a field keeps the type of its first value.
    texts: dict[str, FieldValue] = {name: one.value for name, one in view.variables.items() if one.kind.what is not What.OTHER}
    found = {name: value for name, value in (texts | view.numbers).items() if not name.startswith("driver.")}
    return found | {f"status.{flag.name}": flag in view.status for flag in Status}


def _rct_points(view: View, oids: Mapping[str, int], at: int, known: Container[str]) -> Iterator[Measured]:
    raw = view.raw
    name = raw.get("android_description")
    inverter = {"inverter": name if isinstance(name, str) and name.strip() else view.ups}
    groups: dict[str, dict[str, FieldValue]] = {}
    for measurement, field, source in _RCT_FIELDS:
        value = raw.get(source)
        if isinstance(value, int | float):
            groups.setdefault(measurement, {})[field] = value
    for measurement, fields in groups.items():
        yield Measured(measurement, inverter, fields, at)
    for module in range(MODULES):
        cycles = raw.get(f"battery.stack_cycles[{module}]")
        if isinstance(cycles, int):
            yield Measured("battery_module", {**inverter, "module": str(module)}, {"cycles": cycles}, at)
    for source, value in raw.items():
        raw_field = _RAW_FIELDS.get(type(value))
        if raw_field is not None and isinstance(value, bool | int | float | str) and source not in known:
            told = _milliseconds(view.raw_at[source]) if source in view.raw_at else at
            oid = {"oid": f"0x{oids[source]:X}"} if source in oids else {}
            yield Measured("raw_data", {**oid, "name": source, **inverter}, {raw_field: value}, told)


_KEY = str.maketrans({",": "\\,", "=": "\\=", " ": "\\ "})
_STRING = str.maketrans({'"': '\\"', "\\": "\\\\"})


def line(measured: Measured) -> str:
    """Return the point in line protocol (docs.influxdata.com, "Line protocol"); empty when it has no field.

    What that cannot carry is left out (numbers that are not finite) or replaced: what is not printable by a blank, a backslash
    in a name or a tag by a slash, because servers differ in what it means there.
    """
    tags = {known: shown for key, tag in measured.tags.items() if (known := _name(key)) and (shown := _name(tag))}
    fields = {
        known: _value(value)
        for key, value in measured.fields.items()
        if (known := _name(key)) and not (isinstance(value, float) and not math.isfinite(value))
    }
    if not fields:
        return ""
    series = ",".join([_key(measured.measurement), *(f"{_key(key)}={_key(tag)}" for key, tag in sorted(tags.items()))])
    return f"{series} {','.join(f'{_key(key)}={value}' for key, value in sorted(fields.items()))} {measured.at}"


def _key(name: str) -> str:
    return name.translate(_KEY)


def _value(value: FieldValue) -> str:
    if isinstance(value, str):
        return f'"{_text(value).translate(_STRING)}"'
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value}i" if isinstance(value, int) else f"{value!r}".removesuffix(".0")


def _text(text: str) -> str:
    return text if text.isprintable() else "".join(letter if letter.isprintable() else " " for letter in text)


def _name(text: str) -> str:
    return _text(text).replace("\\", "/").strip()


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
