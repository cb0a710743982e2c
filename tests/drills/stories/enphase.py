# SPDX-License-Identifier: GPL-2.0-or-later
"""Enphase: a simulated gateway and its cloud, with the faults that real ones show."""

from __future__ import annotations

from typing import Any

from tests.drills.acts import Back, Configure, Freeze, NoFiles, Set, WallClock
from tests.drills.bounds import (
    ACTS,
    AWAY,
    BUSY,
    CUT_OFF,
    FROM_281,
    FROM_283,
    LOOK,
    LOW,
    LOW_TOLD,
    MAXAGE,
    POLLS,
    SAFE,
    SHORTLY,
    UPSMON_FIRST,
)
from tests.drills.steps import Change, Fail, Hold, Kill, Look, Seen, Silence, Start, Step, Value, Wait
from tests.drills.verdicts import TWO_PHASES, Never, Open, Row, Verdict, Within

__all__ = ["ROWS"]

RELAY = "/ivp/ensemble/relay"
SECCTRL, LIVE = "/ivp/ensemble/secctrl", "/ivp/livedata/status"
GOOD: dict[str, object] = {"kind": "delay", "seconds": 0.0}
ONLY_RELAY = Change({"fault": {"*": {"kind": "hang"}, RELAY: GOOD}})
HEALED = Change({"clear_faults": True})
CLOUD_AWAY = Change({"fault": {"cloud": {"kind": "status", "status": 503}}})
LOADED = Change({"load": 7600})
"""W: takes a point of 10 kWh in 47 s."""

ZEROS: dict[str, dict[str, object]] = {
    SECCTRL: dict.fromkeys(("agg_soc", "ENC_agg_soc", "ENC_agg_avail_energy", "Max_energy", "Enc_max_available_capacity"), 0),
    LIVE: dict.fromkeys(("meters/soc", "meters/enc_agg_soc", "meters/enc_agg_energy"), 0),
}
"""What a gateway says that has just started and does not know its batteries yet."""


def _row(name: str, *steps: Step, verdict: Verdict, because: str, phased: bool = False, **more: Any) -> Row:
    return Row(name=f"enphase: {name}", device="enphase", steps=steps, verdict=verdict, because=because, phased=phased, **more)


_grid = (
    _row(
        "the network is gone for 16 s, and back",
        Fail(), Silence(16), Back(), Seen("OL"),
        options=SHORTLY, verdict=SAFE, quick=False,
        because="On the grid a gateway may be away for as long as it likes.",
    ),
    _row(
        "every answer is a web page",
        Change({"fault": {"*": {"kind": "html"}}}),
        options=SHORTLY, verdict=AWAY, never=("OB", "LB"), quick=False,
        because="A page of the web server in place of an answer says nothing about the grid.",
    ),
    *(
        _row(
            f"the relay's answer is {what}",
            Change({"fault": {RELAY: fault}}),
            options=SHORTLY, verdict=AWAY, never=("OB", "LB"), quick=quick,
            because="An answer that cannot be read is no statement about the grid.",
        )
        for what, fault, quick in (
            ("cut short", {"kind": "truncated"}, True),
            ("empty", {"kind": "empty"}, False),
            ("broken off in a chunk", {"kind": "truncated-chunk"}, False),
            ("another document", {"kind": "wrong-json"}, False),
            ("HTTP 502", {"kind": "status", "status": 502}, False),
            ("dripping for ever", {"kind": "drip", "seconds": 1.0}, False),
        )
    ),
    *(
        _row(
            f"the relay's state is {word!r}",
            Change({"documents": {RELAY: {"mains_oper_state": word}}}),
            options=SHORTLY, verdict=AWAY, never=("OB", "LB"), quick=quick,
            because="A word that no firmware says is no statement about the grid.",
        )
        for word, quick in (("molten", False), (None, False), (0, False), ({"a": []}, False))
    ),
    _row(
        "a reboot: away for 8 s, then zeros for 15 s",
        Fail(), Wait(8), Change({"documents": ZEROS}), Back(), Wait(15), Change({"documents": dict.fromkeys(ZEROS)}), Seen("OL"),
        verdict=SAFE, never=("OB", "LB"), quick=False,
        because="A gateway that has just started knows neither batteries nor charge.",
    ),
    _row(
        "the grid flaps every 3 s",
        *(step for _ in range(4) for step in (CUT_OFF, Wait(3), Change({"grid": "on"}), Wait(3))),
        verdict=SAFE, never=("LB",), phases=TWO_PHASES, phased=True,
        because="The charge is high, and the last word of the relay is that the grid is there.",
    ),
    _row(
        "the certificate changes",
        Change({"rotate_certificate": True}),
        options=SHORTLY, verdict=AWAY, never=("OB", "LB"),
        quick=False,
        because="A certificate says nothing about the grid, whatever is done about it.",
    ),
    _row(
        "the cloud is away, and the driver is started anew with the token it has kept",
        CLOUD_AWAY, Kill(), Start(), Seen("OL"), Hold("OL", 5),
        verdict=SAFE, quick=False,
        because="A token lasts a year, and an outage is when the internet may be gone.",
    ),
    _row(
        "the token is refused, and the cloud is away",
        CLOUD_AWAY, Change({"forget_tokens": True}),
        options=SHORTLY, verdict=AWAY, never=("OB",), log=("refused the token",), quick=False,
        because="Nobody is let in, so the data go stale; on the grid that is no reason.",
    ),
    _row(
        "a wrong password: the account is not tried again and again",
        Change({"login": "invalid"}), Change({"forget_tokens": True}),
        options=SHORTLY, verdict=AWAY, never=("OB",), quick=False,
        because="The same.",
    ),
    _row(
        "no grid meter, no batteries answered, the relay alone",
        ONLY_RELAY, Hold("OL", 20),
        verdict=SAFE, never=("OB", "LB"), quick=False,
        because="The relay is answered, and it alone says where the power comes from.",
    ),
)

