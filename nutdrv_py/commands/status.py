# SPDX-License-Identifier: GPL-2.0-or-later
"""``nutdrv_py status``: a UPS on one screen, read from its running driver's own socket; upsd is not needed.

Only NUT's own protocol is used, so it shows any NUT driver.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence

from nutdrv_py.commands.screen import FLOWS, Facts, Style, headline, lines
from nutdrv_py.commands.sections import Section, chosen, look
from nutdrv_py.device.reading import Status

__all__ = ["HELP", "configure", "facts", "run"]

HELP = "one screen: status in words, charge, runtime, power flow, age of the data"

EVERY = 2.0
"""Seconds between two looks of --watch; drivers poll as often."""

AGE = "experimental.data.age"
"""The variable in which this driver publishes the age of its data, in seconds; other drivers have none."""

PRIVATE = "driver.parameter."
"""Prefix of the section's options; other drivers show passwords there."""

CLEAR = "\033[H\033[J"
"""To the top left, and nothing below: less flicker than clearing everything."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("ups", nargs="?", metavar="UPS", help="section of ups.conf (default: each with driver = nutdrv_py)")
    parser.add_argument("--watch", action="store_true", help="again every 2 s, in a pipe whenever it changes, until Ctrl-C")
    parser.add_argument("--json", action="store_true", help="print a list of objects")


def run(args: argparse.Namespace) -> int:
    """Show it. 0 when the data of all are good, else 1; with --watch 0 after Ctrl-C."""
    sections = chosen(args.ups, foreign=True)
    if args.watch:
        return _watch(sections, as_json=args.json)
    found = [facts(section) for section in sections]
    print(_json(found) if args.json else _text(found, Style.of(sys.stdout)))
    return 0 if all(one.good for one in found) else 1


def facts(section: Section, before: Facts | None = None) -> Facts:
    """Return the driver's values now. ``before`` is the last look, for the time at which the house left the grid."""
    now = time.time()
    missing, stale, variables = "", True, {}
    try:
        seen = look(section.socket)
    except PermissionError:
        missing = f"This user may not open {section.socket}; type the same with sudo"
    except OSError:
        missing = f"The driver is not running; type: upsdrvctl start {section.ups}"
    else:
        if seen is None:
            missing = f"The driver does not answer; type: upsdrvctl stop {section.ups}; upsdrvctl start {section.ups}"
        else:
            stale, variables = seen.stale, dict(seen.variables)
    age = _age(variables)
    if stale:
        variables = {name: value for name, value in variables.items() if name.startswith("driver.")}
    variables = {name: value for name, value in variables.items() if not name.startswith(PRIVATE)}
    made = Facts(section.ups, stale, variables, age, now, missing=missing)
    return Facts(section.ups, stale, variables, age, now, _since(made, before), missing)


def _age(variables: dict[str, str]) -> float | None:
    try:
        return float(variables[AGE])
    except (KeyError, ValueError):
        return None


def _since(made: Facts, before: Facts | None) -> float | None:
    """Return when the house left the grid: only known if it was seen on the grid and then off it. A gap hides nothing of that."""
    if before is None or Status.OL in made.status:
        return None
    if before.since is not None:
        return before.since
    return made.now if Status.OL in before.status and Status.OB in made.status else None


# Showing


def _text(found: Sequence[Facts], style: Style) -> str:
    return "\n\n".join("\n".join(lines(one, style)) for one in found)


def _json(found: Sequence[Facts]) -> str:
    return json.dumps([_object(one) for one in found], indent=2)


def _object(one: Facts) -> dict[str, object]:
    """Return it as JSON; what is not known is absent."""
    numbers = {"charge": "battery.charge", "charge_low": "battery.charge.low", "runtime": "battery.runtime", "load": "ups.load"}
    known = {name: value for name, variable in numbers.items() if (value := one.number(variable)) is not None}
    power = {name.lower(): value for name, variable, *_ in FLOWS if (value := one.number(variable)) is not None}
    return {
        "ups": one.ups,
        "running": not one.missing,
        "stale": one.stale,
        "text": headline(one),
        "status": str(one.status).split(),
        **({"age": one.age} if one.age is not None else {}),
        **({"on_battery_since": round(one.since, 1)} if one.since is not None else {}),
        **known,
        **({"power": power} if power else {}),
        **({"alarm": one.variables["ups.alarm"]} if one.variables.get("ups.alarm") else {}),
        "variables": dict(sorted(one.variables.items())),
    }


def _watch(sections: Sequence[Section], *, as_json: bool) -> int:
    """Show it until Ctrl-C."""
    terminal = sys.stdout.isatty() and not as_json
    last: dict[str, Facts] = {}
    shown: list[tuple[object, ...]] = []
    try:
        while True:
            last = {section.ups: facts(section, last.get(section.ups)) for section in sections}
            found = list(last.values())
            if terminal:
                print(CLEAR + _text(found, Style.of(sys.stdout)) + "\n\nCtrl-C ends this", flush=True)
            elif (content := [_content(one) for one in found]) != shown:
                shown = content
                print((_json(found) if as_json else _text(found, Style.of(sys.stdout))) + "\n", flush=True)
            time.sleep(EVERY)
    except KeyboardInterrupt:
        return 0


def _content(one: Facts) -> tuple[object, ...]:
    """Return what counts as a change: not the time that passes."""
    passing = (AGE, "experimental.livedata.age")
    return one.missing, one.stale, tuple(sorted(item for item in one.variables.items() if item[0] not in passing))
