# SPDX-License-Identifier: GPL-2.0-or-later
"""The simulator in a thread of its own, for synchronous tests and demonstrations."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar

from nutdrv_py.simulators.enphase.gateway import GatewaySimulator
from nutdrv_py.simulators.enphase.http import Fault
from nutdrv_py.simulators.enphase.scenarios import Scenario, load_scenario

Result = TypeVar("Result")

CALL_SECONDS = 30.0
"""Longest wait for the loop's thread: making a certificate on a busy machine is the slowest thing it does."""


class RunningSimulator:
    """Context manager that runs a :class:`GatewaySimulator` in its own thread with its own event loop.

    Takes a simulator, a scenario, or a scenario's name; ``settings`` are those of :class:`GatewaySimulator`.
    """

    def __init__(
        self,
        simulator: GatewaySimulator | Scenario | str = "online",
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        **settings: Any,
    ) -> None:
        """Prepare the thread; it starts with the ``with`` block."""
        if isinstance(simulator, str):
            simulator = load_scenario(simulator)
        if isinstance(simulator, Scenario):
            simulator = GatewaySimulator(simulator, **settings)
        elif settings:
            raise TypeError("Settings belong to the simulator, which is made already.")
        self.sim = simulator
        self._address = (host, port)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="enphase-simulator", daemon=True)

    def __enter__(self) -> Self:
        """Start the thread and the simulator."""
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self.sim.start(*self._address), self._loop).result(CALL_SECONDS)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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
        """Change the house or the gateway; see :meth:`GatewaySimulator.set`."""
        self.call(lambda: self.sim.set(**changes))

    def skip(self, seconds: float) -> None:
        """Let simulator time jump ahead."""
        self.call(lambda: self.sim.skip(seconds))

    def fault(self, path: str, fault: Fault | None) -> None:
        """Set the fault of a path, or take it away with None."""
        self.set(fault={path: fault})

    def offline(self, value: bool = True) -> None:
        """Cut the gateway off, or bring it back."""
        self.set(offline=value)
