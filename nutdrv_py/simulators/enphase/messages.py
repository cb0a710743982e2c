# SPDX-License-Identifier: GPL-2.0-or-later
"""Requests and answers of the simulated gateway and its cloud, and how each error looks on a real one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

SERVER_NAME = "openresty/1.17.8.1"

Headers = tuple[tuple[str, str], ...]

REASONS: Mapping[int, str] = {
    200: "OK",
    301: "Moved Permanently",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    411: "Length Required",
    413: "Payload Too Large",
    415: "Unsupported Media Type",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


@dataclass(frozen=True, slots=True)
class Request:
    """One line of the request log. ``status`` is 0 when no answer was sent; ``time`` is epoch seconds."""

    time: float
    method: str
    path: str
    status: int


@dataclass(frozen=True, slots=True)
class Incoming:
    """A parsed request. Header names are lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def cookies(self) -> dict[str, str]:
        """Return the cookies by name."""
        pairs = (part.strip().partition("=") for part in self.headers.get("cookie", "").split(";"))
        return {name: value for name, sign, value in pairs if sign}

    @property
    def bearer(self) -> str | None:
        """Return the token of the Authorization header, or None."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" and token.strip() else None


@dataclass(frozen=True, slots=True)
class Answer:
    """What to send back."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: Headers = ()


def json_answer(value: Any, status: int = 200, headers: Headers = ()) -> Answer:
    """Build a JSON answer, written with four blanks of indent as the gateway does."""
    # The gateway prints a negative zero without its fraction, which trips readers that expect a float.
    text = json.dumps(value, indent=4).replace(": -0.0,", ": -0,").replace(": -0.0\n", ": -0\n")
    return Answer(status, text.encode() + b"\n", "application/json", headers)


def html_answer(title: str, status: int, script: str = "") -> Answer:
    """Build a plain HTML error page in the style of the gateway's web server."""
    page = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
        f"<hr><center>{SERVER_NAME}</center>\r\n{script}</body>\r\n</html>\r\n"
    )
    return Answer(status, page.encode(), "text/html")


def unauthorized(login_page: str = "/home") -> Answer:
    """Return the gateway's 401: an HTML page that sends a browser to its login page, even if JSON was asked for."""
    script = f"<script>setTimeout(() => {{ location.href = location.origin + '{login_page}'; }}, 500);</script>\r\n"
    return html_answer("401 Authorization Required", 401, script)


def not_found() -> Answer:
    """Return the gateway's answer for a path it does not have."""
    return json_answer({"error": "404 - Not Found"}, 404)


_STATUS_ANSWERS: Mapping[int, Callable[[], Answer]] = {
    401: unauthorized,
    403: lambda: html_answer("403 Forbidden", 403),
    404: not_found,
    429: lambda: json_answer({"message": "Too many requests"}, 429),
    502: lambda: html_answer("502 Bad Gateway", 502),
    503: lambda: html_answer("503 Service Temporarily Unavailable", 503),
    504: lambda: html_answer("504 Gateway Time-out", 504),
}
"""How each error looks on a real gateway."""


def status_answer(status: int, body: str = "") -> Answer:
    """Build an error answer with this status; ``body`` replaces the usual text."""
    if body:
        return Answer(status, body.encode(), "application/json" if body.lstrip()[:1] in "{[" else "text/html")
    make = _STATUS_ANSWERS.get(status)
    return make() if make else html_answer(f"{status} {REASONS.get(status, 'Error')}", status)
