# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a recording is: the poll that is played, its time, and what was answered when.

The real backend is asked to poll once for each recorded poll, and gets the answers of that poll in their order. Its clock is
the recording's, moved by the answers, so that whatever it does by time it does as it did.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from nutdrv_py.clock import Clock
from nutdrv_py.recording.file import Poll, Recording

__all__ = ["Cue", "PlayedClock", "Stage", "Tracks"]

STEP = 0.01
"""Seconds by which an answer that is given once more moves the time: a backend that waits by its clock must not wait for ever."""

START = 1000.0
"""What the recording's clock shows at its beginning: a backend may take 0 for never."""

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Cue(Generic[Item]):
    """Something that was asked at one time and had come to an end at another, in seconds since the beginning."""

    asked: float
    done: float
    item: Item


class Stage:
    """The time of the recording and the poll that is played, 0 being the first."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.now = 0.0
        self.index = -1

    @property
    def poll(self) -> Poll:
        """Return the poll that is played."""
        return self.recording.polls[self.index]

    @property
    def since(self) -> float:
        """Return the end of the poll before."""
        return self.recording.polls[self.index - 1].ended if self.index > 0 else float("-inf")

    @property
    def following(self) -> Poll | None:
        """Return the next one; None at the end."""
        polls = self.recording.polls
        return polls[self.index + 1] if self.index + 1 < len(polls) else None

    def next(self) -> None:
        """Go on to the next poll."""
        self.index += 1
        self.move(self.poll.begun)

    def move(self, at: float) -> None:
        """Move the time to this one, unless it is later already."""
        self.now = max(self.now, at)


class PlayedClock(Clock):
    """The clock of the recording."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def monotonic(self) -> float:
        """Return the seconds since some time before the beginning."""
        return START + self._stage.now

    def wall(self) -> float:
        """Return the time of day at which it was recorded."""
        return self._stage.recording.began + self._stage.now

    async def sleep(self, seconds: float) -> None:
        """Wait in the recording's time alone."""
        self._stage.move(self._stage.now + seconds)


class Tracks(Generic[Item]):
    """What was answered to each question, by time. ``cues`` of one question are in the order in which it was asked."""

    def __init__(self, stage: Stage, cues: Mapping[str, Sequence[Cue[Item]]]) -> None:
        self._stage = stage
        self._cues = cues
        self._times = {name: [cue.asked for cue in found] for name, found in cues.items()}
        self._next = dict.fromkeys(cues, 0)

    def ask(self, name: str) -> Cue[Item] | None:
        """Return the answer for now; None for what was never asked.

        Each answer of the present poll is given once, in its order; then the newest again. What was asked only later is
        answered with the first there is: a newer version of the backend may ask in another order.
        """
        cues = self._cues.get(name)
        if not cues:
            return None
        poll = self._stage.poll
        first = bisect.bisect_right(self._times[name], self._stage.since)
        behind = bisect.bisect_right(self._times[name], poll.ended)
        index = max(self._next[name], first)
        if index < behind:
            self._next[name] = index + 1
            self._stage.move(min(cues[index].done, poll.ended))
        else:
            index = max(0, behind - 1)
            self._stage.move(self._stage.now + STEP)
        return cues[index]

    def exhausted(self, name: str) -> bool:
        """Return whether there is nothing more to come for this question in the present poll."""
        times = self._times.get(name, [])
        behind = bisect.bisect_right(times, self._stage.poll.ended)
        return max(self._next.get(name, 0), bisect.bisect_right(times, self._stage.since)) >= behind
