# SPDX-License-Identifier: GPL-2.0-or-later
"""Read, replace and remove files in folders that other users may change, by the rules of :mod:`nutdrv_py.machine.place`."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from nutdrv_py.machine.place import Place, place

__all__ = ["MOST", "New", "look", "read", "remove", "replace", "replacing"]

MOST = 1 << 20
"""Maximum bytes of a file that is read as a whole."""


def look(path: Path) -> os.stat_result | None:
    """Return the state of the file at ``path``; None when there is none. Raises OSError."""
    try:
        with place(path) as at:
            return at.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None


def read(path: Path, most: int = MOST, *, check: Callable[[Place, os.stat_result], None] | None = None) -> bytes:
    """Return the content of a regular file of at most ``most`` bytes. Raises OSError.

    ``check`` is called with the place and the state of the open file before a byte is read.
    """
    with place(path) as at, at.open() as file:
        if check is not None:
            check(at, os.fstat(file.fileno()))
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"it is too large (more than {most} bytes)")
    return data


def remove(path: Path) -> None:
    """Remove the file, or the link of this name; nothing when it is not there. Raises OSError."""
    with contextlib.suppress(FileNotFoundError), place(path, follow=False) as at:
        at.remove()


class New:
    """A file under a new name, which :meth:`commit` puts in place of another."""

    def __init__(self, at: Place, name: str, fd: int) -> None:
        self.fd = fd
        self.done = False
        self._at = at
        self._name = name

    def write(self, data: bytes, *, sync: bool = True) -> None:
        """Write all bytes; with ``sync`` have them on the disk."""
        with os.fdopen(os.dup(self.fd), "wb") as file:
            file.write(data)
        if sync:
            os.fsync(self.fd)

    def commit(self) -> None:
        """Put the file in place of what has the name now."""
        self._at.rename(self._at.path.name, self._name)
        self.done = True

    def sync(self) -> None:
        """Make the new name last over a power cut."""
        self._at.sync()


@contextlib.contextmanager
def replacing(path: Path, mode: int = 0o600) -> Iterator[New]:
    """Make a file beside ``path``, to be written and committed; it is removed when it was not. Raises OSError."""
    with place(path, follow=False) as at:
        name = f".{at.path.name}.{os.urandom(8).hex()}.new"
        fd = at.create(name, 0o600)
        new = New(at, name, fd)
        try:
            os.fchmod(fd, mode)
            yield new
        finally:
            os.close(fd)
            if not new.done:
                with contextlib.suppress(OSError):
                    at.remove(name)


def replace(path: Path, data: bytes, mode: int = 0o600, *, sync: bool = True) -> None:
    """Replace the file at ``path`` as a whole. Raises OSError.

    ``sync`` makes it last over a power cut, and waits for the disk.
    """
    with replacing(path, mode) as new:
        new.write(data, sync=sync)
        new.commit()
        if sync:
            new.sync()
