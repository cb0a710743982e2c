# SPDX-License-Identifier: GPL-2.0-or-later
"""NUT on this machine: where upsdrvctl finds the driver, the driver that runs, nut.conf."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from nutdrv_py.commands.check.programs import version
from nutdrv_py.commands.check.who import Who, unreadable
from nutdrv_py.commands.install import hidden_from
from nutdrv_py.commands.sections import Section, Seen, look
from nutdrv_py.device.findings import Finding, Level, failed, ok, warning
from nutdrv_py.errors import ConfigError
from nutdrv_py.machine.launcher import driver_path
from nutdrv_py.process.interpreter import named_interpreter

__all__ = ["driver", "launcher", "mode"]

CHECKS_NAMES = (2, 8, 3)
"""The first upsdrvctl that leaves alone a process whose executable is not called like the driver."""

ELSEWHERE = "install nutdrv_py into a place all may read, such as /opt/nutdrv_py, and type there: nutdrv_py install"

# fmt: off
MODES = {   # values of MODE in nut.conf: how good, and what it means (man nut.conf; the last two in newer releases)
    "standalone": (Level.OK,      ""),
    "netserver":  (Level.OK,      ""),
    "none":       (Level.FAILED,  ": nothing of NUT is started"),
    "netclient":  (Level.FAILED,  ": only upsmon is started, neither drivers nor upsd"),
    "controlled": (Level.WARNING, ": something else than NUT's own services must start drivers and upsd"),
    "manual":     (Level.WARNING, ": something else than NUT's own services must start drivers and upsd"),
}
# fmt: on
UNKNOWN = (Level.WARNING, " is no mode of NUT's: drivers and upsd may not be started")

_MODE = re.compile(r"""^[ \t]*(?:export[ \t]+)?MODE=["']?([^\s"'#;]*)""", re.MULTILINE)

# The driver


def launcher(section: Section, user: str) -> list[Finding]:
    """Report whether upsdrvctl finds the driver, and whether the driver's user may run it. Blocks."""
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
    release = version("upsdrvctl")
    if release is None:
        text = "it was not found, or does not say its version"
        yield warning("upsdrvctl", text, "type: apt install nut-server (Fedora: nut)")
        return
    shown = ".".join(map(str, release))
    interpreter = named_interpreter(name)
    if release < CHECKS_NAMES:
        yield ok("upsdrvctl", f"{shown} takes the driver's process by any name")
    elif interpreter.exists():
        yield ok("upsdrvctl", f"{shown} knows the driver by its interpreter {interpreter}")
    else:
        yield warning(
            "upsdrvctl", f"{shown} cannot stop the driver: there is no interpreter {interpreter} of its name", f"type: {install}"
        )


def driver(section: Section) -> tuple[list[Finding], Seen | None]:
    """Report whether the driver runs; return its values, too. Blocks."""
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
        advice = f"see the lines above about the device, and the driver's log: journalctl -t {section.driver}"
        return [failed("driver", text, advice)], seen
    return [ok("driver", f"it runs and says {seen.variables.get('ups.status', 'no status')!r}"), *_low_battery(seen)], seen


def _low_battery(seen: Seen) -> list[Finding]:
    """Report whether LB can come: a UPS without it shuts nothing down before its battery is empty."""
    detection = seen.variables.get("experimental.lowbattery.detection", "")
    if not detection:
        return []
    if detection.startswith("possible"):
        return [ok("lowbattery", detection)]
    advice = "if upsc shows battery.charge, write lowbatt = 20 into the section; if only battery.runtime, write "
    text = "the device reports neither a charge nor a runtime that has a low mark: LB never comes"
    return [failed("lowbattery", text, f"{advice}default.battery.runtime.low = 300")]


# nut.conf


def mode(section: Section, who: Who) -> list[Finding]:
    """Report whether NUT is switched on at all. Blocks."""
    path = section.paths.confpath / "nut.conf"
    advice = f"write MODE=standalone into {path}, then type: systemctl restart nut-server nut-monitor"
    try:
        text = path.read_bytes().decode("utf-8", "replace")
    except FileNotFoundError:
        return [warning("mode", f"there is no {path}", advice)]
    except PermissionError:
        return [unreadable("mode", path, who)]
    except OSError as error:
        return [warning("mode", f"{path} cannot be read: {error.strerror}", advice)]
    told = _MODE.findall(text)
    if not told or not told[-1].strip():
        return [warning("mode", f"{path} has no MODE", advice)]
    if "\r" in text:
        # Shells source this file, to which a carriage return is a part of the word.
        text = f"the lines of {path} end in carriage returns, so MODE={told[-1]} is not understood"
        return [warning("mode", text, f"type: sed -i 's/\\r$//' {path}; then type the same again")]
    level, meaning = MODES.get(told[-1], UNKNOWN)
    return [Finding(level, "mode", f"MODE={told[-1]} in {path}{meaning}", "" if level is Level.OK else advice)]
