# SPDX-License-Identifier: GPL-2.0-or-later
"""upsd asked of one UPS: by pynut2 or, where that is not (Debian has none), by upsc. Everything here blocks."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from nutdrv_py.backends.repeater.config import PORT, Source
from nutdrv_py.backends.repeater.line import Line, Refusal, available
from nutdrv_py.clock import Clock
from nutdrv_py.commands.check.programs import found, words_of
from nutdrv_py.errors import ConfigError, DeviceError

__all__ = ["HERE", "Server", "listens"]

ANSWER = 5.0
"""Seconds for upsd to answer."""

HERE = ("127.0.0.1", PORT)
"""Where upsd listens when upsd.conf names nothing (man upsd.conf)."""

ANY = {"*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
"""Addresses of LISTEN that mean all of them, and where such a server is asked."""

TO_UPSC = {
    "Unknown UPS": "UNKNOWN-UPS",
    "Driver not connected": "DRIVER-NOT-CONNECTED",
    "Data stale": "DATA-STALE",
    "Access denied": "ACCESS-DENIED",
    "Variable not supported by UPS": "VAR-NOT-SUPPORTED",
}
"""How upsc words what upsd answers (NUT, clients/upsclient.c)."""

T = TypeVar("T")


def listens(path: Path) -> list[tuple[str, int]]:
    """Return where upsd of this machine can be asked, from upsd.conf; never empty. Raises PermissionError."""
    told: list[tuple[str, int]] = []
    for words in words_of(path) or ():
        if words[0] == "LISTEN" and len(words) > 1:
            port = int(words[2]) if len(words) > 2 and re.fullmatch("[0-9]{1,5}", words[2]) else PORT
            told.append((ANY.get(words[1], words[1]), port if 0 < port < 0x10000 else PORT))
    return told or [HERE]


@dataclass(frozen=True, slots=True)
class Server:
    """A upsd, asked of a UPS.

    Each question raises :class:`Refusal` and other kinds of :class:`DeviceError`, and :class:`ConfigError` when there is
    nothing to ask with.
    """

    source: Source

    def variable(self, name: str) -> str:
        """Return a variable of the UPS."""
        program = _upsc()
        if program is not None:
            return _said(program, str(self.source), name).strip()
        return self._line(lambda line: line.ask("GET", "VAR", self.source.ups, name)[-1])

    def driver(self) -> str | None:
        """Return the name of the driver that upsd has the UPS from; None when it does not publish it."""
        try:
            return self.variable("driver.name") or None
        except DeviceError:
            return None

    def clients(self) -> list[str]:
        """Return the addresses of the clients that are logged in for the UPS: each upsmon that has it among its supplies."""
        program = _upsc()
        if program is not None:
            return _said(program, "-c", str(self.source)).split()
        return self._line(lambda line: [row[0] for row in line.rows("CLIENT")])

    def _line(self, ask: Callable[[Line], T]) -> T:
        line = Line(self.source, Clock())
        line.begin(ANSWER)
        try:
            line.open()
            return ask(line)
        finally:
            line.close()


def _upsc() -> str | None:
    """Return the path of upsc, where it is needed; None where pynut2 is there. Raises :class:`ConfigError` when neither is."""
    try:
        available()
    except ConfigError:
        program = found("upsc")
        if program is None:
            raise
        return program
    return None


def _said(program: str, *words: str) -> str:
    address = words[-1] if words[0] == "-c" else words[0]
    try:
        done = subprocess.run([program, *words], capture_output=True, text=True, timeout=ANSWER, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        raise DeviceError(f"{address} does not answer {program}") from error
    if done.returncode == 0:
        return done.stdout
    reason = next((line.partition("Error: ")[2] for line in done.stderr.splitlines() if "Error: " in line), "no answer")
    if reason in TO_UPSC:
        raise Refusal(reason, TO_UPSC[reason])
    raise DeviceError(f"{address}: {reason}")
