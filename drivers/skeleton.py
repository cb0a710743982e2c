# SPDX-License-Identifier: GPL-2.0-or-later
"""A house battery as a UPS. The device here is made up: put yours in its place, step by step, and keep the tests green.

In ups.conf::

    [mine]
        driver  = nutdrv_py
        backend = skeleton:Skeleton
        port    = 192.168.1.20

What a wrong answer costs is why this file is as it is:

- ``OB`` beside a low charge shuts servers down. So the grid is read from what the device reports about the *grid*, from no other
  number and from no error. A word that is not known is no statement, and an outage is looked at twice.
- A charge that is missing, or too high, lets servers die with the battery. So nothing is made up, and what cannot be is left out.
- An old answer that looks fresh hides both. So a reading has the time at which the device made it.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import ClassVar, Self
from urllib.parse import urlsplit

from nutdrv_py.api import (
    AuthError,
    Backend,
    Clock,
    Config,
    ConfigError,
    DeviceError,
    Field,
    Finding,
    HouseBattery,
    LoginWanted,
    Reading,
    Status,
    WebClient,
    between,
    failed,
    find,
    low_mark,
    ok,
    option,
    read_credentials,
    scaled,
    text,
    to_number,
    translate,
    warning,
)

CONFIRM = 1.0
"""Seconds after which an outage is looked at again: one wrong word beside a low charge would shut servers down."""

MARGIN = 5.0
"""Percentage points above the device's own limit at which LB should begin, at least."""

GRID = {"connected": True, "island": False}
"""The device's words for "the grid is there" and "there is none". Any other word is ignored."""

FIELDS = (  # one row per variable: NUT's name, where it is in the answer, how it becomes NUT's unit
    Field("device.model", "model", text),
    Field("device.serial", "serial", text),
    Field("ups.realpower", "house_kw", between(0, 100_000, scaled(1000))),
    Field("battery.voltage", "battery.volts", between(1, 1500)),
    Field("battery.temperature", "battery.celsius", between(-40, 100)),
    Field("input.voltage", "grid_volts", between(0, 1000)),
)

_PERCENT = between(0, 100, scaled(100))  # the device reports 0.81; 81 would be 8100 % and is left out
_WATTS = between(-100_000, 100_000, scaled(1000))


@dataclass(frozen=True, slots=True, kw_only=True)
class SkeletonConfig(Config):
    """The options in ups.conf, besides those that every backend has."""

    port: str = option("the device: host, host:port, or a URL with https://")
    pollinterval: int = option("seconds between polls", default=5, minimum=2, reload=True)
    maxage: int = option(
        "seconds the last good reading is served while polls fail; then the data are stale", default=60, minimum=15, reload=True
    )
    timeout: float = option("seconds that an answer may take", default=5.0, minimum=1)
    credentials: str | None = option("file with a PASSWORD= line, not readable by others", default=None)
    certificate: str | None = option(
        "SHA-256 fingerprint of the device's certificate, or any", default=None, default_text="one that an authority has signed"
    )


