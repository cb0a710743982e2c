# SPDX-License-Identifier: GPL-2.0-or-later
"""Seconds from the start of the program until its start command returns with a socket that answers, beside dummy-ups."""

from __future__ import annotations

import contextlib
import os
import signal
import statistics
import time

from stage import PEER, home, pid

ROUNDS = 10
DRIVERS = {"home": "nutdrv_py", PEER: "dummy-ups"}


def main() -> None:
    with home() as (_, stage):
        taken: dict[str, list[float]] = {"home": [], PEER: []}
        for _ in range(ROUNDS):
            for ups, times in taken.items():
                began = time.monotonic()
                done = stage.upsdrvctl("start", ups)
                times.append(time.monotonic() - began)
                assert done.returncode == 0, done.stderr
                # Killed: how a driver stops is no part of the figure, and takes its time on purpose.
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid(stage, DRIVERS[ups], ups), signal.SIGKILL)
                for left in (stage.folder / "run").glob(f"*-{ups}*"):
                    left.unlink()
        ours, theirs = (statistics.median(times) for times in taken.values())
        print(f"start to listening, with the first data: {ours:.2f} s; dummy-ups {theirs:.2f} s; ratio {ours / theirs:.1f} (median of {ROUNDS})")


if __name__ == "__main__":
    main()
