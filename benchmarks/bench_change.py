# SPDX-License-Identifier: GPL-2.0-or-later
"""Seconds from a change to upsd showing it: of a file, beside dummy-ups, and of the gateway's relay."""

from __future__ import annotations

import argparse
import random
import statistics
import time

from figures import Figure, show, spread
from stage import PEER, await_status, scene


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=12)
    args = parser.parse_args()
    dice = random.Random(1)
    with scene() as found:
        for name in ("file", PEER):
            path = found.file(name, 60)
            driver = {"driver": "dummy-ups", "mode": "dummy-once"} if name == PEER else {"driver": "nutdrv_py", "backend": "dummy"}
            found.section(name, **driver, port=str(path))
        running = found.device("home", "enphase")
        for ups in ("file", PEER, "home"):
            found.start(ups)
        upsd = found.upsd()
        for ups in ("file", PEER, "home"):
            await_status(upsd, ups, b"OL", 0.05)
        taken: dict[str, list[float]] = {"file": [], PEER: [], "home": []}
        for index in range(args.rounds):
            status = ("OB", "OL")[index % 2]
            for ups, times in taken.items():
                time.sleep(dice.uniform(1.0, 2.0))
                if ups == "home":
                    running.set(grid="outage" if status == "OB" else "on")
                else:
                    found.file(ups, 60, status)
                times.append(await_status(upsd, ups, status.encode()))
        peer = statistics.median(taken[PEER])
        show(
            Figure(
                "file change to upsd", spread(taken["file"], "ms", 1000), f"dummy-ups {spread(taken[PEER], 'ms', 1000)}",
                statistics.median(taken["file"]) / peer, "20 ms median",
            ),
            Figure("relay to upsd, asked every 5 s", spread(taken["home"], "s", 1, 2), f"dummy-ups, a file {peer:.2f} s"),
        )  # fmt: skip


if __name__ == "__main__":
    main()
