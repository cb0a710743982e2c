# SPDX-License-Identifier: GPL-2.0-or-later
"""The TCP connection to an inverter's serial line: made, read in turns, ended."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from types import MappingProxyType

from nutdrv_py.backends.rct.heard import Datum, Heard
from nutdrv_py.clock import Clock
from nutdrv_py.errors import DeviceError
from nutdrv_py.log import debug, log
from nutdrv_py.protocols.rct.frame import EXTENSION
from nutdrv_py.protocols.rct.reader import Damage, FrameReader

__all__ = ["TURN", "Connection"]

CONNECT = 3.0
"""Seconds to wait for the connection; on the local network a device answers sooner."""

IDLE = 0.3
"""Seconds without a byte after which an unfinished frame is finished: long ones do not hold where they end."""

TURN = 1024
"""Bytes read in one turn of the event loop; upsd is answered between turns. A real line carries 11 bytes in a millisecond."""

FRAMES = debug(5)
"""Level of the messages that show each frame."""

KEEP_ALIVE = (socket.TCP_KEEPIDLE, 10), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 3)
"""The network module vanishes without a word when its power goes; the kernel notices within 25 seconds."""


class _Protocol(asyncio.Protocol):
    def __init__(self, line: Connection) -> None:
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


class Connection:
    """The connection to ``host``:``port``, and what was heard on it."""

    def __init__(self, host: str, port: int, clock: Clock) -> None:
        self.opened: float | None = None
        """Monotonic time at which the connection was made; None without one."""
        self._where = host, port
        self._clock = clock
        self._reader = FrameReader()
        self._heard = Heard()
        self.counts = self._heard.counts
        self._transport: asyncio.Transport | None = None
        self._protocol: _Protocol | None = None
        self._ended: str | None = None
        self._news: asyncio.Future[None] | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._pending = bytearray()
        self._turn: asyncio.Handle | None = None

    @property
    def values(self) -> Mapping[str, Datum]:
        """Return what is known, by the object's name; the caller looks at the age."""
        return MappingProxyType(self._heard.values)

    @property
    def heard(self) -> float | None:
        """Monotonic time of the last valid answer on this connection."""
        return self._heard.at

    @property
    def damage(self) -> Damage:
        """Return what the reader of frames had to throw away."""
        return self._reader.damage

    @property
    def pace(self) -> float:
        """Return the seconds the line needs for one answer, while others wait for theirs; 0 before any was given."""
        return self._heard.pace.seconds

    @property
    def answers(self) -> int:
        """Return the number of valid answers heard so far, also those that others have asked for."""
        return self.counts.frames_received - self.counts.foreign

    def forget(self) -> None:
        """Forget all values: the inverter behind the address may be another one now."""
        self._heard.values.clear()

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
        self._heard.pace.forget_requests()
        self._heard.at = None
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
        if self._transport is None:
            self._turn = None
        elif self._pending:
            self._transport.pause_reading()
            self._turn = loop.call_soon(self._read_on)
        else:
            if self._turn is not None:
                self._turn = None
                self._transport.resume_reading()
            if self._reader.unfinished:
                self._idle = loop.call_later(IDLE, self._flush)

    def dropped(self, protocol: _Protocol, error: Exception | None) -> None:
        """Note that the connection has ended."""
        if protocol is self._protocol:
            self._ended = f"the connection was closed by the inverter{f' ({error})' if error else ''}"
            self.close()
            self._notify()

    def wake(self) -> None:
        """Send the extension frame, after which some firmware begins to answer."""
        self._send(EXTENSION)

    def _send(self, data: bytes, frames: int = 1) -> None:
        if self._transport is None:
            raise DeviceError(self._ended or "there is no connection to the inverter")
        self._transport.write(data)
        if log.isEnabledFor(FRAMES):
            log.log(FRAMES, "-> %s", data.hex(" "))
        self.counts.bytes_sent += len(data)
        self.counts.frames_sent += frames

    # Answers

    def _flush(self) -> None:
        self._idle = None
        self._take(None)

    def _take(self, data: bytes | None) -> None:
        frames = self._reader.flush() if data is None else self._reader.feed(data)
        self._heard.take(frames, self._clock.monotonic(), asyncio.get_running_loop().time())
        if self._is_awaited():
            self._notify()

    def _is_awaited(self) -> bool:
        """Return whether the task that waits has to know of what has just come."""
        return True

    def _notify(self) -> None:
        """Wake the task that waits for answers, or for the end of the connection."""
        if self._news is not None and not self._news.done():
            self._news.set_result(None)
