# SPDX-License-Identifier: GPL-2.0-or-later
"""What was looked at, how it is, and what to type: the lines of ``nutdrv_py check``."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

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
    """All is well."""
    return Finding(Level.OK, topic, text)


def warning(topic: str, text: str, advice: str) -> Finding:
    """It works, or may be meant so."""
    return Finding(Level.WARNING, topic, text, advice)


def failed(topic: str, text: str, advice: str) -> Finding:
    """It does not work, or will not when it is needed."""
    return Finding(Level.FAILED, topic, text, advice)


def low_mark(low: float, limit: float | None, margin: float, *, runtime: bool) -> Finding:
    """Whether LB leaves the servers time: it was set to begin at ``low``, at ``limit`` the device switches the house off.

    Both in percent of charge, the limit None when the device does not tell it; ``margin`` percentage points between them are
    enough. ``runtime`` tells that battery.runtime.low is set, which makes LB too.
    """
    shown = "is not told" if limit is None else f"is {limit:g} %"
    text = f"LB is set to begin at {low:g} % of charge, the device's own limit in an outage {shown}"
    stop = limit or 0.0
    wanted = min(99, math.ceil(stop + margin))
    advice = f"write lowbatt = {wanted} or more into its section in ups.conf, and no override.battery.charge.low"
    if low <= stop and not runtime:
        return failed("low", f"{text}: it comes just above that, maybe too late for the servers to stop", advice)
    if low <= stop:
        return warning("low", f"{text}: only battery.runtime.low makes LB in time", advice)
    if low < stop + margin:
        return warning("low", f"{text}: little is left for the servers to stop", advice)
    return ok("low", text)
