# SPDX-License-Identifier: GPL-2.0-or-later
"""upsmon on this machine: whether it shuts the machine down for the UPS, and is patient enough with it."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nutdrv_py.backends.repeater.config import Source, source
from nutdrv_py.commands.check.programs import version, words_of
from nutdrv_py.commands.check.server import HERE, Server, listens
from nutdrv_py.commands.check.who import Who, unreadable
from nutdrv_py.commands.sections import Section
from nutdrv_py.core.settings import Settings
from nutdrv_py.device.findings import Finding, Level, failed, ok, warning
from nutdrv_py.errors import ConfigError, DeviceError

__all__ = ["client"]

LATE = 2
"""Seconds until upsd has the driver's values, and a look of upsmon has its answer."""

DEADTIME, POLLFREQ, POLLFREQALERT = 15, 5, 5
"""upsmon's defaults, in seconds (man upsmon.conf)."""

MINSUPPLIES = 1
"""upsmon's default: the power values that must be good, or it shuts down (man upsmon.conf)."""

MISSED = 3
"""Polls of upsmon that DEADTIME should hold (man upsmon.conf: three times the larger of POLLFREQ and POLLFREQALERT)."""

IMPATIENT = ((2, 8, 1),)
"""Releases whose upsmon does not wait for DEADTIME (docs/upsmon.md; measured, 2.8.0 and 2.8.5 wait)."""

WORDS = 6
"""Words of MONITOR system powervalue user password type; upsmon leaves a line with fewer out."""

Lines = Sequence[tuple[str, ...]]


def client(section: Section, settings: Settings | None, who: Who) -> list[Finding]:
    """Report whether upsmon shuts down for the UPS, and is patient enough with it. Blocks."""
    path = section.paths.confpath / "upsmon.conf"
    try:
        lines = words_of(path)
    except PermissionError:
        return [unreadable("upsmon", path, who)]
    if lines is None:
        text = f"there is no {path}, so nothing shuts this machine down"
        return [warning("upsmon", text, "type: apt install nut-client")]
    found = list(_watch(section, path, lines))
    if settings is not None:
        found.append(_patience(settings, path, lines))
        found.append(_looks(settings, path, lines))
        release = version("upsmon")
        if release in IMPATIENT:
            shown = ".".join(map(str, release))
            text = f"upsmon {shown} does not wait: on battery it shuts down as soon as the data are stale or the driver is gone"
            found.append(warning("deadtime", text, "in an outage restart neither the driver nor upsd"))
    return found


# Does it shut down for this UPS?


@dataclass(frozen=True, slots=True)
class _Monitor:
    """A whole MONITOR line."""

    system: str
    power: int
    source: Source


def _monitors(lines: Lines) -> list[_Monitor]:
    """Return what upsmon watches: of several lines for the same the first counts."""
    found: dict[str, _Monitor] = {}
    for words in lines:
        if words[0] == "MONITOR" and len(words) >= WORDS:
            try:
                place = source(words[1])
            except ConfigError:
                place = Source(words[1], "", 0)
            found.setdefault(words[1], _Monitor(words[1], _number(words[2]), place))
    return list(found.values())


def _watch(section: Section, path: Path, lines: Lines) -> Iterator[Finding]:
    example = f"MONITOR {section.ups}@localhost 1 USER PASSWORD primary"
    monitors = _monitors(lines)
    mine = [monitor for monitor in monitors if _same(monitor.source.ups, section.ups)]
    if not mine:
        cut = [words for words in lines if words[0] == "MONITOR" and _same("".join(words[1:2]).partition("@")[0], section.ups)]
        if cut:
            text = f"upsmon leaves out the MONITOR line of {section.ups} in {path}: it has {len(cut[0])} words, not {WORDS}"
            yield failed("upsmon", f"{text}, so nothing shuts this machine down", f"write: {example}")
        else:
            text = f"{path} has no MONITOR for {section.ups}: nothing shuts this machine down"
            yield warning("upsmon", text, f"write: {example}")
        return
    monitor = next((one for one in mine if one.source.local), mine[0])
    wrong = [*_power(monitor, monitors, path, lines), *_command(path, lines)]
    yield from wrong
    if monitor.power > 0 and not any(finding.level is Level.FAILED for finding in wrong):
        seen = _logged_in(section, monitor)
        if seen.level is not Level.OK or not wrong:
            yield seen


def _power(monitor: _Monitor, monitors: Sequence[_Monitor], path: Path, lines: Lines) -> Iterator[Finding]:
    total = sum(one.power for one in monitors)
    least = _setting(lines, "MINSUPPLIES", MINSUPPLIES)
    if total < least:
        yield failed(
            "upsmon", f"it does not start: the power values in {path} add up to {total}, MINSUPPLIES is {least}",
            f"give each UPS that feeds this machine a power value of 1, as in MONITOR {monitor.system} 1 USER PASSWORD primary"
            + (f", or write MINSUPPLIES {total}" if total > 0 else ""),
        )  # fmt: skip
    elif monitor.power < 1:
        text = f"it only watches {monitor.system}, because the power value is {monitor.power}: it shuts nothing down for it"
        yield warning("upsmon", text, f"in {path} write 1 behind MONITOR {monitor.system}")
    elif least < 1:
        text = f"MINSUPPLIES is {least}: it shuts this machine down for no UPS at all"
        yield warning("upsmon", text, f"write MINSUPPLIES 1 into {path}")
    elif total - monitor.power >= least:
        yield warning(
            "upsmon", f"{monitor.system} alone does not shut this machine down: MINSUPPLIES is {least}, and the others have "
            f"{total - monitor.power} together",
            f"if this machine hangs on {monitor.system} alone, write MINSUPPLIES {total - monitor.power + 1} into {path}",
        )  # fmt: skip


