# SPDX-License-Identifier: GPL-2.0-or-later
"""Seconds from the gateway's relay opening to upsc saying OB; dummy-ups: from the file's change."""

from __future__ import annotations

import random
import statistics
import time

from stage import PEER, home, upsc

ROUNDS = 15


def main() -> None:
    dice = random.Random(1)
    with home() as (running, stage):
        for ups in ("home", PEER):
            assert stage.upsdrvctl("start", ups).returncode == 0
        stage.upsd()
        time.sleep(8)
        ours: list[float] = []
        theirs: list[float] = []
        peer = stage.folder / "peer.dev"
        for _ in range(ROUNDS):
            for grid, status in (("outage", "OB"), ("on", "OL")):
                time.sleep(dice.uniform(0, 5))
                began = time.monotonic()
                running.set(grid=grid)
                while not upsc(stage, "home", "ups.status").startswith(status):
                    time.sleep(0.02)
                    assert time.monotonic() - began < 60, "the driver does not follow the relay; see log/ of the stage"
                ours.append(time.monotonic() - began)
                began = time.monotonic()
                text = peer.read_text().rsplit("ups.status", 1)[0]
                peer.write_text(f"{text}ups.status: {status}\n")
                while not upsc(stage, PEER, "ups.status").startswith(status):
                    time.sleep(0.02)
                    if time.monotonic() - began > 20:
                        break
                theirs.append(time.monotonic() - began)
        print(
            f"relay to upsc at pollinterval 5: median {statistics.median(ours):.2f} s, worst {max(ours):.2f} s; dummy-ups (file to upsc, "
            f"pollinterval 5): median {statistics.median(theirs):.2f} s, worst {max(theirs):.2f} s; ratio {statistics.median(ours) / statistics.median(theirs):.2f}"
        )


if __name__ == "__main__":
    main()
