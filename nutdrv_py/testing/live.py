# SPDX-License-Identifier: GPL-2.0-or-later
"""What can be judged of a backend with the device that is there: by two polls and a cancelled one. Nothing is changed there."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar

from nutdrv_py import log
from nutdrv_py.clock import Clock
from nutdrv_py.device.backend import Backend, Config
from nutdrv_py.device.reading import Reading
from nutdrv_py.errors import NutdrvError
from nutdrv_py.testing import readings
from nutdrv_py.testing.bench import listening, secrets_of
from nutdrv_py.testing.rules import Failure

__all__ = ["LONGEST_POLL", "Looked", "look"]

LONGEST_POLL = 8.0
"""Seconds that one poll may take here; the driver gives up one after 60."""

PAUSE = 2.0
"""Seconds between two polls, at most."""

CANCELLED = 2.0
"""Seconds in which a cancelled poll must end."""

BLOCKED = 0.5
"""Seconds for which the event loop may be blocked in each poll."""

SHOWN = ("battery.charge", "battery.runtime", "ups.realpower", "ups.load")
"""Values that a person can compare."""

BEAT = 0.02
"""Seconds between two looks at the event loop."""

T = TypeVar("T")


class Looked:
    """What was found: ``failures``, and ``done`` for what went well, a sentence for each."""

    def __init__(self) -> None:
        self.failures: list[Failure] = []
        self.done: list[tuple[str, str]] = []
        self.blocked: list[float] = []
        """Seconds for which the event loop stood still at most, of each poll."""

    def fail(self, rule: str, seen: str) -> None:
        """Note a failure, once for each rule."""
        if all(failure.rule != rule for failure in self.failures):
            self.failures.append(Failure(rule, seen))


async def look(kind: type[Backend[Any]], config: Config, clock: Clock) -> Looked:
    """Poll the device of ``config`` twice, and cancel a third poll. Takes some seconds, and two and a half poll times at most."""
    looked, tasks = Looked(), asyncio.all_tasks()
    raised: list[BaseException] = []
    found: list[Reading] = []
    # What the configuration has asked to be hidden, such as the content of a file with credentials.
    secrets = secrets_of(config, log.hidden())
    with listening() as heard:
        backend = kind(config, clock)

        async def polled() -> Reading:
            if not looked.blocked:
                await backend.__aenter__()
            return await backend.poll()

        try:
            for _ in range(2):
                reading = await _timed(looked, polled)
                found.append(reading)
                for rule, seen in readings.faults(reading, backend, clock.monotonic()):
                    looked.fail(rule, f"the device was asked, and {seen}")
                await clock.sleep(min(PAUSE, float(config.pollinterval)))
            _compare(looked, found)
            await _cancelled(looked, backend)
        except TimeoutError:
            looked.fail("hang", f"a poll had not ended after {LONGEST_POLL:.0f} s")
        except NutdrvError as error:
            raised.append(error)
            looked.fail("start", f"the device could not be read ({type(error).__name__}: {error})")
        except Exception as error:
            raised.append(error)
            looked.fail("error", f"the backend raised {type(error).__name__}")
        except (SystemExit, KeyboardInterrupt) as error:
            looked.fail("exit", f"the backend raised {type(error).__name__}")
        finally:
            await _closed(looked, backend)
    await _leftovers(looked, tasks)
    secrets = (*secrets, *heard.hidden)
    texts = [*heard.lines, repr(config), repr(backend), *("".join(traceback.format_exception(error)) for error in raised)]
    texts += [f"{reading.values} {reading.alarms}" for reading in found]
    looked.failures = [replace(failure, seen=_without(secrets, failure.seen)) for failure in looked.failures]
    if any(secret in text for secret in secrets for text in texts):
        looked.fail("secret", "a log line, an exception, a value or a representation held a secret")
    return looked


def _without(secrets: tuple[str, ...], text: str) -> str:
    for secret in secrets:
        text = text.replace(secret, "***")
    return text


async def _closed(looked: Looked, backend: Backend[Any]) -> None:
    try:
        async with asyncio.timeout(CANCELLED):
            await backend.__aexit__(None, None, None)
    except Exception as error:
        looked.fail("leftovers", f"__aexit__ raised {type(error).__name__}")


async def _timed(looked: Looked, poll: Callable[[], Awaitable[T]]) -> T:
    """Poll within a time limit, and note for how long the event loop stood still at most."""
    longest = 0.0

    async def beat() -> None:
        nonlocal longest
        while True:
            before = time.perf_counter()
            await asyncio.sleep(BEAT)
            longest = max(longest, time.perf_counter() - before - BEAT)

    beating = asyncio.ensure_future(beat())
    await asyncio.sleep(0)
    try:
        async with asyncio.timeout(LONGEST_POLL):
            return await poll()
    finally:
        await asyncio.sleep(0)
        await asyncio.sleep(2 * BEAT)
        beating.cancel()
        looked.blocked.append(longest)


def _compare(looked: Looked, found: list[Reading]) -> None:
    first, second = found
    if min(looked.blocked) > BLOCKED:
        looked.fail("blocking", f"the event loop stood still for more than {BLOCKED:g} s in each poll")
    late = sorted(set(second.values) - set(first.values))
    if late:
        looked.fail("first-reading", f"{', '.join(late[:4])} came only with the second reading")
    shown = ", ".join(f"{name} {second.values[name]}" for name in SHOWN if name in second.values)
    looked.done.append(("reading", f"{second.status}, {shown or 'no charge'}: compare it with the device's own display"))


async def _cancelled(looked: Looked, backend: Backend[Any]) -> None:
    task = asyncio.ensure_future(backend.poll())
    await asyncio.sleep(BEAT / 10)
    if not task.cancel():
        return
    await asyncio.wait({task}, timeout=CANCELLED)
    if not task.done():
        looked.fail("cancel", f"a poll went on for {CANCELLED:.0f} s after it had been cancelled")
        return
    if not task.cancelled() and task.exception() is not None:
        looked.fail("cancel", f"a poll that was cancelled raised {type(task.exception()).__name__}")
        return
    reading = await _timed(looked, backend.poll)
    looked.done.append(("cancel", f"a poll was cancelled, and the next one gave {reading.status}"))


async def _leftovers(looked: Looked, tasks: set[asyncio.Task[Any]]) -> None:
    await asyncio.sleep(10 * BEAT)
    more = [task for task in asyncio.all_tasks() - tasks if task is not asyncio.current_task() and not task.done()]
    if more:
        looked.fail("leftovers", f"{len(more)} tasks ran on after the end")
    for task in more:
        task.cancel()
