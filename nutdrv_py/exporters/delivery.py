# SPDX-License-Identifier: GPL-2.0-or-later
"""Sets of lines on their way to a server that may be away: a bounded queue, and the one thread that waits for the server.

A server that is away, hangs or refuses costs memory up to a limit, and then the oldest points.
"""

from __future__ import annotations

import json
import re
import ssl
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from nutdrv_py.log import Trouble, log

__all__ = ["FLUSH", "Backlog", "Delivery", "RefusedError", "Send"]

MOST_BATCHES = 1440
"""Sets of points that are kept for a server that is away: two hours at the default interval."""

MOST_BYTES = 8 * 1024 * 1024
"""Bytes of them, compressed. An hour of a house with 180 objects takes 2.5 to 4 MB at the default interval."""

TIMEOUT = 10.0
"""Seconds for which a server may be silent: as in InfluxDB's own client for Python."""

FIRST_PAUSE = 1.0
"""Seconds after a failure before the next try; doubled with each one up to :data:`MOST_PAUSE`."""

MOST_PAUSE = 60.0
"""Seconds: when a server is back, its points come within a minute."""

FLUSH = 0.5
"""Seconds at the end in which what is queued may still be delivered."""

MOST_SAID = 200
"""Characters of a server's own words in the log."""

_PARTLY = re.compile(r"partial write.*\bdropped=(\d+)", re.DOTALL)
"""InfluxDB took a set but for so many points; for lines that it could not read at all the number is 0."""


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What becomes of points that were refused: kept for an administrator to mend it, or dropped because they stay wrong."""

    keep: bool
    sentence: str


_VERDICTS: Mapping[int, _Verdict] = {
    400: _Verdict(False, "refuses points"),
    401: _Verdict(True, "refuses the {credentials}: correct it in the section influxdb"),
    403: _Verdict(True, "does not let the {credentials} write to the {target}: give the right to write"),
    404: _Verdict(True, "has no {target}: create it, or correct the section influxdb"),
    413: _Verdict(False, "refuses points because a set of them is too large: raise its limit for the size of a request"),
    422: _Verdict(False, "refuses points"),
    429: _Verdict(True, "wants fewer requests: raise influxdb.interval"),
}
_OTHER = _Verdict(True, "takes no points now, status {status}")


class RefusedError(Exception):
    """The server's answer is not a success; ``body`` are its words."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


Send = Callable[[bytes], None]
"""Delivers lines; raises :class:`RefusedError`, or whatever the connection raises."""


@dataclass(frozen=True, slots=True)
class _Batch:
    data: bytes
    points: int


class Backlog:
    """The queue, for any thread: oldest first, bounded; what does not fit is dropped at its old end."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._batches: deque[_Batch] = deque()
        self._hand: _Batch | None = None
        self._bytes = 0
        self._closed = False
        self._trouble = Trouble()
        self.written = 0
        """Points that the server has taken."""
        self.dropped = 0
        """Points that were thrown away."""

    def add(self, lines: Sequence[str]) -> None:
        """Queue a set of lines, the newest."""
        batch = _Batch(zlib.compress("\n".join(lines).encode(), 1), len(lines))
        with self._changed:
            self._batches.append(batch)
            self._bytes += len(batch.data)
            self._shrink()
            self._changed.notify()

    def take(self, *, wait: bool) -> bytes | None:
        """Return the lines of the oldest set, in hand until :meth:`done` or :meth:`put_back`; None when there is none.

        ``wait`` for one; once the queue is closed, the rest is left to callers that do not wait.
        """
        with self._changed:
            if wait:
                self._changed.wait_for(lambda: self._batches or self._closed)
            if not self._batches or (wait and self._closed):
                return None
            self._hand = self._pop()
            return zlib.decompress(self._hand.data)

    def done(self, *, lost: int | None = 0) -> None:
        """Drop the set in hand, which has been dealt with; ``lost`` of its points were refused for good, None: all."""
        with self._changed:
            batch, self._hand = self._hand, None
            if batch is None:
                return
            lost = batch.points if lost is None else min(lost, batch.points)
            self.written += batch.points - lost
            self.dropped += lost
            if not self._batches:
                self._trouble.clear("full", f"InfluxDB has the points that were kept; dropped since the start: {self.dropped}")

    def put_back(self) -> None:
        """Put back the set in hand, which could not be delivered."""
        with self._changed:
            batch, self._hand = self._hand, None
            if batch is not None:
                self._batches.appendleft(batch)
                self._bytes += len(batch.data)
                self._shrink()

    def close(self) -> None:
        """Close the queue and wake waiting threads."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def lose(self) -> int:
        """Drop what is left, the set in hand too; how many points."""
        with self._changed:
            before = self.dropped
            if self._hand is not None:
                self.dropped += self._hand.points
                self._hand = None
            while self._batches:
                self.dropped += self._pop().points
            return self.dropped - before

    def _pop(self) -> _Batch:
        batch = self._batches.popleft()
        self._bytes -= len(batch.data)
        return batch

    def _shrink(self) -> None:
        while len(self._batches) > MOST_BATCHES or self._bytes > MOST_BYTES:
            self.dropped += self._pop().points
            self._trouble.report("full", "The points for InfluxDB are more than can be kept: from now on the oldest are dropped")


