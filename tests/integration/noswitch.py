# SPDX-License-Identifier: GPL-2.0-or-later
"""Devices that cannot switch their load off, as most house batteries, or that take their time."""

from __future__ import annotations

import asyncio

from plain import Plain

from nutdrv_py.device.backend import Backend


class NoSwitch(Plain):
    """The plain device without shutdown."""

    shutdown = Backend.shutdown


class SlowSwitch(Plain):
    """The plain device with a command that takes two seconds."""

    async def command(self, name: str, param: str | None) -> None:
        await asyncio.sleep(2)
