# SPDX-License-Identifier: GPL-2.0-or-later
"""The gateway's token: where it comes from, how long it lasts, where it is kept.

An IQ Gateway with firmware 7 or later wants a JSON Web Token issued by Enphase's cloud for its serial number, and checks
it by itself, without the internet. A token lasts a year (12 h for installers). It is renewed early and quietly, because
an outage is when the internet may be gone; a token that still works is never thrown away.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import json
import os
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import httpx

from nutdrv_py.backends.enphase.config import Credentials, EnphaseConfig, is_loopback, private_file
from nutdrv_py.clock import Clock
from nutdrv_py.errors import AuthError, ConfigError, ProtocolError
from nutdrv_py.log import Trouble, log

__all__ = ["Authority", "Backoff", "Token"]

DAY = 86400.0

RENEW_BEFORE = 30 * DAY
"""Seconds of life under which a token is renewed; a third of its life if that is shorter (installer tokens: 12 h)."""

WARN_DAYS = (30, 7, 1)
"""Days before the end of a token that cannot be renewed at which the log says so."""

BACKOFF = (60.0, 300.0, 1800.0, 3600.0)
"""Seconds between tries after failures that may pass; the last one repeats. Loops have locked accounts."""

REJECTED = 6 * 3600.0
"""Seconds without a try after the account was refused: the same password will be refused again and may lock the account."""

SPACING = 3600.0
"""Seconds between two renewals that worked: a host's clock that runs ahead makes every token look due."""

MOST_TEXT = 16384
"""Bytes of a token or an answer of the cloud; a token has about 400."""


@dataclass(frozen=True, slots=True)
class Token:
    """A gateway token and what it says of itself. Times are seconds since 1970."""

    text: str = field(repr=False)
    serial: str
    role: str
    issued: float
    expires: float

    @classmethod
    def parse(cls, text: str) -> Token:
        """Read a token without checking its signature (only the gateway can). Raises :class:`ProtocolError`."""
        text = text.strip()
        parts = text.split(".")
        if len(parts) != 3 or len(text) > MOST_TEXT or not text.isascii() or any(c.isspace() for c in text):
            raise ProtocolError("a token has three parts with dots between them, this is something else")
        try:
            payload = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        except (binascii.Error, ValueError, RecursionError):
            raise ProtocolError("the token's middle part is not what it should be; was it copied whole?") from None
        if not isinstance(payload, dict):
            raise ProtocolError("the token's middle part is not an object")
        expires, issued = payload.get("exp"), payload.get("iat")
        if isinstance(expires, bool) or not isinstance(expires, int | float) or not 0 < expires < 1e11:
            raise ProtocolError("the token does not say when it ends")
        start = float(issued) if isinstance(issued, int | float) and 0 < issued < expires else float(expires) - 365 * DAY
        return cls(text, str(payload.get("aud", "")), str(payload.get("enphaseUser", "")), start, float(expires))

    def left(self, now: float) -> float:
        """Seconds of life left; negative when it is over."""
        return self.expires - now

    def due(self, now: float) -> bool:
        """Whether it is time to renew it."""
        return self.left(now) < min(RENEW_BEFORE, (self.expires - self.issued) / 3)


