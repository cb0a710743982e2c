# SPDX-License-Identifier: GPL-2.0-or-later
"""Is the house on the grid? The one decision that must be right. Pure: evidence and time come in.

``prim_sm.island_flag`` is a bit field that shows 2 on the grid (three independent devices); bit 0 is the island. A Power
Switch also measures the voltage on the grid's side of it. Either of them, in two polls one after the other, makes an outage;
it ends when all of them have said so for a while. The inverter's state, the direction of power and silence say nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Evidence", "GridWatch"]

ISLAND = 1
"""Bit of ``prim_sm.island_flag``."""

DEAD = 0.8
"""Part of the nominal voltage below which a phase counts as dead; grid codes disconnect there."""

CONFIRMATIONS = 2
"""Polls that must show the outage, one after the other: an answer may be another one's, or damaged with a right CRC."""

RETURNED = 10.0
"""Seconds for which every source must show the grid before the outage is over."""

GONE = 300.0
"""Seconds after which a source that is no longer answered need not agree: it must not hold an outage up for ever."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one poll has brought; None is what was not answered in it.

    ``flag`` is the raw ``prim_sm.island_flag``. ``voltages`` are those of the grid's side of the Power Switch, in V, None
    unless there is one and all three were answered. ``deaf``: the inverter does not hear the switch (fault 29).
    """

    flag: int | None = None
    voltages: tuple[float, float, float] | None = None
    deaf: bool = False

    def votes(self, nominal: float) -> dict[str, bool]:
        """Source by source: whether it shows an outage. ``nominal`` in V."""
        found: dict[str, bool] = {}
        if self.flag is not None:
            found["island_flag"] = bool(self.flag & ISLAND)
        if self.voltages is not None and not self.deaf:
            found["switch"] = all(volts < DEAD * nominal for volts in self.voltages)
        return found


class GridWatch:
    """Keeps the state of the grid from poll to poll."""

    def __init__(self) -> None:
        self.off_grid: bool | None = None
        """None until a poll has told it."""
        self._seen: dict[str, float] = {}
        self._suspect = 0
        self._good_since: float | None = None

    @property
    def suspicious(self) -> bool:
        """Whether the last evidence showed an outage that is not confirmed yet."""
        return self._suspect > 0 and self.off_grid is not True

    def update(self, evidence: Evidence, nominal: float, now: float, *, switch: bool | None = None) -> bool:
        """Take in a poll; true when the state has changed. A poll that tells nothing changes nothing.

        ``switch`` False: there is none (any more), so that it need not agree to the return of the grid.
        """
        votes = evidence.votes(nominal)
        self._seen.update(dict.fromkeys(votes, now))
        if switch is False or evidence.deaf:
            self._seen.pop("switch", None)
        if not votes:
            self._good_since = None
            return False
        before = self.off_grid
        if any(votes.values()):
            self._good_since = None
            self._suspect += 1
            if self._suspect >= CONFIRMATIONS:
                self.off_grid = True
        else:
            self._suspect = 0
            if self.off_grid is None:
                self.off_grid = False
            elif self.off_grid:
                self._returning(votes, now)
        return self.off_grid is not before

    def _returning(self, votes: dict[str, bool], now: float) -> None:
        if any(now - at < GONE for source, at in self._seen.items() if source not in votes):
            self._good_since = None
            return
        self._good_since = self._good_since if self._good_since is not None else now
        if now - self._good_since >= RETURNED:
            self.off_grid = False
            self._good_since = None
