# SPDX-License-Identifier: GPL-2.0-or-later
"""More rows, one module for each theme."""

from __future__ import annotations

from tests.drills.stories import doubts, enphase, files, machine, marks, rct, repeater
from tests.drills.verdicts import Row

__all__ = ["STORIES"]

STORIES: tuple[Row, ...] = (*marks.ROWS, *enphase.ROWS, *rct.ROWS, *files.ROWS, *repeater.ROWS, *machine.ROWS, *doubts.ROWS)
