# SPDX-License-Identifier: GPL-2.0-or-later
"""An older instance of this driver: asked over its socket, and ended."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import stat
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from nutdrv_py import log
from nutdrv_py.errors import StartError
from nutdrv_py.machine.place import Unsafe, place
from nutdrv_py.nut.messages import InstCmd, Message, NoBroadcast, Request, Set, Tracking, parse_message
from nutdrv_py.nut.parseconf import BadLine, Reader
from nutdrv_py.process.background import PidFile

__all__ = ["ask", "command", "ended", "killpower_running", "listening_pid", "replace_older"]

ANSWER = 3.0
"""Seconds to wait for a running driver to answer over its socket; NUT's own tools wait as long."""

GOODBYE = 5.0
"""Seconds beyond ``looks`` that an older instance gets to end after each way of asking, before the next."""


def _connected(path: Path, timeout: float) -> socket.socket:
    """Connect to the socket at ``path``. A link to another program's socket is not followed: that program would be ended."""
    with place(path) as at:
        found = at.stat()
        if found is not None and not stat.S_ISSOCK(found.st_mode):
            raise Unsafe(f"{at.path} is no socket; type: rm {at.path}")
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(timeout)
            sock.connect(os.fspath(path))
        except BaseException:
            sock.close()
            raise
    return sock


def ask(path: Path, *requests: Request, timeout: float = ANSWER) -> Iterator[Message]:
    """Send the requests to the driver at socket ``path`` and give what it answers, until it closes or time is up.

    Raises OSError when no process listens there.
    """
    deadline = time.monotonic() + timeout
    reader = Reader()
    with _connected(path, timeout) as sock:
        sock.sendall(b"".join(request.encode() for request in requests))
        while (left := deadline - time.monotonic()) > 0:
            sock.settimeout(left)
            try:
                data = sock.recv(65536)
            except (TimeoutError, ConnectionError):
                return
            if not data:
                return
            for line in reader.feed(data):
                message = None if isinstance(line, BadLine) else parse_message(line.words)
                if message is not None:
                    yield message


def command(path: Path, *requests: Request, name: str, timeout: float) -> int | None:
    """Send requests and then INSTCMD ``name`` to a running driver; its result code, None without an answer."""
    tracking = os.urandom(16).hex()
    try:
        for message in ask(path, NoBroadcast(), *requests, InstCmd(name, None, tracking), timeout=timeout):
            if isinstance(message, Tracking) and message.id == tracking:
                return message.code
    except OSError:
        return None
    return None


def killpower_running(path: Path, timeout: float) -> int | None:
    """Ask a running driver to cut the load's power, as ``-k`` does first; its result code, None without an answer."""
    return command(path, Set("driver.flag.allow_killpower", "1"), name="driver.killpower", timeout=timeout)


def listening_pid(path: Path) -> int | None:
    """Return the process that listens on socket ``path``, from the kernel, so that a hanging one is found too; None when none
    does."""
    try:
        with _connected(path, ANSWER) as sock:
            pid, _, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    except OSError:
        return None
    return int(pid) or None


def ended(pid: int, seconds: float) -> bool:
    """Wait at most so many seconds for the end of a process; whether it has ended."""
    deadline = time.monotonic() + seconds
    while _alive(pid):
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.05)
    return True


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    with contextlib.suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return True


def _is_driver(pid: int, progname: str, ups: str) -> bool:
    """Return whether that process is the driver ``progname`` for ``ups``: a pid file may outlive its driver and name a
    stranger."""
    try:
        words = [os.fsdecode(word) for word in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")]
    except OSError:
        return False
    for_ups = any(word == ups or (word.startswith("-") and word.endswith(ups)) for word in words[1:])
    return for_ups and any(os.path.basename(word) == progname for word in words[:4])


def replace_older(socket_path: Path, pid_file: PidFile, progname: str, ups: str, looks: float) -> None:
    """End a driver that runs for the same UPS: asked over the socket, then SIGTERM, then SIGKILL.

    ``looks`` are the seconds that it may need to withdraw what upsmon would hold against its end. A C driver ends at once.

    Without this the old one would go on polling the device, unseen by upsd.
    """
    told = listening_pid(socket_path)
    candidates = {pid for pid in (told, pid_file.read()) if pid is not None and pid != os.getpid()}
    older = {pid for pid in candidates if _alive(pid) and (pid == told or _is_driver(pid, progname, ups))}
    if not older:
        return
    steps: list[tuple[str, Callable[[], object]]] = []
    if told in older:
        steps.append(
            (
                "Duplicate driver instance detected (local Unix socket exists)! Asked the other driver nicely to self-terminate!",
                lambda: command(socket_path, name="driver.exit", timeout=ANSWER),
            )
        )
    for number, text in (
        (signal.SIGTERM, f"Duplicate driver instance detected (PID file {pid_file.path} exists)! Terminating other driver!"),
        (signal.SIGKILL, "The other driver instance does not end; killing it"),
    ):
        steps.append((text, lambda number=number: _signal(older, number)))  # type: ignore[misc]
    for text, act in steps:
        log.log.warning(text)
        act()
        deadline = time.monotonic() + looks + GOODBYE
        if all([ended(pid, max(0.0, deadline - time.monotonic())) for pid in older]):
            return
    raise StartError(f"another {progname} for this UPS (pid {', '.join(map(str, older))}) does not end; stop it first")


def _signal(pids: set[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
