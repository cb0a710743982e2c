# SPDX-License-Identifier: GPL-2.0-or-later
"""upsd on this machine: whether it runs, and sees the UPS as its driver does."""

from __future__ import annotations

import os
from collections.abc import Iterator

from nutdrv_py.backends.repeater.config import Source
from nutdrv_py.backends.repeater.line import Refusal
from nutdrv_py.commands.check.server import HERE, Server, listens
from nutdrv_py.commands.check.who import Who, unreadable
from nutdrv_py.commands.sections import Section, Seen
from nutdrv_py.device.findings import Finding, failed, ok, warning
from nutdrv_py.errors import ConfigError, DeviceError
from nutdrv_py.machine.extras import how_to_get

__all__ = ["server"]


def server(section: Section, seen: Seen | None, who: Who) -> list[Finding]:
    """Report whether upsd runs and sees the UPS as its driver does. Blocks."""
    return list(_server(section, seen, who))


def _server(section: Section, seen: Seen | None, who: Who) -> Iterator[Finding]:
    path = section.paths.confpath / "upsd.conf"
    place = HERE
    try:
        place = listens(path)[0]
    except PermissionError:
        yield unreadable("upsd", path, who)
    host, port = place
    asked = Server(Source(section.ups, host, port))
    try:
        status = asked.variable("ups.status")
        yield _compare(section, seen, asked, status)
    except ConfigError:
        text = "it was not asked: neither the Python package pynut2 nor upsc is there"
        yield warning("upsd", text, how_to_get("client"))
    except Refusal as refusal:
        yield _refused(section, refusal, seen)
    except DeviceError as error:
        # What to do about a server elsewhere is not what to do about our own.
        advice = "type: systemctl enable --now nut-server; if it runs already: journalctl -u nut-server"
        yield failed("upsd", str(error).partition(";")[0], advice)


def _compare(section: Section, seen: Seen | None, asked: Server, status: str) -> Finding:
    name = asked.driver()
    if name is not None and name != section.driver:
        return _other_driver(section, name)
    if status == "WAIT":
        return warning("upsd", "it has just begun to talk with the driver", "type the same again")
    if seen is not None and not seen.stale and _supply(status) != _supply(seen.variables.get("ups.status", "")):
        told = seen.variables.get("ups.status", "")
        text = f"it says {status!r}, the driver {told!r}"
        return warning("upsd", text, "type the same again; if it stays: systemctl restart nut-server")
    host, port = asked.source.host, asked.source.port
    if seen is None and os.access(section.paths.statepath, os.X_OK) and not section.socket.exists():
        text = f"the one on {host}:{port} says {status!r}, but not from this driver: it serves another configuration"
        return failed("upsd", text, f"type: ss -ltnp 'sport = :{port}'; compare statepath in ups.conf and upsd.conf")
    return ok("upsd", f"it runs on {host}:{port} and says {status!r}")


def _other_driver(section: Section, name: str) -> Finding:
    socket = section.paths.statepath / f"{name}-{section.ups}"
    return failed(
        "upsd", f"it serves [{section.ups}] from the driver {name}, not from {section.driver}: {name} was never stopped, and "
        "upsd has not read ups.conf since",
        # upsdrvctl knows only the driver that ups.conf names now.
        f"type: systemctl restart nut-driver@{section.ups} nut-server; if {name} was started by hand, end the process that "
        f"holds {socket} (ss -xlp names it), then type: upsd -c reload",
    )  # fmt: skip


def _refused(section: Section, refusal: Refusal, seen: Seen | None) -> Finding:
    advice = {
        "UNKNOWN-UPS": "upsd has not read this section yet; type: upsd -c reload",
        "DRIVER-NOT-CONNECTED": f"type: upsdrvctl start {section.ups}" if seen is None
        else "upsd may not have read ups.conf since the driver was changed; type: upsd -c reload; if it stays, upsd looks "
        f"elsewhere than {section.socket}, or may not open it; type: ls -l {section.paths.statepath}, and restart nut-server",
        "DATA-STALE": "see the line about the driver" if seen is None or seen.stale
        else "the driver has good data: type the same again; if it stays, upsd may listen to another driver of that name; type: "
        f"systemctl restart nut-driver@{section.ups} nut-server",
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
