# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of wrong backends in docs/conformance.md: ``python -m tests.conformance.page`` plays them all and writes it."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from nutdrv_py.testing import judged
from tests.conformance.right import FakeBox
from tests.conformance.wrong import WRONG, Wrong

PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"
BEGIN, END = "<!-- wrong backends -->\n", "<!-- end of the wrong backends -->"


def line(row: Wrong, sentence: str) -> str:
    """A row of the table: the fault, the rule, and what the author reads."""
    text = sentence.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
    return f"| {row.fault} | `{row.rule}` | {text} |"


def main() -> int:
    lines = ["| what is wrong in it | rule | what its author reads |", "|---|---|---|"]
    for row in WRONG:
        with tempfile.TemporaryDirectory() as folder:
            report = judged(row.backend, FakeBox, Path(folder), first=True)
        lines.append(line(row, report.failures[0].sentence))
    text = PAGE.read_text(encoding="utf-8")
    head, rest = text.partition(BEGIN)[0], text.partition(END)[2]
    PAGE.write_text(head + BEGIN + "\n" + "\n".join(lines) + "\n\n" + END + rest, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
