# SPDX-License-Identifier: GPL-2.0-or-later
"""The HTTP server: what it answers, and that nobody who talks to it can hold up the driver or its end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Mapping

import httpx
import pytest

from nutdrv_py.errors import ConfigError
from nutdrv_py.exporters import web as module
from nutdrv_py.exporters.web import Answer, Route, Web


def hello(headers: Mapping[str, str]) -> Answer:
    return Answer(f"hello {headers.get('user-agent', '')}".encode(), "text/plain", {"X-More": "1"})


def broken(headers: Mapping[str, str]) -> Answer:
    raise ValueError("a fault with a s3cret in it")


@contextlib.asynccontextmanager
async def served(routes: Mapping[str, Route]) -> AsyncIterator[str]:
    web = Web()
    for path, route in routes.items():
        web.add("127.0.0.1", 0, path, route)
    await web.start()
    try:
        yield f"http://127.0.0.1:{web.port('127.0.0.1', 0)}"
    finally:
        await web.stop()


async def test_a_route_answers_get_and_head_and_others_are_not_there(caplog: pytest.LogCaptureFixture) -> None:
    async with served({"/": hello, "/broken": broken}) as base, httpx.AsyncClient(base_url=base) as client:
        found = await client.get("/?x=1", headers={"User-Agent": "me"})
        assert (found.status_code, found.text, found.headers["content-type"]) == (200, "hello me", "text/plain; charset=utf-8")
        assert (found.headers["cache-control"], found.headers["x-more"]) == ("no-store", "1")
        head = await client.head("/")
        assert (head.content, head.headers["content-length"]) == (b"", str(len(f"hello {head.request.headers['user-agent']}")))
        missing = await client.get("/nothing")
        assert (missing.status_code, missing.text) == (404, "There is no '/nothing' here. There is: / /broken\n")
        assert (await client.post("/")).status_code == 501
        failed = await client.get("/broken")
        assert failed.status_code == 500
        assert "s3cret" not in failed.text


async def test_what_may_be_compressed_is_for_a_client_that_takes_gzip_and_the_query_reaches_the_route() -> None:
    def route(headers: Mapping[str, str]) -> Answer:
        return Answer(headers[module.QUERY].encode() * 100, "text/plain", compress=True)

    async with served({"/": route, "/plain": hello}) as base, httpx.AsyncClient(base_url=base) as client:
        packed = await client.get("/?name[]=x", headers={"Accept-Encoding": "deflate, gzip;q=0.5"})
        assert (packed.headers["content-encoding"], packed.text) == ("gzip", "name[]=x" * 100)
        assert int(packed.headers["content-length"]) < 100
        for path, accepted in (("/?name[]=x", "identity"), ("/plain", "gzip")):
            assert "content-encoding" not in (await client.get(path, headers={"Accept-Encoding": accepted})).headers


async def test_clients_that_hang_leave_room_for_others_and_do_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_CLIENTS", 4)
    hanging: list[socket.socket] = []
    async with served({"/": hello}) as base:
        place = ("127.0.0.1", int(base.rpartition(":")[2]))
        for _ in range(3):
            hanging.append(socket.create_connection(place))
            hanging[-1].sendall(b"GET / HT")
        async with httpx.AsyncClient(base_url=base) as client:
            assert (await client.get("/")).status_code == 200
        began = time.monotonic()
    assert time.monotonic() - began < 5
    for client_socket in hanging:
        client_socket.close()


async def test_more_clients_than_there_is_room_for_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_CLIENTS", 2)
    async with served({"/": hello}) as base:
        place = ("127.0.0.1", int(base.rpartition(":")[2]))
        reader = [await asyncio.open_connection(*place) for _ in range(5)]
        await asyncio.sleep(0)
        closed = 0
        for read, _ in reader:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2):
                    closed += await read.read(1) == b""
        assert closed == 3
        for _, write in reader:
            write.close()


async def test_garbage_is_answered_or_closed_and_the_server_goes_on() -> None:
    async with served({"/": hello}) as base:
        place = ("127.0.0.1", int(base.rpartition(":")[2]))
        for garbage in (b"\0\0\0\r\n\r\n", b"GET /" + b"a" * 70000 + b" HTTP/1.1\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02"):
            read, write = await asyncio.open_connection(*place)
            with contextlib.suppress(ConnectionError):
                write.write(garbage)
                write.write_eof()
                async with asyncio.timeout(10):
                    await read.read()
            write.close()
        async with httpx.AsyncClient(base_url=base) as client:
            assert (await client.get("/")).status_code == 200


async def test_a_port_that_is_taken_is_a_sentence_and_nothing_is_left_listening() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        web = Web()
        web.add("127.0.0.1", taken.getsockname()[1], "/", hello)
        with pytest.raises(ConfigError, match=r"127\.0\.0\.1 port \d+ cannot be listened on .*choose another bind_port"):
            await web.start()


@pytest.mark.parametrize("target", [b"//[", b"http://[::1", b"/%00", b"*", b"?", b"/\xff"])
async def test_a_target_that_is_none_is_answered_with_404(target: bytes) -> None:
    async with served({"/": hello}) as base:
        read, write = await asyncio.open_connection("127.0.0.1", int(base.rpartition(":")[2]))
        write.write(b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b" 404 " in await asyncio.wait_for(read.readline(), 10)
        write.close()


async def test_more_than_one_host_is_refused() -> None:
    async with served({"/": hello}) as base:
        read, write = await asyncio.open_connection("127.0.0.1", int(base.rpartition(":")[2]))
        write.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")
        assert b" 400 " in await asyncio.wait_for(read.readline(), 10)
        write.close()


@pytest.mark.parametrize(("host", "status"), [("127.0.0.1", 200), ("localhost:1", 200), ("evil.example", 421), ("", 421)])
async def test_on_a_loopback_address_only_this_machines_own_names_are_answered(host: str, status: int) -> None:
    async with served({"/": hello}) as base, httpx.AsyncClient(base_url=base) as client:
        assert (await client.get("/", headers={"Host": host})).status_code == status


async def test_a_port_that_is_taken_does_not_cost_the_others_and_is_had_when_it_is_free() -> None:
    web = Web()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        web.add("127.0.0.1", port, "/", hello)
        web.add("127.0.0.1", 0, "/", hello)
        with pytest.raises(ConfigError):
            await web.start()
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{web.port('127.0.0.1', 0)}") as client:
            assert (await client.get("/")).status_code == 200
    await web.start()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        assert (await client.get("/")).status_code == 200
    await web.stop()


async def test_a_name_service_that_hangs_does_not_hold_up_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a power cut the router may be down: neither an address of the network nor a name may be looked up in the loop."""
    release = threading.Event()
    monkeypatch.setattr(socket, "getfqdn", lambda *words: pytest.fail("the name service was asked for a name"))
    monkeypatch.setattr(module, "PATIENCE", 0.3)
    bind = module._Server.server_bind

    def slow(server: module._Server) -> None:
        release.wait(20)
        bind(server)

    monkeypatch.setattr(module._Server, "server_bind", slow)
    web = Web()
    web.add("127.0.0.1", 0, "/", hello)
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.01)
            turns += 1

    counting = asyncio.ensure_future(count())
    with pytest.raises(ConfigError, match="no answer of the name service"):
        await web.start()
    counting.cancel()
    assert turns > 3
    release.set()
    await web.start()
    await web.stop()


async def test_a_client_that_drips_is_broken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST", 0.5)
    async with served({"/": hello}) as base:
        read, write = await asyncio.open_connection("127.0.0.1", int(base.rpartition(":")[2]))
        with contextlib.suppress(ConnectionError):
            for letter in b"GET / HTTP/1.1\r\nX: " + b"a" * 400:
                write.write(bytes([letter]))
                await write.drain()
                await asyncio.sleep(0.05)
                if read.at_eof():
                    break
            else:
                pytest.fail("it was served for twenty seconds")
        write.close()


async def test_two_exporters_share_an_address_and_a_loop_that_ends_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    web = Web()
    web.add("127.0.0.1", 0, "/a", hello)
    web.add("127.0.0.1", 0, "/b", hello)
    await web.start()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{web.port('127.0.0.1', 0)}") as client:
        assert {(await client.get(path)).status_code for path in ("/a", "/b")} == {200}
    await web.stop()
