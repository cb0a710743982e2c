# SPDX-License-Identifier: GPL-2.0-or-later
"""CPU of a poll of an Enphase gateway, beside a shell that asks the same with curl and picks the values with jq."""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import time
from collections import Counter

from figures import Figure, show
from stage import DEVICES, LIMIT, cpu_seconds, scene

PICKS = {
    "/ivp/ensemble/relay": ".mains_oper_state",
    "/ivp/livedata/status": ".meters.soc",
    "/ivp/ensemble/secctrl": ".agg_soc",
}


def children_seconds() -> float:
    """Return the processor time of the children that have ended."""
    import resource

    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=40.0)
    args = parser.parse_args()
    if not (shutil.which("curl") and shutil.which("jq")):
        raise SystemExit("curl and jq are needed; type: apt install curl jq")
    begins = DEVICES["enphase"].begins_poll
    with scene() as found:
        running = found.device("home", "enphase")
        process = found.start("home")
        time.sleep(10)
        before, seen = cpu_seconds(process), len(running.sim.requests)
        time.sleep(args.seconds)
        used, requests = cpu_seconds(process) - before, list(running.sim.requests)[seen:]
        polls = max(1, sum(map(begins, requests)))
        asked = Counter(request.path for request in requests)
        # The pipeline asks each path as often in a poll as the driver did, rounded.
        paths = [path for path, count in asked.items() for _ in range(round(count / polls))]
        host, token = running.sim.host_port, running.sim.issue_token()
        taken = []
        for _ in range(10):
            began = children_seconds()
            for path in paths:
                script = f"curl -sk -m 10 -H 'Authorization: Bearer {token}' https://{host}{path} | jq -r '{PICKS.get(path, '.')}' >/dev/null"
                subprocess.run(["/bin/sh", "-c", script], check=True, timeout=LIMIT)
            taken.append(children_seconds() - began)
        ours, peer = used / polls, statistics.median(taken)
        show(
            Figure(
                "CPU of a poll, Enphase", f"{1000 * ours:.1f} ms for {len(paths)} requests", f"curl and jq {1000 * peer:.0f} ms", ours / peer,
                "below the script's",
            )
        )  # fmt: skip


if __name__ == "__main__":
    main()
