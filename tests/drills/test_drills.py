# SPDX-License-Identifier: GPL-2.0-or-later
"""All rows at the same time, each with a NUT of its own: what takes long is upsmon's waiting.

``DRILLS=all`` plays each row at each phase of upsmon's look that may matter, and the slow rows; ``DRILLS=PATTERN`` does so with the rows whose
name has the pattern. ``DRILLS_TABLE=FILE`` writes the table of all outcomes.
"""

from __future__ import annotations

import os
import re
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import REPO
from tests.drills.page import page
from tests.drills.rows import ROWS
from tests.drills.seen import GONE, STALE, Record, Sample
from tests.drills.stage import alone
from tests.drills.verdicts import ALL_PHASES, RELEASE, Outcome, Row, early_silences, play

AT_A_TIME = 120
"""Scenes at most; each has four processes and waits nearly all the time."""


def chosen(word: str) -> list[tuple[Row, float]]:
    """Return rows and phases: of the quick set without a word, all with ``all``, else those whose name has that pattern."""
    if not word:
        return [(row, phase) for row in ROWS if row.quick for phase in row.phases]
    return [
        (row, phase)
        for row in ROWS
        if word == "all" or re.search(word, row.name)
        for phase in (ALL_PHASES if row.phased else row.phases)
    ]


def _played(row: Row, phase: float) -> Outcome:
    try:
        return play(row, phase)
    except Exception:
        return Outcome(row, phase, None, [traceback.format_exc()], "", 0.0)


@pytest.mark.skipif(not alone(), reason="upsmon has one pid file per machine, and this user may not shield it")
@pytest.mark.timeout(900)
def test_upsmon_acts_in_each_row_as_it_must_and_upsd_serves_nothing_that_it_must_not() -> None:
    scenes = chosen(os.environ.get("DRILLS", ""))
    # The longest first: the starts take turns.
    scenes.sort(key=lambda scene: -scene[0].length)
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        outcomes = list(pool.map(lambda scene: _played(*scene), scenes))
    outcomes.sort(key=lambda outcome: (ROWS.index(outcome.row), outcome.phase))
    head = f"upsmon {'.'.join(map(str, RELEASE))}: {len(outcomes)} scenes, {sum(not outcome.wrong for outcome in outcomes)} green"
    table = "\n".join([head, *(outcome.line for outcome in outcomes)])
    if os.environ.get("DRILLS_TABLE"):
        Path(os.environ["DRILLS_TABLE"]).write_text(table + "\n", encoding="utf-8")
    if os.environ.get("DRILLS_PAGE"):
        played: dict[str, list[Outcome]] = {}
        for outcome in outcomes:
            played.setdefault(outcome.row.name, []).append(outcome)
        Path(os.environ["DRILLS_PAGE"]).write_text(page(played, ROWS, ".".join(map(str, RELEASE))), encoding="utf-8")
    red = [outcome.line for outcome in outcomes if outcome.wrong]
    assert not red, "\n".join([head, *red])


def test_the_page_of_what_was_played_names_every_row() -> None:
    text = (REPO / "docs" / "reliability.md").read_text(encoding="utf-8")
    missing = [row.name for row in ROWS if f"| {row.name.replace('|', '/')} |" not in text]
    assert not missing, "type: make drills"


STATUSES = (
    ("OL", "OL", STALE, False),
    ("ALARM OL", "OL", STALE, True),
    ("OB", "OL", GONE, True),
    ("OL OFF", "OL OFF", GONE, True),
    ("OB", "OB", STALE, False),
)
"""At 0 and 2 s, the silence at 4 s, and whether that is too early for a gap of 7 s."""


@pytest.mark.parametrize(("first", "second", "silence", "early"), STATUSES)
def test_a_silence_that_follows_a_loud_status_too_soon_is_found(first: str, second: str, silence: str, early: bool) -> None:
    record = Record([Sample(0, first), Sample(2, second), Sample(4, silence)])
    assert bool(early_silences(record, 7)) is early
    assert not early_silences(record, 2)


def test_a_start_counts_as_a_loud_status_and_a_kill_excuses() -> None:
    samples = [Sample(2, "OL"), Sample(4, GONE)]
    assert early_silences(Record(samples, starts=[1.0]), 7)
    assert not early_silences(Record(samples, starts=[1.0], kills=[3.5]), 7)


def test_each_row_has_a_name_of_its_own_and_a_reason() -> None:
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names)
    assert all(row.because.endswith(".") for row in ROWS)
