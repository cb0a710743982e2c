# SPDX-License-Identifier: GPL-2.0-or-later
"""A gateway token, which is a JSON Web Token, and its claims."""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass, field

from nutdrv_py.errors import ProtocolError

__all__ = ["DAY", "MOST_TEXT", "Token"]

DAY = 86400.0

RENEW_BEFORE = 30 * DAY
"""Seconds of life under which a token is renewed; a third of its life if that is shorter (installer tokens: 12 h)."""

MOST_TEXT = 16384
"""Bytes of a token or an answer of the cloud; a token has about 400."""


_PART = re.compile(r"[A-Za-z0-9_-]+")
_MARKS = " \t\r\n,;\"'"
_NAMED = re.compile(r"token\"?\s*[=:]|bearer\s", re.IGNORECASE)


def _unwrapped(text: str) -> str:
    """Return the token in what was copied from a web page: the page's whole JSON, or with quotes, a comma, its name."""
    text = text.strip().rstrip(",;")
    if text.startswith("{"):
        try:
            content = json.loads(text)
        except (ValueError, RecursionError):
            raise ProtocolError("it is part of the JSON of Enphase's page and not whole; copy what stands behind token") from None
        token = content.get("token") if isinstance(content, dict) else None
        if not isinstance(token, str):
            raise ProtocolError("it is JSON without a token; copy what stands behind token on Enphase's page")
        text = token
    text = text.strip(_MARKS)
    named = _NAMED.match(text)
    return text[named.end() :].strip(_MARKS) if named else text


@dataclass(frozen=True, slots=True)
class Token:
    """A gateway token and its claims. Times are seconds since 1970."""

    text: str = field(repr=False)
    serial: str
    role: str
    issued: float
    expires: float

    @classmethod
    def parse(cls, text: str) -> Token:
        """Read a token without checking its signature (only the gateway can). Raises :class:`ProtocolError`."""
        if len(text) > MOST_TEXT:
            raise ProtocolError(f"it is longer than {MOST_TEXT} characters, a token has about 400")
        text = _unwrapped(text)
        parts = text.split(".")
        if len(parts) != 3:
            raise ProtocolError("a token has three parts with dots between them, this is something else")
        if not all(_PART.fullmatch(part) for part in parts):
            raise ProtocolError("a token has letters, digits, - and _ between its dots, this has something else there")
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
        """Return the seconds of life left; negative when it is over."""
        return self.expires - now

    def due(self, now: float) -> bool:
        """Return whether it is time to renew it."""
        return self.left(now) < min(RENEW_BEFORE, (self.expires - self.issued) / 3)
