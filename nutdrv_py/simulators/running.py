# SPDX-License-Identifier: GPL-2.0-or-later
"""A simulator in a thread of its own, for synchronous tests and demonstrations."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

CALL_SECONDS = 30.0
"""Longest wait for the loop's thread: making a certificate on a busy machine is the slowest thing a simulator does."""


class Simulator(Protocol):
    """What every simulated device can do; all of it belongs to the event loop's thread."""

    async def start(self, host: str = ..., port: int = ...) -> None:
        """Listen on this loopback address; port 0 takes a free one."""

    async def stop(self) -> None:
        """Stop listening. Stopping twice is fine."""

    def set(self, **changes: Any) -> None:
        """Change the house or the device by name, as of now."""

    def skip(self, seconds: float) -> None:
        """Let simulator time jump ahead."""


Result = TypeVar("Result")
Device = TypeVar("Device", bound=Simulator)


class RunningDevice(Generic[Device]):
    """Context manager that runs a simulated device in its own thread with its own event loop."""

    def __init__(self, simulator: Device, name: str, *, host: str = "127.0.0.1", port: int = 0) -> None:
        """Prepare the thread, called ``name``; it starts with the ``with`` block."""
        self.sim = simulator
        self._address = (host, port)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)

    def __enter__(self) -> Self:
        """Start the thread and the simulator."""
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self.sim.start(*self._address), self._loop).result(CALL_SECONDS)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop the simulator and the thread."""
        try:
            asyncio.run_coroutine_threadsafe(self.sim.stop(), self._loop).result(CALL_SECONDS)
        finally:
            self._end()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CALL_SECONDS)
        if not self._thread.is_alive():
            self._loop.close()

    def call(self, function: Callable[[], Result]) -> Result:
        """Run a function in the loop's thread and return its result; a coroutine it returns is awaited."""

        async def run() -> Any:
            value = function()
            return await value if inspect.isawaitable(value) else value

        done: Result = asyncio.run_coroutine_threadsafe(run(), self._loop).result(CALL_SECONDS)
        return done

    def set(self, **changes: Any) -> None:
        """Change the house or the device; see the simulator's ``set``."""
        self.call(lambda: self.sim.set(**changes))

    def skip(self, seconds: float) -> None:
        """Let simulator time jump ahead."""
        self.call(lambda: self.sim.skip(seconds))

    def offline(self, value: bool = True) -> None:
        """Cut the device off, or bring it back."""
        self.set(offline=value)
