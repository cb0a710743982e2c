# SPDX-License-Identifier: GPL-2.0-or-later
"""RCT Power: a simulated inverter behind a serial line, with the faults that real ones show."""

from __future__ import annotations

import random
from typing import Any

from nutdrv_py.protocols.rct.frame import Command, build
from tests.drills.acts import Back, Configure, Freeze, Neighbour, Noise, Set
from tests.drills.bounds import (
    ACTS,
    AT_ONCE,
    AWAY,
    BUSY,
    CUT_OFF,
    FROM_281,
    FROM_283,
    GONE_ON_BATTERY,
    LOOK,
    LOOKS,
    LOW,
    LOW_TOLD,
    POLLS,
    SAFE,
    UPSMON_FIRST,
)
from tests.drills.steps import Change, Fail, Hold, Kill, Look, Seen, Silence, Start, Step, Value, Wait
from tests.drills.verdicts import TWO_PHASES, Never, Open, Row, Verdict, Within

__all__ = ["ROWS"]

PHASES = tuple(f"rb485.u_l_grid[{phase}]" for phase in range(3))
POWERS = ("g_sync.p_acc_lp", "g_sync.p_ac_load_sum_lp", "g_sync.p_ac_sum_lp", "g_sync.p_ac_grid_sum_lp")
CHARGE, FLAG, LIMIT = "battery.soc", "prim_sm.island_flag", "power_mng.soc_min_island"
FAULTS = tuple(f"fault[{register}].flt" for register in range(4))
HEAVY = 5900
"""W: takes a point of 3.8 kWh in 22 s."""


def _row(name: str, *steps: Step, verdict: Verdict, because: str, phased: bool = False, **more: Any) -> Row:
    return Row(name=f"rct: {name}", device="rct", steps=steps, verdict=verdict, because=because, phased=phased, **more)


NOISE = {"drop": 0.05, "corrupt": 0.05, "truncate": 0.03, "cut": 0.03, "collide": 0.1, "foreign": 0.3, "echo": True, "modem": True}
GARBAGE = (
    ("random bytes", random.Random(1).randbytes(4096), True),
    ("starts of frames", b"+" * 512, False),
    ("answers of nobody", build(Command.RESPONSE, 0x0BADC0DE, b"\0" * 4) * 50, False),
    ("a long frame that never ends", b"+\x06\xff\xff" + b"\x55" * 2048, False),
)

_grid = (
    _row(
        "the network is gone for 20 s, and back",
        Fail(), Silence(20), Back(), Seen("OL", within=20),
        options={"maxage": "6"}, verdict=SAFE, quick=False,
        because="On the grid an inverter may be away for as long as it likes.",
    ),
    _row(
        "a bad line",
        Change(NOISE), Hold("OL", 20),
        verdict=SAFE, never=("OB", "LB"), quick=False,
        because="What is damaged is dropped, and asked again.",
    ),
    *(
        _row(
            f"{what} on the line",
            Noise(data, times=10), Hold("OL", 10),
            verdict=SAFE, never=("OB", "LB"), quick=quick,
            because="Bytes that nobody has asked for are no statement.",
        )
        for what, data, quick in GARBAGE
    ),
    _row(
        "one answer of the flag says island",
        *(step for _ in range(3) for step in (Change({"override": {FLAG: 3}}), Wait(0.3), Change({"override": {FLAG: None}}), Wait(4))),
        verdict=SAFE, quick=False, never=("LB",),
        because="An answer may be damaged with a right CRC; even if two polls see it, the charge is high.",
    ),
    _row(
        "the Power Switch is deaf and its voltages are 0",
        Change({"faults": (29,), "override": dict.fromkeys(PHASES, 0.0)}), Wait(20),
        verdict=SAFE, never=("LB",), quick=False,
        because="With the charge high nothing shuts down, whatever the switch shows.",
    ),
    _row(
        "another client takes the line: no connection is let in",
        Change({"max_clients": 0, "offline": True}), Wait(1), Change({"offline": False}),
        options={"maxage": "6"}, verdict=AWAY, never=("OB", "LB"), quick=False,
        because="No connection is no answer; on the grid that is no reason.",
    ),
    _row(
        "an inverter that is silent until it is greeted",
        Seen("OL", within=40),
        first=Change({"needs_extension": True}), verdict=SAFE, quick=False,
        because="The greeting is tried after some seconds, and upsmon does not shut down for a UPS that it has never known.",
    ),
    _row(
        "a firmware update",
        Change({"bootloader": True}),
        options={"maxage": "6"}, verdict=Never(6 + LOOKS + ACTS), never=("OB", "LB"), quick=False,
        because="The bootloader calls and answers nothing; on the grid that is no reason.",
    ),
    _row(
        "an empty battery",
        Change({"soc": 3}), Seen("OL"), Wait(8),
        verdict=SAFE, never=("LB", "OB"), quick=False,
        because="On the grid an empty battery is not low: LB comes only with OB.",
    ),
    _row(
        "the grid flaps every 3 s",
        *(step for _ in range(4) for step in (CUT_OFF, Wait(3), Change({"grid": "on"}), Wait(3))),
        verdict=SAFE, never=("LB",), phases=TWO_PHASES, phased=True,
        because="The charge is high; that the grid is there counts after it has stayed for 10 s.",
    ),
)

