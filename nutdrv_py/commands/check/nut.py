# SPDX-License-Identifier: GPL-2.0-or-later
"""NUT on this machine: where upsdrvctl finds the driver, the driver that runs, upsd, upsmon, nut.conf."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from nutdrv_py.backends.repeater.config import Source
from nutdrv_py.backends.repeater.line import Line, Refusal, available
from nutdrv_py.clock import Clock
from nutdrv_py.commands.install import driver_path, hidden_from
from nutdrv_py.commands.sections import Section, Seen, look
from nutdrv_py.config import Settings
from nutdrv_py.errors import ConfigError, DeviceError
from nutdrv_py.findings import Finding, failed, ok, warning
from nutdrv_py.interpreter import named_interpreter
from nutdrv_py.nut.parseconf import BadLine, parse

__all__ = ["driver", "launcher", "mode", "server", "upsmon"]

PORT = 3493
"""TCP port of upsd (IANA)."""

ANSWER = 5.0
"""Seconds for upsd to answer."""

VERSION = 3.0
"""Seconds for upsdrvctl to say its version."""

CHECKS_NAMES = (2, 8, 3)
"""The first upsdrvctl that leaves alone a process whose executable is not called like the driver."""

DEADTIME, POLLFREQ, POLLFREQALERT = 15, 5, 5
"""upsmon's defaults, in seconds (man upsmon.conf)."""

MISSED = 3
"""Polls of upsmon that DEADTIME should hold (man upsmon.conf: three times the larger of POLLFREQ and POLLFREQALERT)."""

ELSEWHERE = "install nutdrv_py into a place all may read, such as /opt/nutdrv_py, and type there: nutdrv_py install"

MODES = {
    "none": "nothing of NUT is started",
    "netclient": "only upsmon is started, neither drivers nor upsd",
}
"""Values of MODE in nut.conf with which no driver runs."""

# The driver


def launcher(section: Section, user: str) -> list[Finding]:
    """Whether upsdrvctl finds the driver, and whether the driver's user may run it. Blocks."""
    try:
        return list(_launcher(section, user))
    except PermissionError as error:
        return [failed("launcher", f"user {user} may not look at {error.filename}", ELSEWHERE)]


def _launcher(section: Section, user: str) -> Iterator[Finding]:
    told = section.value("driverpath")
    try:
        folder = Path(told) if told else driver_path()
    except ConfigError as error:
        text, _, advice = str(error).partition("; ")
        yield failed("launcher", text, advice)
        return
    place = folder / section.driver
    install = "nutdrv_py install" + (f" --driverpath {folder}" if told else "")
    if not place.exists():
        what = "leads nowhere" if place.is_symlink() else "is not there, where upsdrvctl looks"
        own = "" if section.driver == "nutdrv_py" else f"; then type: ln -s nutdrv_py {place}"
        yield failed("launcher", f"{place} {what}", f"type: {install}{own}")
    elif (blocked := hidden_from(user, place)) is not None:
        yield failed("launcher", f"user {user} may not enter {blocked}, where {place} leads", ELSEWHERE)
    elif not os.access(place, os.X_OK):
        yield failed("launcher", f"{place} may not be executed", f"type: chmod a+rx {place.resolve()}")
    else:
        yield ok("launcher", f"{place} -> {place.resolve()}")
        yield from _interpreter(section.driver, install)


def _interpreter(name: str, install: str) -> Iterator[Finding]:
    version = _upsdrvctl_version()
    if version is None:
        yield warning("upsdrvctl", "it was not found, or does not say its version", "type: apt install nut-server")
        return
    shown = ".".join(map(str, version))
    interpreter = named_interpreter(name)
    if version < CHECKS_NAMES:
        yield ok("upsdrvctl", f"{shown} takes the driver's process by any name")
    elif interpreter.exists():
        yield ok("upsdrvctl", f"{shown} knows the driver by its interpreter {interpreter}")
    else:
        yield warning(
            "upsdrvctl", f"{shown} cannot stop the driver: there is no interpreter {interpreter} of its name", f"type: {install}"
        )


