# SPDX-License-Identifier: GPL-2.0-or-later
"""Which machines wait to be woken, over a restart of the driver. Pure: bytes and times in, a state out, and back."""

from __future__ import annotations

import json

from nutdrv_py.exporters.wake.rules import State, Wanted

__all__ = ["KEPT", "MOST", "packed", "unpacked"]

KEPT = 7 * 86400.0
"""Seconds after which a memory is forgotten: a house that was dark for a week is looked at by its owner."""

MOST = 16_384
"""Maximum bytes of the file; 50 machines have 3,000."""

FORMAT = "nutdrv_py wake"
VERSION = 1


def packed(state: State, at: float, wall: float) -> bytes:
    """Return the file for ``state`` at monotonic time ``at``, which is ``wall`` seconds since 1970."""
    ended = None if state.ended is None else wall - (at - state.ended)
    machines = {name: one.sent for name, one in state.wanted.items()}
    content = {"format": FORMAT, "version": VERSION, "saved": wall, "ended": ended, "machines": machines}
    return json.dumps(content, allow_nan=False).encode() + b"\n"


def unpacked(data: bytes, at: float, wall: float) -> State:
    """Return the state that :func:`packed` has written; an empty one for what is too old. Raises ValueError for anything else.

    A clock that was set back counts as no time.
    """
    try:
        content = json.loads(data)
    except RecursionError:
        raise ValueError("it is damaged") from None
    match content:
        case {
            "format": str(name), "version": int(version), "saved": int() | float() as saved, "ended": ended,
            "machines": dict(machines),
        } if name == FORMAT and version == VERSION and 0 <= saved < 1e12:  # fmt: skip
            pass
        case _:
            raise ValueError("it is something else")
    if ended is not None and (type(ended) not in (int, float) or not 0 <= ended < 1e12):
        raise ValueError("its time is none")
    if any(type(sent) is not int or not 0 <= sent < 1000 for sent in machines.values()):
        raise ValueError("it counts something else than packets")
    if wall - saved > KEPT:
        return State()
    back = None if ended is None else at - max(0.0, wall - ended)
    return State({name: Wanted(sent) for name, sent in machines.items()}, None, back)
