# SPDX-License-Identifier: GPL-2.0-or-later
"""One IQ Gateway over HTTPS: one connection, one request at a time, nothing trusted.

The gateway is a small computer whose services hang one by one; two requests at once can lock it up. So requests wait in
line, each has an end, an answer has a greatest size, and its certificate (self-signed, renewed every year and by upgrades)
is compared by fingerprint before a token is sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from nutdrv_py.backends.enphase.certificate import common_name, public_key
from nutdrv_py.backends.enphase.wire import LEAVE, Wire
from nutdrv_py.core.confined import SelfCancelledError, confined
from nutdrv_py.errors import AuthError, DeviceError, ProtocolError
from nutdrv_py.log import debug, log
from nutdrv_py.protocols import http

__all__ = ["Absent", "Answer", "Gateway", "Late", "Refused", "Stranger", "Unreachable", "decode"]

MOST_BODY = 2 << 20
"""Bytes of an answer. /ivp/ensemble/status of a large system is 100 kB."""

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:ECDHE+AES:DHE+AES:AES256-GCM-SHA384:AES128-GCM-SHA256:!aNULL"
"""Ciphers for TLS 1.2, the best first; the last two have no forward secrecy. TLS 1.3 has its own."""

MOST_COOKIES = 4096
"""Characters of the cookies that are kept; a gateway sets one of about 40."""

LIMITS = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=60)
"""One connection, kept between the polls."""


class Absent(DeviceError):
    """The gateway does not have what was asked for (404, or a redirect to its error page)."""


class Late(DeviceError):
    """The gateway did not answer in time."""


class Unreachable(DeviceError):
    """There is no connection to the gateway. ``refused``: nothing listens on its port."""

    def __init__(self, message: str, *, refused: bool) -> None:
        super().__init__(message)
        self.refused = refused


class Refused(AuthError):
    """The gateway did not accept the token for this path (401, 403)."""


class Stranger(DeviceError):
    """The certificate is not the one that is trusted; nothing secret was sent."""

    def __init__(self, message: str, fingerprint: str) -> None:
        super().__init__(message)
        self.fingerprint = fingerprint


@dataclass(frozen=True, slots=True)
class Answer:
    """A good answer: its body, and the gateway's own time (seconds since 1970) when it sent one."""

    body: bytes
    date: float | None


def _no_number(text: str) -> None:
    return None


def decode(body: bytes) -> object:
    """Return JSON, read as leniently as the gateway needs: duplicate keys (the last wins), NaN (becomes null). Raises
    DeviceError."""
    try:
        result: object = json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError):
        start = body[:30].decode("ascii", "replace").strip()
        raise DeviceError(f"something that is not JSON{f' (it begins {start!r})' if start else ' (it is empty)'}") from None
    return result


