# SPDX-License-Identifier: GPL-2.0-or-later
"""The connection under an httpx client, for the moment in which httpx itself loses sight of it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from nutdrv_py.core.confined import confined

__all__ = ["LEAVE", "Wire"]

LEAVE = 1.0
"""Seconds for a connection to close."""


class Wire:
    """Closes a connection whose TLS handshake was given up.

    httpcore (0.16 and 1.0) closes it after an error, but not after a cancellation: each poll of a gateway that hangs there would
    cost a file descriptor, until the driver has none for upsd. One request at a time.
    """

    def __init__(self) -> None:
        self._raw: Any = None

    async def follow(self, event: str, info: Mapping[str, Any]) -> None:
        """Follow a request; httpcore calls this at each step of a request (its extension ``trace``)."""
        if event.endswith("connect_tcp.complete"):
            self._raw = info["return_value"]
        elif event.endswith("start_tls.complete"):
            self._raw = None

    async def close(self) -> None:
        """Close what is left of a handshake."""
        raw, self._raw = self._raw, None
        if raw is not None:
            with contextlib.suppress(Exception):
                await confined(raw.aclose(), LEAVE)
