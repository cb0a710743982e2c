# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows of the real devices: each ends, falls silent and comes back in each way, on the grid and in an outage, full and low.

The bounds are those of :mod:`tests.drills.rows`; a device adds what it takes to see an outage.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.drills.bounds import ACTS, BUSY, DEADTIME, FROM_281, FROM_283, LOOK, LOOKS, MAXAGE, OUTAGE, SHORTLY
from tests.drills.steps import Change, Exit, Fail, Kill, Reload, Say, Seen, Start, Step, Stop, Terminate, Value, Wait
from tests.drills.verdicts import Never, Open, Row, Within

__all__ = ["HOUSES"]


@dataclass(frozen=True, slots=True)
class House:
    """How a device is put into an outage and back, by steps; ``sees`` are the seconds in which upsd serves the change."""

    outage: Step
    grid: Step
    low: Step
    """An outage in which the charge is below the mark."""
    sees: float
    eve: Step
    """A charge little above the mark: one that falls by more at once is doubted."""


DEVICES = {
    "dummy": House(Say(OUTAGE), Say("OL"), Say("OB LB"), 5, Say("OL")),
    "repeater": House(Say(OUTAGE), Say("OL"), Say("OB LB"), 12, Say("OL")),
    "rct": House(Change({"grid": "outage"}), Change({"grid": "on"}), Change({"grid": "outage", "soc": 14}), 12, Change({"soc": 23})),
    "enphase": House(Change({"grid": "outage"}), Change({"grid": "on"}), Change({"grid": "outage", "soc": 18}), 12, Change({"soc": 26})),
}

ENDS: dict[str, tuple[Step, ...]] = {
    "upsdrvctl stop": (Stop(),),
    "driver.exit": (Exit(),),
    "SIGTERM": (Terminate(),),
    "kill -9": (Kill(),),
    "the device is away": (Fail(),),
}
QUICK = ("kill -9", "the device is away")

# The source of a repeater, a request and a poll that hang take their own time besides.
SLOW = 2 * MAXAGE
SILENT = Within(SLOW + ACTS + LOOKS + BUSY)
HASTY = ((FROM_281, Within(SLOW + LOOKS + 2 * LOOK + BUSY)), (FROM_283, SILENT))

_ends = tuple(
    row
    for device, house in DEVICES.items()
    for way, steps in ENDS.items()
    for row in (
        Row(
            name=f"{device}: on the grid, then {way}",
            device=device,
            options=SHORTLY,
            steps=(Seen("OL", within=30), Wait(LOOKS), *steps),
            verdict=Never(SLOW + LOOKS + ACTS),
            never=("OB", "LB"),
            quick=way in QUICK,
            because="upsmon knows the UPS on the grid and holds nothing against its silence.",
        ),
        Row(
            name=f"{device}: in an outage, then {way}",
            device=device,
            options=SHORTLY,
            steps=(Seen("OL", within=30), house.outage, Seen("OB", within=30), Wait(LOOKS), *steps),
            verdict=SILENT,
            by_release=HASTY,
            never=("LB",),
            quick=way in QUICK,
            because="Silence on battery acts within maxage, DEADTIME and two looks; ending waits until upsmon has seen OB.",
        ),
    )
)

_stories = tuple(
    row
    for device, house in DEVICES.items()
    for row in (
        Row(
            name=f"{device}: restarted at once in an outage",
            device=device,
            steps=(Seen("OL", within=30), house.outage, Seen("OB", within=30), Wait(LOOKS), Kill(), Start(), Seen("OB", within=10)),
            verdict=Never(ACTS),
            by_release=((FROM_281, Open(ACTS)), (FROM_283, Never(ACTS))),
            never=("LB", "OL LB"),
            phased=False,
            quick=False,
            because="It is back within DEADTIME with what the device says; 2.8.1 and 2.8.2 act if they look meanwhile.",
        ),
        Row(
            name=f"{device}: low in an outage",
            device=device,
            first=house.eve,
            steps=(Seen("OL", within=30), house.low),
            verdict=Within(house.sees + 2 * LOOK + BUSY),
            quick=device != "repeater",
            because="LB comes with the first charge that is told in the outage, and upsmon acts at its next look.",
        ),
        Row(
            name=f"{device}: an outage of some seconds",
            device=device,
            steps=(Seen("OL", within=30), house.outage, Seen("OB", within=30), Wait(3), house.grid, Seen("OL", within=120)),
            verdict=Never(ACTS),
            never=("LB",),
            quick=False,
            because="The battery is full enough, and the grid is back.",
        ),
        Row(
            name=f"{device}: away for 6 s in an outage",
            device=device,
            options={"maxage": "20"},
            steps=(Seen("OL", within=30), house.outage, Seen("OB", within=30), Wait(2), Fail(), Wait(6), house.outage, Seen("OB", within=30)),
            verdict=Never(DEADTIME),
            never=("LB",),
            quick=False,
            because="The last status is served for maxage.",
        ),
        Row(
            name=f"{device}: reloaded in an outage, then low",
            device=device,
            first=house.eve,
            steps=(Seen("OL", within=30), house.outage, Seen("OB", within=30), Reload(), house.low),
            verdict=Within(house.sees + 2 * LOOK + BUSY),
            quick=False,
            because="A reload changes nothing of what the device says.",
        ),
    )
)

