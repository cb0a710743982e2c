# SPDX-License-Identifier: GPL-2.0-or-later
"""Seconds from the start of the program until its start command returns with a socket that answers, beside dummy-ups."""

from __future__ import annotations

import statistics
import time

from stage import PEER, home

ROUNDS = 10


def main() -> None:
    with home() as (_, stage):
        taken: dict[str, list[float]] = {"home": [], PEER: []}
        for _ in range(ROUNDS):
            for ups, times in taken.items():
                began = time.monotonic()
                done = stage.upsdrvctl("start", ups)
                times.append(time.monotonic() - began)
                assert done.returncode == 0, done.stderr
                stage.upsdrvctl("stop", ups)
                while list((stage.folder / "run").glob(f"*-{ups}*")):
                    time.sleep(0.1)
        ours, theirs = (statistics.median(times) for times in taken.values())
        print(f"start to listening, with the first data: {ours:.2f} s; dummy-ups {theirs:.2f} s; ratio {ours / theirs:.1f} (median of {ROUNDS})")


if __name__ == "__main__":
    main()
