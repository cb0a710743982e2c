# SPDX-License-Identifier: GPL-2.0-or-later
"""``backend = repeater``: the UPS of another NUT, a real upsd with a real ``dummy-ups``."""

from __future__ import annotations

from typing import Any

from tests.drills.acts import Back, Configure, Freeze, Set
from tests.drills.bounds import ACTS, ALARM, BUSY, FROM_281, FROM_283, LOOK, LOOKS, LOW, MAXAGE, OUTAGE, SAFE, SHORTLY
from tests.drills.steps import Fail, Hold, Kill, Look, Say, Seen, Silence, Start, Step, Value, Wait
from tests.drills.verdicts import ONE_PHASE, TWO_PHASES, Never, Open, Row, Verdict, Within

__all__ = ["ROWS"]

MIRRORED = 4
"""Seconds in which what dummy-ups reads is served by the repeater: each of the two polls once a second."""

SOURCE_STALE = 3
"""Seconds after which the source's upsd gives a driver up that does not answer: its MAXAGE."""

ANSWER = 8
"""Seconds after which a question that a stopped upsd leaves unanswered is given up."""


def _row(name: str, *steps: Step, verdict: Verdict, because: str, phased: bool = False, **more: Any) -> Row:
    return Row(name=f"repeater: {name}", device="repeater", steps=steps, verdict=verdict, because=because, phased=phased, **more)


_grid = (
    *(
        _row(
            f"{status}, then {what}",
            Seen(status, within=15),
            Look(),
            Fail(how),
            first=said,
            options=SHORTLY,
            verdict=Never(MAXAGE + longer + LOOKS + ACTS),
            gap=LOOKS,
            quick=quick,
            phased=phased,
            phases=TWO_PHASES if phased else ONE_PHASE,
            # As without a repeater: 2.8.1 keeps CAL for ever.
            by_release=((FROM_281, Open(10)), ((2, 8, 2), Never(MAXAGE + longer + LOOKS + ACTS))) if status == "OL CAL" else (),
            because="Every backend is guarded alike.",
        )
        for status, said in (("ALARM OL", ALARM), ("OL CAL", Say("OL CAL")), ("OL OFF", Say("OL OFF")))
        for what, how, longer, quick, phased in (
            ("the other upsd is killed", "device", 0, status == "ALARM OL", False),
            ("the other upsd hangs", "hang", ANSWER, False, False),
            ("the other driver is killed", "driver", 0, False, False),
            ("the other driver hangs", "stale", SOURCE_STALE, False, status == "ALARM OL"),
        )
    ),
    _row(
        "the other upsd is away for 12 s, and back",
        Fail(),
        Silence(15),
        Back(),
        Seen("OL", within=20),
        options=SHORTLY,
        verdict=SAFE,
        quick=False,
        because="On the grid the source may be away for as long as it likes.",
    ),
    _row(
        "the other status is none",
        Say("FINE"),
        options=SHORTLY,
        verdict=Never(MAXAGE + MIRRORED + LOOKS + ACTS),
        never=("OB", "LB"),
        quick=False,
        because="A status that does not say where the power comes from is no answer.",
    ),
    _row(
        "upsrw is passed on, and refused while the source is away",
        Set("battery.charge.low", "25"),
        Value("battery.charge.low", "25"),
        Fail(),
        Wait(2),
        Set("battery.charge.low", "30", answer="ERR|error|FAILED"),
        first=Say("OL", {"battery.charge": 80, "battery.charge.low": 20}),
        verdict=SAFE,
        never=("OB", "LB"),
        because="What the source has not taken is not served, and a client is told so.",
    ),
    _row(
        "the driver is stopped for 20 s with an alarm",
        Seen("ALARM OL", within=15),
        Look(),
        Freeze(20),
        Seen("ALARM OL"),
        first=ALARM,
        verdict=SAFE,
        by_release=((FROM_283, Open(ACTS)),),
        quick=False,
        because="No driver can withdraw anything while it is stopped: from 2.8.3 on this remains.",
    ),
)

