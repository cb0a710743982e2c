# SPDX-License-Identifier: GPL-2.0-or-later
"""Work that may hang on a dead disk, beside the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

__all__ = ["aside"]

T = TypeVar("T")


async def aside(work: Callable[[], T]) -> T:
    """Do ``work`` in a daemon thread: unlike asyncio's own, one that hangs on a dead disk does not hold up the exit."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def finish(tell: Callable[[], None]) -> None:
        if not future.done():
            tell()

    def body() -> None:
        tell: Callable[[], None]
        try:
            result = work()
        except Exception as error:
            tell = _telling(future.set_exception, error)
        else:
            tell = _telling(future.set_result, result)
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(finish, tell)

    threading.Thread(target=body, name="file", daemon=True).start()
    return await future


A = TypeVar("A")


def _telling(method: Callable[[A], None], argument: A) -> Callable[[], None]:
    return lambda: method(argument)
