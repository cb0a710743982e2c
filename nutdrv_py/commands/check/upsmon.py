# SPDX-License-Identifier: GPL-2.0-or-later
"""upsmon on this machine: whether it watches the UPS, and is patient enough for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nutdrv_py.commands.check.programs import version, words_of
from nutdrv_py.commands.sections import Section
from nutdrv_py.config import Settings
from nutdrv_py.findings import Finding, failed, ok, warning

__all__ = ["client"]

DEADTIME, POLLFREQ, POLLFREQALERT = 15, 5, 5
"""upsmon's defaults, in seconds (man upsmon.conf)."""

MISSED = 3
"""Polls of upsmon that DEADTIME should hold (man upsmon.conf: three times the larger of POLLFREQ and POLLFREQALERT)."""

IMPATIENT = ((2, 8, 1),)
"""Releases whose upsmon does not wait for DEADTIME (docs/upsmon.md; measured, 2.8.0 and 2.8.5 wait)."""


def client(section: Section, settings: Settings | None) -> list[Finding]:
    """Whether upsmon watches the UPS, and is patient enough for it. Blocks."""
    path = section.paths.confpath / "upsmon.conf"
    try:
        lines = words_of(path)
    except PermissionError:
        return [warning("upsmon", f"{path} cannot be read by this user, so it was not looked at", "type the same with sudo")]
    if lines is None:
        text = f"there is no {path}, so nothing shuts this machine down"
        return [warning("upsmon", text, "type: apt install nut-client")]
    found = list(_watch(section, path, lines))
    if settings is not None:
        found.append(_patience(settings, path, lines))
        release = version("upsmon")
        if release in IMPATIENT:
            shown = ".".join(map(str, release))
            text = f"upsmon {shown} does not wait: on battery it shuts down as soon as the data are stale or the driver is gone"
            found.append(warning("deadtime", text, "in an outage restart neither the driver nor upsd"))
    return found


def _watch(section: Section, path: Path, lines: list[tuple[str, ...]]) -> Iterator[Finding]:
    watched = {words[1].partition("@")[0].lower() for words in lines if words[0] == "MONITOR" and len(words) > 2}
    if section.ups.lower() not in watched:
        example = f"MONITOR {section.ups}@localhost 1 USER PASSWORD primary"
        yield warning("upsmon", f"{path} has no MONITOR for {section.ups}: nothing shuts this machine down", f"write: {example}")
    elif not any(words[0] == "SHUTDOWNCMD" for words in lines):
        yield warning("upsmon", f"{path} has no SHUTDOWNCMD", 'write: SHUTDOWNCMD "/sbin/shutdown -h +0"')
    else:
        yield ok("upsmon", f"it watches {section.ups}")


def _patience(settings: Settings, path: Path, lines: list[tuple[str, ...]]) -> Finding:
    """A UPS that is on battery and silent for DEADTIME is taken for empty. Counted from the moment in which the data go stale."""

    def seconds(name: str, default: int) -> int:
        told = next((words[1] for words in reversed(lines) if words[0] == name and len(words) > 1), "")
        return int(told) if told.isdigit() else default

    dead = seconds("DEADTIME", DEADTIME)
    polls = max(seconds("POLLFREQ", POLLFREQ), seconds("POLLFREQALERT", POLLFREQALERT))
    interval, maxage = settings.config.pollinterval, settings.config.maxage
    # When data that have just gone stale are good again, the driver polls once more and upsmon looks once more.
    least, good = interval + polls, max(MISSED * polls, interval + polls)
    all_in_all = f"DEADTIME {dead} s after maxage {maxage} s"
    advice = f"write DEADTIME {good} or more into {path}, then type: upsmon -c reload"
    if dead < least:
        text = f"{all_in_all}: too short for POLLFREQ {polls} s and pollinterval {interval} s, one lost answer shuts down"
        return failed("deadtime", text, advice)
    if dead < good:
        return warning("deadtime", f"{all_in_all}: less than {MISSED} times POLLFREQ {polls} s", advice)
    return ok("deadtime", f"{all_in_all}: on battery, a device silent for {dead + maxage} s is taken for empty")
