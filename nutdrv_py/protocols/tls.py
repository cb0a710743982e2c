# SPDX-License-Identifier: GPL-2.0-or-later
"""TLS towards the servers of a house, many of which show a certificate that was made at home."""

from __future__ import annotations

import ssl

__all__ = ["trusting"]


def trusting(authority: str) -> ssl.SSLContext:
    """Return a client's context that trusts the authorities in the file ``authority``; with "" those of the system.

    Python 3.13 began to refuse authorities without the extensions of RFC 5280 (``ssl.VERIFY_X509_STRICT``), which those
    that ``openssl req -x509`` makes have not; what was trusted before an upgrade of Python is trusted after it.

    Raises OSError (also as ssl.SSLError) when the file cannot be read or holds no certificate.
    """
    context = ssl.create_default_context(cafile=authority or None)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
