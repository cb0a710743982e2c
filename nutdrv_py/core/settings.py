# SPDX-License-Identifier: GPL-2.0-or-later
"""What the driver was told, checked and typed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

from nutdrv_py.device.backend import Backend, Config, Option
from nutdrv_py.machine.paths import Paths

__all__ = ["Settings", "backend_options", "default"]

_FIXED = {   # fields of Settings, and what they are called in ups.conf
    "ups": "ups", "progname": "driver", "paths": "statepath", "user": "user", "group": "group", "synchronous": "synchronous",
    "backend": "backend", "exports": "config",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the driver was told, checked."""

    ups: str
    progname: str
    backend_name: str
    backend: type[Backend]
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

    def unchangeable(self, new: Settings) -> list[str]:
        """The options in which ``new`` differs and that a reload cannot change."""
        differing = [_FIXED[name] for name in _FIXED if getattr(self, name, None) != getattr(new, name, None)]
        for name, settled in backend_options(self.backend.Config).items():
            if not settled.reload and getattr(self.config, name) != getattr(new.config, name, None):
                differing.append(name)
        return differing


def backend_options(config: type[Config]) -> dict[str, Option]:
    """The options a backend declares, by name, the common ones first."""
    return {item.name: item.metadata["option"] for item in dataclasses.fields(config) if "option" in item.metadata}


def default(config: type[Config], name: str) -> object:
    """The default of a backend's option; :data:`dataclasses.MISSING` when it has none."""
    return next(item.default for item in dataclasses.fields(config) if item.name == name)
