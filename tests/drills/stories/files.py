# SPDX-License-Identifier: GPL-2.0-or-later
"""``backend = dummy``: a file, and what can happen to a file."""

from __future__ import annotations

import random

from tests.drills.acts import Back, Configure, Freeze, Noise
from tests.drills.bounds import (
    AWAY,
    BUSY,
    FROM_281,
    FROM_283,
    LOOK,
    LOW,
    MAXAGE,
    OUTAGE,
    SAFE,
    SHORTLY,
    SILENT_ON_BATTERY,
)
from tests.drills.steps import Fail, Hold, Say, Wait
from tests.drills.verdicts import Row, Within

__all__ = ["ROWS"]

ROWS = (
    Row(
        name="dummy: OB, the file is gone for 8 s",
        device="dummy",
        first=Say(OUTAGE),
        steps=(Fail(), Wait(8), Back(), Hold("OB", 5)),
        verdict=SAFE,
        because="The last reading is served for maxage, 15 s.",
    ),
    Row(
        name="dummy: OB, the file is gone",
        device="dummy",
        first=Say(OUTAGE),
        options=SHORTLY,
        steps=(Fail(),),
        verdict=SILENT_ON_BATTERY,
        by_release=((FROM_281, Within(MAXAGE + 2 * LOOK + BUSY)), (FROM_283, SILENT_ON_BATTERY)),
        because="Silence on battery acts within maxage, DEADTIME and two looks.",
    ),
    *(
        Row(
            name=f"dummy: OB, the file holds {what}",
            device="dummy",
            first=Say(OUTAGE),
            options=SHORTLY,
            steps=(Noise(data),),
            verdict=SILENT_ON_BATTERY,
            never=("OL", "LB"),
            phased=False,
            quick=quick,
            by_release=((FROM_281, Within(MAXAGE + 2 * LOOK + BUSY)), (FROM_283, SILENT_ON_BATTERY)),
            because="A file that says nothing of the grid is silence, and silence on battery acts.",
        )
        for what, data, quick in (
            ("nothing", b"", True),
            ("NUL bytes", b"\0" * 512, False),
            ("random bytes", random.Random(2).randbytes(2048) + b"\n", False),
            ("no status", b"battery.charge: 80\n", False),
            ("a status that is none", b"ups.status: FINE\n", False),
        )
    ),
    Row(
        name="dummy: OL, the file holds random bytes",
        device="dummy",
        options=SHORTLY,
        steps=(Noise(random.Random(3).randbytes(2048)),),
        verdict=AWAY,
        never=("OB", "LB"),
        quick=False,
        because="A file that says nothing of the grid is silence; on the grid that is no reason.",
    ),
    Row(
        name="dummy: the file flaps between OL and OB each second",
        device="dummy",
        steps=tuple(step for _ in range(8) for step in (Say(OUTAGE), Wait(1), Say("OL"), Wait(1))),
        verdict=SAFE,
        never=("LB",),
        phased=False,
        quick=False,
        because="The last word is that the grid is there.",
    ),
    Row(
        name="dummy: OB, reload raises the mark",
        device="dummy",
        first=Say(OUTAGE),
        steps=(Configure({"lowbatt": "85"}),),
        verdict=LOW,
        phased=False,
        quick=False,
        because="A reload takes the new mark over at once.",
    ),
    Row(
        name="dummy: OB, the driver is stopped for 10 s",
        device="dummy",
        first=Say(OUTAGE),
        steps=(Freeze(10), Hold("OB", 5)),
        verdict=SAFE,
        phased=False,
        quick=False,
        because="upsd waits 15 s for its driver, and a file is read anew at once.",
    ),
)
