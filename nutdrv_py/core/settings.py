# SPDX-License-Identifier: GPL-2.0-or-later
"""The driver's settings, checked and typed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nutdrv_py.core.events import Limits
from nutdrv_py.core.lowbattery import CHARGE, RUNTIME, Wish, Wishes
from nutdrv_py.device.backend import Backend, Config, Option
from nutdrv_py.device.mapping import to_number
from nutdrv_py.machine.paths import Paths

__all__ = ["Settings", "backend_options", "default"]

_FIXED = {   # fields of Settings, and what they are called in ups.conf
    "ups": "ups", "progname": "driver", "paths": "statepath", "user": "user", "group": "group", "synchronous": "synchronous",
    "backend": "backend", "exports": "config",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of the driver, checked."""

    ups: str
    progname: str
    backend_name: str
    backend: type[Backend[Any]]
    config: Config
    paths: Paths
    user: str | None = None
    group: str | None = None
    synchronous: str = "auto"
    debug_min: int = 0
    ignorelb: bool = False
    allow_killpower: bool = False
    sdcommands: tuple[str, ...] = ()
    defaults: Mapping[str, str] = field(default_factory=dict)
    overrides: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    """``driver.parameter.*`` and ``driver.flag.*`` as they are published; nothing sensitive."""
    notes: tuple[str, ...] = ()
    """Sentences to log once: values raised to their minimum, lines ignored."""

    @property
    def limits(self) -> Limits:
        """Return the times that decide how long a reading is served."""
        return Limits(float(self.config.pollinterval), float(self.config.maxage), float(self.config.looks))

    def wishes(self, written: Mapping[str, float], *, says_low: bool) -> Wishes:
        """Return what was set for LB; ``written`` is what upsrw has set, by variable."""

        def wish(name: str, option: float | None) -> Wish:
            firm = (to_number(self.overrides.get(name)), option, written.get(name))
            return Wish(next((value for value in firm if value is not None), None), to_number(self.defaults.get(name)))

        return Wishes(wish(f"{CHARGE}.low", self.config.lowbatt), wish(f"{RUNTIME}.low", None), self.ignorelb, says_low)

    @property
    def fixed_marks(self) -> frozenset[str]:
        """Return the low marks that ups.conf fixes, so that upsrw cannot set them."""
        return frozenset(self.overrides) | (frozenset({f"{CHARGE}.low"}) if self.config.lowbatt is not None else frozenset())

    @property
    def secrets(self) -> tuple[object, ...]:
        """Return the values of the sensitive options."""
        options = backend_options(type(self.config)).items()
        return tuple(getattr(self.config, name) for name, option in options if option.sensitive)

    def unchangeable(self, new: Settings) -> list[str]:
        """Return the options in which ``new`` differs and that a reload cannot change."""
        differing = [_FIXED[name] for name in _FIXED if getattr(self, name, None) != getattr(new, name, None)]
        for name, settled in backend_options(self.backend.Config).items():
            if not settled.reload and getattr(self.config, name) != getattr(new.config, name, None):
                differing.append(name)
        return differing


def backend_options(config: type[Config]) -> dict[str, Option]:
    """Return the options a backend declares, by name, the common ones first."""
    return {item.name: item.metadata["option"] for item in dataclasses.fields(config) if "option" in item.metadata}


def default(config: type[Config], name: str) -> object:
    """Return the default of a backend's option; :data:`dataclasses.MISSING` when it has none."""
    return next(item.default for item in dataclasses.fields(config) if item.name == name)
