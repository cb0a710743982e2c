# SPDX-License-Identifier: GPL-2.0-or-later
"""``nutdrv_py simulate`` as a person runs it."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator

from tests.conftest import REPO


@contextlib.contextmanager
def simulated(number: signal.Signals, *words: str) -> Iterator[str]:
    """Run a device up to its outage, and give what it has printed until then; the signal ends it with code 0."""
    command = [sys.executable, "-m", "nutdrv_py", "simulate", *words, "--scenario", "outage", "--speed", "200"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=REPO, text=True) as process:
        assert process.stdout is not None
        text = ""
        for line in process.stdout:
            text += line
            if "grid outage" in line:
                break
        yield text
        process.send_signal(number)
        process.stdout.read()
        assert process.wait(10) == 0
