# SPDX-License-Identifier: GPL-2.0-or-later
"""The port file on disk: replaced as a whole and only when something has changed, or taken away. Entries of others stay."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, unquote

from nutdrv_py.errors import ConfigError, ProtocolError
from nutdrv_py.log import log
from nutdrv_py.nut.portfile import MAX_ENTRY, Entry, entry, fitting, parse, update

__all__ = ["FIRST", "NOCOMMS", "SETTABLE", "PortFile", "abandon", "locate", "take_away"]

NOCOMMS = "-nocomms"
"""What the name of the file ends in while there are no data; enphase-monitor's word."""

SETTABLE = ("battery.charge.low", "battery.voltage.high", "battery.voltage.nominal", "battery.voltage.low")
"""Variables that the user may set in the file, besides all that end in .mfr and .model; what stands there at the start counts."""

_MAKERS = (".mfr", ".model")
_MARK = "# nutdrv_py keeps: "
_AGES = ("experimental.data.age", "experimental.livedata.age", "experimental.token.days")
_ALARM = "ALARM "
_CUT = "ups.alarm"

FIRST = 20.0
"""Seconds that a young file from before may be served after the start while the device does not answer."""

FUTURE = 120.0
"""Seconds that a file may be younger than now: its time moves by a second with each write."""

SCRIPT = {
    "battery.charge.low": "20", "battery.voltage.high": "86.4", "battery.voltage.nominal": "76.8", "battery.voltage.low": "68.5",
    "ups.mfr": "Enphase Energy", "device.mfr": "Enphase Energy", "ups.model": "IQ Gateway", "device.model": "IQ Gateway",
}  # fmt: skip
"""What enphase-monitor writes by itself: in a file of the script these are nobody's wishes."""


def locate(path: Path) -> Path:
    """The file itself where ``path``, under either name, is a link to it: the file is replaced, and so would a link be."""
    for name in (path, path.with_name(path.name + NOCOMMS)):
        if name.is_symlink():
            target = name.resolve()
            return target.with_name(target.name.removesuffix(NOCOMMS))
    return path


def take_away(path: Path) -> bool:
    """Rename the file to ``-nocomms``, if it is there and nobody keeps it. True when it was renamed. Raises OSError."""
    path = locate(path)
    with contextlib.suppress(FileNotFoundError), contextlib.ExitStack() as stack:
        # Without the right to a lock that another user left, nobody can be asked; who keeps the file will write it again.
        with contextlib.suppress(PermissionError):
            stack.enter_context(_locked(path))
        path.replace(path.with_name(path.name + NOCOMMS))
        return True
    return False


def abandon(files: Iterable[Path]) -> None:
    """Take away those that nobody keeps, and log it: dummy-ups would serve what they hold for ever."""
    for file in files:
        try:
            if take_away(file):
                log.warning("Nobody keeps the port file %s; it is taken away", file)
        except BlockingIOError:
            pass  # Another process keeps it.
        except OSError as error:
            log.error("%s CANNOT BE TAKEN AWAY (%s): dummy-ups serves old data", file, error.strerror)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = _lock(path)
    try:
        yield
    finally:
        os.close(descriptor)


def _lock_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")


