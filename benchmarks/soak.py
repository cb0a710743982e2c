# SPDX-License-Identifier: GPL-2.0-or-later
"""``make soak``: eight simulated days in fast time, then a real driver for some minutes; memory, descriptors and threads stay flat.

The fast days go through a house and the core, with an outage each day. The real driver polls a simulated device beside upsd; a second time
it does so with all exporters on, their page and metrics asked all the time, their broker and database killed and started again each minute.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import itertools
import logging
import math
import os
import sys
import time
import tracemalloc
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from houses import METERS, ROW, SECCTRL, USUAL, Core, Hand
from nutdrv_py.backends.enphase import site
from nutdrv_py.backends.enphase.config import EnphaseConfig
from nutdrv_py.backends.enphase.house import House as Gateway
from nutdrv_py.backends.rct.config import RctConfig
from nutdrv_py.backends.rct.heard import Datum
from nutdrv_py.backends.rct.house import House as Inverter
from nutdrv_py.backends.rct.inventory import discover
from nutdrv_py.simulators.nut import free_port
from servers import Influx, Mosquitto, Server, coming_and_going
from stage import home, pid, proportional_kib

DAYS, STEP, DAY = 8, 60.0, 86400.0
GROWTH_FAST, GROWTH_REAL = 200_000, 1024
"""Bytes from the second day to the last, and KiB of resident memory over the last half, at most."""


def _times() -> Iterator[tuple[float, bool, float]]:
    """Seconds, whether the house is off the grid (an hour each day), and the charge in percent."""
    for step in itertools.count():
        at = step * STEP
        yield at, 43200 <= at % DAY < 46800, 70 + 25 * math.sin(at / DAY * 2 * math.pi)


def enphase(clock: Hand) -> Callable[[bool, float], None]:
    house, core, config = Gateway(clock), Core(clock), EnphaseConfig(ups="home", port="x")

    def poll(outage: bool, charge: float) -> None:
        state = site.Grid.OUTAGE if outage else site.Grid.ON_GRID
        if house.grid is not state:
            house.transfer(state)
            house.settle()
        raw: dict[str, Any] = {
            "secctrl": {**SECCTRL, "agg_soc": int(charge), "ENC_agg_soc": int(charge)},
            "livedata": {"meters": {**METERS, "soc": charge, "enc_agg_soc": charge, "load": {"agg_p_mw": 400_000}}},
            "reports": [{"reportType": "production", "cumulative": dict(ROW), "lines": [dict(ROW)]}],
        }
        reading = house.reading(raw, dict.fromkeys(raw, clock.now), config, token_days=30, live_age=1.0)
        core.look(reading, off_grid=outage)

    return poll


def rct(clock: Hand) -> Callable[[bool, float], None]:
    house, core, config = Inverter(clock), Core(clock), RctConfig(ups="home", port="x")

    def poll(outage: bool, charge: float) -> None:
        values = {**USUAL, "battery.soc": charge / 100, "prim_sm.island_flag": 3 if outage else 2}
        values |= {f"rb485.u_l_grid[{index}]": 0.0 if outage else 230.0 for index in range(3)}
        house.judge(values, config, frozenset())
        if house.off_grid is not None:
            data = {name: Datum(value, clock.now) for name, value in values.items()}  # type: ignore[arg-type]
            core.look(house.reading(data, config, discover(values)), off_grid=house.off_grid)

    return poll


def fast(name: str, make: Callable[[Hand], Callable[[bool, float], None]]) -> bool:
    clock, began = Hand(), time.monotonic()
    poll, sizes = make(clock), []
    tracemalloc.start()
    for at, outage, charge in _times():
        clock.now = 1000 + at
        poll(outage, charge)
        if at and at % DAY == 0:
            gc.collect()
            sizes.append(tracemalloc.get_traced_memory()[0])
            if len(sizes) == DAYS:
                break
    tracemalloc.stop()
    growth = sizes[-1] - sizes[1]
    print(f"{name}: {DAYS} days in {time.monotonic() - began:.0f} s, {growth:+d} bytes from the second day to the last", flush=True)
    return growth <= GROWTH_FAST


def _state(process: int) -> tuple[int, int, int, int]:
    status = dict(line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
    resident, threads = int(status["VmRSS"].split()[0]), int(status["Threads"])
    return resident, len(os.listdir(f"/proc/{process}/fd")), threads, proportional_kib(process)


def _exports(port: int, folder: Path, servers: Mapping[str, Server]) -> str:
    lines = [
        f"prometheus: {{enable: true, bind_port: {port}, exposition: true}}",
        f"page: {{enable: true, bind_port: {port}}}",
        f"portfile: {{enable: true, path: {folder}/home.dev, pollfreq: 5, pollfreqalert: 5}}",
    ]
    for server in servers.values():
        if isinstance(server, Mosquitto):
            lines.append(f"mqtt: {{enable: true, mqtt_host: 127.0.0.1, mqtt_port: {server.port}}}")
        if isinstance(server, Influx):
            lines.append(f"influxdb: {{enable: true, url: 'http://127.0.0.1:{server.port}', database: house, interval: 2}}")
    return "\n".join(lines) + "\n"


def real(backend: str, minutes: float, *, exporters: bool) -> bool:
    options = {"config": "exports.yml"} if exporters else {}
    with home(backend, **options) as (running, stage), contextlib.ExitStack() as stack:
        port = free_port()
        servers = stack.enter_context(coming_and_going(stage.folder / "log")) if exporters else {}
        files = stage.folder / "files"
        files.mkdir()
        (stage.folder / "etc" / "exports.yml").write_text(_exports(port, files, servers))
        done = stage.upsdrvctl("start", "home")
        assert done.returncode == 0, done.stderr
        stage.upsd()
        process, seen, until, outage = pid(stage, "nutdrv_py", "home"), [], time.monotonic() + minutes * 60, False
        time.sleep(20)
        while time.monotonic() < until:
            outage = not outage
            running.set(grid="outage" if outage else "on")
            for _ in range(5):
                time.sleep(3)
                stage.upsc()
                if exporters:
                    for path in ("metrics", "status.json"):
                        urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=10).read()
            seen.append(_state(process))
        half = len(seen) // 2
        # Of the last half, its begin and its end: what is made at the first outage or the first restart of a server is there by then.
        quarter = max(1, half // 2)
        begin, end = seen[half : half + quarter], seen[-quarter:]
        growth = [max(one[index] for one in end) - max(one[index] for one in begin) for index in (0, 3)]
        descriptors, threads = ({one[index] for one in seen[half:]} for index in (1, 2))
        resident, proportional = (max(one[index] for one in end) for index in (0, 3))
        again = "".join(f", {name} started {server.starts} times" for name, server in servers.items())
        print(
            f"{backend}{' with exporters' if exporters else ''}: {minutes:g} min, resident {resident} KiB ({growth[0]:+d} in the last half), "
            f"proportional {proportional} KiB ({growth[1]:+d}), descriptors {sorted(descriptors)}, threads {sorted(threads)}{again}",
            flush=True,
        )
        # A connection that is being made or has just been lost comes and goes; what is lost for good adds up.
        spare = 2 + 2 * len(servers)
        return growth[0] <= GROWTH_REAL and all(max(found) - min(found) <= spare for found in (descriptors, threads))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=45.0)
    parser.add_argument("--only", choices=("fast", "real", "exporters"), help="one part of it")
    parser.add_argument("--backend", choices=("enphase", "rct"), action="append", help="only this one")
    args = parser.parse_args()
    logging.disable(logging.CRITICAL)
    good = [fast("enphase", enphase), fast("rct", rct)] if args.only in (None, "fast") else []
    logging.disable(logging.NOTSET)
    parts = [exporters for part, exporters in (("real", False), ("exporters", True)) if args.only in (None, part)]
    backends = args.backend or ("enphase", "rct")
    for exporters in parts:
        for backend in backends:
            good.append(real(backend, args.minutes / len(parts) / len(backends), exporters=exporters))
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
