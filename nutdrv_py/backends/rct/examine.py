# SPDX-License-Identifier: GPL-2.0-or-later
"""``nutdrv_py check`` at an RCT inverter: does it answer, what is it, can it see an outage, has it a battery.

Ten reads on a connection of its own: the inverter takes several clients, so a running driver goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping

from nutdrv_py.backends.rct import site
from nutdrv_py.backends.rct.client import Line
from nutdrv_py.backends.rct.config import RctConfig, address
from nutdrv_py.backends.rct.grid import Evidence
from nutdrv_py.backends.rct.inventory import discover
from nutdrv_py.clock import Clock
from nutdrv_py.device.findings import Finding, failed, low_mark, ok, warning
from nutdrv_py.device.house import LOW_UNKNOWN
from nutdrv_py.errors import DeviceError
from nutdrv_py.protocols.rct.objects import BY_NAME

__all__ = ["examine"]

LIMIT = "power_mng.soc_min_island"
"""The charge at which the inverter ends an island."""

# fmt: off
FIRST = ("prim_sm.island_flag", "inverter_sn", "svnversion", "rb485.available")
"""Asked first: whether it answers, and its identity."""

SECOND = (
    "rb485.u_l_grid[0]", "rb485.u_l_grid[1]", "rb485.u_l_grid[2]",
    "battery.soc", "power_mng.battery_type", LIMIT,
)
"""Asked when it answers."""
# fmt: on

TRIES = 2
"""How often each object is asked: others talk on the same line, and a request may be lost."""

SLOW = 1.0
"""Seconds for an answer from which the line is slow; an answer usually takes 0.1."""

MARGIN = 5.0
"""Percentage points from LB to that limit in which servers can stop: the default of charge_low_margin."""

SHARE = 0.25
"""Part of the requests that may stay without a usable answer before the line is called bad."""

CROWDED = "see how many programs are connected to it, and its Wi-Fi signal"


async def examine(config: RctConfig, clock: Clock) -> AsyncIterator[Finding]:
    """Look at the inverter."""
    host, port = address(config.port)
    line = Line(host, port, clock, window=1)
    try:
        await line.open()
        if config.wakeup:
            line.wake()
        began = clock.monotonic()
        answered = await _ask(line, FIRST)
        woken = False
        if not any(answered.values()) and not config.wakeup:
            line.wake()
            began = clock.monotonic()
            answered = await _ask(line, FIRST)
            woken = any(answered.values())
        if not any(answered.values()):
            calling = line.damage.bootloader > 1
            yield failed(
                "inverter", "its bootloader is calling: its firmware is being updated, or an update has failed" if calling
                else f"{host}:{port} takes the connection but does not answer",
                "wait for the end of the update" if calling
                else "is this the inverter's address? Close other programs that are connected to it; at night it may sleep",
            )  # fmt: skip
            return
        took = (clock.monotonic() - began) / len(FIRST)
        if woken:
            yield warning("wakeup", "it answers only after the extension frame", "write wakeup into its section in ups.conf")
        answered |= await _ask(line, SECOND)
        values = {name: datum.value for name, datum in line.values.items()}
        yield _identity(values)
        yield _line(answered, took)
        for finding in _system(values, config):
            yield finding
    except DeviceError as error:
        yield failed("inverter", str(error), "is it switched on, and port = in ups.conf its address?")
    finally:
        line.close()


async def _ask(line: Line, names: tuple[str, ...]) -> dict[str, bool]:
    until = asyncio.get_running_loop().time() + len(names)
    return await line.ask([BY_NAME[name] for name in names], tries=TRIES, until=until)


def _identity(values: Mapping[str, object]) -> Finding:
    serial, firmware = (values.get(name) or "not reported" for name in ("inverter_sn", "svnversion"))
    return ok("inverter", f"{serial}, firmware {firmware}; asked beside the driver, because it takes several clients")


def _line(answered: Mapping[str, bool], took: float) -> Finding:
    lost = [name for name, came in answered.items() if not came]
    text = f"{len(answered) - len(lost)} of {len(answered)} objects answered, {took * 1000:.0f} ms each"
    if len(lost) > SHARE * len(answered):
        return warning("line", f"{text}; none for {', '.join(lost)}", CROWDED)
    if took > SLOW:
        return warning("line", text, CROWDED)
    return ok("line", text)


def _system(values: Mapping[str, object], config: RctConfig) -> Iterator[Finding]:
    flag = values.get("prim_sm.island_flag")
    evidence = Evidence(flag if isinstance(flag, int) else None, site.grid_side(values))
    votes = evidence.votes(config.nominal_voltage)
    inventory = discover(values)
    now = "" if not votes else "; now off the grid" if any(votes.values()) else "; now on the grid"
    if not votes:
        yield failed(
            "outage", "it reports neither the island flag nor the voltages of a Power Switch", "ask RCT Power for newer firmware"
        )
    elif inventory.switch is False and not any(votes.values()):
        yield failed(
            "outage", "this system cannot see one: it has no Power Switch, and in an outage the inverter falls silent",
            "do not rely on it for a shutdown",
        )  # fmt: skip
    elif inventory.switch is None:
        yield warning("outage", f"it does not report whether there is a Power Switch{now}", "type the same again in a minute")
    else:
        yield ok("outage", f"can be seen by {' and '.join(sorted(votes))}{now}")
    yield _battery(values, there=inventory.battery)
    if inventory.battery is not False:
        yield _low(values, config)


def _battery(values: Mapping[str, object], *, there: bool | None) -> Finding:
    if there is False:
        return failed("battery", "the inverter has none", "do not use it as a UPS")
    charge = site.number(values, "battery.soc")
    if charge is None:
        return warning("battery", "its charge was not reported", "type the same again in a minute")
    least = site.number(values, LIMIT)
    shown = "" if least is None else f", the inverter's limit in an island is {least * 100:.0f} %"
    text = f"{charge * 100:.0f} % charged{shown}"
    if least is not None and charge <= least:
        return warning(
            "battery", f"{text}: in an outage all would be dark at once",
            "let it charge; to keep more for an outage, have the least charge on the grid (soc_min) raised above the limit",
        )  # fmt: skip
    return ok("battery", text)


def _low(values: Mapping[str, object], config: RctConfig) -> Finding:
    """Report the low mark that a driver would begin with; what upsrw has set in one that runs is not known here."""
    least = site.number(values, LIMIT)
    stop = None if least is None else round(least * 100, 1)
    device = LOW_UNKNOWN if stop is None else min(99.0, stop + config.charge_low_margin)
    return low_mark(config, device, stop, MARGIN)
