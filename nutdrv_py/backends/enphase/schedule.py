# SPDX-License-Identifier: GPL-2.0-or-later
"""When each path of the gateway is asked. Pure: times in, times out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["ENDPOINTS", "Endpoint", "Schedule"]

RETRY = 30.0
"""Seconds before an endpoint that failed is asked again, if it is not asked with each poll."""

QUICK = 1.0
"""Seconds within which a failure counts as quick: it may be asked for again in the next poll."""

PROBE = (60.0, 600.0, 3600.0)
"""Seconds before a feature that is absent is asked for again; the last one repeats. A stray answer must not hide it for good.

Off the grid, endpoints of charge or power are read with each full poll: without a charge there is no LB.
"""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A path of the gateway: how often it is asked and how long its answer counts, in seconds.

    ``every`` 0 means in each poll, -1 with each full poll (``pollfreq``). Of the ``slow`` ones only one is asked per poll,
    so that the relay does not wait for several.
    """

    name: str
    path: str
    every: float
    age: float
    slow: bool = False
    meters: bool = False


# fmt: off
ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("livedata",  "/ivp/livedata/status",     0,     120),
    Endpoint("secctrl",   "/ivp/ensemble/secctrl",    -1,    600),
    Endpoint("power",     "/ivp/ensemble/power",      -1,    180),
    Endpoint("reports",   "/ivp/meters/reports",      -1,    180,    meters=True),
    Endpoint("meters",    "/ivp/meters",              3600,  4e4,    meters=True),
    Endpoint("inventory", "/ivp/ensemble/inventory",  300,   3600,   slow=True),
    Endpoint("status",    "/ivp/ensemble/status",     14400, 4e4,    slow=True),
    Endpoint("info",      "/info",                    14400, 1e9,    slow=True),
)
# fmt: on


class Schedule:
    """Remembers when each endpoint is due, which ones have answered, and which the gateway has not."""

    def __init__(self) -> None:
        self._next: dict[str, float] = {}
        self._absent: dict[str, int] = {}
        self._answered: set[str] = set()

    def order(self) -> Iterator[Endpoint]:
        """Return all endpoints, the one that waits longest first."""
        return iter(sorted(ENDPOINTS, key=lambda endpoint: self._next.get(endpoint.name, 0.0)))

    def due(self, endpoint: Endpoint, now: float) -> bool:
        """Return whether it is time to ask."""
        return self._next.get(endpoint.name, 0.0) <= now

    def asked(self, endpoint: Endpoint, now: float, full: float) -> None:
        """Note a question; ``full`` is the seconds from one full poll to the next."""
        self._next[endpoint.name] = now + (full if endpoint.every < 0 else endpoint.every)

    def answered(self, endpoint: Endpoint) -> None:
        """Note an answer."""
        self._answered.add(endpoint.name)
        self._absent.pop(endpoint.name, None)

    def failed(self, endpoint: Endpoint, now: float, took: float) -> None:
        """Note a failure after ``took`` seconds. One that hangs does not take the time of the others in each poll."""
        self._next[endpoint.name] = now + (RETRY if endpoint.every or took > QUICK else 0.0)

    def missing(self, endpoint: Endpoint, now: float, full: float, *, alert: bool) -> str:
        """Note that the gateway does not have it; what it had before it has again soon.

        Return ``lost`` for that, ``absent`` for the first time, else an empty text. ``alert``: off the grid.
        """
        if endpoint.name in self._answered:
            self._next[endpoint.name] = now + RETRY
            return "lost"
        tries = self._absent.get(endpoint.name, 0)
        self._absent[endpoint.name] = tries + 1
        wait = PROBE[min(tries, len(PROBE) - 1)]
        self._next[endpoint.name] = now + (min(wait, full) if alert and endpoint.every <= 0 else wait)
        return "" if tries else "absent"

    def transferred(self) -> None:
        """Ask now for all endpoints of charge or power: the relay has moved."""
        for endpoint in ENDPOINTS:
            if endpoint.every <= 0:
                self._next[endpoint.name] = 0.0

    def woken(self) -> None:
        """Have everything asked now that was absent, and for its identity: it may have another firmware."""
        self._next.update(dict.fromkeys((*self._absent, "info"), 0.0))
        self._absent.clear()

    def anew(self) -> None:
        """Have everything asked now."""
        self._next.clear()
