# SPDX-License-Identifier: GPL-2.0-or-later
"""Whoever takes the places on the driver's socket, upsd gets in; whoever asks for reloads without end, PING is answered."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from nutdrv_py.clock import Clock
from nutdrv_py.core.driver import Driver
from nutdrv_py.core.reload import REST, Reload
from nutdrv_py.core.requests import Requests
from nutdrv_py.core.settings import Settings
from nutdrv_py.device.backend import Backend, Config
from nutdrv_py.device.reading import Reading, Status
from nutdrv_py.machine.paths import Paths
from nutdrv_py.process.server import MAX_CLIENTS, Server


class Device(Backend[Config]):
    async def poll(self) -> Reading:
        return Reading({}, Status.OL)


async def serve(folder: Path, story: Callable[[Path, list[int]], Awaitable[None]]) -> None:
    """Serve a driver on a socket; the story gets its path, and a list with an item for each reading of the configuration."""
    paths = Paths(*[None] * 4)  # type: ignore[arg-type]
    settings = Settings("u", "nutdrv_py", "device", Device, Config(port="x", ups="u"), paths)
    driver = Driver(settings, Device(settings.config, Clock()), Clock())
    read: list[int] = []

    def load() -> Settings:
        read.append(1)
        return settings

    server = Server(driver, Requests(driver, Reload(driver, load)), folder / "socket")
    running = asyncio.ensure_future(driver.run())
    await server.start()
    try:
        await story(folder / "socket", read)
    finally:
        await server.stop()
        driver.stop(0, at_once=True)
        await running


async def pong(path: Path) -> bool:
    """Ask as upsd does, on a new connection."""
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(b"NOBROADCAST\nPING\n")
    try:
        await asyncio.wait_for(reader.readuntil(b"PONG\n"), 5)
    except (TimeoutError, asyncio.IncompleteReadError):
        return False
    finally:
        writer.close()
    return True


IDLERS = """
import socket, sys, time
kept = [socket.socket(socket.AF_UNIX) for _ in range(int(sys.argv[2]))]
for one in kept:
    one.connect(sys.argv[1])
print(flush=True)
time.sleep(60)
"""


async def test_upsd_gets_in_although_another_process_has_taken_all_places_and_is_not_driven_out(tmp_path: Path) -> None:
    async def story(path: Path, _: list[int]) -> None:
        with subprocess.Popen([sys.executable, "-c", IDLERS, path, str(MAX_CLIENTS)], stdout=subprocess.PIPE) as idlers:
            assert idlers.stdout
            await asyncio.to_thread(idlers.stdout.readline)
            await asyncio.sleep(0.2)
            upsd_reader, upsd = await asyncio.open_unix_connection(path)
            upsd.write(b"NOBROADCAST\nPING\n")
            assert await asyncio.wait_for(upsd_reader.readline(), 5) == b"PONG\n"
            with subprocess.Popen([sys.executable, "-c", IDLERS, path, "40"], stdout=subprocess.PIPE) as more:
                assert more.stdout
                await asyncio.to_thread(more.stdout.readline)
                await asyncio.sleep(0.2)
                upsd.write(b"PING\n")
                assert await asyncio.wait_for(upsd_reader.readline(), 5) == b"PONG\n"
                assert await pong(path), "and once more, as after a restart of upsd"
                more.kill()
            upsd.close()
            idlers.kill()

    await serve(tmp_path, story)


async def test_clients_that_ask_for_reloads_without_end_get_two_in_a_second_and_ping_is_answered(tmp_path: Path) -> None:
    async def story(path: Path, read: list[int]) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        flood = [socket.socket(socket.AF_UNIX) for _ in range(8)]
        for one in flood:
            one.connect(str(path))
            one.setblocking(False)
        while loop.time() - began < 2:
            for one in flood:
                with contextlib.suppress(BlockingIOError):
                    one.send(b"INSTCMD driver.reload\n" * 20)
            assert await pong(path)
        for one in flood:
            one.close()
        assert 2 <= len(read) <= 2 / REST + 2

    await serve(tmp_path, story)
