# SPDX-License-Identifier: GPL-2.0-or-later
"""Moves the clock of day of a Python process by the seconds in the file that ``DRILLS_WALL`` names, from when it is there.

It stands in for ``date -s``, which would move the clock of the whole machine.
"""

from __future__ import annotations

import os
import time

_now = time.time


def _moved() -> float:
    try:
        with open(os.environ["DRILLS_WALL"], encoding="ascii") as file:
            return _now() + float(file.read())
    except (OSError, KeyError, ValueError):
        return _now()


time.time = _moved
