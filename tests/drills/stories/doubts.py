# SPDX-License-Identifier: GPL-2.0-or-later
"""Numbers and bytes that once made LB for nothing, or hid that the battery was empty."""

from __future__ import annotations

from tests.drills.acts import Back, Noise
from tests.drills.bounds import BUSY, CUT_OFF, LOOK, SAFE
from tests.drills.steps import Change, Fail, Hold, Kill, Seen, Start, Value, Wait
from tests.drills.stories.enphase import LIVE, LOADED, ONLY_RELAY, SECCTRL
from tests.drills.stories.rct import CHARGE, LIMIT, POWERS
from tests.drills.verdicts import Row, Within

__all__ = ["ROWS"]

POWER = "/ivp/ensemble/power"
SILENT_LIVE = Change({"fault": {LIVE: {"kind": "hang"}}})
ALL_ZERO = (CHARGE, LIMIT, *POWERS, "battery.maximum_discharge_current", "battery.soh", "battery.voltage", "battery.ah_capacity")

ROWS: tuple[Row, ...] = (
    Row(
        name="rct: two million bytes of escapes and starts in an outage",
        device="rct",
        steps=(CUT_OFF, Seen("OB", within=15), Noise(b"-+" * (1 << 16), times=16, pause=0.25), Hold("OB", 12, without="LB")),
        verdict=SAFE,
        never=("LB",),
        phased=False,
        because="The reader of frames looks at each byte a bounded number of times, so upsd is answered meanwhile.",
    ),
    Row(
        name="rct: away for 4 s, then zeros of a reboot for 20 s, the permitted current among them",
        device="rct",
        steps=(
            CUT_OFF,
            Seen("OB", within=15),
            Fail(),
            Wait(4),
            Change({"override": dict.fromkeys(ALL_ZERO, 0.0)}),
            Back(),
            Wait(6),
            Hold("OB", 20, without="LB"),
            Change({"override": dict.fromkeys(ALL_ZERO)}),
        ),
        verdict=SAFE,
        never=("LB",),
        phased=False,
        because="Zeros of an inverter that has just started are no empty battery.",
    ),
    *(
        Row(
            name=f"enphase: in an outage {what}",
            device="enphase",
            steps=(CUT_OFF, Seen("OB"), SILENT_LIVE, Wait(6), Change({"documents": {path: members}}), Hold("OB", 25, without="LB")),
            verdict=SAFE,
            never=("LB",),
            quick=quick,
            phased=False,
            because="A number that can make LB is bounded by what a house can have and by what was known before.",
        )
        for what, path, members, quick in (
            ("a battery tells 2147483647 mW", POWER, {"devices:/0/real_power_mw": 2147483647}, True),
            ("the capacity is 1 Wh", SECCTRL, {"Enc_max_available_capacity": 1}, True),
            ("VLS_Limit jumps to 95", SECCTRL, {"VLS_Limit": 95}, False),
            ("soc_recovery_exit jumps to 99", SECCTRL, {"soc_recovery_exit": 99}, False),
            ("the energy is 1e306", SECCTRL, {"ENC_agg_avail_energy": 1e306}, False),
            ("the capacity is 1e306", SECCTRL, {"Enc_max_available_capacity": 1e306}, False),
            ("the charge is -5", SECCTRL, {"agg_soc": -5, "ENC_agg_soc": -5}, False),
            ("the charge is a text", SECCTRL, {"agg_soc": "none", "ENC_agg_soc": []}, False),
        )
    ),
    *(
        Row(
            name=f"enphase: {what} is 1e306 on the grid, then an outage",
            device="enphase",
            steps=(Change({"documents": documents}), Wait(7), CUT_OFF, Seen("OB", within=10), Hold("OB", 6, without="LB")),
            verdict=SAFE,
            never=("LB",),
            quick=False,
            phased=False,
            because="A fault in one value loses that value; the relay's word is published first.",
        )
        for what, documents in (
            ("the energy", {SECCTRL: {"ENC_agg_avail_energy": 1e306}, LIVE: {"meters/enc_agg_energy": 1e306}}),
            ("the capacity", {SECCTRL: {"Enc_max_available_capacity": 1e306, "Max_energy": 1e306}}),
            ("the power", {POWER: {"devices:/0/real_power_mw": 1e306}}),
        )
    ),
    Row(
        name="enphase: the charge stands still at 22 % while 7.6 kW are drawn",
        device="enphase",
        first=Change({"soc": 22, "load": 7600}),
        steps=(CUT_OFF, Seen("OB"), Change({"documents": {SECCTRL: {}, LIVE: {}}})),
        verdict=Within(12 / 100 * 10000 / 7600 * 3600 + 2 * LOOK, earliest=60),
        quick=False,
        phased=False,
        because="12 points of 10 kWh, down to the limit of the batteries at 10 %, last 568 s at 7.6 kW: LB must have come before.",
    ),
    Row(
        name="enphase: restarted in an outage, the relay alone is answered",
        device="enphase",
        first=LOADED,
        options={"lowbatt": "79"},
        steps=(CUT_OFF, Seen("OB DISCHRG"), Value("battery.charge", "80"), Wait(7), Kill(), ONLY_RELAY, Start(), Seen("OB")),
        verdict=Within(60 + 2 * LOOK + BUSY),
        phased=False,
        because="A point of 10 kWh lasts 47 s at 7.6 kW: the charge, its time and what was drawn survive the restart.",
    ),
)
