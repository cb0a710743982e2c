# SPDX-License-Identifier: GPL-2.0-or-later
"""Everything that a backend outside of this package needs, in one place. docs/stability.md says what is promised of it.

A backend subclasses :class:`Backend` (it asks its device) or :class:`PushBackend` (its device sends by itself), with a
:class:`Config` for its options. ``poll`` returns a :class:`Reading`, or raises :class:`DeviceError` with a sentence.
docs/writing-a-backend.md explains each name, ``drivers/skeleton.py`` shows them at work.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from nutdrv_py.clock import Clock
from nutdrv_py.device.backend import Answers, Backend, Config, Writable, option
from nutdrv_py.device.credentials import read_credentials
from nutdrv_py.device.findings import Finding, Level, failed, low_mark, ok, warning
from nutdrv_py.device.house import Believed, HouseBattery
from nutdrv_py.device.mapping import (
    Converter,
    Field,
    between,
    find,
    integer,
    lookup,
    number,
    scaled,
    text,
    to_number,
    translate,
)
from nutdrv_py.device.push import PushBackend
from nutdrv_py.device.reading import Decline, Reading, Status, Value
from nutdrv_py.device.storage import ChargeFilter, Charger, Smoothed, charger_status, runtime
from nutdrv_py.device.tools import Demo, Found, Recorded, Search, Simulation, Simulator, Tape, Tools
from nutdrv_py.device.trust import Band, Drain, Standstill, Steady, most_power
from nutdrv_py.errors import (
    AuthError,
    CommandError,
    ConfigError,
    DeviceError,
    NutdrvError,
    ProtocolError,
    Result,
    StaleError,
)
from nutdrv_py.log import Trouble, hide, log

if TYPE_CHECKING:
    from nutdrv_py.protocols.web import Refused as LoginWanted
    from nutdrv_py.protocols.web import Web as WebClient

__all__ = [
    "API_VERSION", "Answers", "AuthError", "Backend", "Band", "Believed", "ChargeFilter", "Charger", "Clock", "CommandError",
    "Config", "ConfigError", "Converter", "Decline", "Demo", "DeviceError", "Drain", "Field", "Finding", "Found",
    "HouseBattery", "Level", "LoginWanted", "NutdrvError", "ProtocolError", "PushBackend", "Reading", "Recorded", "Result",
    "Search", "Simulation", "Simulator", "Smoothed", "StaleError", "Standstill", "Status", "Steady", "Tape", "Tools",
    "Trouble", "Value", "WebClient", "Writable", "between", "charger_status", "failed", "find", "hide", "integer", "log",
    "lookup", "low_mark", "most_power", "number", "ok", "option", "read_credentials", "runtime", "scaled", "text",
    "to_number", "translate", "warning",
]  # fmt: skip

API_VERSION = 1
"""Version that is raised when a name goes or changes its meaning; an addition leaves it."""

# Imported when used: httpx takes longer to load than the rest of a driver.
_LATER = {"WebClient": ("nutdrv_py.protocols.web", "Web"), "LoginWanted": ("nutdrv_py.protocols.web", "Refused")}


def __getattr__(name: str) -> object:
    if name in _LATER:
        module, member = _LATER[name]
        return getattr(importlib.import_module(module), member)
    raise AttributeError(f"nutdrv_py.api has no {name!r}; docs/stability.md lists what it has")
