# SPDX-License-Identifier: GPL-2.0-or-later
"""One TCP connection to an inverter's serial line, which is shared: every client hears every answer.

Answers are matched by object, never by order, and those that others have asked for are taken as well. A request may be
lost when it meets another client's, so a few are under way at a time, with a gap between them, and what is not answered is
asked again.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from nutdrv_py.clock import Clock
from nutdrv_py.errors import DeviceError, ProtocolError
from nutdrv_py.log import debug, log
from nutdrv_py.protocols.rct import payload
from nutdrv_py.protocols.rct.frame import ANSWERS, EXTENSION, Damage, FrameReader, read_request
from nutdrv_py.protocols.rct.objects import BY_OID, Object

__all__ = ["Counts", "Datum", "Line"]

GAP = 0.05
"""Seconds between two requests: clients that sent faster saw answers cut, slower than 0.1 would delay the grid."""

ANSWER = 1.0
"""Seconds to wait for an answer, which usually comes within 0.1."""

CONNECT = 3.0
"""Seconds to wait for the connection; on the local network a device answers sooner."""

SILENCE = 3
"""Requests without an answer, while nothing else was heard either, after which the rest is not asked: the inverter is away."""

IDLE = 0.3
"""Seconds without a byte after which an unfinished frame is finished: long ones do not hold where they end."""

SAMPLES = 9
"""Answers that make the line's pace. The slowest of them does not count: it may have been lost and asked for again."""

PATIENCE = 10.0
"""Seconds after which an answer is none to our request."""

TURN = 1024
"""Bytes read in one turn of the event loop; upsd is answered between turns. A real line carries 11 bytes in a millisecond."""

FRAMES = debug(5)
"""Level of the messages that show each frame."""

KEEP_ALIVE = (socket.TCP_KEEPIDLE, 10), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 3)
"""The network module vanishes without a word when its power goes; the kernel notices within 25 seconds."""


@dataclass(frozen=True, slots=True)
class Datum:
    """A value and the monotonic time at which it came."""

    value: payload.Value
    at: float


@dataclass(slots=True)
class Counts:
    """What happened on the line since the start."""

    bytes_received: int = 0
    bytes_sent: int = 0
    frames_received: int = 0
    frames_sent: int = 0
    unknown: int = 0
    """Answers for objects that are not in use, which others asked for."""
    foreign: int = 0
    """Frames that are no answers, or answers of an inverter behind this one."""
    payload: int = 0
    """Answers whose payload is not what the object's type has: they were cut short."""
    range: int = 0
    """Answers with a value outside the object's range."""
    lost: int = 0
    """Requests that brought no usable answer, however often they were repeated."""
    connections: int = 0


@dataclass(slots=True)
class _Asked:
    row: Object
    tries: int
    begun: bool = False
    sent: float = 0.0
    until: float = 0.0


class _Pace:
    """How long the line works on an answer: since it was asked for, or since the answer before it."""

    def __init__(self) -> None:
        self._samples: deque[float] = deque(maxlen=SAMPLES)
        self._asked: dict[int, float] = {}
        self._served = 0.0

    @property
    def seconds(self) -> float:
        if len(self._samples) < 3:
            return min(self._samples, default=0.0)
        return (sum(self._samples) - max(self._samples)) / (len(self._samples) - 1)

    def asked(self, oid: int, now: float) -> None:
        self._asked[oid] = now

    def answered(self, oid: int, now: float) -> None:
        asked = self._asked.pop(oid, None)
        if asked is not None and now - asked < PATIENCE:
            self._samples.append(now - max(asked, self._served))
        self._served = now

    def forget_requests(self) -> None:
        self._asked.clear()


