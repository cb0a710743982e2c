# SPDX-License-Identifier: GPL-2.0-or-later
"""What happens to the machine and to the programs around the driver."""

from __future__ import annotations

from tests.drills.acts import Command, Configure, End, Freeze, NoFiles, Server, Set
from tests.drills.bounds import (
    ACTS,
    ALARM,
    BUSY,
    FROM_281,
    FROM_283,
    GONE_ON_BATTERY,
    HASTY,
    LOOK,
    LOW,
    MAXAGE,
    OUTAGE,
    SAFE,
    SHORTLY,
    SILENT_ON_BATTERY,
    UNWATCHED,
)
from tests.drills.steps import Fail, Hold, Kill, Reload, Say, Seen, Silence, Start, Wait, Watch
from tests.drills.verdicts import Open, Row, Within

__all__ = ["ROWS"]

ALL = ("driver", "server", "monitor")
UPSD_WAITS = 15
"""Seconds after which upsd gives a driver up that does not answer: its MAXAGE."""

_upsd = (
    Row(
        name="OL, upsd is killed",
        steps=(End("server"),),
        verdict=SAFE,
        because="upsmon knows the UPS on the grid and holds nothing against its silence.",
    ),
    Row(
        name="ALARM OL, upsd is killed",
        first=ALARM,
        steps=(End("server"),),
        verdict=SAFE,
        by_release=((FROM_283, Open(ACTS)),),
        cannot="upsmon 2.8.3 and later shut down for an alarm whose upsd is gone; no driver has a part in it.",
        because="Until 2.8.2 an alarm is not held against a silent UPS.",
    ),
    Row(
        name="OB, upsd is killed",
        first=Say(OUTAGE),
        steps=(End("server"),),
        verdict=GONE_ON_BATTERY,
        by_release=HASTY,
        because="Silence on battery acts, whoever is silent.",
    ),
    Row(
        name="OB, upsd is started anew at once",
        first=Say(OUTAGE),
        steps=(End("server"), Server(), Seen("OB")),
        verdict=SAFE,
        by_release=((FROM_281, Open(ACTS)), (FROM_283, SAFE)),
        because="The driver tells a new upsd all it knows; 2.8.1 and 2.8.2 act if they look meanwhile.",
    ),
    Row(
        name="OB, upsd is started anew, then the charge is low",
        first=Say(OUTAGE),
        steps=(End("server"), Server(), Seen("OB"), Say("OB LB")),
        verdict=LOW,
        by_release=((FROM_281, Open(ACTS)), (FROM_283, LOW)),
        quick=False,
        phased=False,
        because="The driver serves a new upsd like the one before.",
    ),
    Row(
        name="OB, upsd hangs for 10 s",
        first=Say(OUTAGE),
        steps=(Freeze(10, ("server",)), Seen("OB")),
        verdict=SAFE,
        by_release=((FROM_281, Open(ACTS)), (FROM_283, SAFE)),
        quick=False,
        because="It is back within DEADTIME.",
    ),
    Row(
        name="OL, upsd hangs for 30 s",
        steps=(Freeze(30, ("server",)), Seen("OL")),
        verdict=SAFE,
        quick=False,
        phased=False,
        because="On the grid a silent upsd is no reason.",
    ),
    Row(
        name="OB, upsmon is started anew, then the charge is low",
        first=Say(OUTAGE),
        steps=(End("monitor"), Watch(), Say("OB LB")),
        verdict=LOW,
        because="upsmon knows nothing of the one before it, and needs nothing.",
    ),
    Row(
        name="OB, upsmon is started anew, then the device is away",
        first=Say(OUTAGE),
        options=SHORTLY,
        steps=(End("monitor"), Watch(), Fail()),
        verdict=SILENT_ON_BATTERY,
        by_release=((FROM_281, Within(MAXAGE + 2 * LOOK + BUSY)), (FROM_283, SILENT_ON_BATTERY)),
        quick=False,
        because="It has seen the outage at its first look.",
    ),
    Row(
        name="the device is away in an outage, and upsmon starts only then",
        first=Say(OUTAGE),
        options=SHORTLY,
        prelude=UNWATCHED,
        steps=(Seen("OB"), Fail(), Silence(20), Watch()),
        verdict=SAFE,
        quick=False,
        phased=False,
        because="upsmon does not shut down for a UPS that it has never known.",
        cannot="An upsmon that starts while the device is silent knows nothing of the outage: no shutdown, however empty the battery.",
    ),
)

