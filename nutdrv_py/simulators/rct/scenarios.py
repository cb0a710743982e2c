# SPDX-License-Identifier: GPL-2.0-or-later
"""Named stories for the simulated inverter, and the same from a YAML file.

A scenario is the state of house and line at the start, and what changes when (seconds of simulator time). A file looks
like this; every part may be left out::

    base: outage                  # start from a named scenario
    title: Our house in a storm
    house: {modules: 4, soc: 55}
    line: {drop: 0.1}
    timeline:
      - at: 30
        set: {grid: outage, load: 900}
      - at: 60
        set: {override: {battery.soh: 0.6}}
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nutdrv_py.protocols.rct.objects import BY_NAME
from nutdrv_py.simulators import stories
from nutdrv_py.simulators.rct.house_setup import HOUSE_NAMES, HouseSetup
from nutdrv_py.simulators.rct.values import payload
from nutdrv_py.simulators.rct.wire import LINE_NAMES, Line
from nutdrv_py.simulators.spelling import nearest
from nutdrv_py.simulators.stories import base_story, find_story, known_keys, parse_timeline

CHANGES = (*HOUSE_NAMES, *LINE_NAMES, "override")
"""Everything that can be changed while the simulator runs."""

PAYLOAD_MOST = 4000
"""Bytes of a raw payload: more than any object has."""


@dataclass(frozen=True, slots=True)
class Changes:
    """Changes by name, sorted by what they change and known to be possible."""

    house: Mapping[str, Any]
    line: Mapping[str, Any]
    override: Mapping[str, Any]


def sort_changes(changes: Mapping[str, Any]) -> Changes:
    """Sort changes by what they change; unknown names and impossible values are errors."""
    for name in changes:
        if name not in CHANGES:
            raise ValueError(f'The simulator has nothing called "{name}"{nearest(str(name), CHANGES)}.')
    found = Changes(
        {name: value for name, value in changes.items() if name in HOUSE_NAMES},
        {name: value for name, value in changes.items() if name in LINE_NAMES},
        changes.get("override") or {},
    )
    HouseSetup().changed(found.house)
    Line().changed(found.line)
    known_keys(found.override, BY_NAME, "override")
    for name, value in found.override.items():
        _check_override(name, value)
    return found


def _check_override(name: str, value: Any) -> None:
    if value is None:
        return
    if isinstance(value, bytes) and len(value) > PAYLOAD_MOST:
        raise ValueError(f"override: the payload of {name} has {PAYLOAD_MOST} bytes at most, not {len(value)}.")
    try:
        payload(BY_NAME[name], value)
    except (ValueError, TypeError, AttributeError, OverflowError, struct.error):
        raise ValueError(f"override: {name} cannot be {value!r}; it is a {BY_NAME[name].kind.value}.") from None


class Event(stories.Event):
    """Something that happens to the house or the inverter."""

    __slots__ = ()

    def check(self) -> None:
        """Refuse changes that are not possible."""
        sort_changes(self.changes)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One story. ``name`` is how it is called, ``title`` describes what it shows."""

    name: str = "custom"
    title: str = ""
    house: HouseSetup = field(default_factory=HouseSetup)
    line: Line = field(default_factory=Line)
    timeline: tuple[Event, ...] = ()


_OUTAGE = (Event(30, {"grid": "outage"}), Event(330, {"grid": "reclosing"}))

_NOISE = Line(
    drop=0.05, corrupt=0.05, truncate=0.03, cut=0.03, collide=0.1, foreign=0.3, echo=True, modem=True, long_lies=True,
    garbage_after_nul=True, pieces=True,
)  # fmt: skip

