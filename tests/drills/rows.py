# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of drills: what happens, and the bound that was written down before it was run."""

from __future__ import annotations

from dataclasses import replace

from tests.drills.bounds import (
    ACTS,
    ALARM,
    AT_ONCE,
    AWAY,
    BUSY,
    ENDED,
    FROM_281,
    FROM_283,
    GONE_ON_BATTERY,
    HASTY,
    LOOK,
    LOOKS,
    LOW,
    MAXAGE,
    OUTAGE,
    SHORT,
    SHORTLY,
    SILENT_ON_BATTERY,
    STOPPED,
    UNWATCHED,
    UPSMON_FIRST,
)
from tests.drills.houses import HOUSES
from tests.drills.seen import Monitor
from tests.drills.steps import (
    Change,
    Exit,
    Fail,
    Hold,
    Kill,
    Look,
    Reload,
    Say,
    Seen,
    Silence,
    Start,
    Step,
    Stop,
    Terminate,
    Value,
    Wait,
)
from tests.drills.stories import STORIES
from tests.drills.verdicts import ONE_PHASE, TWO_PHASES, Never, Open, Row, Within

__all__ = ["ROWS"]

# On the grid: a loud status, then silence in one way or another

LOUD = {
    "ALARM": ALARM,
    "CAL": Say("OL CAL"),
    "BYPASS": Say("OL BYPASS"),
    "OVER": Say("OL OVER"),
    "OFF": Say("OL OFF"),
}

WAYS: dict[str, tuple[Step, Never, float]] = {
    "upsdrvctl stop": (Stop(), STOPPED, 3.5),
    "driver.exit": (Exit(), ENDED, LOOKS),
    "SIGTERM": (Terminate(), ENDED, LOOKS),
    "the device says stale": (Fail("stale"), AWAY, LOOKS),
    "the device is away": (Fail("device"), AWAY, LOOKS),
    "the poll hangs": (Fail("hang"), AWAY, LOOKS),
}
"""The step, how long upsmon must not act, and for how long upsd must have served a quiet status."""

QUICK = {
    *(("ALARM", way) for way in WAYS), ("CAL", "driver.exit"), ("BYPASS", "driver.exit"), ("OVER", "the device says stale"),
    ("OFF", "the device says stale"),
}  # fmt: skip

# upsmon 2.8.0 and 2.8.1 keep CAL for ever: what it does afterwards is not what upsd serves.
_loud = tuple(
    Row(
        name=f"OL {token}, then {way}",
        first=said,
        options=SHORTLY,
        steps=(step,),
        verdict=never,
        gap=gap,
        phases=TWO_PHASES if token == "ALARM" and way == "the device says stale" else ONE_PHASE,
        quick=(token, way) in QUICK,
        by_release=((FROM_281, Open(never.seconds)), ((2, 8, 2), never)) if token == "CAL" else (),
        because="The house is on the grid, and upsmon has had time to see the token withdrawn.",
    )
    for token, said in LOUD.items()
    for way, (step, never, gap) in WAYS.items()
)

BRIEF = {"ALARM OL": ALARM, "OB": Say(OUTAGE)}
QUICK_BRIEF = ("the device says stale", "driver.exit", "upsdrvctl stop")

_brief = tuple(
    Row(
        name=f"{loud}, 2 s of OL, then {way}",
        first=said,
        options=SHORTLY,
        steps=(Say("OL"), Wait(2), step),
        verdict=never,
        gap=gap,
        phases=TWO_PHASES if way == "the device says stale" else (0.5,),
        quick=way in QUICK_BRIEF,
        because="The device said last that the grid is there; upsmon must have seen it before the silence.",
    )
    for loud, said in BRIEF.items()
    for way, (step, never, gap) in WAYS.items()
)