_paused = (
    *(
        Row(
            name=f"OB, the driver is stopped for {seconds} s",
            first=Say(OUTAGE),
            options={"maxage": "15"},
            steps=(Freeze(seconds), Seen("OB"), Hold("OB", 4)),
            verdict=SAFE,
            by_release=((FROM_281, Open(ACTS)), (FROM_283, SAFE)) if seconds > UPSD_WAITS else (),
            quick=seconds == 10,
            phased=False,
            because="upsd gives it up after 15 s, and upsmon waits for DEADTIME besides; afterwards one poll tells all.",
        )
        for seconds in (10, 20)
    ),
    Row(
        name="OB, the driver is stopped",
        first=Say(OUTAGE),
        steps=(Freeze(UPSD_WAITS + ACTS + BUSY),),
        verdict=Within(UPSD_WAITS + ACTS + BUSY),
        quick=False,
        phased=False,
        because="A driver that hangs is silence: upsd gives it up after 15 s, and upsmon acts before it goes on.",
    ),
    Row(
        name="OL, the driver is stopped for 30 s",
        steps=(Freeze(30), Seen("OL"), Hold("OL", 4)),
        verdict=SAFE,
        quick=False,
        phased=False,
        because="On the grid a driver that hangs is no reason; afterwards one poll tells all.",
    ),
    Row(
        name="OL, the whole host is paused for 30 s",
        steps=(Freeze(30, ALL), Seen("OL"), Hold("OL", 4)),
        verdict=SAFE,
        never=("OB", "LB"),
        phased=False,
        because="Time that has passed for nobody says nothing of the device.",
    ),
    Row(
        name="OB, the whole host is paused for 8 s",
        first=Say(OUTAGE),
        options={"maxage": "15"},
        steps=(Freeze(8, ALL), Seen("OB"), Hold("OB", 4)),
        verdict=SAFE,
        quick=False,
        phased=False,
        because="Shorter than anything that waits.",
    ),
    Row(
        name="OB, the whole host is paused for 30 s",
        first=Say(OUTAGE),
        steps=(Freeze(30, ALL), Wait(5)),
        verdict=Open(ACTS),
        never=("LB",),
        quick=False,
        phased=False,
        cannot="After a pause of the host in an outage upsmon finds that DEADTIME has passed: it may shut down before it looks again.",
        because="What the driver serves stays what the device says.",
    ),
)

_full = (
    Row(
        name="dummy: OB, no file can be written, then the charge is low",
        device="dummy",
        first=Say(OUTAGE),
        steps=(NoFiles(), Wait(3), Say("OB LB")),
        verdict=LOW,
        alive=True,
        phased=False,
        because="Neither a log nor a file is needed to tell upsd of the outage.",
    ),
    Row(
        name="dummy: OB, no file can be written, kill -9 and start at once",
        device="dummy",
        first=Say(OUTAGE),
        steps=(NoFiles(), Kill(), Start(), Seen("OB")),
        verdict=SAFE,
        by_release=((FROM_281, Open(ACTS)), (FROM_283, SAFE)),
        phased=False,
        because="A full disk keeps no driver from starting: without a pid file it serves all the same.",
    ),
)

_clients = (
    Row(
        name="upsrw and upscmd while the poll hangs on battery",
        first=Say(OUTAGE, {"battery.charge": 80}),
        options={"maxage": "30", "default.battery.charge.low": "20"},
        steps=(Fail("hang"), Wait(3), Command("driver.reload", answer="."), Set("battery.charge.low", "85")),
        verdict=LOW,
        phased=False,
        because="The mark is the driver's own, and the last charge is known: no poll is needed.",
    ),
    Row(
        name="upsrw with nonsense on battery",
        first=Say(OUTAGE, {"battery.charge": 80}),
        options={"default.battery.charge.low": "20"},
        steps=(
            *(Set("battery.charge.low", value, answer="ERR|INVALID|FAILED|nexpected") for value in ("101", "-1", "nan", "x", "1e9")),
            Hold("OB", 4, without="LB"),
        ),
        verdict=SAFE,
        phased=False,
        quick=False,
        because="A mark that is none is refused, and the one before stays.",
    ),
    Row(
        name="upscmd driver.killpower and shutdown on battery",
        first=Say(OUTAGE),
        steps=(Command("shutdown.default", answer="."), Command("driver.killpower", answer="."), Hold("OB", 5)),
        verdict=SAFE,
        phased=False,
        quick=False,
        alive=True,
        because="A house cannot be switched off, and what is refused changes nothing.",
    ),
    Row(
        name="a mark set by upsrw outlives a reload on battery",
        first=Say(OUTAGE, {"battery.charge": 80}),
        options={"default.battery.charge.low": "20"},
        steps=(Set("battery.charge.low", "30"), Reload(), Wait(2), Say(OUTAGE, {"battery.charge": 29})),
        verdict=LOW,
        phased=False,
        quick=False,
        because="A reload reads ups.conf, and upsrw stands above its default.",
    ),
    Row(
        name="OB, a second driver of the same section takes over",
        first=Say(OUTAGE),
        steps=(Start(), Wait(5), Seen("OB"), Hold("OB", 4)),
        verdict=SAFE,
        by_release=((FROM_281, Open(ACTS)), (FROM_283, SAFE)),
        phased=False,
        quick=False,
        because="The new one ends the old one and is back within DEADTIME.",
    ),
    Row(
        name="OB, reload with a broken ups.conf",
        first=Say(OUTAGE),
        steps=(Configure(text='[home\n pollinterval = "x'), Hold("OB", 6)),
        verdict=SAFE,
        phased=False,
        alive=True,
        because="A file that cannot be read changes nothing.",
    ),
    Row(
        name="OB, reload of an ups.conf without the section",
        first=Say(OUTAGE),
        steps=(Configure({"[home]": "x", "driver": "other"}), Hold("OB", 6)),
        verdict=SAFE,
        phased=False,
        quick=False,
        alive=True,
        because="A file that does not name the UPS any more changes nothing.",
    ),
)

ROWS = (*_upsd, *_paused, *_full, *_clients)
