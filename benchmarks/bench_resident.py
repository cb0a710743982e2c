# SPDX-License-Identifier: GPL-2.0-or-later
"""Resident memory and CPU per poll at the default intervals, beside dummy-ups."""

from __future__ import annotations

import argparse
import time

from stage import DEVICES, PEER, cpu_seconds, home, pid, proportional_kib, resident_kib


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--backend", choices=tuple(DEVICES), default="enphase")
    args = parser.parse_args()
    minutes, begins_poll = args.minutes, DEVICES[args.backend].begins_poll
    with home(args.backend) as (running, stage):
        for ups in ("home", PEER):
            done = stage.upsdrvctl("start", ups)
            assert done.returncode == 0, done.stdout + done.stderr
        stage.upsd()
        time.sleep(5)
        ours, theirs = pid(stage, "nutdrv_py", "home"), pid(stage, "dummy-ups", PEER)
        before = cpu_seconds(ours), cpu_seconds(theirs)
        polls = sum(map(begins_poll, list(running.sim.requests)))
        time.sleep(minutes * 60)
        used = cpu_seconds(ours) - before[0], cpu_seconds(theirs) - before[1]
        polls = sum(map(begins_poll, list(running.sim.requests))) - polls
        seconds = minutes * 60
        rss = resident_kib(ours), resident_kib(theirs)
        print(f"{args.backend}, after {minutes:g} min: resident {rss[0] / 1024:.1f} MiB (proportional {proportional_kib(ours) / 1024:.1f}); ", end="")
        print(f"dummy-ups {rss[1] / 1024:.1f} MiB; ratio {rss[0] / rss[1]:.1f}")
        print(f"CPU {1000 * used[0] / max(1, polls):.1f} ms per poll ({polls} polls), {100 * used[0] / seconds:.3f} % of a core; ", end="")
        print(f"dummy-ups {100 * used[1] / seconds:.3f} %")


if __name__ == "__main__":
    main()
