# SPDX-License-Identifier: GPL-2.0-or-later
"""What NUT's programs and their files say on this machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from nutdrv_py.nut.parseconf import BadLine, parse

__all__ = ["found", "version", "words_of"]

DAEMONS = "/lib/nut:/usr/lib/nut"
"""Debian's own daemons; in /usr/sbin are scripts in their place, which do not run them while nut.conf says MODE=none."""

PLACES = "/usr/sbin:/sbin:/usr/bin:/bin:/usr/local/ups/sbin:/usr/local/ups/bin"
"""Where they are besides PATH, which for an ordinary user lacks the sbin folders."""

PATIENCE = 3.0
"""Seconds for a program to say its version."""


def found(name: str) -> str | None:
    """Where a program of NUT is."""
    return shutil.which(name, path=f"{DAEMONS}:{os.environ.get('PATH', '')}:{PLACES}")


def version(name: str) -> tuple[int, ...] | None:
    """The release of NUT that a program is of; None when it is not there or does not say. Blocks."""
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
    """The lines of a file in NUT's grammar, in words; None when it is not there. Raises PermissionError."""
    try:
        data = path.read_bytes()
    except PermissionError:
        raise
    except OSError:
        return None
    return [line.words for line in parse(data) if not isinstance(line, BadLine)]
