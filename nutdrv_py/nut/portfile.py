# SPDX-License-Identifier: GPL-2.0-or-later
r"""The text of a port file: what ``dummy-ups`` reads (.dev, .seq), and what may be written for it.

The grammar is that of NUT's dummy-ups(8), by the same tokenizer (:mod:`~nutdrv_py.nut.parseconf`)::

    ups.status: OL CHRG            # a variable: the words, joined by single blanks
    ups.model: "A \"x\" \#1 = b"   # quoted: exactly this text
    ups.alarm: ""                  # no text: the variable is deleted
    TIMER 2.5                      # the reader pauses that many seconds
    ALARM Replace the battery      # an alarm more; a bare ALARM ends them all (NUT 2.8.4 and later)
    driver.name: x                 # skipped: these belong to the driver

Comments that begin with ``#@`` declare what real dummy-ups has no words for; to it they are comments::

    #@ rw ups.id string 32
    #@ rw battery.charge.low range 1 99
    #@ rw ups.beeper.status enum enabled disabled muted
    #@ command test.battery.start battery.charge 50 ups.test.result "Done"

Where dummy-ups (2.8.0 to 2.8.5) trips, this reader does not:

===============================  =====================================  ==========================================
text                             dummy-ups                              here
===============================  =====================================  ==========================================
``name:value``                   the previous line's value              ``value``
``name:``                        the previous line's value              deletes the variable
``name``                         the previous line's value              a mistake
``name : value``                 ``: value``                            ``value``
``a=b`` unquoted                 ``a = b``                              ``a=b``
value beyond 127 characters      cut                                    whole
text that is not ASCII           dropped byte by byte                   kept
a ``"`` that is not closed       swallows the lines up to the next      a mistake of its line
bare ``#`` in quotes             the rest of the line becomes a line    a mistake of its line
more than 32 words               cut                                    a mistake
NUL bytes                        dropped                                a mistake
last line without a line feed    a lone word is lost                    read like any other
===============================  =====================================  ==========================================

Text is ``str``. Bytes of files are UTF-8; read them with ``errors="replace"`` to use the values, and read and write them
with ``errors="surrogateescape"`` to hand an :func:`update` back without a change to what others wrote.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from nutdrv_py.errors import ProtocolError
from nutdrv_py.nut.parseconf import MAX_VALUE, MAX_WORD, MAX_WORDS, BadLine, Reader, quote

__all__ = [
    "MAX_ENTRY",
    "MAX_NAME",
    "MAX_SECONDS",
    "Alarm",
    "Command",
    "Entry",
    "Item",
    "Mistake",
    "Remark",
    "Settable",
    "Timer",
    "entry",
    "fitting",
    "parse",
    "update",
]

MAX_ENTRY = 127
"""Characters of a value that dummy-ups keeps (a buffer of 128 with the NUL; tried with 2.8.0)."""

MAX_NAME = 127
"""Characters of a name: dummy-ups has the same buffer for it, and NUT's longest name has 40."""

MAX_SECONDS = 7 * 86400.0
"""The longest TIMER, a week; a longer one is a slip of the finger."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")
_NUMBER = re.compile(r"[+-]?[0-9]{1,9}")
_DECLARATION = "#@"
_OWN = "driver."


@dataclass(frozen=True, slots=True)
class Entry:
    """``name: value``; an empty value deletes the variable."""

    line: int
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Timer:
    """``TIMER seconds``: a pause before the next item."""

    line: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Alarm:
    """``ALARM text``: one alarm more; without text all of them end."""

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Remark:
    """A line that a driver ignores: blank, a comment, or a ``driver.*`` variable."""

    line: int


@dataclass(frozen=True, slots=True)
class Settable:
    """``#@ rw name ...``: clients may set the variable to an integer in ``ranges``, one of ``enum``, or ``maxlen`` characters."""

    line: int
    name: str
    ranges: tuple[tuple[int, int], ...] = ()
    enum: tuple[str, ...] = ()
    maxlen: int = 0


