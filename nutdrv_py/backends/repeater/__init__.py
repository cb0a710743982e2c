# SPDX-License-Identifier: GPL-2.0-or-later
"""A UPS of another NUT server, served as one's own: what dummy-ups does in repeater mode.

Unlike dummy-ups it goes stale when the source does, passes on upsrw and upscmd (with ``username`` and ``password`` of the
other server's upsd.users, never without), and notices when it repeats itself. Text is served exactly as it is there, save
``driver.*``, which is each driver's own, and the order of the words in ``ups.status``.

**No TLS**: pynut2 has none, so the password and all data can be read on the way. Between machines use a user of its own
for this, or a tunnel.

See :mod:`~nutdrv_py.backends.repeater.line` for the connection, :mod:`~nutdrv_py.backends.repeater.mirror` for what is made
of the answers, :mod:`~nutdrv_py.backends.repeater.inventory` for what may be set.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from types import TracebackType
from typing import ClassVar, Self, TypeVar, cast

from nutdrv_py.backends.repeater.config import RepeaterConfig, check, source
from nutdrv_py.backends.repeater.inventory import Inventory
from nutdrv_py.backends.repeater.line import Line, Refusal, available
from nutdrv_py.backends.repeater.mirror import mirror
from nutdrv_py.clock import Clock
from nutdrv_py.device.backend import Backend, Writable
from nutdrv_py.device.findings import Finding
from nutdrv_py.device.reading import Reading, Status
from nutdrv_py.errors import CommandError, DeviceError, Result, StaleError
from nutdrv_py.log import Trouble, log
from nutdrv_py.nut.parseconf import MAX_VALUE

__all__ = ["Repeater"]

STALE = "DATA-STALE"
"""What a server answers whose driver does not reach the UPS."""

ANSWER = 5.0
"""Seconds in which the source must have answered a whole poll: a third of ``maxage``, so that a new connection may be tried
twice before the data are stale."""

LEARNING = 2.0
"""Seconds of each poll that may be used to ask what can be set."""

TELLING = 10.0
"""Seconds in which the source must have carried out a setting or command; no poll is made meanwhile, so less than ``maxage``."""

GRACE = 3.0
"""Seconds after which a thread that should have ended is no longer waited for. Only a name look-up can last that long."""

LOOK = 0.1
"""Seconds between two questions for the outcome of a setting or command."""

RETRY = (0.0, 2.0, 5.0, 10.0)
"""Seconds before the next attempts to connect; the last one repeats. Less than ``maxage``, so that a short restart of the
source goes unnoticed."""

OUTCOMES = {
    "VAR-NOT-SUPPORTED": Result.UNKNOWN, "CMD-NOT-SUPPORTED": Result.UNKNOWN, "UNKNOWN-UPS": Result.UNKNOWN,
    "UNKNOWN": Result.UNKNOWN, "READONLY": Result.INVALID, "TOO-LONG": Result.INVALID, "INVALID-VALUE": Result.INVALID,
    "INVALID-ARGUMENT": Result.INVALID,
}  # fmt: skip
"""Result for our client, by the source's ERR; :attr:`Result.FAILED` for any other."""

T = TypeVar("T")


