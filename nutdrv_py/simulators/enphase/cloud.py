# SPDX-License-Identifier: GPL-2.0-or-later
"""The cloud beside the gateway: login and token services."""

from __future__ import annotations

import email.parser
import email.policy
import hmac
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from nutdrv_py.simulators.enphase.messages import Answer, Incoming, json_answer, status_answer
from nutdrv_py.simulators.enphase.tokens import TokenAuthority, expiry

LOGIN_PATH = "/login/login.json"
TOKEN_PATH = "/tokens"
FALLBACK_PATH = "/entrez-auth-token"

SESSION_LIMIT = 50
"""Sessions remembered; older ones are forgotten, so that a login loop cannot fill the memory."""

_SESSION_COOKIE = "_enlighten_4_session"


def form_fields(request: Incoming) -> dict[str, str]:
    """Read a form body, urlencoded or multipart; anything else gives no fields."""
    kind = request.headers.get("content-type", "")
    if kind.startswith("application/x-www-form-urlencoded"):
        try:
            text = request.body.decode("ascii")
        except UnicodeDecodeError:
            return {}
        return {name: values[-1] for name, values in parse_qs(text, keep_blank_values=True).items()}
    if kind.startswith("multipart/form-data"):
        head = f"Content-Type: {kind}\r\n\r\n".encode("latin-1")
        message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + request.body)
        found = {}
        for part in message.walk():
            name = part.get_param("name", header="content-disposition")
            payload = part.get_payload(decode=True)
            if isinstance(name, str) and isinstance(payload, bytes):
                found[name] = payload.decode("utf-8", "replace")
        return found
    return {}


def _login_ok(cloud: Cloud) -> Answer:
    session = cloud.open_session()
    body = {
        "message": "success",
        "session_id": session,
        "manager_token": secrets.token_urlsafe(120),
        "is_consumer": True,
        "user_id": 1000001,
        "user_name": cloud.username,
        "first_name": "Demo",
        "system_id": 2000001,
        "redirect_url": "",
    }
    cookies = (
        ("Set-Cookie", f"{_SESSION_COOKIE}={session}; path=/; Secure; HttpOnly"),
        ("Set-Cookie", f"enlighten_manager_token_production={secrets.token_hex(16)}; path=/; Secure"),
        ("Set-Cookie", "locale=en; path=/"),
    )
    return json_answer(body, headers=cookies)


def _login_mfa(_: Cloud) -> Answer:
    """Return a login that wants a second factor (home-assistant/core issue 155793)."""
    cookie = (("Set-Cookie", f"login_otp_nonce={secrets.token_hex(16)}; path=/; Secure; HttpOnly"),)
    return json_answer({"success": True, "isBlocked": False}, headers=cookie)


def _login_cookie(cloud: Cloud) -> Answer:
    """Return a login whose session comes as a cookie alone, as it comes to a browser."""
    return json_answer({}, headers=(("Set-Cookie", f"{_SESSION_COOKIE}={cloud.open_session()}; path=/; Secure; HttpOnly"),))


LOGIN_MODES: Mapping[str, Callable[[Cloud], Answer]] = {
    "ok": _login_ok,
    "cookie": _login_cookie,
    "mfa": _login_mfa,
    "mfa-required": lambda _: json_answer({"success": True, "mfa_required": True}),
    "blocked": lambda _: json_answer({"success": True, "isBlocked": True}),
    "invalid": lambda _: json_answer({"message": "Invalid"}, 401),
    # The status of this one is not documented; the text is (domoticz issue 6092).
    "too-many-sessions": lambda _: json_answer({"message": "Too many active sessions.."}),
}
"""What a login with the right password gives. "invalid" treats the right one as wrong too."""


@dataclass(slots=True)
class Cloud:
    """State of the cloud: one account, its sessions, and how logins end at present.

    ``lifetime`` overrides the usual lifetime of a token, in seconds; ``issued`` is called with a sentence for each one.
    """

    authority: TokenAuthority
    wall: Callable[[], float]
    username: str = "demo@example.org"
    password: str = "demo-password"
    login_mode: str = "ok"
    lifetime: float | None = None
    issued: Callable[[str], None] = lambda text: None
    logins: int = 0
    _sessions: list[str] = field(default_factory=list)

    def open_session(self) -> str:
        """Open a session and return its id."""
        session = secrets.token_hex(16)
        self._sessions.append(session)
        del self._sessions[:-SESSION_LIMIT]
        return session

    def login(self, request: Incoming) -> Answer:
        """Answer ``POST /login/login.json`` with the form fields ``user[email]`` and ``user[password]``."""
        if request.method != "POST":
            return status_answer(405)
        self.logins += 1
        form = form_fields(request)
        right_name = hmac.compare_digest(form.get("user[email]", "").encode(), self.username.encode())
        right_word = hmac.compare_digest(form.get("user[password]", "").encode(), self.password.encode())
        if not (right_name and right_word):
            return LOGIN_MODES["invalid"](self)
        return LOGIN_MODES[self.login_mode](self)

    def token_by_session(self, request: Incoming) -> Answer:
        """Answer route A: ``POST /tokens`` with JSON; the reply is the bare token. Always an owner's token."""
        if request.method != "POST":
            return status_answer(405)
        if not request.headers.get("content-type", "").startswith("application/json"):
            return json_answer({"message": "A JSON body is needed"}, 415)
        try:
            body = json.loads(request.body)
        except ValueError:
            return json_answer({"message": "Bad JSON"}, 400)
        if not isinstance(body, dict) or not all(
            isinstance(body.get(name), str) and body[name] for name in ("session_id", "serial_num", "username")
        ):
            return json_answer({"message": "session_id, serial_num and username are needed"}, 400)
        if body["session_id"] not in self._sessions or body["username"] != self.username:
            return json_answer({"message": "Unknown session"}, 401)
        token = self._issue(body["serial_num"])
        return Answer(200, token.encode(), "text/plain;charset=UTF-8")

    def token_by_cookie(self, request: Incoming) -> Answer:
        """Answer route B: ``GET /entrez-auth-token?serial_num=`` with the login cookie; the reply is JSON."""
        if request.method != "GET":
            return status_answer(405)
        if request.cookies.get(_SESSION_COOKIE) not in self._sessions:
            return json_answer({"message": "Not logged in"}, 401)
        serial = request.query.get("serial_num", "")
        if not serial:
            return json_answer({"message": "serial_num is needed"}, 400)
        token = self._issue(serial)
        return json_answer({"generation_time": int(self.wall()), "token": token, "expires_at": expiry(token)})

    def _issue(self, serial: str) -> str:
        token = self.authority.issue(serial, now=self.wall(), lifetime=self.lifetime, username=self.username)
        self.issued(f"token issued for gateway {serial} (owner)")
        return token


CLOUD_PATHS: Mapping[str, Callable[[Cloud, Incoming], Answer]] = {
    LOGIN_PATH: Cloud.login,
    TOKEN_PATH: Cloud.token_by_session,
    FALLBACK_PATH: Cloud.token_by_cookie,
}
"""The cloud's paths on the simulator's port."""
