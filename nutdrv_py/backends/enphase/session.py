# SPDX-License-Identifier: GPL-2.0-or-later
"""The gateway's session: its certificate, its identity, and the token that it takes.

Nothing secret is sent before the certificate or the serial number has shown that it is the one that is meant.
"""

from __future__ import annotations

import contextlib

from nutdrv_py.backends.enphase import site
from nutdrv_py.backends.enphase.client import Gateway, Refused, Stranger, Unreachable, decode
from nutdrv_py.backends.enphase.config import Credentials, EnphaseConfig, gateway_url, token_path
from nutdrv_py.backends.enphase.jwt import DAY
from nutdrv_py.backends.enphase.older import AGAIN, old_firmware
from nutdrv_py.backends.enphase.pin import Pin
from nutdrv_py.backends.enphase.site import Identity
from nutdrv_py.backends.enphase.token import Authority
from nutdrv_py.clock import Clock
from nutdrv_py.errors import AuthError, DeviceError
from nutdrv_py.log import Trouble, log

__all__ = ["Session"]

_CHECK = "/auth/check_jwt"

REAUTHENTICATE = 60.0
"""Seconds between two attempts to find out why the gateway refuses the token."""

NEW_TOKEN = 3600.0
"""Seconds between two new tokens because of refusals: a gateway with a wrong clock refuses good ones."""


