# SPDX-License-Identifier: GPL-2.0-or-later
"""Resident memory and CPU at the default intervals, of each backend, beside dummy-ups and a Python that has imported the libraries."""

from __future__ import annotations

import argparse
import time

from figures import Figure, show
from stage import DEVICES, PEER, cpu_seconds, imported_kib, proportional_kib, resident_kib, scene

FLOORS = {"enphase": "asyncio, httpx, httpcore, anyio._backends._asyncio", "rct": "asyncio, construct", "dummy": "asyncio"}
AIMS = {"enphase": (9.0, 4.0), "rct": (6.0, 8.0), "dummy": (3.5, 1.0)}
"""MiB above ``import asyncio``, and CPU seconds in an hour."""

SETTLED = 20.0
"""Seconds after the start of which nothing is measured."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    args = parser.parse_args()
    with scene() as found:
        path = found.file("figures", 60)
        running = {backend: found.device(backend, backend) for backend in DEVICES}
        found.section("dummy", driver="nutdrv_py", backend="dummy", port=str(path))
        found.section(PEER, driver="dummy-ups", port=str(path), mode="dummy-once")
        ids = {ups: found.start(ups) for ups in (*DEVICES, "dummy", PEER)}
        time.sleep(SETTLED)
        before = {ups: cpu_seconds(process) for ups, process in ids.items()}
        polls = {ups: sum(map(DEVICES[ups].begins_poll, list(one.sim.requests))) for ups, one in running.items()}
        time.sleep(args.minutes * 60)
        hourly = {ups: (cpu_seconds(process) - before[ups]) / args.minutes * 60 for ups, process in ids.items()}
        per_poll = {ups: sum(map(DEVICES[ups].begins_poll, list(one.sim.requests))) - polls[ups] for ups, one in running.items()} | {"dummy": args.minutes * 30}
        asyncio = imported_kib("asyncio") / 1024
        peer = resident_kib(ids[PEER]) / 1024
        for ups, (above, seconds) in AIMS.items():
            rss, pss = resident_kib(ids[ups]) / 1024, proportional_kib(ids[ups]) / 1024
            floor = imported_kib(FLOORS[ups]) / 1024
            show(
                Figure(
                    f"resident memory, {ups}", f"{rss:.1f} MiB (proportional {pss:.1f})",
                    f"dummy-ups {peer:.1f}; import asyncio {asyncio:.1f}; import {FLOORS[ups]} {floor:.1f}",
                    rss / asyncio, f"{asyncio + above:.1f} MiB",
                ),
                Figure(
                    f"CPU, {ups}", f"{hourly[ups]:.1f} s in an hour, {hourly[ups] * args.minutes / 60 / max(1, per_poll[ups]) * 1000:.1f} ms a poll",
                    f"dummy-ups {hourly[PEER]:.2f} s", None, f"{seconds:g} s in an hour",
                ),
            )  # fmt: skip


if __name__ == "__main__":
    main()
