# SPDX-License-Identifier: GPL-2.0-or-later
"""Read the answer of an untrusted HTTP server: no encoding, no more bytes than are wanted.

A few hundred bytes that were compressed twice become gigabytes. So answers are asked for as they are, any other is refused, and
bytes are counted before anything is made of them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Protocol

from nutdrv_py.errors import ProtocolError

__all__ = ["PLAIN", "read", "read_now"]

PLAIN: Mapping[str, str] = {"Accept-Encoding": "identity"}
"""Headers that ask for the answer as it is."""


class Answer(Protocol):
    """A response of httpx whose body has not been read."""

    @property
    def headers(self) -> Mapping[str, str]: ...
    def aiter_raw(self) -> AsyncIterator[bytes]: ...
    def iter_raw(self) -> Iterator[bytes]: ...


async def read(answer: Answer, most: int) -> bytes:
    """Return the body. Raises :class:`ProtocolError` when it is encoded, or longer than ``most`` bytes."""
    body = _Body(answer, most)
    async for piece in answer.aiter_raw():
        body.add(piece)
    return bytes(body.found)


def read_now(answer: Answer, most: int) -> bytes:
    """Return the body as :func:`read` does, from a synchronous client."""
    body = _Body(answer, most)
    for piece in answer.iter_raw():
        body.add(piece)
    return bytes(body.found)


class _Body:
    def __init__(self, answer: Answer, most: int) -> None:
        encoding = answer.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            raise ProtocolError(f"the answer is encoded ({encoding[:20]!a}), which was not asked for")
        self.found = bytearray()
        self._most = most

    def add(self, piece: bytes) -> None:
        self.found += piece
        if len(self.found) > self._most:
            raise ProtocolError(f"the answer is longer than {self._most} bytes")