def _command(path: Path, lines: Lines) -> Iterator[Finding]:
    told = [words[1] for words in lines if words[0] == "SHUTDOWNCMD" and len(words) > 1]
    if not told or not told[-1].strip():
        text = f"{path} has no SHUTDOWNCMD" + (" with a command" if any(words[0] == "SHUTDOWNCMD" for words in lines) else "")
        yield warning("upsmon", f"{text}: upsmon would only say that it shuts down", 'write: SHUTDOWNCMD "/sbin/shutdown -h +0"')


def _logged_in(section: Section, monitor: _Monitor) -> Finding:
    """Report whether upsd knows an upsmon that counts on the UPS: a wrong password shows nowhere else."""
    place = monitor.source
    told: list[tuple[str, int]] | None
    try:
        told = listens(section.paths.confpath / "upsd.conf")
    except PermissionError:
        told = None
    try:
        clients = Server(place if place.local else Source(place.ups, *(told or [HERE])[0])).clients()
    except ConfigError:
        return ok("upsmon", f"it is told to watch {monitor.system}; upsd could not be asked whether it does, see above")
    except DeviceError as error:
        if not place.local:
            return _elsewhere(monitor, told)
        text = f"it is told to watch {monitor.system}, where it finds nothing ({str(error).partition(';')[0]})"
        return warning("upsmon", text, "see the line about upsd; the address behind MONITOR must be one of LISTEN in upsd.conf")
    if not _here(place, told, clients):
        return _elsewhere(monitor, told)
    ours = [address for address in clients if not place.local or _loopback(address)]
    if not ours:
        others = f" (only {', '.join(clients)})" if clients else ""
        text = f"no upsmon of this machine is logged in for {section.ups}{others}: it does not run, or its password is wrong"
        return warning("upsmon", text, "type: systemctl status nut-monitor; journalctl -u nut-monitor")
    return ok("upsmon", f"it watches {monitor.system} and is logged in")


def _elsewhere(monitor: _Monitor, told: list[tuple[str, int]] | None) -> Finding:
    host, port = (told or [HERE])[0]
    return warning(
        "upsmon", f"it watches {monitor.system}, not this machine's upsd on {host}:{port}; that may be meant so",
        f"type: upsc {monitor.system} ups.status; if this machine's is meant, write localhost behind the @, with :{port}",
    )  # fmt: skip


def _here(place: Source, told: list[tuple[str, int]] | None, clients: Sequence[str]) -> bool:
    """Return whether the server is this machine's, as far as is known without asking a name service."""
    if told is not None and place.port not in {port for _, port in told}:
        return False
    names = {os.uname().nodename.lower(), os.uname().nodename.partition(".")[0].lower()}
    # A client that connects to this machine by an address of it comes from that address.
    return place.local or place.host.lower() in names | {host.lower() for host, _ in told or ()} | set(clients)


def _loopback(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    inner = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (inner or parsed).is_loopback


def _same(one: str, other: str) -> bool:
    # upsd takes names in any case.
    return one.lower() == other.lower()


def _number(text: str) -> int:
    """Return the number as C's atoi reads it."""
    found = re.match(r"\s*([+-]?[0-9]{1,9})", text)
    return int(found.group(1)) if found else 0


def _setting(lines: Lines, name: str, default: int) -> int:
    told = next((words[1] for words in reversed(lines) if words[0] == name and len(words) > 1), None)
    return default if told is None else _number(told)


# Is it patient enough?


def _patience(settings: Settings, path: Path, lines: Lines) -> Finding:
    """Report whether DEADTIME is long enough. It begins when the data go stale; then upsmon takes a UPS on battery for empty."""
    dead = _setting(lines, "DEADTIME", DEADTIME)
    polls = max(_setting(lines, "POLLFREQ", POLLFREQ), _setting(lines, "POLLFREQALERT", POLLFREQALERT))
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


def _looks(settings: Settings, path: Path, lines: Lines) -> Finding:
    """Report whether ``looks`` is long enough: upsmon must see that an alarm was withdrawn before the UPS falls silent."""
    polls = max(_setting(lines, "POLLFREQ", POLLFREQ), _setting(lines, "POLLFREQALERT", POLLFREQALERT))
    least, looks = polls + LATE, settings.config.looks
    text = f"looks {looks} s, upsmon looks each {polls} s"
    if looks < least:
        return warning(
            "looks", f"{text}: it may miss that an alarm was withdrawn, and shut down when the driver is stopped on the grid",
            f"write looks = {least} into the section of ups.conf, or POLLFREQ {max(1, looks - LATE)} into {path}",
        )  # fmt: skip
    return ok("looks", text)
