# SPDX-License-Identifier: GPL-2.0-or-later
"""Sentences in the log about the data that are served: once per change, for the administrator."""

from __future__ import annotations

import logging

from nutdrv_py import log
from nutdrv_py.core.freshness import Served, State
from nutdrv_py.core.lowbattery import CHARGE, mark, wished
from nutdrv_py.log import Trouble

__all__ = ["Remarks"]

BLOCKED = 2.0
"""Seconds that a beat may be late before it is logged: upsd gives up a driver that does not answer PING."""


class Remarks:
    """Writes to the log through ``trouble``, which leaves out what was logged before."""

    def __init__(self, trouble: Trouble, ups: str) -> None:
        self._trouble = trouble
        self._ups = ups

    def blocked(self, late: float, backend: str) -> None:
        """Note that the event loop was so many seconds late."""
        if late <= BLOCKED:
            self._trouble.clear("blocked")
            return
        self._trouble.report(
            "blocked",
            f"upsd could not be answered for {late:.0f} s: the backend {backend} (or a busy machine) blocked the event loop; a "
            "backend puts blocking calls into asyncio.to_thread",
            logging.ERROR,
        )

    def served(self, before: Served, now: Served, state: State, maxage: float, detection: str) -> None:
        """Note what has changed from ``before`` to ``now``; ``detection`` is by what LB will come."""
        old, new = before.reading, now.reading
        if new is None:
            return
        if old is not None and old.status != new.status:
            log.log.log(log.debug(1), "status: %s -> %s", old.status, new.status)
        if now.stale and not before.stale and not state.disowned:
            log.log.warning("Data stale: no usable answer from the device for %.0f s (maxage = %d)", now.age, maxage)
        self._late_mark(state)
        if not detection.startswith("impossible"):
            self._trouble.clear("low")
            return
        self._trouble.report(
            "low",
            "THE HOUSE IS OFF THE GRID AND NO LOW BATTERY CAN BE SEEN: the device reports neither a charge nor a runtime that "
            "has a low mark. Nothing is shut down before the battery is empty. If upsc shows battery.charge, write lowbatt = 20; "
            f"the driver of upsd takes it over without a restart: nutdrv_py -a {self._ups} -c reload",
            logging.ERROR,
        )

    def never_low(self) -> None:
        """Note that ``ignorelb`` asks for an LB that nothing can make."""
        self._trouble.report(
            "ignorelb",
            "The 'ignorelb' flag is set, but there is no way to determine the battery state of charge: neither battery.charge "
            "and battery.charge.low nor battery.runtime and battery.runtime.low are there. Add override.battery.charge.low = 20",
            logging.ERROR,
        )

    def _late_mark(self, state: State) -> None:
        reading, known = state.shown, state.low.known[0]
        if reading is None or reading.decline is None:
            return
        asked, found = wished(CHARGE, reading, state.wishes, known), mark(CHARGE, reading, state.wishes, known)
        if asked == found:
            self._trouble.clear("mark")
            return
        self._trouble.report(
            "mark",
            f"battery.charge.low = {asked:g} would be too late: at {reading.decline.cutoff:g} % the device switches the house "
            f"off. LB comes at {found:g} %; set lowbatt or override.battery.charge.low higher, or leave them out",
        )
