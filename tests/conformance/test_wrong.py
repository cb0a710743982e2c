# SPDX-License-Identifier: GPL-2.0-or-later
"""A backend that does everything right passes; each wrong one is found, for its own reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from nutdrv_py.testing import Device, judged
from nutdrv_py.testing.rules import FOLLOWING, RULES
from tests.conformance.page import PAGE, line
from tests.conformance.right import FakeBox, Right
from tests.conformance.wrong import WRONG, Hours, Wrong


def test_the_right_backend_passes_and_nothing_of_it_is_untested(tmp_path: Path) -> None:
    report = judged(Right, FakeBox, tmp_path)
    assert [failure.sentence for failure in report.failures] == []
    assert report.untested == {}


@pytest.mark.parametrize("row", WRONG, ids=lambda row: row.backend.__name__)
def test_each_wrong_backend_is_found_by_its_own_rule(row: Wrong, tmp_path: Path) -> None:
    report = judged(row.backend, FakeBox, tmp_path, first=True)
    assert [failure.rule for failure in report.failures] == [row.rule], [failure.sentence for failure in report.failures]
    shown = line(row, report.failures[0].sentence)
    assert shown in PAGE.read_text(encoding="utf-8").splitlines(), f"type: python -m tests.conformance.page; {shown}"


def test_the_sentence_that_the_page_shows_is_the_one_that_an_author_reads() -> None:
    words = " ".join(PAGE.read_text(encoding="utf-8").split())
    first = next(text for text in PAGE.read_text(encoding="utf-8").splitlines() if " | `night` | " in text)
    assert f"``` {first.split(' | ')[2].removesuffix(' |')} ```" in words


class Untold(FakeBox):
    """One that tells no remaining time: what is left follows from capacity, charge and power."""

    runtime = Device.runtime


@pytest.mark.parametrize(("backend", "rules"), [(Right, []), (Hours, ["runtime"])])
def test_the_remaining_time_is_judged_by_the_energy_that_is_left(backend: type[Right], rules: list[str], tmp_path: Path) -> None:
    report = judged(backend, Untold, tmp_path, first=True)
    assert [failure.rule for failure in report.failures] == rules
    if rules:
        assert "of 8000 Wh that are left, upsd was given a remaining time of 4 s" in report.failures[0].seen


def test_what_follows_from_a_rule_are_rules() -> None:
    names = {row.name for row in RULES}
    assert set(FOLLOWING) <= names
    assert all(following <= names - {name} for name, following in FOLLOWING.items())


def test_each_rule_finds_a_wrong_backend() -> None:
    assert len(WRONG) >= 40
    assert PAGE.read_text(encoding="utf-8").count("\n| ") >= len(WRONG) + len(RULES)
    assert {row.name for row in RULES} - {row.rule for row in WRONG} == set()
