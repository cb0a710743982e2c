# SPDX-License-Identifier: GPL-2.0-or-later
"""What a backend must hold, what becomes of the servers when it does not, and what to change: a table."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FOLLOWING", "RULES", "Failure", "Rule", "rule"]

NOTHING = "as soon as the charge is low, every server of the house would be shut down for nothing"
LATE = "no server would be shut down in time, each would lose its power while it runs"
BLIND = "upsd would know nothing of the battery, and see no outage"
PUBLIC = "anybody who asks upsd or reads the log would have it"
UNSEEN = f"an outage that begins now would not be seen, and {LATE}"
MADE_UP = "what is shown and reckoned with would be wrong, and with it the time at which servers are shut down"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: what must hold, what becomes of its breach, and what to change. ``needs`` are methods of the fake device."""

    name: str
    holds: str
    harm: str
    advice: str
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """A breach of a rule: what was seen, and when."""

    rule: str
    seen: str

    @property
    def sentence(self) -> str:
        """Return what was seen, what becomes of it, and what to change."""
        broken = rule(self.rule)
        return f"{self.seen}: {broken.harm}; {broken.advice}"


GRID_ALONE = "make OL and OB from what the device tells of the grid, never from the battery's power, charge or voltage"
NO_ANSWER = "raise DeviceError when there is no usable answer, and return no reading"
NO_CHARGE = "leave battery.charge out while the device does not tell it"

