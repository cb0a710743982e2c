# SPDX-License-Identifier: GPL-2.0-or-later
"""The way to a file through folders that other users may change.

The program works as root in folders of NUT's user, and as NUT's user in folders of its group. A link, a FIFO or a swapped folder
there must not lead it to another file. Four rules hold for each path that comes through here:

1. The folders of a path are opened one after the other, and the last one is held: what is swapped later has no effect.
2. A link is followed only where only root and this user can have made it. /var/run -> /run is such a link.
3. A file is made under a new name (O_EXCL) and renamed in the held folder. An existing file is never opened for writing.
4. What is read or locked is a regular file, as its open descriptor shows. A FIFO does not hang.
"""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from nutdrv_py.errors import ConfigError

__all__ = ["Place", "Unsafe", "place"]

_LINKS = 40  # as the kernel has it
_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PLAIN = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Unsafe(OSError, ConfigError):
    """The path leads where another user wants it. It fails like any file, with what the administrator must type."""

    def __init__(self, sentence: str) -> None:
        super().__init__(errno.ELOOP, sentence)

    def __str__(self) -> str:
        return self.strerror or ""


class Place:
    """One name in a folder that is held open. Methods raise OSError, :class:`Unsafe` for what another user may have put there."""

    def __init__(self, path: Path, folder: int, changer: str | None) -> None:
        self.path = path
        """The path with its links followed."""
        self.changer = changer
        """Which user or group besides root and this user may change a folder of the path; None when there is none."""
        self._folder = folder

    def stat(self) -> os.stat_result | None:
        """Return its state, a link unfollowed; None when there is none."""
        try:
            return os.stat(self.path.name, dir_fd=self._folder, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def folder(self) -> os.stat_result:
        """Return the state of the folder."""
        return os.fstat(self._folder)

    def open(self) -> BinaryIO:
        """Open the regular file for reading."""
        return os.fdopen(self._open(self.path.name, os.O_RDONLY), "rb")

    def lock_file(self, name: str) -> int:
        """Open the file ``name`` of this folder to lock it; it is made when it is not there. Returns the descriptor."""
        return self._open(name, os.O_RDWR | os.O_CREAT)

    def rename(self, name: str, old: str | None = None) -> None:
        """Rename the entry, or the entry ``old``, to ``name`` in this folder, in place of what has that name."""
        os.replace(old or self.path.name, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)

    def remove(self, name: str | None = None) -> None:
        """Remove the entry, or the entry ``name`` of this folder; nothing when it is not there."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name or self.path.name, dir_fd=self._folder)

    def link(self, target: Path) -> None:
        """Make a symbolic link to ``target``."""
        os.symlink(target, self.path.name, dir_fd=self._folder)

    def give(self, group: int) -> None:
        """Give the entry to a group; a link is not followed."""
        os.chown(self.path.name, -1, group, dir_fd=self._folder, follow_symlinks=False)

    def names(self, start: str, end: str) -> list[str]:
        """Return the names in this folder that start and end so."""
        fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._folder)
        try:
            return [name for name in os.listdir(fd) if name.startswith(start) and name.endswith(end)]
        finally:
            os.close(fd)

    def create(self, name: str, mode: int) -> int:
        """Make the file ``name``, which must not be there yet, and return its descriptor, open for writing."""
        return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _PLAIN, mode, dir_fd=self._folder)

    def sync(self) -> None:
        """Make renames last over a power cut, where the folder may be read."""
        with contextlib.suppress(OSError):
            fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._folder)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)

    def _open(self, name: str, flags: int) -> int:
        with contextlib.suppress(FileNotFoundError):
            # Looked at first: to open a device may do something.
            self.check(os.stat(name, dir_fd=self._folder, follow_symlinks=False), name)
        fd = os.open(name, flags | _PLAIN, 0o600, dir_fd=self._folder)
        try:
            self.check(os.fstat(fd), name)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def check(self, found: os.stat_result, name: str | None = None) -> None:
        """Raise :class:`Unsafe` for what is not a regular file, or is another user's under a second name."""
        path = self.path.with_name(name or self.path.name)
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
        if stat.S_ISLNK(found.st_mode):
            raise Unsafe(f"{path} is a link, and is not followed; type: rm {path}")
        if not stat.S_ISREG(found.st_mode):
            raise Unsafe(f"{path} is a FIFO, a socket or a device and not a file; type: rm {path}")
        if self.changer is not None and found.st_nlink > 1 and os.geteuid() == 0 and not _theirs(found, self.folder()):
            raise Unsafe(f"{path} is a second name of another user's file, and {self.changer} can have made it; type: rm {path}")


def _theirs(found: os.stat_result, folder: os.stat_result) -> bool:
    """Return whether the file belongs to a user who may change the folder, and not to root."""
    return found.st_uid != 0 and (found.st_uid == folder.st_uid or found.st_gid == folder.st_gid)


@contextlib.contextmanager
def place(path: Path, *, follow: bool = True) -> Iterator[Place]:
    """Hold the folder of ``path`` open, with its links followed. Raises OSError, :class:`Unsafe` for a link of another user.

    Without ``follow`` the place is that of the last name itself, also where it is a link: to replace or remove it.
    """
    found = _walk(path if path.is_absolute() else Path.cwd() / path, follow)
    try:
        yield found
    finally:
        os.close(found._folder)


def _walk(path: Path, follow: bool) -> Place:
    left = list(reversed(path.parts[1:]))
    here, folder, changer, links = Path("/"), os.open("/", _FOLDER), None, 0
    try:
        while left:
            name = left.pop()
            if name == "..":
                if changer is not None:
                    raise Unsafe(f"{path} goes back from {here} by .., and {changer}; write the path without ..")
                folder, here = _into(folder, name), here.parent
                continue
            found = None
            with contextlib.suppress(FileNotFoundError):
                found = os.stat(name, dir_fd=folder, follow_symlinks=False)
            changer = changer or _changer(here, os.fstat(folder), found)
            if found is not None and stat.S_ISLNK(found.st_mode) and (left or follow):
                links += 1
                if changer is not None:
                    raise Unsafe(
                        f"{here / name} is a link, and {changer}, so it is not followed; type: rm {here / name}, "
                        "or write the path behind it where this one is named"
                    )
                if links > _LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fspath(path))
                target = Path(os.readlink(name, dir_fd=folder))
                if target.is_absolute():
                    os.close(folder)
                    here, folder = Path("/"), os.open("/", _FOLDER)
                left.extend(reversed(target.parts[1:] if target.is_absolute() else target.parts))
                continue
            if not left:
                return Place(here / name, folder, changer)
            folder, here = _into(folder, name), here / name
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    except BaseException:
        os.close(folder)
        raise


