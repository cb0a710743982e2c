# SPDX-License-Identifier: GPL-2.0-or-later
"""A device that is a file: ``.dev`` holds its state, ``.seq`` what happens to it. NUT's dummy-ups without its faults.

The grammar is in :mod:`nutdrv_py.nut.portfile`. What differs from dummy-ups(8), each on purpose:

- A change of the file is at upsd within two tenths of a second; two writes within one second are two.
- A changed file is a new device: what it no longer holds is withdrawn. A sequence begins anew.
- A file that is missing, unreadable or half-written is no exit: after ``maxage`` the data are stale, until it is back.
- Without ``ups.status``, or with one that has neither OL, OB nor OFF, the data are stale too: dummy-ups would serve OL.
- ``ups.status`` holds NUT's tokens in NUT's order; other words are left out. Alarms are shown in brackets, and make ALARM.
- Only what the file declares with ``#@ rw`` can be set, and what was set holds in memory until the file itself gives that
  variable another value. There are no instant commands but those declared with ``#@ command``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import ClassVar, Self

from nutdrv_py.backends.dummy.config import DummyConfig, check, file_of, loops
from nutdrv_py.backends.dummy.play import Overlay, Player, Text
from nutdrv_py.backends.dummy.source import Content, read
from nutdrv_py.backends.dummy.watch import Mark, Watch, look, see
from nutdrv_py.backends.dummy.words import compose, status_of
from nutdrv_py.clock import Clock
from nutdrv_py.device.backend import Backend, Writable
from nutdrv_py.device.findings import Finding
from nutdrv_py.device.reading import Reading
from nutdrv_py.errors import CommandError, DeviceError, Result
from nutdrv_py.log import Trouble
from nutdrv_py.nut.portfile import parse
from nutdrv_py.nut.portitems import Command, Entry, Item, Mistake, Settable

__all__ = ["MAX_VARIABLES", "YOUNG", "Dummy"]

MAX_VARIABLES = 4096
"""Maximum variables in a file; the largest PDU has about a thousand."""

YOUNG = 1.0
"""Seconds after its last change in which a file without a line feed at its end counts as half-written, and in which another
change may have left no trace in its times."""

PATIENCE = 2 * YOUNG
"""Seconds that one poll waits for the end of writing; more than :data:`YOUNG`, so that a file left alone is read."""

AGAIN = 0.1
"""Seconds before a half-written file is read again."""

DEFAULTS = {"device.type": "ups", "ups.mfr": "Dummy Manufacturer", "ups.model": "Dummy UPS"}
"""Values that hold until the file has others (NUT drivers/dummy-ups.c)."""


class Dummy(Backend[DummyConfig]):
    """A simulated UPS from a file."""

    Config: ClassVar[type[DummyConfig]] = DummyConfig
    description: ClassVar[str] = "UPS from a file"
    version: ClassVar[str] = "0.1"
    says_low: ClassVar[bool] = True

    def __init__(self, config: DummyConfig, clock: Clock) -> None:
        super().__init__(config, clock)
        self._path = file_of(self.config)
        self._watch = Watch(self._path, clock, lambda: self.wake())
        self._trouble = Trouble()
        self._overlay = Overlay()
        self._player: Player | None = None
        self._data: bytes | None = None
        self._read: Mark | None = None
        self._seen: tuple[Mark, float] | None = None
        self._values: dict[str, Text] = {}
        self._settable: dict[str, Writable] = {}
        self._declared: dict[str, Command] = {}
        self._alarm: asyncio.Task[None] | None = None
        self._due: float | None = None

    @classmethod
    def check(cls, config: DummyConfig) -> None:
        """Refuse options that cannot work."""
        check(config)

    async def __aenter__(self) -> Self:
        """Begin to watch the file; it need not be there."""
        self._watch.follow(await asyncio.to_thread(see, self._path))
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End watching and playing."""
        self._watch.close()
        self._wake_at(None)

    # The poll

    async def poll(self) -> Reading:
        """Read the file if it may have changed, go on in it as far as is due, return its values."""
        seen = await asyncio.to_thread(see, self._path)
        self._watch.follow(seen)
        if self._player is None or not self._watch.settling:
            await self._renew(seen.mark)
        if self._player is None:
            raise DeviceError(f"{self._path} was not read yet")
        self._player.play(self.clock.monotonic())
        self._wake_at(self._player.due)
        return self._reading(self._player)

    async def _renew(self, mark: Mark | None) -> None:
        """Take over the file's content if it is another; what cannot be read is not there."""
        try:
            content = await self._whole(mark)
            if content is not None and content.data != self._data:
                items = await asyncio.to_thread(_items, content.data)
                self._take(items)
                self._data = content.data
        except DeviceError:
            self._read = self._data = self._player = None
            self._wake_at(None)
            raise

    async def _whole(self, mark: Mark | None) -> Content | None:
        """Return the content when its writer has finished; None when nothing has changed."""
        until = self.clock.monotonic() + PATIENCE
        while True:
            if mark is not None and mark == self._read and not self._watch.changed:
                return None
            self._watch.take()
            content = await asyncio.to_thread(read, self._path)
            young = self._young(content.mark)
            # Within a tick of the file system's clock two changes look the same.
            self._read = None if young else content.mark
            if not (content.cut and young):
                return content
            if self.clock.monotonic() >= until:
                raise DeviceError(
                    f"{self._path} is being written all the time and does not end with a line feed: it looks half-written; "
                    "let its writer write another file and rename it"
                )
            await self.clock.sleep(AGAIN)
            mark = await asyncio.to_thread(look, self._path)

    def _young(self, mark: Mark) -> bool:
        """Return whether the file was changed a moment ago, by its own time and by ours: the wall's clock may jump."""
        now = self.clock.monotonic()
        if self._seen is None or self._seen[0] != mark:
            self._seen = mark, now
        return self.clock.wall() - mark.modified / 1e9 < YOUNG and now - self._seen[1] < YOUNG

    def _take(self, items: Sequence[Item]) -> None:
        """Begin with a new content."""
        names = {item.name.lower() for item in items if isinstance(item, Entry)}
        if len(names) > MAX_VARIABLES:
            raise DeviceError(f"{self._path} has more than {MAX_VARIABLES} variables; look at what writes it")
        options = self.config
        self._player = Player(items, loop=loops(options), least=options.pollinterval, defaults=DEFAULTS)
        self._settable = {
            item.name.lower(): Writable(item.ranges, item.enum, item.maxlen) for item in items if isinstance(item, Settable)
        }
        mistakes = {item.line: item.reason for item in items if isinstance(item, Mistake)}
        self._declared = {}
        for item in items:
            if isinstance(item, Command):
                reason = _useless(item)
                if reason:
                    mistakes[item.line] = reason
                else:
                    self._declared[item.name] = item
        for line, reason in sorted(mistakes.items()):
            self._trouble.report("lines", f"{self._path}:{line}: {reason}; the line is left out")
        if not mistakes:
            self._trouble.clear("lines", f"{self._path}: every line is understood again")

    def _reading(self, player: Player) -> Reading:
        self._values = self._overlay.over(player.values)
        try:
            reading, unknown = compose(self._values, player.alarms)
        except DeviceError as error:
            raise DeviceError(f"{self._path}: {error}") from None
        for word in unknown:
            self._trouble.report("words", f"{self._path}: ups.status has the word {word!a}, unknown to NUT; it is left out")
        return reading

    def _wake_at(self, due: float | None) -> None:
        """Have the next poll when the pause of a TIMER ends, however long the poll interval is."""
        if due == self._due and (due is None or self._alarm is not None):
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._due = due
        self._alarm = asyncio.create_task(self._sleep_until(due)) if due is not None else None

    async def _sleep_until(self, due: float) -> None:
        await self.clock.sleep(max(0.0, due - self.clock.monotonic()))
        self.wake()

    # What clients may do

    @property
    def commands(self) -> frozenset[str]:
        """Return the instant commands that the file declares with ``#@ command``."""
        return frozenset(self._declared)

    @property
    def writable(self) -> Mapping[str, Writable]:
        """Return the variables declared with ``#@ rw`` that the file has now."""
        return {self._values[key].name: rule for key, rule in self._settable.items() if key in self._values}

    async def set(self, name: str, value: str) -> None:
        """Keep the value in memory until the file itself changes that variable.

        A status without OL, OB and OFF is refused, because the data would go stale by it.
        """
        if name.lower() == "ups.status":
            try:
                status_of(value)
            except DeviceError as error:
                raise CommandError(str(error), Result.INVALID) from None
        self._keep({name: value})

    async def command(self, name: str, param: str | None) -> None:
        """Set the variables that the file's ``#@ command`` names, in the same way."""
        declared = self._declared.get(name)
        if declared is None:
            raise CommandError(f"{self._path} declares no command {name}", Result.UNKNOWN)
        if param is not None:
            raise CommandError(f"{name} takes no value: the file says what it sets", Result.INVALID)
        self._keep({variable: value or None for variable, value in declared.values})

    def _keep(self, wishes: Mapping[str, str | None]) -> None:
        if self._player is None:
            raise CommandError(f"{self._path} cannot be read now", Result.FAILED)
        for name, value in wishes.items():
            self._overlay.put(name, value, self._player.values)

    # The operator's check

    def examine(self, *, login: bool) -> AsyncIterator[Finding]:
        """Check the file; see :mod:`nutdrv_py.backends.dummy.examine`."""
        # Imported here: a driver stays small.
        from nutdrv_py.backends.dummy.examine import examine

        return examine(self.config, self.clock, DEFAULTS)


def _items(data: bytes) -> tuple[Item, ...]:
    return parse(data.decode("utf-8", "replace"))


def _useless(command: Command) -> str:
    """Return why the command could only do harm; empty when it is good."""
    for name, value in command.values:
        if name.lower() == "ups.status":
            try:
                status_of(value)
            except DeviceError as error:
                return f"the command {command.name} is not offered: {error}"
    return ""
