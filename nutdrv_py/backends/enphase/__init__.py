# SPDX-License-Identifier: GPL-2.0-or-later
"""Enphase: a house with IQ Batteries behind an IQ Gateway, asked over its local interface.

``ups.status`` comes from one place: the first word of the grid relay's state. Everything else may be late, missing or
wrong without touching it. Here the gateway is asked; see :mod:`~nutdrv_py.backends.enphase.site` for what the answers mean,
:mod:`~nutdrv_py.backends.enphase.house` for what is made of them,
:mod:`~nutdrv_py.backends.enphase.schedule` for when it is asked what, :mod:`~nutdrv_py.backends.enphase.session` for
certificate and login, :mod:`~nutdrv_py.backends.enphase.client` for the connection.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import ClassVar
from urllib.parse import urlsplit

from nutdrv_py.backends.enphase import site
from nutdrv_py.backends.enphase.client import Absent, Late, Refused, decode
from nutdrv_py.backends.enphase.config import EnphaseConfig, check, credentials, gateway_url
from nutdrv_py.backends.enphase.house import House
from nutdrv_py.backends.enphase.jwt import DAY
from nutdrv_py.backends.enphase.schedule import ENDPOINTS, Endpoint, Schedule
from nutdrv_py.backends.enphase.session import Session
from nutdrv_py.backends.enphase.site import Grid, Identity
from nutdrv_py.clock import Clock
from nutdrv_py.device.backend import Backend
from nutdrv_py.device.findings import Finding
from nutdrv_py.device.mapping import find, to_number
from nutdrv_py.device.reading import Reading
from nutdrv_py.errors import DeviceError
from nutdrv_py.log import Trouble, log

__all__ = ["ENDPOINTS", "Endpoint", "Enphase"]

_RELAY = "/ivp/ensemble/relay"
_STATUS = "/ivp/ensemble/status"
_STREAM = "/ivp/livedata/stream"
_INFO = next(endpoint for endpoint in ENDPOINTS if endpoint.name == "info")

STREAM_AGAIN = 13 * 60.0
"""Seconds between two requests to keep the live stream on; the gateway ends it after 15 minutes."""

STANDSTILL = 4.0
"""Seconds without a new time stamp after which livedata are frozen: they move each second while they live."""

STREAM_RETRY = 60.0
"""Seconds before the stream is asked for again when livedata are frozen all the same."""

DEAF = 20.0
"""Seconds without an answer after which the gateway may have been restarted or upgraded: absent features are tried again."""

ALERT_MOST = 45.0
"""Maximum seconds between full polls off the grid: a doubted charge is confirmed by readings less than a minute apart."""


@dataclass(slots=True)
class _Datum:
    payload: object
    at: float


class Enphase(Backend[EnphaseConfig]):
    """The house battery behind an IQ Gateway (firmware 7 or later)."""

    Config: ClassVar[type[EnphaseConfig]] = EnphaseConfig
    description: ClassVar[str] = "Enphase IQ Gateway"
    version: ClassVar[str] = "0.1"
    tools: ClassVar[str] = "nutdrv_py.commands.tools_enphase:TOOLS"
    patience: ClassVar[int] = 90  # the gateway restarts each night

    def __init__(self, config: EnphaseConfig, clock: Clock, session: Session | None = None) -> None:
        super().__init__(config, clock)
        self._trouble = Trouble()
        self.session = session or Session(config, credentials(config), clock, self._trouble)
        self._schedule = Schedule()
        self._identity: Identity | None = None
        self._data: dict[str, _Datum] = {}
        self._relay: object = None
        self._house = House(clock)
        self._silent_since: float | None = None
        self._stream_at: float | None = None
        self._live_update: tuple[float | None, float] = (None, 0.0)
        self._live_age: float | None = None

    @classmethod
    def check(cls, config: EnphaseConfig) -> None:
        """Refuse options that cannot work."""
        check(config)

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close the connection."""
        await self.session.close()

    async def reload(self, config: EnphaseConfig) -> None:
        """Take over intervals and credentials."""
        self.session.reload(config, credentials(config))
        self.config = config

    # The poll

    async def poll(self) -> Reading:
        """Read the relay first and publish it at once when it has changed; then read what is due, one request at a time."""
        now = self.clock.monotonic()
        try:
            await self.session.meet()
            await self.session.authority.current(self.session.serial)
            state = await self._ask_relay()
            self._recognise()
        except DeviceError:
            self._silent_since = self._silent_since if self._silent_since is not None else now
            raise
        if self._silent_since is not None and self.clock.monotonic() - self._silent_since > DEAF:
            self._woken()
        self._silent_since = None
        if state is not self._house.grid:
            self._transfer(state)
        self.session.authority.maintain(self.session.serial, on_battery=not state.on_grid)
        first = not self._data.keys() - {"info"}
        await self._ask_due()
        if first and "livedata" not in self._data and self.clock.monotonic() - now <= self.config.pollinterval:
            # The first answer only showed that the stream was off. Clients make their sensors from the first reading.
            await self._ask_due()
        return self._reading()

    def _recognise(self) -> None:
        """Take in the gateway's identity, where that is news."""
        found, before = self.session.identity, self._identity
        if found is None or found is before:
            return
        if before is not None and before.software != found.software:
            self._schedule.woken()
        self._identity = found
        payload = {"sn": found.serial, "pn": found.part, "software": found.software}
        self._data["info"] = _Datum(payload, self.clock.monotonic())
        self._schedule.asked(_INFO, self.clock.monotonic(), 0.0)

    def _woken(self) -> None:
        """Ask anew after the gateway was away: it may have another firmware."""
        self._schedule.woken()
        self._stream_at = None

    def _transfer(self, state: Grid) -> None:
        """Publish at once that the relay has moved, then ask for all powers anew: those from before are of no use now."""
        self._house.transfer(state)
        self._schedule.transferred()
        self.publish(self._reading(early=True))
        for name in ("livedata", "power", "reports"):
            self._data.pop(name, None)
        self._house.settle()

    async def _ask_relay(self) -> Grid:
        try:
            try:
                self._relay = await self.session.ask(_RELAY)
            except Absent:
                # The same object is a part of a larger one.
                self._relay = find({"s": await self.session.ask(_STATUS)}, "s.relay")
        except Absent:
            raise DeviceError(site.NO_SYSTEM) from None
        except Late as error:
            raise DeviceError(f"{error}; if the gateway is only slow, write a longer api_timeout = into its section") from None
        return site.grid(self._relay)

    async def _ask_due(self) -> None:
        slow_left = len(ENDPOINTS) if not self._data.keys() - {"info"} else 1
        began = self.clock.monotonic()
        full = self._full
        for endpoint in self._schedule.order():
            now = self.clock.monotonic()
            if now - began > self.config.pollinterval:
                # The relay does not wait for several that hang; the others have their turn in the next poll.
                break
            if not self._schedule.due(endpoint, now) or (endpoint.meters and self.config.disable_meters):
                continue
            if endpoint.slow:
                if slow_left < 1:
                    continue
                slow_left -= 1
            self._schedule.asked(endpoint, now, full)
            try:
                await self._ask(endpoint)
            except (Absent, Refused) as error:
                # The relay was just answered with the same token, so a refusal is the role's or a stray one.
                found = self._schedule.missing(endpoint, now, full, alert=self._alert)
                if found == "lost":
                    self._trouble.report(endpoint.name, f"{endpoint.name}: {error}")
                elif found:
                    log.info("This gateway does not offer %s with this token: %s", endpoint.name, error)
            except DeviceError as error:
                self._schedule.failed(endpoint, now, self.clock.monotonic() - now)
                self._trouble.report(endpoint.name, f"{endpoint.name}: {error}")
            else:
                self._schedule.answered(endpoint)
                self._trouble.clear(endpoint.name, f"{endpoint.name} is answered again")

    @property
    def _alert(self) -> bool:
        return self._house.grid is None or not self._house.grid.on_grid

    @property
    def _full(self) -> float:
        """Return the seconds from one full poll to the next."""
        config = self.config
        return float(min(config.pollfreq, config.pollfreqalert, ALERT_MOST) if self._alert else config.pollfreq)

    async def _ask(self, endpoint: Endpoint) -> None:
        timeout = float(self.config.api_timeout)
        session = self.session
        token = await session.authority.current(session.serial)
        if endpoint is _INFO:
            session.introduced(site.identity((await session.gateway.get(endpoint.path, timeout=timeout)).body))
            self._recognise()
            return
        answer = await session.gateway.get(endpoint.path, timeout=timeout, token=token.text)
        try:
            payload = decode(answer.body)
        except DeviceError as error:
            raise DeviceError(f"{endpoint.path} answered {error}") from None
        if not isinstance(payload, dict | list):
            raise DeviceError(f"{endpoint.path} answered neither an object nor a list")
        if endpoint.name == "livedata":
            await self._live(payload, answer.date, token.text)
            return
        self._data[endpoint.name] = _Datum(payload, self.clock.monotonic())

    # Live data

    async def _live(self, payload: object, gateway_time: float | None, token: str) -> None:
        """Take over livedata if they live: the stream must be on, young by the gateway's clock, and moving."""
        now = self.clock.monotonic()
        stream = find({"l": payload}, "l.connection.sc_stream")
        update = to_number(find({"l": payload}, "l.meters.last_update"))
        age = site.live_age(payload, gateway_time, self.clock.wall())
        if update != self._live_update[0]:
            self._live_update = update, now
        still = now - self._live_update[1] > STANDSTILL
        self._live_age = age
        frozen = stream != "enabled" or age is None or age > site.LIVE_AGE or still
        if frozen:
            self._data.pop("livedata", None)
        else:
            self._data["livedata"] = _Datum(payload, now)
            self._trouble.clear("stream", "livedata are live again")
        wait = STREAM_RETRY if frozen else STREAM_AGAIN
        if self._stream_at is None or now - self._stream_at >= wait:
            if frozen and self._stream_at is not None:
                text = "livedata are frozen although the stream was asked for; slower answers of the gateway are used instead"
                self._trouble.report("stream", text)
            self._stream_at = now
            try:
                await self.session.gateway.post(_STREAM, {"enable": 1}, timeout=float(self.config.api_timeout), token=token)
            except DeviceError as error:
                self._trouble.report("stream", f"The live data stream could not be switched on: {error}")

    # The reading

    def _raw(self) -> dict[str, object]:
        """Return the payloads that still count."""
        now = self.clock.monotonic()
        ages = {endpoint.name: endpoint.age for endpoint in ENDPOINTS}
        slack = 2.5 * max(self.config.pollfreq, self.config.pollinterval)
        raw = {name: datum.payload for name, datum in self._data.items() if now - datum.at <= max(ages.get(name, 0.0), slack)}
        raw["relay"] = self._relay
        return raw

    def _reading(self, *, early: bool = False) -> Reading:
        """Return everything that is known now; ``early`` when the relay has just moved and the powers are those from before."""
        token = self.session.authority.token
        return self._house.reading(
            self._raw(),
            {name: datum.at for name, datum in self._data.items()},
            self.config,
            token_days=int(token.left(self.clock.wall()) // DAY) if token is not None else None,
            live_age=self._live_age,
            early=early,
        )

    @property
    def ages(self) -> Mapping[str, float]:
        """Return the seconds since each endpoint has answered, by its name."""
        now = self.clock.monotonic()
        return {name: now - datum.at for name, datum in self._data.items()}

    # The operator's check

    @property
    def address(self) -> tuple[str, int]:
        """Return host and port of the gateway."""
        parts = urlsplit(gateway_url(self.config.port))
        return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)

    def examine(self, *, login: bool) -> AsyncIterator[Finding]:
        """Check gateway and account; see :mod:`nutdrv_py.backends.enphase.examine`."""
        # Imported here: a driver stays small.
        from nutdrv_py.backends.enphase.examine import examine

        paths = {endpoint.name: endpoint.path for endpoint in ENDPOINTS}
        return examine(self.config, self.clock, {"relay": _RELAY, **paths}, login=login)
