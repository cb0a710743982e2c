# SPDX-License-Identifier: GPL-2.0-or-later
"""What a row expects, and what is wrong with what came."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from nutdrv_py.commands.check.programs import version
from tests.drills.scripted import PASSWORD
from tests.drills.seen import SILENT, Monitor, Record
from tests.drills.stage import Scene, Stopped
from tests.drills.steps import Say, Start, Step, Watch

__all__ = ["ALL_PHASES", "LOUD", "ONE_PHASE", "TWO_PHASES", "Never", "Open", "Outcome", "Row", "Verdict", "Within", "early_silences", "play"]

Release = tuple[int, ...]

RELEASE: Release = version("upsmon") or ()

LOUD = frozenset(("ALARM", "CAL", "BYPASS", "OVER", "OFF", "OB"))
"""Tokens that upsmon, of one release or another, holds against a UPS that falls silent."""

BLURRED = 0.6
"""Seconds by which two moments in a record may be nearer than they were: it is made of looks."""

ALL_PHASES = (0.5, 1.5, 2.5, 3.5, 4.5)
TWO_PHASES = (0.5, 3.5)
ONE_PHASE = (1.5,)
"""Seconds between a look of upsmon and what happens; it looks every 5 s."""


@dataclass(frozen=True, slots=True)
class Never:
    """No shutdown in the story and for so many seconds after the last thing that happened."""

    seconds: float

    def __str__(self) -> str:
        return f"none in {self.seconds:.0f} s"

    def wrong(self, after: float | None) -> bool:
        """Judge a shutdown so many seconds after that; None: there was none."""
        return after is not None


@dataclass(frozen=True, slots=True)
class Within:
    """A shutdown within so many seconds after the last thing that happened, and not before ``earliest``."""

    seconds: float
    earliest: float = 0.0

    def __str__(self) -> str:
        return f"within {self.seconds:.0f} s" + (f", not before {self.earliest:.0f} s" if self.earliest else "")

    def wrong(self, after: float | None) -> bool:
        """Judge a shutdown so many seconds after that; None: there was none."""
        return after is None or not self.earliest - BLURRED <= after <= self.seconds


@dataclass(frozen=True, slots=True)
class Open:
    """upsmon does not run, or may do either; what upsd serves is recorded for so many seconds."""

    seconds: float

    def __str__(self) -> str:
        return "-"

    def wrong(self, after: float | None) -> bool:
        """Find nothing wrong."""
        return False


Verdict = Never | Within | Open

ON_GRID = Say("OL")
UNTUNED = Monitor()
WATCHED: tuple[Step, ...] = (Start(), Watch())


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One story: what happens, and what must hold.

    ``because`` gives the reason of the bound. ``prelude`` comes after ``first`` and before ``steps``. ``gap``: seconds that upsd
    must have served a status without :data:`LOUD` tokens before it serves none, where the last status had OL; a start counts as
    a loud moment. ``never``: sets of tokens that no status may hold. ``never_values``: patterns by name of a variable.
    ``values``: what must have been served. ``log``, ``not_log``: patterns. ``at_most``: polls, by how they end.
    """

    name: str
    verdict: Verdict
    because: str
    steps: tuple[Step, ...] = ()
    first: Step = ON_GRID
    device: str = "scripted"
    options: Mapping[str, str] = field(default_factory=dict)
    prelude: tuple[Step, ...] = WATCHED
    phases: tuple[float, ...] = ONE_PHASE
    """Those of the quick set."""
    phased: bool = True
    """Whether upsmon's look matters, so that all phases are played outside of the quick set."""
    quick: bool = True
    monitor: Monitor = UNTUNED
    by_release: tuple[tuple[Release, Verdict], ...] = ()
    """Other verdicts, each from a release on until the next."""
    gap: float | None = None
    never: tuple[str, ...] = ()
    never_values: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)
    most: int | None = None
    """Variables that upsd may serve."""
    log: tuple[str, ...] = ()
    not_log: tuple[str, ...] = (re.escape(PASSWORD),)
    at_most: Mapping[str, int] = field(default_factory=dict)
    alive: bool | None = None
    """Whether the driver runs at the end."""
    stops_within: float | None = None
    """Seconds in which the driver ends when it is asked to."""
    cannot: str = ""
    """What could not be held in such a story on some release or on all, as a sentence."""

    @property
    def expected(self) -> Verdict:
        """The verdict for this machine's release of upsmon."""
        found = [verdict for release, verdict in self.by_release if release <= RELEASE]
        return found[-1] if found else self.verdict

    @property
    def length(self) -> float:
        """Return about how many seconds it takes, without the start."""
        return self.expected.seconds + sum(getattr(step, "seconds", 0.0) for step in self.steps)


