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
from collections.abc import Callable, Collection, Mapping

from nutdrv_py.errors import ProtocolError
from nutdrv_py.nut.parseconf import quote
from nutdrv_py.nut.portdeclarations import MARK, declaration
from nutdrv_py.nut.portitems import MAX_ENTRY, MAX_SECONDS, OWN, Alarm, Entry, Item, Mistake, Remark, Timer, bad_name, fitting
from nutdrv_py.nut.portwords import Piece, continued, pieces

__all__ = ["entry", "parse", "update"]


def parse(text: str) -> tuple[Item, ...]:
    """Return all lines of a port file in their order; never raises."""
    return tuple(_item(piece) for piece in pieces(text))


def entry(name: str, value: str) -> str:
    """Return the line, with its line feed, from which dummy-ups 2.8.0 and :func:`parse` both read ``fitting(value)``.

    An empty value deletes the variable. Raises :class:`ProtocolError` for a name that cannot be in a port file.
    """
    problem = bad_name(name)
    if problem or name.lower().startswith(OWN):
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
    for piece in pieces(text):
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
        return "\n\n" if continued(last + "\n") else "\n"
    return "\n" if continued(last) else ""


def _item(piece: Piece) -> Item:
    if piece.mistake:
        return Mistake(piece.line, piece.mistake)
    if not piece.words:
        comment = piece.raw.strip()
        return declaration(piece.line, comment) if comment.startswith(MARK) else Remark(piece.line)
    first, *rest = piece.words
    verb = _READERS.get(first.removesuffix(":"))
    return verb(piece.line, rest) if verb else _entry(piece.line, first, rest)


def _entry(line: int, first: str, rest: list[str]) -> Item:
    name, colon, tight = first.partition(":")
    if not colon and rest and rest[0].startswith(":"):
        colon, rest = ":", [rest[0][1:], *rest[1:]]
        rest = rest if rest[0] else rest[1:]
    if not colon and not rest:
        return Mistake(line, f"{first!a} alone says nothing; write name: value, TIMER seconds or ALARM text")
    problem = bad_name(name)
    if problem:
        return Mistake(line, f"{name!a} is not the name of a variable: {problem}")
    if name.lower().startswith(OWN):
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


_READERS: Mapping[str, Callable[[int, list[str]], Item]] = {"TIMER": _timer, "ALARM": _alarm}
