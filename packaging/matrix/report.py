# SPDX-License-Identifier: GPL-2.0-or-later
"""What came out of a run, kept so that a part of it can be repeated, and docs/matrix.md made of it."""

from __future__ import annotations

import dataclasses
import datetime
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["DRILLS", "INTEGRATION", "MOVING", "NEWCOMER", "PARTS", "STORY", "SYSTEMD", "Outcome", "Part", "Step", "load", "table"]

STORY, SYSTEMD, MOVING, NEWCOMER, INTEGRATION, DRILLS = "story", "systemd", "moving", "newcomer", "integration", "drills"
PARTS = (NEWCOMER, STORY, SYSTEMD, MOVING, DRILLS, INTEGRATION)

TITLES = {
    NEWCOMER: "A new user types README.md, chapter Install it",
    STORY: "upsdrvctl, upsd, upsc, upsrw, upscmd, upsmon, aionut, pynut2, against the packaged driver",
    SYSTEMD: "Real systemd: nut-driver@, the package's units, upgrade, removal",
    MOVING: "docs/moving-from-*.md, typed as they stand, both ways, with upsmon in an outage",
    INTEGRATION: "tests/integration, against the packaged driver",
    DRILLS: "tests/drills: what upsmon must do and must not do, at each phase of its look",
}


@dataclass(slots=True)
class Step:
    """One step of a part: ``result`` is passed, failed or absent."""

    title: str
    result: str
    seconds: float


@dataclass(slots=True)
class Part:
    """What came out of one part on one release, and when."""

    name: str
    day: str = field(default_factory=lambda: str(datetime.date.today()))
    seconds: float = 0.0
    steps: list[Step] = field(default_factory=list)

    def count(self, result: str) -> int:
        """How many steps ended so."""
        return sum(step.result == result for step in self.steps)


@dataclass(slots=True)
class Outcome:
    """What came out of one release."""

    release: str
    nut: str = "?"
    python: str = "?"
    systemd: str = "?"
    parts: dict[str, Part] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Whether anything failed."""
        return any(part.count("failed") or not part.steps for part in self.parts.values())

    def save(self, path: Path) -> None:
        """Keep it."""
        path.write_text(json.dumps(dataclasses.asdict(self), indent=1), encoding="utf-8")


def load(path: Path, release: str) -> Outcome:
    """What is kept of a release; nothing at first."""
    if not path.exists():
        return Outcome(release)
    found = json.loads(path.read_text(encoding="utf-8"))
    for part in found["parts"].values():
        part["steps"] = [Step(**step) for step in part["steps"]]
    return Outcome(**{**found, "parts": {name: Part(**part) for name, part in found["parts"].items()}})


def table(outcomes: Sequence[Outcome], version: str) -> str:
    """docs/matrix.md."""
    lines = [
        "<!-- SPDX-License-Identifier: GPL-2.0-or-later -->",
        "# Every NUT",
        "",
        f"Written by `make matrix` for nutdrv_py {version}; do not edit it. The package that `make deb` built, in a chroot of",
        "each Debian release with its own NUT, Python and systemd. Absent is what that NUT has not, or a test skipped:",
        "what needs InfluxDB, Prometheus or VictoriaMetrics has nothing to do with the release of NUT, and runs in `make test`.",
        "",
        "| Debian | NUT | Python | systemd | what ran | passed | failed | absent | seconds | day |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for outcome in outcomes:
        for part in (outcome.parts[name] for name in PARTS if name in outcome.parts):
            lines.append(
                f"| {outcome.release} | {outcome.nut} | {outcome.python} | {outcome.systemd} | {TITLES[part.name]} "
                f"| {part.count('passed')} | {part.count('failed')} | {part.count('absent')} | {part.seconds:.0f} | {part.day} |"
            )
    for name in PARTS:
        if name != INTEGRATION and any(name in outcome.parts for outcome in outcomes):
            lines += ["", f"## {TITLES[name]}", "", *_steps(name, outcomes)]
    missing = [
        f"- {outcome.release}: `{step.title}` {'FAILED' if step.result == 'failed' else 'was skipped'}"
        for outcome in outcomes
        for step in (outcome.parts[INTEGRATION].steps if INTEGRATION in outcome.parts else ())
        if step.result != "passed"
    ]
    if missing:
        lines += ["", f"## {TITLES[INTEGRATION]}", "", *missing]
    return "\n".join(lines) + "\n"


def _steps(name: str, outcomes: Sequence[Outcome]) -> Iterator[str]:
    """One row per step, one column per release: seconds, or what else came of it."""
    cells: dict[str, dict[str, str]] = {}
    for outcome in outcomes:
        for step in outcome.parts[name].steps if name in outcome.parts else ():
            title, _, reason = step.title.partition(" (")
            shown = {"failed": "**failed**", "absent": reason.rstrip(")") or "-"}.get(step.result, f"{step.seconds:.1f}")
            cells.setdefault(re.sub(r"^systemd \d+ ", "systemd ", title), {})[outcome.release] = shown
    yield "Seconds.\n"
    yield f"| step | {' | '.join(outcome.release for outcome in outcomes)} |"
    yield "|---" * (len(outcomes) + 1) + "|"
    for title, row in cells.items():
        # What a user types is shown as such.
        title = f"`{title}`" if name == NEWCOMER else title
        yield f"| {title} | {' | '.join(row.get(outcome.release, '-') for outcome in outcomes)} |"
