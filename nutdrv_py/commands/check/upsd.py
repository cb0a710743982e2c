# SPDX-License-Identifier: GPL-2.0-or-later
"""upsd on this machine: whether it runs, and sees the UPS as its driver does."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from nutdrv_py.backends.repeater.config import Source
from nutdrv_py.backends.repeater.line import Line, Refusal, available
from nutdrv_py.clock import Clock
from nutdrv_py.commands.check.programs import found, words_of
from nutdrv_py.commands.sections import Section, Seen
from nutdrv_py.errors import ConfigError, DeviceError
from nutdrv_py.extras import how_to_get
from nutdrv_py.findings import Finding, failed, ok, warning

__all__ = ["server"]

PORT = 3493
"""TCP port of upsd (IANA)."""

ANSWER = 5.0
"""Seconds for upsd to answer."""

TO_UPSC = {
    "Unknown UPS": "UNKNOWN-UPS",
    "Driver not connected": "DRIVER-NOT-CONNECTED",
    "Data stale": "DATA-STALE",
    "Access denied": "ACCESS-DENIED",
}
"""How upsc words what upsd answers (NUT, clients/upsclient.c)."""


def server(section: Section, seen: Seen | None) -> list[Finding]:
    """Whether upsd runs and sees the UPS as its driver does. Blocks."""
    host, port = _listen(section.paths.confpath / "upsd.conf")
    try:
        status = _status(section.ups, host, port)
    except ConfigError:
        text = "it was not asked: neither the Python package pynut2 nor upsc is there"
        return [warning("upsd", text, how_to_get("client"))]
    except Refusal as refusal:
        return [_refused(section, refusal, seen)]
    except DeviceError as error:
        # What to do about a server elsewhere is not what to do about our own.
        return [failed("upsd", str(error).partition(";")[0], "type: systemctl enable --now nut-server")]
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


def _status(ups: str, host: str, port: int) -> str:
    """What upsd says, asked by pynut2 or, where that is not (Debian has none), by upsc.

    Raises :class:`Refusal` and other kinds of :class:`DeviceError`; :class:`ConfigError` when there is nothing to ask with.
    """
    try:
        available()
    except ConfigError:
        program = found("upsc")
        if program is None:
            raise
        return _said_to_upsc(program, f"{ups}@[{host}]:{port}" if ":" in host else f"{ups}@{host}:{port}")
    line = Line(Source(ups, host, port), Clock())
    line.begin(ANSWER)
    try:
        line.open()
        return line.ask("GET", "VAR", ups, "ups.status")[-1]
    finally:
        line.close()


def _said_to_upsc(program: str, address: str) -> str:
    try:
        done = subprocess.run([program, address, "ups.status"], capture_output=True, text=True, timeout=ANSWER, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        raise DeviceError(f"{address} does not answer {program}") from error
    if done.returncode == 0:
        return done.stdout.strip()
    reason = next((line.partition("Error: ")[2] for line in done.stderr.splitlines() if "Error: " in line), "no answer")
    if reason in TO_UPSC:
        raise Refusal(reason, TO_UPSC[reason])
    raise DeviceError(f"{address}: {reason}")


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
    for words in words_of(path) or ():
        if words[0] != "LISTEN" or len(words) < 2 or words[1] == "*":
            continue
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(words[1], words[1])  # noqa: S104
        return host, int(words[2]) if len(words) > 2 and words[2].isdigit() else PORT
    return "127.0.0.1", PORT
