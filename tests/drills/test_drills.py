# SPDX-License-Identifier: GPL-2.0-or-later
"""All rows at the same time, each with a NUT of its own: what takes long is upsmon's waiting.

``DRILLS=all`` plays each row at each phase of upsmon's look that may matter, and the slow rows; ``DRILLS=PATTERN`` does so with the rows whose
name has the pattern. ``DRILLS_TABLE=FILE`` writes the table of all outcomes, ``DRILLS_RESULTS=FILE`` keeps what came of each row beside what
other runs have kept there, and ``DRILLS_PAGE=FILE`` makes docs/reliability.md of it.
"""

from __future__ import annotations

import os
import re
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.drills.page import PAGE, RUN, kept, page, results, store
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
    return [(row, phase) for row in ROWS if word == "all" or re.search(word, row.name) for phase in (ALL_PHASES if row.phased else row.phases)]


def _played(row: Row, phase: float) -> Outcome:
    try:
        return play(row, phase)
    except Exception:
        return Outcome(row, phase, None, [traceback.format_exc()], "", 0.0)


@pytest.mark.skipif(not alone(), reason="upsmon has one pid file per machine, and this user may not shield it")
@pytest.mark.timeout(3000)
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
    if os.environ.get("DRILLS_RESULTS"):
        known = store(Path(os.environ["DRILLS_RESULTS"]), {".".join(map(str, RELEASE)): results(outcomes)})
        if os.environ.get("DRILLS_PAGE"):
            Path(os.environ["DRILLS_PAGE"]).write_text(page(known, ROWS), encoding="utf-8")
    red = [outcome.line for outcome in outcomes if outcome.wrong]
    assert not red, "\n".join([head, *red])


def test_the_page_of_what_was_played_has_seen_every_row() -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    shown: dict[str, str] = {}
    for line in lines:
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if len(cells) >= 4:
            shown[cells[0]] = "".join(cells[2:-1])
    missing = [row.name for row in ROWS if shown.get(row.name.replace("|", "/"), "-").strip("-") == ""]
    assert not missing, RUN


def test_a_run_of_some_rows_keeps_what_others_have_shown_and_gives_each_release_a_column(tmp_path: Path) -> None:
    first, second = ROWS[:2]
    early = [Outcome(first, 0.5, 3.2, [], "", 1), Outcome(first, 1.5, None, ["late"], "", 1), Outcome(second, 0.5, None, [], "", 1)]
    file = tmp_path / "kept.json"
    store(file, {"2.8.0": results(early)})
    store(file, {"2.8.0": results([Outcome(second, 0.5, 9.0, [], "", 1)]), "2.8.10": results(early[2:])})
    lines = page(kept(file), [first, second]).splitlines()
    cells = [next(line for line in lines if line.startswith(f"| {row.name} |")).split(" | ") for row in (first, second)]
    assert [row[2:4] for row in cells] == [["after 3 s, none in 1 of 2; **not as it must be in 1 of 2**", "-"], ["after 9 s", "none"]]


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
