# SPDX-License-Identifier: GPL-2.0-or-later
"""Is the house on the grid? The one decision that must be right. Pure: evidence and time come in.

``prim_sm.island_flag`` is a bit field that shows 2 on the grid (three independent devices); bit 0 is the island. A Power
Switch also measures the voltage on the grid's side of it; one that has never shown a voltage, not before a restart either,
measures nothing, and is ignored beside the flag. Either of them, in two polls one after the other, makes an outage; it ends
when all of them have shown the grid for a while. The inverter's state, the direction of power and silence are no sign.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Evidence", "GridWatch"]

ISLAND, KNOWN = 1, 3
"""Bits of ``prim_sm.island_flag``: the island, and all that were ever seen. With others in it the flag is ignored."""

DEAD = 0.8
"""Part of the nominal voltage below which a phase counts as dead; grid codes disconnect there."""

CONFIRMATIONS = 2
"""Polls that must show the outage, one after the other: an answer may be another one's, or damaged with a right CRC."""

RETURNED = 10.0
"""Seconds for which every source must show the grid before the outage is over."""

GONE = 300.0
"""Seconds after which a source that is no longer answered need not agree: it must not hold an outage up for ever."""

LASTING = 15.0
"""Seconds for which a source's last word for the grid counts while single answers of it are lost."""

SUSPICION = 30.0
"""Seconds, and three poll intervals, after which a first sign of an outage that nothing confirmed is forgotten."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one poll has brought; None is what was not answered in it.

    ``flag`` is the raw ``prim_sm.island_flag``. ``voltages`` are those of the grid's side of the Power Switch, in V, None
    unless there is one and all three are known; some of them, not all, may be from a moment ago. ``deaf``: the inverter does
    not hear the switch (fault 29).
    """

    flag: int | None = None
    voltages: tuple[float, float, float] | None = None
    deaf: bool = False

    def votes(self, nominal: float) -> dict[str, bool]:
        """Return for each source whether it shows an outage. ``nominal`` in V."""
        found: dict[str, bool] = {}
        if self.flag is not None and not self.flag & ~KNOWN:
            found["island_flag"] = bool(self.flag & ISLAND)
        if self.voltages is not None and not self.deaf:
            found["switch"] = all(volts < DEAD * nominal for volts in self.voltages)
        return found


class GridWatch:
    """Keeps the state of the grid from poll to poll."""

    def __init__(self) -> None:
        self.off_grid: bool | None = None
        """None until a poll has shown it."""
        self.votes: dict[str, bool] = {}
        """What the last poll's witnesses have shown: whether there is an outage, by source."""
        self.alive = False
        """Whether the grid's side of the Power Switch was ever seen with voltage."""
        self._flagged = False
        self._last: dict[str, tuple[bool, float]] = {}
        self._suspects: set[str] = set()
        self._polls = 0
        self._suspected_at = 0.0
        self._good_since: float | None = None

    @property
    def suspicious(self) -> bool:
        """Return whether an outage has been seen that is not confirmed yet."""
        return self._polls > 0 and self.off_grid is not True

    def forget_suspicion(self) -> None:
        """Forget an outage seen once before a new connection: it confirms nothing."""
        self._polls = 0
        self._suspects.clear()

    def update(
        self, evidence: Evidence, nominal: float, now: float, *, switch: bool | None = None, interval: float = 0.0
    ) -> bool:
        """Take in a poll; true when the state has changed. A poll without an answer changes nothing.

        ``switch`` False: there is none, so that it need not agree to the return of the grid; if there was one when the house
        was cut off, it is missed for :data:`GONE` seconds. ``interval`` is that of the polls, in seconds.
        """
        votes = self.votes = self._witnesses(evidence, nominal)
        for source, vote in votes.items():
            self._last[source] = vote, now
        if (switch is False or evidence.deaf) and not self.off_grid:
            self._last.pop("switch", None)
            self._suspects.discard("switch")
        if now - self._suspected_at > max(SUSPICION, 3 * interval):
            self.forget_suspicion()
        if not votes:
            return False
        before = self.off_grid
        self._suspects = {source for source in self._suspects | votes.keys() if votes.get(source, True)}
        if any(votes.values()):
            self._good_since = None
            self._polls += 1
            self._suspected_at = now
            if self._polls >= CONFIRMATIONS:
                self.off_grid = True
        elif not self._suspects:
            # Only the source that has shown the outage can take it back; another one may not see it.
            self._polls = 0
            if self.off_grid is None:
                self.off_grid = False
        if self.off_grid and before and not any(votes.values()):
            self._returning(now)
        return self.off_grid is not before

    def _witnesses(self, evidence: Evidence, nominal: float) -> dict[str, bool]:
        """Return the votes that count: a switch whose grid side was never seen alive shows no outage against the flag."""
        votes = evidence.votes(nominal)
        self._flagged = self._flagged or "island_flag" in votes
        self.alive = self.alive or votes.get("switch") is False
        if votes.get("switch") and self._flagged and not self.alive:
            del votes["switch"]
        return votes

    def _returning(self, now: float) -> None:
        needed = [(vote, now - at) for vote, at in self._last.values() if now - at < GONE]
        if any(vote or age > LASTING for vote, age in needed):
            self._good_since = None
            return
        self._good_since = self._good_since if self._good_since is not None else now
        if now - self._good_since >= RETURNED:
            self.off_grid = False
            self._good_since = None
            self.forget_suspicion()
