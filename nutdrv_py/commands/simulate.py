# SPDX-License-Identifier: GPL-2.0-or-later
"""``nutdrv_py simulate``: run a simulated device, to try the driver without hardware."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import math
import os
import pwd
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from nutdrv_py.machine.paths import layout
from nutdrv_py.simulators import enphase, rct
from nutdrv_py.simulators.loopback import check_loopback
from nutdrv_py.simulators.running import Simulator

HELP = "run a simulated device, to try the driver without hardware"

EXIT_USAGE = 2
EXIT_FAILED = 1


class _Story(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...


class _Simulator(Simulator, Protocol):
    @property
    def scenario(self) -> _Story: ...
    @property
    def listeners(self) -> list[Callable[[str], None]]: ...


@dataclass(frozen=True, slots=True)
class _Device:
    """What there is to know about a kind of device. ``section`` may write what it mentions into the directory it gets."""

    scenarios: Mapping[str, _Story]
    make: Callable[[str, dict[str, Any]], _Simulator]
    section: Callable[[Any, Path], dict[str, str]]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument("device", choices=tuple(_DEVICES), help="what to simulate")
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
        help="a named scenario, a YAML file, or (Enphase) a folder of captured answers (default: %(default)s)",
    )
    parser.add_argument(
        "--speed", type=float, default=1.0, metavar="X", help="run simulator time X times as fast (default: 1)"
    )
    parser.add_argument("--serial", default=None, metavar="S", help="serial number of the device (default: one of its kind)")
    parser.add_argument("--list", action="store_true", help="list the named scenarios and exit")


def run(args: argparse.Namespace) -> int:
    """Run the command; return the exit code."""
    device = _DEVICES[args.device]
    if args.list:
        width = max(map(len, device.scenarios))
        for name, scenario in device.scenarios.items():
            print(f"{name:<{width}}  {scenario.title}")
        return 0
    try:
        host, port = split_address(args.listen)
        if not (math.isfinite(args.speed) and args.speed > 0):
            raise ValueError(f"--speed must be more than 0, not {args.speed}.")
        simulator = device.make(args.scenario, {"speed": args.speed, **({"serial": args.serial} if args.serial else {})})
    except ValueError as error:
        print(error, file=sys.stderr)
        return EXIT_USAGE
    try:
        asyncio.run(_serve(args.device, simulator, host, port))
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


def _make_gateway(scenario: str, settings: dict[str, Any]) -> enphase.GatewaySimulator:
    if scenario not in enphase.SCENARIOS and Path(scenario).is_dir():
        return enphase.GatewaySimulator.from_captures(scenario, **settings)
    return enphase.GatewaySimulator(enphase.load_scenario(scenario), **settings)


def _driver_account() -> pwd.struct_passwd | None:
    """Return the user that a driver started by root becomes; None when it stays this one, or when NUT is not installed."""
    if os.geteuid() != 0:
        return None
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(layout().user)
    return None


def _gateway_section(simulator: enphase.GatewaySimulator, directory: Path) -> dict[str, str]:
    state = directory / "state"
    state.mkdir(mode=0o700)
    number = os.open(directory / "credentials", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with open(number, "w", encoding="utf-8") as file:
        file.write(f"USERNAME={simulator.username}\nPASSWORD={simulator.password}\n")
        account = _driver_account()
        if account is not None:
            # As the credentials of a real gateway: root's, readable by NUT's group. The folder of the token is NUT's own.
            os.fchown(file.fileno(), 0, account.pw_gid)
            os.fchmod(file.fileno(), 0o640)
            os.chown(directory, 0, account.pw_gid)
            directory.chmod(0o750)
            os.chown(state, account.pw_uid, account.pw_gid)
    return {
        "driver": "nutdrv_py",
        "port": simulator.host_port,
        "desc": f'"Simulated Enphase system ({simulator.scenario.name})"',
        "backend": "enphase",
        "serial": simulator.serial,
        "credentials": str(directory / "credentials"),
        "tokenfile": str(state / "token"),
        "login_url": simulator.login_url,
        "token_url": simulator.token_url,
    }


def _make_inverter(scenario: str, settings: dict[str, Any]) -> rct.InverterSimulator:
    return rct.InverterSimulator(rct.load_scenario(scenario), **settings)


def _inverter_section(simulator: rct.InverterSimulator, directory: Path) -> dict[str, str]:
    return {
        "driver": "nutdrv_py",
        "port": simulator.host_port,
        "desc": f'"Simulated RCT Power inverter ({simulator.scenario.name})"',
        "backend": "rct",
    }


_DEVICES: Mapping[str, _Device] = {
    "enphase": _Device(enphase.SCENARIOS, _make_gateway, _gateway_section),
    "rct": _Device(rct.SCENARIOS, _make_inverter, _inverter_section),
}


async def _serve(kind: str, simulator: _Simulator, host: str, port: int) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    await simulator.start(host, port)
    try:
        with tempfile.TemporaryDirectory(prefix="nutdrv_py-simulate-") as name:
            section = _DEVICES[kind].section(simulator, Path(name))
            print(f"# Scenario {simulator.scenario.name}: {simulator.scenario.title}")
            print("# Put this into ups.conf:")
            print("\n".join([f"[{kind}-sim]", *(f"    {key} = {value}" for key, value in section.items())]))
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