_outage = (
    _row(
        "OB at 80 %, for long",
        CUT_OFF, Seen("OB DISCHRG"),
        verdict=Never(30), never=("LB",), phases=TWO_PHASES, phased=True,
        quick=False,
        because="An outage with a full battery is no reason.",
    ),
    _row(
        "the charge falls to the mark while it is told",
        CUT_OFF, Seen("OB"), LOADED, Change({"soc": 21}), Wait(6), Change({"soc": 20}),
        first=Change({"soc": 24}),
        verdict=LOW_TOLD,
        because="The charge is asked with each full poll, 5 s here, and upsmon acts at its next look.",
    ),
    _row(
        "the charge falls to the mark while the relay alone is answered",
        LOADED, CUT_OFF, Seen("OB DISCHRG"), ONLY_RELAY,
        options={"lowbatt": "79.5"},
        verdict=Within(30 + 2 * LOOK + BUSY, earliest=5),
        because="7.6 kW take half a point of 10 kWh in 24 s; nobody tells the charge, so it is counted down.",
    ),
    _row(
        "the charge falls to the mark while the gateway is away",
        LOADED, CUT_OFF, Seen("OB DISCHRG"), Value("battery.charge", "80"), Wait(6), Fail(),
        options={"lowbatt": "79.5"},
        verdict=Within(30 + 2 * LOOK + BUSY, earliest=5), quick=False,
        because="The same, and maxage alone is 120 s.",
    ),
    _row(
        "the gateway restarts: away for 15 s",
        CUT_OFF, Seen("OB"), Fail(), Wait(15), Back(), Hold("OB", 8, without="LB"),
        verdict=SAFE, quick=False,
        because="The last reading is served for maxage, 120 s, and counted down.",
    ),
    _row(
        "a reboot: away for 8 s, then zeros for 20 s",
        CUT_OFF, Seen("OB"), Change({"documents": ZEROS}), Fail(), Wait(8), Back(), Hold("OB", 20, without="LB"),
        verdict=SAFE, never=("LB",),
        because="Zeros of a gateway that has just started are no empty battery.",
    ),
    *(
        _row(
            f"{what} {'is' if len(paths) == 1 else 'are'} not answered",
            CUT_OFF, Seen("OB"), Change({"fault": {path: {"kind": kind} for path in paths}}), Hold("OB", 15, without="LB"),
            verdict=SAFE, never=("LB",), quick=False,
            because="What is not answered takes neither the grid's state nor the charge away.",
        )
        for what, paths, kind in (
            ("secctrl", (SECCTRL,), "hang"),
            ("livedata", (LIVE,), "hang"),
            ("the batteries' power", ("/ivp/ensemble/power",), "reset"),
            ("the meters", ("/ivp/meters", "/ivp/meters/reports"), "empty"),
            ("the inventory and the status", ("/ivp/ensemble/inventory", "/ivp/ensemble/status"), "hang-after-headers"),
        )
    ),
    *(
        _row(
            f"{path} is {kind}",
            CUT_OFF, Seen("OB"), Change({"fault": {path: {"kind": kind}}}), Hold("OB", 12, without="LB"),
            verdict=SAFE, never=("LB",), quick=quick,
            because="Garbage loses that answer, and nothing else.",
        )
        for path, kind, quick in (
            (SECCTRL, "html", True), (SECCTRL, "wrong-json", False), (SECCTRL, "truncated", False),
            (LIVE, "wrong-json", False), ("/ivp/ensemble/power", "wrong-json", False), ("/ivp/meters/reports", "wrong-json", False),
        )
    ),
    _row(
        "every answer takes 1.2 s",
        Change({"fault": {"*": {"kind": "delay", "seconds": 1.2}}}), Wait(3), CUT_OFF, Seen("OB", within=15), Hold("OB", 12, without="LB"),
        verdict=SAFE, quick=False,
        because="The relay is asked first in each poll, and published before the rest.",
    ),
    _row(
        "every answer is later than api_timeout",
        CUT_OFF, Seen("OB"), Change({"fault": {"*": {"kind": "delay", "seconds": 3.0}}}),
        options={"maxage": "8"},
        verdict=Within(8 + 2 * MAXAGE + ACTS + BUSY), quick=False,
        because="What never comes in time is silence, and silence on battery acts.",
    ),
    _row(
        "the relay's answer is a web page",
        CUT_OFF, Seen("OB"), Look(), Change({"fault": {RELAY: {"kind": "html"}}}),
        options=SHORTLY,
        verdict=Within(2 * MAXAGE + ACTS + BUSY), never=("LB",), quick=False,
        because="Nobody tells the grid's state any more: silence on battery.",
    ),
    _row(
        "the token is refused, the cloud answers",
        CUT_OFF, Seen("OB"), Change({"forget_tokens": True}), Hold("OB", 12, without="LB"),
        verdict=SAFE,
        because="A new token is fetched, and the outage goes on.",
    ),
    _row(
        "the token is refused, the cloud is away",
        CUT_OFF, Seen("OB"), Look(), CLOUD_AWAY, Change({"forget_tokens": True}),
        options={"maxage": "6"},
        verdict=Within(6 + 2 * MAXAGE + ACTS + BUSY, earliest=10), log=("refused the token",),
        by_release=((FROM_281, Within(6 + 2 * MAXAGE + ACTS + BUSY)),),
        because="Nobody is let in: silence on battery acts, after maxage.",
    ),
    _row(
        "the token ends, and the cloud is away",
        CUT_OFF, Seen("OB"), CLOUD_AWAY,
        first=Change({"token_lifetime": 45}), options={"maxage": "6"},
        verdict=Within(45 + 6 + 2 * MAXAGE + ACTS + BUSY), quick=False,
        because="The same: the gateway refuses an ended token.",
    ),
    _row(
        "the certificate changes, and the gateway is the same",
        CUT_OFF, Seen("OB"), Change({"rotate_certificate": True}), Hold("OB", 15, without="LB"),
        verdict=SAFE,
        because="A renewed certificate must cost no server; maxage, 120 s, is the time to look at it.",
    ),
    *(
        _row(
            f"the gateway's clock is {what}",
            CUT_OFF, Seen("OB"), Change({"gateway_clock_offset": seconds}), Hold("OB", 12, without="LB"),
            verdict=SAFE, quick=False,
            because="Its date has no part in the state of the grid; a refused token has maxage, 120 s.",
        )
        for what, seconds in (("a day ahead", 86400.0), ("in 1970", -1.7e9), ("ten minutes behind", -600.0))
    ),
    _row(
        "OB, kill -9 and start at once",
        CUT_OFF, Seen("OB"), Kill(), Start(), Seen("OB", within=8),
        verdict=SAFE, by_release=((FROM_281, Open(ACTS)), (FROM_283, SAFE)), quick=False,
        because="It is back within DEADTIME, with the token that it has kept; 2.8.1 and 2.8.2 act if they look meanwhile.",
    ),
    _row(
        "OB below the mark, the driver is started",
        Start(), Seen("OB"),
        first=Change({"grid": "outage", "soc": 15}), prelude=(),
        verdict=Open(4), values={"battery.charge": "15"}, quick=False,
        because="A driver that starts in an outage tells the charge with its first reading.",
    ),
    _row(
        "OB below the mark, upsmon is there first",
        Seen("OB"),
        first=Change({"grid": "outage", "soc": 15}), prelude=UPSMON_FIRST,
        verdict=Within(POLLS + LOW.seconds),
        because="The first reading holds the charge, so it makes LB.",
    ),
    _row(
        "reload in the outage raises the mark",
        CUT_OFF, Seen("OB DISCHRG"), Configure({"lowbatt": "85"}),
        verdict=LOW_TOLD,
        quick=False,
        because="A reload takes the new mark over at once.",
    ),
    _row(
        "reload in the outage changes the poll interval",
        CUT_OFF, Seen("OB DISCHRG"), Configure({"pollinterval": "3", "maxage": "60"}), Hold("OB", 12, without="LB"),
        verdict=SAFE, quick=False,
        because="No reload changes what the device said about the grid.",
    ),
    _row(
        "upsrw raises the mark while the gateway is away",
        CUT_OFF, Seen("OB DISCHRG"), Fail(), Wait(6), Set("battery.charge.low", "85"),
        verdict=LOW_TOLD,
        quick=False,
        because="The last charge is known, and the mark is the driver's own.",
    ),
    _row(
        "an outage of an island by hand, and the grid's return",
        Change({"grid": "island"}), Seen("OB", within=40), Change({"grid": "reclosing"}), Seen("OL", within=30),
        verdict=SAFE, never=("LB",), quick=False,
        because="A house that its owner takes off the grid is on battery; afterwards it is not.",
    ),
    _row(
        "the generator carries the house",
        CUT_OFF, Seen("OB"), Change({"generator": True}), Wait(10),
        verdict=SAFE, never=("LB",), quick=False,
        because="With the charge high nothing shuts down, whoever feeds.",
    ),
    _row(
        "the driver is stopped for 10 s",
        CUT_OFF, Seen("OB"), Freeze(10), Hold("OB", 6, without="LB"),
        verdict=SAFE, quick=False,
        because="upsd waits 15 s for its driver, and the reading is younger than maxage.",
    ),
    _row(
        "no file can be written",
        CUT_OFF, Seen("OB"), NoFiles(), Change({"forget_tokens": True}), Hold("OB", 12, without="LB"),
        verdict=SAFE,
        because="A full disk costs what is kept for a restart: the new token serves without its file.",
    ),
    _row(
        "no file can be written, kill -9 and start at once",
        CUT_OFF, Seen("OB"), NoFiles(), Kill(), Start(), Seen("OB"),
        verdict=SAFE, by_release=((FROM_281, Open(ACTS)), (FROM_283, SAFE)), quick=False,
        because="A full disk keeps no driver from starting.",
    ),
    *(
        Row(
            name=f"enphase: the host's clock jumps by {what}",
            device="enphase, clock moved",
            steps=(CUT_OFF, Seen("OB"), WallClock(seconds), Hold("OB", 15, without="LB")),
            verdict=SAFE, never=("LB",), phased=False, quick=quick,
            because="Ages and intervals are of the monotonic clock; a token is not thrown away for a date.",
        )
        for what, seconds, quick in (("two years", 6.3e7, True), ("an hour back", -3600.0, False))
    ),
)

ROWS = (*_grid, *_outage)
