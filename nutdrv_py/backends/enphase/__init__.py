# SPDX-License-Identifier: GPL-2.0-or-later
"""Enphase: a house with IQ Batteries behind an IQ Gateway, asked over its local interface.

``ups.status`` comes from one place: the first word of the grid relay's state. Everything else may be late, missing or
wrong without touching it. Here the gateway is asked; see :mod:`~nutdrv_py.backends.enphase.site` for what the answers mean,
:mod:`~nutdrv_py.backends.enphase.house` for what is made of them,
:mod:`~nutdrv_py.backends.enphase.client` for the connection, :mod:`~nutdrv_py.backends.enphase.token` for the login.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import ClassVar
from urllib.parse import urlsplit

from nutdrv_py.backends.enphase import site
from nutdrv_py.backends.enphase.client import Absent, Gateway, Late, Refused, Stranger, Unreachable, decode
from nutdrv_py.backends.enphase.config import EnphaseConfig, check, credentials, gateway_url, token_path
from nutdrv_py.backends.enphase.house import House
from nutdrv_py.backends.enphase.jwt import DAY
from nutdrv_py.backends.enphase.older import AGAIN, old_firmware
from nutdrv_py.backends.enphase.pin import Pin
from nutdrv_py.backends.enphase.site import Grid, Identity
from nutdrv_py.backends.enphase.token import Authority
from nutdrv_py.clock import Clock
from nutdrv_py.device.backend import Backend
from nutdrv_py.device.findings import Finding
from nutdrv_py.device.mapping import find, to_number
from nutdrv_py.device.reading import Reading
from nutdrv_py.errors import AuthError, DeviceError
from nutdrv_py.log import Trouble, log

__all__ = ["ENDPOINTS", "Endpoint", "Enphase"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A path of the gateway: how often it is asked and how long its answer counts, in seconds.

    ``every`` 0 means in each poll, -1 with each full poll (``pollfreq``). Of the ``slow`` ones only one is asked per poll,
    so that the relay does not wait for several.
    """

    name: str
    path: str
    every: float
    age: float
    slow: bool = False
    meters: bool = False


# fmt: off
ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("livedata",  "/ivp/livedata/status",     0,     120),
    Endpoint("secctrl",   "/ivp/ensemble/secctrl",    -1,    600),
    Endpoint("power",     "/ivp/ensemble/power",      -1,    180),
    Endpoint("reports",   "/ivp/meters/reports",      -1,    180,    meters=True),
    Endpoint("meters",    "/ivp/meters",              3600,  4e4,    meters=True),
    Endpoint("inventory", "/ivp/ensemble/inventory",  300,   3600,   slow=True),
    Endpoint("status",    "/ivp/ensemble/status",     14400, 4e4,    slow=True),
    Endpoint("info",      "/info",                    14400, 1e9,    slow=True),
)
# fmt: on
_RELAY = "/ivp/ensemble/relay"
_STATUS = "/ivp/ensemble/status"
_STREAM = "/ivp/livedata/stream"
_CHECK = "/auth/check_jwt"

STREAM_AGAIN = 13 * 60.0
"""Seconds between two requests to keep the live stream on; the gateway ends it after 15 minutes."""

STANDSTILL = 4.0
"""Seconds without a new time stamp after which livedata are frozen: they move each second while they live."""

STREAM_RETRY = 60.0
"""Seconds before the stream is asked for again when livedata are frozen all the same."""

RETRY = 30.0
"""Seconds before an endpoint that failed is asked again, if it is not asked with each poll."""

QUICK = 1.0
"""Seconds within which a failure counts as quick: it may be asked for again in the next poll."""

REAUTHENTICATE = 60.0
"""Seconds between two attempts to find out why the gateway refuses the token."""

NEW_TOKEN = 3600.0
"""Seconds between two new tokens because of refusals: a gateway with a wrong clock refuses good ones."""

DEAF = 20.0
"""Seconds without an answer after which the gateway may have been restarted or upgraded: absent features are tried again."""

ALERT_MOST = 45.0
"""Seconds between full polls off the grid, at most: a doubted charge is confirmed by readings less than a minute apart."""

