# SPDX-License-Identifier: GPL-2.0-or-later
"""Enphase's cloud: a login, then a token for a gateway, by one of two ways."""

from __future__ import annotations

import json
import os
import ssl
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx

from nutdrv_py.backends.enphase.config import Credentials, EnphaseConfig, is_loopback
from nutdrv_py.backends.enphase.jwt import MOST_TEXT, Token
from nutdrv_py.backends.enphase.wire import Wire
from nutdrv_py.core.confined import SelfCancelledError, confined
from nutdrv_py.errors import AuthError, ProtocolError
from nutdrv_py.protocols import http

__all__ = ["ask_cloud"]

_SESSION = "_enlighten_4_session"
_NONCE = "login_otp_nonce"
"""Cookies of the login: the session, and the one that a second factor would have to answer."""

_FACTOR = ("success", "isBlocked", "mfa_required", "requires_mfa")
"""Keys of an answer that asks for a second factor."""

_PROXIES = ("all_proxy", "http_proxy", "https_proxy")


async def ask_cloud(config: EnphaseConfig, credentials: Credentials, serial: str) -> Token:
    """Log in with the account and fetch a token for the gateway ``serial``. Raises :class:`AuthError`, nothing else."""
    try:
        return await _Cloud(config, credentials).token(serial)
    except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError, OSError, TimeoutError, SelfCancelledError) as error:
        raise AuthError(
            f"Enphase's cloud cannot be reached for a token: {type(error).__name__}; is there a way to the internet?"
        ) from None
    except ProtocolError as error:
        raise AuthError(f"Enphase's cloud gave no token: {error}") from None


class _Cloud:
    def __init__(self, config: EnphaseConfig, credentials: Credentials) -> None:
        self._config = config
        self._credentials = credentials
        self._wire = Wire()

    def _client(self) -> httpx.AsyncClient:
        """Return a client for the cloud. Raises :class:`AuthError` when the environment names a proxy that httpx cannot use."""
        local = all(is_loopback(urlsplit(url).hostname) for url in (self._config.login_url, self._config.token_url))
        context = ssl.create_default_context()
        if local:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        try:
            return httpx.AsyncClient(
                verify=context,
                timeout=self._config.login_timeout,
                follow_redirects=False,
                trust_env=not local,
                headers=http.PLAIN,
                event_hooks={"request": [self._followed]},
            )
        except (ImportError, ValueError, httpx.InvalidURL):
            # httpx looks at the proxy here. What the variable holds may be a password.
            named = sorted(name for name in os.environ if name.lower() in _PROXIES)
            raise AuthError(
                f"Enphase's cloud cannot be asked through the proxy that {' and '.join(named) or 'the environment'} names: for "
                "socks5:// type pip install 'httpx[socks]', else write http:// or https:// there, or unset it in the driver's "
                "environment, then restart the driver"
            ) from None

    async def _followed(self, request: httpx.Request) -> None:
        request.extensions["trace"] = self._wire.follow

    async def token(self, serial: str) -> Token:
        try:
            return await self._token(serial)
        finally:
            await self._wire.close()

    async def _token(self, serial: str) -> Token:
        limit = self._config.login_timeout
        async with self._client() as client:
            session = await confined(self._login(client), limit)
            errors: list[str] = []
            for route in (self._route_a, self._route_b):
                try:
                    token = Token.parse(await confined(route(client, session, serial), limit))
                except ProtocolError as error:
                    errors.append(str(error))
                    continue
                except (httpx.HTTPError, TimeoutError, SelfCancelledError) as error:
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
        status, body = await _asked(client, "POST", self._config.login_url, data=form, headers={"Accept": "application/json"})
        said = _object(body)
        # An answer without session_id may hold it as a cookie; an account with a second factor gets a cookie for that instead.
        cookies = {cookie.name: cookie.value or "" for cookie in client.cookies.jar}
        message = str(said.get("message", ""))
        if said.get("isBlocked") is True or said.get("is_blocked") is True:
            raise AuthError("the Enlighten account is locked; unlock it in the Enphase app before the next try", rejected=True)
        if "many" in message.lower():
            raise AuthError("the Enlighten account has too many active sessions; log out of it elsewhere")
        if status in (400, 401, 403, 422):
            raise AuthError(
                "Enphase's cloud refused USERNAME or PASSWORD; correct the credentials file, then reload the driver: "
                f"nutdrv_py -a {self._config.ups} -c reload",
                rejected=True,
            )
        if status != 200:
            raise AuthError(f"Enphase's cloud answered the login with HTTP {status}")
        session = said.get("session_id")
        if not isinstance(session, str) or not session:
            factor = any(key in said for key in _FACTOR) or _NONCE in cookies
            if not factor and cookies.get(_SESSION) and body.lstrip()[:1] == b"{":
                return cookies[_SESSION]
            if said or factor:
                raise AuthError(
                    "the Enlighten account uses two-factor login (MFA), which a driver cannot answer: fetch a token at "
                    "https://entrez.enphaseenergy.com and put it into the credentials file as TOKEN=, then reload the driver: "
                    f"nutdrv_py -a {self._config.ups} -c reload",
                    rejected=True,
                )
            raise AuthError("Enphase's cloud answered the login with something that is not JSON")
        return session

    async def _route_a(self, client: httpx.AsyncClient, session: str, serial: str) -> str:
        body = {"session_id": session, "serial_num": serial, "username": self._credentials.username}
        return (await _good(client, "POST", self._config.token_url, json=body)).decode("utf-8", "replace")

    async def _route_b(self, client: httpx.AsyncClient, session: str, serial: str) -> str:
        parts = urlsplit(self._config.login_url)
        url = urlunsplit((parts.scheme, parts.netloc, "/entrez-auth-token", "", ""))
        if _SESSION not in {cookie.name for cookie in client.cookies.jar}:
            client.cookies.set(_SESSION, session)
        body = await _good(client, "GET", url, params={"serial_num": serial}, headers={"Accept": "application/json"})
        return str(_object(body).get("token", ""))


async def _asked(client: httpx.AsyncClient, method: str, url: str, **more: Any) -> tuple[int, bytes]:
    async with client.stream(method, url, **more) as answer:
        return answer.status_code, await http.read(answer, MOST_TEXT)


async def _good(client: httpx.AsyncClient, method: str, url: str, **more: Any) -> bytes:
    status, body = await _asked(client, method, url, **more)
    if status != 200:
        raise ProtocolError(f"HTTP {status}")
    return body


def _object(body: bytes) -> dict[str, object]:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}