RULES: tuple[Rule, ...] = (  # in the order in which they are judged
    # The class
    Rule(
        "options",
        "each option has a help text, a type that ups.conf can hold, and a default that fits",
        "the administrator could not set it, or not know what it does",
        "declare each option with option(help, default=...)",
    ),
    Rule("secret-option", "an option that holds a secret is sensitive", PUBLIC, "declare it with option(..., sensitive=True)"),
    Rule(
        "limits",
        "pollinterval, maxage and patience fit each other",
        "a healthy device would be stale between two polls, or a silent one be shown for long as if it were there",
        "choose maxage of at least two pollintervals and of patience, and of ten minutes at most",
    ),
    Rule(
        "described",
        "the class has a description and a version",
        "driver.version.data would not show which backend makes the readings",
        "set description and version",
    ),
    Rule(
        "offers",
        "commands are NUT's and carried out by command(), writable variables by set()",
        "upscmd and upsrw would offer what does nothing",
        "implement what is offered, and offer nothing else",
    ),
    # A healthy device
    Rule("start", "a healthy device on the grid is served", BLIND, "let poll() return a Reading of it"),
    Rule(
        "blocking",
        "nothing blocks the event loop",
        "upsd would take the driver for dead, and the data for stale",
        "use asyncio, or put the call into await asyncio.to_thread(...)",
    ),
    Rule(
        "calm",
        "on the grid and with nothing wrong there is OL, and not OB",
        NOTHING,
        GRID_ALONE,
    ),
    Rule(
        "alarm",
        "on the grid and with nothing wrong there is no alarm, and none of CAL, BYPASS, OVER and OFF",
        "upsmon takes a UPS that was in such a state and falls silent for dead, and would shut servers down for nothing",
        "put into alarms and status only what is wrong now",
    ),
    Rule(
        "status",
        "a status has exactly one of OL and OB, and neither FSD nor an LB with OL",
        "upsmon would misread it, and shut down for nothing or not in time",
        "return one of OL and OB in each reading, and leave FSD and LB to the driver",
    ),
    Rule(
        "dropped",
        "the driver drops nothing of a reading",
        BLIND,
        "return only NUT's names, numbers as numbers, within their ranges",
    ),
    Rule(
        "names",
        "each variable has a name of NUT's list, or one below experimental.",
        "no client would find it",
        "use the names of NUT's docs/nut-names.txt, else experimental.*",
    ),
    Rule(
        "first-reading",
        "the first reading has all variables that later ones have",
        "clients that make their sensors from the first answer would never show the rest",
        "ask for everything at the first poll, or raise DeviceError until it is there",
    ),
    Rule(
        "believable",
        "temperatures, frequencies, voltages, loads and times are in NUT's units",
        MADE_UP,
        "convert to degrees Celsius, Hz, V, W, percent and seconds",
    ),
    Rule(
        "time",
        "Reading.at is a time of self.clock.monotonic(), not of the future",
        "old data would be served as if they were new, and an outage would not be seen",
        "take it from self.clock.monotonic(), or leave it out if the device told it now",
    ),
    Rule(
        "properties",
        "counters, ages, answers, address, commands and writable can be read at any time",
        "the metrics and the list of commands would be missing",
        "return what is known, and raise nothing",
    ),
    Rule(
        "examine",
        "examine() ends without an error, also when the device is silent",
        "nutdrv_py check could not say what is wrong",
        "yield failed(...) with a sentence in place of an exception",
        ("silence",),
    ),
    # Charge, power, runtime
    Rule(
        "stuck",
        "readings follow the device",
        UNSEEN,
        "ask the device at each poll, or give the time of what was kept in Reading.at",
        ("charge",),
    ),
    Rule(
        "charge",
        "battery.charge is what the device tells, in percent",
        f"LB would come at the wrong time or never, and {LATE}",
        "convert the charge to percent, 0 to 100, at each poll",
        ("charge",),
    ),
    Rule(
        "runtime",
        "battery.runtime is what the device tells, or what follows from the energy left, in seconds",
        "servers would be shut down too late, or too early",
        "convert the remaining time to seconds",
    ),
    Rule(
        "power", "ups.realpower is what the house takes, in W", MADE_UP, "convert it to W, + for what the house takes", ("load",)
    ),
    Rule(
        "direction",
        "CHRG, DISCHRG and battery.charger.status tell what the battery does",
        MADE_UP,
        "look at the sign: + of the battery's power is discharging in some devices, charging in others",
        ("battery",),
    ),
    Rule(
        "decline",
        "Decline holds the power that the battery loses, in W",
        f"the charge would not be counted down while the device is silent, and {LATE}",
        "give load in W, at least 0, and capacity in Wh",
        ("battery",),
    ),
    # The grid is there
    Rule("night", "a battery that carries the house while the grid is there is OL", NOTHING, GRID_ALONE, ("battery",)),
    Rule("sun", "a battery that is charged on the grid is OL", NOTHING, GRID_ALONE, ("battery",)),
    Rule("low-on-grid", "a low or full battery on the grid is OL", NOTHING, GRID_ALONE, ("charge",)),
    Rule("voltage", "a battery with a low voltage on the grid is OL", NOTHING, GRID_ALONE, ("voltage",)),
    # The grid is gone
    Rule("outage", "an outage is OB", LATE, "return OB when the device tells that the grid is gone"),
    Rule("discharge", "OB stays while the battery discharges", LATE, GRID_ALONE, ("battery",)),
    Rule("solar", "an outage in which the sun charges the battery is OB", LATE, GRID_ALONE, ("battery",)),
    Rule("full", "an outage with a full battery is OB", LATE, GRID_ALONE, ("charge",)),
    Rule("return", "OL follows when the grid is back", NOTHING, "look at the grid at each poll, also after an outage"),
    Rule(
        "again",
        "a second outage is OB as the first one was",
        LATE,
        "look at the grid at each poll; keep nothing from the last outage",
    ),
    Rule(
        "late-start",
        "a driver that starts in an outage serves OB",
        LATE,
        "return OB from the first reading on, not after a change",
    ),
    Rule(
        "low-battery",
        "in an outage LB follows when the charge is at its low mark",
        LATE,
        "give battery.charge in each reading, and nothing that hides it",
        ("charge",),
    ),
    Rule(
        "own-low",
        "a backend makes no LB from the charge or the runtime",
        "servers would be shut down too early, whatever lowbatt and upsrw set",
        "leave LB to the driver, which knows the marks that are set",
        ("charge",),
    ),
    Rule(
        "charge-missing",
        "a charge that is not told is neither 100 nor 0",
        "an empty battery would look full or a full one empty, and servers would be shut down too late, or for nothing",
        NO_CHARGE,
        ("hide_charge",),
    ),
    Rule(
        "charge-kept",
        "in an outage a charge of long ago is not shown as it was",
        f"an empty battery would look full, and {LATE}",
        "count the charge down by the power that is drawn, or leave it out after some minutes without one",
        ("hide_charge", "battery"),
    ),
    # No answer
    Rule(
        "silence",
        "data of a silent device go stale within maxage",
        UNSEEN,
        f"{NO_ANSWER}; or give the time of what was kept in Reading.at",
        ("silence",),
    ),
    Rule("silent-on-grid", "silence on the grid is not OB", NOTHING, NO_ANSWER, ("silence",)),
    Rule("silent-in-outage", "silence in an outage is not OL", LATE, NO_ANSWER, ("silence",)),
    Rule(
        "missed-outage",
        "an outage that began while the device was silent is OB",
        LATE,
        "look at the grid at each poll, not at its changes",
        ("silence", "recover"),
    ),
    Rule(
        "recovery",
        "a device that answers again is served again",
        BLIND,
        "connect anew at the next poll after a failure",
        ("silence", "recover"),
    ),
    Rule(
        "garbage",
        "data go stale while nothing can be understood",
        UNSEEN,
        NO_ANSWER,
        ("garbage",),
    ),
    Rule("garbage-on-grid", "nonsense on the grid is not OB", NOTHING, NO_ANSWER, ("garbage",)),
    Rule("garbage-in-outage", "nonsense in an outage is not OL", LATE, NO_ANSWER, ("garbage",)),
    Rule(
        "unsaid",
        "data go stale while the device tells nothing of the grid",
        UNSEEN,
        NO_ANSWER,
        ("hide_grid",),
    ),
    Rule("unsaid-on-grid", "no word of the grid is not OB", NOTHING, NO_ANSWER, ("hide_grid",)),
    Rule("unsaid-in-outage", "no word of the grid is not OL", LATE, NO_ANSWER, ("hide_grid",)),
    Rule(
        "old",
        "what was kept somewhere is not served as new",
        "an outage of long ago would shut servers down for nothing, or one of now would not be seen",
        "take what is retained for no statement until a live one comes, or give its time in Reading.at",
        ("repeat",),
    ),
    Rule(
        "restart",
        "a restart of the device costs nothing but a moment",
        "at each update of its firmware upsd would know nothing of the battery, or see an outage that is none",
        "connect and log in anew when a session has ended",
        ("restart",),
    ),
    Rule(
        "first-silence",
        "a device that is away at the start is served when it comes",
        BLIND,
        "raise DeviceError while it is away: __aenter__ and poll are called again",
        ("silence", "recover"),
    ),
    # Errors
    Rule(
        "exit",
        "a backend never ends the process",
        "the driver's guard alone would keep the process alive, and the log ask the administrator to report a fault",
        "raise DeviceError in place of sys.exit",
    ),
    Rule(
        "error",
        "a failure of the device is DeviceError",
        "the log would ask the administrator to report a fault of the program",
        "catch what the library raises, and raise DeviceError with a sentence",
    ),
    Rule(
        "sentence",
        "an error is a sentence",
        "the administrator would not know what to do",
        "write what is wrong and where, and what to type",
    ),
    Rule(
        "chatter",
        "the log has a line for each change, not for each poll",
        "the disk would fill, and what the administrator must see would drown in it",
        "log by nutdrv_py.api.Trouble, or raise DeviceError, which the driver logs once",
    ),
    Rule(
        "hang",
        "each poll ends by itself",
        "an outage would not be noticed while a poll hangs",
        "give each request a time limit, of a few seconds in the configuration of the test",
        ("silence",),
    ),
    Rule(
        "cancel",
        "a poll that is cancelled ends, and the next one works",
        "the driver could neither end nor poll again",
        "let CancelledError pass, and leave the connection so that the next poll works",
        ("slow",),
    ),
    Rule(
        "login",
        "a refused login is AuthError, with rejected=True when it is refused for good",
        "the same wrong password would be tried each few seconds until the device locks the account",
        "raise AuthError(sentence, rejected=True)",
        ("refuse",),
    ),
    Rule(
        "secret",
        "no secret is in a value, a log line, an exception or a representation",
        PUBLIC,
        "leave it out of the text, and of the exceptions that a library has raised (raise ... from None)",
    ),
    # The process
    Rule(
        "thread",
        "wake() and publish() are called from the event loop",
        "the driver would not wake, and see the outage late",
        "use loop.call_soon_threadsafe(self.wake)",
    ),
    Rule(
        "leftovers",
        "nothing of the backend runs on after __aexit__",
        "each reload and each test would leave a connection behind",
        "cancel your tasks and end your threads in __aexit__, and wait for them",
    ),
    Rule(
        "two-houses",
        "two devices of one class do not know of each other",
        "one house would be shown with the other's grid, and its servers be shut down for nothing, or not in time",
        "keep what is remembered in self, not in the class",
    ),
    Rule(
        "set",
        "what upsrw sets is set, and told at the next poll",
        "upsrw would report success for nothing",
        "carry it out, and return the new value in the next reading",
    ),
    Rule(
        "command",
        "a command ends well, or with CommandError",
        "upscmd would report an internal error",
        "raise CommandError with a sentence when it cannot be done",
    ),
    Rule(
        "reload",
        "options marked reload are taken over while the driver runs",
        "a reload would change nothing, without a word",
        "set self.config in reload(), or leave reload() as it is",
    ),
)

ALONE = frozenset({"options", "secret-option", "limits", "described", "offers", "start", "blocking", "examine"})
"""Rules that are judged although a healthy device is not served."""

# A rule: those that cannot be judged as long as it is broken.
FOLLOWING: dict[str, frozenset[str]] = {
    "start": frozenset(row.name for row in RULES) - ALONE,
    "blocking": frozenset({"cancel"}),
    "calm": frozenset({"charge", "stuck", "runtime", "power", "direction", "night", "sun", "low-on-grid", "voltage"}),
    "stuck": frozenset({"runtime", "power", "direction"}),
    "outage": frozenset(
        {
            "discharge", "solar", "full", "return", "again", "late-start", "low-battery", "own-low", "charge-kept", "decline",
            "silent-in-outage", "garbage-in-outage", "unsaid-in-outage", "missed-outage", "two-houses",
        }
    ),
    "return": frozenset({"again"}),
    "recovery": frozenset({"first-silence"}),
    "offers": frozenset({"set", "command"}),
    "properties": frozenset({"set", "command"}),
}  # fmt: skip

_BY_NAME = {row.name: row for row in RULES}


def rule(name: str) -> Rule:
    """Return the rule of that name."""
    return _BY_NAME[name]
