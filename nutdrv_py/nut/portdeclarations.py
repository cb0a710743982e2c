# SPDX-License-Identifier: GPL-2.0-or-later
"""The declarations of a port file: comments that begin with ``#@`` and say what real dummy-ups has no words for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from nutdrv_py.nut.parseconf import MAX_VALUE
from nutdrv_py.nut.portitems import MAX_ENTRY, OWN, Command, Item, Mistake, Settable, bad_name, fitting
from nutdrv_py.nut.portwords import tokenized

__all__ = ["MARK", "declaration"]

MARK = "#@"
"""How a declaration begins."""

_NUMBER = re.compile(r"[+-]?[0-9]{1,9}")


def declaration(line: int, comment: str) -> Item:
    """Return what a comment that begins with :data:`MARK` declares."""
    piece = tokenized(line, comment.removeprefix(MARK))
    if piece.mistake:
        return Mistake(line, piece.mistake)
    kind, *words = piece.words or ("",)
    read = _KINDS.get(kind)
    if read is None:
        return Mistake(line, f"after #@ comes rw or command, not {kind!a}; a comment begins with # and a blank")
    return read(line, words)


def _settable(line: int, words: list[str]) -> Item:
    if len(words) < 3 or words[1] not in _RULES:
        return Mistake(line, f"write #@ rw variable, then one of: {', '.join(usage for usage, _ in _RULES.values())}")
    name, kind, *given = words
    problem = bad_name(name)
    if problem:
        return Mistake(line, f"{name!a} is not the name of a variable: {problem}")
    if name.lower().startswith(OWN):
        return Mistake(line, f"{name} cannot be made writable: it belongs to the driver")
    usage, read = _RULES[kind]
    return read(line, name, given) or Mistake(line, f"write #@ rw {name} {usage}")


def _string(line: int, name: str, given: list[str]) -> Item | None:
    if len(given) != 1 or not _NUMBER.fullmatch(given[0]) or not 1 <= int(given[0]) <= MAX_VALUE:
        return None
    return Settable(line, name, maxlen=int(given[0]))


def _range(line: int, name: str, given: list[str]) -> Item | None:
    if len(given) % 2 or not all(_NUMBER.fullmatch(word) for word in given):
        return None
    bounds = [int(word) for word in given]
    ranges = tuple(zip(bounds[::2], bounds[1::2], strict=True))
    return Settable(line, name, ranges=ranges) if all(low <= high for low, high in ranges) else None


def _enum(line: int, name: str, given: list[str]) -> Item | None:
    if not all(word and len(word) <= MAX_ENTRY and fitting(word) == word for word in given):
        return None
    return Settable(line, name, enum=tuple(dict.fromkeys(given)))


_RULES: Mapping[str, tuple[str, Callable[[int, str, list[str]], Item | None]]] = {
    "string": (f"string LENGTH (1 to {MAX_VALUE})", _string),
    "range": ("range LOWEST HIGHEST (whole numbers; more pairs may follow)", _range),
    "enum": (f"enum VALUE VALUE ... (ASCII, up to {MAX_ENTRY} characters each)", _enum),
}


def _command(line: int, words: list[str]) -> Item:
    if len(words) < 3 or len(words) % 2 == 0:
        return Mistake(line, 'write #@ command NAME, then pairs of VARIABLE VALUE, as in: #@ command load.off ups.status "OFF"')
    name, *given = words
    pairs = tuple(zip(given[::2], given[1::2], strict=True))
    for each in (name, *(variable for variable, _ in pairs)):
        problem = bad_name(each) or ("it belongs to the driver" if each.lower().startswith(OWN) else "")
        if problem:
            return Mistake(line, f"{each!a} cannot be declared: {problem}")
    return Command(line, name, pairs)


_KINDS: Mapping[str, Callable[[int, list[str]], Item]] = {"rw": _settable, "command": _command}
