# SPDX-License-Identifier: GPL-2.0-or-later
"""What the bounds of the drills are made of: what upsmon does by its source (clients/upsmon.c: parse_status, is_ups_critical, recalc).

It looks every POLLFREQ; a UPS on battery that is silent is critical DEADTIME after its last answer; ALARM (2.8.3 on), CAL, BYPASS and OFF
(2.8.1 on) are critical at once when no answer comes. 2.8.1 and 2.8.2 take a UPS on battery that is silent for critical at once.
"""

from __future__ import annotations

from tests.drills.steps import Change, Say, Start, Step, Watch
from tests.drills.verdicts import Never, Within

LOOK, DEADTIME = 5, 15
"""POLLFREQ and DEADTIME in seconds."""

LOOKS = 7
"""Seconds between a status without loud tokens and silence: the default of the option ``looks``."""

MAXAGE = 4
"""Seconds in most rows, so that a device that is away is so soon."""

BUSY = 2
"""Seconds that a busy machine may add to a bound."""

KILLED = 5
"""Seconds after which ``upsdrvctl stop`` kills."""

ACTS = DEADTIME + 2 * LOOK
"""Seconds in which upsmon acts on silence: DEADTIME from its last answer, and the look that finds it."""

POLLS = 6
"""Seconds in which a simulated device has told of an outage or a charge: two polls of 2 s, and their requests."""

SHORT = 20
"""Seconds for which a runtime must stay below its mark before it makes LB."""

AWAY = Never(MAXAGE + LOOKS + ACTS)
ENDED = Never(LOOKS + ACTS)
STOPPED = Never(KILLED + ACTS)
SILENT_ON_BATTERY = Within(MAXAGE + ACTS + BUSY)
GONE_ON_BATTERY = Within(ACTS + BUSY)
AT_ONCE = Within(2 * LOOK + BUSY)
LOW = Within(1 + 2 * LOOK + BUSY)

LOW_TOLD = Within(POLLS + LOW.seconds)
SAFE = Never(ACTS)

OUTAGE = "OB DISCHRG"
CUT_OFF = Change({"grid": "outage"})
SHORTLY = {"maxage": str(MAXAGE)}
ALARM = Say("OL", alarms=("Battery error",))
UNWATCHED: tuple[Step, ...] = (Start(),)
UPSMON_FIRST: tuple[Step, ...] = (Watch(), Start())

FROM_281, FROM_283 = (2, 8, 1), (2, 8, 3)
HASTY = ((FROM_281, AT_ONCE), (FROM_283, GONE_ON_BATTERY))
"""upsmon 2.8.1 and 2.8.2 do not wait for DEADTIME."""
