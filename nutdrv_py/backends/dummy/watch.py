# SPDX-License-Identifier: GPL-2.0-or-later
"""To know at once that a file has changed: Linux's inotify on its folder, or looking every fifth of a second.

The folder is watched, not the file, because files are replaced, renamed and deleted; for a symbolic link the folder of the
target is watched too. Sources: inotify(7), and asyncio's ``add_reader``.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from nutdrv_py.clock import Clock
from nutdrv_py.log import debug, log

__all__ = ["LOOK", "QUIET", "Inotify", "Mark", "Seen", "Watch", "look", "see"]

QUIET = 0.1
"""Seconds between the first sign of a change and the reading, so that a script which writes line by line can finish. A
file that is renamed to its name is whole and is read at once."""

LOOK = 0.2
"""Seconds between two looks at the file where there is no inotify."""

BUFFER = 65536
"""Bytes read from inotify at a time; one event has at most 16 + 256."""

# The values are part of Linux's interface (linux/inotify.h).
_MODIFY, _ATTRIB, _CLOSE_WRITE, _MOVED_FROM, _MOVED_TO, _CREATE, _DELETE, _DELETE_SELF, _MOVE_SELF = (
    0x2, 0x4, 0x8, 0x40, 0x80, 0x100, 0x200, 0x400, 0x800,
)  # fmt: skip
_UNMOUNT, _OVERFLOW, _IGNORED, _ONLYDIR = 0x2000, 0x4000, 0x8000, 0x01000000
_OF_FILES = _MODIFY | _ATTRIB | _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE
_FOLDER_GONE = _DELETE_SELF | _MOVE_SELF | _UNMOUNT | _IGNORED
_EVENT = struct.Struct("iIII")


@dataclass(frozen=True, slots=True)
class Mark:
    """What distinguishes one state of a file from another, times in nanoseconds."""

    device: int
    inode: int
    size: int
    modified: int
    changed: int

    @classmethod
    def of(cls, stat: os.stat_result) -> Mark:
        """Return the mark of a result of ``stat``."""
        return cls(stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


def look(path: str) -> Mark | None:
    """Return the mark of the file, None while it cannot be seen."""
    try:
        return Mark.of(os.stat(path))
    except (OSError, ValueError):
        return None


@dataclass(frozen=True, slots=True)
class _Place:
    folder: str
    name: bytes
    device: int
    inode: int


def _places(path: str) -> tuple[_Place, ...]:
    """Return where changes of the file show: its folder and that of what it links to. Raises :class:`OSError`."""
    found = []
    for each in dict.fromkeys((path, os.path.realpath(path))):
        folder, name = os.path.split(each)
        stat = os.stat(folder or ".")
        found.append(_Place(folder or ".", os.fsencode(name), stat.st_dev, stat.st_ino))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Seen:
    """Where changes of a file show now, or why that cannot be said, and the file's mark."""

    places: tuple[_Place, ...] | OSError
    mark: Mark | None


def see(path: str) -> Seen:
    """Look at a file and at what leads to it; never fails. One visit to the disk: a poll makes no other while nothing changes."""
    try:
        return Seen(_places(path), look(path))
    except OSError as error:
        return Seen(error, look(path))


class Inotify:
    """The kernel's list of events in some folders. Raises :class:`OSError` where it is not to be had."""

    def __init__(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        try:
            begin, self._add = libc.inotify_init1, libc.inotify_add_watch
        except AttributeError as error:
            raise OSError("this system has no inotify") from error
        self._add.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)
        self.fd: int = begin(os.O_NONBLOCK | os.O_CLOEXEC)
        if self.fd < 0:
            raise _error()

    def add(self, folder: str) -> int:
        """Watch a folder; the number that its events bear."""
        number: int = self._add(self.fd, os.fsencode(folder), _OF_FILES | _DELETE_SELF | _MOVE_SELF | _ONLYDIR)
        if number < 0:
            raise _error()
        return number

    def events(self) -> Iterator[tuple[int, int, bytes]]:
        """Yield what has happened: the folder's number, the kind of event, the name of the file."""
        try:
            data = os.read(self.fd, BUFFER)
        except BlockingIOError:
            return
        start = 0
        while start < len(data):
            number, kind, _, length = _EVENT.unpack_from(data, start)
            start += _EVENT.size + length
            yield number, kind, data[start - length : start].rstrip(b"\0")

    def close(self) -> None:
        """End it."""
        os.close(self.fd)


