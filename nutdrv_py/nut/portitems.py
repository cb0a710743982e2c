# SPDX-License-Identifier: GPL-2.0-or-later
"""What the lines of a port file can be (:mod:`~nutdrv_py.nut.portfile`), and what names and values fit into one."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = [
    "MAX_ENTRY", "MAX_NAME", "MAX_SECONDS", "OWN", "VERBS", "Alarm", "Command", "Entry", "Item", "Mistake", "Remark", "Settable",
    "Timer", "bad_name", "fitting",
]  # fmt: skip

MAX_ENTRY = 127
"""Characters of a value that dummy-ups keeps (a buffer of 128 with the NUL; tried with 2.8.0)."""

MAX_NAME = 127
"""Characters of a name: dummy-ups has the same buffer for it, and NUT's longest name has 40."""

MAX_SECONDS = 7 * 86400.0
"""The longest TIMER, a week; a longer one is a slip of the finger."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")
OWN = "driver."
"""How the names begin that belong to the driver, not to a file."""

VERBS = frozenset({"TIMER", "ALARM"})
"""Words of the grammar that no variable can be called."""


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


def fitting(value: str) -> str:
    """Return the value as dummy-ups reads it back from a port file: printable ASCII, at most :data:`MAX_ENTRY` characters."""
    return "".join(char for char in value if " " <= char <= "~")[:MAX_ENTRY]


def bad_name(name: str) -> str:
    """Return what is wrong with the name of a variable or command; empty when nothing is."""
    if len(name) > MAX_NAME:
        return f"it is longer than {MAX_NAME} characters"
    if not _NAME.fullmatch(name):
        return "letters, digits, dots, - and _ are allowed, as in battery.charge"
    return "it is a word of the file's grammar" if name in VERBS else ""
