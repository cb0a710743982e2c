# SPDX-License-Identifier: GPL-2.0-or-later
"""``nutdrv_py simulate``: run a simulated device, to try the driver without hardware."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import math
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from nutdrv_py.simulators.enphase.gateway import GatewaySimulator
from nutdrv_py.simulators.enphase.http import check_loopback
from nutdrv_py.simulators.enphase.scenarios import SCENARIOS, load_scenario

HELP = "run a simulated device, to try the driver without hardware"

DEFAULT_SERIAL = "122333444455"

EXIT_USAGE = 2
EXIT_FAILED = 1


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument("device", choices=("enphase", "rct"), help="what to simulate")
    parser.add_argument(
        "--listen",
        default="127.0.0.1:0",
        metavar="HOST:PORT",
        help="loopback address and port to listen on; port 0 takes a free one (default: %(default)s)",
    )
    parser.add_argument(
        "--scenario",
        default="online",
        metavar="NAME|FILE|DIRECTORY",
        help="a named scenario, a YAML file, or a folder of captured answers (default: %(default)s)",
    )
    parser.add_argument(
        "--speed", type=float, default=1.0, metavar="X", help="run simulator time X times as fast (default: 1)"
    )
    parser.add_argument(
        "--serial", default=None, metavar="S", help=f"serial number of the gateway (default: {DEFAULT_SERIAL})"
    )
    parser.add_argument("--list", action="store_true", help="list the named scenarios and exit")


def run(args: argparse.Namespace) -> int:
    """Run the command; return the exit code."""
    if args.device == "rct":
        print("The RCT simulator comes with the RCT backend, which is not there yet.", file=sys.stderr)
        return EXIT_USAGE
    if args.list:
        width = max(map(len, SCENARIOS))
        for name, scenario in SCENARIOS.items():
            print(f"{name:<{width}}  {scenario.title}")
        return 0
    try:
        host, port = split_address(args.listen)
        simulator = _make(args)
    except ValueError as error:
        print(error, file=sys.stderr)
        return EXIT_USAGE
    try:
        asyncio.run(_serve(simulator, host, port))
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


def _make(args: argparse.Namespace) -> GatewaySimulator:
    if not (math.isfinite(args.speed) and args.speed > 0):
        raise ValueError(f"--speed must be more than 0, not {args.speed}.")
    serial = {} if args.serial is None else {"serial": args.serial}
    if args.scenario not in SCENARIOS and Path(args.scenario).is_dir():
        return GatewaySimulator.from_captures(args.scenario, speed=args.speed, **serial)
    return GatewaySimulator(
        load_scenario(args.scenario), serial=args.serial if args.serial else DEFAULT_SERIAL, speed=args.speed
    )


def configuration(simulator: GatewaySimulator, directory: Path) -> str:
    """Return a section for ups.conf that points the driver at this simulator."""
    lines = {
        "driver": "nutdrv_py",
        "port": simulator.host_port,
        "desc": f'"Simulated Enphase system ({simulator.scenario.name})"',
        "backend": "enphase",
        "serial": simulator.serial,
        "credentials": str(directory / "credentials"),
        "tokenfile": str(directory / "token"),
        "login_url": simulator.login_url,
        "token_url": simulator.token_url,
    }
    return "\n".join(["[enphase-sim]", *(f"    {name} = {value}" for name, value in lines.items())])


def _write_credentials(simulator: GatewaySimulator, directory: Path) -> None:
    number = os.open(directory / "credentials", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with open(number, "w", encoding="utf-8") as file:
        file.write(f"USERNAME={simulator.username}\nPASSWORD={simulator.password}\n")


async def _serve(simulator: GatewaySimulator, host: str, port: int) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    await simulator.start(host, port)
    try:
        with tempfile.TemporaryDirectory(prefix="nutdrv_py-simulate-") as name:
            directory = Path(name)
            _write_credentials(simulator, directory)
            print(f"# Scenario {simulator.scenario.name}: {simulator.scenario.title}")
            print("# Put this into ups.conf:")
            print(configuration(simulator, directory))
            print("# Running; end with Ctrl-C.", flush=True)
            simulator.listeners.append(_report)
            await ended.wait()
    finally:
        await simulator.stop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _report(text: str) -> None:
    # Whoever read our output may have gone; the simulator runs on for the driver.
    with contextlib.suppress(BrokenPipeError):
        print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)
