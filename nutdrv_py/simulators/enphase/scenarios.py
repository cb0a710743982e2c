# SPDX-License-Identifier: GPL-2.0-or-later
"""Named stories for the simulator, and the same from a YAML file.

A scenario is the state of house and gateway at the start, what changes when (seconds of simulator time), and which
faults are set from the beginning. A file looks like this; every part may be left out::

    base: outage                  # start from a named scenario
    title: Our house in a storm
    site: {phases: 3, packs: 2, soc: 55}
    gateway: {firmware: D8.3.6086}
    timeline:
      - at: 30
        set: {grid: outage, load: 900}
    faults:
      /ivp/ensemble/inventory: {kind: delay, seconds: 6}
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from nutdrv_py.simulators import stories
from nutdrv_py.simulators.enphase.changes import CHANGES
from nutdrv_py.simulators.enphase.cloud import LOGIN_MODES
from nutdrv_py.simulators.enphase.faults import Fault, parse_faults
from nutdrv_py.simulators.enphase.house import SETUP_NAMES, SiteSetup
from nutdrv_py.simulators.spelling import nearest
from nutdrv_py.simulators.stories import base_story, find_story, known_keys, parse_timeline, right_types

TOTAL_KINDS = ("load", "without-battery", "net")
"""What the total-consumption report shows: the true load, load less battery, or (wrongly) net-consumption."""

CONSUMPTION_CTS = ("net-consumption", "total-consumption")
"""What the consumption CT measures: the line to the grid, or the house alone."""

_FIRMWARE = re.compile(r"[A-Z]?\d+\.\d+(\.\d+)?")


@dataclass(frozen=True, slots=True)
class GatewayOptions:
    """How the gateway and the cloud account behave from the start.

    ``stream_seconds`` is how long live data keeps moving after it was asked for, in simulator time. ``frozen`` is the
    fault that live data is frozen although the stream claims to be on. ``token_lifetime`` is in seconds; None means
    the usual lifetime. ``reported_serial`` is the gateway's own claim if that is not the serial it was given.
    """

    firmware: str = "D8.2.4345"
    part: str = "800-00654-r08"
    meters: bool = True
    storage_ct: bool = True
    total: str = "load"
    consumption: str = "net-consumption"
    stream: bool = False
    stream_seconds: float = 900.0
    frozen: bool = False
    needs_cookie: bool = False
    login: str = "ok"
    token_lifetime: float | None = None
    reported_serial: str = ""

    def __post_init__(self) -> None:
        """Refuse options that cannot be."""
        if not _FIRMWARE.fullmatch(self.firmware):
            raise ValueError(f'The gateway\'s firmware looks like "D8.2.4345", not like "{self.firmware}".')
        if self.total not in TOTAL_KINDS:
            raise ValueError(f'The gateway\'s total cannot be "{self.total}"{nearest(str(self.total), TOTAL_KINDS)}.')
        if self.consumption not in CONSUMPTION_CTS:
            close = nearest(str(self.consumption), CONSUMPTION_CTS)
            raise ValueError(f'The gateway\'s consumption cannot be "{self.consumption}"{close}.')
        if self.login not in LOGIN_MODES:
            raise ValueError(f'The gateway\'s login cannot be "{self.login}"{nearest(str(self.login), LOGIN_MODES)}.')
        if self.reported_serial and not self.reported_serial.isalnum():
            raise ValueError(f'reported_serial has letters and digits only, not "{self.reported_serial}".')
        if self.stream_seconds <= 0:
            raise ValueError("The gateway's stream_seconds must be more than 0.")

    @property
    def version(self) -> tuple[int, ...]:
        """Return the firmware as numbers, without its letter: (8, 2, 4345)."""
        return tuple(int(part) for part in self.firmware.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ").split("."))


OPTION_NAMES = tuple(item.name for item in fields(GatewayOptions))


class Event(stories.Event):
    """Something that happens to the house or the gateway."""

    __slots__ = ()

    def check(self) -> None:
        """Refuse changes of things that do not exist."""
        for name in self.changes:
            if name not in CHANGES:
                raise ValueError(f'A timeline cannot change "{name}"{nearest(str(name), CHANGES)}.')


@dataclass(frozen=True, slots=True)
class Scenario:
    """One story. ``name`` is how it is called, ``title`` describes what it shows."""

    name: str = "custom"
    title: str = ""
    site: SiteSetup = field(default_factory=SiteSetup)
    gateway: GatewayOptions = field(default_factory=GatewayOptions)
    timeline: tuple[Event, ...] = ()
    faults: Mapping[str, Fault] = field(default_factory=dict)


_THREE_PHASE = SiteSetup(phases=3, packs=3, load=2400, pv=900, soc=75, policy="self-consumption")
_SPLIT_PHASE = SiteSetup(phases=2, packs=5, load=2300, pv=3100, soc=46, policy="self-consumption")

_ALL = (
    Scenario("online", "On grid, nothing happens."),
    Scenario(
        "outage",
        "The grid is lost after 30 s and comes back 5 minutes later.",
        timeline=(Event(30, {"grid": "outage"}), Event(330, {"grid": "reclosing"})),
    ),
    Scenario(
        "island",
        "Somebody takes the house off the grid after 30 s and puts it back 5 minutes later.",
        gateway=GatewayOptions(firmware="D8.3.6086"),
        timeline=(Event(30, {"grid": "island"}), Event(330, {"grid": "reclosing"})),
    ),
    Scenario(
        "generator",
        "An outage after 30 s; the generator takes over at 90 s and charges the batteries; grid back at 390 s.",
        SiteSetup(soc=40),
        timeline=(Event(30, {"grid": "outage"}), Event(90, {"generator": True}), Event(390, {"grid": "on"})),
    ),
    Scenario(
        "low-battery",
        "An outage with little charge left: the batteries run down in about 10 minutes.",
        SiteSetup(soc=20, load=6000, empty=5),
        timeline=(Event(10, {"grid": "outage"}),),
    ),
    Scenario(
        "nightly-restart",
        "The gateway is away for a minute after 20 s, as every night about 23:00.",
        timeline=(Event(20, {"offline": True}), Event(80, {"offline": False})),
    ),
    Scenario(
        "token-expiry",
        "Tokens live 60 s only, so that the driver has to renew them.",
        gateway=GatewayOptions(token_lifetime=60),
    ),
    Scenario(
        "slow",
        "Every answer is slow, those of the user interface very slow.",
        faults={
            "*": Fault("delay", seconds=2),
            "/ivp/ensemble/inventory": Fault("delay", seconds=6),
            "/production.json": Fault("drip", seconds=0.05),
            "/home": Fault("hang"),
        },
    ),
    Scenario(
        "broken-json",
        "Answers that are cut short, empty, HTML, or not what they should be; the relay is fine.",
        faults={
            "/ivp/ensemble/secctrl": Fault("wrong-json"),
            "/ivp/livedata/status": Fault("truncated"),
            "/ivp/meters/reports": Fault("html"),
            "/ivp/ensemble/inventory": Fault("truncated-chunk"),
            "/ivp/ensemble/power": Fault("empty"),
        },
    ),
    Scenario("three-phase", "A three-phase house on firmware 8.3.", _THREE_PHASE, GatewayOptions(firmware="D8.3.5433")),
    Scenario("split-phase", "A North American split-phase house with five batteries.", _SPLIT_PHASE),
    Scenario(
        "total-ct",
        "A CT that measures the house alone, on a firmware that reports the net as the total; live data stands still.",
        SiteSetup(phases=2, packs=2, load=786.5, pv=357.5, soc=70, policy="rest"),
        GatewayOptions(
            firmware="D8.3.5433", stream=True, frozen=True, consumption="total-consumption", total="net", storage_ct=False
        ),
    ),
    Scenario("no-batteries", "Solar only, with a System Controller.", SiteSetup(packs=0, pv=1800)),
    Scenario(
        "no-controller",
        "Batteries without a System Controller: the relay can never open, not even in the outage at 30 s.",
        SiteSetup(mid="none", policy="self-consumption", pv=500),
        timeline=(Event(30, {"grid": "outage"}), Event(330, {"grid": "on"})),
    ),
    Scenario(
        "ac-battery",
        "AC Batteries beside IQ Batteries: the total charge mixes both.",
        SiteSetup(packs=1, acb=4, soc=12, acb_soc=70, policy="backup"),
        GatewayOptions(firmware="D8.2.4382"),
    ),
    Scenario(
        "frozen-livedata",
        "Live data stands still although the stream claims to be on; the grid is lost after 30 s.",
        gateway=GatewayOptions(stream=True, frozen=True),
        timeline=(Event(30, {"grid": "outage"}), Event(330, {"grid": "on"})),
    ),
    Scenario(
        "collar",
        "An IQ Meter Collar in place of the System Controller; outage after 30 s.",
        SiteSetup(phases=2, mid="collar", packs=2),
        GatewayOptions(firmware="D8.3.6086"),
        timeline=(Event(30, {"grid": "outage"}), Event(330, {"grid": "on"})),
    ),
    Scenario("old-firmware", "Firmware 4, before tokens.", SiteSetup(packs=0), GatewayOptions(firmware="R4.10.35")),
    Scenario("mfa", "The cloud account asks for a second factor.", gateway=GatewayOptions(login="mfa")),
    Scenario("no-meters", "No current transformers are installed.", gateway=GatewayOptions(meters=False)),
    Scenario(
        "wrong-serial",
        "The gateway is another one than the configuration says: every token is refused.",
        gateway=GatewayOptions(reported_serial="122999888777"),
    ),
    Scenario(
        "demo",
        "On grid; outage; the charge falls to its low limit; the grid returns. 20 minutes; see it with --speed 30.",
        # 2 x 1.5 kWh under 3.6 kW: 40 % to about 8 % in 16 minutes of simulator time.
        SiteSetup(packs=2, pack_capacity_wh=1500, pack_rated_w=2500, soc=40, load=3600, wobble=3, policy="backup"),
        # Live data must stay on for a driver that renews the stream in real time.
        GatewayOptions(stream_seconds=900 * 60),
        timeline=(Event(60, {"grid": "outage"}), Event(1020, {"grid": "reclosing"}), Event(1060, {"pv": 4800})),
    ),
)

SCENARIOS: Mapping[str, Scenario] = {scenario.name: scenario for scenario in _ALL}
"""All named scenarios."""


def load_scenario(name: str) -> Scenario:
    """Return the scenario of this name, or the one in the YAML file at this path."""
    return find_story(name, SCENARIOS, parse_scenario)


def parse_scenario(content: Any, name: str = "custom") -> Scenario:
    """Build a scenario from what a YAML file holds."""
    known_keys(content, ("base", "name", "title", "site", "gateway", "timeline", "faults"), "a scenario")
    base = base_story(content, SCENARIOS)
    site = content.get("site") or {}
    gateway = content.get("gateway") or {}
    known_keys(site, SETUP_NAMES, "site")
    known_keys(gateway, OPTION_NAMES, "gateway")
    if "load_split" in site:
        site = {**site, "load_split": tuple(float(part) for part in site["load_split"])}
    right_types(site, SiteSetup(), "site")
    right_types(gateway, GatewayOptions(), "gateway")
    timeline = content.get("timeline")
    faults = content.get("faults")
    return Scenario(
        name=str(content.get("name", name)),
        title=str(content.get("title", base.title)),
        site=replace(base.site, **site),
        gateway=replace(base.gateway, **gateway),
        timeline=base.timeline if timeline is None else parse_timeline(timeline, Event),
        faults=base.faults if faults is None else parse_faults(faults),
    )
