# SPDX-License-Identifier: GPL-2.0-or-later
"""``make bench-quick``: ratios of processor time, by turns, against ``committed.json``; fails when one fell by more than half.

The processor's time, not that of the clock, and the median of many turns: other programs on the machine change neither much. Each ratio is how
many times faster ours is than what is beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from bench_frames import ratio as frames
from houses import USUAL, Core, Hand
from nutdrv_py.backends.rct.config import RctConfig
from nutdrv_py.backends.rct.heard import Datum
from nutdrv_py.backends.rct.house import House
from nutdrv_py.backends.rct.inventory import discover
from nutdrv_py.core.variables import Marks, Shaper
from nutdrv_py.device.reading import Reading, Status
from nutdrv_py.nut.connection import encode
from nutdrv_py.nut.snapshot import Snapshot, Variable, diff, dump

COMMITTED = Path(__file__).with_name("committed.json")
ALLOWED = 0.5
"""Part of the committed ratio that must remain."""

DOCUMENT = json.dumps({f"key {number}": [number, str(number), number / 7] for number in range(200)})


def beside(work: Callable[[], object], peer: Callable[[], object], turns: int = 41) -> float:
    """Return the median of how many times longer the peer takes."""
    found = []
    for _ in range(turns):
        times = []
        for one in (work, peer):
            began = time.process_time()
            for _ in range(5):
                one()
            times.append(time.process_time() - began)
        found.append(times[1] / times[0])
    return statistics.median(found)


def parsing() -> None:
    """Do what any Python does as fast as this machine lets it: the measure for what has no peer."""
    for _ in range(5):
        json.dumps({key: [str(one) for one in value] for key, value in json.loads(DOCUMENT).items()})


def imports(modules: str) -> float:
    """Return the processor time of a Python that imports modules."""
    before = os.times()
    subprocess.run([sys.executable, "-c", f"import {modules}"], check=True, timeout=60)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def started(turns: int = 7) -> float:
    """Return how many times longer a driver's imports take than asyncio's, inverted: more is better, as everywhere here."""
    found = [imports("asyncio") / imports("nutdrv_py.process.start, nutdrv_py.backends.dummy") for _ in range(turns)]
    return statistics.median(found)


def dumped() -> float:
    """Return the ratio of a dump of 1000 variables."""
    snapshot = Snapshot({f"experimental.v{number}": Variable(str(number)) for number in range(1000)})
    return beside(lambda: encode(dump(snapshot)), parsing)


def unchanged() -> float:
    """Return the ratio of shaping a reading like the one before, and telling the difference."""
    values = {f"experimental.v{number}.realpower": float(number) for number in range(100)}
    shaper = Shaper()

    def look() -> None:
        for _ in range(10):
            old = Snapshot(shaper.shape(Reading(values, Status.OL), Marks(), {}, {}, {}))
            new = Snapshot(shaper.shape(Reading(dict(values), Status.OL), Marks(), {}, {}, {}))
            encode(diff(old, new))

    return beside(look, parsing)


def polled() -> float:
    """Return the ratio of what is made of an inverter's answers."""
    clock = Hand()
    house, core, config = House(clock), Core(clock), RctConfig(ups="home", port="x")
    values: Mapping[str, object] = {**USUAL, "battery.soc": 0.6, "prim_sm.island_flag": 2}

    def look() -> None:
        clock.now += 2
        house.judge(values, config, frozenset())
        data = {name: Datum(value, clock.now) for name, value in values.items()}  # type: ignore[arg-type]
        if house.off_grid is not None:
            core.look(house.reading(data, config, discover(values)), off_grid=False)

    return beside(look, parsing)


FIGURES: Mapping[str, Callable[[], float]] = {
    "frames, scalars, beside rctclient": lambda: frames("scalars", 2000, 9)[2],
    "frames, cells, beside rctclient": lambda: frames("cells", 2000, 9)[2],
    "frames, noisy, beside rctclient": lambda: frames("noisy", 2000, 9)[2],
    "imports of a driver, beside asyncio": started,
    "dump of 1000 variables": dumped,
    "a reading like the one before": unchanged,
    "an inverter's answers": polled,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commit", action="store_true", help="write the ratios of this run")
    args = parser.parse_args()
    found = {name: measure() for name, measure in FIGURES.items()}
    if args.commit:
        COMMITTED.write_text(json.dumps({name: round(ratio, 3) for name, ratio in found.items()}, indent=2) + "\n")
    committed = json.loads(COMMITTED.read_text())
    slow = []
    for name, ratio in found.items():
        least = ALLOWED * committed[name]
        if ratio < least:
            # Once more: a machine that was busy in a way that the medians do not see must not fail a submission.
            ratio = max(ratio, FIGURES[name]())
        print(f"{name}: {ratio:.3f} (committed {committed[name]}, at least {least:.3f})", flush=True)
        slow += [name] * (ratio < least)
    for name in slow:
        print(f"SLOWER: {name}; if that is meant, type: make bench-quick COMMIT=--commit", file=sys.stderr)
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
