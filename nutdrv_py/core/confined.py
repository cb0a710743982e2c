# SPDX-License-Identifier: GPL-2.0-or-later
"""Work with a time limit whose cancellation stays its own.

``asyncio.timeout`` cancels the task that it stands in, and trusts all that runs there to count cancellations. anyio 3, which
httpx of Debian 12 stands on, does not: when a limit of its own ends at the same moment, or a connection is being made, a
cancellation is left over, which then ends the driver. In a task of its own, such a rest ends with the work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["SelfCancelledError", "confined"]

AGAIN = 1.0
"""Seconds until work that goes on although it was cancelled is cancelled again: a library may have swallowed it."""

T = TypeVar("T")


class SelfCancelledError(Exception):
    """The work was cancelled, and not by who waits for it."""


async def confined(work: Coroutine[Any, Any, T], seconds: float | None = None) -> T:
    """The result of ``work``, which is given ``seconds`` (None: as long as it takes) and is over when this returns or raises.

    Raises what the work raises, TimeoutError when it had to be cancelled, :class:`SelfCancelledError` when it ended as
    cancelled by itself. Who is cancelled while waiting here cancels the work, and goes on when it has ended, after :data:`AGAIN`
    seconds in any case.
    """
    task = asyncio.ensure_future(work)
    task.add_done_callback(_heard)
    try:
        await asyncio.wait({task}, timeout=seconds)
        late = not task.done()
        while not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=AGAIN)
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait({task}, timeout=AGAIN)
        raise
    if not task.cancelled():
        return task.result()
    if late:
        raise TimeoutError
    raise SelfCancelledError("it was cancelled from within")


def _heard(task: asyncio.Future[Any]) -> None:
    # Nobody may be there any more to ask for it.
    _ = task.cancelled() or task.exception()