class Gateway:
    """Sends requests to the gateway at ``url``.

    ``trusted`` returns for a fingerprint (SHA-256 of the certificate, hex) whether the token may be sent to it.
    """

    def __init__(self, url: str, trusted: Callable[[str], bool]) -> None:
        self._url = url
        self._trusted = trusted
        self._client: httpx.AsyncClient | None = None
        self._cookies = httpx.Cookies()
        self._wire = Wire()
        self._one = asyncio.Lock()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # The certificate is self-signed, outdated by the clock of a fresh boot, and named after the serial: only its
        # fingerprint proves anything, and that is compared in _traced.
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE
        # Some gateways offer no key exchange with forward secrecy; Python's default leaves the others out.
        self._context.set_ciphers(CIPHERS)
        self.fingerprint: str | None = None
        """Fingerprint of the certificate on the present connection."""
        self.seen = ""
        """Fingerprint of the certificate seen last, also after its connection was closed."""
        self.key = ""
        """SHA-256 (hex) of the public key in that certificate; empty when it could not be found in it."""
        self.name = ""
        """Common name in that certificate, as its owner likes it; empty when there is none."""
        self._accepting = False

    async def close(self) -> None:
        """Close the connection."""
        client, self._client = self._client, None
        self.fingerprint = None
        if client is not None:
            # A gateway that wants the cookie of check_jwt refuses the next connection without it. A stranger's cookie is no use.
            self._cookies = httpx.Cookies() if self._accepting else client.cookies
            with contextlib.suppress(Exception):
                await confined(client.aclose(), LEAVE)
        await self._wire.close()

    async def get(self, path: str, *, timeout: float, token: str | None = None) -> Answer:
        """GET ``path``; with ``token`` as bearer. Raises DeviceError, :class:`Absent`, :class:`Refused`, :class:`Stranger`."""
        return await self._request("GET", path, timeout, token, None)

    async def post(self, path: str, content: Mapping[str, object], *, timeout: float, token: str) -> Answer:
        """POST a JSON object to ``path``; raises as :meth:`get`."""
        return await self._request("POST", path, timeout, token, content)

    async def meet(self, path: str, *, timeout: float) -> tuple[Answer, str]:
        """GET ``path`` without token or pinning; return answer and fingerprint, to learn a new certificate."""
        await self.close()
        self._cookies = httpx.Cookies()
        self._accepting = True
        try:
            answer = await self._request("GET", path, timeout, None, None)
            return answer, self.fingerprint or ""
        finally:
            self._accepting = False
            await self.close()

    async def _request(
        self, method: str, path: str, timeout: float, token: str | None, content: Mapping[str, object] | None
    ) -> Answer:
        async with self._one:
            for last in (False, True):
                reused = self._client is not None
                try:
                    return await confined(self._once(method, path, timeout, token, content), timeout)
                except (Absent, Refused):
                    raise
                except DeviceError:
                    await self.close()
                    raise
                except (TimeoutError, SelfCancelledError, httpx.TimeoutException):
                    # A client whose request was cut off is not used again: its pool may still count the connection.
                    await self.close()
                    raise Late(f"{path}: no answer within {timeout:g} s") from None
                except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError) as error:
                    await self.close()
                    if last or not reused:
                        raise DeviceError(f"{path}: the gateway broke off the connection") from error
                except httpx.ConnectError as error:
                    await self.close()
                    reason, refused = _reason(error)
                    raise Unreachable(f"the gateway cannot be reached: {reason}", refused=refused) from error
                except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError, OSError) as error:
                    await self.close()
                    raise DeviceError(f"{path}: {type(error).__name__}") from error
            raise AssertionError("unreachable")

    async def _once(
        self, method: str, path: str, timeout: float, token: str | None, content: Mapping[str, object] | None
    ) -> Answer:
        if self._client is None:
            self._client = httpx.AsyncClient(
                verify=self._context,
                limits=LIMITS,
                transport=self._transport(),
                cookies=self._cookies,
                follow_redirects=False,
                trust_env=False,
            )
        headers = {"Accept": "application/json", **http.PLAIN}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        request = self._client.build_request(
            method, self._url + path, headers=headers, json=content, extensions={"trace": self._traced}
        )
        # Given extensions, httpx 0.23 leaves the timeout out. For each step it is the same as for the whole, as a second belt.
        request.extensions["timeout"] = httpx.Timeout(timeout).as_dict()
        response = await self._client.send(request, stream=True)
        if sum(len(cookie.name) + len(cookie.value or "") for cookie in self._client.cookies.jar) > MOST_COOKIES:
            self._client.cookies.clear()
        try:
            _judge(path, response.status_code)
            body = await http.read(response, MOST_BODY)
            # What the test mode of enphase-monitor is fed with; no secret is in an answer of the gateway.
            log.log(debug(2), "%s %s: %s", method, path, body[:4096].decode("utf-8", "replace"))
        except ProtocolError as error:
            raise DeviceError(f"{path}: {error}") from None
        finally:
            await response.aclose()
        return Answer(body, _date(response.headers.get("Date")))

    def _transport(self) -> httpx.AsyncBaseTransport | None:
        """Return what carries the requests; None for the network itself. A recording listens here, and is played here."""
        return None

    async def _traced(self, event: str, info: dict[str, Any]) -> None:
        """Check the certificate before anything is sent; httpcore calls this at each step of a request."""
        await self._wire.follow(event, info)
        if event.endswith("connect_tcp.started"):
            self.fingerprint = None
        elif event.endswith("start_tls.complete"):
            tls = info["return_value"].get_extra_info("ssl_object")
            certificate = tls.getpeercert(binary_form=True) or b""
            self.fingerprint = self.seen = hashlib.sha256(certificate).hexdigest()
            self.key, self.name = public_key(certificate), common_name(certificate)
            if not self._accepting and not self._trusted(self.fingerprint):
                raise Stranger("the gateway shows a certificate that is not the trusted one", self.fingerprint)
        elif event.endswith("send_request_headers.started") and self.fingerprint is None and self._url.startswith("https:"):
            # Fail closed: should httpcore name its events otherwise one day, no token leaves.
            raise Stranger("the gateway's certificate could not be looked at", "")


def _judge(path: str, status: int) -> None:
    if status == 200:
        return
    if status in (401, 403):
        raise Refused(f"{path}: the gateway refused the token (HTTP {status})")
    if status in (404, 405, 410) or 300 <= status < 400:
        raise Absent(f"{path}: this gateway does not have it (HTTP {status})")
    raise DeviceError(f"{path}: HTTP {status}")


def _date(text: str | None) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp() if text else None
    except (ValueError, TypeError, OverflowError):
        return None


def _reason(error: httpx.ConnectError) -> tuple[str, bool]:
    """Return why there is no connection, and whether it was refused."""
    text = str(error)
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror, isinstance(cause, ConnectionRefusedError)
        cause = cause.__cause__ or cause.__context__
    return text or "no connection", False
