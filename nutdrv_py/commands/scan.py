# SPDX-License-Identifier: GPL-2.0-or-later
"""``nutdrv_py scan``: devices on the network, as sections for ups.conf. Nothing is written anywhere."""

from __future__ import annotations

import argparse
import asyncio
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nutdrv_py.backends.rct.config import PORT
from nutdrv_py.commands.scan_gateways import Gateway, find_gateways
from nutdrv_py.commands.scan_inverters import Inverter, Network, find_inverters, hosts_of, read_network
from nutdrv_py.errors import ConfigError, StartError
from nutdrv_py.machine.paths import paths
from nutdrv_py.nut.parseconf import BadLine, parse

__all__ = ["HELP", "configure", "run"]

HELP = "find gateways and inverters on the network, as ready sections for ups.conf"

EXIT_FOUND = 0
EXIT_NOTHING = 1
EXIT_USAGE = 2

SECONDS = 5.0
"""Seconds that mDNS is listened to: devices answer within one, some only when asked again."""

MOST_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class _Section:
    """A section to print: what it is, a name for it, and its lines."""

    comment: str
    name: str
    lines: tuple[tuple[str, str], ...]


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--network", metavar="NETWORK",
        help="look for RCT inverters there, such as 192.168.1.0/24; at most a /22, and nowhere else (default: none)",
    )  # fmt: skip
    parser.add_argument(
        "--seconds", type=_seconds, default=SECONDS, metavar="N", help="how long to listen for gateways (default: %(default)g)"
    )
    parser.add_argument("--port", type=_port, default=PORT, metavar="N", help="TCP port of the inverters (default: %(default)s)")
    parser.add_argument("--yes", action="store_true", help="the network is mine although its addresses are public")
    parser.epilog = "exit codes: 0 found, 1 nothing found, 2 wrong usage; example: nutdrv_py scan --network 192.168.1.0/24"


def _seconds(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 < found <= MOST_SECONDS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds up to {MOST_SECONDS:g}")
    return found


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is not a TCP port")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Look around and print what there is; the exit code says whether there was anything."""
    try:
        network = read_network(args.network, anywhere=args.yes) if args.network else None
    except ConfigError as error:
        print(f"nutdrv_py scan: {error}", file=sys.stderr)
        return EXIT_USAGE
    gateways, inverters = asyncio.run(_look(network, args.port, args.seconds))
    for inverter in inverters:
        if not inverter.sure:
            _say(f"{inverter.where} listens on port {args.port} but does not answer as an RCT inverter: busy, or another device")
    sections = [*map(_of_gateway, gateways), *(_of_inverter(found, args.port) for found in inverters if found.sure)]
    for text in _written(sections, _taken()):
        print(text)
    if network is None:
        _say("RCT inverters were not looked for: they do not announce themselves; add --network 192.168.1.0/24 (yours)")
    if not sections:
        _say("No device was found. Is it switched on, and in the same network as this machine?")
    return EXIT_FOUND if sections else EXIT_NOTHING


def _say(text: str) -> None:
    print(text, file=sys.stderr)


async def _look(network: Network | None, port: int, seconds: float) -> tuple[list[Gateway], list[Inverter]]:
    """Both at once; what cannot be looked for is said, and the rest goes on."""
    listening = asyncio.create_task(find_gateways(seconds))
    progress = _Progress(seconds)
    try:
        inverters = await find_inverters(hosts_of(network), port, progress.tried) if network is not None else []
        try:
            gateways = await listening
        except (ConfigError, StartError) as error:
            progress.end()
            _say(str(error))
            gateways = []
    finally:
        progress.end()
    # One that announces itself under two names is one; its address is better than its name.
    once: dict[str, Gateway] = {}
    for gateway in sorted(gateways, key=lambda found: (found.where == found.name, found.where)):
        once.setdefault(gateway.serial or gateway.where, gateway)
    return list(once.values()), inverters


class _Progress:
    """A line on the terminal that is there while something is looked for; nothing anywhere else."""

    def __init__(self, seconds: float) -> None:
        self._shown = sys.stderr.isatty()
        self._show(f"listening for gateways for {seconds:g} s")

    def tried(self, done: int, total: int) -> None:
        """So many addresses were tried."""
        self._show(f"{done} of {total} addresses tried")

    def end(self) -> None:
        """Take the line away."""
        self._show("")

    def _show(self, text: str) -> None:
        if self._shown:
            print(f"\r{text}\033[K", end="", file=sys.stderr, flush=True)


def _of_gateway(found: Gateway) -> _Section:
    who = f"Enphase IQ Gateway{f' {found.serial}' if found.serial else ''}{f', {found.name}' if found.name else ''}"
    port = f"[{found.where}]" if ":" in found.where else found.where
    lines = [("port", port), ("backend", "enphase")]
    if found.serial:
        lines.append(("serial", found.serial))
    lines.append(("credentials", "enphase.conf    # USERNAME=... and PASSWORD=..., in this folder, mode 0640 root:nut"))
    return _Section(f"{who}, found by mDNS; give it a fixed address in your router", "enphase", tuple(lines))


def _of_inverter(found: Inverter, port: int) -> _Section:
    where = f"[{found.where}]" if ":" in found.where else found.where
    who = f"RCT Power inverter{f' {found.serial}' if found.serial else ''}"
    lines = (("port", where if port == PORT else f"{where}:{port}"), ("backend", "rct"))
    return _Section(f"{who}, found on TCP port {port}; give it a fixed address in your router", "rct", lines)


def _written(sections: Sequence[_Section], taken: Iterable[str]) -> list[str]:
    """Return the sections as text, each with a name that no other one has."""
    used = set(taken)
    texts = []
    for section in sections:
        name, number = section.name, 1
        while name in used:
            number += 1
            name = f"{section.name}{number}"
        used.add(name)
        rows = [("driver", "nutdrv_py"), *section.lines, ("desc", '"House battery"')]
        body = "\n".join(f"    {key:<11} = {value}" for key, value in rows)
        texts.append(f"# {section.comment}\n[{name}]\n{body}\n")
    return texts


def _taken() -> set[str]:
    """Return the names that ups.conf has already, as far as it can be read."""
    try:
        data = (paths().confpath / "ups.conf").read_bytes()
    except OSError:
        return set()
    words = [line.words[0] for line in parse(data) if not isinstance(line, BadLine) and line.words]
    return {word[1:-1] for word in words if word.startswith("[") and word.endswith("]")}
