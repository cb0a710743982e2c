# SPDX-License-Identifier: GPL-2.0-or-later
"""Milliseconds of a scrape of /metrics of an RCT inverter's driver, beside prometheus_client alone with as many samples."""

from __future__ import annotations

import argparse
import statistics
import time
import urllib.request

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from figures import Figure, show, spread
from nutdrv_py.simulators.nut import free_port
from stage import LIMIT, cpu_seconds, scene


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    args = parser.parse_args()
    with scene() as found:
        port = free_port()
        (found.folder / "etc" / "exports.yml").write_text(f"prometheus: {{enable: true, bind_port: {port}, exposition: true}}\n")
        found.device("rct", "rct", config="exports.yml")
        process = found.start("rct")
        time.sleep(10)
        taken, used, body = [], cpu_seconds(process), b""
        for _ in range(args.rounds):
            began = time.monotonic()
            body = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=LIMIT).read()
            taken.append(time.monotonic() - began)
        used = (cpu_seconds(process) - used) / args.rounds
    samples = [row for row in body.splitlines() if row and not row.startswith(b"#")]
    registry = CollectorRegistry()
    for number in range(len(samples)):
        Gauge(f"figure_{number}", "A figure", ["ups"], registry=registry).labels("home").set(number)
    alone = []
    for _ in range(args.rounds):
        began = time.process_time()
        generate_latest(registry)
        alone.append(time.process_time() - began)
    floor = statistics.median(alone)
    show(
        Figure(
            f"scrape of /metrics, {len(samples)} samples, {len(body)} bytes", f"{spread(taken, 'ms', 1000)}, CPU {1000 * used:.1f} ms",
            f"prometheus_client alone {1000 * floor:.1f} ms", used / floor, "2 ms",
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
