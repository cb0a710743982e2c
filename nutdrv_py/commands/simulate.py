# SPDX-License-Identifier: GPL-2.0-or-later
"""``nutdrv_py simulate``: run a simulated device, to try the driver without hardware."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import math
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from nutdrv_py.commands.doors import OFFERED, tools
from nutdrv_py.device.tools import Simulation
from nutdrv_py.simulators.loopback import check_loopback

HELP = "run a simulated device, to try the driver without hardware"

EXIT_USAGE = 2
EXIT_FAILED = 1


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument("device", choices=OFFERED, metavar="DEVICE", help="enphase, rct, or the backend of another package")
    parser.add_argument(
        "--listen",
        default="127.0.0.1:0",
        metavar="HOST:PORT",
        help="loopback address and port to listen on; port 0 takes a free one (default: %(default)s)",
    )
    parser.add_argument(
        "--scenario",
        default=None,
        metavar="NAME|FILE|DIRECTORY",
        help="a named scenario, a YAML file, or (Enphase) a folder of captured answers (default: online)",
    )
    parser.add_argument("--speed", type=float, default=1.0, metavar="X", help="run simulator time X times as fast (default: 1)")
    parser.add_argument("--serial", default=None, metavar="S", help="serial number of the device (default: one of its kind)")
    parser.add_argument("--list", action="store_true", help="list the named scenarios and exit")


def run(args: argparse.Namespace) -> int:
    """Run the command; return the exit code."""
    simulation = tools(args.device, "simulation").simulation
    assert simulation is not None
    if args.list:
        width = max(map(len, simulation.scenarios))
        for name, title in simulation.scenarios.items():
            print(f"{name:<{width}}  {title}")
        return 0
    try:
        host, port = split_address(args.listen)
        if not (math.isfinite(args.speed) and args.speed > 0):
            raise ValueError(f"--speed must be more than 0, not {args.speed}.")
        name = args.scenario or ("online" if "online" in simulation.scenarios else next(iter(simulation.scenarios)))
        given = {"speed": args.speed if args.speed != 1 else None, "serial": args.serial}
        simulator = simulation.make(name, {key: value for key, value in given.items() if value})
    except ValueError as error:
        print(error, file=sys.stderr)
        return EXIT_USAGE
    try:
        asyncio.run(_serve(args.device, simulation, name, simulator, host, port))
    except (OSError, RuntimeError) as error:
        print(f"The simulator cannot run: {error}", file=sys.stderr)
        return EXIT_FAILED
    return 0


def split_address(text: str) -> tuple[str, int]:
    """Split ``HOST:PORT`` (IPv6 in brackets) and refuse what is not on the loopback interface."""
    host, colon, number = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not number.isascii() or not number.isdigit() or int(number) > 65535:
        raise ValueError(f'--listen needs HOST:PORT, for example 127.0.0.1:8443, not "{text}".')
    check_loopback(host)
    return host, int(number)


async def _serve(kind: str, simulation: Simulation, scenario: str, simulator: Any, host: str, port: int) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    await simulator.start(host, port)
    try:
        with tempfile.TemporaryDirectory(prefix="nutdrv_py-simulate-") as name:
            section = simulation.section(simulator, Path(name))
            title = simulation.title or (lambda simulator: f"{scenario}: {simulation.scenarios.get(scenario, '')}")
            print(f"# Scenario {title(simulator)}")
            print("# Put this into ups.conf:")
            print("\n".join([f"[{kind}-sim]", *(f"    {key} = {value}" for key, value in section.items())]))
            print("# Running; end with Ctrl-C.", flush=True)
            getattr(simulator, "listeners", []).append(_report)
            await ended.wait()
    finally:
        await simulator.stop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _report(text: str) -> None:
    # The reader of our output may have gone; the simulator runs on for the driver.
    with contextlib.suppress(BrokenPipeError):
        print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)