def _lock(path: Path) -> int:
    """Be the only keeper of the file until the descriptor is closed. Raises BlockingIOError when there is another one."""
    descriptor = os.open(_lock_of(path), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


class PortFile:
    """The file at ``path``, or ``<path>-nocomms``: one of them must exist, so that a slip of the pen makes no new file.

    ``maxage`` is how many seconds old a file may be that was left by somebody else. Raises :class:`ConfigError` when there is
    no file, when the folder does not allow it to be replaced, or when another process keeps it.
    """

    def __init__(self, path: Path, maxage: float = FIRST) -> None:
        self.path = path = locate(path)
        self.away = path.with_name(path.name + NOCOMMS)
        if not path.is_file() and not self.away.is_file():
            raise ConfigError(
                f"the port file {path} does not exist (nor {self.away.name}); make it, for the user that runs this: touch {path}"
            )
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise ConfigError(
                f"files in {path.parent} cannot be replaced by this user; put the port file into a folder of its own, such as "
                f"/var/lib/nut/port: install -d -o {os.geteuid()} -m 0750 /var/lib/nut/port"
            )
        self._guard = threading.Lock()
        self._ended = False
        try:
            self._lock = _lock(path)
        except OSError as error:
            lock = _lock_of(path)
            why = (
                "another process keeps it; end that one first" if isinstance(error, BlockingIOError)
                else f"{lock}: {error.strerror}; when nothing runs that keeps it, type: rm {lock}"
            )  # fmt: skip
            raise ConfigError(f"the port file {path} cannot be kept: {why}") from None
        for litter in path.parent.glob(f".{path.name}.*.new"):
            litter.unlink(missing_ok=True)
        self._maxage = maxage
        if self.left_from_before():
            log.warning("The port file %s was left from before; it is taken away until there are data", path)
            self.hide()
        text = self._read()
        marked = _marked(text)
        # What differs from what was written last, or was not written here, is the user's.
        self._user = {
            name: value
            for name, value in _settables(text).items()
            if marked.get(name) != value and (marked or SCRIPT.get(name) != value)
        }
        self._ours = set(marked)
        self._last = {name: value for name, value in marked.items() if _settable(name)}

    def close(self) -> None:
        """Let others keep the file."""
        os.close(self._lock)

    def left_from_before(self) -> bool:
        """Whether the file is older than ``maxage``, from before the machine was started, or from the future."""
        return self.shown and self._old(self._maxage)

    def _old(self, maxage: float) -> bool:
        age = time.time() - self.path.stat().st_mtime
        return not -FUTURE <= age <= min(maxage, time.clock_gettime(time.CLOCK_BOOTTIME))

    @property
    def shown(self) -> bool:
        """Whether dummy-ups can read the file now."""
        return self.path.exists()

    @property
    def settings(self) -> Mapping[str, str]:
        """What the user had set in the file at the start: :data:`SETTABLE`, makers and models."""
        return self._user

    def show(self, variables: Mapping[str, str]) -> bool:
        """Write what is known now; true when the file has changed. Raises OSError."""
        values = {name: _fitted(name, value) for name, value in variables.items() if _wanted(name, value)}
        if "ups.status" in values:
            # dummy-ups 2.8.3 never clears an ALARM that it has read in the status.
            values["ups.status"] = values["ups.status"].removeprefix(_ALARM)
        before = self._read()
        for name, value in _settables(before).items():
            # What the user has changed since the last write is kept; it counts from the next start.
            if name in self._last and value != self._last[name]:
                self._user[name] = value
        values.update({name: value for name, value in self._user.items() if name in values})
        gone = self._ours - values.keys() - self._user.keys()
        text = update(_unmarked(before), {**dict.fromkeys(sorted(gone), ""), **values})
        self._ours |= values.keys()
        self._last = {name: fitting(value) for name, value in values.items() if _settable(name)}
        text += _MARK + " ".join(_marking(name, values.get(name, "")) for name in sorted(self._ours - self._user.keys())) + "\n"
        if text == before and self.shown:
            return False
        self._replace(text)
        return True

    def hide(self, *, final: bool = False) -> bool:
        """Take the file away: dummy-ups has to know that there are no data. True when it was there. Raises OSError.

        ``final``: a write that is under way in another thread must not bring it back.
        """
        with self._guard:
            self._ended = self._ended or final
            if not self.shown:
                return False
            self.path.replace(self.away)
        self._sync()
        return True

    def _read(self) -> str:
        for path in (self.path, self.away):
            with contextlib.suppress(FileNotFoundError):
                return path.read_text(encoding="utf-8", errors="surrogateescape")
        return ""

    def _replace(self, text: str) -> None:
        old = next((path.stat() for path in (self.path, self.away) if path.exists()), None)
        descriptor, name = tempfile.mkstemp(prefix=f".{self.path.name}.", suffix=".new", dir=self.path.parent)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            if old is not None:
                os.chmod(name, old.st_mode & 0o7777)
                if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
                    self._give(name, old)
                # dummy-ups compares whole seconds: two writes within one would be one.
                made = os.stat(name)
                if int(made.st_mtime) <= int(old.st_mtime):
                    moved = (int(old.st_mtime) + 1) * 1_000_000_000
                    os.utime(name, ns=(moved, moved))
            with self._guard:
                if self._ended:
                    raise OSError("the keeper of the file has ended")
                os.replace(name, self.path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise
        with contextlib.suppress(FileNotFoundError):
            self.away.unlink()
        self._sync()

    @staticmethod
    def _give(name: str, old: os.stat_result) -> None:
        """The owner and group of the old file, or at least its group: dummy-ups reads it as another user."""
        for owner in (old.st_uid, -1):
            with contextlib.suppress(PermissionError):
                os.chown(name, owner, old.st_gid)
                return
        if not old.st_mode & 0o004:
            raise PermissionError(1, f"the group of the file ({old.st_gid}) cannot be given to the new one")

    def _sync(self) -> None:
        """Make the rename last: after a power cut the file must not be half of something."""
        with contextlib.suppress(OSError):
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


def _wanted(name: str, value: str) -> bool:
    """What dummy-ups can hold, without the driver's own and without what only counts time."""
    if name.startswith("driver.") or name in _AGES or (len(value) > MAX_ENTRY and name != _CUT):
        return False
    try:
        entry(name, "")
    except ProtocolError:
        return False
    return True


def _fitted(name: str, value: str) -> str:
    return fitting(value) if name == _CUT else value


def _settable(name: str) -> bool:
    return name in SETTABLE or name.endswith(_MAKERS)


def _settables(text: str) -> dict[str, str]:
    """The entries that a user may set, by name in lower case."""
    found = {item.name.lower(): item.value for item in parse(text) if isinstance(item, Entry) and item.value}
    return {name: value for name, value in found.items() if _settable(name)}


def _marking(name: str, value: str) -> str:
    return f"{name}={quote(fitting(value))}" if _settable(name) else name


def _marked(text: str) -> dict[str, str]:
    """The names in the mark, with the values of those that the user may set."""
    words = [word for line in text.splitlines() if line.startswith(_MARK) for word in line.removeprefix(_MARK).split()]
    return {name: unquote(value) for name, _, value in (word.partition("=") for word in words)}


def _unmarked(text: str) -> str:
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith(_MARK))