class Session:
    """Meets the gateway, and asks it with the token. ``pin``, ``gateway`` and ``authority`` take the place of its own parts."""

    def __init__(
        self,
        config: EnphaseConfig,
        known: Credentials,
        clock: Clock,
        trouble: Trouble,
        *,
        pin: Pin | None = None,
        gateway: Gateway | None = None,
        authority: Authority | None = None,
    ) -> None:
        self._config = config
        self._clock = clock
        self._trouble = trouble
        self.pin = pin or Pin(config, trouble)
        self.gateway = gateway or Gateway(gateway_url(config.port), self.pin.trusts)
        self.authority = authority or Authority(config, known, token_path(config), clock, trouble)
        self.identity: Identity | None = None
        """The gateway's own serial number and firmware; None before it has reported them."""
        self.known = False
        """Whether its certificate alone shows that it is the right gateway."""
        self._older_at: float | None = None
        self._old = ""
        self._checked_at: float | None = None
        self._token_at: float | None = None

    @property
    def serial(self) -> str:
        """Return the serial number of the gateway; empty before it is known."""
        if self.identity is not None:
            return self.identity.serial
        return self._config.serial or self.pin.serial

    def reload(self, config: EnphaseConfig, known: Credentials) -> None:
        """Take over other options and credentials."""
        self._config = config
        self.authority.reload(config, known)
        self._checked_at = self._token_at = None

    async def close(self) -> None:
        """End the connection and a renewal that is under way."""
        self.authority.close()
        await self.gateway.close()

    async def ask(self, path: str) -> object:
        """Return what the gateway answers with the token, as JSON. Raises DeviceError.

        A refusal and a new certificate are each looked into once, then the request is repeated.
        """
        timeout = float(self._config.api_timeout)
        refused = met = False
        while True:
            token = await self.authority.current(self.serial)
            try:
                answer = await self.gateway.get(path, timeout=timeout, token=token.text)
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
        token = self.authority.token
        left = token.left(self._clock.wall()) / DAY if token else 0.0
        ends = f"has {left:.0f} days left" if left > 0 else "has ended"
        return (
            f"{error}; the token {ends}. Is it for this gateway, and is the gateway's clock right "
            "(it is wrong after a power loss without internet)?"
        )

    async def _reauthenticate(self) -> bool:
        """Renew an ended token after a refusal; else show it to the gateway once; else fetch one new token.

        True when it is worth trying again.
        """
        now = self._clock.monotonic()
        token = await self.authority.current(self.serial)
        ended = token.left(self._clock.wall()) <= 0
        if not ended and (self._checked_at is None or now - self._checked_at >= REAUTHENTICATE):
            self._checked_at = now
            with contextlib.suppress(DeviceError):
                await self.gateway.get(_CHECK, timeout=float(self._config.api_timeout), token=token.text)
                return True
        if self._token_at is not None and now - self._token_at < NEW_TOKEN:
            return False
        try:
            await self.authority.fetch(self.serial)
        except AuthError as error:
            self._trouble.report("renewal", f"No new token: {error}")
            return False
        self._token_at = now
        return True

    async def meet(self) -> None:
        """Learn serial number and certificate before anything secret is sent.

        /info may be out of order for ever. Then a gateway that is known by its certificate is asked for the relay all the same.
        """
        if self.identity is not None or self.known:
            return
        timeout = float(self._config.api_timeout)
        try:
            found = site.identity((await self.gateway.get("/info", timeout=timeout)).body)
        except Stranger as error:
            await self._new_certificate(error)
            return
        except DeviceError as error:
            refused = isinstance(error, Unreachable) and error.refused and not self.pin.serial
            if refused and (sentence := await self._older()):
                raise DeviceError(sentence) from None
            if not self._certified():
                unhelped = self._config.serial or not self.gateway.seen
                advice = "" if unhelped else "; with serial = in its section the driver may start without it"
                raise DeviceError(f"{error}{advice}") from None
            self.known = True
            return
        self.introduced(found)

    def _certified(self) -> bool:
        """Return whether the certificate is enough to know a gateway that does not report its identity.

        A remembered or named certificate does, for ``serial =`` or the remembered one. The first certificate of all does when it
        is made out to ``serial =``: anybody could show such a one, but could also write that number into /info, so the token
        goes to no stranger more easily. Any other certificate waits for /info.
        """
        serial = self._config.serial
        if self.pin.serial or (serial and not self.pin.changeable and self.gateway.seen):
            return True
        if not serial or not self._named(serial) or not self.pin.trusts(self.gateway.seen):
            return False
        self.pin.introduced(serial, self.gateway.key)
        return True

    async def _older(self) -> str:
        """Return the sentence about firmware that has no HTTPS; empty when it is not that. Asked every ten minutes."""
        now = self._clock.monotonic()
        if self._older_at is None or now - self._older_at >= AGAIN:
            self._older_at = now
            self._old = await old_firmware(gateway_url(self._config.port))
        return self._old

    def _named(self, serial: str) -> bool:
        """Return whether the certificate seen last is made out to the gateway ``serial``."""
        return bool(self.gateway.seen) and self.gateway.name.lower() == f"envoy-{serial}".lower()

    def introduced(self, found: Identity) -> None:
        """Take in the gateway's identity. Raises DeviceError when it is not the configured one."""
        wanted = self._config.serial
        port = self._config.port
        if wanted is not None and found.serial != wanted:
            self.identity, self.known = None, False
            raise DeviceError(
                f"the gateway at {port} is {found.serial}, but serial = {wanted}; correct port or serial in ups.conf"
            )
        if self.identity is not None and found.serial != self.identity.serial:
            before, self.identity, self.known = self.identity.serial, None, False
            raise DeviceError(
                f"another gateway answers at {port}: {found.serial} instead of {before}; write serial = of the right one"
            )
        if found.major is not None and found.major < 7:
            raise DeviceError(
                f"the gateway at {port} has firmware {found.software}; batteries need firmware 7 or later, "
                "which Enphase's support installs"
            )
        if self.identity is not None and found.software != self.identity.software:
            log.info("The gateway's firmware has changed from %s to %s", self.identity.software, found.software)
        self.identity = found
        self.pin.introduced(found.serial, self.gateway.key)

    async def _new_certificate(self, stranger: Stranger) -> None:
        """Judge a certificate that is not the pinned one: gateways make a new one each year and at upgrades.

        It is taken if it holds the remembered key, or if its owner names the same serial number: in /info, asked without a token,
        or in the certificate when /info is out of order. It is logged.
        """
        if not self.pin.changeable or not stranger.fingerprint:
            raise DeviceError(
                f"{stranger} (SHA-256 {stranger.fingerprint or 'unknown'}); if that is the gateway's new one, put it into "
                f"certificate = {self._config.certificate}"
            )
        expected = self.pin.serial or self._config.serial or ""
        found: Identity | None = None
        try:
            answer, fingerprint = await self.gateway.meet("/info", timeout=float(self._config.api_timeout))
            found = site.identity(answer.body)
        except DeviceError:
            fingerprint = self.gateway.seen
            if not expected or not (self._named(expected) or (self.pin.serial and self.pin.same_key(self.gateway.key))):
                raise
        serial = found.serial if found is not None else expected
        if fingerprint != stranger.fingerprint or (expected and serial != expected):
            raise DeviceError(
                f"the certificate at {self._config.port} has changed and the gateway names serial {serial} instead of "
                f"{expected}: nothing secret was sent. If the gateway was replaced, type: rm {self.pin.path}, then restart "
                "the driver"
            )
        change, same = self._config.certificate_change, self.pin.same_key(self.gateway.key)
        if not same and change != "accept":
            updated = f"; if it was updated, type: rm {self.pin.path}, then restart the driver"
            what = updated if change == "ask" else "; certificate_change = refuse"
            raise DeviceError(
                f"the gateway at {self._config.port} shows a certificate with another key and names serial {serial}, as "
                f"anybody on the network could: nothing secret was sent{what}"
            )
        log.warning(
            "The gateway %s shows a new certificate (SHA-256 %s) with %s; it is trusted from now on",
            serial, fingerprint, "the same key" if same else "another key, and named the right serial number",
        )  # fmt: skip
        if found is not None:
            self.introduced(found)
        self.known = True
        self.pin.remember(serial, fingerprint, self.gateway.key)
