# SPDX-License-Identifier: GPL-2.0-or-later
"""How a backend behaves in its process: slow answers, a refused login, two of a kind, requests, a reload, an examination."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time

from nutdrv_py.device.backend import Writable
from nutdrv_py.device.reading import Status
from nutdrv_py.errors import AuthError, CommandError, DeviceError, NutdrvError, Result
from nutdrv_py.testing.bench import Bench
from nutdrv_py.testing.clock import FakeClock
from nutdrv_py.testing.stage import AWAY, Stage, staged
from nutdrv_py.testing.stories.healthy import BLOCKED, TRIES

__all__ = ["examine", "refused", "reload", "requests", "slow", "two_houses"]

SLOW = 0.3
"""Real seconds that a slow device takes for an answer."""

BEGUN = 0.1
"""Real seconds after which a poll is cancelled."""

EXAMINED = 10.0
"""Real seconds that an examination may take."""


async def slow(bench: Bench) -> None:
    """The device is slow: does the event loop go on, and does a cancelled poll end?"""
    if bench.failed("start", "blocking") or not bench.can("slow"):
        return
    async with bench.stage("with a slow device") as stage:
        await stage.run(2 * stage.pace)
        await stage.tell(stage.device.slow(SLOW))
        stage.measuring = True
        before = len(stage.polls)
        while len(stage.polls) < before + TRIES and not any(0 < poll.blocked < BLOCKED for poll in stage.polls[before:]):
            await stage.run(stage.pace / 2)
        stage.measuring = False
        # A slow device is no silent one, and the machine may be slow as well.
        stage.noted.hung = 0
        if all(poll.blocked > BLOCKED for poll in stage.polls[before:]):
            bench.fail("blocking", f"the event loop stood still while a device took {SLOW:g} s for an answer")
            return
        await stage.end()
        await _cancelled(bench, stage)


async def _cancelled(bench: Bench, stage: Stage) -> None:
    backend, when = stage.backend, "while it waited for a slow device"
    with contextlib.suppress(NutdrvError):
        await backend.__aenter__()
    # Without the stage's own time limit, which would cancel it once more.
    task = asyncio.ensure_future(type(backend).poll(backend))
    await asyncio.wait({task}, timeout=BEGUN)
    if task.done():
        bench.report.untested["cancel"] = ("slow() that delays a poll",)
        return
    task.cancel()
    await asyncio.wait({task}, timeout=AWAY)
    if not task.done():
        bench.fail("cancel", f"{when}, a poll went on for {AWAY:.0f} s after it had been cancelled")
        task.cancel()
    elif not task.cancelled():
        raised = task.exception()
        what = f"raised {type(raised).__name__}" if raised else "returned a reading"
        bench.fail("cancel", f"{when}, a poll that was cancelled {what}")
    if bench.can("recover"):
        await stage.tell(stage.device.recover())
    for _ in range(TRIES):
        with contextlib.suppress(NutdrvError, TimeoutError):
            await backend.poll()
            break
    else:
        bench.fail("cancel", f"after a poll had been cancelled {when}, no other one worked")
    await backend.__aexit__(None, None, None)


async def refused(bench: Bench) -> None:
    """Play a device that refuses the password."""
    if bench.failed("start") or not bench.can("refuse"):
        return
    async with bench.stage("with a refused password", begin=False) as stage:
        await stage.tell(stage.device.refuse())
        await stage.begin()
        await stage.run(60.0)
        errors = [poll.error for poll in stage.polls if poll.error is not None]
        if not stage.now.stale:
            bench.fail("login", f"with a refused password upsd was given {stage.now.words}")
        elif errors and not any(isinstance(error, AuthError) for error in errors):
            bench.fail("login", f"with a refused password the backend raised {type(errors[-1]).__name__}: {str(errors[-1])[:80]}")
        elif errors and not any(isinstance(error, AuthError) and error.rejected for error in errors) and len(stage.polls) > 10:
            bench.fail("login", f"with a refused password it was tried {len(stage.polls)} times within a minute")


async def two_houses(bench: Bench) -> None:
    """Play one process that has two devices of the class, one of them in an outage."""
    if bench.failed("start", "outage"):
        return
    clock = FakeClock()
    second = staged(bench.backend, bench.device, bench.folder(), clock)
    async with bench.stage("with two devices", clock=clock) as other, second as stage:
        await stage.begin()
        await stage.run(2 * stage.pace)
        await stage.tell(stage.device.outage())
        await stage.until(lambda: stage.served(Status.OB), stage.device.notices)
        await stage.run(3 * stage.pace)
        if other.served(Status.OB):
            bench.fail("two-houses", f"while only another device was in an outage upsd was given {other.now.words}")
        elif not stage.served(Status.OB):
            bench.fail("two-houses", f"in an outage, while another device was on the grid, upsd was given {stage.now.words}")


async def requests(bench: Bench) -> None:
    """Set each variable that can be set, carry out each command."""
    if bench.failed("start", "offers", "properties"):
        return
    async with bench.stage("while upsrw and upscmd are used") as stage:
        await stage.run(2 * stage.pace)
        for name, rule in dict(stage.backend.writable).items():
            await _set(bench, stage, name, rule)
        raised: list[BaseException] = []
        command = stage.backend.command

        async def watched(name: str, param: str | None) -> None:
            try:
                await command(name, param)
            except (CommandError, DeviceError):
                raise
            except BaseException as error:
                raised.append(error)
                raise CommandError("it failed", Result.FAILED) from None

        stage.backend.command = watched  # type: ignore[method-assign]
        for name in sorted(stage.driver.device_commands):
            work = asyncio.ensure_future(stage.requests.instcmd(name, None))
            await stage.until(work.done, 30.0)
            if raised:
                bench.fail("command", f"the command {name} raised {type(raised[0]).__name__}")
                return
            if not work.done():
                bench.fail("command", f"the command {name} had not ended after 30 s")
                return


def _wanted(rule: Writable, now: str | None) -> str | None:
    """Return another value that the rule allows; None when there is none."""
    if rule.ranges:
        return next((str(end) for low, high in rule.ranges for end in (high, low) if str(end) != now), None)
    if rule.enum:
        return next((word for word in rule.enum if word != now), None)
    return "abc"[: rule.maxlen] if rule.maxlen else None


async def _set(bench: Bench, stage: Stage, name: str, rule: Writable) -> None:
    shown = stage.now.values.get(name)
    if shown is None:
        bench.fail("set", f"{name} can be set, as the backend offers, and is in no reading")
        return
    wanted = _wanted(rule, shown)
    if wanted is None:
        return
    work = asyncio.ensure_future(stage.requests.set(name, wanted))
    await stage.until(work.done, 30.0)
    result = work.result() if work.done() else Result.FAILED
    if result is not Result.HANDLED:
        bench.fail("set", f"{name} could not be set to {wanted}, which is in its range")
        return
    await stage.run(3 * stage.pace)
    after = stage.now.values.get(name)
    if after != wanted and _number(after) != _number(wanted):
        bench.fail("set", f"{name} was set to {wanted}, and then upsd was given {after}")


def _number(text: str | None) -> float | str | None:
    try:
        return float(text or "")
    except ValueError:
        return text


async def reload(bench: Bench) -> None:
    """Change options while the driver runs."""
    if bench.failed("start"):
        return
    async with bench.stage("at a reload") as stage:
        await stage.run(stage.pace)
        new = dataclasses.replace(stage.config, pollinterval=stage.config.pollinterval + 1)
        try:
            await stage.backend.reload(new)
        except Exception as error:
            bench.fail("reload", f"reload() raised {type(error).__name__}")
            return
        if stage.backend.config.pollinterval != new.pollinterval:
            kept = stage.backend.config.pollinterval
            bench.fail("reload", f"pollinterval was changed to {new.pollinterval}, and the backend kept {kept}")
        await stage.run(3 * stage.pace)
        if not stage.served(Status.OL):
            bench.fail("reload", f"after a reload upsd was given {'stale data' if stage.now.stale else stage.now.words}")


async def examine(bench: Bench) -> None:
    """Examine the device while it answers, and while it is silent."""
    if not bench.can("silence"):
        return
    for what in ("that answers", "that is silent"):
        async with bench.stage(f"in an examination of a device {what}", begin=False) as stage:
            if what == "that is silent":
                await stage.tell(stage.device.silence())
            task = asyncio.ensure_future(_findings(stage))
            began = time.monotonic()
            while not task.done() and time.monotonic() - began < EXAMINED:
                await asyncio.wait({task}, timeout=0.01)
                await stage.clock.advance(1.0)
            if not task.done():
                bench.fail("examine", f"with a device {what} it had not ended after {EXAMINED:.0f} s")
                task.cancel()
            elif task.exception() is not None:
                bench.fail("examine", f"with a device {what} it raised {type(task.exception()).__name__}")
            else:
                stage.texts.extend(task.result())


async def _findings(stage: Stage) -> list[str]:
    return [f"{found.text} {found.advice}" async for found in stage.backend.examine(login=False)]
