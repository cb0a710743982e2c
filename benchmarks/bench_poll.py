# SPDX-License-Identifier: GPL-2.0-or-later
"""CPU of a poll: of an Enphase gateway beside a shell that asks the same with curl and picks the values with jq, of an RCT inverter beside a loop
around rctclient, which RctMon is built on, that asks as many of the same objects one by one.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
from collections import Counter

from rctclient.registry import REGISTRY

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


LOOP = """
import json, socket, sys, time
from rctclient.frame import ReceiveFrame, make_frame
from rctclient.registry import REGISTRY
from rctclient.types import Command
from rctclient.utils import decode_value
host, port, names, polls, pause = json.loads(sys.argv[1])
infos = [REGISTRY.get_by_name(name) for name in names]
with socket.create_connection((host, port), 10) as line:
    begin = time.process_time()
    for _ in range(polls):
        for info in infos:
            line.send(make_frame(Command.READ, info.object_id))
            frame, left = ReceiveFrame(), b""
            while not frame.complete():
                left = left or line.recv(256)
                left = left[frame.consume(left):]
            decode_value(info.response_data_type, frame.data)
        time.sleep(pause)
print((time.process_time() - begin) / polls / len(infos))
"""
"""Prints the CPU seconds of a request."""


def asked_rct(seconds: float) -> None:
    """Measure the driver of an inverter, then the loop."""
    with scene() as found:
        running = found.device("home", "rct")
        process = found.start("home")
        time.sleep(15)
        before, seen = cpu_seconds(process), len(running.sim.requests)
        time.sleep(seconds)
        used, requests = cpu_seconds(process) - before, list(running.sim.requests)[seen:]
        found.end(process)
        polls = max(1, sum(map(DEVICES["rct"].begins_poll, requests)))
        names = [request.name for request in requests if request.name in {info.name for info in REGISTRY.all()}][: round(len(requests) / polls)]
        host, port = running.sim.host_port.split(":")
        words = json.dumps([host, int(port), names, polls, max(0.0, seconds / polls - 0.1)])
        done = subprocess.run([sys.executable, "-c", LOOP, words], capture_output=True, text=True, check=True, timeout=2 * seconds + LIMIT)
        ours, peer = used / len(requests), float(done.stdout)
    name = f"CPU of a request, RCT, {len(requests) / polls:.0f} a poll"
    show(Figure(name, f"{1e6 * ours:.0f} us", f"rctclient in a loop {1e6 * peer:.0f} us", ours / peer, "below 2 times RctMon's"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=40.0)
    args = parser.parse_args()
    asked_rct(args.seconds)
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