_grid = (
    Row(
        name="one poll of OL OFF, then silence",
        options=SHORTLY,
        steps=(Say("OL OFF"), Wait(1.5), Fail()),
        verdict=AWAY,
        gap=LOOKS,
        phases=TWO_PHASES,
        because="OFF is withdrawn like an alarm before the data are stale.",
    ),
    Row(
        name="ALARM OL, the package is upgraded: stop and start",
        first=ALARM,
        steps=(Stop(), Start(), Seen("OL")),
        verdict=Never(ACTS),
        gap=3.5,
        phases=TWO_PHASES,
        because="The alarm is withdrawn before the driver ends, and the new one serves it again.",
    ),
    Row(
        name="ALARM OL, restart by driver.exit",
        first=ALARM,
        steps=(Exit(), Start(), Seen("ALARM OL")),
        verdict=Never(ACTS),
        gap=LOOKS,
        because="The alarm is withdrawn and waited for before the driver ends.",
    ),
    Row(
        name="ALARM OL, kill -9 and start, one OL, then stale",
        first=ALARM,
        options=SHORTLY,
        steps=(Kill(), Say("OL"), Start(), Seen("OL"), Wait(1.5), Fail("stale")),
        verdict=AWAY,
        gap=LOOKS,
        phases=(0.5,),
        phased=False,
        because="A new process does not know what the one before it served, and waits as after a loud status.",
    ),
    Row(
        name="OL, driver killed",
        steps=(Kill(),),
        verdict=Never(ACTS),
        because="upsmon knows the UPS on the grid and holds nothing against its silence.",
    ),
    Row(
        name="OL CAL, driver killed",
        first=Say("OL CAL"),
        steps=(Kill(),),
        verdict=Never(ACTS),
        by_release=((FROM_281, AT_ONCE),),
        because="No driver can withdraw anything after kill -9: from 2.8.1 on this remains.",
    ),
    Row(
        name="OL CAL, kill -9 and start at once",
        first=Say("OL CAL"),
        steps=(Kill(), Start(), Seen("OL")),
        verdict=Never(ACTS),
        phases=(0.5,),
        phased=False,
        because="The driver is back before upsmon looks.",
    ),
    Row(
        name="upsmon starts, the device was never reached",
        first=Fail(),
        steps=(Silence(),),
        verdict=Never(ACTS),
        because="upsmon does not shut down for a UPS that it has never known.",
    ),
    Row(
        name="ALARM OL, the poll hangs, then driver.exit",
        first=ALARM,
        options={"maxage": "30"},
        steps=(Fail("hang"), Wait(2), Exit()),
        verdict=ENDED,
        gap=LOOKS,
        because="A backend that hangs keeps the driver neither from withdrawing nor from ending.",
    ),
    Row(
        name="a cached OL falls silent by its age",
        options=SHORTLY,
        steps=(Say("OL", age=0), Silence(MAXAGE + LOOKS + BUSY)),
        verdict=Never(ACTS),
        because="A reading ages from when it was taken: it is stale after maxage although each poll returns it.",
    ),
    Row(
        name="a cached ALARM OL falls silent by its age",
        options=SHORTLY,
        steps=(replace(ALARM, age=0), Silence(MAXAGE + LOOKS + BUSY)),
        verdict=Never(ACTS),
        gap=LOOKS,
        because="The same, and the alarm is withdrawn before.",
    ),
    Row(
        name="a retained message of an hour ago: OB LB",
        first=Say("OB LB", age=3600),
        prelude=UPSMON_FIRST,
        verdict=Never(ACTS),
        never=("LB", "OB"),
        because="What was said an hour ago says nothing about now.",
    ),
    Row(
        name="POLLFREQ 10 and looks = 12: ALARM OL, then stale",
        first=ALARM,
        options={**SHORTLY, "looks": "12"},
        monitor=Monitor(look=10, deadtime=30),
        steps=(Fail("stale"),),
        verdict=Never(MAXAGE + 12 + 30 + 20),
        gap=12,
        phases=TWO_PHASES,
        quick=False,
        because="The option looks names the longest time between two looks of any upsmon.",
    ),
    Row(
        name="dummy: OL OFF, then the file is gone",
        device="dummy",
        first=Say("OL OFF"),
        options=SHORTLY,
        steps=(Fail(),),
        verdict=AWAY,
        gap=LOOKS,
        because="Every backend is guarded alike.",
    ),
    Row(
        name="dummy: OB, 2 s of OL, then driver.exit",
        device="dummy",
        first=Say(OUTAGE),
        options=SHORTLY,
        steps=(Say("OL"), Wait(2), Exit()),
        verdict=ENDED,
        gap=LOOKS,
        phases=(0.5,),
        because="Every backend is guarded alike.",
    ),
    Row(
        name="enphase: a battery is shut down, then the gateway is away",
        device="enphase",
        first=Change({"packs_bad": 2}),
        options=SHORTLY,
        steps=(Seen("OL"), Fail()),
        verdict=AWAY,
        gap=LOOKS,
        because="Every backend is guarded alike.",
    ),
    Row(
        name="rct: a fault, then the inverter is away",
        device="rct",
        first=Change({"faults": (25,), "soc": 9}),
        options=SHORTLY,
        steps=(Seen("ALARM OL", within=30), Look(), Fail()),
        verdict=Never(2 * MAXAGE + LOOKS + ACTS),
        gap=LOOKS,
        because="Every backend is guarded alike.",
    ),
    Row(
        name="rct: start in an outage at 18 %, the inverter's limit is 10 %",
        device="rct",
        first=Change({"grid": "outage", "soc": 18, "soc_min_island": 10, "load": 300}),
        prelude=UPSMON_FIRST,
        steps=(Seen("OB"),),
        verdict=Never(20),
        never=("LB",),
        phases=TWO_PHASES,
        because="A mark that is not known makes no LB; the charge is above the true one for an hour.",
    ),
    Row(
        name="rct: the switch has measured 0 V on all phases since ever",
        device="rct",
        first=Change({"load": 120, "override": {f"rb485.u_l_grid[{phase}]": 0.0 for phase in range(3)}}),
        steps=(Seen("OL"),),
        verdict=Never(25),
        never=("OB",),
        because="A side of the switch that was never alive is no witness; the flag says grid.",
    ),
)


