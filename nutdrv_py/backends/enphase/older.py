# SPDX-License-Identifier: GPL-2.0-or-later
"""Recognises a gateway with firmware before 7, which answers by plain HTTP alone."""

from __future__ import annotations

import contextlib
from urllib.parse import urlsplit

from nutdrv_py.backends.enphase import site
from nutdrv_py.backends.enphase.client import Gateway
from nutdrv_py.errors import DeviceError

__all__ = ["AGAIN", "old_firmware"]

PORT = 80
"""Where such a gateway answers."""

WAIT = 3.0
"""Seconds for each of the two questions."""

AGAIN = 600.0
"""Seconds before a gateway that refuses HTTPS is asked again."""


async def old_firmware(url: str) -> str:
    """Return a sentence if an Envoy answers on port 80 of the gateway at ``url``, whose port 443 is closed; else nothing.

    Nothing secret is sent.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme != "https" or parts.port not in (None, 443):
        return ""
    gateway = Gateway(f"http://{f'[{host}]' if ':' in host else host}:{PORT}", lambda _: False)
    software: str | None = None
    try:
        with contextlib.suppress(DeviceError):
            software = site.identity((await gateway.get("/info", timeout=WAIT)).body).software
        if software is None:
            with contextlib.suppress(DeviceError):
                software = "" if b"envoy" in (await gateway.get("/", timeout=WAIT)).body.lower() else None
    finally:
        await gateway.close()
    if software is None:
        return ""
    return (
        f"the gateway at {host} answers by plain HTTP alone, as firmware before 7 does{f' ({software})' if software else ''}; "
        "batteries need firmware 7 or later, which Enphase's support installs"
    )
