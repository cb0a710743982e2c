# SPDX-License-Identifier: GPL-2.0-or-later
"""A stage for the benchmarks: this driver on a simulated device, and dummy-ups on a file, in one scratch directory."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nutdrv_py.simulators import enphase, rct
from nutdrv_py.simulators.nut import Stage, find_program
from nutdrv_py.simulators.running import RunningDevice

PEER = "peer"


@dataclass(frozen=True)
class Device:
    """A simulated device: how it runs, its section in ups.conf, and the request that begins each poll."""

    make: Callable[[], RunningDevice[Any]]
    section: Callable[[Any], dict[str, str]]
    begins_poll: Callable[[Any], bool]


DEVICES = {
    "enphase": Device(
        lambda: enphase.RunningSimulator(replace(enphase.load_scenario("split-phase"), timeline=())),
        lambda sim: {"port": sim.host_port, "serial": sim.serial, "token": sim.issue_token(), "tokenfile": "token"},
        lambda request: request.path == "/ivp/ensemble/relay",
    ),
    "rct": Device(
        lambda: rct.RunningInverter("online"),
        lambda sim: {"port": sim.host_port},
        lambda request: request.name == "prim_sm.island_flag",
    ),
}


@contextlib.contextmanager
def home(backend: str = "enphase", **options: str) -> Iterator[tuple[Any, Stage]]:
    """A section with the default intervals, and a section ``peer`` for dummy-ups with as many variables."""
    device = DEVICES[backend]
    with device.make() as running:
        stage = Stage({"driver": "nutdrv_py", "backend": backend, **device.section(running.sim), **options}, ups="home")
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
