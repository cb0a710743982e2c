# SPDX-License-Identifier: GPL-2.0-or-later
"""The process around the driver: its user, the background, the pid file.

What a C driver does in main.c, with the differences that Python asks for: the fork comes before threads, event loop and
TLS, and the child reports through a pipe that it serves data.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import resource
import signal
import sys
from pathlib import Path

from nutdrv_py import log
from nutdrv_py.errors import StartError
from nutdrv_py.machine.files import read, remove, replace
from nutdrv_py.machine.owners import keeper
from nutdrv_py.machine.paths import layout

__all__ = ["PidFile", "Ready", "background", "become_keeper", "drop_privileges", "forbid_dumps", "group_id", "own_group"]

_MOST_DIGITS = 32  # bytes of a pid file

# User and group


def group_id(name: str) -> int:
    """Return the id of a group; :class:`StartError` when there is none of that name."""
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise StartError(f"OS group {name} not found; create it or change `group =`") from None


def own_group(user: str) -> str | None:
    """Return the name of the primary group of ``user``; None when there is no such user."""
    try:
        return grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name
    except KeyError:
        return None


def drop_privileges(user: str) -> None:
    """Become ``user`` with its primary group and its other groups, when started as root. A crash leaves no core dump.

    Raises :class:`StartError` when the user does not exist.
    """
    forbid_dumps()
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


def become_keeper(path: Path) -> None:
    """Go on, when started by root, as the user that owns the way to ``path`` (see :mod:`nutdrv_py.machine.owners`)."""
    forbid_dumps()
    if os.geteuid() != 0:
        return
    try:
        otherwise = pwd.getpwnam(layout().user).pw_uid
    except KeyError:
        otherwise = NOBODY
    number = keeper(path, otherwise)
    if number == 0:
        return
    try:
        account = pwd.getpwuid(number)
        os.initgroups(account.pw_name, account.pw_gid)
        os.setgid(account.pw_gid)
    except KeyError:
        os.setgroups([])
        os.setgid(number)
    os.setuid(number)


NOBODY = 65534
"""Number of the user that owns nothing."""

PR_SET_DUMPABLE = 4


def forbid_dumps() -> None:
    """Keep passwords and tokens out of core dumps. The kernel does so by itself when root becomes another user."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if os.geteuid() != 0:
        # Imported here: it costs memory, and is rarely needed. A pipe that takes dumps does not heed the limit.
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


# Background


class Ready:
    """The child's end of the pipe on which the parent waits; a no-op in the foreground."""

    def __init__(self, fd: int | None = None) -> None:
        self._fd = fd

    def tell(self) -> None:
        """Let the parent exit 0: the socket listens and the first state can be served."""
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
    """Fork; the parent stays in here until the child is ready, then exits 0, or 1 if the child died; the child returns.

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
            replace(self.path, f"{os.getpid()}\n".encode("ascii"), 0o644, sync=False)
        except OSError as error:
            log.log.warning("writepid: fopen %s: %s", self.path, error.strerror)

    def read(self) -> int | None:
        """Return the number in the file, None when there is none."""
        try:
            number = int(read(self.path, _MOST_DIGITS))
        except (OSError, ValueError):
            return None
        return number if number > 1 else None

    def remove(self) -> None:
        """Remove the file if it is ours."""
        if self.read() == os.getpid():
            with contextlib.suppress(OSError):
                remove(self.path)
