# SPDX-License-Identifier: GPL-2.0-or-later
"""``nutdrv_py check``: is the setup right? One line for each thing looked at, and what to type where it is not.

Nothing is written, neither here nor on the device, unless ``--login`` asks for a token. As root it becomes the driver's user
first, so that what that user may not do shows.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import os
import sys
from collections.abc import AsyncIterator, Callable

from nutdrv_py.commands.check import configuration, device, nut, upsd, upsmon
from nutdrv_py.commands.check.who import Who, become
from nutdrv_py.commands.check.within import TOTAL, Within
from nutdrv_py.commands.sections import Section, Seen, chosen
from nutdrv_py.device.findings import Finding, Level, failed
from nutdrv_py.errors import NutdrvError
from nutdrv_py.process.loading import Loaded

__all__ = ["HELP", "configure", "run"]

HELP = "is the setup right? One line per check, and what to type"

FILES = 5.0
"""Seconds for checks that only read files or local sockets."""

DEVICE = 20.0
"""Seconds for name, connection and the backend's own checks."""

NUT = 10.0
"""Seconds for each check of NUT."""

Tell = Callable[[str, Finding], None]
"""Takes a finding as it comes, with the name of its UPS."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("ups", nargs="?", metavar="UPS", help="section of ups.conf (default: each with driver = nutdrv_py)")
    parser.add_argument(
        "--backend", metavar="NAME", help="judge this backend, a name or module:Class; with UPS it polls the device of its port"
    )
    parser.add_argument("--login", action="store_true", help="fetch a token from Enphase's cloud if there is none")
    parser.add_argument("--json", action="store_true", help="print a list of objects: ups, level, topic, text, advice")


def run(args: argparse.Namespace) -> int:
    """Print what was found; 0 when nothing failed, else 1."""
    found: list[tuple[str, Finding]] = []

    def tell(ups: str, finding: Finding) -> None:
        found.append((ups, finding))
        if not args.json:
            print(_line(ups if several else "", finding), flush=True)

    several = False
    late = False
    try:
        if args.backend is not None:
            # Imported here: a check of the setup needs nothing of it.
            from nutdrv_py.commands.check import backend

            section = chosen(args.ups)[0] if args.ups is not None else None
            if section is not None:
                become([section])
            asyncio.run(_told(backend.judged(args.backend, section), functools.partial(tell, args.ups or "")))
            return _ended(args, found)
        sections = chosen(args.ups)
        several = len(sections) > 1
        who = become(sections)
    except NutdrvError as error:
        text, _, advice = str(error).partition("; ")
        tell(args.ups or "", failed("configuration", text, advice or "correct it, then type the same again"))
    else:
        # Not asyncio.run: that waits for threads, and a name server may hold one for minutes.
        late = asyncio.Runner().run(_check(sections, who, tell, login=args.login))
    code = _ended(args, found)
    if late:
        sys.stdout.flush()
        os._exit(code)
    return code


def _ended(args: argparse.Namespace, found: list[tuple[str, Finding]]) -> int:
    """Print what was found as JSON if that is wanted; return the exit code."""
    if args.json:
        rows = [{"ups": ups, "level": f.level.value, "topic": f.topic, "text": f.text, "advice": f.advice} for ups, f in found]
        print(json.dumps(rows, indent=2))
    return int(any(finding.level is Level.FAILED for _, finding in found))


async def _told(findings: AsyncIterator[Finding], tell: Callable[[Finding], None]) -> None:
    async for finding in findings:
        tell(finding)


def _line(ups: str, finding: Finding) -> str:
    where = f"{ups}: " if ups else ""
    advice = f"; {finding.advice}" if finding.advice else ""
    text = f"{finding.level.value:<8} {where}{finding.topic}: {finding.text}{advice}"
    # A device's text must not move the cursor of a terminal.
    return "".join(letter if letter.isprintable() else " " for letter in text)


async def _check(sections: list[Section], who: Who, tell: Tell, *, login: bool) -> bool:
    """Check all sections at the same time and print them one after the other; return whether something was too late."""
    within = Within(asyncio.get_running_loop().time() + TOTAL)
    queues: list[asyncio.Queue[Finding | None]] = [asyncio.Queue() for _ in sections]
    tasks = [
        asyncio.ensure_future(_section(section, who, within, queue, login=login))
        for section, queue in zip(sections, queues, strict=True)
    ]
    for section, queue in zip(sections, queues, strict=True):
        while (finding := await queue.get()) is not None:
            tell(section.ups, finding)
    await asyncio.gather(*tasks)
    return within.late


async def _section(section: Section, who: Who, within: Within, queue: asyncio.Queue[Finding | None], *, login: bool) -> None:
    """Check the configuration, then the device and NUT at the same time; put a None at the end."""
    try:
        settings = await _configuration(section, who, within, queue.put_nowait)
        later: list[Finding] = []
        nut_room = asyncio.ensure_future(_nut(section, settings, who, within, later.append))
        if settings is not None:
            # A token that another user fetches could not be read by the driver.
            allowed = login and who.here == who.driver
            await within.tell(device.look(settings, within, login=allowed), queue.put_nowait, "device", DEVICE)
        await nut_room
        for finding in later:
            queue.put_nowait(finding)
    finally:
        queue.put_nowait(None)


async def _configuration(section: Section, who: Who, within: Within, tell: Callable[[Finding], None]) -> Loaded | None:
    settings: Loaded | None = None

    def read() -> list[Finding]:
        nonlocal settings
        settings, findings = configuration.settings_of(section)
        return findings

    look = functools.partial(configuration.permissions, section, who.here, who.group)
    allowed = await within.tell(within.thread(look, FILES), tell, "permissions", FILES)
    said = [finding.text for finding in allowed if finding.level is Level.FAILED]
    held: list[Finding] = []
    await within.tell(within.thread(read, FILES), held.append, "configuration", FILES)
    for finding in held:
        # What the files' modes forbid was reported already.
        if not any(text in finding.text for text in said):
            tell(finding)
    return settings


async def _nut(section: Section, settings: Loaded | None, who: Who, within: Within, tell: Callable[[Finding], None]) -> None:
    seen: Seen | None = None

    def driver() -> list[Finding]:
        nonlocal seen
        findings, seen = nut.driver(section)
        return findings

    async def blocking(topic: str, function: Callable[[], list[Finding]], seconds: float = FILES) -> None:
        await within.tell(within.thread(function, seconds), tell, topic, seconds)

    await blocking("launcher", lambda: nut.launcher(section, who.driver))
    await blocking("driver", driver)
    if settings is not None and settings.exports is not None:
        shown = configuration.exporters(settings.exports, running=seen is not None, within=within)
        await within.tell(shown, tell, "exporters", FILES)
    await blocking("upsd", lambda: upsd.server(section, seen, who), NUT)
    await blocking("upsmon", lambda: upsmon.client(section, settings, who), NUT)
    await blocking("mode", lambda: nut.mode(section, who))
