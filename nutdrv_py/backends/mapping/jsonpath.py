# SPDX-License-Identifier: GPL-2.0-or-later
"""Place of a value in a JSON document: names with dots between them, ``[0]`` for an item of a list. Pure.

A name with a dot, a bracket or a blank in it is quoted: ``battery."state of charge"[0].value``. Nothing else is taken: no
search, no filter, no slice.
"""

from __future__ import annotations

import json
import re

__all__ = ["decode", "dig", "steps"]

_STEP = re.compile(r"""(?P<name>[^.\[\]"\s]+)|"(?P<quoted>[^"]+)"|\[(?P<index>[0-9]{1,4})\]""")

DEEPEST = 16
"""Maximum steps of a path."""


def steps(path: str) -> tuple[str | int, ...]:
    """Return the steps of ``path``. Raises ValueError for what is no path."""
    found: list[str | int] = []
    at = 0
    while at < len(path):
        if path[at] == "." and found:
            at += 1
        elif found and path[at] != "[":
            raise ValueError(path)
        match = _STEP.match(path, at)
        if match is None or len(found) >= DEEPEST:
            raise ValueError(path)
        found.append(int(match["index"]) if match["index"] else match["name"] or match["quoted"])
        at = match.end()
    if not found:
        raise ValueError(path)
    return tuple(found)


def dig(document: object, path: tuple[str | int, ...]) -> object:
    """Return the value at ``path``; None when a step is missing. Objects and lists are no values: None too."""
    for step in path:
        if isinstance(step, int):
            document = document[step] if isinstance(document, list) and step < len(document) else None
        else:
            document = document.get(step) if isinstance(document, dict) else None
    return None if isinstance(document, dict | list) else document


def _nothing(text: str) -> None:
    return None


def decode(body: bytes) -> object:
    """Return the JSON document; NaN and Infinity are null. Raises ValueError for what is none."""
    try:
        result: object = json.loads(body, parse_constant=_nothing)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    return result
