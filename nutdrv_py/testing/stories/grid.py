# SPDX-License-Identifier: GPL-2.0-or-later
"""The grid is there, goes and comes back, whatever the battery does."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from nutdrv_py.core.lowbattery import CHARGE
from nutdrv_py.device.mapping import to_number
from nutdrv_py.device.reading import Status
from nutdrv_py.errors import NutdrvError
from nutdrv_py.testing.bench import Bench
from nutdrv_py.testing.stage import Stage
from nutdrv_py.testing.stories.healthy import WATTS, charge_is

__all__ = ["charge_missing", "empty", "late_start", "on_the_grid", "outage"]

HOLDS = 40.0
"""Seconds for which a state is looked at, at least."""

STEP = 7.0
"""Percentage points by which the charge moves at once: backends doubt more."""

NEAR = 20.0
"""Percent of charge from which on it falls slowly."""

LONG_GONE = 900.0
"""Seconds without a charge after which it must have been counted down or be gone."""

FALLEN = 0.5
"""Percentage points that it must have fallen by then; the largest house battery loses more."""

MARK = 10
"""Percent: the low mark that is set for the story of an empty battery."""

Change = Coroutine[Any, Any, None]


async def _grid_stays(bench: Bench, stage: Stage, rule: str, what: str, *changes: Change) -> None:
    """Change the device, and fail if upsd is given OB although the grid is there."""
    moments = await stage.after(HOLDS + 2 * stage.pace, *changes)
    wrong = [moment for moment in moments if not moment.stale and moment.status & (Status.OB | Status.LB)]
    if wrong:
        bench.fail(rule, f"on the grid, {what}, upsd was given {wrong[0].words}")


async def _outage_stays(bench: Bench, stage: Stage, rule: str, what: str, *changes: Change) -> None:
    """Change the device, and fail if upsd is given OL although the grid is gone."""
    moments = await stage.after(HOLDS + 2 * stage.pace, *changes)
    wrong = [moment for moment in moments if not moment.stale and Status.OL in moment.status]
    if wrong:
        bench.fail(rule, f"in an outage, {what}, upsd was given {wrong[0].words}")


async def on_the_grid(bench: Bench) -> None:
    """Discharge the battery at night, is charged by day, empty and full, with a low voltage: all of it OL."""
    if bench.failed("start", "calm"):
        return
    async with bench.stage("on the grid, whatever the battery does") as stage:
        device = stage.device
        await stage.run(2 * stage.pace)
        if bench.can("battery"):
            await _grid_stays(bench, stage, "night", f"with the battery giving {WATTS:.0f} W", device.battery(WATTS))
            await _grid_stays(bench, stage, "sun", f"with the battery charged with {WATTS:.0f} W", device.battery(-WATTS))
            await stage.tell(device.battery(0.0))
        if bench.can("voltage"):
            await _grid_stays(bench, stage, "voltage", "with the battery's voltage at its end", device.voltage(0.0))
            await stage.tell(device.voltage(0.8))
        if bench.can("charge"):
            await _fall(stage, 80.0, 5.0)
            await _grid_stays(bench, stage, "low-on-grid", "with a charge of 5 %", device.charge(5.0))
            await _grid_stays(bench, stage, "low-on-grid", "with a full battery", device.charge(100.0))


async def _fall(stage: Stage, begin: float, end: float) -> None:
    percent = begin
    while percent > end:
        percent = max(end, percent - STEP)
        await stage.tell(stage.device.charge(percent))
        await stage.run(2 * stage.pace)


async def _becomes(stage: Stage, token: Status, seconds: float) -> bool:
    return await stage.until(lambda: stage.served(token), seconds)


async def outage(bench: Bench) -> None:
    """The grid goes, the battery discharges, is charged by the sun, and is full; the grid comes, and goes once more."""
    if bench.failed("start"):
        return
    async with bench.stage("in an outage") as stage:
        device = stage.device
        await stage.run(2 * stage.pace)
        await stage.tell(device.outage())
        if not await _becomes(stage, Status.OB, device.notices):
            bench.fail("outage", f"{device.notices:.0f} s after the grid had gone upsd was given {_given(stage)}")
            return
        if bench.can("battery"):
            await _outage_stays(bench, stage, "discharge", f"with the battery giving {WATTS:.0f} W", device.battery(WATTS))
            _decline(bench, stage)
            _left(bench, stage)
            what = f"with the sun charging the battery with {WATTS:.0f} W"
            await _outage_stays(bench, stage, "solar", what, device.battery(-WATTS))
        if bench.can("charge"):
            changes = [device.charge(100.0)] + ([device.battery(0.0)] if bench.can("battery") else [])
            await _outage_stays(bench, stage, "full", "with a full battery", *changes)
        await stage.tell(device.grid(), *([device.charge(90.0)] if bench.can("charge") else []))
        if not await _becomes(stage, Status.OL, device.returns):
            bench.fail("return", f"{device.returns:.0f} s after the grid was back upsd was given {_given(stage)}")
            return
        await stage.run(2 * stage.pace)
        if not stage.served(Status.OL):
            bench.fail("return", f"after the grid was back upsd was given OL, and then {_given(stage)}")
        await stage.tell(device.outage())
        if not await _becomes(stage, Status.OB, device.notices):
            after = f"{device.notices:.0f} s after the grid had gone for the second time"
            bench.fail("again", f"{after} upsd was given {_given(stage)}")


def _given(stage: Stage) -> str:
    return "stale data" if stage.now.stale else stage.now.words


def _decline(bench: Bench, stage: Stage) -> None:
    """Judge what the charge would fall by while the device is silent."""
    reading = stage.driver.reading
    if reading is None or reading.decline is None or reading.decline.capacity is None:
        return
    load = reading.decline.load
    if not WATTS / 2 <= load <= 20 * WATTS:
        bench.fail("decline", f"in an outage, with the battery giving {WATTS:.0f} W, Decline.load was {load:g}")


def _left(bench: Bench, stage: Stage) -> None:
    """Judge the remaining time by the energy that is left; a factor of four is between seconds and minutes."""
    left, charge, capacity = stage.number("battery.runtime"), stage.number(CHARGE), stage.device.capacity
    if left is None or not charge or capacity is None:
        return
    expected = charge / 100 * capacity * 3600 / WATTS
    if not expected / 4 <= left <= expected * 4:
        what = f"with the battery giving {WATTS:.0f} W of {charge / 100 * capacity:.0f} Wh that are left"
        bench.fail("runtime", f"in an outage, {what}, upsd was given a remaining time of {left:.0f} s")


async def late_start(bench: Bench) -> None:
    """Start the driver while the grid is gone."""
    if bench.failed("start", "outage"):
        return
    async with bench.stage("at a start in an outage", begin=False) as stage:
        await stage.tell(stage.device.outage())
        await stage.begin()
        if not await _becomes(stage, Status.OB, stage.device.notices):
            bench.fail("late-start", f"{stage.device.notices:.0f} s after a start in an outage upsd was given {_given(stage)}")


async def empty(bench: Bench) -> None:
    """Play an outage until the battery is empty: LB comes at the mark, from the driver alone."""
    if bench.failed("start", "outage") or not bench.can("charge"):
        return
    async with bench.stage("in an outage until the battery is empty", lowbatt=MARK) as stage:
        device = stage.device
        await stage.run(2 * stage.pace)
        await stage.tell(device.outage(), *([device.battery(WATTS / 4)] if bench.can("battery") else []))
        await _becomes(stage, Status.OB, device.notices)
        if stage.number(CHARGE) is None:
            bench.report.untested["low-battery"] = ("battery.charge in a reading",)
            return
        begin, percent = stage.clock.now, 80.0
        while percent > 0 and not _low_since(stage, begin):
            # Slowly at the end: at its own limit the device may leave the house without power.
            percent = max(0.0, percent - (STEP if percent > NEAR else 1.0))
            await stage.tell(device.charge(percent))
            await stage.run(2 * stage.pace)
            if percent > NEAR:
                _own_low(bench, stage, percent)
            if percent == 80.0 - 4 * STEP:
                await charge_is(bench, stage, percent, "in an outage")
        if not await stage.until(lambda: _low_since(stage, begin), device.settles):
            shown = stage.number(CHARGE)
            charge = "no charge" if shown is None else f"a charge of {shown:g} %"
            bench.fail("low-battery", f"in an outage, with an empty battery, upsd was given {_given(stage)} and {charge}")


def _low_since(stage: Stage, at: float) -> bool:
    low = Status.OB | Status.LB
    return any(not moment.stale and low & moment.status == low for moment in stage.since(at))


def _own_low(bench: Bench, stage: Stage, percent: float) -> None:
    last = next((poll.reading for poll in reversed(stage.polls) if poll.reading is not None), None)
    if stage.backend.says_low or last is None or not stage.served(Status.LB):
        return
    shown, mark = stage.number(CHARGE), to_number(stage.driver.marks.values.get(f"{CHARGE}.low"))
    if Status.LB in last.status:
        bench.fail("own-low", f"in an outage, with a charge of {percent:g} % and lowbatt = {MARK}, the backend returned LB")
    elif shown is not None and mark is not None and shown > mark and stage.number("battery.runtime") is None:
        bench.fail("charge", f"in an outage, with a charge of {percent:g} %, upsd was given {stage.now.words}")


async def charge_missing(bench: Bench) -> None:
    """Report no charge any more, on the grid and in an outage."""
    if bench.failed("start") or not bench.can("hide_charge"):
        return
    for where in ("on the grid", "in an outage"):
        if where == "in an outage" and bench.failed("outage"):
            return
        async with bench.stage(f"{where}, without a charge") as stage:
            await stage.run(2 * stage.pace)
            if where == "in an outage":
                await stage.tell(stage.device.outage(), *([stage.device.battery(WATTS)] if bench.can("battery") else []))
                await _becomes(stage, Status.OB, stage.device.notices)
                await stage.run(2 * stage.pace)
            before = stage.number(CHARGE)
            for moment in await stage.after(HOLDS + 2 * stage.pace, stage.device.hide_charge()):
                shown = to_number(moment.values.get(CHARGE))
                if not moment.stale and shown is not None and (shown < 50 or shown > 95):
                    text = f"{where}, with a charge of 80 % that the device did not tell any more, upsd was given {shown:g} %"
                    bench.fail("charge-missing", text)
            if stage.now.stale and isinstance(stage.polls[-1].error, NutdrvError):
                bench.fail("charge-missing", f"{where}, the data went stale because the device told no charge")
            elif where == "in an outage" and bench.can("battery") and not bench.failed("charge-missing"):
                await stage.run(LONG_GONE)
                shown = stage.number(CHARGE)
                if before is not None and shown is not None and not stage.now.stale and shown > before - FALLEN:
                    what = f"{LONG_GONE / 60:.0f} minutes after the device had told its charge for the last time"
                    text = f"{where}, with the battery giving {WATTS:.0f} W, {what}, upsd was still given {shown:g} %"
                    bench.fail("charge-kept", text)