@dataclass(frozen=True, slots=True)
class Command:
    """``#@ command name variable value ...``: an instant command that sets these variables; an empty value deletes one."""

    line: int
    name: str
    values: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Mistake:
    """A line that cannot be understood, and what to write instead. It costs only itself."""

    line: int
    reason: str


Item = Entry | Timer | Alarm | Remark | Settable | Command | Mistake
"""What a line of a port file can be; ``line`` counts from 1 and is the first line of one that is continued."""


def parse(text: str) -> tuple[Item, ...]:
    """Return all lines of a port file in their order; never raises."""
    return tuple(_item(piece) for piece in _pieces(text))


def fitting(value: str) -> str:
    """Return the value as dummy-ups reads it back from a port file: printable ASCII, at most :data:`MAX_ENTRY` characters."""
    return "".join(char for char in value if " " <= char <= "~")[:MAX_ENTRY]


def entry(name: str, value: str) -> str:
    """Return the line, with its line feed, from which dummy-ups 2.8.0 and :func:`parse` both read ``fitting(value)``.

    An empty value deletes the variable. Raises :class:`ProtocolError` for a name that cannot be in a port file.
    """
    problem = _bad_name(name)
    if problem or name.lower().startswith(_OWN):
        raise ProtocolError(f"the variable {name!a} cannot be written to a port file: {problem or 'it belongs to the driver'}")
    return f"{name}: {quote(fitting(value), 2 * MAX_ENTRY)}\n"


def update(text: str, values: Mapping[str, str], ours: Collection[str] = ()) -> str:
    """Return the port file with new ``values`` of ours.

    What is in ``values`` is written where the variable stood, new ones at the end in the order of ``values``; of a variable
    that stood there twice the first line is kept. Names in ``ours`` that are not in ``values`` are removed; to have a
    running dummy-ups forget one too, give it the value ``""`` once. All other lines stay as they are, byte by byte.
    Names are compared without regard to case. Raises :class:`ProtocolError` as :func:`entry` does.
    """
    waiting = {name.lower(): entry(name, value) for name, value in values.items()}
    mine = waiting.keys() | {name.lower() for name in ours}
    lines: list[str] = []
    for piece in _pieces(text):
        item = _item(piece)
        key = item.name.lower() if isinstance(item, Entry) else ""
        if key not in mine:
            lines.append(piece.raw)
        elif key in waiting:
            lines.append(_ended(lines) + waiting.pop(key))
    for line in waiting.values():
        lines.append(_ended(lines) + line)
    return "".join(lines)


def _ended(lines: list[str]) -> str:
    """Return what must follow the lines so far before another one can begin."""
    last = lines[-1] if lines else "\n"
    if not last.endswith("\n"):
        return "\n\n" if _continued(last + "\n") else "\n"
    return "\n" if _continued(last) else ""


# From text to words


@dataclass(frozen=True, slots=True)
class _Piece:
    """One logical line: its text, its words, or why it has none."""

    line: int
    raw: str
    words: tuple[str, ...] = ()
    mistake: str = ""


def _pieces(text: str) -> Iterator[_Piece]:
    raw, first = "", 1
    for number, line in enumerate(re.findall(r"[^\n]*\n|[^\n]+", text), 1):
        if not raw:
            first = number
        raw += line
        if line.endswith("\n") and _continued(raw):
            continue
        yield _tokenized(first, raw)
        raw = ""
    if raw:
        yield _tokenized(first, raw)


def _continued(raw: str) -> bool:
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