_outage = (
    _row(
        "OB LB of the source",
        Say("OB LB"),
        first=Say(OUTAGE),
        verdict=Within(MIRRORED + LOW.seconds),
        phases=TWO_PHASES,
        because="The source says it, and upsmon acts at its next look.",
    ),
    _row(
        "FSD of the source",
        Say("FSD OL"),
        verdict=Within(MIRRORED + LOW.seconds),
        because="The primary of that UPS is going down, and so must all that hang on it.",
    ),
    _row(
        "OB at 80 %, for long",
        Seen("OB"),
        first=Say(OUTAGE),
        verdict=Never(30),
        never=("LB",),
        quick=False,
        because="An outage with a full battery is no reason.",
    ),
    *(
        _row(
            f"OB, then {what}",
            Seen("OB"),
            Look(),
            Fail(how),
            first=Say(OUTAGE),
            options=SHORTLY,
            verdict=Within(longer + ACTS + BUSY),
            never=("OL", "LB"),
            quick=quick,
            by_release=((FROM_281, Within(longer + 2 * LOOK + BUSY)), (FROM_283, Within(longer + ACTS + BUSY))),
            because="Silence on battery acts.",
        )
        for what, how, longer, quick in (
            ("the other upsd is killed", "device", MAXAGE, True),
            ("the other upsd hangs", "hang", MAXAGE + ANSWER, False),
            ("the other driver is killed", "driver", MAXAGE, False),
            ("the other driver hangs", "stale", MAXAGE + SOURCE_STALE, False),
        )
    ),
    *(
        _row(
            f"OB, {what} is away for 6 s",
            Seen("OB"),
            Fail(how),
            Wait(6),
            Back(),
            Hold("OB", 8, without="LB"),
            first=Say(OUTAGE),
            verdict=SAFE,
            options={"maxage": "15"},
            quick=quick,
            because="The last reading is served for maxage, 15 s; but what the source itself calls stale is so.",
        )
        for what, how, quick in (("the other upsd", "device", True), ("the other driver", "driver", False))
    ),
    _row(
        "OB, the other upsd hangs for 6 s",
        Seen("OB"),
        Fail("hang"),
        Wait(6),
        Back(),
        Wait(4),
        Hold("OB", 8, without="LB"),
        first=Say(OUTAGE),
        verdict=SAFE,
        options={"maxage": "15"},
        quick=False,
        by_release=((FROM_281, Open(ACTS)), (FROM_283, SAFE)),
        because="It may call its own data stale for a moment afterwards; 2.8.1 and 2.8.2 act if they look meanwhile.",
    ),
    _row(
        "OB, the other driver hangs for 8 s",
        Seen("OB"),
        Fail("stale"),
        Wait(8),
        Back(),
        Seen("OB", within=10),
        first=Say(OUTAGE),
        verdict=SAFE,
        by_release=((FROM_281, Open(ACTS)), (FROM_283, SAFE)),
        quick=False,
        because="It is back within DEADTIME; 2.8.1 and 2.8.2 act if they look meanwhile.",
    ),
    _row(
        "the source flaps each 2 s",
        *(step for _ in range(5) for step in (Say(OUTAGE), Wait(2), Say("OL"), Wait(2))),
        verdict=SAFE,
        never=("LB",),
        quick=False,
        because="The last word is that the grid is there.",
    ),
    _row(
        "OB, kill -9 and start at once",
        Seen("OB"),
        Kill(),
        Start(),
        Seen("OB"),
        first=Say(OUTAGE),
        verdict=SAFE,
        by_release=((FROM_281, Open(ACTS)), (FROM_283, SAFE)),
        quick=False,
        because="It is back within DEADTIME; 2.8.1 and 2.8.2 act if they look meanwhile.",
    ),
    _row(
        "OB, a reload",
        Seen("OB"),
        Configure({"pollinterval": "2"}),
        Hold("OB", 8, without="LB"),
        first=Say(OUTAGE),
        verdict=SAFE,
        quick=False,
        because="No reload changes what the source said about the grid.",
    ),
)

ROWS = (*_grid, *_outage)
