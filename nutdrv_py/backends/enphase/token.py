# SPDX-License-Identifier: GPL-2.0-or-later
"""The gateway's token: where it comes from, how long it lasts, where it is kept.

An IQ Gateway with firmware 7 or later wants a JSON Web Token issued by Enphase's cloud for its serial number, and checks
it by itself, without the internet. A token lasts a year (12 h for installers). It is renewed early and quietly, because
an outage is when the internet may be gone; a token that still works is never thrown away.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from nutdrv_py.backends.enphase.cloud import ask_cloud
from nutdrv_py.backends.enphase.config import Credentials, EnphaseConfig
from nutdrv_py.backends.enphase.jwt import DAY, MOST_TEXT, Token
from nutdrv_py.clock import Clock
from nutdrv_py.errors import AuthError, ConfigError, ProtocolError
from nutdrv_py.log import Trouble, log
from nutdrv_py.machine.files import replace
from nutdrv_py.machine.private import read_private

__all__ = ["Authority", "Backoff"]

WARN_DAYS = (30, 7, 1)
"""Days before the end of a token that cannot be renewed at which the log names it."""

BACKOFF = (60.0, 300.0, 1800.0, 3600.0)
"""Seconds between tries after failures that may pass; the last one repeats. Loops have locked accounts."""

REJECTED = 6 * 3600.0
"""Seconds without a try after the account was refused: the same password will be refused again and may lock the account."""

SPACING = 3600.0
"""Seconds between two renewals that worked: a host's clock that runs ahead makes every token look due."""


