# SPDX-License-Identifier: GPL-2.0-or-later
"""Seconds from the start of the program to a socket that answers, beside dummy-ups and a Python that imports asyncio."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from figures import Figure, show, spread
from stage import LIMIT, PEER, scene

ROUNDS = 8


def main() -> None:
    with scene() as found:
        path = found.file("figures", 60)
        found.section("dummy", driver="nutdrv_py", backend="dummy", port=str(path))
        found.section(PEER, driver="dummy-ups", port=str(path), mode="dummy-once")
        found.device("enphase", "enphase")
        taken: dict[str, list[float]] = {ups: [] for ups in ("dummy", "enphase", PEER, "python")}
        for _ in range(ROUNDS):
            for ups, times in taken.items():
                began = time.monotonic()
                if ups == "python":
                    subprocess.run([sys.executable, "-c", "import asyncio"], check=True, timeout=LIMIT)
                    times.append(time.monotonic() - began)
                    continue
                process = found.start(ups)
                times.append(time.monotonic() - began)
                found.end(process)
        floor = statistics.median(taken["python"])
        for ups, aim in (("dummy", f"{1000 * (floor + 0.1):.0f} ms"), ("enphase", "")):
            show(
                Figure(
                    f"start to listening, {ups}", spread(taken[ups], "ms", 1000, 0),
                    f"dummy-ups {spread(taken[PEER], 'ms', 1000, 0)}; import asyncio {1000 * floor:.0f} ms",
                    statistics.median(taken[ups]) / statistics.median(taken[PEER]), aim,
                )
            )  # fmt: skip


if __name__ == "__main__":
    main()