class Skeleton(Backend[SkeletonConfig]):
    """Asks the device for JSON over HTTP, with a password."""

    Config: ClassVar[type[SkeletonConfig]] = SkeletonConfig
    description: ClassVar[str] = "Skeleton house battery"
    version: ClassVar[str] = "0.1"

    def __init__(self, config: SkeletonConfig, clock: Clock) -> None:
        super().__init__(config, clock)
        self._url, self._host, self._port = _address(config.port)
        self._web = WebClient(self._url, timeout=config.timeout, pinned=_fingerprint(config))
        self._battery = HouseBattery(clock.monotonic(), charge_age=config.maxage)
        self._on: bool | None = None
        self._stamp: float | None = None
        self._at = 0.0

    @classmethod
    def check(cls, config: SkeletonConfig) -> None:
        """Refuse what cannot work, before anything is started."""
        _address(config.port)
        _fingerprint(config)
        read_credentials(config, config.credentials, ("password",))

    @property
    def address(self) -> tuple[str, int]:
        """Host and TCP port, which ``nutdrv_py check`` tries to reach."""
        return self._host, self._port

    async def __aenter__(self) -> Self:
        """Read the password; the connection is made by the first poll."""
        password = read_credentials(self.config, self.config.credentials, ("password",)).get("password", "")
        if password:
            self._web.headers["Authorization"] = f"Bearer {password}"
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End the connection."""
        await self._web.close()

    async def poll(self) -> Reading:
        """Ask once; an outage is looked at again before it is believed."""
        raw = await self._ask()
        if not _grid(raw) and self._on is not False:
            await self.clock.sleep(CONFIRM)
            raw = await self._ask()
        on = _grid(raw)
        if on != self._on:
            self._on = on
            self._battery.transferred()
        return self._reading(raw, on)

    def _reading(self, raw: Mapping[str, object], on: bool) -> Reading:
        """Return the reading of the answer. What is missing in it is missing in the reading."""
        now, stamp = self.clock.monotonic(), to_number(find(raw, "time"))
        if stamp is None or stamp != self._stamp:
            # The device's clock may be wrong, so it is only asked at first; that a stamp does not change is certain.
            self._at = now if stamp is None or self._stamp is not None else self.clock.monotonic_of(stamp)
            self._stamp = stamp
        at = self._at
        size, limit = to_number(find(raw, "battery.kwh")), _PERCENT(find(raw, "battery.limit"))
        self._battery.size.update(None if size is None else size * 1000, at)
        self._battery.cutoff.update(to_number(limit), at)
        values = translate(FIELDS, raw)
        believed = self._battery.update(
            now, off_grid=not on, charge=to_number(_PERCENT(find(raw, "battery.soc"))), charge_at=at,
            power=to_number(_WATTS(find(raw, "battery.kw"))), load=to_number(values.get("ups.realpower")),
        )  # fmt: skip
        # LB is not made here: the driver derives it from charge and runtime, by the marks that the administrator may set.
        status = (Status.OL if on else Status.OB) | believed.status
        alarms = ("The battery reports a fault",) if find(raw, "battery.fault") is True else ()
        values |= {"device.type": "ups", "device.mfr": "Skeleton", **believed.values}
        return Reading(values, status, alarms, raw={"grid": raw.get("grid")}, at=at, decline=believed.decline)

    async def _ask(self) -> Mapping[str, object]:
        """Return the device's answer. Raises :class:`DeviceError` with a sentence, in which there is no secret."""
        try:
            body = await self._web.send("GET", "/status")
        except LoginWanted:
            raise AuthError(
                f"{self._host} does not accept the password; write PASSWORD= into the file that credentials = names in ups.conf",
                rejected=True,
            ) from None
        try:
            raw: object = json.loads(body)
        except (ValueError, RecursionError):
            raise DeviceError(f"{self._host} answers something that is not JSON; is port = in ups.conf the device?") from None
        if not isinstance(raw, dict):
            raise DeviceError(f"{self._host} answers JSON without names; is port = in ups.conf the device?")
        return raw

    async def examine(self, *, login: bool) -> AsyncIterator[Finding]:
        """Report for ``nutdrv_py check`` whether it is the right device, with all that a shutdown in time needs."""
        async with self:
            try:
                raw = await self._ask()
                on = _grid(raw)
            except DeviceError as error:
                yield failed("device", str(error), "correct it, then type the same again")
                return
            yield ok("grid", f"the device says {raw['grid']!r}: {'the grid is there' if on else 'there is no grid'}")
            charge = self._reading(raw, on).values.get("battery.charge")
            if charge is None:
                yield warning("charge", "the device says no charge to believe", "compare it with the device's own display")
            else:
                yield ok("charge", f"the charge is {to_number(charge):g} %")
            mark = self._battery.update(self.clock.monotonic(), off_grid=False, charge=None).decline
            yield low_mark(self.config, mark.low or 0.0, mark.cutoff, MARGIN)


def _grid(raw: Mapping[str, object]) -> bool:
    """Return whether the grid is there. Raises :class:`DeviceError` when the device does not report it."""
    said = raw.get("grid")
    if not isinstance(said, str) or said not in GRID:
        raise DeviceError(f"the device says {str(said)[:40]!a} about the grid, which is none of {', '.join(GRID)}")
    return GRID[said]


def _address(port: str) -> tuple[str, str, int]:
    """Return URL, host and TCP port. Raises :class:`ConfigError`; what is wrong is not quoted, because it may hold a password."""
    try:
        parts = urlsplit(port if "://" in port else f"http://{port}")
        host, number = parts.hostname, parts.port
    except ValueError:
        host, number = None, None
    if not host or parts.scheme not in ("http", "https") or parts.username or parts.path.strip("/") or parts.query:
        raise ConfigError("port = is not a host, host:port or URL such as https://192.168.1.20")
    shown = f"[{host}]" if ":" in host else host
    number = number or (443 if parts.scheme == "https" else 80)
    return f"{parts.scheme}://{shown}:{number}", host, number


def _fingerprint(config: SkeletonConfig) -> str:
    """Return what the certificate is compared with. Raises :class:`ConfigError`."""
    found = (config.certificate or "").replace(":", "").lower()
    if found not in ("", "any") and (len(found) != 64 or not set(found) <= set("0123456789abcdef")):
        raise ConfigError("certificate = is neither any nor a SHA-256 fingerprint of 64 hex digits")
    return found