class Backoff:
    """When the cloud may be asked again."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures = 0
        self._until = 0.0
        self.reason = ""

    def left(self) -> float:
        """Seconds until the next try is allowed; 0 when it is now."""
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
        """The token to use for the gateway ``serial``; fetched if there is none. Raises :class:`AuthError`."""
        if self.token is None:
            self.token = self._stored(serial)
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
                "fetch a new one at https://entrez.enphaseenergy.com and put it into the credentials file, then reload",
            )

    async def _renew(self, serial: str) -> None:
        try:
            await self.fetch(serial, only_longer=True)
        except AuthError as error:
            self._trouble.report("renewal", f"The token could not be renewed; the present one goes on: {error}")
        else:
            self._trouble.clear("renewal", "The token has been renewed")

    def _stored(self, serial: str) -> Token | None:
        """The token given by hand, else the one in the file, whichever lasts longer and is for this gateway."""
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
            private_file(self._path)
            return self._path.read_text(encoding="ascii", errors="replace")[:MOST_TEXT]
        except ConfigError as error:
            self._trouble.report("token file", f"{error}; the token in it is not used")
        except FileNotFoundError:
            pass
        except OSError as error:
            self._trouble.report("token file", f"{self._path} cannot be read: {error.strerror}")
        return None

    def _write(self, token: Token) -> None:
        new = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(fd, "w", encoding="ascii") as file:
                os.fchmod(file.fileno(), 0o600)
                file.write(token.text + "\n")
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._path)
        except OSError as error:
            with contextlib.suppress(OSError):
                new.unlink()
            self._trouble.report(
                "token file",
                f"The token could not be written to {self._path}: {error.strerror}; it is used all the same, "
                "but fetched anew after a restart",
            )
        else:
            self._trouble.clear("token file")

    # The cloud

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
                "credentials file, then reload",
                rejected=True,
            )
        left = self._backoff.left()
        if left > 0:
            raise AuthError(f"{self._backoff.reason} (the next try is due in {max(1, round(left / 60))} min)")
        try:
            token = await self._ask_cloud(serial)
            if only_longer and self.token is not None and token.expires <= self.token.expires:
                raise AuthError("the cloud's new token ends earlier than the present one")
        except AuthError as error:
            self._backoff.failed(error)
            raise
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError, OSError, TimeoutError) as error:
            failure = AuthError(f"Enphase's cloud cannot be reached for a token: {type(error).__name__}")
            self._backoff.failed(failure)
            raise failure from None
        self._backoff.reset()
        self._fetched_at = self._clock.monotonic()
        self.token = token
        # A slow disk must not keep upsd's PING waiting.
        await asyncio.to_thread(self._write, token)
        log.info("A token for gateway %s was fetched; it lasts %.0f days", serial, token.left(self._clock.wall()) / DAY)
        return token

    def _client(self) -> httpx.AsyncClient:
        local = all(is_loopback(urlsplit(url).hostname) for url in (self._config.login_url, self._config.token_url))
        context = ssl.create_default_context()
        if local:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return httpx.AsyncClient(verify=context, timeout=self._config.login_timeout, follow_redirects=False, trust_env=not local)

    async def _ask_cloud(self, serial: str) -> Token:
        limit = self._config.login_timeout
        async with self._client() as client:
            async with asyncio.timeout(limit):
                session = await self._login(client)
            errors: list[str] = []
            for route in (self._route_a, self._route_b):
                try:
                    async with asyncio.timeout(limit):
                        token = Token.parse(await route(client, session, serial))
                except ProtocolError as error:
                    errors.append(str(error))
                    continue
                except (httpx.HTTPError, TimeoutError) as error:
                    errors.append(type(error).__name__)
                    continue
                if token.serial not in (serial, "un-commissioned"):
                    raise AuthError(
                        f"the account has no gateway {serial}: the cloud gave a token for {token.serial or 'none'}; "
                        "see serial = and which account owns the gateway",
                        rejected=True,
                    )
                return token
        raise AuthError(f"Enphase's cloud gave no token: {'; '.join(errors)}")

    async def _login(self, client: httpx.AsyncClient) -> str:
        form = {"user[email]": self._credentials.username or "", "user[password]": self._credentials.password or ""}
        answer = await client.post(self._config.login_url, data=form, headers={"Accept": "application/json"})
        said = _object(answer.content)
        message = str(said.get("message", ""))
        if said.get("isBlocked") is True or said.get("is_blocked") is True:
            raise AuthError("the Enlighten account is locked; unlock it in the Enphase app before the next try", rejected=True)
        if "many" in message.lower():
            raise AuthError("the Enlighten account has too many active sessions")
        if answer.status_code in (400, 401, 403, 422):
            raise AuthError(
                "Enphase's cloud refused USERNAME or PASSWORD; correct the credentials file, then reload", rejected=True
            )
        if answer.status_code != 200:
            raise AuthError(f"Enphase's cloud answered the login with HTTP {answer.status_code}")
        session = said.get("session_id")
        if not isinstance(session, str) or not session:
            if said:
                raise AuthError(
                    "the Enlighten account uses two-factor login (MFA), which a driver cannot answer: fetch a token at "
                    "https://entrez.enphaseenergy.com and put it into the credentials file as TOKEN=",
                    rejected=True,
                )
            raise AuthError("Enphase's cloud answered the login with something that is not JSON")
        return session

    async def _route_a(self, client: httpx.AsyncClient, session: str, serial: str) -> str:
        body = {"session_id": session, "serial_num": serial, "username": self._credentials.username}
        return _body(await client.post(self._config.token_url, json=body))

    async def _route_b(self, client: httpx.AsyncClient, session: str, serial: str) -> str:
        parts = urlsplit(self._config.login_url)
        url = urlunsplit((parts.scheme, parts.netloc, "/entrez-auth-token", "", ""))
        client.cookies.set("_enlighten_4_session", session)
        answer = await client.get(url, params={"serial_num": serial}, headers={"Accept": "application/json"})
        return str(_object(_body(answer).encode()).get("token", ""))


def _body(answer: httpx.Response) -> str:
    if answer.status_code != 200:
        raise ProtocolError(f"HTTP {answer.status_code}")
    return answer.text[:MOST_TEXT]


def _object(body: bytes) -> dict[str, object]:
    try:
        said = json.loads(body[:MOST_TEXT])
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}
