# SPDX-License-Identifier: GPL-2.0-or-later
"""The connection to a web server in a device: requests have an end, answers a greatest size, and the certificate is compared."""

from __future__ import annotations

import contextlib
import hashlib
import json
import ssl
from collections.abc import Mapping
from typing import Any

import httpx

from nutdrv_py.core.confined import SelfCancelledError, confined
from nutdrv_py.errors import DeviceError, ProtocolError
from nutdrv_py.protocols import http

__all__ = ["Refused", "Web"]

MOST_BODY = 1 << 20
"""Maximum bytes of an answer."""

LEAVE = 1.0
"""Seconds the connection gets to end."""


class Refused(DeviceError):
    """The device wants a login, or another one."""


class Web:
    """Sends requests to ``url``, each of which ends within ``timeout`` seconds.

    ``pinned`` is the SHA-256 of the certificate in hex, ``any``, or empty: then an authority must have signed it. With
    ``redirects`` an answer that leads elsewhere means that a login is wanted.
    """

    def __init__(self, url: str, timeout: float = 5.0, pinned: str = "", *, redirects: bool = False) -> None:
        self.headers: dict[str, str] = {}
        """Sent with each request besides."""
        self._url = url
        self._timeout = timeout
        self._pinned = pinned
        self._redirects = redirects
        self._client: httpx.AsyncClient | None = None
        self._seen: str | None = None

    async def close(self) -> None:
        """End the connection; cookies are forgotten."""
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(Exception):
                await confined(client.aclose(), LEAVE)

    async def send(self, method: str, path: str, content: Mapping[str, str] | None = None) -> bytes:
        """Return the answer's body. Raises :class:`Refused` when a login is wanted, :class:`DeviceError` for any other answer."""
        timeout, where = self._timeout, f"{self._url}{path}"
        try:
            return await confined(self._once(method, path, content), timeout)
        except (TimeoutError, SelfCancelledError, httpx.TimeoutException):
            await self._drop()
            raise DeviceError(f"{where}: no answer within {timeout:g} s") from None
        except ProtocolError as error:
            await self._drop()
            raise DeviceError(f"{where}: {error}") from None
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError, OSError) as error:
            await self._drop()
            raise DeviceError(f"{where}: {_reason(error)}") from None

    async def _drop(self) -> None:
        """Leave the connection, but not the login: cookies and token hold on another one."""
        client = self._client
        if client is not None:
            cookies, self._client = client.cookies, None
            with contextlib.suppress(Exception):
                await confined(client.aclose(), LEAVE)
            self._client = self._made()
            self._client.cookies = cookies

    def _made(self) -> httpx.AsyncClient:
        context = ssl.create_default_context()
        if self._pinned:
            # Only the fingerprint proves anything, and it is compared before anything is sent.
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1)
        return httpx.AsyncClient(verify=context, limits=limits, follow_redirects=False, trust_env=False)

    async def _once(self, method: str, path: str, content: Mapping[str, str] | None) -> bytes:
        if self._client is None:
            self._client = self._made()
        headers = {"Accept": "application/json", **http.PLAIN, **self.headers}
        request = self._client.build_request(
            method, self._url + path, headers=headers, content=None if content is None else json.dumps(content).encode(),
            extensions={"trace": self._traced},
        )  # fmt: skip
        if content is not None:
            request.headers["Content-Type"] = "application/json"
        request.extensions["timeout"] = httpx.Timeout(self._timeout).as_dict()
        response = await self._client.send(request, stream=True)
        try:
            # A device with a login page may redirect to it without a login.
            if response.status_code in (401, 403) or (self._redirects and 300 <= response.status_code < 400):
                raise Refused(f"{path}: the device refused it (HTTP {response.status_code})")
            if response.status_code != 200:
                raise DeviceError(f"{path}: HTTP {response.status_code}")
            return await http.read(response, MOST_BODY)
        finally:
            await response.aclose()

    async def _traced(self, event: str, info: dict[str, Any]) -> None:
        """Look at the certificate before anything is sent; called by httpcore at each step of a request."""
        if not self._pinned or self._pinned == "any":
            return
        if event.endswith("connect_tcp.started"):
            self._seen = None
        elif event.endswith("start_tls.complete"):
            tls = info["return_value"].get_extra_info("ssl_object")
            self._seen = hashlib.sha256(tls.getpeercert(binary_form=True) or b"").hexdigest()
        elif event.endswith("send_request_headers.started") and self._seen != self._pinned:
            raise DeviceError(
                f"{self._url} shows another certificate (SHA-256 {self._seen}) than certificate = names; nothing was sent. If it "
                "is the device's new one, write it there"
            )


def _reason(error: BaseException) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return "no authority that this machine knows has signed its certificate; nutdrv_py check shows what to write"
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__
