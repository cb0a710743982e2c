# SPDX-License-Identifier: GPL-2.0-or-later
"""HTTP/1.1 as the gateway speaks it: one request on a connection, and what is sent back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from urllib.parse import parse_qs, unquote, urlsplit

from nutdrv_py.simulators.enphase.messages import REASONS, SERVER_NAME, Answer, Incoming

HEAD_LIMIT = 32 * 1024
"""Longest request head, bytes: a token is under 1 kB and cookies are short, so more than this is a mistake."""

BODY_LIMIT = 64 * 1024
"""Longest request body, bytes: the largest real one is a login form of some hundred bytes."""

IDLE_SECONDS = 75.0
"""A kept-alive connection is closed after this time without a request, as common web servers do."""


class Hangup(Exception):
    """The connection ends now, without the rest of the answer."""


class Refused(Exception):
    """A request that gets nothing but this status; the connection ends after it."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass(slots=True, eq=False)
class Exchange:
    """One request and its answer. ``handle`` makes the right answer, ``status`` is what was sent (0: nothing yet)."""

    writer: asyncio.StreamWriter
    request: Incoming
    handle: Callable[[Incoming], Answer]
    gateway_time: Callable[[], float]
    status: int = 0

    @property
    def keep(self) -> bool:
        """Return whether the connection stays open."""
        return self.request.headers.get("connection", "").lower() != "close"

    async def send(self, data: bytes) -> None:
        """Send raw bytes."""
        self.writer.write(data)
        await self.writer.drain()

    async def send_head(self, answer: Answer, *, body: bytes = b"", chunked: bool = False) -> None:
        """Send the head of an answer and of its body these bytes."""
        self.status = answer.status
        await self.send(head(answer, self.gateway_time(), keep=self.keep, chunked=chunked) + body)

    async def send_answer(self, answer: Answer) -> None:
        """Send an answer."""
        await self.send_head(answer, body=answer.body)


async def read_request(reader: asyncio.StreamReader) -> Incoming:
    """Read the next request of a connection. Raises :class:`Refused` for one that cannot be answered."""
    try:
        async with asyncio.timeout(IDLE_SECONDS):
            lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, version = lines[0].split(" ")
        pairs = (line.partition(":") for line in lines[1:] if line)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        length = int(headers.get("content-length", "0"))
        parts = urlsplit(target)
    except asyncio.LimitOverrunError:
        raise Refused(413) from None
    except ValueError:
        raise Refused(400) from None
    if not version.startswith("HTTP/1."):
        raise Refused(400)
    if "transfer-encoding" in headers:
        raise Refused(411)
    if not 0 <= length <= BODY_LIMIT:
        raise Refused(413)
    body = await reader.readexactly(length)
    query = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
    return Incoming(method, unquote(parts.path), query, headers, body)


def head(answer: Answer, seconds: float, *, keep: bool, chunked: bool = False) -> bytes:
    """Return the head of an answer, dated ``seconds`` after the epoch."""
    length = ("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(len(answer.body)))
    headers = [
        ("Server", SERVER_NAME),
        ("Date", formatdate(seconds, usegmt=True)),
        ("Content-Type", answer.content_type),
        length,
        ("Connection", "keep-alive" if keep else "close"),
        *answer.headers,
    ]
    lines = [f"HTTP/1.1 {answer.status} {REASONS.get(answer.status, 'Status')}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
