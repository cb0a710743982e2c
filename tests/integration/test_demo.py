# SPDX-License-Identifier: GPL-2.0-or-later
"""The demo, as a newcomer sees it."""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.conftest import REPO
from tests.integration.conftest import alone

STORY = ("upsc says OB", "OB LB", "upsmon called SHUTDOWNCMD", "upsc says FSD OL", "For your own")


@pytest.mark.timeout(180)
@pytest.mark.parametrize("backend", ["enphase", "rct"])
def test_the_demo_shows_its_story_and_leaves_nothing_behind(backend: str) -> None:
    # A short path: the name of a socket has 107 bytes at most.
    with tempfile.TemporaryDirectory(prefix="demo-") as folder:
        done = subprocess.run(
            [*alone(), sys.executable, "-m", "nutdrv_py", "demo", "--backend", backend],
            capture_output=True, text=True, timeout=150, check=False, env={**os.environ, "TMPDIR": folder},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        for word in STORY:
            assert word in done.stdout
        assert not list(Path(folder).iterdir())
        if backend == "rct":
            told = ["$ nutdrv_py demo --backend rct", *done.stdout.partition("\nFor your own")[0].splitlines()]
            assert _kinds(_pictured()) == _kinds(told), "type: make pictures"


def _pictured() -> list[str]:
    rows = re.findall(r"<text [^>]*>(.*)</text>", (REPO / "docs" / "pictures" / "demo.svg").read_text())
    return [html.unescape(row) for row in rows]


def _kinds(lines: list[str]) -> set[str]:
    """Return the lines without figures; those of the battery, whose number and words differ from run to run, are left out."""
    return {re.sub(r"[\d.]+", "0", " ".join(line.split())) for line in lines if " runtime " not in line}
