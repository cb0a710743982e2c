# SPDX-License-Identifier: GPL-2.0-or-later
"""A reading is made of parts. A fault in one loses what that part brings, never the state of the grid."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from nutdrv_py.log import Trouble, log

__all__ = ["Parts"]

T = TypeVar("T")


class Parts:
    """Does the parts of a reading one by one."""

    def __init__(self) -> None:
        self._trouble = Trouble()

    def do(self, name: str, work: Callable[[], T], nothing: T) -> T:
        """Return what ``work`` returns; ``nothing`` when it raises, which is logged once per change of state."""
        try:
            done = work()
        except Exception as error:
            text = f"internal error in the part {name!r} of the reading, which goes on without it: {type(error).__name__}"
            if self._trouble.report(name, text, logging.ERROR):
                log.error("please report this:", exc_info=error)
            return nothing
        self._trouble.clear(name)
        return done
