# SPDX-License-Identifier: GPL-2.0-or-later
"""A stage for the benchmarks: this driver on a simulated gateway, and dummy-ups on a file, in one scratch directory."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from nutdrv_py.simulators.enphase import RunningSimulator, load_scenario
from nutdrv_py.stage import Stage, find_program

PEER = "peer"


@contextlib.contextmanager
def home(**options: str) -> Iterator[tuple[RunningSimulator, Stage]]:
    """An Enphase section with the default intervals, and a section ``peer`` for dummy-ups with as many variables."""
    with RunningSimulator(replace(load_scenario("split-phase"), timeline=())) as running:
        sim = running.sim
        stage = Stage(
            {
                "driver": "nutdrv_py", "port": sim.host_port, "backend": "enphase", "serial": sim.serial, "token": sim.issue_token(),
                "tokenfile": "token", **options,
            },
            ups="home",
        )  # fmt: skip
        try:
            peer = stage.folder / "peer.dev"
            peer.write_text("".join(f"experimental.v{n}: {n}\n" for n in range(70)) + "ups.status: OL\n")
            drivers = Path(next(folder for folder in ("/usr/libexec/nut", "/usr/lib/nut", "/lib/nut") if os.path.exists(f"{folder}/dummy-ups")))
            (stage.folder / "bin" / "dummy-ups").symlink_to(drivers / "dummy-ups")
            with (stage.folder / "etc" / "ups.conf").open("a") as file:
                file.write(f"[{PEER}]\n driver = dummy-ups\n port = {peer}\n mode = dummy-once\n pollinterval = 5\n")
            yield running, stage
        finally:
            stage.upsdrvctl("stop", PEER)
            stage.close()


def pid(stage: Stage, driver: str, ups: str) -> int:
    return int((stage.folder / "run" / f"{driver}-{ups}.pid").read_text())


def resident_kib(process: int) -> int:
    status = Path(f"/proc/{process}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))


def proportional_kib(process: int) -> int:
    rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
    return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))


def cpu_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def upsc(stage: Stage, ups: str, name: str) -> str:
    command = [find_program("upsc"), f"{ups}@127.0.0.1:{stage.port}", name]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=stage.environment()).stdout.strip()
