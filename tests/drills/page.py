# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/reliability.md: what runs of the drills have shown.

``python -m tests.drills.page KEPT [MORE ...]`` puts the results of other machines, as ``make matrix`` keeps them, to those of this one and
writes the page anew.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import REPO
from tests.drills.verdicts import Never, Open, Outcome, Row, Verdict

__all__ = ["PAGE", "Known", "Seen", "kept", "page", "results", "store"]

PAGE = REPO / "docs" / "reliability.md"

HEAD = """<!-- SPDX-License-Identifier: GPL-2.0-or-later -->
# What was played with the real upsmon

Written by `make drills`; do not edit it. Each row is a story that a real upsd and a real upsmon play with this driver, at each moment between
two looks of upsmon that may matter. The bound was written down before the run: in how many seconds upsmon must call SHUTDOWNCMD after the
last thing that happened, or that it must not. A bound that holds from a release of upsmon on is given with it; see [upsmon](upsmon.md).

"""

KEPT = "What a driver cannot keep from every upsmon"
RUN = "type: make drills (or, for new rows alone, make drills DRILLS='part of their names')"


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of a row on one release: seconds to the shutdown for each scene (None: none), scenes that were wrong, the day."""

    after: tuple[float | None, ...]
    wrong: int
    day: str

    @property
    def text(self) -> str:
        """The cell of the table."""
        times = sorted(after for after in self.after if after is not None)
        silent, count = len(self.after) - len(times), len(self.after)
        found = []
        if times:
            first, last = f"{times[0]:.0f}", f"{times[-1]:.0f}"
            found.append(f"after {first} s" if first == last else f"after {first} to {last} s")
        if silent:
            found.append("none" if not times else f"none in {silent} of {count}")
        return ", ".join(found) + (f"; **not as it must be in {self.wrong} of {count}**" if self.wrong else "")


Known = Mapping[str, Mapping[str, Seen]]
"""By release of upsmon, and by the row's name."""


def results(outcomes: Sequence[Outcome]) -> dict[str, Seen]:
    """Return what came of a run, by the row's name."""
    day = str(datetime.datetime.now(datetime.UTC).date())
    found: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        found.setdefault(outcome.row.name, []).append(outcome)
    return {name: Seen(tuple(scene.after for scene in scenes), sum(bool(scene.wrong) for scene in scenes), day) for name, scenes in found.items()}


def kept(path: Path) -> dict[str, dict[str, Seen]]:
    """Return what earlier runs have stored in the file; nothing when there is none."""
    found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return {release: {name: Seen(tuple(seen["after"]), seen["wrong"], seen["day"]) for name, seen in rows.items()} for release, rows in found.items()}


def store(path: Path, news: Known) -> dict[str, dict[str, Seen]]:
    """Put results to those in the file, in place of older ones of the same row and release; return all."""
    known = kept(path)
    for release, rows in news.items():
        known[release] = {**known.get(release, {}), **rows}
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {release: {name: dataclasses.asdict(seen) for name, seen in rows.items()} for release, rows in known.items()}
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")
    return known


def _bound(verdict: Verdict) -> str:
    return "what upsd serves" if isinstance(verdict, Open) else str(verdict)


def _bounds(row: Row) -> str:
    later = [f"{'.'.join(map(str, release))} on: {_bound(verdict)}" for release, verdict in row.by_release]
    return "; ".join([_bound(row.verdict), *later])


def _title(row: Row) -> str:
    # What no driver can change has a verdict of its own for some release.
    open_to_some = isinstance(row.verdict, Never) and any(not isinstance(verdict, Never) for _, verdict in row.by_release)
    return KEPT if row.cannot or open_to_some else row.device.partition(",")[0]


def page(known: Known, rows: Sequence[Row]) -> str:
    """Return the page: a column for each release of which results are known."""
    releases = sorted(known, key=lambda release: [int(part) for part in release.split(".")])
    text = HEAD
    for release in releases:
        played = [known[release][row.name] for row in rows if row.name in known[release]]
        scenes, days = sum(len(seen.after) for seen in played), sorted(seen.day for seen in played)
        green = scenes - sum(seen.wrong for seen in played)
        when = days[0] if days[:1] == days[-1:] else f"{days[0]} to {days[-1]}"
        text += f"upsmon {release}: {len(played)} stories, {scenes} scenes, {green} as they must be; {when}.\n"
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(_title(row), []).append(row)
    seen_in = ["seen"] if len(releases) == 1 else [f"seen, {release}" for release in releases]
    for title in sorted(groups, key=lambda title: (title == KEPT, title)):
        text += f"\n## {title}\n\n| what happens | bound | {' | '.join(seen_in)} | why |\n" + "|---" * (len(releases) + 3) + "|\n"
        for row in groups[title]:
            cells = [known[release][row.name].text if row.name in known[release] else "-" for release in releases]
            why = f"{row.because} {row.cannot}".strip()
            text += f"| {row.name.replace('|', '/')} | {_bounds(row)} | {' | '.join(cells)} | {why} |\n"
    return text


def main(words: Sequence[str]) -> None:
    """Merge files of results into the first, and write the page."""
    from tests.drills.rows import ROWS

    target, *others = map(Path, words)
    for other in others:
        store(target, kept(other))
    if known := kept(target):
        PAGE.write_text(page(known, ROWS), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
