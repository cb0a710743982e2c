# SPDX-License-Identifier: GPL-2.0-or-later
"""Signals, systemd and unexpected faults of each process that polls devices."""

from __future__ import annotations

import asyncio
import errno
import functools
import logging
import signal
from collections.abc import Awaitable, Callable, Collection, Coroutine
from typing import Any

from nutdrv_py import log
from nutdrv_py.core.driver import Driver
from nutdrv_py.log import Trouble
from nutdrv_py.process import systemd

__all__ = ["contain", "feed", "on_signals", "tell_systemd"]

UNHEARD = 5.0
"""Seconds after which the failure of a task that was not awaited is logged."""


def on_signals(action: Callable[[], None], *numbers: signal.Signals) -> None:
    """Call ``action`` in the event loop for each of the signals, after a line in the log."""

    def act(number: signal.Signals) -> None:
        log.log.info("Signal %d: exiting", number)
        action()

    for number in numbers:
        asyncio.get_running_loop().add_signal_handler(number, act, number)


def contain() -> None:
    """Log what a background task of a backend dies of, and what no code catches; asyncio keeps the former to itself."""
    loop = asyncio.get_running_loop()
    trouble = Trouble()

    def report(what: str, error: BaseException | None) -> None:
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            text = "No more files or connections can be opened, so that upsd may not get in; see ulimit -n and LimitNOFILE"
            trouble.report("descriptors", text)
            return
        name = type(error).__name__ if error is not None else "no exception"
        if trouble.report("task", f"internal error: {what}: {name}", logging.ERROR) and error is not None:
            log.log.error("please report this:", exc_info=error)

    def unheard(task: asyncio.Task[Any]) -> None:
        # Reading the exception marks it as retrieved, so this must look before it asks.
        if getattr(task, "_log_traceback", False):
            report(f"the background task {task.get_name()} has died", task.exception())

    def done(task: asyncio.Task[Any]) -> None:
        if getattr(task, "_log_traceback", False) and not loop.is_closed():
            loop.call_later(UNHEARD, unheard, task)

    def factory(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **more: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, **more)
        task.add_done_callback(done)
        return task

    loop.set_task_factory(factory)  # type: ignore[arg-type]
    loop.set_exception_handler(lambda _, context: report(str(context.get("message", "")), context.get("exception")))


def feed(drivers: Collection[Driver], *, healthy: Callable[[], bool] = lambda: True) -> set[Driver]:
    """Feed systemd's watchdog, if it wants that, while the polls of each of the drivers end and all is ``healthy``.

    Returns the drivers that count: a caller removes those that were given up.
    """
    living, turned = set(drivers), set[Driver]()

    def alive(driver: Driver) -> None:
        turned.add(driver)
        if turned >= living and healthy():
            turned.clear()
            systemd.notify("WATCHDOG=1")

    for driver in living if systemd.watched() else ():
        driver.alive = functools.partial(alive, driver)
    return living


async def tell_systemd(begun: Awaitable[object], summary: Callable[[], str]) -> None:
    """Send READY when ``begun``, and then STATUS= whenever ``summary`` has changed; until it is cancelled."""
    await begun
    systemd.notify("READY=1", f"STATUS={summary()}")
    await systemd.tell_status(summary)