SILENT_OBJECTS = ("battery.soc", "g_sync.p_acc_lp", "g_sync.p_ac_load_sum_lp", "g_sync.p_ac_sum_lp", "battery.maximum_discharge_current")
EMPTYING = {"grid": "outage", "soc": 17, "soc_min_island": 10, "load": 5900, "pv": 0}

_doubts = (
    Row(
        name="rct: only the flag is answered while 5.9 kW are drawn, two points above the mark",
        device="rct",
        first=Change(EMPTYING),
        steps=(Seen("OB", within=30), Value("battery.charge", "1[67]"), Change({"mute": SILENT_OBJECTS})),
        verdict=Within(60 + 2 * LOOK + BUSY),
        because="2 points of 3.8 kWh last 46 s at 5.9 kW, and the last charge counts for 15 s. At 100 W it was 46 minutes.",
    ),
    Row(
        name="rct: restarted in an outage, only the flag is answered",
        device="rct",
        first=Change(EMPTYING),
        steps=(
            Seen("OB", within=30),
            Value("battery.charge", "1[67]"),
            Kill(),
            Change({"mute": SILENT_OBJECTS}),
            Start(),
            Seen("OB", within=30),
        ),
        verdict=Within(70 + 2 * LOOK + BUSY),
        phased=False,
        because="The charge, its time and what was drawn survive the restart.",
    ),
    Row(
        name="rct: the permitted discharge current is 0 beside 60 %",
        device="rct",
        first=Change({"grid": "outage", "soc": 60}),
        steps=(Seen("OB", within=30), Wait(5), Change({"override": {"battery.maximum_discharge_current": 0.0}})),
        verdict=Never(60),
        never=("LB",),
        because="A 0 beside a high charge must stay for two minutes, as a charge of 0 must.",
    ),
    Row(
        name="rct: the island's limit jumps to 95 % and to 100 %",
        device="rct",
        first=Change({"grid": "outage", "soc": 60}),
        options={"pollfreq": "5"},
        steps=(
            Seen("OB", within=30),
            Wait(8),
            Change({"override": {"power_mng.soc_min_island": 1.0}}),
            Wait(15),
            Change({"override": {"power_mng.soc_min_island": 0.95}}),
        ),
        verdict=Never(40),
        never=("LB",),
        because="No island keeps 95 % of its battery; any other jump must stay for two minutes.",
    ),
    Row(
        name="rct: the flag is all ones",
        device="rct",
        steps=(Seen("OL", within=30), Change({"override": {"prim_sm.island_flag": 0xFFFF}})),
        verdict=Never(25),
        never=("OB",),
        because="Unknown bits are no statement; the Power Switch sees the grid.",
    ),
    Row(
        name="rct: the charge stands still at 17 % while 5.9 kW are drawn",
        device="rct",
        first=Change({**EMPTYING, "soc": 60, "override": {"battery.soc": 0.17}}),
        steps=(Seen("OB", within=30),),
        verdict=Within(200 + 2 * LOOK + BUSY, earliest=60),
        quick=False,
        phased=False,
        because="7 points of 3.8 kWh last 162 s at 5.9 kW: 5 until what was drawn counts, 2 to the mark.",
    ),
)

HOUSES: tuple[Row, ...] = (*_ends, *_stories, *_doubts)