_ALL = (
    Scenario("online", "On grid, nothing happens."),
    Scenario("outage", "The grid is lost after 30 s and comes back 5 minutes later.", timeline=_OUTAGE),
    Scenario(
        "outage-no-switch",
        "The same without a Power Switch: the inverter stops and its network dies.",
        HouseSetup(switch=False),
        timeline=_OUTAGE,
    ),
    Scenario(
        "low-battery",
        "An outage with little charge left: within 5 minutes it is down to 15 %, 5 above the island's lower limit.",
        # 3.76 kWh under 2.4 kW: one percent in a minute.
        HouseSetup(soc=20, load=2200),
        timeline=(Event(10, {"grid": "outage"}),),
    ),
    Scenario(
        "empty",
        "An outage until the battery is empty: the island ends, then the network; the grid comes back after half an hour.",
        HouseSetup(soc=16, load=2200),
        timeline=(Event(10, {"grid": "outage"}), Event(1800, {"grid": "reclosing"})),
    ),
    Scenario(
        "night",
        "Night: the battery rests at its lower limit, the inverter waits for the sun.",
        HouseSetup(night=True, soc=7, load=400),
    ),
    Scenario(
        "night-off",
        "Solar only: after sunset at 30 s the inverter is off, network and all; the sun is back at 630 s.",
        HouseSetup(battery=False, pv=300, load=400),
        timeline=(Event(30, {"night": True}), Event(630, {"night": False})),
    ),
    Scenario(
        "calibration",
        "The battery is calibrated, first at low and then at high voltage.",
        timeline=(
            Event(30, {"calibration": "low"}),
            Event(330, {"calibration": "high"}),
            Event(630, {"calibration": "none"}),
        ),
    ),
    Scenario(
        "faults",
        "Faults come and go: a warm heat sink, the battery's CAN bus, an emergency off.",
        timeline=(
            Event(30, {"faults": (18,)}),
            Event(90, {"faults": (18, 107)}),
            Event(150, {"faults": (), "emergency_off": True}),
            Event(210, {"emergency_off": False}),
        ),
    ),
    Scenario(
        "second-tower",
        "Two battery towers with different charge; the grid is lost after 30 s and comes back 5 minutes later.",
        HouseSetup(towers=2, modules=4, soc=70, soc2=40, load=2600),
        timeline=_OUTAGE,
    ),
    Scenario("no-battery", "Solar only, by day.", HouseSetup(battery=False, pv=1500)),
    Scenario(
        "noisy",
        "A bad line: answers are lost, damaged and mixed with others; the grid is lost after 30 s.",
        line=_NOISE,
        timeline=_OUTAGE,
    ),
    Scenario(
        "foreign",
        "Other clients ask so much that every answer comes with one for them, and requests collide.",
        line=Line(foreign=1.0, echo=True, collide=0.2),
    ),
    Scenario(
        "bootloader",
        "The firmware is updated from 30 s to 330 s.",
        timeline=(Event(30, {"bootloader": True}), Event(330, {"bootloader": False})),
    ),
    Scenario("asleep", "The inverter is silent until it gets the app's greeting.", line=Line(needs_extension=True)),
    Scenario(
        "flapping",
        "The grid comes and goes every 20 s; in between the inverter never waits long enough to connect.",
        timeline=tuple(
            Event(at, {"grid": "outage" if at % 40 == 30 else "reclosing"}) for at in range(30, 230, 20)
        ),
    ),
    Scenario(
        "demo",
        "A small battery and a house that uses much, for a short story.",
        HouseSetup(modules=2, soc=34, load=2200, pv=300),
    ),
    Scenario(
        "solar-island",
        "An outage on a sunny day: the battery charges in the island.",
        HouseSetup(soc=40, load=700, pv=3200),
        timeline=_OUTAGE,
    ),
)  # fmt: skip

SCENARIOS: Mapping[str, Scenario] = {scenario.name: scenario for scenario in _ALL}
"""All named scenarios."""


def load_scenario(name: str) -> Scenario:
    """Return the scenario of this name, or the one in the YAML file at this path."""
    return find_story(name, SCENARIOS, parse_scenario)


def parse_scenario(content: Any, name: str = "custom") -> Scenario:
    """Build a scenario from what a YAML file holds."""
    known_keys(content, ("base", "name", "title", "house", "line", "timeline"), "a scenario")
    base = base_story(content, SCENARIOS)
    timeline = content.get("timeline")
    return Scenario(
        name=str(content.get("name", name)),
        title=str(content.get("title", base.title)),
        house=base.house.changed(content.get("house") or {}),
        line=base.line.changed(content.get("line") or {}),
        timeline=base.timeline if timeline is None else parse_timeline(timeline, Event),
    )
