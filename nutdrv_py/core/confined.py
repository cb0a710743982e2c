# SPDX-License-Identifier: GPL-2.0-or-later
"""Work with a time limit whose cancellation stays its own.

``asyncio.timeout`` cancels the task that it is in, and trusts all that runs there to count cancellations. anyio 3, which
httpx of Debian 12 uses, does not: when a limit of its own ends at the same moment, or a connection is being made, a
cancellation is left over, which then ends the driver. In a task of its own, such a rest ends with the work.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

__all__ = ["LeftError", "SelfCancelledError", "confined"]

AGAIN = 1.0
"""Seconds until work that goes on although it was cancelled is cancelled again: a library may have swallowed it."""

STUBBORN = 5.0
"""Seconds after its first cancellation from which on work counts as stubborn."""

T = TypeVar("T")


class SelfCancelledError(Exception):
    """The work was cancelled, and not by the caller."""


class LeftError(Exception):
    """The work called sys.exit or raised KeyboardInterrupt, which would have ended the process without a word."""


async def confined(
    work: Coroutine[Any, Any, T], seconds: float | None = None, *, stubborn: Callable[[float], None] = lambda seconds: None
) -> T:
    """Return the result of ``work``, which is given ``seconds`` (None: as long as it takes) and is over when this ends.

    Raises what the work raises, TimeoutError when it had to be cancelled, :class:`SelfCancelledError` when it ended as
    cancelled by itself, :class:`LeftError` when it wanted to end the process. ``stubborn`` is called with the seconds since
    its first cancellation while the work ignores it. If the caller is cancelled, the work is cancelled too, and this ends after
    :data:`AGAIN` seconds in any case.
    """
    task = asyncio.ensure_future(_contained(work))
    task.add_done_callback(_heard)
    try:
        await asyncio.wait({task}, timeout=seconds)
        late, since = not task.done(), time.monotonic()
        while not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=AGAIN)
            if not task.done() and time.monotonic() - since >= STUBBORN:
                stubborn(time.monotonic() - since)
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait({task}, timeout=AGAIN)
        raise
    if not task.cancelled():
        return task.result()
    if late:
        raise TimeoutError
    raise SelfCancelledError("it was cancelled from within")


async def _contained(work: Coroutine[Any, Any, T]) -> T:
    try:
        return await work
    except (SystemExit, KeyboardInterrupt) as error:
        # asyncio lets it end the loop at once, past everything that waits for the task.
        what = f"sys.exit({error.code!r})" if isinstance(error, SystemExit) else "KeyboardInterrupt"
        raise LeftError(what) from error


def _heard(task: asyncio.Future[Any]) -> None:
    # Mark the error as retrieved: the caller may be gone.
    _ = task.cancelled() or task.exception()
