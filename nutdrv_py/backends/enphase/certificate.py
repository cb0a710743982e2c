# SPDX-License-Identifier: GPL-2.0-or-later
"""Key and name in a certificate (DER, RFC 5280, 4.1), without a library that would verify a signature that is not there."""

from __future__ import annotations

import hashlib

__all__ = ["common_name", "public_key"]


def public_key(certificate: bytes) -> str:
    """Return the SHA-256 (hex) of the SubjectPublicKeyInfo of a certificate in DER (RFC 5280, 4.1); empty when there is none."""
    part = _part(certificate, 5)
    return hashlib.sha256(part).hexdigest() if part else ""


_COMMON_NAME = b"\x06\x03\x55\x04\x03"
"""The object identifier 2.5.4.3 in DER."""


def common_name(certificate: bytes) -> str:
    """Return the common name of the subject of a certificate in DER; empty when there is none."""
    _, found, rest = _part(certificate, 4).partition(_COMMON_NAME)
    # Behind it a string: its type, its length (a name has at most 64 characters), its bytes.
    if not found or len(rest) < 2 or rest[1] > 64 or len(rest) < 2 + rest[1]:
        return ""
    return rest[2 : 2 + rest[1]].decode("ascii", "replace")


def _part(certificate: bytes, index: int) -> bytes:
    """Return an element of a certificate's TBSCertificate behind the version, which may be absent; empty when there is none.

    0 is the serial number; then come algorithm, issuer, validity, subject (4) and key (5).
    """

    def element(at: int) -> tuple[int, int]:
        """Return where the content of the element at ``at`` begins and ends."""
        length, begin = certificate[at + 1], at + 2
        if length & 0x80:
            size = length & 0x7F
            length, begin = int.from_bytes(certificate[begin : begin + size], "big"), begin + size
        if not 0 <= length <= len(certificate) - begin:
            raise IndexError
        return begin, begin + length

    try:
        at, end = element(element(0)[0])
        for _ in range(index + (certificate[at] == 0xA0)):
            at = element(at)[1]
        stop = element(at)[1]
        return certificate[at:stop] if at < stop <= end else b""
    except IndexError:
        return b""
