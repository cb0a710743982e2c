# SPDX-License-Identifier: GPL-2.0-or-later
"""The line to the inverter while somebody floods it."""

from __future__ import annotations

import asyncio

from nutdrv_py.backends.rct.client import TURN, Line
from nutdrv_py.clock import Clock
from nutdrv_py.protocols.rct.frame import FrameReader
from nutdrv_py.protocols.rct.objects import BY_NAME
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
