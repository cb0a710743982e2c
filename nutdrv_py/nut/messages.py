# SPDX-License-Identifier: GPL-2.0-or-later
"""Every sentence of the driver socket, one frozen class each (NUT docs/sock-protocol.txt).

Two families: a :class:`Message` is sent by a driver, a :class:`Request` by upsd, upsdrvctl or another driver.
Those with the same fields inherit them: each dataclass takes a third of a millisecond of the start.
``encode()`` is the only place where either becomes bytes; ``parse_message`` and ``parse_request`` are the way back.
Names go bare, values always quoted, numbers bare.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import ClassVar

from nutdrv_py.errors import ProtocolError
from nutdrv_py.nut.parseconf import quote

__all__ = [
    "AddCmd",
    "AddEnum",
    "AddRange",
    "Broadcast",
    "DataOk",
    "DataStale",
    "DelCmd",
    "DelEnum",
    "DelInfo",
    "DelRange",
    "DumpAll",
    "DumpDone",
    "DumpStatus",
    "DumpValue",
    "GetPid",
    "Goodbye",
    "InstCmd",
    "Logout",
    "Message",
    "NoBroadcast",
    "Pid",
    "Ping",
    "Pong",
    "Request",
    "Set",
    "SetAux",
    "SetFlags",
    "SetInfo",
    "Tracking",
    "Unknown",
    "parse_message",
    "parse_request",
]

_NAME = re.compile(r"[!$-<>-\[\]-~]+")
"""Printable ASCII without blank, ``"``, ``#``, ``=`` and ``\\``: what stays one word without quotes."""


@dataclass(frozen=True, slots=True)
class Message:
    """A line that a driver sends: its keyword, then the fields in order; a field called ``value`` is quoted."""

    keyword: ClassVar[str]

    def encode(self) -> bytes:
        """Return the line as bytes, with its line feed. Raises :class:`ProtocolError` for a name that is not one bare word."""
        words = [self.keyword]
        for item in fields(self):
            content = getattr(self, item.name)
            if item.name == "name" and not _NAME.fullmatch(content):
                raise ProtocolError(f"{content[:60]!a} is no name: it would break the line")
            if item.name == "value":
                words.append(quote(content))
            elif isinstance(content, tuple):
                words.extend(content)
            else:
                words.append(str(content))
        return (" ".join(words) + "\n").encode("ascii", "ignore")


@dataclass(frozen=True, slots=True)
class _Named(Message):
    name: str


@dataclass(frozen=True, slots=True)
class _Valued(_Named):
    value: str


@dataclass(frozen=True, slots=True)
class _Bounded(_Named):
    low: int
    high: int


class SetInfo(_Valued):
    """The variable exists and has this value."""

    __slots__ = ()
    keyword = "SETINFO"


class DelInfo(_Named):
    """The variable does not exist any more."""

    __slots__ = ()
    keyword = "DELINFO"


class AddEnum(_Valued):
    """The variable may be set to this value."""

    __slots__ = ()
    keyword = "ADDENUM"


class DelEnum(_Valued):
    """The variable may not be set to this value any more."""

    __slots__ = ()
    keyword = "DELENUM"


class AddRange(_Bounded):
    """The variable may be set to an integer from ``low`` to ``high``, both included."""

    __slots__ = ()
    keyword = "ADDRANGE"


class DelRange(_Bounded):
    """The range is withdrawn."""

    __slots__ = ()
    keyword = "DELRANGE"


@dataclass(frozen=True, slots=True)
class SetAux(_Named):
    """The longest string that the variable takes."""

    keyword = "SETAUX"
    maxlen: int


@dataclass(frozen=True, slots=True)
class SetFlags(_Named):
    """The flags of the variable, out of RW, STRING, NUMBER; at least one."""

    keyword = "SETFLAGS"
    flags: tuple[str, ...]


class AddCmd(_Named):
    """The instant command exists."""

    __slots__ = ()
    keyword = "ADDCMD"


class DelCmd(_Named):
    """The instant command does not exist any more."""

    __slots__ = ()
    keyword = "DELCMD"


class DataOk(Message):
    """The data are current."""

    __slots__ = ()
    keyword = "DATAOK"


class DataStale(Message):
    """The data are too old to be trusted; upsd answers its clients ERR DATA-STALE."""

    __slots__ = ()
    keyword = "DATASTALE"


class DumpDone(Message):
    """The answer to DUMPALL, DUMPVALUE or DUMPSTATUS is complete."""

    __slots__ = ()
    keyword = "DUMPDONE"


class Pong(Message):
    """The driver is alive."""

    __slots__ = ()
    keyword = "PONG"


@dataclass(frozen=True, slots=True)
class Tracking(Message):
    """The outcome of the SET or INSTCMD that carried this id."""

    keyword = "TRACKING"
    id: str
    code: int


@dataclass(frozen=True, slots=True)
class Pid(Message):
    """The process id of the driver."""

    keyword = "PID"
    pid: int


class Goodbye(Message):
    """The answer to LOGOUT."""

    __slots__ = ()
    keyword = "OK Goodbye"


# fmt: off
_MESSAGES: tuple[tuple[type[Message], int], ...] = (   # class, words after the keyword that upsd wants
    (SetInfo, 2), (DelInfo, 1), (AddEnum, 2), (DelEnum, 2), (AddRange, 3), (DelRange, 3), (SetAux, 2), (SetFlags, 2),
    (AddCmd, 1), (DelCmd, 1), (DataOk, 0), (DataStale, 0), (DumpDone, 0), (Pong, 0), (Tracking, 2), (Pid, 1),
)
# fmt: on
_BY_KEYWORD = {cls.keyword: (cls, arity) for cls, arity in _MESSAGES}