# On battery: silence, restarts, and low batteries

_battery = (
    *(
        Row(
            name=f"OB, then {way}",
            first=Say(OUTAGE),
            options=SHORTLY,
            steps=(step,),
            verdict=SILENT_ON_BATTERY,
            never=("OL", "LB"),
            phases=TWO_PHASES if way == "the device is away" else ONE_PHASE,
            by_release=((FROM_281, Within(MAXAGE + 2 * LOOK + BUSY)), (FROM_283, SILENT_ON_BATTERY)),
            because="Silence on battery acts within maxage, DEADTIME and two looks.",
        )
        for way, (step, _, _) in WAYS.items()
        if isinstance(step, Fail)
    ),
    *(
        Row(
            name=f"OB, then {way}",
            first=Say(OUTAGE),
            steps=(step,),
            verdict=GONE_ON_BATTERY,
            by_release=HASTY,
            stops_within=2.5,
            because="On battery the driver ends at once: waiting would only delay the shutdown.",
        )
        for way, step in (("upsdrvctl stop", Stop()), ("driver.exit", Exit()), ("SIGTERM", Terminate()), ("kill -9", Kill()))
    ),
    Row(
        name="OB, kill -9 and start at once",
        first=Say(OUTAGE),
        steps=(Kill(), Start(), Seen("OB")),
        verdict=Never(ACTS),
        by_release=((FROM_281, Open(ACTS)), (FROM_283, Never(ACTS))),
        because="It is back within DEADTIME; 2.8.1 and 2.8.2 act if they look meanwhile.",
    ),
    Row(
        name="OB, silent for 8 s with maxage 15",
        first=Say(OUTAGE),
        options={"maxage": "15"},
        steps=(Fail(), Wait(8), Say(OUTAGE)),
        verdict=Never(ACTS),
        because="The last reading is served for maxage.",
    ),
    Row(
        name="OB published early, then the poll hangs",
        options=SHORTLY,
        steps=(Say(OUTAGE, how="early"),),
        verdict=Within(MAXAGE + LOOKS + ACTS + BUSY),
        by_release=((FROM_281, Within(MAXAGE + LOOKS + 2 * LOOK + BUSY)), (FROM_283, Within(MAXAGE + LOOKS + ACTS + BUSY))),
        because="An early reading counts like any; upsmon needs a look to know of the outage.",
    ),
    Row(
        name="OB for 1 s, then the device says stale",
        options=SHORTLY,
        steps=(Say(OUTAGE), Wait(1.5), Fail("stale")),
        verdict=Within(LOOKS + ACTS + BUSY),
        phases=TWO_PHASES,
        by_release=((FROM_281, Within(LOOKS + 2 * LOOK + BUSY)), (FROM_283, Within(LOOKS + ACTS + BUSY))),
        because="upsmon acts on silence only if it has seen OB, so OB is served until it has.",
    ),
    Row(
        name="a cached OB falls silent by its age",
        options=SHORTLY,
        steps=(Say(OUTAGE, age=0),),
        verdict=Within(MAXAGE + LOOKS + ACTS + BUSY),
        by_release=((FROM_281, Within(MAXAGE + LOOKS + 2 * LOOK + BUSY)), (FROM_283, Within(MAXAGE + LOOKS + ACTS + BUSY))),
        because="A reading ages from when it was taken.",
    ),
    Row(
        name="OB, a reload, then an error",
        first=Say(OUTAGE),
        prelude=UNWATCHED,
        steps=(Seen("OB"), Reload(), Hold("OB", 3), Fail("bug"), Hold("OB", 6)),
        verdict=Open(1),
        because="No error and no reload changes what the device said about the grid.",
    ),
    Row(
        name="OB LB by the device itself",
        first=Say(OUTAGE),
        steps=(Say("OB LB"),),
        verdict=LOW,
        because="upsmon acts at its next look.",
    ),
    Row(
        name="OB LB CAL",
        steps=(Say("OB LB CAL"),),
        verdict=LOW,
        never=("CAL LB",),
        because="CAL would have upsmon ignore the low battery.",
    ),
    Row(
        name="ignorelb: OB LB by the device, charge 50, mark 20",
        first=Say("OB LB", {"battery.charge": 50, "battery.charge.low": 20}),
        options={"ignorelb": ""},
        verdict=Never(2 * LOOK),
        never=("LB",),
        because="The charge decides, not the device's flag.",
    ),
    Row(
        name="OB at 18 %, no mark anywhere",
        first=Say(OUTAGE, {"battery.charge": 18}),
        verdict=Never(2 * LOOK),
        never=("LB",),
        because="A mark that is not known makes no LB.",
    ),
    Row(
        name="LB stays when the charge vanishes",
        first=Say(OUTAGE, {"battery.charge": 19, "battery.charge.low": 20}),
        prelude=UNWATCHED,
        steps=(Seen("OB LB"), Say(OUTAGE, {"battery.charge.low": 20}), Hold("OB LB", 6)),
        verdict=Open(1),
        because="A charge that is not told any more is no fuller battery.",
    ),
    Row(
        name="LB goes when the charge is above its mark again, and with OL",
        first=Say(OUTAGE, {"battery.charge": 19, "battery.charge.low": 20}),
        prelude=UNWATCHED,
        steps=(
            Seen("OB LB"),
            Say(OUTAGE, {"battery.charge": 30, "battery.charge.low": 20}),
            Hold("OB", 5, without="LB"),
            Say("OB LB"),
            Seen("OB LB"),
            Say("OL"),
            Hold("OL", 4, without="LB"),
        ),
        verdict=Open(1),
        because="A latch that never opens would shut a server down for nothing at the next outage.",
    ),
    Row(
        name="rct: the charge falls below the mark while the inverter is silent",
        device="rct",
        first=Change({"grid": "outage", "soc": 22, "soc_min_island": 10, "load": 5900}),
        steps=(Seen("OB"), Change({"soc": 15.9}), Value("battery.charge", "1[56]"), Fail()),
        verdict=Within(30 + 2 * LOOK + BUSY, earliest=5),
        because="0.8 points of 3.8 kWh last 18 s at 5.9 kW; maxage alone is 60 s. Earlier, it would have been low while heard.",
    ),
    Row(
        name="enphase: OB, then the gateway is away",
        device="enphase",
        first=Change({"grid": "outage"}),
        options=SHORTLY,
        steps=(Seen("OB"), Look(), Fail()),
        verdict=Within(2 * MAXAGE + ACTS + BUSY),
        by_release=((FROM_281, Within(2 * MAXAGE + 2 * LOOK + BUSY)), (FROM_283, Within(2 * MAXAGE + ACTS + BUSY))),
        because="The same as on any backend; a request that hangs takes its api_timeout.",
    ),
)

