# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults that the simulated gateway has on purpose, by path: which there are, what each does, and when it strikes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import UserDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from nutdrv_py.simulators.enphase.http import Exchange, Hangup
from nutdrv_py.simulators.enphase.messages import Answer, status_answer
from nutdrv_py.simulators.spelling import nearest
from nutdrv_py.simulators.stories import ScenarioError, known_keys, right_types

FOREVER = 3600.0
"""What "hang" means when no time is given: longer than any client waits."""


@dataclass(frozen=True, slots=True)
class Fault:
    """How a path misbehaves.

    ``seconds`` is the delay, the pause between two dripped bytes, or how long to hang (0 = for ever). ``status`` and
    ``body`` belong to the kind "status"; ``body`` also to "wrong-json" and "html". ``times`` limits how often the fault
    strikes; None means every time.
    """

    kind: str
    seconds: float = 0.0
    status: int = 503
    body: str = ""
    times: int | None = None

    def __post_init__(self) -> None:
        """Refuse a kind that does not exist."""
        if self.kind not in FAULTS:
            raise ValueError(f'There is no fault of kind "{self.kind}"{nearest(str(self.kind), FAULTS)}.')
        if self.seconds < 0 or (self.times is not None and self.times < 1):
            raise ValueError("A fault's seconds cannot be negative and its times start at 1.")


class FaultTable(UserDict[str, Fault]):
    """Faults by path; "*" means all paths and "cloud" the cloud's. Counts how often each one struck."""

    def __init__(self, changed: Callable[[], None]) -> None:
        """Make an empty table; ``changed`` is called after every change."""
        super().__init__()
        self._changed = changed
        self._struck: dict[str, int] = {}

    def __setitem__(self, path: str, fault: Fault) -> None:
        """Set a fault and start its count anew."""
        if path not in ("*", "cloud") and not path.startswith("/"):
            raise ValueError(f'A fault is set for a path that starts with "/", for "*" or for "cloud", not "{path}".')
        super().__setitem__(path, fault)
        self._struck[path] = 0
        self._changed()

    def __delitem__(self, path: str) -> None:
        """Take a fault away."""
        super().__delitem__(path)
        self._changed()

    def strike(self, path: str, *, cloud: bool) -> Fault | None:
        """Return the fault to apply to a request for this path now, counting it. The closest key wins."""
        for key in (path, *(("cloud",) if cloud else ()), "*"):
            fault = self.get(key)
            if fault is not None and (fault.times is None or self._struck[key] < fault.times):
                self._struck[key] += 1
                return fault
        return None


def parse_faults(content: Any) -> dict[str, Fault]:
    """Build the fault table of a scenario: path -> {kind, seconds, status, body, times}."""
    if not isinstance(content, Mapping):
        raise ScenarioError('faults: needs paths with their faults, like "/ivp/meters: {kind: hang}".')
    return {str(path): parse_fault(fault, f"faults: {path}") for path, fault in content.items()}


def parse_fault(content: Any, where: str = "fault") -> Fault:
    """Build one fault from its keys (or pass a ready one through)."""
    if isinstance(content, Fault):
        return content
    known = tuple(item.name for item in fields(Fault))
    known_keys(content, known, where)
    if "kind" not in content:
        raise ScenarioError(f"{where} needs a kind.")
    right_types(content, Fault("hang", times=1), where)
    return Fault(**content)


# -- what each kind does -----------------------------------------------------------------------------------------------


async def _refuse(exchange: Exchange, fault: Fault) -> None:
    raise Hangup


async def _reset(exchange: Exchange, fault: Fault) -> None:
    raw = exchange.writer.get_extra_info("socket")
    with contextlib.suppress(OSError, AttributeError):
        # Closing sends a RST then.
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    exchange.writer.transport.abort()
    raise Hangup


async def _hang(exchange: Exchange, fault: Fault) -> None:
    await asyncio.sleep(fault.seconds or FOREVER)
    raise Hangup


async def _hang_after_headers(exchange: Exchange, fault: Fault) -> None:
    await exchange.send_head(exchange.handle(exchange.request))
    await _hang(exchange, fault)


async def _drip(exchange: Exchange, fault: Fault) -> None:
    answer = exchange.handle(exchange.request)
    await exchange.send_head(answer)
    for place in range(len(answer.body)):
        await asyncio.sleep(fault.seconds)
        await exchange.send(answer.body[place : place + 1])


async def _truncated(exchange: Exchange, fault: Fault) -> None:
    answer = exchange.handle(exchange.request)
    await exchange.send_head(answer, body=answer.body[: len(answer.body) // 2])
    raise Hangup


async def _truncated_chunk(exchange: Exchange, fault: Fault) -> None:
    answer = exchange.handle(exchange.request)
    half = f"{len(answer.body):x}\r\n".encode() + answer.body[: len(answer.body) // 2]
    await exchange.send_head(answer, body=half, chunked=True)
    raise Hangup


async def _html(exchange: Exchange, fault: Fault) -> None:
    page = fault.body or "<!DOCTYPE html>\n<html><head><title>Gateway</title></head><body>Please wait</body></html>"
    await exchange.send_answer(Answer(200, page.encode(), "text/html"))


async def _wrong_json(exchange: Exchange, fault: Fault) -> None:
    await exchange.send_answer(Answer(200, (fault.body or '{"unexpected": ["answer", null, -0]}').encode()))


async def _empty(exchange: Exchange, fault: Fault) -> None:
    await exchange.send_answer(Answer(200))


async def _status(exchange: Exchange, fault: Fault) -> None:
    await exchange.send_answer(status_answer(fault.status, fault.body))


async def _delay(exchange: Exchange, fault: Fault) -> None:
    await asyncio.sleep(fault.seconds)
    await exchange.send_answer(exchange.handle(exchange.request))


FAULTS: Mapping[str, Callable[[Exchange, Fault], Awaitable[None]]] = {
    "refuse": _refuse,
    "reset": _reset,
    "hang": _hang,
    "hang-after-headers": _hang_after_headers,
    "drip": _drip,
    "truncated": _truncated,
    "truncated-chunk": _truncated_chunk,
    "html": _html,
    "wrong-json": _wrong_json,
    "empty": _empty,
    "status": _status,
    "delay": _delay,
}
"""All kinds of faults. "refuse" for "*" closes the port; for one path it closes the connection without an answer."""
