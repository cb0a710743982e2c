# SPDX-License-Identifier: GPL-2.0-or-later
"""The line to the inverter: what leaves when, what is lost, and somebody who floods it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable

import pytest

from nutdrv_py.backends.rct.client import Line
from nutdrv_py.backends.rct.connection import TURN
from nutdrv_py.clock import Clock
from nutdrv_py.protocols.rct.frame import Command, build
from nutdrv_py.protocols.rct.objects import BY_NAME, OBJECTS
from nutdrv_py.protocols.rct.payload import Kind, encode
from nutdrv_py.protocols.rct.reader import FrameReader
from tests.backends.rct.vectors import GOOD


async def test_a_flood_is_read_in_turns_and_the_answer_behind_it_is_heard() -> None:
    sizes: list[int] = []

    class Watched(FrameReader):
        def feed(self, data: bytes) -> list:  # type: ignore[type-arg]
            sizes.append(len(data))
            return super().feed(data)

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"-+" * 100_000 + b"\0" * 10 + GOOD.wire)
        await reader.read()
        writer.close()

    async def story() -> int:
        server = await asyncio.start_server(flood, "127.0.0.1", 0)
        line = Line("127.0.0.1", server.sockets[0].getsockname()[1], Clock(), window=3)
        line._reader = Watched()
        await line.open()
        turns = 0
        while line.values.get("battery.soc") is None:
            turns += 1
            await asyncio.sleep(0)
        line.close()
        server.close()
        return turns

    assert GOOD.frame.oid == BY_NAME["battery.soc"].oid
    turns = await asyncio.wait_for(story(), 60)
    assert max(sizes) == TURN
    assert turns >= sum(sizes) / TURN


ROWS = [row for row in OBJECTS if row.kind is Kind.FLOAT][:6]


class Inverter:
    """Answers on loopback: ``answer`` gives what is written back for an object; ``writes`` are the requests that came together."""

    def __init__(self, answer: Callable[[int, int], bytes]) -> None:
        self.writes: list[list[int]] = []
        self._answer = answer
        self._times: Counter[int] = Counter()
        self._gone = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests = FrameReader()
        # The line ends its connection at once, without the rest.
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(4096):
                frames = requests.feed(data)
                self.writes.append([frame.oid for frame in frames])
                for frame in frames:
                    self._times[frame.oid] += 1
                    writer.write(self._answer(frame.oid, self._times[frame.oid]))
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        self._gone.set()

    async def ask(self, *, window: int, tries: int) -> dict[str, bool]:
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        line = Line("127.0.0.1", server.sockets[0].getsockname()[1], Clock(), window=window)
        try:
            await line.open()
            return await line.ask(ROWS, tries=tries)
        finally:
            line.close()
            await asyncio.wait_for(self._gone.wait(), 10)
            server.close()


def good(oid: int, time: int) -> bytes:
    return build(Command.RESPONSE, oid, encode(Kind.FLOAT, 0.5))


@pytest.mark.parametrize("window", [1, 4])
async def test_the_requests_of_a_round_leave_together_but_never_more_than_the_window(window: int) -> None:
    inverter = Inverter(good)
    answered = await inverter.ask(window=window, tries=2)
    assert answered == {row.name: True for row in ROWS}
    assert [oid for write in inverter.writes for oid in write] == [row.oid for row in ROWS], "each once, in the order asked"
    assert len(inverter.writes[0]) == window
    assert max(map(len, inverter.writes)) <= window


async def test_a_request_that_is_lost_is_asked_again_and_holds_nobody_up() -> None:
    inverter = Inverter(lambda oid, time: b"" if oid == ROWS[0].oid and time == 1 else good(oid, time))
    answered = await inverter.ask(window=4, tries=2)
    assert answered == {row.name: True for row in ROWS}
    asked = [oid for write in inverter.writes for oid in write]
    assert asked == [*(row.oid for row in ROWS), ROWS[0].oid]


async def test_an_answer_that_was_cut_short_leaves_the_next_one_its_time() -> None:
    def answer(oid: int, time: int) -> bytes:
        return build(Command.RESPONSE, oid, b"\x3f") if time == 1 else good(oid, time)

    inverter = Inverter(answer)
    assert await inverter.ask(window=4, tries=2) == {row.name: True for row in ROWS}
    assert Counter(oid for write in inverter.writes for oid in write) == {row.oid: 2 for row in ROWS}


async def test_what_is_never_answered_is_given_up_after_its_tries() -> None:
    inverter = Inverter(lambda oid, time: b"" if oid == ROWS[3].oid else good(oid, time))
    assert await inverter.ask(window=4, tries=2) == {row.name: row is not ROWS[3] for row in ROWS}
    assert Counter(oid for write in inverter.writes for oid in write)[ROWS[3].oid] == 2
