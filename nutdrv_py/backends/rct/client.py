# SPDX-License-Identifier: GPL-2.0-or-later
"""Questions on an inverter's serial line, which is shared: every client hears every answer.

Answers are matched by object, never by order, and those that others have asked for are taken as well. A request may be
lost when it meets another client's, so a few are under way at a time: they leave in one write, which is followed by a pause
of as many gaps, and what is not answered is asked again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nutdrv_py.backends.rct.connection import Connection
from nutdrv_py.clock import Clock
from nutdrv_py.errors import DeviceError
from nutdrv_py.protocols.rct.frame import read_request
from nutdrv_py.protocols.rct.objects import Object

__all__ = ["Line"]

GAP = 0.05
"""Seconds for each request, on average: clients that sent faster saw answers cut, slower than 0.1 would delay the grid."""

ANSWER = 1.0
"""Seconds to wait for an answer, which usually comes within 0.1."""

SILENCE = 3
"""Requests without an answer, while nothing else was heard either, after which the rest is not asked: the inverter is away."""


@dataclass(slots=True)
class _Asked:
    row: Object
    tries: int
    turn: int = 0
    """Place of the request in the order of all that were sent, from 1; 0 before it was sent."""
    until: float = 0.0
    """Time of the event loop until which the answer is waited for."""


class Line(Connection):
    """The line to the inverter at ``host``:``port``. ``window`` is how many requests may wait for their answers."""

    def __init__(self, host: str, port: int, clock: Clock, *, window: int) -> None:
        super().__init__(host, port, clock)
        self.gap: float | None = None
        """Seconds for each request if not :data:`GAP`: a recording that is played needs none."""
        self._window = window
        self._raw: dict[int, bool] = {}
        self._turns = 0
        self._free = 0.0
        """Time of the event loop from which on the next requests may leave."""
        self._open: set[int] = set()
        """The objects whose answers are waited for."""
        self._more = False
        """Whether more is to be asked."""

    async def ask(self, rows: Iterable[Object], *, tries: int, until: float | None = None, least: int = 0) -> dict[str, bool]:
        """Ask for objects, each up to ``tries`` times; return by name whether it was answered.

        An answer that was out of range counts. No request beyond the first ``least`` is begun that would be answered after
        ``until`` (time of the event loop) at the line's pace; what was not begun is not in the result. When nothing at all is
        heard, the rest is not asked. Raises :class:`DeviceError` when the connection ends.
        """
        loop = asyncio.get_running_loop()
        waiting = [_Asked(row, tries) for row in reversed(list(rows))]
        heard_before, window, late = self.answers, self._window, 0
        under_way: dict[int, _Asked] = {}
        result: dict[str, bool] = {}
        while waiting or under_way:
            now = loop.time()
            data: list[bytes] = []
            while waiting:
                if until is not None and (now >= until or now + self.pace * (len(under_way) + 1) > until):
                    new = [asked for asked in waiting if not asked.turn]
                    waiting = new[max(0, len(new) - least) :] + [asked for asked in waiting if asked.turn]
                if not waiting or len(under_way) >= window or now < self._free:
                    break
                asked = waiting.pop()
                least -= not asked.turn
                data += self._begin(asked, now)
                under_way[asked.row.oid] = asked
            if data:
                self._free = now + (GAP if self.gap is None else self.gap) * len(data)
                self._send(b"".join(data), len(data))
            if not under_way and not waiting:
                break
            await self._wait(under_way, [self._free] if waiting and self._free > now else [], more=bool(waiting))
            late += self._settle(under_way, waiting, result, loop.time())
            # An inverter that needs longer for an answer is not helped by more questions.
            window = max(1, self._window - late)
            if late >= SILENCE and self.answers == heard_before:
                return {asked.row.name: False for asked in (*waiting, *under_way.values()) if asked.turn} | result
        return result

    def _begin(self, asked: _Asked, now: float) -> list[bytes]:
        """Return the request, or none if the answer to the one before has come late."""
        oid = asked.row.oid
        asked.until = now + max(ANSWER, 2 * self.pace)
        if asked.turn and self._heard.answered.get(oid):
            return []
        if not asked.turn:
            self._heard.pace.asked(oid, now)
        self._heard.answered.pop(oid, None)
        self._turns += 1
        asked.turn = self._turns
        return [read_request(oid, raw_crc=self._raw.get(oid, False))]

    async def _wait(self, under_way: Mapping[int, _Asked], pause: list[float], *, more: bool) -> None:
        """Wait for the answers; with ``more`` to be asked, for one after ``pause``, the time at which that is possible."""
        self._open, self._more = under_way.keys() - self._heard.answered.keys(), more
        if self._open or pause:
            loop = asyncio.get_running_loop()
            self._news = loop.create_future()
            timer = loop.call_at(min([asked.until for asked in under_way.values()] + pause), self._notify)
            try:
                await self._news
            finally:
                timer.cancel()
                self._news = None
        if self._transport is None:
            raise DeviceError(self._ended or "there is no connection to the inverter")

    def _is_awaited(self) -> bool:
        """Return whether the task that asks can go on: until the next request may leave, it waits for the last answer only."""
        self._open -= self._heard.answered.keys()
        return asyncio.get_running_loop().time() >= self._free if self._more else not self._open

    def _settle(self, under_way: dict[int, _Asked], waiting: list[_Asked], result: dict[str, bool], now: float) -> int:
        """Put away what was answered; what was not is asked again, or given up. Return how many ran out of time."""
        late, turn = 0, self._heard.pace.served + max(ANSWER, 2 * self.pace)
        for oid, asked in list(under_way.items()):
            heard = self._heard.answered.get(oid)
            if heard:
                del under_way[oid]
                result[asked.row.name] = True
                for later in under_way.values():
                    if later.turn >= asked.turn:
                        # It is one serial line: what was asked after this one has its turn only then.
                        later.until = max(later.until, turn)
            elif heard is False or now >= asked.until:
                del under_way[oid]
                asked.tries -= 1
                late += heard is None
                # A few requests have a start byte or an escape in their CRC, and firmware may want it unescaped.
                self._raw[oid] = not self._raw.get(oid, False) and read_request(oid) != read_request(oid, raw_crc=True)
                if asked.tries > 0:
                    waiting.append(asked)
                else:
                    self.counts.lost += 1
                    result[asked.row.name] = False
        return late
