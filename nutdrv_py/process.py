# SPDX-License-Identifier: GPL-2.0-or-later
"""The process around the driver: user, background, pid file, an older instance, systemd.

What a C driver does in main.c, with the differences that Python asks for: the fork comes before threads, event loop and
TLS, and a pipe tells the parent when the child serves data.
"""

from __future__ import annotations

import asyncio
import contextlib
import grp
import os
import pwd
import signal
import socket
import struct
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from nutdrv_py import log
from nutdrv_py.errors import StartError
from nutdrv_py.nut.messages import InstCmd, Message, NoBroadcast, Request, Set, Tracking, parse_message
from nutdrv_py.nut.parseconf import BadLine, Reader

__all__ = [
    "PidFile",
    "ask",
    "background",
    "drop_privileges",
    "group_id",
    "notify",
    "own_group",
    "replace_older",
    "tell_status",
    "watched",
]

ANSWER = 3.0
"""Seconds to wait for a running driver to answer over its socket; NUT's own tools wait as long."""

GOODBYE = 5.0
"""Seconds an older instance gets to end after each way of asking, before the next; together less than upsdrvctl waits."""

NOTIFY = 0.2
"""Seconds that systemd's socket may hold up the event loop, and with it upsd's PING."""

STATUS_EVERY = 5.0
"""Seconds between two STATUS= lines to systemd, at least."""

# User and group


def group_id(name: str) -> int:
    """The id of a group; :class:`StartError` when there is none of that name."""
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise StartError(f"OS group {name} not found; create it or change `group =`") from None


def own_group(user: str) -> str | None:
    """The name of the primary group of ``user``; None when there is no such user."""
    try:
        return grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name
    except KeyError:
        return None


def drop_privileges(user: str) -> None:
    """Become ``user`` with its primary group and its other groups, when started as root; else nothing.

    Raises :class:`StartError` when the user does not exist.
    """
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        if os.geteuid() != 0:
            return
        raise StartError(f"OS user {user} not found; install NUT's packages, or name another with `user =` or -u") from None
    if os.geteuid() != 0 or account.pw_uid == 0:
        return
    os.initgroups(account.pw_name, account.pw_gid)
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)


# Background


class Ready:
    """The child's end of the pipe on which the parent waits; a no-op in the foreground."""

    def __init__(self, fd: int | None = None) -> None:
        self._fd = fd

    def tell(self) -> None:
        """The socket listens and the first state can be served: let the parent exit 0."""
        if self._fd is not None:
            with contextlib.suppress(OSError):
                os.write(self._fd, b"0")
            os.close(self._fd)
            self._fd = None

    def detach(self) -> None:
        """Close the terminal; call it just before :meth:`tell`, so that a failed start can still be read there."""
        if self._fd is None:
            return
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            if fd == 2 and os.environ.get("NUT_DEBUG_SYSLOG") == "stderr":
                continue
            os.dup2(null, fd)
        os.close(null)


def background() -> Ready:
    """Fork: the parent stays in here until the child is ready, then exits 0, or 1 if the child died; the child returns.

    Threads, event loop and TLS must not exist yet.
    """
    receiving, sending = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        os.close(sending)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, frame: os.kill(child, number))
        ready = b""
        while True:
            try:
                ready = os.read(receiving, 1)
                break
            except InterruptedError:
                continue
        if ready:
            os._exit(0)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(child, 0)
        os._exit(1)
    os.close(receiving)
    if os.environ.get("WATCHDOG_PID") == str(os.getppid()):
        os.environ["WATCHDOG_PID"] = str(os.getpid())
    os.setsid()
    return Ready(sending)


class PidFile:
    """``<pid>\\n`` at ``path``, mode 0644; removed at the end only if the number in it is still ours."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self) -> None:
        """Write the file; a failure is only logged, as in main.c."""
        try:
            new = self.path.with_name(f".{self.path.name}.{os.getpid()}")
            fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            with os.fdopen(fd, "w") as file:
                os.fchmod(file.fileno(), 0o644)
                file.write(f"{os.getpid()}\n")
            new.replace(self.path)
        except OSError as error:
            log.log.warning("writepid: fopen %s: %s", self.path, error.strerror)

    def read(self) -> int | None:
        """The number in the file, None when there is none."""
        try:
            number = int(self.path.read_text(encoding="ascii").strip())
        except (OSError, ValueError):
            return None
        return number if number > 1 else None

    def remove(self) -> None:
        """Remove the file if it is ours."""
        if self.read() == os.getpid():
            with contextlib.suppress(OSError):
                self.path.unlink()


# An older instance


def ask(path: Path, *requests: Request, timeout: float = ANSWER) -> Iterator[Message]:
    """Send the requests to the driver at socket ``path`` and give what it answers, until it closes or time is up.

    Raises OSError when nobody listens there.
    """
    deadline = time.monotonic() + timeout
    reader = Reader()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout)
        sock.connect(os.fspath(path))
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
    tracking = str(uuid.uuid4())
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
    """The process that listens on socket ``path``, as the kernel tells, so a hanging one is found too; None when nobody does."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(ANSWER)
            sock.connect(os.fspath(path))
            pid, _, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    except OSError:
        return None
    return int(pid) or None


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
    """Whether that process is the driver ``progname`` for ``ups``: a pid file may outlive its driver and name a stranger."""
    try:
        words = [os.fsdecode(word) for word in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")]
    except OSError:
        return False
    for_ups = any(word == ups or (word.startswith("-") and word.endswith(ups)) for word in words[1:])
    return for_ups and any(os.path.basename(word) == progname for word in words[:4])


def replace_older(socket_path: Path, pid_file: PidFile, progname: str, ups: str) -> None:
    """End a driver that runs for the same UPS: asked over the socket, then SIGTERM, then SIGKILL.

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
        deadline = time.monotonic() + GOODBYE
        while time.monotonic() < deadline:
            if not any(map(_alive, older)):
                return
            time.sleep(0.05)
    raise StartError(f"another {progname} for this UPS (pid {', '.join(map(str, older))}) does not end; stop it first")


def _signal(pids: set[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


# systemd


def notify(*assignments: str) -> None:
    """Send ``READY=1`` and the like to systemd (man sd_notify); nothing without ``NOTIFY_SOCKET``."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address or address[0] not in "@/":
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(NOTIFY)
        sock.sendto("\n".join(assignments).encode(), "\0" + address[1:] if address[0] == "@" else address)


async def tell_status(summary: Callable[[], str]) -> None:
    """Send ``STATUS=`` with what ``summary`` says, whenever that has changed; until it is cancelled."""
    told = ""
    while True:
        await asyncio.sleep(STATUS_EVERY)
        text = summary()
        if text != told:
            notify(f"STATUS={text}")
            told = text


def monotonic_usec() -> str:
    """``MONOTONIC_USEC=...`` as systemd wants it with RELOADING=1."""
    return f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}"


def watched() -> bool:
    """Whether systemd wants ``WATCHDOG=1`` from this process."""
    usec = os.environ.get("WATCHDOG_USEC", "")
    return usec.isdigit() and int(usec) > 0 and os.environ.get("WATCHDOG_PID") in (None, str(os.getpid()))
