# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading, replacing, overwriting and locking a port file, by the rules of :mod:`nutdrv_py.machine.place`."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from nutdrv_py.machine.files import MOST, look, replacing
from nutdrv_py.machine.place import Place, Unsafe, place

__all__ = ["NO_ROOM", "Old", "lock", "lock_of", "overwritten", "read", "replaced"]

ATTRIBUTES = ("security.selinux", "system.posix_acl_access")
"""Extended attributes that the new file takes over: dummy-ups may read it by them (semanage fcontext, setfacl)."""

NO_ROOM = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT)
"""Why a new file cannot be made where an old one may still be written."""


@dataclass(frozen=True, slots=True)
class Old:
    """The file as it was: its owner may have no other file's content."""

    data: bytes
    state: os.stat_result
    attributes: Mapping[str, bytes]

    @property
    def text(self) -> str:
        """Return its text; bytes that are not UTF-8 come back as they are."""
        return self.data.decode("utf-8", "surrogateescape")


def read(path: Path) -> Old:
    """Return the file as it is. Raises OSError."""
    with place(path) as at, at.open() as file:
        data = file.read(MOST + 1)
        if len(data) > MOST:
            raise OSError(errno.EFBIG, f"{path} is no port file: it has more than {MOST} bytes")
        attributes = {}
        for name in ATTRIBUTES:
            with contextlib.suppress(OSError):
                attributes[name] = os.getxattr(file.fileno(), name)
        return Old(data, os.fstat(file.fileno()), attributes)


def replaced(path: Path, text: str, old: Old | None, moment: AbstractContextManager[None] | None = None) -> None:
    """Write the file anew beside ``path`` and rename it within ``moment``. Raises OSError.

    Owner, mode and attributes are those of the old one, the time is later.
    """
    with replacing(path, 0o600 if old is None else old.state.st_mode & 0o666) as new:
        new.write(text.encode("utf-8", "surrogateescape"))
        if old is not None:
            if (old.state.st_uid, old.state.st_gid) != (os.geteuid(), os.getegid()):
                _give(new.fd, old.state)
            for name, value in old.attributes.items():
                with contextlib.suppress(OSError):
                    os.setxattr(new.fd, name, value)
            _move_on(new.fd, old.state)
        with moment or contextlib.nullcontext():
            new.commit()
        new.sync()


def _move_on(descriptor: int, old: os.stat_result) -> None:
    """Give the file a later second than it had: dummy-ups compares whole seconds, and two writes within one would be one."""
    if int(os.fstat(descriptor).st_mtime) <= int(old.st_mtime):
        moved = (int(old.st_mtime) + 1) * 1_000_000_000
        with contextlib.suppress(PermissionError):
            os.utime(descriptor, ns=(moved, moved))


def _give(descriptor: int, old: os.stat_result) -> None:
    """Give the new file owner and group of the old one, or at least its group: dummy-ups reads it as another user."""
    for owner in (old.st_uid, -1):
        with contextlib.suppress(PermissionError):
            os.fchown(descriptor, owner, old.st_gid)
            return
    if not old.st_mode & 0o004:
        raise PermissionError(errno.EPERM, f"the group of the file ({old.st_gid}) cannot be given to the new one")


def overwritten(path: Path, text: str, moment: AbstractContextManager[None]) -> None:
    """Write the file in place. Where there is no room for the new text, the old one stays whole. Raises OSError."""
    data = text.encode("utf-8", "surrogateescape")
    with place(path) as at:
        descriptor = at.lock_file(path.name)
    try:
        old = os.fstat(descriptor)
        os.posix_fallocate(descriptor, 0, max(1, len(data)))
        with moment:
            os.pwrite(descriptor, data, 0)
            os.truncate(descriptor, len(data))
        _move_on(descriptor, old)
    finally:
        os.close(descriptor)


def lock_of(path: Path) -> Path:
    """Return the file that a keeper of ``path`` locks."""
    return path.with_name(f".{path.name}.lock")


def lock(at: Place) -> int:
    """Lock the file for this keeper until the descriptor is closed. Raises BlockingIOError when there is another one."""
    try:
        descriptor = at.lock_file(lock_of(at.path).name)
    except Unsafe:
        raise
    except OSError as error:
        if error.errno not in NO_ROOM or at.stat() is None or look(lock_of(at.path)) is not None:
            raise
        # No file can be made here, so the port file itself stays, and can be locked.
        descriptor = at.lock_file(at.path.name)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
