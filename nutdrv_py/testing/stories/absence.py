# SPDX-License-Identifier: GPL-2.0-or-later
"""The device does not answer, answers nonsense, reports no grid or only what is old, and comes back."""

from __future__ import annotations

from nutdrv_py.device.reading import Status
from nutdrv_py.testing.bench import Bench
from nutdrv_py.testing.stage import Stage

__all__ = ["first_silence", "garbage", "old", "restart", "silence", "unsaid"]

SLACK = 15.0
"""Seconds beyond ``maxage`` and ``looks`` in which the data must be stale."""


async def _absent(bench: Bench, how: str, what: str, rules: tuple[str, str, str], *, again: bool) -> None:
    """Play an absence on the grid and one in an outage; ``rules`` are for data that do not go stale, for OB and for OL."""
    stale, on_grid, in_outage = rules
    still = ""
    if bench.failed("start") or not bench.can(how):
        return
    parts = (("on the grid", on_grid, Status.OL, Status.OB), ("in an outage", in_outage, Status.OB, Status.OL))
    for where, rule, token, wrong in parts:
        if wrong is Status.OL and bench.failed("outage"):
            break
        async with bench.stage(f"{where}, {what}") as stage:
            await stage.run(2 * stage.pace)
            if wrong is Status.OL:
                await stage.tell(stage.device.outage())
                await stage.until(lambda: stage.served(Status.OB), stage.device.notices)
                await stage.run(stage.pace)
            count = len(stage.polls)
            await stage.tell(getattr(stage.device, how)())
            limit = stage.maxage + stage.config.looks + stage.pace + SLACK + (stage.pace if wrong is Status.OL else 0)
            await stage.until(lambda: stage.now.stale, limit)
            at = stage.polls[count].began if len(stage.polls) > count else stage.clock.now
            turned = [moment for moment in stage.since(at) if not moment.stale and wrong in moment.status]
            if turned:
                bench.fail(rule, f"{where}, {what}, upsd was given {turned[0].words}")
            elif not stage.now.stale:
                still = still or (
                    f"{where}, after {limit:.0f} s {what}, upsd was still given {stage.now.words} as if it were new"
                )
            if again and bench.can("recover") and not bench.failed("recovery", "missed-outage"):
                await _again(bench, stage, token, what)
    if still and not bench.failed(on_grid, in_outage):
        bench.fail(stale, still)


async def _again(bench: Bench, stage: Stage, before: Status, what: str) -> None:
    """The device answers again; the grid has gone in the meantime if it was there."""
    device = stage.device
    after = f"{device.returns:.0f} s after the end of a time {what}"
    if before is Status.OL and not bench.failed("outage"):
        await stage.tell(device.outage(), device.recover())
        if not await stage.until(lambda: stage.served(Status.OB), device.returns):
            shown = "stale data" if stage.now.stale else stage.now.words
            rule = "recovery" if stage.now.stale else "missed-outage"
            bench.fail(rule, f"{after}, in an outage, upsd was given {shown}")
    else:
        await stage.tell(device.grid(), device.recover())
        if not await stage.until(lambda: stage.served(Status.OL), device.returns):
            shown = "stale data" if stage.now.stale else stage.now.words
            rule = "recovery" if stage.now.stale else "return"
            bench.fail(rule, f"{after}, on the grid, upsd was given {shown}")


async def silence(bench: Bench) -> None:
    """Play a device that does not answer."""
    rules = ("silence", "silent-on-grid", "silent-in-outage")
    await _absent(bench, "silence", "with a device that does not answer", rules, again=True)


async def garbage(bench: Bench) -> None:
    """Play a device that answers nonsense."""
    rules = ("garbage", "garbage-on-grid", "garbage-in-outage")
    await _absent(bench, "garbage", "with a device that answers nonsense", rules, again=True)


async def unsaid(bench: Bench) -> None:
    """Play a device that answers without the grid."""
    rules = ("unsaid", "unsaid-on-grid", "unsaid-in-outage")
    await _absent(bench, "hide_grid", "with a device that tells nothing of the grid", rules, again=True)


async def old(bench: Bench) -> None:
    """Play a device with old values only: at the start, and after a while."""
    if bench.failed("start") or not bench.can("repeat"):
        return
    async with bench.stage("at a start with what was told long ago", begin=False) as stage:
        await stage.tell(stage.device.outage(), stage.device.repeat())
        stage.clock.now += 86400.0
        await stage.begin()
        if await stage.until(lambda: not stage.now.stale, 2 * stage.maxage + stage.config.looks):
            bench.fail("old", f"at a start with nothing but a word of yesterday about the grid, upsd was given {stage.now.words}")
    rules = ("old", "old", "old")
    await _absent(bench, "repeat", "with a device that repeats what it told before", rules, again=False)


async def restart(bench: Bench) -> None:
    """Restart the device, on the grid and in an outage."""
    if bench.failed("start") or not bench.can("restart"):
        return
    async with bench.stage("at a restart of the device") as stage:
        await stage.run(3 * stage.pace)
        at = stage.clock.now
        await stage.tell(stage.device.restart())
        await stage.run(stage.pace)
        if not await stage.until(lambda: stage.served(Status.OL), stage.device.returns):
            shown = "stale data" if stage.now.stale else stage.now.words
            bench.fail("restart", f"{stage.device.returns:.0f} s after the device had restarted upsd was given {shown}")
        turned = [moment for moment in stage.since(at) if not moment.stale and Status.OB in moment.status]
        if turned:
            bench.fail("restart", f"on the grid, while the device restarted, upsd was given {turned[0].words}")
        await stage.run(stage.maxage + stage.config.looks)
        if stage.now.stale:
            bench.fail("restart", "after the device had restarted the data went stale")


async def first_silence(bench: Bench) -> None:
    """Play a device that is away when the driver starts, and comes."""
    if bench.failed("start", "recovery") or not bench.can("silence", "recover"):
        return
    async with bench.stage("at a start without the device", begin=False) as stage:
        await stage.tell(stage.device.silence())
        await stage.begin()
        await stage.run(30.0)
        told = [moment for moment in stage.moments if not moment.stale]
        if told:
            bench.fail("silence", f"at a start without the device upsd was given {told[0].words}")
        await stage.tell(stage.device.recover())
        if not await stage.until(lambda: stage.served(Status.OL), stage.device.returns):
            after = f"{stage.device.returns:.0f} s after a device has come that was away at the start"
            bench.fail("first-silence", f"{after}, upsd was given stale data")