def parse_message(words: Sequence[str]) -> Message | None:
    """Return the message that these words are, or None: upsd's side of the protocol, for tests and for asking other drivers."""
    if tuple(words[:2]) == ("OK", "Goodbye"):
        return Goodbye()
    found = _BY_KEYWORD.get(words[0].upper()) if words else None
    if found is None or len(words) <= found[1]:
        return None
    cls, arity = found
    if cls is SetFlags:
        return SetFlags(words[1], tuple(words[2:]))
    try:
        pairs = zip(fields(cls), words[1 : arity + 1], strict=True)
        converted = [int(word) if item.type == "int" else word for item, word in pairs]
    except ValueError:
        return None
    return cls(*converted)


@dataclass(frozen=True, slots=True)
class Request:
    """A line that a client sends to a driver."""

    def encode(self) -> bytes:
        """Return the line as bytes, as upsd or upsdrvctl writes it."""
        return (_KEYWORD_OF[type(self)] + "\n").encode("ascii")


class DumpAll(Request):
    """Request all variables."""

    __slots__ = ()


class DumpStatus(Request):
    """Request ``ups.status`` (NUT 2.8.3+)."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class DumpValue(Request):
    """Request one variable (NUT 2.8.3+)."""

    name: str

    def encode(self) -> bytes:
        """Return the line as bytes."""
        return f"DUMPVALUE {self.name}\n".encode("ascii", "ignore")


class Ping(Request):
    """Are you alive?"""

    __slots__ = ()


class GetPid(Request):
    """What is your process id? (NUT 2.8.3+)"""

    __slots__ = ()


class NoBroadcast(Request):
    """Send me no unsolicited lines (NUT 2.8.1+)."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Broadcast(Request):
    """Send me unsolicited lines again, or not (NUT 2.8.1+)."""

    on: bool = True

    def encode(self) -> bytes:
        """Return the line as bytes."""
        return f"BROADCAST {int(self.on)}\n".encode("ascii")


class Logout(Request):
    """Close this connection (NUT 2.8.3+)."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Set(Request):
    """Set a variable; with a tracking id the outcome is sent back."""

    name: str
    value: str
    tracking: str | None = None

    def encode(self) -> bytes:
        """Return the line as bytes; upsd quotes the value."""
        tail = f" TRACKING {self.tracking}" if self.tracking is not None else ""
        return f"SET {self.name} {quote(self.value)}{tail}\n".encode("ascii", "ignore")


@dataclass(frozen=True, slots=True)
class InstCmd(Request):
    """Run an instant command; with a tracking id the outcome is sent back."""

    name: str
    param: str | None = None
    tracking: str | None = None

    def encode(self) -> bytes:
        """Return the line as bytes; the parameter is quoted, though upsd does not."""
        param = f" {quote(self.param)}" if self.param is not None else ""
        tail = f" TRACKING {self.tracking}" if self.tracking is not None else ""
        return f"INSTCMD {self.name}{param}{tail}\n".encode("ascii", "ignore")


@dataclass(frozen=True, slots=True)
class Unknown(Request):
    """A line that no rule fits. There is no answer to it, only a line in the log."""

    words: tuple[str, ...]
    reason: str = "Unknown command on socket"


_PLAIN: dict[str, type[Request]] = {
    "DUMPALL": DumpAll,
    "DUMPSTATUS": DumpStatus,
    "PING": Ping,
    "GETPID": GetPid,
    "NOBROADCAST": NoBroadcast,
    "LOGOUT": Logout,
}
_KEYWORD_OF = {cls: keyword for keyword, cls in _PLAIN.items()}


def parse_request(words: Sequence[str]) -> Request:
    """Return the request that these words are; :class:`Unknown` when none. The keyword's case does not matter."""
    keyword = words[0].upper() if words else ""
    if keyword in _PLAIN:
        return _PLAIN[keyword]()
    match keyword, len(words):
        case "DUMPVALUE", count if count >= 2:
            return DumpValue(words[1])
        case "BROADCAST", _:
            return Broadcast(_switched_on(words[1]) if len(words) > 1 else True)
        case "SET", count if count >= 3:
            return _set(words)
        case "INSTCMD", count if count >= 2:
            return _instcmd(words)
    return Unknown(tuple(words))


def _switched_on(word: str) -> bool:
    try:
        return int(word) >= 1
    except ValueError:
        return True


def _set(words: Sequence[str]) -> Request:
    if len(words) == 5:
        if words[3].upper() == "TRACKING":
            return Set(words[1], words[2], words[4])
        return Unknown(tuple(words), "Malformed SET request")
    return Set(words[1], words[2])


def _instcmd(words: Sequence[str]) -> Request:
    # upsd sends the parameter unquoted, so one with spaces arrives as several words and cannot be distinguished from junk.
    match list(words[2:]):
        case []:
            return InstCmd(words[1])
        case [tracking, id_] if tracking.upper() == "TRACKING":
            return InstCmd(words[1], None, id_)
        case [param]:
            return InstCmd(words[1], param)
        case [param, tracking, id_] if tracking.upper() == "TRACKING":
            return InstCmd(words[1], param, id_)
    return Unknown(tuple(words), "Malformed INSTCMD request")
