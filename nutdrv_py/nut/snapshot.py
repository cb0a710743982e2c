# SPDX-License-Identifier: GPL-2.0-or-later
"""What upsd may know at one moment, and how one moment becomes the next.

``dump`` makes a whole snapshot, ``diff`` the way from one to another, both of the same messages: a client that applies
the diffs in turn holds what a dump would have sent (NUT drivers/dstate.c; docs/sock-protocol.txt).
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from nutdrv_py.nut.kinds import TEXT, Kind
from nutdrv_py.nut.messages import (
    AddCmd,
    AddEnum,
    AddRange,
    DataOk,
    DataStale,
    DelCmd,
    DelEnum,
    DelInfo,
    DelRange,
    DumpDone,
    Message,
    SetAux,
    SetFlags,
    SetInfo,
)

__all__ = ["Flag", "Snapshot", "Variable", "diff", "dump"]


class Flag(enum.Flag):
    """Flags of a variable; their order here is their order on the wire."""

    RW = enum.auto()
    STRING = enum.auto()
    NUMBER = enum.auto()


NO_FLAGS = Flag(0)


@dataclass(frozen=True, slots=True)
class Variable:
    """A value and what may be done with it.

    ``maxlen`` is the longest string that SET may give (SETAUX; obligatory for writable strings, else upsd refuses every
    SET). ``ranges`` are inclusive integer bounds and make the variable a number. ``immutable`` marks ``override.*``.
    ``kind`` is not sent to upsd, so variables that differ in it alone are equal.
    """

    value: str
    flags: Flag = NO_FLAGS
    maxlen: int = 0
    enum: tuple[str, ...] = ()
    ranges: tuple[tuple[int, int], ...] = ()
    immutable: bool = False
    kind: Kind = field(default=TEXT, compare=False)

    def __post_init__(self) -> None:
        if self.ranges and Flag.NUMBER not in self.flags:
            raise ValueError("a variable with a range must be flagged NUMBER")
        if any(low > high for low, high in self.ranges):
            raise ValueError("the lower bound of a range is above its upper bound")
        if Flag.RW in self.flags and Flag.STRING in self.flags and self.maxlen < 1:
            raise ValueError("a writable string needs maxlen")

    def with_value(self, value: str) -> Variable:
        """Return the same variable with another value."""
        return replace(self, value=value)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What upsd may know at one moment. A value: never changed, only replaced.

    Names are unique without regard to case, as in NUT's own state tree.
    """

    variables: Mapping[str, Variable] = field(default_factory=dict)
    commands: frozenset[str] = frozenset()
    stale: bool = True

    def find(self, name: str) -> tuple[str, Variable] | None:
        """Return the variable of that name in any case, with the name as it is spelt here."""
        if name in self.variables:
            return name, self.variables[name]
        wanted = name.lower()
        return next(((key, variable) for key, variable in self.variables.items() if key.lower() == wanted), None)


def _described(name: str, variable: Variable) -> Iterator[Message]:
    yield SetInfo(name, variable.value)
    yield from (AddEnum(name, value) for value in variable.enum)
    yield from (AddRange(name, low, high) for low, high in variable.ranges)
    if variable.maxlen:
        yield SetAux(name, variable.maxlen)
    if variable.flags:
        yield _flags(name, variable)


def _flags(name: str, variable: Variable) -> SetFlags:
    return SetFlags(name, tuple(flag.name or "" for flag in Flag if flag in variable.flags))


def dump(snapshot: Snapshot, name: str | None = None) -> Iterator[Message]:
    """Yield everything, or with ``name`` that one variable (nothing of it when unknown), framed as DUMPALL's answer."""
    if snapshot.stale:
        yield DataStale()
    if name is None:
        for key in sorted(snapshot.variables, key=str.lower):
            yield from _described(key, snapshot.variables[key])
        yield from (AddCmd(command) for command in sorted(snapshot.commands, key=str.lower))
    else:
        found = snapshot.find(name)
        if found is not None:
            yield from _described(*found)
    if not snapshot.stale:
        yield DataOk()
    yield DumpDone()


def diff(old: Snapshot, new: Snapshot) -> Iterator[Message]:
    """Yield what turns a client's ``old`` into ``new``: DATASTALE first, DATAOK last."""
    if new.stale and not old.stale:
        yield DataStale()
    before = {name.lower(): (name, one) for name, one in old.variables.items() if new.variables.get(name) is not one}
    after = {name.lower(): (name, one) for name, one in new.variables.items() if old.variables.get(name) is not one}
    for key in sorted(before.keys() | after.keys()):
        if key not in after:
            yield DelInfo(before[key][0])
        elif key not in before:
            yield from _described(*after[key])
        else:
            yield from _changed(before[key][1], *after[key])
    yield from (DelCmd(command) for command in sorted(old.commands - new.commands, key=str.lower))
    yield from (AddCmd(command) for command in sorted(new.commands - old.commands, key=str.lower))
    if old.stale and not new.stale:
        yield DataOk()


def _changed(old: Variable, name: str, new: Variable) -> Iterator[Message]:
    # SETFLAGS needs a word, so a variable that loses all its flags is sent anew; same for an order of enum values.
    if old.flags and not new.flags:
        yield DelInfo(name)
        yield from _described(name, new)
        return
    if old.value != new.value:
        yield SetInfo(name, new.value)
    if old.enum != new.enum:
        yield from (DelEnum(name, value) for value in old.enum)
        yield from (AddEnum(name, value) for value in new.enum)
    if old.ranges != new.ranges:
        yield from (DelRange(name, low, high) for low, high in old.ranges)
        yield from (AddRange(name, low, high) for low, high in new.ranges)
    if old.maxlen != new.maxlen:
        yield SetAux(name, new.maxlen)
    if old.flags != new.flags:
        yield _flags(name, new)
