# SPDX-License-Identifier: GPL-2.0-or-later
"""From the text of a port file to the words of its lines, by NUT's own tokenizer (:mod:`~nutdrv_py.nut.parseconf`)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from nutdrv_py.nut.parseconf import MAX_WORD, MAX_WORDS, BadLine, Reader

__all__ = ["Piece", "continued", "pieces", "tokenized"]


@dataclass(frozen=True, slots=True)
class Piece:
    """One logical line: its text, its words, or why it has none."""

    line: int
    raw: str
    words: tuple[str, ...] = ()
    mistake: str = ""


def pieces(text: str) -> Iterator[Piece]:
    """Yield the logical lines of a port file; those that are continued are one. Never raises."""
    raw, first = "", 1
    for number, line in enumerate(re.findall(r"[^\n]*\n|[^\n]+", text), 1):
        if not raw:
            first = number
        raw += line
        if line.endswith("\n") and continued(raw):
            continue
        yield tokenized(first, raw)
        raw = ""
    if raw:
        yield tokenized(first, raw)


def continued(raw: str) -> bool:
    """Return whether the line feed at the end is escaped, so that the line goes on; a comment has no escapes."""
    body = raw[:-1]
    if (len(body) - len(body.rstrip("\\"))) % 2 == 0:
        return False
    return not any(Reader().feed(_plain(raw)[0]))


_STAND_IN = "\x7f"


def _plain(raw: str) -> tuple[bytes, list[str]]:
    """Return the line as NUT's reader can hold it, and the characters that DEL replaces in it, in their order.

    That reader would drop what is not ASCII, and make a word of each ``=``.
    """
    carried: list[str] = []

    def stand_in(found: re.Match[str]) -> str:
        carried.append(found[0])
        return _STAND_IN

    return re.sub(r"[=\x7f-\U0010ffff]", stand_in, raw).encode("ascii"), carried


_TOO_MUCH = f"more than {MAX_WORDS - 1} words, or one of {MAX_WORD} characters; put the value in quotes, or shorten it"


def tokenized(line: int, raw: str) -> Piece:
    """Return the words of a logical line, or why it has none."""
    text = raw.removeprefix("\ufeff") if line == 1 else raw
    if "\0" in text:
        return Piece(line, raw, mistake="the line holds NUL bytes: the file was damaged, write it anew")
    plain, carried = _plain(text)
    # Two line feeds, because the first one may be escaped at the end of the file.
    found = next(Reader(resume=True).feed(plain + b"\n\n"), None)
    if isinstance(found, BadLine):
        return Piece(line, raw, mistake='a " is not closed on its line and holds a bare #; close it')
    if found is None:
        return Piece(line, raw, mistake='a " is not closed on its line; close it, or write \\" for the character')
    if len(found.words) >= MAX_WORDS or any(len(word) >= MAX_WORD for word in found.words):
        return Piece(line, raw, mistake=_TOO_MUCH)
    originals = iter(carried)
    words = tuple("".join(next(originals) if char == _STAND_IN else char for char in word) for word in found.words)
    return Piece(line, raw, words)
