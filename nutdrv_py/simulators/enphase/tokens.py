# SPDX-License-Identifier: GPL-2.0-or-later
"""Tokens (JWT) as the cloud issues them and the gateway checks them offline.

They look like the real ones (ES256, key id, claims), but the signature is an HMAC with a secret that only this process
knows: no client can see that, as none has the public key, and a made-up or changed token is still found out.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from typing import Any

LIFETIMES: Mapping[str, int] = {"owner": 365 * 86400, "installer": 12 * 3600}
"""Lifetime in seconds by role."""

CLOCK_TOLERANCE = 60.0
"""A token may seem issued this many seconds in the future: clocks of cloud and gateway are never quite the same."""


class TokenRejected(Exception):
    """The gateway does not accept the token; the text is why (for the simulator's log, not for the client)."""


class TokenAuthority:
    """Issues tokens and checks them: the cloud and the gateway share it as they share a key pair in reality."""

    def __init__(self) -> None:
        """Make up a key of its own."""
        self._secret = secrets.token_bytes(32)
        self._key_id = secrets.token_hex(16)
        self.issued = 0

    def issue(self, serial: str, *, now: float, role: str = "owner", lifetime: float | None = None, username: str = "") -> str:
        """Issue a token. A negative lifetime gives one that has expired already."""
        if role not in LIFETIMES:
            raise ValueError(f'A token\'s role is "owner" or "installer", not "{role}".')
        self.issued += 1
        begin = int(now)
        life = LIFETIMES[role] if lifetime is None else lifetime
        header = {"kid": self._key_id, "typ": "JWT", "alg": "ES256"}
        claims = {
            "aud": serial,
            "iss": "Entrez",
            "enphaseUser": role,
            # An expired token was issued before it expired.
            "exp": int(begin + life),
            "iat": min(begin, int(begin + life) - 1),
            "jti": secrets.token_hex(16),
            "username": username,
        }
        signed = f"{_encode(_dump(header))}.{_encode(_dump(claims))}"
        return f"{signed}.{_encode(self._sign(signed))}"

    def check(self, token: str, *, serial: str, now: float) -> str:
        """Check a token as the gateway does: signature, audience, and the times against its own clock; return its role."""
        signed, _, signature = token.rpartition(".")
        payload = signed.partition(".")[2]
        try:
            genuine = hmac.compare_digest(_decode(signature), self._sign(signed))
            body: Mapping[str, Any] = json.loads(_decode(payload)) if genuine else {}
        except (ValueError, binascii.Error):
            raise TokenRejected("not a token") from None
        if not genuine:
            raise TokenRejected("wrong signature")
        if body["aud"] != serial:
            raise TokenRejected(f"issued for gateway {body['aud']}")
        if now >= body["exp"]:
            raise TokenRejected("expired")
        if now + CLOCK_TOLERANCE < body["iat"]:
            raise TokenRejected("not valid yet by the gateway's clock")
        return str(body["enphaseUser"])

    def forget(self) -> None:
        """Change the key: every token issued so far becomes worthless."""
        self._secret = secrets.token_bytes(32)

    def _sign(self, signed: str) -> bytes:
        # 64 bytes, the size of an ES256 signature.
        return hmac.new(self._secret, signed.encode("utf-8", "replace"), hashlib.sha512).digest()


def expiry(token: str) -> int:
    """Return ``exp`` of a token that this process issued, epoch seconds."""
    return int(json.loads(_decode(token.split(".")[1]))["exp"])


def _dump(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
