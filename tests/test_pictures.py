# SPDX-License-Identifier: GPL-2.0-or-later
"""The pictures of README.md are those of this program: ``make pictures`` makes them anew."""

from __future__ import annotations

import json
import re
from types import ModuleType

import pytest

from tests.conftest import REPO
from tests.programs import module

FOLDER = REPO / "docs" / "pictures"
ADVICE = "type: make pictures"


@pytest.fixture(scope="module")
def make() -> ModuleType:
    return module("docs/pictures/make")


def masked(lines: list[str]) -> list[str]:
    """Figures and bars differ from run to run."""
    return [re.sub(r"\d+(\.\d+)?", "0", re.sub(r"[█░┃]+", "#", line)) for line in lines]


def test_the_picture_of_status_is_what_it_prints(make: ModuleType) -> None:
    assert masked(make.svg_lines(FOLDER / "status.svg")) == masked(make.status_lines()), ADVICE


def test_the_picture_of_the_page_is_that_of_this_page(make: ModuleType) -> None:
    assert json.loads((FOLDER / "page.json").read_text())["page"] == make.page_version(), ADVICE
    assert (FOLDER / "page.png").read_bytes().startswith(b"\x89PNG")


def test_readme_shows_pictures_that_are_there() -> None:
    shown = re.findall(r"!\[[^]]+\]\(([^)]+)\)", (REPO / "README.md").read_text())
    assert len(shown) == 3
    for name in shown:
        assert (REPO / name).is_file(), name


def test_letters_that_svg_does_not_take_are_written_as_it_wants(make: ModuleType) -> None:
    path = FOLDER / "status.svg"
    assert make.svg(["a < b & c", "\033[1;31mred\033[0m"]).count("<tspan") == 1
    assert "&lt;" in make.svg(["a < b"])
    assert make.svg_lines(path)[0] == "$ nutdrv_py status"