def _tokenized(line: int, raw: str) -> _Piece:
    text = raw.removeprefix("\ufeff") if line == 1 else raw
    if "\0" in text:
        return _Piece(line, raw, mistake="the line holds NUL bytes: the file was damaged, write it anew")
    plain, carried = _plain(text)
    # Two line feeds, because the first one may be escaped at the end of the file.
    found = next(Reader(resume=True).feed(plain + b"\n\n"), None)
    if isinstance(found, BadLine):
        return _Piece(line, raw, mistake='a " is not closed on its line and holds a bare #; close it')
    if found is None:
        return _Piece(line, raw, mistake='a " is not closed on its line; close it, or write \\" for the character')
    if len(found.words) >= MAX_WORDS or any(len(word) >= MAX_WORD for word in found.words):
        return _Piece(line, raw, mistake=_TOO_MUCH)
    originals = iter(carried)
    words = tuple("".join(next(originals) if char == _STAND_IN else char for char in word) for word in found.words)
    return _Piece(line, raw, words)


# From words to items


def _item(piece: _Piece) -> Item:
    if piece.mistake:
        return Mistake(piece.line, piece.mistake)
    if not piece.words:
        comment = piece.raw.strip()
        return _declaration(piece.line, comment) if comment.startswith(_DECLARATION) else Remark(piece.line)
    first, *rest = piece.words
    verb = _VERBS.get(first.removesuffix(":"))
    return verb(piece.line, rest) if verb else _entry(piece.line, first, rest)


def _entry(line: int, first: str, rest: list[str]) -> Item:
    name, colon, tight = first.partition(":")
    if not colon and rest and rest[0].startswith(":"):
        colon, rest = ":", [rest[0][1:], *rest[1:]]
        rest = rest if rest[0] else rest[1:]
    if not colon and not rest:
        return Mistake(line, f"{first!a} alone says nothing; write name: value, TIMER seconds or ALARM text")
    problem = _bad_name(name)
    if problem:
        return Mistake(line, f"{name!a} is not the name of a variable: {problem}")
    if name.lower().startswith(_OWN):
        return Remark(line)
    return Entry(line, name, " ".join([tight, *rest] if tight else rest))


def _timer(line: int, words: list[str]) -> Item:
    try:
        seconds = float(words[0]) if len(words) == 1 else math.nan
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= MAX_SECONDS:
        return Mistake(line, f"TIMER needs the seconds of the pause, 0 to {MAX_SECONDS:.0f}, as in: TIMER 2.5")
    return Timer(line, seconds)


def _alarm(line: int, words: list[str]) -> Item:
    return Alarm(line, " ".join(words))


_VERBS: Mapping[str, Callable[[int, list[str]], Item]] = {"TIMER": _timer, "ALARM": _alarm}


def _bad_name(name: str) -> str:
    """Return what is wrong with the name of a variable or command; empty when nothing is."""
    if len(name) > MAX_NAME:
        return f"it is longer than {MAX_NAME} characters"
    if not _NAME.fullmatch(name):
        return "letters, digits, dots, - and _ are allowed, as in battery.charge"
    return "it is a word of the file's grammar" if name in _VERBS else ""


def _declaration(line: int, comment: str) -> Item:
    piece = _tokenized(line, comment.removeprefix(_DECLARATION))
    if piece.mistake:
        return Mistake(line, piece.mistake)
    kind, *words = piece.words or ("",)
    read = _DECLARATIONS.get(kind)
    if read is None:
        return Mistake(line, f"after #@ comes rw or command, not {kind!a}; a comment begins with # and a blank")
    return read(line, words)


def _settable(line: int, words: list[str]) -> Item:
    if len(words) < 3 or words[1] not in _RULES:
        return Mistake(line, f"write #@ rw variable, then one of: {', '.join(usage for usage, _ in _RULES.values())}")
    name, kind, *given = words
    problem = _bad_name(name)
    if problem:
        return Mistake(line, f"{name!a} is not the name of a variable: {problem}")
    if name.lower().startswith(_OWN):
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
        problem = _bad_name(each) or ("it belongs to the driver" if each.lower().startswith(_OWN) else "")
        if problem:
            return Mistake(line, f"{each!a} cannot be declared: {problem}")
    return Command(line, name, pairs)


_DECLARATIONS: Mapping[str, Callable[[int, list[str]], Item]] = {"rw": _settable, "command": _command}
