# SPDX-License-Identifier: GPL-2.0-or-later
"""Words and lines as NUT's ``parseconf`` reads and writes them.

One rule for the driver socket, ``ups.conf`` and port files (NUT common/parseconf.c). The reader is a byte-wise state
machine that may be fed any pieces; it never raises. The writer escapes ``#``, ``\\`` and ``"`` and nothing else.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

__all__ = ["MAX_VALUE", "MAX_WORD", "MAX_WORDS", "BadLine", "Line", "Reader", "escape", "parse", "quote"]

MAX_WORD = 512
"""Bytes kept of one word; NUT's PCONF_DEFAULT_WORDLEN_LIMIT. The excess is dropped, so a hostile line costs no memory."""

MAX_WORDS = 32
"""Words kept of one line; NUT's PCONF_DEFAULT_ARG_LIMIT. The excess is dropped."""

MAX_VALUE = 255
"""Bytes of a value that upsd stores (ST_MAX_VALUE_LEN 256 with the NUL), counted after escaping."""

_LF, _HASH, _QUOTE, _BACKSLASH, _EQUALS = b'\n#"\\='
_CLOSED = re.compile(rb'(?:[^"\\\n]|\\.)*"', re.DOTALL)
_SPACE = frozenset(b" \t\v\f\r")
_SPECIAL = re.compile(r'[#\\"]')
_ENDS_WORD = _SPACE | {_LF, _HASH, _EQUALS}


@dataclass(frozen=True, slots=True)
class Line:
    """The words of one line; ``number`` counts line feeds from 1 (the line on which the last word ended)."""

    number: int
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that breaks the grammar, and why."""

    number: int
    reason: str


class _State(enum.Enum):
    BETWEEN = enum.auto()
    COMMENT = enum.auto()
    WORD = enum.auto()
    QUOTED = enum.auto()
    SKIP = enum.auto()


class Reader:
    """Bytes in, lines out.

    ``resume`` is what follows a parse error: the next line (False, for sockets: one bad line costs only itself), or
    the rest of the same line read as a new one (True, for files: that is how upsd and the C drivers see ``ups.conf``,
    and all must agree on where a section begins). In files a bare ``#`` belongs to quotes that are closed on the same line: NUT
    takes it there from 2026-09 on, and releases before lose such a line alone.
    """

    def __init__(self, *, resume: bool = False) -> None:
        self._resume = resume
        self._number = 1
        self._state = _State.BETWEEN
        self._escaped = False
        self._closed = False
        self._word = bytearray()
        self._words: list[str] = []
        self.discarded = 0
        """Characters dropped so far because they are not printable ASCII (CVE-2012-2944 is why NUT drops them)."""

    def feed(self, data: bytes) -> Iterator[Line | BadLine]:
        """Read more bytes; yields every line that they complete, also empty ones."""
        for index, byte in enumerate(data):
            if byte == _HASH and self._state is _State.QUOTED and self._resume and not self._escaped:
                self._closed = self._closed or bool(_CLOSED.match(data, index))
                if self._closed:
                    self._add(byte)
                    continue
            item = self._byte(byte)
            if item is not None:
                yield item

    def end(self) -> Iterator[Line | BadLine]:
        """End of input: yields the last line if it had no line feed, unless it is a lone word.

        NUT's reader loses a lone flag word there, so upsd does not see it either (NUT common/parseconf.c).
        """
        if self._state is _State.WORD:
            self._finish_word()
        words, self._words = self._words, []
        self._state = _State.BETWEEN
        self._word.clear()
        if len(words) > 1:
            yield Line(self._number, tuple(words))

    def _byte(self, byte: int) -> Line | BadLine | None:
        if self._escaped:
            self._escaped = False
            if byte != _LF:
                self._add(byte)
                return None
            self._number += 1
            if self._state is _State.WORD and not self._word:
                self._state = _State.BETWEEN
            return None
        match self._state:
            case _State.BETWEEN:
                return self._between(byte)
            case _State.WORD:
                return self._in_word(byte)
            case _State.QUOTED:
                return self._in_quotes(byte)
            case _:
                return self._end_line(emit=self._state is _State.COMMENT) if byte == _LF else None

    def _between(self, byte: int) -> Line | None:
        if byte == _LF:
            return self._end_line()
        if byte == _HASH:
            self._state = _State.COMMENT
        elif byte == _QUOTE:
            self._state = _State.QUOTED
        elif byte == _EQUALS:
            self._add(byte)
            self._finish_word()
        elif byte == _BACKSLASH:
            self._state = _State.WORD
            self._escaped = True
        elif byte not in _SPACE:
            self._state = _State.WORD
            self._add(byte)
        return None

    def _in_word(self, byte: int) -> Line | None:
        if byte == _BACKSLASH:
            self._escaped = True
        elif byte in _ENDS_WORD:
            self._finish_word()
            return self._between(byte)
        else:
            self._add(byte)
        return None

    def _in_quotes(self, byte: int) -> BadLine | None:
        if byte == _QUOTE:
            self._finish_word()
        elif byte == _BACKSLASH:
            self._escaped = True
        elif byte == _HASH:
            self._words.clear()
            self._word.clear()
            self._state = _State.BETWEEN if self._resume else _State.SKIP
            return BadLine(self._number, "Unbalanced word due to unescaped # in quotes")
        elif byte == _LF:
            self._number += 1
        else:
            self._add(byte)
        return None

    def _add(self, byte: int) -> None:
        if not 0x20 <= byte <= 0x7F:
            self.discarded += 1
        elif len(self._word) < MAX_WORD:
            self._word.append(byte)

    def _finish_word(self) -> None:
        if len(self._words) < MAX_WORDS:
            self._words.append(self._word.decode("ascii"))
        self._word.clear()
        self._closed = False
        self._state = _State.BETWEEN

    def _end_line(self, *, emit: bool = True) -> Line | None:
        words, self._words = self._words, []
        self._state = _State.BETWEEN
        line = Line(self._number, tuple(words)) if emit else None
        self._number += 1
        return line


def parse(data: bytes) -> Iterator[Line | BadLine]:
    """Yield the lines of a whole file, empty and comment-only ones left out."""
    reader = Reader(resume=True)
    for items in (reader.feed(data), reader.end()):
        for item in items:
            if isinstance(item, BadLine) or item.words:
                yield item


def escape(text: str, limit: int = MAX_VALUE) -> str:
    """Return ``text`` with ``#``, ``\\`` and ``"`` escaped, at most ``limit`` characters; no escape pair is cut in two."""
    if len(text) <= limit and not _SPECIAL.search(text):
        return text
    pieces: list[str] = []
    room = limit
    for char in text:
        piece = "\\" + char if char in '#\\"' else char
        if len(piece) > room:
            break
        pieces.append(piece)
        room -= len(piece)
    return "".join(pieces)


def quote(text: str, limit: int = MAX_VALUE) -> str:
    """Return ``text`` as one quoted word, the form in which drivers send every value."""
    return f'"{escape(text, limit)}"'


def join(words: Iterable[str]) -> str:
    """Return a line of words that :class:`Reader` reads back as the same words; each one is quoted unless it is plain."""
    return " ".join(word if word and all(c.isalnum() or c in "._-:" for c in word) else quote(word, MAX_WORD) for word in words)
