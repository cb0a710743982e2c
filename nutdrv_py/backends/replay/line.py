# SPDX-License-Identifier: GPL-2.0-or-later
"""The RCT backend on a recording: its line answers with the frames that were heard."""

from __future__ import annotations

import asyncio
import bisect
import dataclasses
from collections.abc import Mapping

from nutdrv_py.backends.rct import Rct
from nutdrv_py.backends.rct.client import Line
from nutdrv_py.backends.rct.config import RctConfig
from nutdrv_py.backends.replay.stage import Cue, PlayedClock, Stage, Tracks
from nutdrv_py.device.backend import Config
from nutdrv_py.device.reading import Reading
from nutdrv_py.errors import DeviceError
from nutdrv_py.protocols.rct.frame import Command
from nutdrv_py.protocols.rct.objects import BY_NAME, BY_OID, Group
from nutdrv_py.protocols.rct.reader import FrameReader
from nutdrv_py.recording.inverter import Bytes, LineState

__all__ = ["PlayedRct", "config_of"]

HOST, PORT = "recording.invalid", 8899
"""Nothing is asked there; the name is reserved for that (RFC 6761)."""

ISLAND = f"{BY_NAME['prim_sm.island_flag'].oid:08X}"
"""What each look at the grid asks first."""


def config_of(options: Mapping[str, int | float | bool], own: Config) -> RctConfig:
    """Return the options with which it was recorded; those of the section that plays it where they are about the UPS."""
    fields = {item.name for item in dataclasses.fields(RctConfig)}
    known = {name: value for name, value in options.items() if name in fields}
    config = RctConfig(**{"port": f"{HOST}:{PORT}", **known})  # type: ignore[arg-type]
    return dataclasses.replace(config, ups=own.ups, overrides=own.overrides, defaults=own.defaults)


class PlayedRct(Rct):
    """The backend that plays the recording of ``stage``."""

    def __init__(self, config: RctConfig, stage: Stage) -> None:
        clock = PlayedClock(stage)
        super().__init__(config, clock)
        self.line: _Line = _Line(clock, stage, window=config.window)

    async def poll(self) -> Reading:
        """Poll as the inverter's backend, once or, where the recorded poll took more than one look at the grid, until all was
        looked at."""
        self.line.begin()
        reading = await super().poll()
        while self.line.unseen:
            self.publish(reading)
            reading = await super().poll()
        return reading


class _Nowhere(asyncio.Transport):
    """What the line takes for its connection."""

    def abort(self) -> None:
        pass


class _Line(Line):
    """Answers each request with what was answered to it, or at once with nothing where nothing was."""

    def __init__(self, clock: PlayedClock, stage: Stage, *, window: int) -> None:
        super().__init__(HOST, PORT, clock, window=window)
        self.gap = 0.0
        self._stage = stage
        self._requests = FrameReader()
        self._tracks = Tracks(stage, _cues(stage))
        heard = [event for event in stage.recording.events if isinstance(event, Bytes) and not event.sent]
        self._heard_at = [event.at for event in heard]
        self._slower = list(filter(_slower, heard))
        self._times = [event.at for event in self._slower]
        self._states = [event for event in stage.recording.events if isinstance(event, LineState)]
        self._state = 0

    async def open(self) -> None:
        """Connect as recorded: made, or failed."""
        state = self._next_state()
        if state is not None:
            self._state += 1
        elif self._state:
            state = self._states[self._state - 1]
        if state is not None and state.state != "open":
            raise DeviceError("the inverter could not be reached when this was recorded")
        self._transport, self._ended = _Nowhere(), None
        self._reader.reset()
        self._heard.at = None
        self.opened = self._clock.monotonic()
        self.counts.connections += 1
        self._overhear()

    def begin(self) -> None:
        """Begin a poll: a connection that was lost since the last one is lost now; else its answers are on the line."""
        while (state := self._next_state()) is not None and state.state == "lost" and state.at <= self._stage.poll.begun:
            self._lose()
        if self._transport is not None:
            self._overhear()

    @property
    def unseen(self) -> bool:
        """Return whether the recorded poll has looked at the grid more often than we have."""
        return self.opened is not None and not self._tracks.exhausted(ISLAND)

    @property
    def _talks(self) -> bool:
        """Return whether anything was heard in this poll; if not, nothing is to be had from other ones."""
        return bool(self._now(self._heard_at))

    def _now(self, times: list[float]) -> range:
        """Return which of the times are in this poll, or after the one before."""
        return range(bisect.bisect_right(times, self._stage.since), bisect.bisect_right(times, self._stage.poll.ended))

    def _overhear(self) -> None:
        """Take in what this poll has heard of all but the grid: asked or not, an answer counts, and so the values agree."""
        for index in self._now(self._times):
            self._take(self._slower[index].data)

    def _next_state(self) -> LineState | None:
        """Return what happens next to the connection, if it is in this poll or was before it."""
        if self._state < len(self._states) and self._states[self._state].at <= self._stage.poll.ended:
            return self._states[self._state]
        return None

    def _lose(self) -> None:
        self._state += 1
        self.dropped(self._protocol, None)  # type: ignore[arg-type]

    def _send(self, data: bytes, frames: int = 1) -> None:
        if self._transport is None:
            raise DeviceError(self._ended or "there is no connection to the inverter")
        self.counts.bytes_sent += len(data)
        self.counts.frames_sent += frames
        loop = asyncio.get_running_loop()
        for frame in [*self._requests.feed(data), *self._requests.flush()]:
            if frame.command is Command.READ:
                loop.call_soon(self._answer, frame.oid)

    def _answer(self, oid: int) -> None:
        if self._transport is None:
            return
        name = f"{oid:08X}"
        state = self._next_state()
        if state is not None and state.state == "lost" and self._tracks.exhausted(name):
            self._lose()
            return
        cue = self._tracks.ask(name) if self._talks else None
        if cue is not None and cue.item:
            self.counts.bytes_received += len(cue.item)
            self._take(cue.item)
        else:
            self._heard.answered[oid] = False
            if self._is_awaited():
                self._notify()


def _slower(event: Bytes) -> bool:
    """Return whether it is the answer of an object that is not about the grid: that one is judged look by look."""
    reader = FrameReader()
    frames = [*reader.feed(event.data), *reader.flush()]
    return bool(frames) and frames[0].oid in BY_OID and BY_OID[frames[0].oid].group is not Group.GRID


def _cues(stage: Stage) -> dict[str, list[Cue[bytes]]]:
    """Return the answers by object; an empty one where a request was not answered before it was made again."""
    cues: dict[str, list[Cue[bytes]]] = {}
    waiting: set[str] = set()
    reader = FrameReader()
    for event in stage.recording.events:
        if not isinstance(event, Bytes):
            continue
        for frame in [*reader.feed(event.data), *reader.flush()]:
            name = f"{frame.oid:08X}"
            found = cues.setdefault(name, [])
            if event.sent and frame.command is Command.READ:
                found.append(Cue(event.at, event.at, b""))
                waiting.add(name)
            elif frame.command is Command.RESPONSE and name in waiting:
                waiting.discard(name)
                found[-1] = Cue(found[-1].asked, event.at, event.data)
            elif frame.command is Command.RESPONSE:
                found.append(Cue(event.at, event.at, event.data))
    return cues