class Delivery(threading.Thread):
    """Sends what is in the backlog, in order, and explains what goes wrong.

    ``connect`` makes a :data:`Send` with a timeout in seconds; ``server``, ``credentials`` and ``target`` are words for
    sentences; the values of ``secrets`` are never shown; ``ended`` is called in this thread at its end.
    """

    def __init__(
        self,
        backlog: Backlog,
        connect: Callable[[float], AbstractContextManager[Send]],
        *,
        server: str,
        credentials: str,
        target: str,
        secrets: Sequence[str],
        ended: Callable[[], None],
    ) -> None:
        super().__init__(name="influxdb", daemon=True)
        self._backlog = backlog
        self._connect = connect
        self._server = server
        self._words = {"credentials": credentials, "target": target}
        self._secrets = tuple(filter(None, secrets))
        self._ended = ended
        self._stopping = threading.Event()
        self._until = 0.0
        self._pause = FIRST_PAUSE
        self._trouble = Trouble()

    def stop(self) -> None:
        """Try no more after :data:`FLUSH` seconds."""
        self._until = time.monotonic() + FLUSH
        self._stopping.set()
        self._backlog.close()

    def run(self) -> None:
        """Deliver until :meth:`stop`."""
        try:
            with self._connect(TIMEOUT) as send:
                while lines := self._backlog.take(wait=True):
                    if not self._deliver(send, lines):
                        self._stopping.wait(self._pause)
                        self._pause = min(2 * self._pause, MOST_PAUSE)
            self._flush()
        except Exception as error:
            # Without the text of the error, which a library may have made of our token.
            log.error("internal error, no more points for InfluxDB: %s; please report this", type(error).__name__)
        finally:
            self._ended()

    def _flush(self) -> None:
        left = self._until - time.monotonic()
        if left <= 0:
            return
        with self._connect(left) as send:
            while time.monotonic() < self._until and (lines := self._backlog.take(wait=False)):
                if not self._deliver(send, lines):
                    return

    def _deliver(self, send: Send, lines: bytes) -> bool:
        """Send the set in hand; return whether it is dealt with, else it is in the backlog again."""
        try:
            send(lines)
        except RefusedError as error:
            return self._refused(error)
        except Exception as error:
            self._backlog.put_back()
            self._trouble.report("server", f"{self._server} cannot be reached: {_why(error)}; the points are kept for it")
            return False
        self._backlog.done()
        self._well()
        return True

    def _refused(self, error: RefusedError) -> bool:
        verdict = _VERDICTS.get(error.status, _OTHER)
        said = self._said(error.body)
        sentence = f"{self._server} {verdict.sentence.format(status=error.status, **self._words)}"
        sentence += f" (it says: {said})" if said else ""
        if verdict.keep:
            self._backlog.put_back()
            if f"{error.status}" not in self._trouble.active():
                self._trouble.report(f"{error.status}", f"{sentence}; the points are kept for it")
            return False
        partly = _PARTLY.search(error.body)
        self._backlog.done(lost=max(1, int(partly.group(1))) if partly else None)
        self._well()
        # Not cleared by what is taken in between: what is wrong with points seldom heals.
        self._trouble.report("points", f"{sentence}; they are dropped")
        return True

    def _well(self) -> None:
        self._pause = FIRST_PAUSE
        was = [topic for topic in self._trouble.active() - {"points"} if self._trouble.clear(topic)]
        if was:
            log.info("%s takes points again", self._server)

    def _said(self, body: str) -> str:
        text = body
        try:
            found = json.loads(body)
            if isinstance(found, dict):
                text = str(found.get("message") or found.get("error") or "")
        except ValueError:
            pass
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())[:MOST_SAID]


def _why(error: BaseException) -> str:
    """Return what is behind an error of a library, without its own words: they hold addresses in memory, or more."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted ({cause.verify_message}), set influxdb.ca_cert"
        if isinstance(cause, TimeoutError):
            return "no answer in time"
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__