def _upsdrvctl_version() -> tuple[int, ...] | None:
    program = shutil.which("upsdrvctl", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/local/ups/sbin")
    if program is None:
        return None
    try:
        done = subprocess.run([program, "-V"], capture_output=True, text=True, timeout=VERSION, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"\b(\d+)\.(\d+)\.(\d+)", done.stdout + done.stderr)
    return tuple(map(int, found.groups())) if found else None


def driver(section: Section) -> tuple[list[Finding], Seen | None]:
    """Whether the driver runs and what it says. Blocks."""
    start = f"type: upsdrvctl start {section.ups}"
    again = f"type: upsdrvctl stop {section.ups}; upsdrvctl start {section.ups}"
    try:
        seen = look(section.socket)
    except PermissionError:
        return [failed("driver", f"this user may not open {section.socket}", "type the same with sudo")], None
    except OSError:
        return [failed("driver", "it is not running", start)], None
    if seen is None:
        return [failed("driver", f"it does not answer on {section.socket}", again)], None
    if seen.stale:
        text = "it runs, but its data are stale: it does not reach the device"
        return [failed("driver", text, "see the lines above about the device, and its log: journalctl -t nutdrv_py")], seen
    return [ok("driver", f"it runs and says {seen.variables.get('ups.status', 'no status')!r}")], seen


# upsd


def server(section: Section, seen: Seen | None) -> list[Finding]:
    """Whether upsd runs and sees the UPS as its driver does. Blocks."""
    try:
        available()
    except ConfigError:
        text = "it was not asked: the Python package pynut2 is not there"
        return [warning("upsd", text, "type: pip install 'nutdrv_py[client]'")]
    host, port = _listen(section.paths.confpath / "upsd.conf")
    line = Line(Source(section.ups, host, port), Clock())
    line.begin(ANSWER)
    try:
        line.open()
        status = line.ask("GET", "VAR", section.ups, "ups.status")[-1]
    except Refusal as refusal:
        return [_refused(section, refusal, seen)]
    except DeviceError as error:
        # What to do about a server elsewhere is not what to do about our own.
        return [failed("upsd", str(error).partition(";")[0], "type: systemctl enable --now nut-server")]
    finally:
        line.close()
    if status == "WAIT":
        return [warning("upsd", "it has just begun to talk with the driver", "type the same again")]
    if seen is not None and not seen.stale and _supply(status) != _supply(seen.variables.get("ups.status", "")):
        told = seen.variables.get("ups.status", "")
        text = f"it says {status!r}, the driver {told!r}"
        return [warning("upsd", text, "type the same again; if it stays: systemctl restart nut-server")]
    if seen is None and os.access(section.paths.statepath, os.X_OK) and not section.socket.exists():
        text = f"the one on {host}:{port} says {status!r}, but not from this driver: it serves another configuration"
        return [failed("upsd", text, f"type: ss -ltnp 'sport = :{port}'; compare statepath in ups.conf and upsd.conf")]
    return [ok("upsd", f"it runs on {host}:{port} and says {status!r}")]


def _refused(section: Section, refusal: Refusal, seen: Seen | None) -> Finding:
    advice = {
        "UNKNOWN-UPS": "upsd has not read this section yet; type: upsd -c reload",
        "DRIVER-NOT-CONNECTED": f"type: upsdrvctl start {section.ups}" if seen is None
        else f"upsd looks elsewhere than {section.socket}, or may not open it; type: ls -l {section.paths.statepath}, "
        "and restart nut-server",
        "DATA-STALE": "see the line about the driver",
        "ACCESS-DENIED": "let this machine in: LISTEN in upsd.conf",
    }.get(refusal.code, "type: journalctl -u nut-server")  # fmt: skip
    words = {
        "UNKNOWN-UPS": f"it runs, but does not know [{section.ups}]",
        "DRIVER-NOT-CONNECTED": "it runs, but has no connection to the driver",
        "DATA-STALE": "it runs, and finds the data stale",
    }
    return failed("upsd", words.get(refusal.code, str(refusal)), advice)


def _supply(status: str) -> set[str]:
    return set(status.split()) & {"OL", "OB", "OFF"}


def _listen(path: Path) -> tuple[str, int]:
    """Where upsd of this machine can be asked; its default when upsd.conf says nothing or cannot be read."""
    for words in _lines(path) or ():
        if words[0] != "LISTEN" or len(words) < 2 or words[1] == "*":
            continue
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(words[1], words[1])  # noqa: S104
        return host, int(words[2]) if len(words) > 2 and words[2].isdigit() else PORT
    return "127.0.0.1", PORT


# upsmon and nut.conf


def upsmon(section: Section, settings: Settings | None) -> list[Finding]:
    """Whether upsmon watches the UPS, and is patient enough for it. Blocks."""
    path = section.paths.confpath / "upsmon.conf"
    try:
        lines = _lines(path)
    except PermissionError:
        return [warning("upsmon", f"{path} cannot be read by this user, so it was not looked at", "type the same with sudo")]
    if lines is None:
        return [warning("upsmon", f"there is no {path}, so nothing shuts this machine down", "type: apt install nut-client")]
    found = list(_watch(section, path, lines))
    if settings is not None:
        found.append(_patience(settings, path, lines))
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


def mode(section: Section) -> list[Finding]:
    """Whether NUT is switched on at all. Blocks."""
    path = section.paths.confpath / "nut.conf"
    advice = f"write MODE=standalone into {path}, then type: systemctl restart nut-server nut-monitor"
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return [warning("mode", f"there is no {path}", advice)]
    except OSError as error:
        return [warning("mode", f"{path} cannot be read: {error.strerror}", "type the same with sudo")]
    told = re.findall(r"""^\s*(?:export\s+)?MODE=["']?([A-Za-z]*)["']?\s*(?:#.*)?$""", text, re.MULTILINE)
    if not told or not told[-1]:
        return [warning("mode", f"{path} has no MODE", advice)]
    if told[-1] in MODES:
        return [failed("mode", f"MODE={told[-1]} in {path}: {MODES[told[-1]]}", advice)]
    return [ok("mode", f"MODE={told[-1]} in {path}")]


def _lines(path: Path) -> list[tuple[str, ...]] | None:
    """The lines of a file in NUT's grammar, in words; None when it is not there. Raises PermissionError."""
    try:
        data = path.read_bytes()
    except PermissionError:
        raise
    except OSError:
        return None
    return [line.words for line in parse(data) if not isinstance(line, BadLine)]
