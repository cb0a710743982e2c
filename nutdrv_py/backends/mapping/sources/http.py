# SPDX-License-Identifier: GPL-2.0-or-later
"""JSON from a web server in the device, with or without a login."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from nutdrv_py.backends.mapping import jsonpath
from nutdrv_py.backends.mapping.nodes import Node
from nutdrv_py.backends.mapping.sources import Login, Options, Place, Source, Told
from nutdrv_py.clock import Clock
from nutdrv_py.errors import AuthError, DeviceError
from nutdrv_py.log import log
from nutdrv_py.protocols.web import Refused, Web

__all__ = ["MAIN", "PLACE", "places", "source", "spec"]

PLACE = frozenset({"get", "path"})
MAIN = "path"

PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class LoginForm:
    """How to log in: what is posted where, and where in the answer a bearer token is; without one cookies are used."""

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


class Http(Source):
    """Asks the device at each poll."""

    def __init__(self, spec: HttpSpec, clock: Clock, login: Callable[[], Login]) -> None:
        super().__init__(clock, login)
        self._spec = spec
        pinned = spec.certificate if spec.url.startswith("https:") else ""
        self._web = Web(spec.url, spec.timeout, pinned, redirects=spec.login is not None)
        self._logged_in = False
        self._failing: set[str] = set()
        if (spec.login is not None or spec.basic) and spec.url.startswith("http:"):
            log.warning("The password for %s goes over the network as readable text; use https if the device has it", spec.url)
        if pinned == "any":
            log.warning("Any certificate of %s is taken, so another computer could take its place; see certificate =", spec.url)

    async def close(self) -> None:
        """End the connection and forget the login."""
        self._logged_in = False
        self._web.headers = {}
        await self._web.close()

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
        if self._spec.basic:
            who = self.login()
            coded = base64.b64encode(f"{who.username}:{who.password}".encode()).decode()
            self._web.headers = {"Authorization": f"Basic {coded}"}
        if form is not None and not self._logged_in:
            await self._log_in(form)
        try:
            body = await self._web.send("GET", path)
        except Refused as refusal:
            if form is None:
                ask = "does it want a login? See credentials = and the file's login:"
                advice = "correct the file of credentials =" if self._spec.basic else ask
                raise AuthError(f"{refusal}; {advice}", rejected=self._spec.basic) from None
            # The login has ended; a new one is tried once.
            await self.close()
            await self._log_in(form)
            try:
                body = await self._web.send("GET", path)
            except Refused as again:
                raise AuthError(f"{again}, although the login was accepted") from None
        return _json(path, body)

    async def _log_in(self, form: LoginForm) -> None:
        who = self.login()
        if not who.password:
            raise AuthError("the device wants a password; write credentials = FILE with a line PASSWORD=...", rejected=True)
        content = {
            name: text.replace("{username}", who.username).replace("{password}", who.password) for name, text in form.fields
        }
        try:
            body = await self._web.send("POST", form.path, content)
        except Refused:
            raise AuthError("the device refused the login; correct the file of credentials =", rejected=True) from None
        if form.token:
            token = jsonpath.dig(_json(form.path, body), form.token)
            if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]{1,8192}", token):
                raise AuthError(f"{form.path}: the answer to the login holds no token")
            self._web.headers = {"Authorization": f"Bearer {token}"}
        self._logged_in = True


def _json(path: str, body: bytes) -> object:
    try:
        return jsonpath.decode(body)
    except ValueError:
        raise DeviceError(f"{path}: the answer is not JSON") from None
