# SPDX-License-Identifier: GPL-2.0-or-later
"""Who may come in: the gateway's check of tokens, and the sessions that they open."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from nutdrv_py.simulators.enphase.messages import Answer, Headers, Incoming, unauthorized
from nutdrv_py.simulators.enphase.tokens import TokenAuthority, TokenRejected

SESSION_SECONDS = 600.0
"""A sessionId cookie dies after 10 minutes unused."""

SESSION_LIMIT = 50
"""Sessions remembered; older ones die. Every request with a bearer token opens one."""

NEW_LOGIN_PAGE_VERSION = (8, 3, 5169)


@dataclass(slots=True)
class Access:
    """The gateway's door. Tokens are compared with ``serial`` and ``gateway_time`` (epoch seconds), sessions age by ``clock``."""

    authority: TokenAuthority
    serial: str
    version: tuple[int, ...]
    gateway_time: Callable[[], float]
    clock: Callable[[], float]
    needs_cookie: bool
    sessions: dict[str, tuple[str, float]] = field(default_factory=dict)

    def authorize(self, request: Incoming) -> tuple[str | None, Headers]:
        """Return the role of the caller (None = unknown) and the cookies to set."""
        by_token, by_cookie = self._role_of_token(request.bearer), self._role_of_cookie(request)
        if self.needs_cookie:
            # Some firmware takes the token for the login only and wants its cookie everywhere else.
            return by_cookie, ()
        if by_token is not None and by_cookie is None:
            return by_token, self._open_session(by_token)
        return by_token if request.bearer is not None else by_cookie, ()

    def check_token(self, request: Incoming) -> Answer:
        """Answer ``/auth/check_jwt``: a good token opens a session."""
        role = self._role_of_token(request.bearer)
        if role is None:
            return self.refuse()
        page = b"<!DOCTYPE html><html><body><h2>Valid token.</h2></body></html>\n"
        return Answer(200, page, "text/html", self._open_session(role))

    def refuse(self) -> Answer:
        """Return the 401 of this firmware."""
        return unauthorized("/login.html" if self.version >= NEW_LOGIN_PAGE_VERSION else "/home")

    def forget(self) -> None:
        """Make all tokens worthless and end all sessions."""
        self.authority.forget()
        self.sessions.clear()

    def _role_of_token(self, token: str | None) -> str | None:
        if token is None:
            return None
        try:
            return self.authority.check(token, serial=self.serial, now=self.gateway_time())
        except TokenRejected:
            return None

    def _role_of_cookie(self, request: Incoming) -> str | None:
        session = request.cookies.get("sessionId", "")
        role, used = self.sessions.get(session, ("", 0.0))
        now = self.clock()
        if not role or now - used > SESSION_SECONDS:
            self.sessions.pop(session, None)
            return None
        self.sessions[session] = (role, now)
        return role

    def _open_session(self, role: str) -> Headers:
        session = secrets.token_urlsafe(24)
        self.sessions[session] = (role, self.clock())
        while len(self.sessions) > SESSION_LIMIT:
            del self.sessions[next(iter(self.sessions))]
        return (("Set-Cookie", f"sessionId={session}; Secure; HttpOnly; path=/"),)
