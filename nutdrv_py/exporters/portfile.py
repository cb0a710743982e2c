# SPDX-License-Identifier: GPL-2.0-or-later
"""The port file that NUT's ``dummy-ups`` reads, kept up to date.

dummy-ups never expires what it has read, so the file is taken away (renamed to ``<file>-nocomms``) when the data are stale and
when nobody keeps it any more. Entries of others stay as they are. The file is replaced as a whole, and only when something
has changed: at once when the status has, else not more often than asked for, because it may lie on a memory card.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, unquote

from nutdrv_py.clock import Clock
from nutdrv_py.errors import ConfigError
from nutdrv_py.log import Trouble, log
from nutdrv_py.nut.portfile import MAX_ENTRY, Entry, fitting, parse, update

__all__ = ["NOCOMMS", "SETTABLE", "PortFile", "Writer"]

NOCOMMS = "-nocomms"
"""What the name of the file ends in while there are no data; enphase-monitor's word."""

SETTABLE = ("battery.charge.low", "battery.voltage.high", "battery.voltage.nominal", "battery.voltage.low")
"""Variables that the user may set in the file, besides all that end in .mfr and .model; what stands there at the start counts."""

_MAKERS = (".mfr", ".model")
_MARK = "# nutdrv_py keeps: "
_AGES = ("experimental.data.age", "experimental.livedata.age", "experimental.token.days")
_ALARM = "ALARM "

FIRST = 20.0
"""Seconds that a file from before may be served after the start while the device does not answer."""

RETRY = 5.0
"""Seconds before a write that has failed is tried again."""


class PortFile:
    """The file at ``path``, or ``<path>-nocomms``: one of them must exist, so that a slip of the pen makes no new file.

    Raises :class:`ConfigError` when neither does, or when the folder does not allow the file to be replaced.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.away = path.with_name(path.name + NOCOMMS)
        if not path.is_file() and not self.away.is_file():
            raise ConfigError(
                f"the port file {path} does not exist (nor {self.away.name}); make it, for the user that runs this: touch {path}"
            )
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise ConfigError(
                f"files in {path.parent} cannot be replaced by this user; put the port file into a folder of its own: "
                f"install -d -o {os.geteuid()} {path.parent}"
            )
        text = self._read()
        marked = _marked(text)
        # What differs from what was written last, or was not written here, is the user's.
        self._user = {
            item.name: item.value
            for item in parse(text)
            if isinstance(item, Entry) and item.value and _settable(item.name) and marked.get(item.name) != item.value
        }
        self._ours = set(marked)

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
        values = {name: value for name, value in variables.items() if _wanted(name, value)}
        if "ups.status" in values:
            # dummy-ups 2.8.3 never clears an ALARM that it has read in the status.
            values["ups.status"] = values["ups.status"].removeprefix(_ALARM)
        gone = self._ours - values.keys()
        before = self._read()
        text = update(_unmarked(before), {**dict.fromkeys(sorted(gone), ""), **values})
        self._ours |= values.keys()
        text += _MARK + " ".join(_marking(name, values.get(name, "")) for name in sorted(self._ours - self._user.keys())) + "\n"
        if text == before and self.shown:
            return False
        self._replace(text)
        return True

    def hide(self) -> bool:
        """Take the file away: dummy-ups has to know that there are no data. True when it was there. Raises OSError."""
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
        descriptor, name = tempfile.mkstemp(prefix=f".{self.path.name}.", dir=self.path.parent)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            if old is not None:
                os.chmod(name, old.st_mode & 0o7777)
                if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
                    with contextlib.suppress(PermissionError):
                        os.chown(name, old.st_uid, old.st_gid)
                # dummy-ups compares whole seconds: two writes within one would be one.
                made = os.stat(name)
                if int(made.st_mtime) <= int(old.st_mtime):
                    moved = (int(old.st_mtime) + 1) * 1_000_000_000
                    os.utime(name, ns=(moved, moved))
            os.replace(name, self.path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise
        with contextlib.suppress(FileNotFoundError):
            self.away.unlink()
        self._sync()

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
    return not name.startswith("driver.") and name not in _AGES and len(value) <= MAX_ENTRY


def _settable(name: str) -> bool:
    return name in SETTABLE or name.endswith(_MAKERS)


def _marking(name: str, value: str) -> str:
    return f"{name}={quote(fitting(value))}" if _settable(name) else name


def _marked(text: str) -> dict[str, str]:
    """The names in the mark, with the values of those that the user may set."""
    words = [word for line in text.splitlines() if line.startswith(_MARK) for word in line.removeprefix(_MARK).split()]
    return {name: unquote(value) for name, _, value in (word.partition("=") for word in words)}


def _unmarked(text: str) -> str:
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith(_MARK))


class Writer:
    """Decides when the file is written. ``every`` and ``alert`` are seconds between two writes, on the grid and off it."""

    def __init__(self, file: PortFile, clock: Clock, *, every: float, alert: float) -> None:
        self.file = file
        self._clock = clock
        self._every = every
        self._alert = alert
        self._trouble = Trouble()
        self._latest: Mapping[str, str] | None = None
        self._known = False
        self._status: str | None = None
        self._wrote_at = float("-inf")
        self._retry_at = float("-inf")
        self._began = clock.monotonic()
        self._news = asyncio.Event()
        self.written = asyncio.Event()
        """Set when the file has been brought up to date for the first time."""

    def tell(self, variables: Mapping[str, str] | None) -> None:
        """What is known now; None while the data are stale."""
        self._known = self._known or variables is not None
        self._latest = variables
        self._news.set()

    async def run(self) -> None:
        """Keep the file until cancelled."""
        while True:
            self._news.clear()
            await self.step()
            waits = [asyncio.ensure_future(self._clock.sleep(1.0)), asyncio.ensure_future(self._news.wait())]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()

    async def step(self) -> None:
        """Write or hide, if it is time to."""
        now = self._clock.monotonic()
        if now < self._retry_at:
            return
        try:
            if self._latest is None:
                if (self._known or now - self._began >= FIRST) and await asyncio.to_thread(self.file.hide):
                    log.warning("No data: the port file is now %s", self.file.away)
                self._status = None
            elif self._due(self._latest, now):
                latest, status = self._latest, self._latest.get("ups.status", "")
                back = not self.file.shown
                await asyncio.to_thread(self.file.show, latest)
                self._wrote_at, self._status = now, status
                if back:
                    log.info("The port file %s is there again", self.file.path)
                self.written.set()
            self._trouble.clear("write", "The port file can be written again")
        except OSError as error:
            self._retry_at = now + RETRY
            self._trouble.report("write", f"The port file {self.file.path} cannot be written: {error.strerror}")

    def _due(self, variables: Mapping[str, str], now: float) -> bool:
        status = variables.get("ups.status", "")
        every = self._alert if "OB" in status.split() else self._every
        return status != self._status or now - self._wrote_at >= every
