# SPDX-License-Identifier: GPL-2.0-or-later
"""``make bench``: run all benchmarks, each within its limit, and write docs/performance.md."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

from figures import RESULTS

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "performance.md"

BENCHMARKS: tuple[tuple[str, float], ...] = (
    ("bench_frames.py", 60), ("bench_start.py", 60), ("bench_dump.py --rounds 8", 90), ("bench_change.py --rounds 8", 90),
    ("bench_clients.py", 90), ("bench_poll.py --seconds 20", 120), ("bench_scrape.py", 40), ("bench_resident.py", 100), ("bench_daemon.py", 75),
    ("bench_many.py --counts 10 100 --seconds 10", 150),
)  # fmt: skip
"""The command of each, and the seconds after which it is given up."""

ALL = 590.0
"""Seconds for all of them; what has no time left is listed as not measured."""

HEAD = """<!-- SPDX-License-Identifier: GPL-2.0-or-later -->
# Performance

Written by `make bench`; do not edit it. Each figure is measured beside its peer in the same run, by turns; the medians are shown, with the 99th percentile where it is of use.
The aims are those of the project. {when}, {machine}; load average {load}
(at the begin and at the end of the run).

{versions}
"""

NOTES = """
## What a figure cannot be

- The drivers run in an environment as a user's, with nothing but what they need.
- Resident memory: `import asyncio` alone is the floor of any driver in Python. On it come construct (3 MiB) or httpx with what it loads for its first
  request (8 MiB) and, with Python 3.11, what `pathlib` loads: `urllib.parse` and `ipaddress` (0.9 MiB).
- CPU at the default intervals is that of waking up, not of computing: an RCT poll is 42 turns of the event loop of 0.15 ms, because the inverter answers
  one object after the other. Where that finds warm caches it costs less: on a busier machine 4.5 ms, and 5.2 for a gateway.
- CPU of a file's driver: nothing is read while the file is unchanged. What remains are the heartbeat that upsd is shown in each poll, as other drivers
  do, the look at the file in a thread, which must not hang the driver where the file lies on a server, and a beat each second, by which a blocked event
  loop is noticed.
- A first dump is encoded, each later one of the same values is a copy: the p99 is the first.
- A start takes the interpreter twice: the driver goes on in one that has the driver's name, or `upsdrvctl stop` of NUT 2.8.3 and later would not find it.
  The first imports nothing but what looks for that name.
- A scrape is what prometheus_client needs for so many samples, and a fifth for collecting them.
- The interval of the gateway is 5 s, which is most of the time from its relay to upsd.
- RctMon cannot be had from the package index. What stands in for it are its libraries: their imports for memory, a loop around rctclient for CPU.
"""


def machine() -> str:
    """Return processor, cores and memory."""
    words = dict(line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().splitlines() if ":" in line)
    model = next((value.strip() for name, value in words.items() if name.strip() == "model name"), platform.machine())
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 30
    return f"{os.cpu_count()} cores ({model}), {pages} GiB, Linux {platform.release()}"


def versions() -> str:
    """Return what was measured, and beside what."""
    found = [f"Python {platform.python_version()}"]
    found += [f"{name} {metadata.version(name)}" for name in ("httpx", "construct", "pyyaml", "prometheus-client", "rctclient")]
    upsd = subprocess.run(["/lib/nut/upsd", "-V"], capture_output=True, text=True, check=False, timeout=10)
    nut = (upsd.stdout + upsd.stderr).strip().splitlines()
    return ", ".join([*found, *(line for line in nut[:1])]) + "."


def run(command: str, limit: float, results: Path) -> str:
    """Run one benchmark; return what went wrong, or nothing."""
    print(f"== {command}", flush=True)
    words = [sys.executable, *command.split()]
    process = subprocess.Popen(words, cwd=HERE, env={**os.environ, RESULTS: str(results)}, start_new_session=True)
    try:
        code = process.wait(limit)
    except subprocess.TimeoutExpired:
        # Asked first, so that it ends the drivers that it has started; they are in its group.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return f"not finished within {limit:.0f} s"
    return f"ended with code {code}" if code else ""


def main() -> int:
    rows, faults, load = [], [], f"{os.getloadavg()[0]:.1f}"
    end = time.monotonic() + ALL
    for command, limit in BENCHMARKS:
        with tempfile.NamedTemporaryFile() as file:
            fault = run(command, max(0.0, min(limit, end - time.monotonic())), Path(file.name))
            found = [json.loads(line) for line in Path(file.name).read_text().splitlines()]
        if fault:
            faults.append(f"- `{command}`: {fault}")
        rows += [f"\n`python benchmarks/{command}`\n", "| figure | here | beside it | ratio | aim |", "|---|---|---|---|---|"]
        for one in found:
            ratio = "" if one["ratio"] is None else f"{one['ratio']:.0f}" if one["ratio"] >= 100 else f"{one['ratio']:.3f}"
            rows.append(f"| {one['name']} | {one['ours']} | {one['peer']} | {ratio} | {one['target']} |")
    head = HEAD.format(when=datetime.date.today().isoformat(), machine=machine(), versions=versions(), load=f"{load} and {os.getloadavg()[0]:.1f}")
    missing = ["\n## Not measured\n", *faults] if faults else []
    PAGE.write_text("\n".join([head, *rows, *missing]) + "\n" + NOTES, encoding="utf-8")
    print(f"written: {PAGE}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
