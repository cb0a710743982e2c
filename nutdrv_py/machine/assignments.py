# SPDX-License-Identifier: GPL-2.0-or-later
"""Files of KEY=VALUE lines that were written for a shell, read as data.

Quotes, comments, ``\\`` and ``$NAME`` mean what they mean to a shell. What a shell would *do* something with is refused with
the number of the line: commands, ``;``, ``$(...)``, backquotes, redirections, functions, arithmetic.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from nutdrv_py.errors import ConfigError

__all__ = ["read_assignments"]

_START = re.compile(r"[ \t]*([A-Za-z_][A-Za-z0-9_]*)=")
_NAME = re.compile(r"\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})")
_ACTIVE = frozenset(";&|<>()`")
_AFTER_DOLLAR = frozenset("({[?!@*#-$'\"")
_BLANK = " \t"


class _Refused(Exception):
    """The line does something, or is no assignment."""


def read_assignments(text: str, where: str, variables: Mapping[str, str], *, lenient: bool = False) -> dict[str, str]:
    """The assignments of a file, the last one of a name counts. ``lenient`` passes over lines that would be refused.

    ``where`` names the file in errors; ``variables`` are those that ``$NAME`` may use besides what the file itself has
    assigned before. Raises :class:`ConfigError` with file and line.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), 1):
        line = line.removesuffix("\r")
        if not line.strip(_BLANK) or line.lstrip(_BLANK).startswith("#"):
            continue
        try:
            name, value = _assignment(line, {**variables, **found})
        except _Refused as error:
            if lenient:
                continue
            raise ConfigError(f"{where}:{number}: {error}") from None
        found[name] = value
    return found


def _assignment(line: str, variables: Mapping[str, str]) -> tuple[str, str]:
    started = _START.match(line)
    if started is None:
        raise _Refused("this is not KEY=VALUE (no blanks around the =); the file is read as data and no command in it is run")
    value: list[str] = []
    at = started.end()
    if line.startswith("~", at):
        raise _Refused("write the whole path instead of ~")
    while at < len(line):
        char = line[at]
        if char in _BLANK:
            rest = line[at:].lstrip(_BLANK)
            if rest and not rest.startswith("#"):
                raise _Refused(f"put the value into quotes; a shell would run what follows the blank (column {at + 1})")
            break
        if char in _ACTIVE:
            raise _Refused(f"a shell would act on column {at + 1}; nothing in this file is run. Put the value into single quotes")
        if char == "'":
            end = line.find("'", at + 1)
            if end < 0:
                raise _Refused("the single quote is not closed on this line")
            value.append(line[at + 1 : end])
            at = end + 1
        elif char == '"':
            inside, at = _double(line, at + 1, variables)
            value.append(inside)
        elif char == "\\":
            if at + 1 == len(line):
                raise _Refused("a line may not be continued with a backslash; write it as one line")
            value.append(line[at + 1])
            at += 2
        elif char == "$":
            inserted, at = _variable(line, at, variables)
            value.append(inserted)
        else:
            value.append(char)
            at += 1
    return started.group(1), "".join(value)


def _double(line: str, at: int, variables: Mapping[str, str]) -> tuple[str, int]:
    """What stands in double quotes, and the position after them."""
    value: list[str] = []
    while at < len(line):
        char = line[at]
        if char == '"':
            return "".join(value), at + 1
        if char == "`":
            raise _Refused("a shell would run what stands in backquotes; nothing in this file is run")
        if char == "\\" and line[at + 1 : at + 2] in ("\\", '"', "$", "`"):
            value.append(line[at + 1])
            at += 2
        elif char == "$":
            inserted, at = _variable(line, at, variables)
            value.append(inserted)
        else:
            value.append(char)
            at += 1
    raise _Refused("the double quote is not closed on this line")


def _variable(line: str, at: int, variables: Mapping[str, str]) -> tuple[str, int]:
    named = _NAME.match(line, at)
    if named is None:
        following = line[at + 1 : at + 2]
        if following and (following.isalnum() or following in _AFTER_DOLLAR):
            raise _Refused("only plain variables such as $NUT_SYSCONFIG can be used after $; nothing in this file is run")
        return "$", at + 1
    name = named.group(1) or named.group(2)
    if name not in variables:
        # The line may hold a password, so nothing of it is shown.
        raise _Refused(f"the variable at column {at + 1} is not known here; if the $ is meant, put the value into single quotes")
    return variables[name], named.end()