MARKS: dict[str, tuple[dict[str, str], dict[str, object], float]] = {
    "lowbatt = 30": ({"lowbatt": "30"}, {"battery.charge": 29}, 0),
    "override.battery.charge.low = 30": ({"override.battery.charge.low": "30"}, {"battery.charge": 29}, 0),
    "default.battery.charge.low = 30": ({"default.battery.charge.low": "30"}, {"battery.charge": 29}, 0),
    "override.battery.runtime.low = 600": ({"override.battery.runtime.low": "600"}, {"battery.runtime": 500}, SHORT),
    "default.battery.runtime.low = 600": ({"default.battery.runtime.low": "600"}, {"battery.runtime": 500}, SHORT),
    "the device's own mark": ({}, {"battery.charge": 29, "battery.charge.low": 30}, 0),
}
"""The section's options, the device's values, and how long they must stay so, in seconds."""

_marks = (
    # A .dev file says LB itself, so its own mark makes none.
    *(
        Row(
            name=f"{device}: LB by {mark}",
            device=device,
            first=Say(OUTAGE, {"battery.charge": 80, "battery.runtime": 5000}),
            options=options,
            steps=(Say(OUTAGE, values),),
            verdict=Within(LOW.seconds + stays),
            because="The mark is documented for every section; upsmon acts at its next look.",
        )
        for device in ("scripted", "dummy")
        for mark, (options, values, stays) in MARKS.items()
        if options or device != "dummy"
    ),
    Row(
        name="dummy: OB LB by the file",
        device="dummy",
        first=Say(OUTAGE),
        steps=(Say("OB LB"),),
        verdict=LOW,
        because="upsmon acts at its next look.",
    ),
    Row(
        name="plain: LB by lowbatt = 30",
        device="plain",
        first=Say(OUTAGE, {"soc": 80}),
        options={"lowbatt": "30"},
        steps=(Say(OUTAGE, {"soc": 29}),),
        verdict=LOW,
        because="A backend of a stranger has its mark from the section.",
    ),
    Row(
        name="plain: factor = 0.1",
        device="plain",
        first=Say("OL", {"soc": 870}),
        options={"factor": "0.1"},
        prelude=UNWATCHED,
        steps=(Seen("OL"),),
        values={"battery.charge": "87"},
        verdict=Open(2),
        because="An option that the file declares is applied.",
    ),
)


