# SPDX-License-Identifier: GPL-2.0-or-later
"""Points for InfluxDB: made in the event loop, which takes one or two milliseconds, and delivered by a thread."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from urllib.parse import urlsplit

from nutdrv_py.core.telemetry import Source, View
from nutdrv_py.errors import ConfigError, ProtocolError
from nutdrv_py.exporters.base import Exporter
from nutdrv_py.exporters.config import InfluxDB
from nutdrv_py.exporters.delivery import FLUSH, Backlog, Delivery, RefusedError, Send
from nutdrv_py.exporters.points import device_points, driver_point, line
from nutdrv_py.log import Trouble, log
from nutdrv_py.protocols import http
from nutdrv_py.protocols.tls import trusting

__all__ = ["InfluxExporter"]

SLACK = 0.1
"""Seconds beyond the last flush that the thread gets to end; then it is left to die with the process."""

MOST_ANSWER = 64 * 1024
"""Maximum bytes of an answer; a server needs some hundred to name what it refuses."""

SAME = 0.1
"""Seconds: data whose times differ by less are the same. The time is reckoned from two clocks, and polls are a second apart."""


class InfluxExporter(Exporter):
    """Writes to InfluxDB 2.x and 1.8 with token, organisation and bucket; with ``database`` to any 1.x.

    ``oids`` are the numbers of RCT's objects by their names, for a tag of RctMon's ``raw_data``.
    """

    def __init__(self, sources: Sequence[Source], options: InfluxDB, *, oids: Mapping[str, int] = MappingProxyType({})) -> None:
        super().__init__(sources)
        self._options = options
        self._oids = oids
        self._backlog = Backlog()
        self._at: dict[str, float] = {}
        self._raw_at: dict[str, Mapping[str, float]] = {}
        self._trouble = Trouble()
        self._ended = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._delivery: Delivery | None = None

    @property
    def written(self) -> int:
        """Return the points that the server has taken."""
        return self._backlog.written

    @property
    def dropped(self) -> int:
        """Return the points that were thrown away: refused for good, or more than can be kept."""
        return self._backlog.dropped

    async def start(self) -> None:
        """Begin. Raises :class:`ConfigError` for a certificate file that cannot be used."""
        options = self._options
        tls = _tls(options)
        loop = asyncio.get_running_loop()

        def connect(timeout: float) -> contextlib.AbstractContextManager[Send]:
            return _connection(options, tls, timeout)

        def ended() -> None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._ended.set)

        self._delivery = Delivery(
            self._backlog,
            connect,
            server=f"InfluxDB at {urlsplit(options.url).netloc}",
            credentials="username or password" if options.database else "token",
            target=f"database {options.database}" if options.database else f"bucket {options.bucket} in {options.org}",
            secrets=(options.token, options.password),
            ended=ended,
        )
        self._delivery.start()
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End, after a last flush, within :data:`SLACK` seconds more than that may take."""
        if self._task is not None:
            self._task.cancel()
        if self._delivery is None:
            return
        self._delivery.stop()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), FLUSH + SLACK)
        lost = self._backlog.lose()
        if lost:
            log.warning("%d points could not be delivered to InfluxDB before the end and are lost", lost)

    def collect(self) -> int:
        """Queue the points of all sources; return their number."""
        lines = []
        for source in self.sources:
            view = source.view()
            points = [driver_point(view)]
            if self._is_new(view):
                points += device_points(view, self._oids, self._known(view))
            lines += [text for point in points if (text := line(point))]
        if lines:
            self._backlog.add(lines)
        return len(lines)

    async def _run(self) -> None:
        while True:
            try:
                self.collect()
            except Exception as error:
                if self._trouble.report("collect", f"internal error, no points for InfluxDB: {type(error).__name__}"):
                    log.error("please report this:", exc_info=error)
            await asyncio.sleep(self._options.interval)

    def _known(self, view: View) -> frozenset[str]:
        """Return the objects that were written already with their present time: a slow object is read rarely."""
        before = self._raw_at.get(view.ups, {})
        self._raw_at[view.ups] = view.raw_at
        return frozenset(name for name, at in view.raw_at.items() if abs(at - before.get(name, 0.0)) < SAME)

    def _is_new(self, view: View) -> bool:
        if view.answering:
            return True
        if view.stale or view.at is None or abs(view.at - self._at.get(view.ups, 0.0)) < SAME:
            return False
        self._at[view.ups] = view.at
        return True


def _tls(options: InfluxDB) -> ssl.SSLContext:
    try:
        return trusting(options.ca_cert)
    except OSError as error:
        why = "it holds no certificate" if isinstance(error, ssl.SSLError) else error.strerror
        raise ConfigError(f"influxdb.ca_cert: {options.ca_cert} cannot be used: {why}") from error


@contextlib.contextmanager
def _connection(options: InfluxDB, tls: ssl.SSLContext, timeout: float) -> Iterator[Send]:
    """Give the write call of 2.x, which 1.8 has too; with ``database`` that of 1.x. Nothing of an answer but its begin is
    kept."""
    import httpx

    if options.database:
        path, query = "/write", {"db": options.database}
        login, auth = {}, (options.username, options.password) if options.username else None
    else:
        path, query = "/api/v2/write", {"bucket": options.bucket, "org": options.org}
        login, auth = {"Authorization": f"Token {options.token}"} if options.token else {}, None
    headers = {**http.PLAIN, **login, "Content-Type": "text/plain; charset=utf-8"}
    url = options.url.rstrip("/") + path
    with httpx.Client(auth=auth, headers=headers, verify=tls, timeout=timeout, trust_env=False) as client:

        def send(data: bytes) -> None:
            with client.stream("POST", url, params={**query, "precision": "ms"}, content=data) as answer:
                try:
                    text = http.read_now(answer, MOST_ANSWER).decode("utf-8", "replace")
                except ProtocolError as error:
                    text = str(error)
            if not answer.is_success:
                raise RefusedError(answer.status_code, text)

        yield send