def _into(folder: int, name: str) -> int:
    """Open the folder ``name`` of a folder, in its place."""
    with contextlib.suppress(OSError):
        # An automount is made by passing through it, and O_PATH does not pass.
        os.stat(f"{name}/.", dir_fd=folder)
    inner = os.open(name, _FOLDER, dir_fd=folder)
    os.close(folder)
    return inner


def _changer(path: Path, folder: os.stat_result, entry: os.stat_result | None) -> str | None:
    """Return which other user may put another entry in place of this one; None when only root and this user may."""
    own = (0, os.geteuid())
    if folder.st_uid not in own:
        return f"{_named('user', folder.st_uid)} may change {path}"
    if folder.st_mode & stat.S_ISVTX and entry is not None and entry.st_uid in own:
        return None
    if folder.st_mode & stat.S_IWOTH:
        return f"everybody may change {path}"
    # A user's own group, as many systems give one to each, is the user.
    private = folder.st_uid == os.geteuid() and folder.st_gid == os.getegid()
    if folder.st_mode & stat.S_IWGRP and folder.st_gid != 0 and not private:
        return f"{_named('group', folder.st_gid)} may change {path}"
    return None


def _named(kind: str, number: int) -> str:
    with contextlib.suppress(KeyError):
        return f"{kind} {pwd.getpwuid(number).pw_name if kind == 'user' else grp.getgrgid(number).gr_name}"
    return f"{kind} {number}"