class Backoff:
    """When the cloud may be asked again."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures = 0
        self._until = 0.0
        self.reason = ""

    def left(self) -> float:
        """Return the seconds until the next try is allowed; 0 when it is now."""
        return max(0.0, self._until - self._clock.monotonic())

    def failed(self, error: AuthError) -> None:
        """Note a failure: an explicit refusal waits :data:`REJECTED`, others ever longer."""
        pause = REJECTED if error.rejected else BACKOFF[min(self._failures, len(BACKOFF) - 1)]
        self._failures += 1
        self._until = self._clock.monotonic() + pause
        self.reason = str(error)

    def reset(self) -> None:
        """Start again: it worked, or the credentials have changed."""
        self._failures, self._until, self.reason = 0, 0.0, ""


class Authority:
    """Gives the token to use, renews it in time, keeps it in a file.

    ``fetch`` is only called when the back-off allows; it never replaces a good token by nothing.
    """

    def __init__(self, config: EnphaseConfig, credentials: Credentials, path: Path, clock: Clock, trouble: Trouble) -> None:
        self._config = config
        self._credentials = credentials
        self._path = path
        self._clock = clock
        self._trouble = trouble
        self._backoff = Backoff(clock)
        self._renewal: asyncio.Task[None] | None = None
        self._fetched_at: float | None = None
        self._one = asyncio.Lock()
        self.token: Token | None = None

    def reload(self, config: EnphaseConfig, credentials: Credentials) -> None:
        """Take over new credentials; a changed account or token may be tried at once."""
        if credentials != self._credentials:
            self._backoff.reset()
            if credentials.token and credentials.token != self._credentials.token:
                self.token = None
        self._config, self._credentials = config, credentials

    def close(self) -> None:
        """End a renewal that is under way."""
        if self._renewal is not None:
            self._renewal.cancel()

    async def current(self, serial: str) -> Token:
        """Return the token to use for the gateway ``serial``; fetched if there is none. Raises :class:`AuthError`."""
        if self.token is None:
            self.token = self.stored(serial)
        if self.token is None:
            await self.fetch(serial)
        if self.token is None:
            raise AuthError("no token")
        return self.token

    def maintain(self, serial: str, *, on_battery: bool) -> None:
        """Renew the token in the background when it is time, or warn when it cannot be renewed. Not while on battery."""
        token = self.token
        if token is None:
            return
        now = self._clock.wall()
        if not self._credentials.account:
            self._warn(token, now)
        elif token.due(now) and not on_battery and self._may_renew():
            self._renewal = asyncio.ensure_future(self._renew(serial))

    def _may_renew(self) -> bool:
        lately = self._fetched_at is not None and self._clock.monotonic() - self._fetched_at < SPACING
        return not lately and self._backoff.left() == 0 and (self._renewal is None or self._renewal.done())

    def _warn(self, token: Token, now: float) -> None:
        left = token.left(now)
        day = next((day for day in sorted(WARN_DAYS) if left < day * DAY), None)
        if token.role == "installer":
            self._trouble.report("token role", "The token is an installer's and lasts 12 hours; use one of the owner (a year)")
        if day is None:
            self._trouble.clear("token end")
        elif left > 0:
            self._trouble.report(
                "token end",
                f"The token ends in less than {day} day{'s' * (day > 1)} and cannot be renewed without USERNAME and PASSWORD: "
                "fetch a new one at https://entrez.enphaseenergy.com and put it into the credentials file, then reload the "
                f"driver: nutdrv_py -a {self._config.ups} -c reload",
            )

    async def _renew(self, serial: str) -> None:
        try:
            await self.fetch(serial, only_longer=True)
        except AuthError as error:
            self._trouble.report("renewal", f"The token could not be renewed; the present one stays in use: {error}")
        else:
            self._trouble.clear("renewal", "The token has been renewed")

    def stored(self, serial: str) -> Token | None:
        """Return the token given by hand, else the one in the file, whichever lasts longer and is for this gateway."""
        found: list[Token] = []
        for text, origin in ((self._credentials.token, "the token of the configuration"), (self._read(), str(self._path))):
            if not text:
                continue
            try:
                token = Token.parse(text)
            except ProtocolError as error:
                self._trouble.report(f"token {origin}", f"{origin} is not used: {error}")
                continue
            if token.serial not in (serial, "un-commissioned", ""):
                self._trouble.report(
                    f"token {origin}", f"{origin} is not used: it is for gateway {token.serial}, this gateway is {serial}"
                )
                continue
            found.append(token)
        return max(found, key=lambda token: token.expires, default=None)

    def _read(self) -> str | None:
        try:
            return read_private(self._path).decode("ascii", "replace")[:MOST_TEXT]
        except FileNotFoundError:
            pass
        except ConfigError as error:
            self._trouble.report("token file", f"{error}; the token in it is not used")
        except OSError as error:
            self._trouble.report("token file", f"{self._path} cannot be read: {error.strerror}")
        return None

    def _write(self, token: Token) -> None:
        try:
            replace(self._path, f"{token.text}\n".encode("ascii"))
        except OSError as error:
            self._trouble.report(
                "token file",
                f"The token could not be written to {self._path}: {error.strerror}; it is used all the same, "
                f"but fetched anew after a restart; type: ls -ld {self._path.parent}",
            )
        else:
            self._trouble.clear("token file")

    async def fetch(self, serial: str, *, only_longer: bool = False) -> Token:
        """Log in and fetch a new token for the gateway ``serial``; keeps and returns it. Raises :class:`AuthError`.

        With ``only_longer`` a token that ends earlier than the present one is a failure. Two calls at once are one login.
        """
        before = self.token
        async with self._one:
            if self.token is not None and self.token is not before:
                return self.token
            return await self._fetch(serial, only_longer=only_longer)

    async def _fetch(self, serial: str, *, only_longer: bool) -> Token:
        if not self._credentials.account:
            raise AuthError(
                "there is no usable token and no account to fetch one: put USERNAME= and PASSWORD= (or a new TOKEN=) into the "
                f"credentials file, then reload the driver: nutdrv_py -a {self._config.ups} -c reload",
                rejected=True,
            )
        left = self._backoff.left()
        if left > 0:
            raise AuthError(f"{self._backoff.reason} (the next try is due in {max(1, round(left / 60))} min)")
        try:
            token = await ask_cloud(self._config, self._credentials, serial)
            if only_longer and self.token is not None and token.expires <= self.token.expires:
                raise AuthError("the cloud's new token ends earlier than the present one")
        except AuthError as error:
            self._backoff.failed(error)
            raise
        self._backoff.reset()
        self._fetched_at = self._clock.monotonic()
        self.token = token
        # A slow disk must not keep upsd's PING waiting.
        await asyncio.to_thread(self._write, token)
        log.info("A token for gateway %s was fetched; it lasts %.0f days", serial, token.left(self._clock.wall()) / DAY)
        return token
