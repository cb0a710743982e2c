# SPDX-License-Identifier: GPL-2.0-or-later
"""The stories that each backend is played through, in order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from nutdrv_py.testing.bench import Bench
from nutdrv_py.testing.stories import absence, grid, healthy, process

__all__ = ["STORIES", "Story"]

Story = Callable[[Bench], Awaitable[None]]

STORIES: tuple[Story, ...] = (
    healthy.calm, healthy.quantities, grid.on_the_grid, grid.outage, grid.late_start, grid.empty, grid.charge_missing,
    absence.silence, absence.garbage, absence.unsaid, absence.old, absence.restart, absence.first_silence,
    process.slow, process.refused, process.two_houses, process.requests, process.reload, process.examine,
)  # fmt: skip
