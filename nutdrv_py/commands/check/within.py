# SPDX-License-Identifier: GPL-2.0-or-later
"""Time limits: whatever hangs, a file system or a name server, the answer comes in time."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from nutdrv_py.device.findings import Finding, failed

__all__ = ["TOTAL", "Within"]

TOTAL = 28.0
"""Seconds for everything."""

MOST_ANSWER = 4096
"""Bytes of an answer that are looked at."""

T = TypeVar("T")


@dataclass(slots=True)
class Within:
    """What has to happen within a time. ``late`` is whether something hung: then threads may be left behind."""

    deadline: float
    """Time of the event loop at which all must be over."""
    late: bool = False

    def left(self, seconds: float) -> float:
        """Return at most so many seconds, and not beyond the deadline."""
        return max(0.0, min(seconds, self.deadline - asyncio.get_running_loop().time()))

    async def thread(self, function: Callable[[], T], seconds: float) -> T:
        """Call what blocks in a thread that is abandoned at the deadline. Raises TimeoutError."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def settle(result: T | None, error: BaseException | None) -> None:
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)  # type: ignore[arg-type]

        def work() -> None:
            result, error = None, None
            try:
                result = function()
            except Exception as caught:
                error = caught
            # The loop may have ended in the meantime.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(settle, result, error)

        threading.Thread(target=work, name="check", daemon=True).start()
        try:
            return await asyncio.wait_for(future, self.left(seconds))
        except TimeoutError:
            self.late = self.late or future.cancelled()
            raise

    async def tell(
        self,
        source: AsyncIterator[Finding] | Coroutine[Any, Any, list[Finding]],
        tell: Callable[[Finding], None],
        topic: str,
        seconds: float,
    ) -> list[Finding]:
        """Pass on the findings as they come, until time is up, which is one more finding."""
        found: list[Finding] = []

        def take(finding: Finding) -> None:
            found.append(finding)
            tell(finding)

        limit = self.left(seconds)
        try:
            async with asyncio.timeout(limit):
                if isinstance(source, AsyncIterator):
                    async for finding in source:
                        take(finding)
                else:
                    for finding in await source:
                        take(finding)
        except TimeoutError:
            self.late = True
            take(failed(topic, f"not finished within {limit:.0f} s", "see what hangs there, then type the same again"))
        except Exception as error:
            # One check that fails must not hide the others.
            take(failed(topic, f"internal error: {type(error).__name__}", "please report it with: nutdrv_py check --json"))
        return found

    async def exchange(self, host: str, port: int, request: bytes, seconds: float) -> bytes | None:
        """Return what is answered to a request over TCP; empty when nothing comes in time, None when nothing listens."""
        try:
            async with asyncio.timeout(self.left(seconds)):
                reader, writer = await asyncio.open_connection(host, port)
        except (OSError, TimeoutError):
            return None
        try:
            writer.write(request)
            async with asyncio.timeout(self.left(seconds)):
                return await reader.read(MOST_ANSWER)
        except (OSError, TimeoutError):
            return b""
        finally:
            writer.close()
