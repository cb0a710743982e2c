# SPDX-License-Identifier: GPL-2.0-or-later
"""``nutdrv_py check`` of a file: can it be read, has it a status with OL, OB or OFF, is each line understood."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from nutdrv_py.backends.dummy.config import DummyConfig, file_of, loops
from nutdrv_py.backends.dummy.play import Player
from nutdrv_py.backends.dummy.source import read
from nutdrv_py.backends.dummy.words import compose
from nutdrv_py.clock import Clock
from nutdrv_py.device.findings import Finding, failed, ok, warning
from nutdrv_py.errors import DeviceError
from nutdrv_py.nut.portfile import parse
from nutdrv_py.nut.portitems import Item, Mistake

__all__ = ["examine"]

SETTLED = 1.0
"""Seconds after which a file that looked half-written is read once more."""

MOST_LINES = 10
"""Maximum mistakes that are reported."""


async def examine(config: DummyConfig, clock: Clock, defaults: dict[str, str]) -> AsyncIterator[Finding]:
    """Look at the file as a driver does that has just started; ``defaults`` hold until the file has others."""
    path = file_of(config)
    try:
        content = await asyncio.to_thread(read, path)
        if content.cut:
            await clock.sleep(SETTLED)
            content = await asyncio.to_thread(read, path)
    except DeviceError as error:
        yield _failed(str(error))
        return
    items = await asyncio.to_thread(parse, content.data.decode("utf-8", "replace"))
    player = Player(items, loop=loops(config), least=config.pollinterval, defaults=defaults)
    player.play(clock.monotonic())
    try:
        reading, unknown = compose(player.values, player.alarms)
    except DeviceError as error:
        yield _failed(f"{path}: {error}")
    else:
        yield ok("file", f"{path} says {str(reading.status)!r} and {len(reading.values)} variables")
        for word in unknown:
            yield warning("file", f"{path}: ups.status has the word {word!a}, unknown to NUT; it is left out", "correct it there")
    for finding in _mistakes(path, items):
        yield finding


def _failed(sentence: str) -> Finding:
    text, _, advice = sentence.partition("; ")
    return failed("file", text, advice or "correct it, then type the same again")


def _mistakes(path: str, items: Sequence[Item]) -> list[Finding]:
    mistakes = [item for item in items if isinstance(item, Mistake)]
    advice = "correct the line, which is left out"
    found = [warning("file", f"{path}:{item.line}: {item.reason}", advice) for item in mistakes[:MOST_LINES]]
    if len(mistakes) > MOST_LINES:
        more = f"{path} has {len(mistakes) - MOST_LINES} more lines that are not understood"
        found.append(warning("file", more, "correct what writes them"))
    return found
