# SPDX-License-Identifier: GPL-2.0-or-later
"""``nutdrv_py check`` of another server's UPS: does that server answer, with good data, and let us in. Asked once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

from nutdrv_py.backends.repeater.config import RepeaterConfig
from nutdrv_py.backends.repeater.line import Line
from nutdrv_py.backends.repeater.mirror import mirror
from nutdrv_py.device.findings import Finding, failed, ok, warning
from nutdrv_py.device.mapping import to_number
from nutdrv_py.errors import DeviceError

__all__ = ["examine", "marks"]

ANSWER = 5.0
"""Seconds for everything; a driver does not wait longer either."""


LOW = "battery.charge.low"

RUNTIME = "battery.runtime.low"


async def examine(config: RepeaterConfig, line: Line, identity: str) -> AsyncIterator[Finding]:
    """Look at the source over a ``line`` of its own; ``identity`` is how a loop is noticed."""
    try:
        values = await asyncio.to_thread(_fetch, line)
        reading = mirror(line.source, values, identity)
    except DeviceError as error:
        text, _, advice = str(error).partition("; ")
        yield failed("source", text, advice or f"look there with: upsc {line.source}")
        return
    yield ok("source", f"{line.source} says {str(reading.status)!r} and {len(values)} variables")
    yield marks(config, values)
    if line.rejected:
        text, _, advice = line.rejected.partition("; ")
        yield warning("login", f"{text}, so nothing can be set there, only read", advice or "correct username = and password =")


def marks(config: RepeaterConfig, values: Mapping[str, str]) -> Finding:
    """Return whether the low mark of ``config`` makes LB here earlier than the source does, whose variables are ``values``.

    The order of the marks is that of core/lowbattery.py: override.*, ``lowbatt``; default.* only if the source has none.
    """
    override, default = to_number(config.overrides.get(LOW)), to_number(config.defaults.get(LOW))
    own = config.lowbatt if override is None else override
    theirs = to_number(values.get(LOW))
    there = "at a mark that it does not publish" if theirs is None else f"at {theirs:g} %"
    if own is None and default is not None:
        if theirs is not None:
            text = f"default.{LOW} = {default:g} does nothing, because the source has a mark of its own, {theirs:g} %"
            return warning("low", text, f"write lowbatt = {default:g} instead into its section in ups.conf")
        own = default
    if own is None:
        runtime = " or at its own battery.runtime.low" if RUNTIME in {*config.overrides, *config.defaults} else ""
        return ok("low", f"LB begins when the source says it, {there}{runtime}")
    if to_number(values.get("battery.charge")) is None:
        text = f"the mark of {own:g} % does nothing, because the source publishes no battery.charge"
        return failed("low", text, "write override.battery.runtime.low = SECONDS instead, if it publishes battery.runtime")
    if theirs is not None and own <= theirs:
        return warning(
            "low", f"the mark of {own:g} % makes no LB earlier: that of the source is {theirs:g} %",
            f"write lowbatt = {min(99, int(theirs) + 1)} or more into its section in ups.conf, or take the line out",
        )  # fmt: skip
    return ok("low", f"LB begins at {own:g} % of charge, that of the source {there}")


def _fetch(line: Line) -> dict[str, str]:
    line.begin(ANSWER)
    try:
        line.open()
        rows = line.rows("VAR")
    finally:
        line.close()
    return {row[0]: " ".join(row[1:]) if row[0] == "ups.status" else row[1] for row in rows if len(row) > 1}
