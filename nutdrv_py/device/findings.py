# SPDX-License-Identifier: GPL-2.0-or-later
"""What was looked at, how it is, and what to type: the lines of ``nutdrv_py check``."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nutdrv_py.device.mapping import to_number

if TYPE_CHECKING:
    from nutdrv_py.device.backend import Config

__all__ = ["Finding", "Level", "failed", "low_mark", "ok", "warning"]


class Level(enum.Enum):
    """How bad it is. A warning may be meant so; with a failure a server is not shut down in time, or for nothing."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. ``advice`` is what to type or to change; empty when all is well. No secrets in any of it."""

    level: Level
    topic: str
    text: str
    advice: str = ""


def ok(topic: str, text: str) -> Finding:
    """Return a finding that all is well."""
    return Finding(Level.OK, topic, text)


def warning(topic: str, text: str, advice: str) -> Finding:
    """Return a finding about what works, or may be meant so."""
    return Finding(Level.WARNING, topic, text, advice)


def failed(topic: str, text: str, advice: str) -> Finding:
    """Return a finding about what does not work, or will not when it is needed."""
    return Finding(Level.FAILED, topic, text, advice)


def low_mark(config: Config, device: float, cutoff: float | None, margin: float) -> Finding:
    """Report whether LB leaves the servers time: ``device`` is its mark when no other is set, at ``cutoff`` the house goes dark.

    Both in percent of charge, ``cutoff`` None when the device does not report it; ``margin`` percentage points between them are
    enough. What upsrw has set in a running driver is not looked at.
    """

    def wished(name: str) -> float | None:
        firm, default = to_number(config.overrides.get(name)), to_number(config.defaults.get(name))
        return firm if firm is not None else default

    wishes = (to_number(config.overrides.get("battery.charge.low")), config.lowbatt, wished("battery.charge.low"))
    low = next((wish for wish in wishes if wish is not None), device)
    runtime = wished("battery.runtime.low") is not None
    shown = "is not reported" if cutoff is None else f"is {cutoff:g} %"
    text = f"LB is set to begin at {low:g} % of charge, the device's own limit in an outage {shown}"
    stop = cutoff or 0.0
    wanted = min(99, math.ceil(stop + margin))
    advice = f"write lowbatt = {wanted} or more into its section in ups.conf, and no override.battery.charge.low"
    if low <= stop and not runtime:
        return failed("low", f"{text}: it comes just above that, maybe too late for the servers to stop", advice)
    if low <= stop:
        return warning("low", f"{text}: only battery.runtime.low makes LB in time", advice)
    if low < stop + margin:
        return warning("low", f"{text}: little is left for the servers to stop", advice)
    return ok("low", text)
