# SPDX-License-Identifier: GPL-2.0-or-later
"""``nutdrv_py demo``: an outage, seen by upsc and upsmon, with nothing at stake.

A simulated house, this driver started by the real upsdrvctl, the real upsd and the real upsmon, all on loopback and in a
scratch directory. upsmon's SHUTDOWNCMD writes a file.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nutdrv_py.commands.doors import OFFERED, tools
from nutdrv_py.device.tools import Demo
from nutdrv_py.errors import ConfigError, NutdrvError
from nutdrv_py.simulators.nut import Stage, find_program
from nutdrv_py.simulators.running import RunningDevice

__all__ = ["configure", "run"]

HELP = "show an outage as upsc and upsmon see it, on loopback, with a simulated house"

UPS = "house"

SPEED = 25.0
"""The house's clock against ours: a charge lasts seconds instead of minutes."""

LOOKS = 8.0
"""Seconds after which a driver ends at once: its option looks, and one more."""

PATIENCE = 45.0
"""Seconds that the demo waits for each step before it prints what went wrong."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--backend", choices=OFFERED, default="enphase", help="which device to simulate")
    parser.add_argument("--keep", action="store_true", help="leave the scratch directory behind")


class _Screen:
    def __init__(self) -> None:
        self._began = time.monotonic()
        colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self._bold, self._plain = ("\033[1m", "\033[0m") if colour else ("", "")

    def title(self, text: str) -> None:
        print(f"\n{self._bold}{text}{self._plain}", flush=True)

    def line(self, text: str) -> None:
        print(f"  {time.monotonic() - self._began:5.1f} s  {text}", flush=True)

    def plain(self, text: str) -> None:
        print(f"           {text}", flush=True)


_SHOWN = (
    "ups.status", "battery.charge", "battery.charge.low", "battery.runtime", "battery.charger.status", "ups.load",
    "ups.realpower", "input.voltage", "input.realpower", "output.voltage", "experimental.grid.state",
)  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Show the story; 0 when every step was seen."""
    simulation = tools(args.backend, "simulation").simulation
    device = simulation.demo if simulation is not None else None
    if simulation is None or device is None:
        raise ConfigError(f"backend = {args.backend} has no demo; type: nutdrv_py demo --backend enphase")
    screen = _Screen()
    for name in ("upsd", "upsmon", "upsc", "upsdrvctl"):
        find_program(name)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    signal.signal(signal.SIGHUP, lambda number, frame: sys.exit(128 + number))
    print(f"nutdrv_py demo: {device.title}, and the real upsdrvctl, upsd, upsc and upsmon.")
    print(f"All of it runs on 127.0.0.1 and in a scratch directory; time in the house runs {SPEED:g} times as fast as yours.")
    with (
        RunningDevice[Any](device.make(SPEED), "demo-simulator") as running,
        tempfile.TemporaryDirectory(prefix="nutdrv_py-demo-") as folder,
        _stage({**simulation.section(running.sim, Path(folder)), **device.options}, keep=args.keep) as stage,
    ):
        running.set(**device.begin)
        try:
            _tell(screen, stage, running, device)
        except _Missed as error:
            screen.line(f"FAILED: {error}")
            for name in ("upsd", "upsmon"):
                with contextlib.suppress(OSError):
                    print(f"--- {name}:", (stage.folder / "log" / name).read_text(errors="replace")[-2000:])
            return 1
    print(device.epilogue)
    return 0


@contextlib.contextmanager
def _stage(section: Mapping[str, str], *, keep: bool) -> Iterator[Stage]:
    stage = Stage({**section, "driver": "nutdrv_py"}, ups=UPS)
    try:
        yield stage
    finally:
        stage.close(keep=keep)
        if keep:
            print(f"\nThe scratch directory is left in {stage.folder}")


class _Missed(NutdrvError):
    pass


def _wait(what: str, test: object, *, patience: float = PATIENCE) -> float:
    began = time.monotonic()
    assert callable(test)
    while not test():
        if time.monotonic() - began > patience:
            raise _Missed(f"{what} did not come within {patience:.0f} s")
        time.sleep(0.1)
    return time.monotonic() - began


def _tell(screen: _Screen, stage: Stage, running: RunningDevice[Any], device: Demo) -> None:
    screen.title("1. On the grid")
    started = stage.upsdrvctl("start", stage.ups)
    if started.returncode != 0:
        raise _Missed(f"upsdrvctl start ended with {started.returncode}:\n{started.stdout}{started.stderr}")
    screen.line("$ upsdrvctl start house     (the driver is in the background, its first data are there)")
    stage.upsd()
    _wait("the first answer of upsd", lambda: "OL" in stage.variables().get("ups.status", ""))
    screen.line("$ upsc house")
    found = stage.variables()
    for name in _SHOWN:
        if name in found:
            screen.plain(f"{name}: {found[name]}")
    screen.plain(f"... and {len(found) - len(_SHOWN)} more")
    monitor = stage.upsmon()
    time.sleep(1)
    watched = monitor.poll() is None
    if watched:
        screen.line("upsmon watches; its SHUTDOWNCMD only writes a file here")
    else:
        said = (stage.folder / "log" / "upsmon").read_text(errors="replace").strip().splitlines() or ["nothing"]
        reason = next((line for line in said if "already running" in line or line.startswith("Can not")), said[-1])
        screen.line(f'upsmon ended at once, so the demo shows all but its shutdown; it said: "{reason.strip()}"')
    time.sleep(2)

    screen.title("2. The grid fails")
    running.set(**device.outage)
    took = _wait("OB", lambda: "OB" in stage.upsc("ups.status").stdout)
    status = stage.upsc("ups.status").stdout.strip()
    screen.line(f"upsc says {status}, {took:.1f} s after {device.cut} (pollinterval here: 2 s)")

    screen.title("3. The battery carries the house")
    last = ("", "")
    began = time.monotonic()
    while True:
        found = stage.variables()
        charge, status = found.get("battery.charge", "?"), found.get("ups.status", "")
        if (charge, status) != last:
            seconds = int(found.get("battery.runtime", "0"))
            watts = found.get("ups.realpower", "?")
            screen.line(f"charge {charge:>3} %   runtime {seconds // 60:3d} min   load {watts} W   {status}")
            last = charge, status
        if "LB" in status:
            break
        if time.monotonic() - began > PATIENCE:
            raise _Missed("LB did not come")
        time.sleep(0.4)

    screen.title("4. Low battery: upsmon shuts the host down")
    screen.line(f"LB at {found['battery.charge']} % (battery.charge.low is {found['battery.charge.low']})")
    if watched:
        took = _wait("SHUTDOWNCMD", stage.shutdown_file.exists)
        screen.line(f"upsmon called SHUTDOWNCMD {took:.1f} s later: a real server would be down safely by now")

    screen.title("5. The grid returns")
    running.set(**device.back)
    took = _wait("OL", lambda: "OL" in stage.upsc("ups.status").stdout)
    screen.line(f"upsc says {stage.upsc('ups.status').stdout.strip()}, {took:.1f} s after the grid came back")
    if watched:
        screen.plain("FSD is upsd's own note of the shutdown; it keeps it until it is restarted")
    # upsdrvctl from 2.8.1 on waits 5 s and kills; the driver lets upsmon see for longer that the outage is over.
    time.sleep(LOOKS)
    stopped = stage.upsdrvctl("stop", stage.ups)
    if stopped.returncode != 0:
        raise _Missed(f"upsdrvctl stop ended with {stopped.returncode}: {stopped.stderr}")
    screen.line("$ upsdrvctl stop house")
