# SPDX-License-Identifier: GPL-2.0-or-later
"""``nutdrv_py scan``: devices on the network, as sections for ups.conf. Nothing is written anywhere."""

from __future__ import annotations

import argparse
import asyncio
import math
import sys
from collections.abc import Callable, Iterable, Sequence

from nutdrv_py.commands.doors import all_tools
from nutdrv_py.commands.scan_inverters import hosts_of, read_network
from nutdrv_py.device.tools import Found, Search
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


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--network", metavar="NETWORK",
        help="look for RCT inverters there, such as 192.168.1.0/24; at most a /22, and nowhere else (default: none)",
    )  # fmt: skip
    parser.add_argument(
        "--seconds", type=_seconds, default=SECONDS, metavar="N", help="how long to listen for gateways (default: %(default)g)"
    )
    parser.add_argument("--port", type=_port, metavar="N", help="TCP port to try (default: 8899, that of RCT inverters)")
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
    """Look around and print what there is; the exit code is 0 when there was anything."""
    try:
        network = read_network(args.network, anywhere=args.yes) if args.network else None
    except ConfigError as error:
        print(f"nutdrv_py scan: {error}", file=sys.stderr)
        return EXIT_USAGE
    remarks: list[str] = []
    sections = asyncio.run(_look(hosts_of(network) if network is not None else [], args.port, args.seconds, remarks.append))
    for text in remarks:
        _say(text)
    for text in _written(sections, _taken()):
        print(text)
    if not sections:
        _say("No device was found. Is it switched on, and in the same network as this machine?")
    return EXIT_FOUND if sections else EXIT_NOTHING


def _say(text: str) -> None:
    print(text, file=sys.stderr)


async def _look(hosts: Sequence[str], port: int | None, seconds: float, say: Callable[[str], None]) -> list[Found]:
    """Let each kind of device look at the same time; what cannot be looked for is printed, and the rest goes on."""
    progress = _Progress(seconds)
    search = Search(seconds, hosts, port, progress.tried, say)
    finders = {name: found.find for name, found in all_tools() if found.find is not None}
    try:
        outcomes = await asyncio.gather(*(find(search) for find in finders.values()), return_exceptions=True)
    finally:
        progress.end()
    sections: list[Found] = []
    for name, outcome in zip(finders, outcomes, strict=True):
        if isinstance(outcome, ConfigError | StartError):
            say(str(outcome))
        elif isinstance(outcome, BaseException):
            say(f"internal error in the search of backend {name}: {type(outcome).__name__}; please report it")
        else:
            sections += outcome
    return sections


class _Progress:
    """A line on the terminal that is there while something is looked for; nothing anywhere else."""

    def __init__(self, seconds: float) -> None:
        self._shown = sys.stderr.isatty()
        self._show(f"listening for gateways for {seconds:g} s")

    def tried(self, done: int, total: int) -> None:
        """Print how many addresses were tried."""
        self._show(f"{done} of {total} addresses tried")

    def end(self) -> None:
        """Take the line away."""
        self._show("")

    def _show(self, text: str) -> None:
        if self._shown:
            print(f"\r{text}\033[K", end="", file=sys.stderr, flush=True)


def _written(sections: Sequence[Found], taken: Iterable[str]) -> list[str]:
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
