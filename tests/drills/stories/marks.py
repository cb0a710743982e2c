# SPDX-License-Identifier: GPL-2.0-or-later
"""Each low mark on each device."""

from __future__ import annotations

from tests.drills.acts import Set
from tests.drills.bounds import CUT_OFF, LOW, LOW_TOLD, OUTAGE, SAFE, SHORT
from tests.drills.steps import Change, Hold, Say, Seen, Step
from tests.drills.stories.repeater import MIRRORED
from tests.drills.verdicts import ON_GRID, Row, Within

__all__ = ["ROWS"]

MARKS: dict[str, tuple[dict[str, str], dict[str, object], float]] = {
    "lowbatt = 30": ({"lowbatt": "30"}, {"battery.charge": 29}, 0),
    "override.battery.charge.low = 30": ({"override.battery.charge.low": "30"}, {"battery.charge": 29}, 0),
    "default.battery.charge.low = 30": ({"default.battery.charge.low": "30"}, {"battery.charge": 29}, 0),
    "override.battery.runtime.low = 600": ({"override.battery.runtime.low": "600"}, {"battery.runtime": 500}, SHORT),
    "default.battery.runtime.low = 600": ({"default.battery.runtime.low": "600"}, {"battery.runtime": 500}, SHORT),
    "the device's own mark": ({}, {"battery.charge": 29, "battery.charge.low": 30}, 0),
}
"""The section's options, the device's values, and how long they must stay so, in seconds."""

QUICK = {("enphase", "lowbatt = 85"), ("rct", "the device's own limit"), ("rct", "override.battery.runtime.low = 90000")}

SIMULATED: dict[str, tuple[dict[str, str], tuple[Step, ...], Step, float]] = {
    "lowbatt = 85": ({"lowbatt": "85"}, (), ON_GRID, 0),
    "override.battery.charge.low = 85": ({"override.battery.charge.low": "85"}, (), ON_GRID, 0),
    "default.battery.charge.low = 85": ({"default.battery.charge.low": "85"}, (), ON_GRID, 0),
    "override.battery.runtime.low = 90000": ({"override.battery.runtime.low": "90000"}, (), ON_GRID, SHORT),
    "default.battery.runtime.low = 90000": ({"default.battery.runtime.low": "90000"}, (), ON_GRID, SHORT),
    "ignorelb and override.battery.charge.low = 85": ({"ignorelb": "", "override.battery.charge.low": "85"}, (), ON_GRID, 0),
    "upsrw battery.charge.low=85": ({}, (Set("battery.charge.low", "85"),), ON_GRID, 0),
    "the device's own limit": ({}, (), Change({"soc": 13}), 0),
}
"""The section's options, what happens before the outage, how the house is at first, and how long it must stay low, in seconds."""

ROWS = (
    # A .dev file and another server say LB themselves, so their own mark makes none.
    *(
        Row(
            name=f"{device}: LB by {mark}",
            device=device,
            first=Say(OUTAGE, {"battery.charge": 80, "battery.runtime": 5000}),
            options=options,
            steps=(Say(OUTAGE, values),),
            verdict=Within(LOW.seconds + stays + (MIRRORED if device == "repeater" else 0)),
            quick=device == "scripted" or mark in ("lowbatt = 30", "override.battery.runtime.low = 600"),
            phased=False,
            because="The mark is documented for every section; upsmon acts at its next look.",
        )
        for device in ("repeater",)
        for mark, (options, values, stays) in MARKS.items()
        if options
    ),
    *(
        Row(
            name=f"{device}: LB by {mark}",
            device=device,
            first=first,
            options=options,
            steps=(*before, CUT_OFF),
            verdict=Within(LOW_TOLD.seconds + stays),
            quick=(device, mark) in QUICK,
            phased=False,
            because="The mark is documented for every section; an outage is told within two polls, and upsmon acts at its next look.",
        )
        for device in ("enphase", "rct")
        for mark, (options, before, first, stays) in SIMULATED.items()
    ),
    *(
        Row(
            name=f"{device}: LB by upsrw battery.charge.low=85",
            device=device,
            first=Say(OUTAGE, {"battery.charge": 80}),
            options={"default.battery.charge.low": "20"},
            steps=(Set("battery.charge.low", "85"),),
            verdict=LOW,
            quick=device == "dummy",
            phased=False,
            because="What a client sets holds at once.",
        )
        for device in ("scripted", "dummy")
    ),
    *(
        Row(
            name=f"{device}: a mark below the charge makes no LB",
            device=device,
            options={"lowbatt": "30", "override.battery.runtime.low": "60"},
            steps=(CUT_OFF, Seen("OB", within=15), Hold("OB", 15, without="LB")),
            verdict=SAFE,
            never=("LB",),
            quick=False,
            phased=False,
            because="A charge and a runtime above their marks are no reason.",
        )
        for device in ("enphase", "rct")
    ),
)
