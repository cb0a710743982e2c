# SPDX-License-Identifier: GPL-2.0-or-later
"""upsmon's judgement of one UPS as pure values, release by release.

Source: clients/upsmon.c of each release (parse_status, is_ups_critical, recalc), and what the real programs did in
docs/upsmon.md's experiments. ALARMCRITICAL is 1, its default; OVERDURATION is set, because it adds a token.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["RELEASES", "Monitor", "Release"]

OFFDURATION = 3.0
"""Here; 30 by default."""
KNOWN = frozenset({"OL", "OB", "LB", "CAL", "ALARM", "OFF", "BYPASS", "OVER", "FSD"})


@dataclass(frozen=True, slots=True)
class Release:
    """What differs: the tokens that are critical at once when the UPS falls silent, and three habits."""

    name: str
    against_silence: frozenset[str]
    keeps_cal: bool = False
    """CAL, once seen, is never forgotten, and OB LB is then never critical."""
    waits: bool = True
    """Whether silence on battery has to last for DEADTIME."""


RELEASES = (
    Release("2.8.0", frozenset(), keeps_cal=True),
    Release("2.8.1", frozenset({"CAL", "OFF", "BYPASS"}), keeps_cal=True, waits=False),
    Release("2.8.2", frozenset({"CAL", "OFF", "BYPASS"}), waits=False),
    Release("2.8.3 to 2.8.5, OVERDURATION 0", frozenset({"CAL", "OFF", "BYPASS", "ALARM", "OVER"})),
)


@dataclass(frozen=True, slots=True)
class Monitor:
    """What upsmon remembers of the UPS: its flags, and how long ago it was answered and first saw OFF."""

    flags: frozenset[str] = frozenset()
    silent: float = 0.0
    off: float | None = None

    def later(self, seconds: float) -> Monitor:
        """Time passes without a look."""
        return Monitor(self.flags, self.silent + seconds, None if self.off is None else self.off + seconds)

    def look(self, answer: frozenset[str] | None, release: Release, deadtime: float) -> tuple[Monitor, bool]:
        """Look once: the tokens of ups.status, None for no answer. Returns what is remembered, and whether it is critical."""
        if answer is None:
            flags = self.flags
            if flags & release.against_silence:
                return self, True
            if "OB" in flags and (not release.waits or self.silent > deadtime):
                return self, True
            return self, "FSD" in flags
        flags = answer & KNOWN
        if not answer & {"OL", "OB"}:
            flags |= self.flags & {"OB"}
        if release.keeps_cal:
            flags |= self.flags & {"CAL"}
        off = (self.off or 0.0) if "OFF" in answer and "OFF" in release.against_silence else None
        monitor = Monitor(flags, 0.0, off)
        low = {"OB", "LB"} <= flags and "CAL" not in flags
        unpowered = off is not None and off > OFFDURATION
        return monitor, low or unpowered or "FSD" in flags