_outage = (
    _row(
        "OB at 60 %, for long",
        CUT_OFF, Seen("OB DISCHRG", within=15),
        verdict=Never(30), never=("LB",), phases=TWO_PHASES, phased=True,
        quick=False,
        because="An outage with a high charge is no reason.",
    ),
    _row(
        "the charge falls to the mark while it is told",
        CUT_OFF, Seen("OB", within=15), Change({"soc": 15.4, "load": HEAVY}),
        first=Change({"soc": 22}),
        verdict=Within(9 + POLLS + LOW.seconds, earliest=3),
        because="0.4 points of 3.8 kWh last 9 s at 5.9 kW; LB begins 5 points above the inverter's own limit of 10 %.",
    ),
    _row(
        "the charge falls to the mark while the inverter is away",
        CUT_OFF, Seen("OB DISCHRG", within=15), Value("battery.charge", "59.*"), Fail(),
        first=Change({"load": HEAVY}), options={"lowbatt": "59"},
        verdict=Within(24 + 2 * LOOK + BUSY), quick=False,
        because="5.9 kW take a point in 22 s; maxage alone is 60 s.",
    ),
    _row(
        "OB below the mark, upsmon is there first",
        Seen("OB", within=20),
        first=Change({"grid": "outage", "soc": 12}), prelude=UPSMON_FIRST,
        verdict=Within(POLLS + LOW.seconds),
        quick=False,
        because="The first reading holds the charge and the limit, so it makes LB.",
    ),
    _row(
        "the network is gone for 15 s, and back",
        CUT_OFF, Seen("OB", within=15), Fail(), Wait(15), Back(), Wait(8), Hold("OB", 8, without="LB"),
        verdict=SAFE,
        quick=False,
        because="The last reading is served for maxage, 60 s, and counted down.",
    ),
    _row(
        "the connection breaks three times",
        CUT_OFF, Seen("OB", within=15), *(step for _ in range(3) for step in (Fail(), Wait(1), Back(), Wait(4))), Hold("OB", 6, without="LB"),
        verdict=SAFE, quick=False,
        because="Off the grid the next attempt comes after 5 s.",
    ),
    _row(
        "the inverter is away",
        CUT_OFF, Seen("OB", within=15), Look(), Fail(),
        options={"maxage": "6"},
        verdict=Within(6 + ACTS + BUSY),
        by_release=((FROM_281, Within(6 + 2 * LOOK + BUSY)), (FROM_283, Within(6 + ACTS + BUSY))),
        quick=False,
        because="Silence on battery acts within maxage, DEADTIME and two looks.",
    ),
    _row(
        "connections are taken, nothing is answered",
        CUT_OFF, Seen("OB", within=15), Look(), Change({"silent": True}),
        options={"maxage": "6"},
        verdict=Within(2 * 6 + ACTS + BUSY), quick=False,
        because="The same; a poll that waits for an answer has begun before.",
    ),
    *(
        _row(
            f"{what} {'is' if len(names) == 1 else 'are'} not answered",
            CUT_OFF, Seen("OB", within=15), Change({"mute": names}), Hold("OB", 20, without="LB"),
            verdict=SAFE, never=("LB",), quick=quick,
            because="What is not answered takes neither the grid's state nor the charge away.",
        )
        for what, names, quick in (
            ("the charge", (CHARGE,), True),
            ("the powers", POWERS, False),
            ("the island flag", (FLAG,), False),
            ("the switch's voltages", PHASES, False),
            ("the fault registers", FAULTS, False),
            ("the limits", (LIMIT, "power_mng.soc_min"), False),
        )
    ),
    _row(
        "the switch's voltages alone show it",
        CUT_OFF, Seen("OB", within=15), Hold("OB", 6, without="LB"),
        first=Change({"mute": (FLAG,)}), verdict=SAFE, quick=False,
        because="Either of the two sources makes an outage.",
    ),
    _row(
        "the island flag alone shows it",
        CUT_OFF, Seen("OB", within=40), Hold("OB", 6, without="LB"),
        first=Change({"mute": (*PHASES, "rb485.available")}), verdict=SAFE, quick=False,
        because="Either of the two sources makes an outage.",
    ),
    _row(
        "the grid is told by nobody any more",
        CUT_OFF, Seen("OB", within=15), Look(), Change({"mute": (FLAG, *PHASES)}),
        options={"maxage": "6"},
        verdict=Within(15 + 6 + 6 + ACTS + BUSY), quick=False,
        because="An inverter that tells all but the grid is silent about what matters, 15 s after its last word.",
    ),
    _row(
        "each answer takes 0.3 s",
        CUT_OFF, Seen("OB", within=25), Hold("OB", 15, without="LB"),
        first=Change({"delay": 0.3}), verdict=SAFE, never=("LB",), quick=False,
        because="The grid is asked first in each poll.",
    ),
    _row(
        "each answer takes 1.2 s, later than it is waited for",
        Change({"delay": 1.2}), CUT_OFF, Seen("OB", within=150), Hold("OB", 15, without="LB"),
        verdict=SAFE, never=("LB",), quick=False,
        because="An answer that comes late is taken all the same.",
    ),
    _row(
        "a bad line in an outage",
        Change(NOISE), CUT_OFF, Seen("OB", within=30), Hold("OB", 20, without="LB"),
        verdict=SAFE, never=("LB",),
        because="What is damaged is dropped, and asked again.",
    ),
    _row(
        "another client asks for everything, 50 times a second",
        Neighbour(50), CUT_OFF, Seen("OB", within=30), Hold("OB", 15, without="LB"),
        verdict=SAFE, never=("LB",),
        because="Each client hears every answer; what others have asked for is taken as well.",
    ),
    _row(
        "another client, and every second request of both collides",
        Change({"collide": 0.5, "foreign": 0.5}), Neighbour(20), CUT_OFF, Seen("OB", within=40), Hold("OB", 15, without="LB"),
        verdict=SAFE, never=("LB",), quick=False,
        because="A request that is lost is asked again.",
    ),
    *(
        _row(
            f"{what} on the line in an outage",
            CUT_OFF, Seen("OB", within=15), Noise(data, times=10), Hold("OB", 10, without="LB"),
            verdict=SAFE, never=("LB",), quick=False,
            because="Bytes that nobody has asked for are no statement.",
        )
        for what, data, _ in GARBAGE
    ),
    _row(
        "a charge of 0 for 20 s",
        CUT_OFF, Seen("OB", within=15), Change({"override": {CHARGE: 0.0}}), Hold("OB", 20, without="LB"), Change({"override": {CHARGE: None}}),
        verdict=SAFE, never=("LB",),
        because="Batteries answer 0 when their management has just started.",
    ),
    _row(
        "a charge of 0 that stays",
        CUT_OFF, Seen("OB", within=15), Change({"override": {CHARGE: 0.0}}),
        verdict=Within(120 + POLLS + LOW.seconds, earliest=110), quick=False,
        because="Zeros are believed when they have stayed for 120 s: the half hour above the mark has them to spare.",
    ),
    _row(
        "the charge jumps to 5 % and stays",
        CUT_OFF, Seen("OB", within=15), Change({"soc": 5, "soc_min_island": 1}),
        first=Change({"soc_min_island": 1}), options={"charge_low_margin": "5"},
        verdict=Within(10 + POLLS + LOW.seconds, earliest=8),
        because="Batteries of this kind correct themselves by tens of percent near their end; after 10 s it is believed.",
    ),
    *(
        _row(
            f"a charge of {value}",  # type: ignore[str-bytes-safe]
            CUT_OFF, Seen("OB", within=15), Change({"override": {CHARGE: value}}), Hold("OB", 20, without="LB"),
            verdict=SAFE, never=("LB",), never_values={"battery.charge": "nan|inf|-|1[0-9]{3}|700"}, quick=quick,
            because="What no battery has is not used.",
        )
        for value, quick in ((7.0, False), (-0.5, False), (float("nan"), False), (float("inf"), False), (b"\x3f", False))
    ),
    _row(
        "zeros of a reboot but for the flag and the permitted current",
        CUT_OFF, Seen("OB", within=15), Fail(), Wait(3),
        Change({"override": dict.fromkeys((CHARGE, LIMIT, *POWERS, "battery.soh", "battery.voltage", "battery.ah_capacity"), 0.0)}), Back(),
        Wait(8), Hold("OB", 15, without="LB"),
        verdict=SAFE, never=("LB",), quick=False,
        because="Zeros of an inverter that has just started are no empty battery.",
    ),
    _row(
        "two towers, one of them empty",
        CUT_OFF, Seen("OB", within=15), Hold("OB", 15, without="LB"),
        first=Change({"towers": 2, "soc": 60, "soc2": 11}), verdict=SAFE, never=("LB",), quick=False,
        because="Both towers carry the house, so the charge of both counts.",
    ),
    _row(
        "the battery says that it is empty, twice",
        CUT_OFF, Seen("OB", within=15), Change({"override": {"battery.status2": 0x20}}),
        first=Change({"soc": 30}), verdict=Open(30), quick=False,
        because="What the electronics of the battery say may be LB or not, by the bit; it must not end the driver.",
        alive=True,
    ),
    _row(
        "the grid returns",
        CUT_OFF, Seen("OB", within=15), Change({"grid": "reclosing"}), Seen("OL", within=40),
        first=Change({"reclose_seconds": 5.0}), verdict=SAFE, never=("LB",), quick=False,
        because="An outage ends when every source has shown the grid for 10 s.",
    ),
    _row(
        "OB, kill -9 and start at once",
        CUT_OFF, Seen("OB", within=15), Kill(), Start(), Seen("OB", within=10),
        verdict=SAFE, by_release=((FROM_281, Open(ACTS)), (FROM_283, SAFE)), quick=False,
        because="It is back within DEADTIME; 2.8.1 and 2.8.2 act if they look meanwhile.",
    ),
    _row(
        "OB, kill -9, and the inverter is away when the driver starts",
        CUT_OFF, Seen("OB", within=15), Look(), Kill(), Fail(), Start(),
        verdict=GONE_ON_BATTERY, by_release=((FROM_281, AT_ONCE), (FROM_283, GONE_ON_BATTERY)), quick=False,
        because="A driver that knows nothing serves nothing, and upsmon has seen the outage.",
    ),
    _row(
        "reload in the outage raises the mark",
        CUT_OFF, Seen("OB DISCHRG", within=15), Configure({"lowbatt": "70"}),
        verdict=LOW_TOLD,
        quick=False,
        because="A reload takes the new mark over at once.",
    ),
    _row(
        "reload in the outage with a broken ups.conf",
        CUT_OFF, Seen("OB", within=15), Configure(text='[home\n pollinterval = "x'), Hold("OB", 12, without="LB"),
        verdict=SAFE, quick=False,
        because="A file that cannot be read changes nothing.",
    ),
    _row(
        "upsrw raises the mark while the inverter is away",
        CUT_OFF, Seen("OB DISCHRG", within=15), Value("battery.charge", "[56].*"), Fail(), Wait(4), Set("battery.charge.low", "70"),
        verdict=LOW_TOLD,
        because="The last charge is known, and the mark is the driver's own.",
    ),
    _row(
        "the driver is stopped for 10 s",
        CUT_OFF, Seen("OB", within=15), Freeze(10), Hold("OB", 6, without="LB"),
        verdict=SAFE, quick=False,
        because="upsd waits 15 s for its driver, and the reading is younger than maxage.",
    ),
    _row(
        "emergency off in the outage",
        CUT_OFF, Seen("OB", within=15), Change({"emergency_off": True}),
        options={"maxage": "6"},
        verdict=Within(30 + 2 * 6 + POLLS + ACTS + BUSY), quick=False,
        because="The island ends, and 30 s later the inverter's network: silence on battery.",
    ),
)

ROWS = (*_grid, *_outage)
