# SPDX-License-Identifier: GPL-2.0-or-later
"""JSON from a web server in the device, with or without a login. One request at a time, each with an end and a greatest size."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import ssl
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx

from nutdrv_py.backends.mapping import jsonpath
from nutdrv_py.backends.mapping.nodes import Node
from nutdrv_py.backends.mapping.sources import Login, Options, Place, Source, Told
from nutdrv_py.clock import Clock
from nutdrv_py.core.confined import SelfCancelledError, confined
from nutdrv_py.errors import AuthError, DeviceError, ProtocolError
from nutdrv_py.log import log
from nutdrv_py.protocols import http

__all__ = ["MAIN", "PLACE", "places", "source", "spec"]

PLACE = frozenset({"get", "path"})
MAIN = "path"

MOST_BODY = 1 << 20
"""Bytes of an answer, at most."""

LEAVE = 1.0
"""Seconds the connection gets to end."""

PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class LoginForm:
    """How to log in: what is posted where, and where in the answer a bearer token stands; without one cookies do."""

    path: str
    fields: tuple[tuple[str, str], ...]
    token: tuple[str | int, ...] = ()


@dataclass(frozen=True, slots=True)
class HttpSpec:
    """The server."""

    url: str
    address: tuple[str, int]
    timeout: float
    login: LoginForm | None
    basic: bool
    certificate: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class In:
    """A value in the answer to a GET."""

    get: str
    path: tuple[str | int, ...]

    def __str__(self) -> str:
        steps = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.path)
        return f"{self.get} {steps.removeprefix('.')}"


def spec(node: Node, options: Options) -> HttpSpec:
    """Read ``source: {http: https://{address}, login: {...}, basic: no, timeout: 5}``."""
    entries = node.entries({"http", "login", "basic", "timeout"})
    text = entries["http"].text()
    if "{address}" in text and not options.address:
        raise entries["http"].fail("the device's address is missing; write address = HOST into its section in ups.conf")
    url = text.replace("{address}", options.address).rstrip("/")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = urlsplit(""), None, None
    if not host or parts.scheme not in PORTS or parts.query or parts.fragment or re.search(r"[\s@\\{}]", url):
        raise entries["http"].fail("that is no URL without user, password and query; write http: https://{address}")
    return HttpSpec(
        url, (host, port or PORTS[parts.scheme]), entries["timeout"].number(1, 30) if "timeout" in entries else 5.0,
        _form(entries["login"]) if "login" in entries else None, "basic" in entries and entries["basic"].flag(),
        options.certificate,
    )  # fmt: skip


def _form(node: Node) -> LoginForm:
    entries = node.entries({"post", "json", "token"})
    for name in ("post", "json"):
        if name not in entries:
            raise node.fail(f"{name}: is missing; a login needs post: /path and json: with {{password}} in one of its values")
    fields = tuple((name, value.text()) for name, value in entries["json"].entries().items())
    if not any("{password}" in text for _, text in fields):
        raise entries["json"].fail("no value is {password}, which stands for that of the credentials file")
    return LoginForm(_path(entries["post"]), fields, _steps(entries["token"]) if "token" in entries else ())


def _path(node: Node) -> str:
    text = node.text()
    if not text.startswith("/") or text.startswith("//") or re.search(r"[\s#\\]", text):
        raise node.fail("a path on the device is needed here, such as /api/status")
    return text


def _steps(node: Node) -> tuple[str | int, ...]:
    try:
        return jsonpath.steps(node.text())
    except ValueError:
        raise node.fail('that is no path; write names with dots between them: a.b[0]."c d"') from None


def places(node: Node, entries: Mapping[str, Node], options: Options) -> tuple[Place, ...]:
    """Read ``get: /api/soe`` and ``path: percentage``."""
    for name in ("get", "path"):
        if name not in entries:
            raise node.fail(f"{name}: is missing; write get: /path/on/the/device and path: name.of.the.value")
    return tuple(In(_path(entries["get"]), _steps(item)) for item in entries["path"].items())


def source(spec: HttpSpec, clock: Clock, login: Callable[[], Login], places: Collection[Place], *, maxage: float) -> Source:
    """Return the client."""
    return Http(spec, clock, login)


class _Refused(DeviceError):
    """The device wants a login, or another one."""


class Http(Source):
    """Asks the device at each poll."""

    def __init__(self, spec: HttpSpec, clock: Clock, login: Callable[[], Login]) -> None:
        super().__init__(clock, login)
        self._spec = spec
        self._client: httpx.AsyncClient | None = None
        self._headers: dict[str, str] = {}
        self._logged_in = False
        self._seen: str | None = None
        self._failing: set[str] = set()
        self._pinned = spec.certificate if spec.url.startswith("https:") else ""
        if (spec.login is not None or spec.basic) and spec.url.startswith("http:"):
            log.warning("The password for %s goes over the network as readable text; use https if the device has it", spec.url)
        if self._pinned == "any":
            log.warning("Any certificate of %s is taken, so another computer could take its place; see certificate =", spec.url)

    async def close(self) -> None:
        """End the connection and forget the login."""
        client, self._client = self._client, None
        self._logged_in = False
        self._headers = {}
        if client is not None:
            with contextlib.suppress(Exception):
                await confined(client.aclose(), LEAVE)

    async def ask(self, places: Collection[Place]) -> Mapping[Place, Told]:
        """GET each address once. One that fails loses its own values; when all fail, that is the error.

        Those that hang keep the next look at the grid waiting for no longer than one of them: the rest is left out this time.
        """
        began = self.clock.monotonic()
        wanted: dict[str, list[In]] = {}
        for place in places:
            if isinstance(place, In):
                wanted.setdefault(place.get, []).append(place)
        told: dict[Place, Told] = {}
        failures: list[DeviceError] = []
        for path, inside in sorted(wanted.items(), key=lambda item: item[0] in self._failing):
            if failures and self.clock.monotonic() - began >= self._spec.timeout:
                break
            try:
                document = await self._document(path)
            except AuthError:
                raise
            except DeviceError as error:
                failures.append(error)
                self._failing.add(path)
                continue
            self._failing.discard(path)
            at = self.clock.monotonic()
            for place in inside:
                value = jsonpath.dig(document, place.path)
                if value is not None:
                    told[place] = Told(value, at)
        if failures and not told:
            raise failures[0]
        return told

    async def _document(self, path: str) -> object:
        form = self._spec.login
        if form is not None and not self._logged_in:
            await self._log_in(form)
        try:
            body = await self._send("GET", path)
        except _Refused as refusal:
            if form is None:
                text = f"{refusal}; does it want a login? See credentials = and the file's login:"
                raise AuthError(text, rejected=self._spec.basic) from None
            # The login has ended; a new one is tried once.
            await self.close()
            await self._log_in(form)
            try:
                body = await self._send("GET", path)
            except _Refused as again:
                raise AuthError(f"{again}, although the login was taken") from None
        return _json(path, body)

    async def _log_in(self, form: LoginForm) -> None:
        who = self.login()
        if not who.password:
            raise AuthError("the device wants a password; write credentials = FILE with a line PASSWORD=...", rejected=True)
        content = {
            name: text.replace("{username}", who.username).replace("{password}", who.password) for name, text in form.fields
        }
        try:
            body = await self._send("POST", form.path, content)
        except _Refused:
            raise AuthError("the device refused the login; correct the file of credentials =", rejected=True) from None
        if form.token:
            token = jsonpath.dig(_json(form.path, body), form.token)
            if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]{1,8192}", token):
                raise AuthError(f"{form.path}: the answer to the login holds no token")
            self._headers = {"Authorization": f"Bearer {token}"}
        self._logged_in = True

    async def _send(self, method: str, path: str, content: Mapping[str, str] | None = None) -> bytes:
        timeout, where = self._spec.timeout, f"{self._spec.url}{path}"
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
            # Only the fingerprint says anything, and it is compared before anything is sent.
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1)
        return httpx.AsyncClient(verify=context, limits=limits, follow_redirects=False, trust_env=False)

    async def _once(self, method: str, path: str, content: Mapping[str, str] | None) -> bytes:
        if self._client is None:
            self._client = self._made()
        headers = {"Accept": "application/json", **http.PLAIN, **self._headers}
        if self._spec.basic:
            who = self.login()
            headers["Authorization"] = "Basic " + base64.b64encode(f"{who.username}:{who.password}".encode()).decode()
        request = self._client.build_request(
            method, self._spec.url + path, headers=headers, content=None if content is None else json.dumps(content).encode(),
            extensions={"trace": self._traced},
        )  # fmt: skip
        if content is not None:
            request.headers["Content-Type"] = "application/json"
        request.extensions["timeout"] = httpx.Timeout(self._spec.timeout).as_dict()
        response = await self._client.send(request, stream=True)
        try:
            # A device with a login page may send there who has none.
            if response.status_code in (401, 403) or (self._spec.login is not None and 300 <= response.status_code < 400):
                raise _Refused(f"{path}: the device refused it (HTTP {response.status_code})")
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
            raise DeviceError(f"{self._spec.url} shows another certificate than certificate = names; nothing was sent")


def _json(path: str, body: bytes) -> object:
    try:
        return jsonpath.decode(body)
    except ValueError:
        raise DeviceError(f"{path}: the answer is not JSON") from None


def _reason(error: BaseException) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return "no authority that this machine knows has signed its certificate; nutdrv_py check shows what to write"
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__
