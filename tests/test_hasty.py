# SPDX-License-Identifier: GPL-2.0-or-later
"""The loop of the tests whose time runs ahead: nothing comes before its time, and real work has its time."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.hasty import HastyLoop


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return "asyncio", {"loop_factory": HastyLoop}


async def test_a_minute_passes_in_a_moment_and_everything_in_its_order() -> None:
    loop, began, order = asyncio.get_running_loop(), time.monotonic(), []
    start = loop.time()

    async def after(seconds: float) -> None:
        await asyncio.sleep(seconds)
        order.append((seconds, round(loop.time() - start)))

    await asyncio.gather(*map(after, (60, 7, 30, 8)))
    assert order == [(7, 7), (8, 8), (30, 30), (60, 60)]
    assert time.monotonic() - began < 20


async def test_what_a_thread_does_is_waited_for_in_real_time() -> None:
    async with asyncio.timeout(5):
        await asyncio.to_thread(time.sleep, 0.2)


async def test_an_answer_on_a_socket_comes_before_its_time_limit() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        for _ in range(300):
            writer.write(b"x" * 70_000)
            async with asyncio.timeout(0.2):
                assert len(await reader.readexactly(70_000)) == 70_000
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await reader.read(1)
        writer.close()
