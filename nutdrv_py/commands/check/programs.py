# SPDX-License-Identifier: GPL-2.0-or-later
"""Releases of NUT's programs, and words of their files."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from nutdrv_py.errors import StartError
from nutdrv_py.nut.parseconf import BadLine, parse
from nutdrv_py.simulators.nut import find_program

__all__ = ["found", "version", "words_of"]

PATIENCE = 3.0
"""Seconds for a program to print its version."""


def found(name: str) -> str | None:
    """Return where a program of NUT is; None when it is not there."""
    try:
        return find_program(name)
    except StartError:
        return None


def version(name: str) -> tuple[int, ...] | None:
    """Return the release of NUT that a program is of; None when it is not there or prints none. Blocks."""
    program = found(name)
    if program is None:
        return None
    try:
        done = subprocess.run([program, "-V"], capture_output=True, text=True, timeout=PATIENCE, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    numbers = re.search(r"\b(\d+)\.(\d+)\.(\d+)", done.stdout + done.stderr)
    return tuple(map(int, numbers.groups())) if numbers else None


def words_of(path: Path) -> list[tuple[str, ...]] | None:
    """Return the lines of a file in NUT's grammar, in words; None when it is not there. Raises PermissionError."""
    try:
        data = path.read_bytes()
    except PermissionError:
        raise
    except OSError:
        return None
    return [line.words for line in parse(data) if not isinstance(line, BadLine)]
