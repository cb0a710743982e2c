# SPDX-License-Identifier: GPL-2.0-or-later
"""The optional Python packages, and how to install one: that depends on how nutdrv_py was installed."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType

from nutdrv_py.errors import ConfigError
from nutdrv_py.machine.installed import packaged

__all__ = ["EXTRAS", "Extra", "how_to_get", "load"]


@dataclass(frozen=True, slots=True)
class Extra:
    """A package that only some functions need."""

    module: str
    """What is imported."""
    package: str
    """Its name on PyPI."""
    debian: str = ""
    """Its name in Debian; empty when no release has it."""
    since: tuple[int, int] = (3, 11)
    """The Python of the first release of Debian that has it."""
    fedora: bool = False
    """Whether Fedora has it, under the name ``python3dist(package)`` that its packages carry."""
    backport: str = ""
    """What it takes from Python's library up to 3.12 and from this package after that."""


# fmt: off
EXTRAS: Mapping[str, Extra] = {
    "prometheus": Extra("prometheus_client", "prometheus-client", "python3-prometheus-client", fedora=True),
    "mqtt":       Extra("paho.mqtt.client",  "paho-mqtt",         "python3-paho-mqtt",         fedora=True),
    "modbus":     Extra("pymodbus.client",   "pymodbus",          "python3-pymodbus",          since=(3, 13)),
    "discover":   Extra("zeroconf",          "zeroconf",          "python3-zeroconf",          fedora=True),
    "client":     Extra("pynut2.nut2",       "pynut2",            backport="standard-telnetlib"),
}
# fmt: on
"""The extras by their names in setup.cfg. The names in Debian are those of bookworm, trixie and forky; Fedora's were not
tried."""


def how_to_get(name: str) -> str:
    """Return what to type to have an extra of setup.cfg, for the distribution's package and for pip: ``type: ...``."""
    extra = EXTRAS[name]
    manager = packaged()
    backport = f" {extra.backport}" if extra.backport and sys.version_info >= (3, 13) else ""
    if manager == "debian":
        if extra.debian and sys.version_info >= extra.since:
            return f"type: apt install {extra.debian}"
        # Debian's pip refuses to install beside the system's packages without that option; it puts them into /usr/local.
        return f"type: apt install python3-pip && pip install --break-system-packages {extra.package}{backport}"
    if manager == "rpm":
        if extra.fedora:
            return f"type: dnf install 'python3dist({extra.package})'"
        return f"type: pip install {extra.package}{backport}"
    return f"type: pip install 'nutdrv_py[{name}]'"


def load(name: str, who: str, module: str = "") -> ModuleType:
    """Return a module of an extra of setup.cfg, its main one by default.

    Raises :class:`ConfigError` when it is not there, with what needs it (``who``) and what to type.
    """
    extra = EXTRAS[name]
    try:
        return importlib.import_module(module or extra.module)
    except ImportError:
        raise ConfigError(f"{who} needs the Python package {extra.package}; {how_to_get(name)}") from None