class Repeater(Backend[RepeaterConfig]):
    """Another server's UPS."""

    Config: ClassVar[type[RepeaterConfig]] = RepeaterConfig
    description: ClassVar[str] = "Repeater"
    version: ClassVar[str] = "0.1"
    says_low: ClassVar[bool] = True
    says_fsd: ClassVar[bool] = True

    def __init__(self, config: RepeaterConfig, clock: Clock) -> None:
        super().__init__(config, clock)
        self.source = source(config.port)
        self.line = Line(self.source, clock, config.username, config.password)
        self._exposed = config.password is not None and not self.source.local
        self._inventory = Inventory()
        self._trouble = Trouble()
        self._identity = secrets.token_hex(4)
        self._job: asyncio.Future[object] | None = None
        self._spoiled = 0
        self._failures = 0
        self._not_before = 0.0
        self._why = ""

    @property
    def address(self) -> tuple[str, int]:
        """Return host and port of the other server."""
        return self.source.host, self.source.port

    @classmethod
    def check(cls, config: RepeaterConfig) -> None:
        """Refuse options that cannot work, and the start without pynut2."""
        check(config)
        available()

    @property
    def commands(self) -> frozenset[str]:
        """Return the source's instant commands, when there are credentials for them."""
        return self._inventory.commands if self.line.may_write else frozenset()

    @property
    def writable(self) -> Mapping[str, Writable]:
        """Return what the source lets set, when there are credentials for it."""
        return self._inventory.writable if self.line.may_write else {}

    async def __aenter__(self) -> Self:
        """Open nothing: each poll connects when it must."""
        if self._exposed:
            self._exposed = False
            log.warning(
                "The password for %s goes over the network as readable text, because pynut2 has no TLS; "
                "use a user that is for this alone, or a tunnel",
                self.source,
            )
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close the connection, unless a thread still waits on it."""
        if self._job is None or self._job.done():
            await asyncio.to_thread(self.line.close)

    async def poll(self) -> Reading:
        """Read all variables of the source. Raises :class:`DeviceError`; :class:`StaleError` when they are stale there."""
        self._wait_for_retry()
        try:
            values = await self._thread(self._fetch, ANSWER)
            reading = mirror(self.source, values, self._identity)
        except DeviceError as error:
            if self._job is not None and self._job.done():
                self._inventory.forget()
            if not self.line.opened:
                pause = RETRY[min(self._failures, len(RETRY) - 1)]
                self._failures += 1
                self._not_before = self.clock.monotonic() + pause
                self._why = str(error)
            if isinstance(error, Refusal) and error.code == STALE:
                raise StaleError(str(error)) from None
            raise
        self._failures = 0
        self._remark(values)
        return reading

    async def set(self, name: str, value: str) -> None:
        """Pass a setting on."""
        await self._tell("SET", "VAR", self.source.ups, name, value)

    async def command(self, name: str, param: str | None) -> None:
        """Pass an instant command on."""
        await self._tell("INSTCMD", self.source.ups, name, *([] if param is None else [param]))

    async def shutdown(self) -> None:
        """Refuse: others live on that UPS."""
        raise CommandError(f"shutdown not supported: the UPS is that of {self.source}; switch it off there", Result.FAILED)

    def examine(self, *, login: bool) -> AsyncIterator[Finding]:
        """Check the source; see :mod:`nutdrv_py.backends.repeater.examine`."""
        # Imported here: a driver stays small.
        from nutdrv_py.backends.repeater.examine import examine

        return examine(self.config, self.line, self._identity)

    def _wait_for_retry(self) -> None:
        if not self.line.opened and self.clock.monotonic() < self._not_before:
            raise DeviceError(self._why)

    def _remark(self, values: Mapping[str, str]) -> None:
        """Log once what is odd about the source but does not stop it from being repeated."""
        for token in Status.parse(values.get("ups.status", ""))[1]:
            self._trouble.report("tokens", f"{self.source}: the status {token[:40]!r} is not known here and left out")
        for topic, odd, text in (
            ("rows", self._spoiled, "some lines of the list are not in NUT's form and are left out"),
            ("login", self.line.rejected, "so nothing can be set there, only read"),
        ):
            if odd:
                self._trouble.report(topic, f"{odd}; {text}" if isinstance(odd, str) else f"{self.source}: {text}")
            else:
                self._trouble.clear(topic)

    # In a thread

    async def _thread(self, work: Callable[[], T], seconds: float) -> T:
        """Run ``work`` in a thread. A thread that hangs is left alone, and no second one is started beside it."""
        if self._job is not None and not self._job.done():
            raise DeviceError(f"{self.source}: the last question is still under way; does the name service answer?")
        job = asyncio.ensure_future(asyncio.to_thread(work))
        job.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._job = cast("asyncio.Future[object]", job)
        try:
            async with asyncio.timeout(seconds + GRACE):
                return await asyncio.shield(job)
        except TimeoutError:
            raise DeviceError(f"{self.source}: no answer in time; does the name service know {self.source.host}?") from None

    def _fetch(self) -> Mapping[str, str]:
        line = self.line
        line.begin(ANSWER)
        if not line.opened:
            line.open()
            self._inventory.forget()
        rows = line.rows("VAR")
        self._spoiled = line.spoiled
        values = {row[0]: " ".join(row[1:]) if row[0] == "ups.status" else row[1] for row in rows if len(row) > 1}
        if line.may_write:
            # The values are good; if the source is lost here, the next poll will fail.
            with contextlib.suppress(DeviceError):
                self._inventory.learn(line, values.keys(), ANSWER - LEARNING)
        return values

    async def _tell(self, *words: str) -> None:
        if len(words[-1]) > MAX_VALUE:
            raise CommandError(f"more than {MAX_VALUE} characters cannot be sent", Result.INVALID)
        self._wait_for_retry()
        try:
            await self._thread(lambda: self._carry_out(words), TELLING)
        except Refusal as refusal:
            raise CommandError(str(refusal), OUTCOMES.get(refusal.code, Result.FAILED)) from None

    def _carry_out(self, words: tuple[str, ...]) -> None:
        line = self.line
        line.begin(TELLING)
        line.open()
        if not line.may_write:
            raise CommandError(line.rejected or "there is no username and password for it", Result.FAILED)
        answer, done = line.ask(*words), "OK"
        if answer[:2] == ("OK", "TRACKING"):
            tracking, done = answer[-1], "SUCCESS"
            while (answer := line.ask("GET", "TRACKING", tracking)) == ("PENDING",):
                time.sleep(LOOK)
        if answer[0] != done:
            raise CommandError(f"{self.source}: the server answered {answer[0][:40]!r}", Result.FAILED)
