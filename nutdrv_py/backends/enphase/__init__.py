# SPDX-License-Identifier: GPL-2.0-or-later
"""Enphase: a house with IQ Batteries behind an IQ Gateway, asked over its local interface.

``ups.status`` comes from one place: the first word of the grid relay's state. Everything else may be late, missing or
wrong without touching it. See :mod:`~nutdrv_py.backends.enphase.site` for what the answers mean,
:mod:`~nutdrv_py.backends.enphase.client` for the connection, :mod:`~nutdrv_py.backends.enphase.token` for the login.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import ClassVar, cast

from nutdrv_py.backend import Backend, Writable
from nutdrv_py.backend import Config as BaseConfig
from nutdrv_py.backends.enphase import site
from nutdrv_py.backends.enphase.charge import Charge
from nutdrv_py.backends.enphase.client import Absent, Gateway, Refused, Stranger, decode
from nutdrv_py.backends.enphase.config import EnphaseConfig, check, credentials, gateway_url, token_path
from nutdrv_py.backends.enphase.jwt import DAY
from nutdrv_py.backends.enphase.pin import Pin
from nutdrv_py.backends.enphase.site import Grid, Identity
from nutdrv_py.backends.enphase.token import Authority
from nutdrv_py.clock import Clock
from nutdrv_py.errors import AuthError, CommandError, DeviceError, Result
from nutdrv_py.log import Trouble, log
from nutdrv_py.mapping import find, to_number, translate
from nutdrv_py.reading import Reading, Status, Value
from nutdrv_py.storage import Charger, Smoothed, charger_status, coast, is_low, runtime, threshold

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

PACK_MISSING = 3600.0
"""Seconds a battery must be missing before RB asks for its replacement."""

SHORT = 20.0
"""Seconds for which the runtime must stay at or below ``battery.runtime.low`` before it makes LB."""

ALERT_MOST = 45.0
"""Seconds between full polls off the grid, at most: a doubted charge is confirmed by readings less than a minute apart."""

PROBE = (60.0, 600.0, 3600.0)
"""Seconds before a feature that is absent is asked for again; the last one repeats. A stray answer must not hide it for good."""


@dataclass(slots=True)
class _Datum:
    payload: object
    at: float


class Enphase(Backend):
    """The house battery behind an IQ Gateway (firmware 7 or later)."""

    Config: ClassVar[type[BaseConfig]] = EnphaseConfig
    description: ClassVar[str] = "Enphase IQ Gateway"
    version: ClassVar[str] = "0.1"

    def __init__(self, config: BaseConfig, clock: Clock) -> None:
        super().__init__(config, clock)
        options = self._options
        self._trouble = Trouble()
        self._pin = Pin(options, self._trouble)
        self._gateway = Gateway(gateway_url(options.port), self._pin.trusts)
        self._authority = Authority(options, credentials(options), token_path(options), clock, self._trouble)
        self._identity: Identity | None = None
        self._data: dict[str, _Datum] = {}
        self._next: dict[str, float] = {}
        self._absent: dict[str, int] = {}
        self._answered: set[str] = set()
        self._relay: object = None
        self._grid: Grid | None = None
        self._measured_in: Grid | None = None
        self._charger = Charger()
        self._charge = Charge()
        self._load = Smoothed()
        self._written: dict[str, float] = {}
        self._reason = "none since the start"
        self._silent_since: float | None = None
        self._stream_at: float | None = None
        self._live_update: tuple[float | None, float] = (None, 0.0)
        self._live_age: float | None = None
        self._bad_since: float | None = None
        self._checked_at: float | None = None
        self._token_at: float | None = None
        self._spoken: set[str] = set()
        self._able = False
        self._coasting: tuple[float, float | None, float | None] = (0.0, None, None)
        self._short_since: float | None = None
        self._short_for = 0.0

    @property
    def _options(self) -> EnphaseConfig:
        return cast(EnphaseConfig, self.config)

    @classmethod
    def check(cls, config: BaseConfig) -> None:
        """Refuse options that cannot work."""
        check(cast(EnphaseConfig, config))

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close the connection."""
        self._authority.close()
        await self._gateway.close()

    async def reload(self, config: BaseConfig) -> None:
        """Take over intervals, thresholds and credentials."""
        found = credentials(cast(EnphaseConfig, config))
        self.config = config
        self._authority.reload(self._options, found)
        self._checked_at = self._token_at = None

    # Settings

    @property
    def writable(self) -> Mapping[str, Writable]:
        """``battery.charge.low``, unless ``lowbatt`` fixes it. Kept until the driver ends."""
        return {} if self.config.lowbatt is not None else {"battery.charge.low": Writable(ranges=((1, 99),))}

    async def set(self, name: str, value: str) -> None:
        """Set the low mark of the charge."""
        number = to_number(value)
        if name != "battery.charge.low" or number is None:
            raise CommandError(f"{name} cannot be set", Result.UNKNOWN)
        self._written[name] = number

    def _limit(self, name: str, *, option: float | None = None, device: float | None = None) -> float | None:
        return threshold(
            name,
            overrides=self.config.overrides,
            defaults=self.config.defaults,
            option=option,
            written=self._written.get(name),
            device=device,
        )

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
        if state is not self._grid:
            self._transfer(state)
            self.publish(self._reading(early=True))
            self._forget_powers(state)
        self._authority.maintain(self._serial, on_battery=not state.on_grid)
        first = not self._data.keys() - {"info"}
        await self._ask_due()
        if first and "livedata" not in self._data and self.clock.monotonic() - now <= self._options.pollinterval:
            # The first answer only showed that the stream was off. Clients make their sensors from the first reading.
            await self._ask_due()
        return self._reading()

    @property
    def _serial(self) -> str:
        if self._identity is not None:
            return self._identity.serial
        return self._options.serial or ""

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
        before, self._grid = self._grid, state
        if not state.on_grid:
            self._reason = site.TRANSFER_REASON[state]
            log.warning("The house is off the grid: %s", self._reason)
        elif before is not None:
            log.warning("The house is on the grid again")
        self._full_poll()

    def _forget_powers(self, state: Grid) -> None:
        """Powers measured before the relay moved say nothing of what flows now; all of them are asked anew in this poll."""
        for name in ("livedata", "power", "reports"):
            self._data.pop(name, None)
        self._load.reset()
        self._measured_in = state

    def _full_poll(self) -> None:
        for endpoint in ENDPOINTS:
            if endpoint.every < 0:
                self._next[endpoint.name] = 0.0

    async def _ask_relay(self) -> Grid:
        timeout = float(self._options.api_timeout)
        try:
            self._relay = await self._authorised(_RELAY, timeout)
        except Absent:
            # The same object is a part of a larger one.
            status = await self._authorised("/ivp/ensemble/status", timeout)
            self._relay = find({"s": status}, "s.relay")
        return site.grid(self._relay)

    async def _ask_due(self) -> None:
        slow_left = len(ENDPOINTS) if not self._data.keys() - {"info"} else 1
        alert = self._grid is None or not self._grid.on_grid
        began = self.clock.monotonic()
        full = float(min(self._options.pollfreq, self._options.pollfreqalert, ALERT_MOST) if alert else self._options.pollfreq)
        for endpoint in sorted(ENDPOINTS, key=lambda endpoint: self._next.get(endpoint.name, 0.0)):
            now = self.clock.monotonic()
            if now - began > self._options.pollinterval:
                # The relay does not wait for several that hang; the others have their turn in the next poll.
                break
            if self._next.get(endpoint.name, 0.0) > now:
                continue
            if endpoint.meters and self._options.disable_meters:
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

    def _missing(self, endpoint: Endpoint, error: DeviceError, now: float) -> None:
        """The gateway says that it does not have the endpoint, or not for this role. What it had before it has again soon."""
        if endpoint.name in self._answered:
            self._next[endpoint.name] = now + RETRY
            self._trouble.report(endpoint.name, f"{endpoint.name}: {error}")
            return
        tries = self._absent.get(endpoint.name, 0)
        self._absent[endpoint.name] = tries + 1
        self._next[endpoint.name] = now + PROBE[min(tries, len(PROBE) - 1)]
        if not tries:
            log.info("%s is not to be had from this gateway with this token: %s", endpoint.name, error)

    async def _ask(self, endpoint: Endpoint) -> None:
        timeout = float(self._options.api_timeout)
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
                await self._gateway.post(_STREAM, {"enable": 1}, timeout=float(self._options.api_timeout), token=token)
            except DeviceError as error:
                self._trouble.report("stream", f"The live data stream could not be switched on: {error}")

    # Login and identity

    async def _authorised(self, path: str, timeout: float) -> object:
        """GET with the token; a refusal is looked into once, then the request is repeated once."""
        for last in (False, True):
            token = await self._authority.current(self._serial)
            try:
                answer = await self._gateway.get(path, timeout=timeout, token=token.text)
                break
            except Refused as error:
                if last or not await self._reauthenticate():
                    raise AuthError(self._refusal(error)) from None
            except Stranger as error:
                if last:
                    raise
                await self._new_certificate(error)
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
                await self._gateway.get(_CHECK, timeout=float(self._options.api_timeout), token=token.text)
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
        """Learn serial number and certificate before anything secret is sent."""
        if self._identity is not None:
            return
        timeout = float(self._options.api_timeout)
        try:
            answer = await self._gateway.get("/info", timeout=timeout)
        except Stranger as error:
            await self._new_certificate(error)
            answer = await self._gateway.get("/info", timeout=timeout)
        self._introduced(site.identity(answer.body))

    def _introduced(self, found: Identity) -> None:
        """The gateway has said who it is. Raises DeviceError when it is not the one that is meant."""
        wanted = self._options.serial
        port = self.config.port
        if wanted is not None and found.serial != wanted:
            self._identity = None
            raise DeviceError(
                f"the gateway at {port} is {found.serial}, but serial = {wanted}; correct port or serial in ups.conf"
            )
        if self._identity is not None and found.serial != self._identity.serial:
            before, self._identity = self._identity.serial, None
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
        self._pin.introduced(found.serial)

    # The certificate

    async def _new_certificate(self, stranger: Stranger) -> None:
        """A certificate that is not the pinned one: gateways make a new one each year and at upgrades.

        It is taken only if whoever shows it names the same serial number, asked without a token, and it is said loudly.
        """
        if not self._pin.changeable or not stranger.fingerprint:
            raise DeviceError(
                f"{stranger} (SHA-256 {stranger.fingerprint or 'unknown'}); if that is the gateway's new one, put it into "
                f"certificate = {self._options.certificate}"
            )
        expected = self._pin.serial or self._options.serial or ""
        answer, fingerprint = await self._gateway.meet("/info", timeout=float(self._options.api_timeout))
        found = site.identity(answer.body)
        if fingerprint != stranger.fingerprint or (expected and found.serial != expected):
            raise DeviceError(
                f"the certificate at {self.config.port} has changed and the gateway names serial {found.serial} instead of "
                f"{expected}: nothing secret was sent. If the gateway was replaced, remove {self._pin.path}"
            )
        log.warning(
            "The gateway %s shows a new certificate (SHA-256 %s); it named the right serial number, so it is trusted from now on",
            found.serial, fingerprint,
        )  # fmt: skip
        self._introduced(found)
        self._pin.remember(found.serial, fingerprint)

    # The reading

    def _raw(self) -> dict[str, object]:
        """The payloads that still count."""
        now = self.clock.monotonic()
        ages = {endpoint.name: endpoint.age for endpoint in ENDPOINTS}
        slack = 2.5 * max(self._options.pollfreq, self._options.pollinterval)
        raw = {
            name: datum.payload for name, datum in self._data.items() if now - datum.at <= max(ages.get(name, 0.0), slack)
        }
        raw["relay"] = self._relay
        return raw

    def _reading(self, *, early: bool = False) -> Reading:
        """Everything that is known now; ``early`` when the relay has just moved and the powers are those from before."""
        now = self.clock.monotonic()
        state = self._grid
        if state is None:
            raise DeviceError("the state of the grid is not known yet")
        raw = site.measured(self._raw())
        measured_in = self._measured_in if self._measured_in is not None else state
        raw.update(site.meters(raw, measured_in))
        values = translate(site.FIELDS, raw)
        values.update(_FIXED)
        status = Status.OL if state.on_grid else Status.OB

        power = site.storage_power(raw)
        watts = site.load(raw, measured_in)
        rated = site.rated_power(raw)
        packs = site.packs(raw)
        direction = self._charger.update(power, packs.count if packs is not None else 1)
        seen = self._charge.update(
            self._timed("livedata", find(raw, "livedata.meters")),
            self._timed("secctrl", raw.get("secctrl")),
            on_grid=state.on_grid,
            # On the grid it is the load that the battery would have to carry, whatever it does now.
            drain=power if power is not None and not measured_in.on_grid else watts,
            load=watts,
            now=now,
        )
        charge, backup = seen.charge, seen.backup

        low = self._limit("battery.charge.low", option=self.config.lowbatt, device=self._charge.low)
        runtime_low = self._limit("battery.runtime.low")
        left = None
        if watts is not None:
            smooth = self._load.update(watts, now)
            if seen.energy is not None and seen.capacity:
                left = runtime(seen.energy - self._charge.verylow / 100 * seen.capacity, smooth)
        short = self._runs_short(left, runtime_low, now) and not early
        if not state.on_grid and (is_low(seen.decisive, low) or short):
            status |= Status.LB
        limit = rated or (seen.capacity or 0.0) / 1000 * self._options.loadkwh
        if not state.on_grid and not early and watts is not None and limit and watts > limit:
            status |= Status.OVER
        status |= direction | self._replace(packs, now)

        if charge is not None:
            values["battery.charge"] = round(charge)
            values["battery.voltage"] = site.battery_voltage(charge)
            values["battery.charger.status"] = charger_status(direction, charge)
        if backup is not None:
            values[_BACKUP_CHARGE] = round(backup)
        if seen.capacity:
            values["battery.charge.low"] = low if low is not None else 20.0
            values["battery.capacity"] = seen.capacity / site.NOMINAL_VOLTAGE
            values["experimental.battery.energy.capacity"] = round(seen.capacity)
            values.update(_BATTERY_FIXED)
        if seen.energy is not None and seen.capacity:
            values["experimental.battery.energy"] = round(seen.energy)
        if left is not None:
            values["battery.runtime"] = left
        if runtime_low is not None:
            values["battery.runtime.low"] = runtime_low
        if power is not None and (seen.capacity or power):
            values["experimental.storage.realpower"] = power
            volts = to_number(find(raw, "storage.cumulative.rmsVoltage")) or to_number(find(raw, "bus.cumulative.rmsVoltage"))
            if volts:
                values["battery.current"] = power / volts
        if packs is not None:
            values["battery.packs"] = packs.count
            values["battery.packs.bad"] = packs.bad
            if packs.temperature is not None:
                values["battery.temperature"] = packs.temperature
        if rated is not None:
            values["ups.realpower.nominal"] = rated
        percent = site.load_percent(watts, rated, seen.capacity, self._options.loadkwh)
        if percent is not None and watts is not None:
            values["ups.load"] = percent
        if watts is not None:
            values["ups.realpower"] = watts
        values.update(site.phase_values(raw, state, site.phases(raw) or 1, watts))
        if "output.power" in values:
            values["ups.power"] = values["output.power"]
        self._observe(values, state, raw)
        # While polls fail, what the battery loses is what the house uses; the sun may go at any time.
        self._coasting = (max(self._charge.drain, watts or 0.0), low, None if early else runtime_low)
        return Reading(values, status, self._alarms(raw, packs), raw)

    def _timed(self, name: str, payload: object) -> tuple[object, float] | None:
        return (payload, self._data[name].at) if payload is not None and name in self._data else None

    def _runs_short(self, left: float | None, low: float | None, now: float) -> bool:
        """Whether the runtime has been at or below its low mark for a while: a kettle is no reason to shut down."""
        if not is_low(None, None, left, low):
            self._short_since, self._short_for = None, 0.0
            return False
        self._short_since = self._short_since if self._short_since is not None else now
        self._short_for = now - self._short_since
        return self._short_for >= SHORT

    def _replace(self, packs: site.Packs | None, now: float) -> Status:
        if packs is None or not packs.bad:
            self._bad_since = None
            return Status(0)
        self._bad_since = self._bad_since if self._bad_since is not None else now
        return Status.RB if now - self._bad_since > PACK_MISSING else Status(0)

    def _alarms(self, raw: Mapping[str, object], packs: site.Packs | None) -> tuple[str, ...]:
        """Only what endangers the backup now: upsmon takes a UPS with an alarm that then goes silent for dead."""
        alarms: list[str] = []
        if find(raw, "secctrl.shutdown") is True:
            alarms.append("Battery system is shut down")
        if site.controller_lost(raw):
            alarms.append("System Controller does not communicate")
        if packs is not None and packs.count and packs.bad == packs.count:
            alarms.append("No battery is usable")
        return tuple(alarms)

    def _observe(self, values: dict[str, Value], state: Grid, raw: Mapping[str, object]) -> None:
        """What NUT has no name for."""
        values["experimental.grid.state"] = state.value
        values["input.transfer.reason"] = self._reason
        able, kind = site.can_see_outage(raw)
        # A gateway that has just started may not know its devices yet; one that once could can again.
        self._able = self._able or bool(able) or not state.on_grid
        able = True if self._able else able
        if kind:
            values["experimental.controller.type"] = kind
        if able is False and state.on_grid:
            values["experimental.outage.detection"] = "impossible: no IQ System Controller or Meter Collar"
            if "outage" not in self._spoken:
                self._spoken.add("outage")
                log.error(
                    "THIS SYSTEM CANNOT REPORT AN OUTAGE: it has no IQ System Controller and no IQ Meter Collar that could "
                    "separate the house from the grid, so ups.status will say OL for ever. Do not rely on it for a shutdown."
                )
        else:
            values["experimental.outage.detection"] = "possible" if able else "unknown"
        token = self._authority.token
        if token is not None:
            values["experimental.token.days"] = int(token.left(self.clock.wall()) // DAY)
        if self._live_age is not None and "livedata" in raw:
            values["experimental.livedata.age"] = max(0, round(self._live_age))

    def coast(self, reading: Reading, seconds: float) -> Reading:
        """On battery charge and runtime count down while the gateway is away, so that LB comes in time."""
        load, low, runtime_low = self._coasting
        size = self._charge.size
        if self._short_for + seconds < SHORT:
            runtime_low = None
        coasted = coast(reading, seconds, load=load, capacity=size, runtime_low=runtime_low)
        coasted = coast(coasted, seconds, load=load, capacity=size, charge=_BACKUP_CHARGE, left="")
        counted = self._charge.counted
        if Status.OB in reading.status and counted is not None and size:
            counted -= load * seconds / 36 / size
            if is_low(counted, low):
                coasted = dataclasses.replace(coasted, status=coasted.status | Status.LB)
        return coasted


_BACKUP_CHARGE = "experimental.battery.encharge.charge"

_FIXED: dict[str, Value] = {
    "ups.mfr": "Enphase Energy",
    "ups.model": "IQ Gateway",
    "device.type": "ups",
}
_BATTERY_FIXED: dict[str, Value] = {
    "battery.type": "LFP",
    "battery.voltage.nominal": site.NOMINAL_VOLTAGE,
    "battery.voltage.high": site.HIGHEST_VOLTAGE,
    "battery.voltage.low": site.LOWEST_VOLTAGE,
    "experimental.battery.voltage.source": "estimated from the charge",
}
