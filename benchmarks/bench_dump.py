# SPDX-License-Identifier: GPL-2.0-or-later
"""Seconds for a dump of 60 to 4000 variables, beside dummy-ups (also ``synchronous = yes``), alone and while a reader pauses."""

from __future__ import annotations

import argparse
import statistics
import time

from figures import Figure, show, spread
from stage import PEER, ask, scene

SIZES = (60, 200, 1000, 4000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    args = parser.parse_args()
    for size in SIZES:
        with scene() as found:
            path = found.file("figures", size)
            found.section("ours", driver="nutdrv_py", backend="dummy", port=str(path))
            found.section(PEER, driver="dummy-ups", port=str(path), mode="dummy-once")
            found.section("waiting", driver="dummy-ups", port=str(path), mode="dummy-once", synchronous="yes")
            lines = {}
            for ups in ("ours", PEER, "waiting"):
                found.start(ups)
                lines[ups] = found.connect(ups)
            taken: dict[str, list[float]] = {ups: [] for ups in lines}
            for _ in range(args.rounds):
                for ups in tuple(lines):
                    began = time.monotonic()
                    try:
                        ask(lines[ups], b"DUMPALL\n", b"DUMPDONE\n")
                    except OSError:
                        # dummy-ups drops a client whose socket takes no more at once, unless it is synchronous.
                        del lines[ups]
                        continue
                    taken[ups].append(time.monotonic() - began)
            ours = statistics.median(taken["ours"])
            for ups, name in ((PEER, "dummy-ups"), ("waiting", "dummy-ups, synchronous")):
                if not taken[ups]:
                    show(Figure(f"dump of {size} variables, beside {name}", spread(taken["ours"], "ms", 1000, 2), f"{name} drops the client"))
                    continue
                show(
                    Figure(
                        f"dump of {size} variables, beside {name}", spread(taken["ours"], "ms", 1000, 2),
                        f"{name} {spread(taken[ups], 'ms', 1000, 2)}", statistics.median(taken[ups]) / ours, "faster",
                    )
                )  # fmt: skip
            paused = found.connect("ours")
            for _ in range(4):
                paused.sendall(b"DUMPALL\n")
            beside = []
            for _ in range(args.rounds):
                began = time.monotonic()
                ask(lines["ours"], b"DUMPALL\n", b"DUMPDONE\n")
                beside.append(time.monotonic() - began)
            show(
                Figure(
                    f"dump of {size} variables while a reader pauses", spread(beside, "ms", 1000, 2),
                    f"nobody pauses {1000 * ours:.2f} ms", statistics.median(beside) / ours, "the same",
                )
            )  # fmt: skip


if __name__ == "__main__":
    main()
