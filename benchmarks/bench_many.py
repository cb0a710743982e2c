# SPDX-License-Identifier: GPL-2.0-or-later
"""Ten and a hundred drivers on one machine: proportional memory and CPU of all, beside as many of dummy-ups."""

from __future__ import annotations

import argparse
import time

from figures import Figure, show
from stage import cpu_seconds, proportional_kib, scene

SETTLED = 5.0
BATCH = 5
"""Drivers that are started at once."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=[10, 100])
    parser.add_argument("--seconds", type=float, default=20.0)
    args = parser.parse_args()
    for count in args.counts:
        found_of = {}
        for kind, options in (("nutdrv_py", {"driver": "nutdrv_py", "backend": "dummy"}), ("dummy-ups", {"driver": "dummy-ups", "mode": "dummy-once"})):
            with scene() as found:
                path = found.file("figures", 60)
                names = [f"u{number}" for number in range(count)]
                for name in names:
                    found.section(name, **options, port=str(path))
                ids = []
                for begin in range(0, count, BATCH):
                    batch = names[begin : begin + BATCH]
                    ids += [found.start(name, wait=False) for name in batch]
                    for name in batch:
                        found.await_socket(name)
                time.sleep(SETTLED)
                before = sum(map(cpu_seconds, ids))
                time.sleep(args.seconds)
                used = sum(map(cpu_seconds, ids)) - before
                found_of[kind] = sum(map(proportional_kib, ids)) / 1024, 100 * used / args.seconds
        (ours, ours_cpu), (peer, peer_cpu) = found_of["nutdrv_py"], found_of["dummy-ups"]
        show(
            Figure(f"proportional memory of {count} drivers", f"{ours:.0f} MiB", f"dummy-ups {peer:.0f} MiB", ours / peer),
            Figure(f"CPU of {count} drivers", f"{ours_cpu:.1f} % of a core", f"dummy-ups {peer_cpu:.2f} %"),
        )


if __name__ == "__main__":
    main()