class _Protocol(asyncio.Protocol):
    def __init__(self, line: Line) -> None:
        self._line = line

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        found = transport.get_extra_info("socket")
        if found is not None:
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in KEEP_ALIVE:
                found.setsockopt(socket.IPPROTO_TCP, name, value)

    def data_received(self, data: bytes) -> None:
        self._line.received(self, data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._line.dropped(self, exc)


class Line:
    """The line to the inverter at ``host``:``port``. ``window`` is how many requests may wait for their answers."""

    def __init__(self, host: str, port: int, clock: Clock, *, window: int) -> None:
        self.counts = Counts()
        self.gap: float | None = None
        """Seconds between two requests if not :data:`GAP`: a recording that is played needs none."""
        self.heard: float | None = None
        """Monotonic time of the last valid answer on this connection."""
        self.opened: float | None = None
        """Monotonic time at which the connection was made; None without one."""
        self._where = host, port
        self._clock = clock
        self._window = window
        self._reader = FrameReader()
        self._values: dict[str, Datum] = {}
        self._heard: dict[int, bool] = {}
        self._raw: dict[int, bool] = {}
        self._transport: asyncio.Transport | None = None
        self._protocol: _Protocol | None = None
        self._ended: str | None = None
        self._news = asyncio.Event()
        self._sent = 0.0
        self._pace = _Pace()
        self._idle: asyncio.TimerHandle | None = None
        self._pending = bytearray()
        self._turn: asyncio.Handle | None = None

    @property
    def values(self) -> Mapping[str, Datum]:
        """Return what is known, by the object's name; the caller looks at the age."""
        return MappingProxyType(self._values)

    @property
    def damage(self) -> Damage:
        """Return what the reader of frames had to throw away."""
        return self._reader.damage

    @property
    def pace(self) -> float:
        """Return the seconds the line needs for one answer, while others wait for theirs; 0 before any was given."""
        return self._pace.seconds

    @property
    def answers(self) -> int:
        """Return the number of valid answers heard so far, also those that others have asked for."""
        return self.counts.frames_received - self.counts.foreign

    def forget(self) -> None:
        """Forget all values: the inverter behind the address may be another one now."""
        self._values.clear()

    # The connection

    async def open(self) -> None:
        """Connect. Raises :class:`DeviceError`."""
        host, port = self._where
        loop = asyncio.get_running_loop()
        protocol = _Protocol(self)
        try:
            async with asyncio.timeout(CONNECT):
                transport, _ = await loop.create_connection(lambda: protocol, host, port)
        except TimeoutError:
            raise DeviceError(f"{host}:{port} does not answer within {CONNECT:.0f} s") from None
        except socket.gaierror as error:
            raise DeviceError(
                f"the name {host} cannot be resolved ({error.strerror}); write the inverter's address as port ="
            ) from None
        except OSError as error:
            raise DeviceError(f"{host}:{port} cannot be reached: {error.strerror or error}") from None
        self._transport, self._protocol, self._ended = transport, protocol, None
        self._reader.reset()
        self._pace.forget_requests()
        self.heard = None
        self.opened = self._clock.monotonic()
        self.counts.connections += 1

    def close(self) -> None:
        """End the connection, if there is one. It takes effect at once: the line may lock up until all clients are gone."""
        for handle in (self._idle, self._turn):
            if handle is not None:
                handle.cancel()
        self._idle = self._turn = None
        self._pending.clear()
        if self._transport is not None:
            self._transport.abort()
        self._transport = self._protocol = self.opened = None

    def received(self, protocol: _Protocol, data: bytes) -> None:
        """Take in bytes from the line."""
        if protocol is not self._protocol:
            return
        self.counts.bytes_received += len(data)
        if log.isEnabledFor(FRAMES):
            log.log(FRAMES, "<- %s", data.hex(" "))
        self._pending += data
        if self._turn is None:
            self._read_on()

    def _read_on(self) -> None:
        """Read a part of what has arrived; the rest has its turns after others have had theirs."""
        piece = bytes(self._pending[:TURN])
        del self._pending[:TURN]
        self._take(piece)
        loop = asyncio.get_running_loop()
        if self._idle is not None:
            self._idle.cancel()
        self._idle = None
        self._turn = loop.call_soon(self._read_on) if self._pending else None
        if self._transport is None:
            return
        if self._turn is not None:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()
            self._idle = loop.call_later(IDLE, self._flush)

    def dropped(self, protocol: _Protocol, error: Exception | None) -> None:
        """Note that the connection has ended."""
        if protocol is self._protocol:
            self._ended = f"the connection was closed by the inverter{f' ({error})' if error else ''}"
            self.close()
            self._news.set()

    def wake(self) -> None:
        """Send the extension frame, after which some firmware begins to answer."""
        self._send(EXTENSION)

    def _send(self, data: bytes) -> None:
        if self._transport is None:
            raise DeviceError(self._ended or "there is no connection to the inverter")
        self._transport.write(data)
        if log.isEnabledFor(FRAMES):
            log.log(FRAMES, "-> %s", data.hex(" "))
        self.counts.bytes_sent += len(data)
        self.counts.frames_sent += 1

    # Answers

    def _flush(self) -> None:
        self._idle = None
        self._take(None)

    def _take(self, data: bytes | None) -> None:
        for frame in self._reader.flush() if data is None else self._reader.feed(data):
            self.counts.frames_received += 1
            if frame.command not in ANSWERS or frame.address is not None:
                self.counts.foreign += 1
                continue
            self.heard = self._clock.monotonic()
            self._pace.answered(frame.oid, asyncio.get_running_loop().time())
            row = BY_OID.get(frame.oid)
            if row is None:
                self.counts.unknown += 1
                continue
            try:
                value = payload.decode(row.kind, frame.payload)
            except ProtocolError:
                self.counts.payload += 1
                self._heard[row.oid] = False
                continue
            self._heard[row.oid] = True
            if not row.plausible(value):
                self.counts.range += 1
                continue
            self._values[row.name] = Datum(value, self.heard)
        self._news.set()

    # Requests

    async def ask(
        self, rows: Iterable[Object], *, tries: int, until: float | None = None, least: int = 0
    ) -> dict[str, bool]:
        """Ask for objects, each up to ``tries`` times; gives by name whether it was answered.

        An answer that was out of range counts. No request beyond the first ``least`` is begun that would be answered after
        ``until`` (time of the event loop) at the line's pace; what was not begun is not in the result. When nothing at all is
        heard, the rest is not asked. Raises :class:`DeviceError` when the connection ends.
        """
        loop = asyncio.get_running_loop()
        waiting = [_Asked(row, tries) for row in reversed(list(rows))]
        heard_before, window, late = self.answers, self._window, 0
        under_way: dict[int, _Asked] = {}
        result: dict[str, bool] = {}
        while waiting or under_way:
            now = loop.time()
            if until is not None and (now >= until or now + self.pace * (len(under_way) + 1) > until):
                new = [asked for asked in waiting if not asked.begun]
                waiting = new[max(0, len(new) - least) :] + [asked for asked in waiting if asked.begun]
            if waiting and len(under_way) < window:
                pause = self._sent + (GAP if self.gap is None else self.gap) - now
                if pause <= 0:
                    asked = waiting.pop()
                    if not asked.begun:
                        self._heard.pop(asked.row.oid, None)
                        asked.begun, asked.sent = True, now
                        self._pace.asked(asked.row.oid, now)
                        least -= 1
                    under_way[asked.row.oid] = asked
                    asked.until = now + max(ANSWER, 2 * self.pace)
                    if not self._heard.get(asked.row.oid):
                        self._send(read_request(asked.row.oid, raw_crc=self._raw.get(asked.row.oid, False)))
                        self._sent = now
                        continue
                    # The answer to the first request has come late.
                    pause = 0.0
            else:
                pause = ANSWER
            if not under_way and not waiting:
                break
            ends = min((asked.until for asked in under_way.values()), default=now + pause)
            await self._wait(min(pause, max(0.0, ends - now)))
            late += self._settle(under_way, waiting, result, loop.time())
            # An inverter that needs longer for an answer is not helped by more questions.
            window = max(1, self._window - late)
            if late >= SILENCE and self.answers == heard_before:
                return {asked.row.name: False for asked in (*waiting, *under_way.values()) if asked.begun} | result
        return result

    async def _wait(self, seconds: float) -> None:
        self._news.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()
        if self._transport is None:
            raise DeviceError(self._ended or "there is no connection to the inverter")

    def _settle(self, under_way: dict[int, _Asked], waiting: list[_Asked], result: dict[str, bool], now: float) -> int:
        """Put away what was answered; what was not is asked again, or given up. Gives how many ran out of time."""
        late = 0
        for oid, asked in list(under_way.items()):
            heard = self._heard.get(oid)
            if heard:
                del under_way[oid]
                result[asked.row.name] = True
                for later in under_way.values():
                    if later.sent >= asked.sent:
                        # It is one serial line: what was asked after this one has its turn only now.
                        later.until = max(later.until, now + max(ANSWER, 2 * self.pace))
            elif heard is False or now >= asked.until:
                del under_way[oid]
                asked.tries -= 1
                late += heard is None
                # A few requests have a start byte or an escape in their CRC, and firmware may want it unescaped.
                self._raw[oid] = not self._raw.get(oid, False) and read_request(oid) != read_request(oid, raw_crc=True)
                if asked.tries > 0:
                    waiting.append(asked)
                else:
                    self.counts.lost += 1
                    result[asked.row.name] = False
        return late
