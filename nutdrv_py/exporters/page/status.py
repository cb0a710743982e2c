# SPDX-License-Identifier: GPL-2.0-or-later
"""One UPS in /status.json. docs/page.md describes each field; scripts read them, so their names stay."""

from __future__ import annotations

from nutdrv_py.core.telemetry import View
from nutdrv_py.device.storage import battery_flow, flow
from nutdrv_py.exporters.history import state

__all__ = ["NUMBERS", "POWERS", "TEXTS", "status"]

# fmt: off
NUMBERS = (
    ("charge",     "battery.charge"),
    ("charge_low", "battery.charge.low"),
    ("runtime",    "battery.runtime"),
    ("load",       "ups.load"),
)
"""Field and variable. Percent, percent, s, percent."""

POWERS = (
    ("grid",    "input.realpower"),
    ("pv",      "experimental.pv.realpower"),
    ("battery", "experimental.storage.realpower"),
    ("house",   "ups.realpower"),
)
"""Field of ``power`` and variable, W: grid + = import, battery + = discharging. Both kinds of house batteries serve all four."""

TEXTS = (
    ("reason",           "input.transfer.reason"),
    ("outage_detection", "experimental.outage.detection"),
)
"""Field and variable."""
# fmt: on

_PRIVATE = "driver.parameter."
"""Prefix of the options in ups.conf, passwords included."""


def status(view: View) -> dict[str, object]:
    """Return the fields of one UPS; what the device does not report is absent. While stale nothing of the device is left."""
    variables, numbers = view.texts, view.numbers
    shown = {field: numbers[name] for field, name in NUMBERS if name in numbers}
    powers = {field: numbers[name] for field, name in POWERS if name in numbers}
    flows = {field: flow(watts) for field, watts in powers.items()}
    if "battery" in powers:
        flows["battery"] = battery_flow(powers["battery"], view.status, variables.get("battery.charger.status"))
    texts = {field: variables[name] for field, name in TEXTS if name in variables}
    return {
        "name": view.ups,
        "backend": view.backend,
        "state": state(view).name.lower(),
        "stale": view.stale,
        "at": None if view.at is None else round(view.at, 1),
        "age": None if view.age is None else round(view.age, 1),
        "status": str(view.status).split(),
        "alarms": list(view.alarms),
        **({} if view.stale else {**shown, "power": powers, "flow": flows, **texts}),
        "variables": {name: value for name, value in sorted(variables.items()) if not name.startswith(_PRIVATE)},
    }
