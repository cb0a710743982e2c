# SPDX-License-Identifier: GPL-2.0-or-later
"""A healthy device on the grid: what is served, whether all of it at once, and in which units."""

from __future__ import annotations

from nutdrv_py.device.reading import Status
from nutdrv_py.testing.bench import Bench
from nutdrv_py.testing.stage import Stage

__all__ = ["calm", "quantities"]

LONG = 150.0
"""Seconds in which every slow value has been read once more."""

BLOCKED = 0.2
"""Real seconds for which the event loop may be blocked at most; a busy machine alone makes some."""

TRIES = 3
"""Polls that are looked at, at least."""

LOUD = Status.OB | Status.CAL | Status.BYPASS | Status.OVER | Status.OFF
"""Tokens that upsmon holds against a UPS that falls silent."""

WATTS = 2000.0
"""Power of the battery or the house in these stories."""


async def calm(bench: Bench) -> None:
    """Play a day on which nothing happens."""
    async with bench.stage("on the grid, with nothing wrong") as stage:
        stage.measuring = True
        await stage.tell(stage.device.grid())
        served = await stage.until(lambda: not stage.now.stale, stage.device.returns)
        await stage.run(3 * stage.pace)
        stage.measuring = False
        # A backend that hangs may have blocked, too.
        blocks = sorted(poll.blocked for poll in stage.polls)
        if len(blocks) >= TRIES and blocks[len(blocks) // 2] > BLOCKED:
            bench.fail("blocking", f"the event loop stood still for more than {BLOCKED:g} s in most polls")
        if not served or not any(poll.reading for poll in stage.polls):
            bench.fail("start", f"after {stage.device.returns:.0f} s on the grid upsd was given no data{_last_error(stage)}")
            return
        first = next(moment for moment in stage.moments if not moment.stale)
        await stage.run(LONG)
        loud = [moment for moment in stage.moments if not moment.stale and (moment.status & LOUD or "ALARM" in moment.words)]
        if loud:
            rule = "calm" if Status.OB in loud[0].status else "alarm"
            bench.fail(rule, f"on the grid, with nothing wrong, upsd was given {loud[0].words}")
        elif stage.now.stale:
            bench.fail("start", f"on the grid, with nothing wrong, the data went stale{_last_error(stage)}")
        late = sorted({name for moment in stage.moments for name in moment.values} - set(first.values))
        if late:
            bench.fail("first-reading", f"{', '.join(late[:4])} came only after the first data that upsd was given")
        _properties(bench, stage)


def _last_error(stage: Stage) -> str:
    errors = [poll.error for poll in stage.polls if poll.error is not None]
    return f" ({type(errors[-1]).__name__}: {str(errors[-1])[:100]})" if errors else ""


def _properties(bench: Bench, stage: Stage) -> None:
    backend = stage.backend
    for name in ("counters", "ages", "answers", "address", "commands", "writable"):
        try:
            value = getattr(backend, name)
            if name in ("counters", "ages"):
                wrong = [key for key, number in value.items() if not (isinstance(number, int | float) and number >= 0)]
                if wrong:
                    bench.fail("properties", f"{name} of the backend held no number of at least 0 for {wrong[0]}")
        except Exception as error:
            bench.fail("properties", f"{name} of the backend raised {type(error).__name__}")


async def quantities(bench: Bench) -> None:
    """The charge, the powers and the remaining time, as the device reports them."""
    if bench.failed("start", "calm"):
        return
    async with bench.stage("on the grid, while charge and power change") as stage:
        await stage.run(3 * stage.pace)
        if bench.can("charge"):
            for percent in (73.0, 66.0):
                await stage.tell(stage.device.charge(percent))
                await charge_is(bench, stage, percent, "on the grid")
            if bench.failed("stuck"):
                return
        if bench.can("load"):
            await stage.tell(stage.device.load(WATTS))
            await stage.until(lambda: _near(stage.number("ups.realpower"), WATTS, 0.05), stage.device.settles)
            _power(bench, stage)
        if bench.can("battery"):
            await _directions(bench, stage, "on the grid")
        if bench.can("runtime"):
            await _runtime(bench, stage)


async def charge_is(bench: Bench, stage: Stage, percent: float, where: str) -> None:
    """Wait until the device's charge is served, and judge it."""
    if stage.number("battery.charge") is None and stage.clock.now - stage.moments[0].at > stage.device.settles:
        return
    before = _returned(stage)
    await stage.until(lambda: _close(stage.number("battery.charge"), percent), stage.device.settles)
    found = stage.number("battery.charge")
    if found is not None and _returned(stage) == before and not _close(found, percent):
        after = f"{stage.device.settles:.0f} s after the charge had become {percent:g} %"
        bench.fail("stuck", f"{where}, {after}, upsd was still given {found:g} %")
    elif not _close(found, percent):
        shown = "none" if found is None else f"{found:g} %"
        bench.fail("charge", f"{where}, with a charge of {percent:g} %, upsd was given {shown}")


def _returned(stage: Stage) -> object:
    readings = [poll.reading for poll in stage.polls if poll.reading is not None]
    return readings[-1].values.get("battery.charge") if readings else None


def _close(found: float | None, wanted: float) -> bool:
    return found is not None and abs(found - wanted) <= 2.0


def _near(found: float | None, wanted: float, share: float) -> bool:
    return found is not None and abs(found - wanted) <= share * abs(wanted)


def _power(bench: Bench, stage: Stage) -> None:
    found = stage.number("ups.realpower")
    if found is not None and not _near(found, WATTS, 0.05):
        bench.fail("power", f"while the house took {WATTS:.0f} W, upsd was given ups.realpower {found:g}")


async def _directions(bench: Bench, stage: Stage, where: str) -> None:
    for watts, wrong, word in ((WATTS, Status.CHRG, "charging"), (-WATTS, Status.DISCHRG, "discharging")):
        await stage.tell(stage.device.battery(watts))
        await stage.run(30 + 3 * stage.pace)
        shown = stage.now.values.get("battery.charger.status", "")
        if stage.served(wrong) or shown == word:
            what = "gave" if watts > 0 else "was charged with"
            text = f"{where}, while the battery {what} {WATTS:.0f} W, upsd was given {stage.now.words} {shown}"
            bench.fail("direction", text.rstrip())
    await stage.tell(stage.device.battery(0.0))


async def _runtime(bench: Bench, stage: Stage) -> None:
    for seconds in (7200.0, 3600.0):
        await stage.tell(stage.device.runtime(seconds))
        await stage.until(lambda wanted=seconds: _near(stage.number("battery.runtime"), wanted, 0.02), 60.0)  # type: ignore[misc]
        found = stage.number("battery.runtime")
        if found is not None and not _near(found, seconds, 0.02):
            bench.fail("runtime", f"while the device told a remaining time of {seconds:.0f} s, upsd was given {found:g}")
