# SPDX-License-Identifier: GPL-2.0-or-later
"""Messages of Home Assistant's MQTT discovery: one device per source, one row per entity. Pure.

Keys, classes and units are those of Home Assistant's documentation (MQTT, sensor, binary sensor).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nutdrv_py.exporters.topics import Place, availability, slug
from nutdrv_py.nut.kinds import kind_of

__all__ = ["BINARY_SENSORS", "IDENTITY", "SENSORS", "BinarySensor", "Sensor", "configs"]


# fmt: off
_CLASSES = {
    "battery.charge": "battery", "experimental.battery.energy": "energy_storage",
    "experimental.battery.energy.capacity": "energy_storage",
    "V": "voltage", "A": "current", "W": "power", "VA": "apparent_power", "var": "reactive_power", "Hz": "frequency",
    "Wh": "energy", "C": "temperature", "s": "duration", "d": "duration",
}
"""Home Assistant's ``device_class`` by variable, or else by NUT's unit."""
# fmt: on


@dataclass(frozen=True, slots=True)
class Sensor:
    """A NUT variable as Home Assistant shows it, with its documented ``state_class``; empty: none."""

    variable: str
    name: str
    state_class: str = ""
    diagnostic: bool = False

    @property
    def unit(self) -> str:
        """Return Home Assistant's unit; empty: none."""
        return kind_of(self.variable).unit.replace("C", "°C")

    @property
    def device_class(self) -> str:
        """Return Home Assistant's ``device_class``; empty: none."""
        return _CLASSES.get(self.variable) or _CLASSES.get(kind_of(self.variable).unit, "")


@dataclass(frozen=True, slots=True)
class BinarySensor:
    """A token of ``ups.status``: on while it is there, off while ``off`` is (empty: while it is not)."""

    key: str
    name: str
    device_class: str
    token: str
    off: str = ""


_M, _TI = "measurement", "total_increasing"
_LINES = ("L1", "L2", "L3")

# fmt: off
SENSORS: tuple[Sensor, ...] = (
    Sensor("ups.status",                           "Status"),
    Sensor("ups.alarm",                            "Alarm"),
    Sensor("battery.charge",                       "Battery charge",              _M),
    Sensor("battery.runtime",                      "Battery runtime",             _M),
    Sensor("battery.voltage",                      "Battery voltage",             _M),
    Sensor("battery.current",                      "Battery current",             _M),
    Sensor("battery.temperature",                  "Battery temperature",         _M),
    Sensor("battery.charger.status",               "Battery charger"),
    Sensor("battery.charge.low",                   "Battery low mark",            "", True),
    Sensor("battery.capacity",                     "Battery capacity",            "", True),
    Sensor("experimental.storage.realpower",       "Battery power",               _M),
    Sensor("experimental.battery.energy",          "Battery energy",              _M),
    Sensor("experimental.battery.energy.capacity", "Battery energy when full",    _M, True),
    Sensor("experimental.battery.charge.reserve",  "Battery reserve",             "", True),
    Sensor("experimental.battery.health",          "Battery health",              _M, True),
    Sensor("experimental.battery.cycles",          "Battery cycles",              _TI, True),
    Sensor("ups.load",                             "Load",                        _M),
    Sensor("ups.realpower",                        "House power",                 _M),
    Sensor("ups.power",                            "Apparent power",              _M),
    Sensor("ups.temperature",                      "Temperature",                 _M),
    Sensor("input.realpower",                      "Grid power",                  _M),
    Sensor("input.voltage",                        "Grid voltage",                _M),
    Sensor("input.current",                        "Grid current",                _M),
    Sensor("input.frequency",                      "Grid frequency",              _M),
    Sensor("input.transfer.reason",                "Reason of the last transfer", diagnostic=True),
    *(
        sensor
        for line in _LINES
        for sensor in (
            Sensor(f"input.{line}-N.voltage",      f"Grid voltage {line}",        _M),
            Sensor(f"input.{line}.realpower",      f"Grid power {line}",          _M),
            Sensor(f"input.{line}.current",        f"Grid current {line}",        _M),
            Sensor(f"output.{line}-N.voltage",     f"House voltage {line}",       _M),
            Sensor(f"output.{line}.realpower",     f"House power {line}",         _M),
            Sensor(f"output.{line}.current",       f"House current {line}",       _M),
        )
    ),
    Sensor("output.voltage",                       "House voltage",               _M),
    Sensor("output.frequency",                     "House frequency",             _M),
    Sensor("experimental.pv.realpower",            "Solar power",                 _M),
    *(
        sensor
        for n in (1, 2)
        for sensor in (
            Sensor(f"experimental.pv.{n}.realpower", f"Solar power {n}",          _M),
            Sensor(f"experimental.pv.{n}.voltage",   f"Solar voltage {n}",        _M),
        )
    ),
    Sensor("experimental.inverter.realpower",      "Inverter power",              _M),
    Sensor("experimental.inverter.state",          "Inverter state",              diagnostic=True),
    Sensor("experimental.external.realpower",      "External power",              _M),
    Sensor("experimental.generator.realpower",     "Generator power",             _M),
    Sensor("experimental.reactivepower",           "Reactive power",              _M),
    Sensor("experimental.energy.load.total",       "House energy",                _TI),
    Sensor("experimental.energy.grid.import.total", "Energy from the grid",       _TI),
    Sensor("experimental.energy.grid.export.total", "Energy to the grid",         _TI),
    Sensor("experimental.energy.inverter.total",   "Inverter energy",             _TI),
    Sensor("experimental.energy.battery.in.total", "Energy into the battery",     _TI),
    Sensor("experimental.energy.battery.out.total", "Energy out of the battery",  _TI),
    Sensor("experimental.outage.detection",        "Outage detection",            diagnostic=True),
    Sensor("experimental.data.age",                "Age of the data",             _M, True),
    Sensor("experimental.token.days",              "Days left of the token",      _M, True),
)
"""One row per sensor; it is announced once its variable exists."""