PROBE = (60.0, 600.0, 3600.0)
"""Seconds before a feature that is absent is asked for again; the last one repeats. A stray answer must not hide it for good.

Off the grid what tells charge or power is asked for with each full poll: without a charge there is no LB.
"""


@dataclass(slots=True)
class _Datum:
    payload: object
    at: float


class Enphase(Backend[EnphaseConfig]):
    """The house battery behind an IQ Gateway (firmware 7 or later)."""

    Config: ClassVar[type[EnphaseConfig]] = EnphaseConfig
    description: ClassVar[str] = "Enphase IQ Gateway"
    version: ClassVar[str] = "0.1"
    patience: ClassVar[int] = 90  # the gateway restarts each night

    def __init__(self, config: EnphaseConfig, clock: Clock) -> None:
        super().__init__(config, clock)
        options = config
        self._trouble = Trouble()
        self._pin = Pin(options, self._trouble)
        self._gateway = Gateway(gateway_url(options.port), self._pin.trusts)
        self._authority = Authority(options, credentials(options), token_path(options), clock, self._trouble)
        self._identity: Identity | None = None
        self._known = False
        self._older_at: float | None = None
        self._old = ""
        self._data: dict[str, _Datum] = {}
        self._next: dict[str, float] = {}
        self._absent: dict[str, int] = {}
        self._answered: set[str] = set()
        self._relay: object = None
        self._house = House(clock)
        self._silent_since: float | None = None
        self._stream_at: float | None = None
        self._live_update: tuple[float | None, float] = (None, 0.0)
        self._live_age: float | None = None
        self._checked_at: float | None = None
        self._token_at: float | None = None

    @classmethod
    def check(cls, config: EnphaseConfig) -> None:
        """Refuse options that cannot work."""
        check(config)

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close the connection."""
        self._authority.close()
        await self._gateway.close()

    async def reload(self, config: EnphaseConfig) -> None:
        """Take over intervals, thresholds and credentials."""
        found = credentials(config)
        self.config = config
        self._authority.reload(self.config, found)
        self._checked_at = self._token_at = None

    # The poll

    async def poll(self) -> Reading:
        """The relay first, published at once when it has changed; then what is due, one request at a time."""
        now = self.clock.monotonic()
        try:
            await self._meet()
            await self._authority.current(self._serial)
            state = await self._ask_relay()
        except DeviceError:
            self._silent_since = self._silent_since if self._silent_since is not None else now
            raise
        if self._silent_since is not None and self.clock.monotonic() - self._silent_since > DEAF:
            self._woken()
        self._silent_since = None
        if state is not self._house.grid:
            self._transfer(state)
        self._authority.maintain(self._serial, on_battery=not state.on_grid)
        first = not self._data.keys() - {"info"}
        await self._ask_due()
        if first and "livedata" not in self._data and self.clock.monotonic() - now <= self.config.pollinterval:
            # The first answer only showed that the stream was off. Clients make their sensors from the first reading.
            await self._ask_due()
        return self._reading()

    @property
    def _serial(self) -> str:
        if self._identity is not None:
            return self._identity.serial
        return self.config.serial or self._pin.serial

    def _woken(self) -> None:
        """The gateway was away: it may have another firmware now."""
        self._ask_absent_again()
        self._next["info"] = 0.0
        self._stream_at = None

    def _ask_absent_again(self) -> None:
        for name in self._absent:
            self._next[name] = 0.0
        self._absent.clear()

    def _transfer(self, state: Grid) -> None:
        """The relay has moved: say so at once, then ask for all powers anew, those from before say nothing of what flows now."""
        self._house.transfer(state)
        for endpoint in ENDPOINTS:
            if endpoint.every <= 0:
                self._next[endpoint.name] = 0.0
        self.publish(self._reading(early=True))
        for name in ("livedata", "power", "reports"):
            self._data.pop(name, None)
        self._house.settle()

    async def _ask_relay(self) -> Grid:
        timeout = float(self.config.api_timeout)
        try:
            try:
                self._relay = await self._authorised(_RELAY, timeout)
            except Absent:
                # The same object is a part of a larger one.
                self._relay = find({"s": await self._authorised(_STATUS, timeout)}, "s.relay")
        except Absent:
            raise DeviceError(site.NO_SYSTEM) from None
        except Late as error:
            raise DeviceError(f"{error}; if the gateway is only slow, write a longer api_timeout = into its section") from None
        return site.grid(self._relay)

    async def _ask_due(self) -> None:
        slow_left = len(ENDPOINTS) if not self._data.keys() - {"info"} else 1
        began = self.clock.monotonic()
        full = self._full
        for endpoint in sorted(ENDPOINTS, key=lambda endpoint: self._next.get(endpoint.name, 0.0)):
            now = self.clock.monotonic()
            if now - began > self.config.pollinterval:
                # The relay does not wait for several that hang; the others have their turn in the next poll.
                break
            if self._next.get(endpoint.name, 0.0) > now:
                continue
            if endpoint.meters and self.config.disable_meters:
                continue
            if endpoint.slow:
                if slow_left < 1:
                    continue
                slow_left -= 1
            every = full if endpoint.every < 0 else endpoint.every
            self._next[endpoint.name] = now + every
            try:
                await self._ask(endpoint)
            except (Absent, Refused) as error:
                # The relay was just answered with the same token, so a refusal is the role's or a stray one.
                self._missing(endpoint, error, now)
            except DeviceError as error:
                # One that hangs must not take the time of the others in each poll; one that fails at once costs nothing.
                took = self.clock.monotonic() - now
                self._next[endpoint.name] = now + (RETRY if every > 0 or took > QUICK else 0.0)
                self._trouble.report(endpoint.name, f"{endpoint.name}: {error}")
            else:
                self._answered.add(endpoint.name)
                self._absent.pop(endpoint.name, None)
                self._trouble.clear(endpoint.name, f"{endpoint.name} is answered again")

    @property
    def _alert(self) -> bool:
        return self._house.grid is None or not self._house.grid.on_grid

    @property
    def _full(self) -> float:
        """Seconds from one full poll to the next."""
        config = self.config
        return float(min(config.pollfreq, config.pollfreqalert, ALERT_MOST) if self._alert else config.pollfreq)

    def _missing(self, endpoint: Endpoint, error: DeviceError, now: float) -> None:
        """The gateway says that it does not have the endpoint, or not for this role. What it had before it has again soon."""
        if endpoint.name in self._answered:
            self._next[endpoint.name] = now + RETRY
            self._trouble.report(endpoint.name, f"{endpoint.name}: {error}")
            return
        tries = self._absent.get(endpoint.name, 0)
        self._absent[endpoint.name] = tries + 1
        wait = PROBE[min(tries, len(PROBE) - 1)]
        self._next[endpoint.name] = now + (min(wait, self._full) if self._alert and endpoint.every <= 0 else wait)
        if not tries:
            log.info("%s is not to be had from this gateway with this token: %s", endpoint.name, error)

    async def _ask(self, endpoint: Endpoint) -> None:
        timeout = float(self.config.api_timeout)
        token = await self._authority.current(self._serial)
        if endpoint.name == "info":
            answer = await self._gateway.get(endpoint.path, timeout=timeout)
            self._introduced(site.identity(answer.body))
            return
        answer = await self._gateway.get(endpoint.path, timeout=timeout, token=token.text)
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
            self._trouble.clear("stream", "livedata are live")
        wait = STREAM_RETRY if frozen else STREAM_AGAIN
        if self._stream_at is None or now - self._stream_at >= wait:
            if frozen and self._stream_at is not None:
                self._trouble.report("stream", "livedata are frozen although the stream was asked for; other sources serve")
            self._stream_at = now
            try:
                await self._gateway.post(_STREAM, {"enable": 1}, timeout=float(self.config.api_timeout), token=token)
            except DeviceError as error:
                self._trouble.report("stream", f"The live data stream could not be switched on: {error}")

    # Login and identity

    async def _authorised(self, path: str, timeout: float) -> object:
        """GET with the token; a refusal and a new certificate are each looked into once, then the request is repeated."""
        refused = met = False
        while True:
            token = await self._authority.current(self._serial)
            try:
                answer = await self._gateway.get(path, timeout=timeout, token=token.text)
                break
            except Refused as error:
                if refused or not await self._reauthenticate():
                    raise AuthError(self._refusal(error)) from None
                refused = True
            except Stranger as error:
                if met:
                    raise
                await self._new_certificate(error)
                # Its cookie was not kept, so it may want another one.
                met, self._checked_at = True, None
        try:
            return decode(answer.body)
        except DeviceError as error:
            raise DeviceError(f"{path} answered {error}") from None

    def _refusal(self, error: Refused) -> str:
        token = self._authority.token
        left = token.left(self.clock.wall()) / DAY if token else 0.0
        ends = f"has {left:.0f} days left" if left > 0 else "has ended"
        return (
            f"{error}; the token {ends}. Is it for this gateway, and is the gateway's clock right "
            "(it is wrong after a power loss without internet)?"
        )

    async def _reauthenticate(self) -> bool:
        """After a refusal: renew an ended token; else show it to the gateway once; else fetch one new token.

        True when it is worth trying again.
        """
        now = self.clock.monotonic()
        token = await self._authority.current(self._serial)
        ended = token.left(self.clock.wall()) <= 0
        if not ended and (self._checked_at is None or now - self._checked_at >= REAUTHENTICATE):
            self._checked_at = now
            with contextlib.suppress(DeviceError):
                await self._gateway.get(_CHECK, timeout=float(self.config.api_timeout), token=token.text)
                return True
        if self._token_at is not None and now - self._token_at < NEW_TOKEN:
            return False
        try:
            await self._authority.fetch(self._serial)
        except AuthError as error:
            self._trouble.report("renewal", f"No new token: {error}")
            return False
        self._token_at = now
        return True

    async def _meet(self) -> None:
        """Learn serial number and certificate before anything secret is sent.

        /info may be out of order for ever. Then a gateway that is known by its certificate is asked for the relay all the same.
        """
        if self._identity is not None or self._known:
            return
        timeout = float(self.config.api_timeout)
        try:
            found = site.identity((await self._gateway.get("/info", timeout=timeout)).body)
        except Stranger as error:
            await self._new_certificate(error)
            return
        except DeviceError as error:
            refused = isinstance(error, Unreachable) and error.refused and not self._pin.serial
            if refused and (sentence := await self._older()):
                raise DeviceError(sentence) from None
            if not self._certified():
                unhelped = self.config.serial or not self._gateway.seen
                advice = "" if unhelped else "; with serial = in its section the driver may start without it"
                raise DeviceError(f"{error}{advice}") from None
            self._known = True
            return
        self._introduced(found)

    def _certified(self) -> bool:
        """Return whether the certificate says enough of a gateway that does not say who it is.

        A remembered or named certificate does, for ``serial =`` or the remembered one. The first certificate of all does when it
        is made out to ``serial =``: anybody could show such a one, but could also write that number into /info, so the token
        goes to no stranger more easily. Any other certificate waits for /info.
        """
        serial = self.config.serial
        if self._pin.serial or (serial and not self._pin.changeable and self._gateway.seen):
            return True
        if not serial or not self._named(serial) or not self._pin.trusts(self._gateway.seen):
            return False
        self._pin.introduced(serial, self._gateway.key)
        return True

    async def _older(self) -> str:
        """Return what is said of firmware that has no HTTPS; empty when it is not that. Asked every ten minutes."""
        now = self.clock.monotonic()
        if self._older_at is None or now - self._older_at >= AGAIN:
            self._older_at = now
            self._old = await old_firmware(gateway_url(self.config.port))
        return self._old

    def _named(self, serial: str) -> bool:
        """Return whether the certificate seen last is made out to the gateway ``serial``."""
        return bool(self._gateway.seen) and self._gateway.name.lower() == f"envoy-{serial}".lower()

    def _introduced(self, found: Identity) -> None:
        """The gateway has said who it is. Raises DeviceError when it is not the one that is meant."""
        wanted = self.config.serial
        port = self.config.port
        if wanted is not None and found.serial != wanted:
            self._identity, self._known = None, False
            raise DeviceError(
                f"the gateway at {port} is {found.serial}, but serial = {wanted}; correct port or serial in ups.conf"
            )
        if self._identity is not None and found.serial != self._identity.serial:
            before, self._identity, self._known = self._identity.serial, None, False
            raise DeviceError(f"another gateway answers at {port}: {found.serial} instead of {before}; write serial = to decide")
        if found.major is not None and found.major < 7:
            raise DeviceError(
                f"the gateway at {port} has firmware {found.software}; batteries need firmware 7 or later, "
                "which Enphase's support installs"
            )
        if self._identity is not None and found.software != self._identity.software:
            log.info("The gateway's firmware has changed from %s to %s", self._identity.software, found.software)
            self._ask_absent_again()
        self._identity = found
        self._next["info"] = self.clock.monotonic() + next(e.every for e in ENDPOINTS if e.name == "info")
        self._data["info"] = _Datum(
            {"sn": found.serial, "pn": found.part, "software": found.software}, self.clock.monotonic()
        )
        self._pin.introduced(found.serial, self._gateway.key)

    # The certificate

    async def _new_certificate(self, stranger: Stranger) -> None:
        """A certificate that is not the pinned one: gateways make a new one each year and at upgrades.

        It is taken if it holds the remembered key, or if its owner names the same serial number: in /info, asked without a token,
        or in the certificate when /info is out of order. It is logged.
        """
        if not self._pin.changeable or not stranger.fingerprint:
            raise DeviceError(
                f"{stranger} (SHA-256 {stranger.fingerprint or 'unknown'}); if that is the gateway's new one, put it into "
                f"certificate = {self.config.certificate}"
            )
        expected = self._pin.serial or self.config.serial or ""
        found: Identity | None = None
        try:
            answer, fingerprint = await self._gateway.meet("/info", timeout=float(self.config.api_timeout))
            found = site.identity(answer.body)
        except DeviceError:
            fingerprint = self._gateway.seen
            if not expected or not (self._named(expected) or (self._pin.serial and self._pin.same_key(self._gateway.key))):
                raise
        serial = found.serial if found is not None else expected
        if fingerprint != stranger.fingerprint or (expected and serial != expected):
            raise DeviceError(
                f"the certificate at {self.config.port} has changed and the gateway names serial {serial} instead of "
                f"{expected}: nothing secret was sent. If the gateway was replaced, remove {self._pin.path}"
            )
        change, same = self.config.certificate_change, self._pin.same_key(self._gateway.key)
        if not same and change != "accept":
            what = f"; if it was updated, type: rm {self._pin.path}" if change == "ask" else "; certificate_change = refuse"
            raise DeviceError(
                f"the gateway at {self.config.port} shows a certificate with another key and names serial {serial}, as "
                f"anybody on the network could: nothing secret was sent{what}"
            )
        log.warning(
            "The gateway %s shows a new certificate (SHA-256 %s) with %s; it is trusted from now on",
            serial, fingerprint, "the same key" if same else "another key, and named the right serial number",
        )  # fmt: skip
        if found is not None:
            self._introduced(found)
        self._known = True
        self._pin.remember(serial, fingerprint, self._gateway.key)

    # The reading

    def _raw(self) -> dict[str, object]:
        """The payloads that still count."""
        now = self.clock.monotonic()
        ages = {endpoint.name: endpoint.age for endpoint in ENDPOINTS}
        slack = 2.5 * max(self.config.pollfreq, self.config.pollinterval)
        raw = {
            name: datum.payload for name, datum in self._data.items() if now - datum.at <= max(ages.get(name, 0.0), slack)
        }
        raw["relay"] = self._relay
        return raw

    def _reading(self, *, early: bool = False) -> Reading:
        """Everything that is known now; ``early`` when the relay has just moved and the powers are those from before."""
        token = self._authority.token
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
        """Seconds since each endpoint has answered, by its name."""
        now = self.clock.monotonic()
        return {name: now - datum.at for name, datum in self._data.items()}

    # The operator's check

    @property
    def address(self) -> tuple[str, int]:
        """Of the gateway."""
        parts = urlsplit(gateway_url(self.config.port))
        return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)

    def examine(self, *, login: bool) -> AsyncIterator[Finding]:
        """See :mod:`nutdrv_py.backends.enphase.examine`."""
        # Imported here: a driver stays small.
        from nutdrv_py.backends.enphase.examine import examine

        paths = {endpoint.name: endpoint.path for endpoint in ENDPOINTS}
        return examine(self.config, self.clock, {"relay": _RELAY, **paths}, login=login)