# What no backend may bring to upsd, or into the log

INJECTION = 'x 1\nSETINFO ups.status "OB LB"\nSETINFO battery.note'
NONSENSE: dict[str, object] = {
    "battery.charge": 250, "battery.runtime": -5, "input.voltage": "nan", "input.frequency": "abc", "ups.load": float("nan"),
    "output.voltage": float("inf"), "battery.temperature": "1e999", "ups.status": "OB LB", "ups.alarm": "Fire",
}  # fmt: skip

_guard = (
    Row(
        name="a variable's name holds protocol lines",
        first=Say("OL", {"battery.charge": 80, INJECTION: "1"}),
        verdict=Never(2 * LOOK),
        never=("OB", "LB"),
        values={"battery.charge": "80"},
        because="A name that is none is dropped, and the rest of the reading is served.",
    ),
    Row(
        name="nonsense in numbers, status and alarm as values",
        first=Say("OL", {**NONSENSE, "ups.model": "Good"}),
        verdict=Never(2 * LOOK),
        never=("OB", "LB", "ALARM"),
        never_values={
            "battery.charge": "250",
            "battery.runtime": "-",
            "ups.alarm": "",
            "input.*|ups.load|output.*|battery.temperature": "(?i)nan|abc|inf|999",
        },
        values={"ups.model": "Good"},
        because="What cannot be is dropped, and the rest of the reading is served.",
    ),
    *(
        Row(
            name=f"the backend says {status}",
            first=Say(status),
            verdict=Never(2 * LOOK),
            never=never,
            because="A device on the grid is not low, and FSD is not its to say.",
        )
        for status, never in (("OL LB", ("LB",)), ("OL FSD", ("FSD",)), ("OB FSD", ("FSD",)))
    ),
    *(
        Row(
            name=f"the backend says {status or 'nothing'!r}",
            steps=(Say(status), Wait(1.5)),
            options=SHORTLY,
            verdict=AWAY,
            never=("OL OB",),
            gap=LOOKS,
            because="A status that does not say where the power comes from is no answer.",
        )
        for status in ("", "OL OB LB")
    ),
    Row(
        name="five thousand variables",
        first=Say("OL", {f"experimental.item.{number}": number for number in range(5000)}),
        prelude=UNWATCHED,
        steps=(Seen("OL"), Wait(3)),
        verdict=Open(1),
        most=4096 + 60,
        alive=True,
        because="4,096 of the backend's, and the core's own.",
    ),
    Row(
        name="the password as a value",
        first=Say("OL", {"battery.charge": 80, "experimental.url": "http://user:unicorn-4711@device/"}),
        prelude=UNWATCHED,
        steps=(Seen("OL"),),
        verdict=Open(2),
        never_values={".*": "unicorn"},
        because="A sensitive option's value never leaves the process.",
    ),
    *(
        Row(
            name=f"the password in {what}",
            prelude=UNWATCHED,
            options=SHORTLY,
            steps=(Seen("OL"), Fail(how)),
            verdict=Open(4),
            log=(sentence,),
            alive=True,
            because="A sensitive option's value never leaves the process, but the rest of the sentence does.",
        )
        for what, how, sentence in (("a bug's text", "bug", "ValueError"), ("a failure's text", "leak", "no answer from"))
    ),
    Row(
        name="a wrong password is not tried again and again",
        prelude=UNWATCHED,
        steps=(Seen("OL"), Fail("rejected")),
        verdict=Open(21),
        log=("the password is wrong",),
        at_most={"rejected": 2},
        alive=True,
        because="Trying on could lock the account; 11 logins in 21 s were seen.",
    ),
    Row(
        name="a wrong password from the start",
        first=Fail("rejected"),
        prelude=UNWATCHED,
        verdict=Open(21),
        log=("the password is wrong",),
        at_most={"rejected": 2},
        alive=True,
        because="The same.",
    ),
    Row(
        name="sys.exit in a poll",
        prelude=UNWATCHED,
        steps=(Seen("OL"), Fail("exit"), Wait(3)),
        verdict=Open(1),
        log=("exit",),
        alive=True,
        because="A backend's exit is a failed poll with a line in the log, not the end of the driver.",
    ),
    Row(
        name="ALARM OL, then sys.exit in a poll",
        first=ALARM,
        options=SHORTLY,
        steps=(Fail("exit"),),
        verdict=AWAY,
        gap=LOOKS,
        because="The same as any failed poll.",
    ),
    Row(
        name="a background task dies",
        prelude=UNWATCHED,
        steps=(Seen("OL"), Fail("dead task"), Wait(5), Fail("dead task"), Wait(5)),
        verdict=Open(1),
        log=("the subscription has died",),
        alive=True,
        because="A subscription that has died is a device that is never heard again.",
    ),
    Row(
        name="a poll blocks the event loop for 4 s",
        prelude=UNWATCHED,
        steps=(Seen("OL"), Fail("block", seconds=4), Wait(7)),
        verdict=Open(1),
        log=("block",),
        alive=True,
        because="Nothing else runs meanwhile, not even the answer to upsd.",
    ),
    Row(
        name="a poll ignores that it is cancelled",
        options=SHORTLY,
        prelude=UNWATCHED,
        steps=(Seen("OL"), Fail("hang"), Wait(70)),
        verdict=Open(1),
        log=("cancel|ignore",),
        alive=True,
        quick=False,
        because="A poll is given up after a minute; that it goes on is logged.",
    ),
)

ROWS: tuple[Row, ...] = (
    *(replace(row, phased=row.phased and row.prelude != UNWATCHED) for row in (*_loud, *_brief, *_grid, *_battery)),
    *(replace(row, phased=False) for row in (*_marks, *_guard)),
    *HOUSES,
    *STORIES,
)
