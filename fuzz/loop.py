# SPDX-License-Identifier: GPL-2.0-or-later
"""An event loop whose time jumps to whatever is due next, and a clock that shows it: minutes of a device cost milliseconds."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from fuzz.invariants import WALL
from nutdrv_py.clock import Clock

__all__ = ["LoopClock", "connecting", "run"]

T = TypeVar("T")


class _Selector(selectors.SelectSelector):
    """Waits for nothing: the loop's time moves instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise AssertionError("it waits for something that never comes")
        if not ready:
            self.now += max(0.0, timeout or 0.0)
        return ready


Connect = Callable[[Callable[[], asyncio.BaseProtocol]], tuple[asyncio.Transport, asyncio.BaseProtocol]]


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _Selector()
        self.connect: Connect | None = None
        super().__init__(self._jumping)

    async def create_connection(self, protocol_factory: Any, *args: Any, **more: Any) -> Any:
        """Connect to the script instead of the network."""
        assert self.connect is not None, "a connection to the network"
        return self.connect(protocol_factory)

    def time(self) -> float:
        return self._jumping.now

    def move(self, seconds: float) -> None:
        self._jumping.now += seconds


class LoopClock(Clock):
    """The loop's time."""

    def __init__(self) -> None:
        self.loop = _loop()

    def monotonic(self) -> float:
        """Return the loop's time."""
        return self.loop.time()

    def wall(self) -> float:
        """Return a wall time that goes with it."""
        return WALL + self.loop.time()

    def move(self, seconds: float) -> None:
        """Let time pass outside of the loop."""
        self.loop.move(seconds)


_kept: list[_Loop] = []


def _loop() -> _Loop:
    # One for all inputs: a loop costs more than most of them.
    if not _kept:
        _kept.append(_Loop())
    return _kept[0]


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run ``work`` to its end in the loop; raise what a callback has raised meanwhile."""
    unheard: list[dict[str, Any]] = []
    _loop().set_exception_handler(lambda loop, context: unheard.append(context))
    found = _loop().run_until_complete(work)
    if unheard:
        raise AssertionError(unheard.pop())
    return found


def connecting(connect: Connect) -> None:
    """Have ``connect`` make each connection from now on; it may raise OSError."""
    _loop().connect = connect