BINARY_SENSORS: tuple[BinarySensor, ...] = (
    BinarySensor("grid",            "Grid",            "power",            "OL", "OB"),
    BinarySensor("low_battery",     "Low battery",     "battery",          "LB"),
    BinarySensor("replace_battery", "Replace battery", "problem",          "RB"),
    BinarySensor("charging",        "Charging",        "battery_charging", "CHRG"),
    BinarySensor("overload",        "Overload",        "problem",          "OVER"),
    BinarySensor("alarm",           "Device alarm",    "problem",          "ALARM"),
)
"""One row per binary sensor, all made of ``ups.status``. Home Assistant's classes: power on = there, battery on = low."""

_DEVICE = (
    ("manufacturer",  ("device.mfr", "ups.mfr")),
    ("model",         ("device.model", "ups.model")),
    ("sw_version",    ("ups.firmware",)),
    ("serial_number", ("device.serial", "ups.serial")),
)
# fmt: on

IDENTITY = frozenset(name for _, names in _DEVICE for name in names)
"""Variables whose text is in the messages; of the others it only counts that they are there."""

_UNKNOWN = "None"
"""What Home Assistant takes for "unknown"; it ignores an empty payload, and would go on showing the value before."""


def configs(place: Place, variables: Mapping[str, str]) -> dict[str, str]:
    """Return Home Assistant's discovery messages, topic and JSON, for the variables that exist; none without any status."""
    if not variables.get("ups.status"):
        return {}
    found = [
        _Entity("sensor", sensor.variable, sensor.name, sensor.variable, f"{{{{ value or '{_UNKNOWN}' }}}}", {
            "device_class": sensor.device_class, "unit_of_measurement": sensor.unit, "state_class": sensor.state_class,
            "entity_category": "diagnostic" if sensor.diagnostic else "",
        })
        for sensor in SENSORS if variables.get(sensor.variable)
    ]  # fmt: skip
    found += [
        _Entity("binary_sensor", row.key, row.name, "ups.status", _template(row), {"device_class": row.device_class})
        for row in BINARY_SENSORS
    ]
    shared = {
        "availability": [{"topic": availability(place.prefix)}, {"topic": availability(place.base)}],
        "availability_mode": "all",
        "device": _device(place, variables),
        "origin": _known({"name": "nutdrv_py", "sw_version": variables.get("driver.version.internal", "")}),
    }
    return dict(_message(place, entity, shared) for entity in found)


@dataclass(frozen=True, slots=True)
class _Entity:
    component: str
    key: str
    name: str
    variable: str
    template: str
    more: Mapping[str, str]


def _template(row: BinarySensor) -> str:
    off = f"'{row.off}' in value.split()" if row.off else "value"
    return f"{{{{ 'ON' if '{row.token}' in value.split() else 'OFF' if {off} else '{_UNKNOWN}' }}}}"


def _device(place: Place, variables: Mapping[str, str]) -> dict[str, object]:
    told = {key: next((text for name in names if (text := variables.get(name))), "") for key, names in _DEVICE}
    identifiers: Iterable[str] = (place.slug, told["serial_number"])
    return {"identifiers": [text for text in identifiers if text], "name": place.ups, **_known(told)}


def _known(texts: Mapping[str, str]) -> dict[str, str]:
    return {key: text for key, text in texts.items() if text}


def _message(place: Place, entity: _Entity, shared: Mapping[str, object]) -> tuple[str, str]:
    key = slug(entity.key)
    config = {
        "name": entity.name,
        "unique_id": f"{place.slug}_{key}",
        "default_entity_id": f"{entity.component}.{place.slug}_{key}".lower(),
        "state_topic": f"{place.base}/{entity.variable}",
        "value_template": entity.template,
        **_known(entity.more),
        **shared,
    }
    topic = f"{place.discovery}/{entity.component}/{place.slug}/{key}/config"
    return topic, json.dumps(config, ensure_ascii=False, separators=(",", ":"))
