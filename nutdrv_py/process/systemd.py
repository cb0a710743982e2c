# SPDX-License-Identifier: GPL-2.0-or-later
"""Notify systemd: sd_notify without its library."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from nutdrv_py.log import log

__all__ = ["ASK_SOON", "job", "monotonic_usec", "notify", "restarts", "tell_status", "unit_of", "watched"]

NOTIFY = 0.2
"""Seconds that systemd's socket may hold up the event loop, and with it upsd's PING."""

ASK = 8.0
"""Seconds that systemctl may take: a machine may be short of time in an outage. Two of them are within TimeoutStopSec."""

ASK_SOON = 2.0
"""The same for a driver that ends: upsdrvctl kills it after 5 s, and two of them must be over by then."""

STATUS_EVERY = 5.0
"""Minimum seconds between two STATUS= lines to systemd."""


def notify(*assignments: str) -> None:
    """Send ``READY=1`` and the like to systemd (man sd_notify); nothing without ``NOTIFY_SOCKET``."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address or address[0] not in "@/":
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(NOTIFY)
        sock.sendto("\n".join(assignments).encode(), "\0" + address[1:] if address[0] == "@" else address)


async def tell_status(summary: Callable[[], str]) -> None:
    """Send ``STATUS=`` with the text of ``summary`` whenever it has changed, until cancelled."""
    told = ""
    while True:
        await asyncio.sleep(STATUS_EVERY)
        text = summary()
        if text != told:
            notify(f"STATUS={text}")
            told = text


def monotonic_usec() -> str:
    """Return ``MONOTONIC_USEC=...`` as systemd wants it with RELOADING=1."""
    return f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}"


def watched() -> bool:
    """Return whether systemd wants ``WATCHDOG=1`` from this process."""
    usec = os.environ.get("WATCHDOG_USEC", "")
    return usec.isdigit() and int(usec) > 0 and os.environ.get("WATCHDOG_PID") in (None, str(os.getpid()))


def _unit() -> str:
    return unit_of(Path("/proc/self/cgroup").read_text(encoding="utf-8"))


def unit_of(cgroup: str) -> str:
    """Return the service that /proc/PID/cgroup names (man cgroups). Raises ValueError when it is none."""
    lines = [line for line in cgroup.splitlines() if line.startswith("0::") or ":name=systemd:" in line]
    for name in (line.rpartition("/")[2] for line in lines):
        if name.endswith(".service"):
            return name
    raise ValueError("the process is in no service")


def _asked(seconds: float, *words: str) -> str:
    return subprocess.run(["systemctl", "--no-pager", *words], capture_output=True, text=True, timeout=seconds, check=True).stdout


def job(seconds: float = ASK) -> str | None:
    """Return what systemd does with this process's unit: ``stop``, ``restart``; empty for nothing, None when it is not known.

    systemctl has ``seconds`` for its answer.
    """
    if "INVOCATION_ID" not in os.environ:
        return None
    try:
        unit, listed = _unit(), _asked(seconds, "list-jobs", "--no-legend", "--plain", "--full")
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        text = "systemd cannot be asked whether it starts this unit again (%s), so it counts as stopped for good"
        log.warning(text, type(error).__name__)
        return None
    jobs = [line.split() for line in listed.splitlines()]
    return next((words[2] for words in jobs if len(words) > 2 and words[1] == unit), "")


def restarts(seconds: float = ASK) -> bool:
    """Return whether systemd starts this unit again at once: it was asked to, or it is not being stopped and has a
    ``Restart=``. It is asked twice, with ``seconds`` for each answer."""
    doing = job(seconds)
    if doing in (None, "stop", "restart"):
        return doing == "restart"
    # A start whose process died before it was ready is still listed, and ``Restart=`` holds for it too.
    try:
        wanted = _asked(seconds, "show", "--property=Restart", "--value", _unit()).strip()
    except (OSError, ValueError, subprocess.SubprocessError):
        return False
    died = os.environ.get("SERVICE_RESULT", "success") != "success"
    return wanted == "always" or (died and wanted not in ("", "no", "on-success"))
