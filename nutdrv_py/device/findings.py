# SPDX-License-Identifier: GPL-2.0-or-later
"""What was looked at, how it is, and what to type: the lines of ``nutdrv_py check``."""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = ["Finding", "Level", "failed", "ok", "warning"]


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