def _error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))


class Watch:
    """Calls ``wake`` soon after the file has changed.

    ``changed`` is true from the first sign of a change until :meth:`take`, which the owner calls before reading the file.
    :meth:`follow` begins, and is called again and again because links and folders may be replaced.
    """

    def __init__(self, path: str, clock: Clock, wake: Callable[[], None], inotify: Callable[[], Inotify] = Inotify) -> None:
        self.changed = True
        self._path = path
        self._clock = clock
        self._wake = wake
        self._make = inotify
        self._inotify: Inotify | None = None
        self._places: tuple[_Place, ...] = ()
        self._names: dict[int, set[bytes]] = {}
        self._settle: asyncio.Task[None] | None = None
        self._ripe = False
        self._looking: asyncio.Task[None] | None = None

    @property
    def settling(self) -> bool:
        """Return whether the file changed a moment ago and is better not read yet. Ends although a writer goes on and on."""
        return self._settle is not None and not self._ripe

    @property
    def notified(self) -> bool:
        """Return whether the operating system reports changes; else the file is looked at."""
        return self._inotify is not None

    def take(self) -> None:
        """Note that the owner is about to read the file: what changes from now on is news."""
        self.changed = self._ripe = False

    def follow(self, seen: Seen) -> None:
        """Watch where the file is now; never fails."""
        try:
            if isinstance(seen.places, OSError):
                raise seen.places
            if seen.places != self._places or self._inotify is None:
                self._disarm()
                self._arm(seen.places)
        except OSError as error:
            self._disarm()
            if self._looking is None:
                log.log(debug(1), "%s: looked at every %g s, without notification: %s", self._path, LOOK, error)
                self._looking = asyncio.create_task(self._look())
            return
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None

    def close(self) -> None:
        """End watching."""
        self._disarm()
        for task in (self._settle, self._looking):
            if task is not None:
                task.cancel()
        self._settle = self._looking = None

    def _arm(self, places: tuple[_Place, ...]) -> None:
        inotify = self._make()
        try:
            for place in places:
                self._names.setdefault(inotify.add(place.folder), set()).add(place.name)
            asyncio.get_running_loop().add_reader(inotify.fd, self._read)
        except (OSError, NotImplementedError) as error:
            # NotImplementedError: an event loop that cannot watch a descriptor.
            inotify.close()
            self._names.clear()
            raise OSError(str(error)) from error
        self._inotify, self._places = inotify, places
        # What happened before the watch began has made no event.
        self.changed = True

    def _disarm(self) -> None:
        if self._inotify is not None:
            asyncio.get_running_loop().remove_reader(self._inotify.fd)
            self._inotify.close()
        self._inotify, self._places = None, ()
        self._names.clear()

    def _read(self) -> None:
        if self._inotify is None:
            return
        gone = False
        for number, kind, name in list(self._inotify.events()):
            gone = gone or bool(kind & _FOLDER_GONE)
            if kind & (_OVERFLOW | _FOLDER_GONE) or name in self._names.get(number, ()):
                self._sign(whole=bool(kind & _MOVED_TO))
        if gone:
            self._disarm()

    def _sign(self, *, whole: bool) -> None:
        self.changed = True
        if whole:
            self._ripe = True
            if self._settle is not None:
                self._settle.cancel()
                self._settle = None
            self._wake()
        elif self._settle is None:
            self._settle = asyncio.create_task(self._settled())

    async def _settled(self) -> None:
        await self._clock.sleep(QUIET)
        self._settle = None
        self._ripe = True
        self._wake()

    async def _look(self) -> None:
        known = await asyncio.to_thread(look, self._path)
        while True:
            await self._clock.sleep(LOOK)
            with contextlib.suppress(OSError):
                seen = await asyncio.to_thread(look, self._path)
                if seen != known:
                    known = seen
                    self.changed = True
                    self._wake()