@dataclass(slots=True)
class Outcome:
    """What came of a row at one phase."""

    row: Row
    phase: float
    after: float | None
    wrong: list[str]
    served: str
    seconds: float

    @property
    def line(self) -> str:
        """A line of the table."""
        word = "red" if self.wrong else "green"
        came = "none" if self.after is None else f"after {self.after:.1f} s"
        text = f"{word:5} {self.row.name} | phase {self.phase} | shutdown {self.row.expected} | {came} | {self.seconds:.0f} s"
        details = [*self.wrong, f"served: {self.served}"] if self.wrong else []
        return "\n".join([text, *(f"        {detail}" for detail in details)])


def play(row: Row, phase: float) -> Outcome:
    """Play a row from its begin to its end."""
    began = time.monotonic()
    scene = Scene(row.device, row.options, row.monitor, phase)
    wrong: list[str] = []
    try:
        try:
            for step in (row.first, *row.prelude, *row.steps):
                step.play(scene)
                if scene.shut_down:
                    break
        except Stopped as stopped:
            wrong.append(str(stopped))
        else:
            scene.watch(scene.mark + row.expected.seconds - time.monotonic())
        wrong += _wrong(row, scene)
        return Outcome(row, phase, scene.shutdown_after, wrong, _course(scene), time.monotonic() - began)
    finally:
        scene.close()


def _wrong(row: Row, scene: Scene) -> list[str]:
    return [sentence for check in CHECKS for sentence in check(row, scene)]


def _verdict(row: Row, scene: Scene) -> list[str]:
    after = scene.shutdown_after
    if not row.expected.wrong(after):
        return []
    return [f"upsmon shut down after {after:.1f} s" if after is not None else "upsmon did not shut down"]


def _gap(row: Row, scene: Scene) -> list[str]:
    return early_silences(scene.record, row.gap) if row.gap is not None else []


def early_silences(record: Record, gap: float) -> list[str]:
    """Return a sentence for each silence on the grid that comes less than ``gap`` seconds after a loud status or a start."""
    found: list[str] = []
    loud, before = float("-inf"), None
    for sample in record.samples:
        if sample.tokens & LOUD:
            loud = sample.at
        elif sample.status in SILENT and before is not None and "OL" in before.tokens:
            last = max([loud, *(start for start in record.starts if start < before.at)])
            killed = any(-BLURRED < sample.at - kill < 2 for kill in record.kills)
            if sample.at - last < gap - BLURRED and not killed:
                found.append(
                    f"{sample.status} {sample.at - last:.1f} s after a loud status or a start, and at once after {before.status!r}; at least {gap:.1f} s"
                )
        before = sample
    return found


def _never(row: Row, scene: Scene) -> list[str]:
    served = {sample.status for sample in scene.record.samples}
    return [f"upsd served {status!r}" for status in sorted(served) if any(set(words.split()) <= set(status.split()) for words in row.never)]


def _values(row: Row, scene: Scene) -> list[str]:
    values = scene.record.values
    found = [
        f"upsd served {name} = {value!r}"
        for pattern, wrong in row.never_values.items()
        for name in sorted(values)
        if re.fullmatch(pattern, name)
        for value in sorted(values[name])
        if re.search(wrong, value)
    ]
    found += [f"upsd never served {name} = {value}" for name, value in row.values.items() if value not in values.get(name, ())]
    if row.most is not None and scene.record.most > row.most:
        found.append(f"upsd served {scene.record.most} variables")
    return found


def _log(row: Row, scene: Scene) -> list[str]:
    text = scene.log()
    found = [f"the log has nothing like {pattern!r}" for pattern in row.log if not re.search(pattern, text, re.IGNORECASE)]
    return found + [f"the log has {pattern!r}" for pattern in row.not_log if re.search(pattern, text)]


def _process(row: Row, scene: Scene) -> list[str]:
    found = [f"{scene.polls(how)} polls were {how}" for how, most in row.at_most.items() if scene.polls(how) > most]
    if row.alive is not None and scene.alive is not row.alive:
        found.append("the driver runs" if scene.alive else f"the driver ended with {scene.driver.poll() if scene.driver else None}")
    if row.stops_within is not None and scene.record.stop_seconds > row.stops_within:
        found.append(f"the driver took {scene.record.stop_seconds:.1f} s to end")
    return found


CHECKS: tuple[Callable[[Row, Scene], list[str]], ...] = (_verdict, _gap, _never, _values, _log, _process)


def _course(scene: Scene) -> str:
    """Return each status that upsd served, with the seconds from the mark at which it began."""
    parts: list[str] = []
    last = ""
    for sample in scene.record.samples:
        if sample.status != last:
            parts.append(f"{sample.at - scene.mark:+.1f} {sample.status}")
            last = sample.status
    return ", ".join(parts[-12:])
