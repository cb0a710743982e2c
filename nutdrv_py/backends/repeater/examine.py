# SPDX-License-Identifier: GPL-2.0-or-later
"""``nutdrv_py check`` of another server's UPS: does that server answer, with good data, and let us in. Asked once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from nutdrv_py.backends.repeater.line import Line
from nutdrv_py.backends.repeater.mirror import mirror
from nutdrv_py.device.findings import Finding, failed, ok, warning
from nutdrv_py.errors import DeviceError

__all__ = ["examine"]

ANSWER = 5.0
"""Seconds for everything; a driver does not wait longer either."""


async def examine(line: Line, identity: str) -> AsyncIterator[Finding]:
    """Look at the source over a ``line`` that nobody else uses; ``identity`` is how a loop is noticed."""
    try:
        values = await asyncio.to_thread(_fetch, line)
        reading = mirror(line.source, values, identity)
    except DeviceError as error:
        text, _, advice = str(error).partition("; ")
        yield failed("source", text, advice or f"look there with: upsc {line.source}")
        return
    yield ok("source", f"{line.source} says {str(reading.status)!r} and {len(values)} variables")
    if line.rejected:
        text, _, advice = line.rejected.partition("; ")
        yield warning("login", f"{text}, so nothing can be set there, only read", advice or "correct username = and password =")


def _fetch(line: Line) -> dict[str, str]:
    line.begin(ANSWER)
    try:
        line.open()
        rows = line.rows("VAR")
    finally:
        line.close()
    return {row[0]: " ".join(row[1:]) if row[0] == "ups.status" else row[1] for row in rows if len(row) > 1}
