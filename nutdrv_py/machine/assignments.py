# SPDX-License-Identifier: GPL-2.0-or-later
"""Files of KEY=VALUE lines that were written for a shell, read as data.

Quotes, comments, ``\\``, ``;``, ``export``, ``$NAME`` and ``${NAME:-default}`` mean what they mean to a shell (POSIX.1-2017,
Shell Command Language 2.2 and 2.6.2). What a shell would *run* is refused with the number of the line: commands, ``$(...)``,
backquotes, redirections, functions, arithmetic.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from nutdrv_py.errors import ConfigError

__all__ = ["Assignments", "read_assignments"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_EXPORT = re.compile(r"export[ \t]+(?=[A-Za-z_])")
_ACTIVE = frozenset("&|<>()`")
_AFTER_DOLLAR = frozenset("({[?!@*#-$'\"")
_BLANK = " \t"
_NOT_RUN = "the file is read as data and no command in it is run"


@dataclass(frozen=True, slots=True)
class Assignments:
    """What a file assigns: the last value of each name, which names other lines use, and sentences for the log."""

    values: Mapping[str, str]
    used: frozenset[str]
    notes: tuple[str, ...]


class _Refused(Exception):
    """A shell would do something here, or this is no assignment."""

    def __init__(self, sentence: str, at: int) -> None:
        super().__init__(sentence)
        self.at = at


def read_assignments(text: str, where: str, variables: Mapping[str, str], *, lenient: bool = False) -> Assignments:
    """Return the assignments of a file. ``lenient`` passes over lines that would be refused.

    ``where`` names the file in sentences; ``variables`` are those that ``$NAME`` may use besides what the file itself has
    assigned before. Raises :class:`ConfigError` with file and line.
    """
    reader = _Reader(text.removeprefix("\ufeff").replace("\r\n", "\n"), where, variables)
    while reader.at < len(reader.text):
        began = reader.at
        try:
            reader.statement()
        except _Refused as error:
            if not lenient:
                raise ConfigError(f"{reader.place(error.at)}: {error}") from None
            end = reader.text.find("\n", began)
            reader.at = len(reader.text) if end < 0 else end + 1
    return Assignments(reader.found, frozenset(reader.used), tuple(reader.notes))


class _Reader:
    """Reads statement by statement; ``at`` is the next character of ``text``."""

    def __init__(self, text: str, where: str, variables: Mapping[str, str]) -> None:
        self.text = text
        self.at = 0
        self.found: dict[str, str] = {}
        self.used: set[str] = set()
        self.notes: list[str] = []
        self._where = where
        self._variables = variables

    def place(self, at: int) -> str:
        """Return file and line of a character."""
        return f"{self._where}:{self.text.count(chr(10), 0, at) + 1}"

    def _column(self, at: int) -> str:
        return f"column {at - self.text.rfind(chr(10), 0, at)}"

    def _next(self, ahead: int = 0) -> str:
        return self.text[self.at + ahead : self.at + ahead + 1]

    def statement(self) -> None:
        """Read a line, or the part before a semicolon."""
        self._blanks()
        exported = _EXPORT.match(self.text, self.at)
        if exported:
            self.at = exported.end()
        assigned = False
        while (char := self._next()) and char not in "\n;":
            if char == "#":
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
                break
            self._assignment(named_only=exported is not None, following=assigned)
            assigned = True
            self._blanks()
        if self._next() == ";" and not assigned:
            raise _Refused(f"this is not KEY=VALUE; {_NOT_RUN}", self.at)
        self.at += 1

    def _blanks(self) -> None:
        while self._next() and (self._next() in _BLANK or self.text.startswith("\\\n", self.at)):
            self.at += 1 if self._next() in _BLANK else 2

    def _assignment(self, *, named_only: bool, following: bool) -> None:
        name = _NAME.match(self.text, self.at)
        after = self.text[name.end() : name.end() + 1] if name else ""
        if name is None or (after != "=" and not (named_only and after in ("", *" \t\n;"))):
            if following and self._next() not in _ACTIVE:
                raise _Refused(
                    f"put the value into quotes; a shell would run what follows the blank ({self._column(self.at)})", self.at
                )
            self._refuse_active()
            raise _Refused(f"this is not KEY=VALUE (no blanks around the =); {_NOT_RUN}", self.at)
        self.at = name.end()
        if after == "=":
            self.at += 1
            self.found[name[0]] = self._value()

    def _refuse_active(self) -> None:
        if self._next() in _ACTIVE:
            raise _Refused(
                f"a shell would act on {self._column(self.at)}; nothing in this file is run. Put the value into single quotes",
                self.at,
            )

    def _value(self) -> str:
        value: list[str] = []
        before = ":"
        while (char := self._next()) and char not in " \t\n;":
            self._refuse_active()
            if char == "~" and before == ":" and self._next(1) in ("", *"/: \t\n;"):
                if "HOME" not in self._variables:
                    raise _Refused("write the whole path instead of ~", self.at)
                self.at += 1
                value.append(self._variables["HOME"])
            else:
                value.append(self._single() if char == "'" else self._piece(quoted=False))
            before = char
        return "".join(value)

    def _single(self) -> str:
        end = self.text.find("'", self.at + 1)
        if end < 0:
            raise _Refused("the single quote is not closed", self.at)
        value = self.text[self.at + 1 : end]
        self.at = end + 1
        return value

    def _piece(self, *, quoted: bool) -> str:
        """Return what the next character means, and what belongs to it."""
        char, following = self._next(), self._next(1)
        if char == "`":
            raise _Refused("a shell would run what stands in backquotes; nothing in this file is run", self.at)
        if char == '"' and not quoted:
            return self._double()
        if char == "$":
            return self._variable(quoted=quoted)
        if char == "\\" and following == "\n":
            self.at += 2
            return ""
        if char == "\\" and following and (not quoted or following in '\\"$`'):
            self.at += 2
            return following
        self.at += 1
        return char

    def _double(self) -> str:
        began, value = self.at, []
        self.at += 1
        while self._next() != '"':
            if not self._next():
                raise _Refused("the double quote is not closed", began)
            value.append(self._piece(quoted=True))
        self.at += 1
        return "".join(value)

    def _variable(self, *, quoted: bool) -> str:
        began = self.at
        braced = self._next(1) == "{"
        name = _NAME.match(self.text, began + 1 + braced)
        if self.text.startswith("\\\n", name.end() if name else began + 1):
            raise _Refused("a line may not be continued with a backslash within a $NAME; write it on one line", began)
        if name is None:
            following = self._next(1)
            plain = quoted and following in ("'", '"')
            if following.isalnum() or (following in _AFTER_DOLLAR and not plain):
                raise self._odd(began)
            self.at += 1
            return "$"
        self.at = name.end()
        default: str | None = None
        if braced:
            empty_too = self.text.startswith(":-", self.at)
            if empty_too or self._next() == "-":
                self.at += 2 if empty_too else 1
                default = self._default(began, quoted=quoted)
            if self._next() != "}":
                raise self._odd(began)
            self.at += 1
            if default is not None:
                known = self._lookup(name[0])
                return default if known is None or (empty_too and not known) else known
        found = self._lookup(name[0])
        if found is None:
            # The line may hold a password, so nothing of it is shown.
            self.notes.append(
                f"{self.place(began)}: the variable at {self._column(began)} is not set, so it is empty as it is to a shell; "
                "if the $ is meant, put the value into single quotes"
            )
        return found or ""

    def _default(self, began: int, *, quoted: bool) -> str:
        value: list[str] = []
        while self._next() != "}":
            if not self._next():
                raise self._odd(began)
            value.append(self._single() if self._next() == "'" and not quoted else self._piece(quoted=quoted))
        return "".join(value)

    def _lookup(self, name: str) -> str | None:
        self.used.add(name)
        return self.found.get(name, self._variables.get(name))

    @staticmethod
    def _odd(at: int) -> _Refused:
        return _Refused("only $NAME, ${NAME} and ${NAME:-default} can be used after $; nothing in this file is run", at)
