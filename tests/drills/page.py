# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/reliability.md: what a run of all drills has shown."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence

from tests.drills.verdicts import Open, Outcome, Row, Within

__all__ = ["page"]

HEAD = """<!-- SPDX-License-Identifier: GPL-2.0-or-later -->
# What was played with the real upsmon

Written by `make drills`; do not edit it. Each row is a story that a real upsd and a real upsmon play with this driver, at each moment between
two looks of upsmon that may matter. The bound was written down before the run: in how many seconds upsmon must call SHUTDOWNCMD after the
last thing that happened, or that it must not. What upsmon of other releases does: [upsmon](upsmon.md); `make matrix` plays the quick set there.

"""

COLUMNS = "| what happens | bound | seen | why |\n|---|---|---|---|\n"


def _seen(outcomes: Sequence[Outcome]) -> str:
    times = sorted(outcome.after for outcome in outcomes if outcome.after is not None)
    silent = len(outcomes) - len(times)
    found = []
    if times:
        found.append(f"after {times[0]:.0f} s" if len(times) == 1 else f"after {times[0]:.0f} to {times[-1]:.0f} s")
    if silent:
        found.append("none" if not times else f"none in {silent} of {len(outcomes)}")
    wrong = sum(bool(outcome.wrong) for outcome in outcomes)
    return ", ".join(found) + (f"; **not as it must be in {wrong} of {len(outcomes)}**" if wrong else "")


def _line(row: Row, outcomes: Sequence[Outcome]) -> str:
    bound = "upsd serves what it must" if isinstance(row.expected, Open) else str(row.expected)
    return f"| {row.name.replace('|', '/')} | {bound} | {_seen(outcomes)} | {row.because} |\n"


def page(played: Mapping[str, Sequence[Outcome]], rows: Sequence[Row], release: str) -> str:
    """Return the page; ``played`` holds the outcomes by the row's name."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        # What no driver can change has a verdict of its own for some release.
        kept = any(isinstance(verdict, Open | Within) for _, verdict in row.by_release) and not isinstance(row.verdict, Within)
        title = "What a driver cannot keep from every upsmon" if kept else row.device
        groups.setdefault(title, []).append(row)
    scenes = [outcome for outcomes in played.values() for outcome in outcomes]
    day = datetime.datetime.now(datetime.UTC).date()
    green = sum(not outcome.wrong for outcome in scenes)
    text = f"{HEAD}{len(rows)} stories, {len(scenes)} scenes, {green} as they must be; upsmon {release}, {day}.\n"
    for title in sorted(groups, key=lambda title: (title[0].isupper(), title)):
        text += f"\n## {title}\n\n{COLUMNS}" + "".join(_line(row, played[row.name]) for row in groups[title])
    return text
