# SPDX-License-Identifier: GPL-2.0-or-later
"""What was seen of a backend and its driver while a story was played."""

from __future__ import annotations

from dataclasses import dataclass, field

from nutdrv_py.device.reading import Reading, Status

__all__ = ["Moment", "Noted", "Poll"]


@dataclass(frozen=True, slots=True)
class Moment:
    """What upsd is given from ``at`` on."""

    at: float
    status: Status
    stale: bool
    words: str
    values: dict[str, str]


@dataclass(slots=True)
class Poll:
    """A call of ``poll`` or ``__aenter__``: when it began, what came of it, and the longest block of the event loop."""

    began: float
    reading: Reading | None = None
    error: BaseException | None = None
    blocked: float = 0.0


@dataclass(slots=True)
class Noted:
    """What was seen besides readings."""

    wrong_threads: set[str] = field(default_factory=set)
    hung: int = 0
    early: list[Reading] = field(default_factory=list)
