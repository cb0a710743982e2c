# SPDX-License-Identifier: GPL-2.0-or-later
"""One connection to a NUT server, through pynut2; the only module that imports it. Everything here blocks.

pynut2 opens the connection, sends and receives lines. What is sent and how answers are read is decided here, because its
own methods (2.1.2) cut a value at the first quotation mark inside it, take half a list for a whole one when the time is
up, raise whatever comes for an empty list, do not quote what they send, and never ask what became of a SET. It has no
TLS: all that it sends can be read on the way. It writes the password it is given into its debug log, so it is given none:
USERNAME and PASSWORD are sentences like all others here, and its logger is switched off.

The protocol: NUT docs/net-protocol.txt; quoting as in :mod:`nutdrv_py.nut.parseconf`.
"""

from __future__ import annotations

import contextlib
import functools
import socket
from types import ModuleType
from typing import Any

from nutdrv_py.backends.repeater.config import Source
from nutdrv_py.clock import Clock
from nutdrv_py.errors import CommandError, DeviceError, Result
from nutdrv_py.machine.extras import load
from nutdrv_py.nut.parseconf import Line as Words
from nutdrv_py.nut.parseconf import Reader, join

__all__ = ["Line", "Refusal", "available"]

MOST_ROWS = 10_000
"""Maximum rows of one list: the largest PDUs have some thousand variables; a server that never ends a list is not upsd."""

LONGEST_LINE = 2048
"""Maximum bytes of a line: upsd sends 511, other servers may send more, and what is longer is not a variable."""

KEPT_LINES = 4096
"""Lines whose words are remembered: from one poll to the next most lines are the same."""

# fmt: off
REFUSALS = {   # code after ERR (NUT docs/net-protocol.txt, "Error responses"): what to do
    "DATA-STALE":           "the data there are stale: its driver does not reach the UPS; look there with: upsc {ups}",
    "DRIVER-NOT-CONNECTED": "its driver is not running there, or is this very driver; type there: upsdrvctl start {ups}",
    "UNKNOWN-UPS":          "there is no such UPS; type upsc -l {host} to see those there are, and correct port = in ups.conf",
    "ACCESS-DENIED":        "access denied; let this machine or user in: upsd.conf, upsd.users (actions = SET, instcmds = ALL)",
    "INVALID-USERNAME":     "the user name is wrong; correct username = in ups.conf",
    "INVALID-PASSWORD":     "the password is wrong; correct password = in ups.conf",
    "USERNAME-REQUIRED":    "a user is needed; write username = and password = in ups.conf",
    "PASSWORD-REQUIRED":    "a password is needed; write username = and password = in ups.conf",
    "VAR-NOT-SUPPORTED":    "there is no such variable",
    "CMD-NOT-SUPPORTED":    "there is no such instant command",
    "READONLY":             "the variable is read-only there",
    "TOO-LONG":             "the value is too long for it",
    "INVALID-VALUE":        "the value is not allowed there",
    "INVALID-ARGUMENT":     "the value or parameter is not allowed there",
    "UNKNOWN":              "its driver does not know that variable or command",
    "FAILED":               "its driver could not carry it out",
    "SET-FAILED":           "its driver did not take the setting",
    "INSTCMD-FAILED":       "its driver did not take the command",
}
TROUBLES: tuple[tuple[type[BaseException], str], ...] = (   # the first row that fits
    (socket.gaierror,        "the host {host} is not known; correct port = in ups.conf, or the name service"),
    (ValueError,             "the host {host} is not known; correct port = in ups.conf, or the name service"),
    (ConnectionRefusedError, "nothing listens there; start nut-server on {host}, with LISTEN 0.0.0.0 {port} in its upsd.conf"),
    (TimeoutError,           "no connection in time; is {host} switched on, does a firewall drop port {port}?"),
    (Exception,              "no connection; is there a way to {host}? Type: nc -vz {host} {port}"),
)
# fmt: on


class Refusal(DeviceError):
    """The server answered ``ERR``; ``code`` is the word after it."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


def available() -> ModuleType:
    """Return pynut2, with its logger switched off. Raises :class:`ConfigError` when it, or the telnetlib it needs, is not
    there."""
    nut2 = load("client", "backend = repeater")
    nut2._LOGGER.disabled = True
    return nut2


class Line:
    """The connection. Not for two threads at a time.

    Whatever is asked must be answered before the time given to :meth:`begin` is over; otherwise, and whenever the server
    breaks the protocol, the connection is closed, so that no late answer is taken for that of the next question.
    """

    def __init__(self, source: Source, clock: Clock, username: str | None = None, password: str | None = None) -> None:
        self.source = source
        self.spoiled = 0
        """Rows of the last list that could not be read and were left out."""
        self.rejected = ""
        """Why the server did not take user and password; empty when it did, or there are none."""
        self._clock = clock
        self._login = () if username is None or password is None else (("USERNAME", username), ("PASSWORD", password))
        self._deadline = 0.0
        self._client: Any = None

    @property
    def opened(self) -> bool:
        """Return whether there is a connection."""
        return self._client is not None

    @property
    def may_write(self) -> bool:
        """Return whether there are credentials that the server did not refuse."""
        return bool(self._login) and not self.rejected

    def begin(self, seconds: float) -> None:
        """Set the time within which all further questions must be answered, in seconds."""
        self._deadline = self._clock.monotonic() + seconds

    def left(self) -> float:
        """Return the seconds that are left of it."""
        return self._deadline - self._clock.monotonic()

    def open(self) -> None:
        """Connect and log in, unless it is done. Raises :class:`DeviceError`; refused credentials only set ``rejected``."""
        if self._client is not None:
            return
        nut2 = available()
        try:
            self._client = nut2.PyNUTClient(self.source.host, self.source.port, timeout=max(self.left(), 0.1))
        except (nut2.PyNUTError, OSError, ValueError) as error:
            # pynut2 raises only "Socket error."; the reason is what it caught.
            cause = error.__context__ if isinstance(error, nut2.PyNUTError) and error.__context__ else error
            raise self._error(next(text for kind, text in TROUBLES if isinstance(cause, kind))) from None
        self.rejected = ""
        try:
            for keyword, secret in self._login:
                self.ask(keyword, secret)
        except Refusal as refusal:
            self.rejected = str(refusal)
        if self.may_write:
            # With it the server reports the outcome of a SET or INSTCMD (NUT 2.8.0+); without, OK means only "passed on".
            with contextlib.suppress(Refusal):
                self.ask("SET", "TRACKING", "ON")

    def close(self) -> None:
        """Log out and close."""
        client, self._client = self._client, None
        if client is None:
            return
        # pynut2's own farewell does not close when the server is gone already.
        telnet, client._srv_handler = client._srv_handler, None
        with contextlib.suppress(OSError):
            telnet.write(b"LOGOUT\n")
        telnet.close()

    def ask(self, *words: str) -> tuple[str, ...]:
        """Send one sentence; return the line of the answer, in words. Raises :class:`Refusal` for ERR, :class:`DeviceError`
        for no answer."""
        if not all(word.isascii() and word.isprintable() for word in words):
            raise CommandError("only printable ASCII can be sent to a NUT server", Result.INVALID)
        if self._client is None:
            raise self._error("the connection is closed")
        with contextlib.suppress(OSError):
            # A server that is gone shows when its answer is read.
            self._client._write(join(words) + "\n")
        answer = self._words()
        if not answer:
            raise self._nonsense()
        if answer[0] == "ERR":
            raise self._refusal(answer)
        return answer

    def rows(self, kind: str, *names: str) -> list[tuple[str, ...]]:
        """Return the rows of LIST ``kind`` for this UPS, without their first two words (kind and UPS); those spoiled are
        counted."""
        begin = self.ask("LIST", kind, self.source.ups, *names)
        if begin[:3] != ("BEGIN", "LIST", kind):
            raise self._nonsense()
        self.spoiled = 0
        found: list[tuple[str, ...]] = []
        for _ in range(MOST_ROWS):
            row = self._words()
            if row[:3] == ("END", "LIST", kind):
                return found
            if row[:1] == ("ERR",):
                self.close()
                raise self._refusal(row)
            if row[:1] == (kind,) and len(row) > 2:
                found.append(row[2:])
            else:
                self.spoiled += 1
        raise self._nonsense()

    def _words(self) -> tuple[str, ...]:
        line = self._receive()
        return _parse(line) if len(line) <= LONGEST_LINE else ()

    def _receive(self) -> bytes:
        """Return the next line with its line feed, as bytes: what is not ASCII goes the way of everything unprintable."""
        got: str | bytes | None = None
        if self.left() > 0:
            self._client._timeout = self.left()
            try:
                got = self._client._read_until("\n")
            except UnicodeDecodeError as error:
                got = error.object
            except (OSError, EOFError):
                got = None
        data = got.encode() if isinstance(got, str) else got or b""
        if data.endswith(b"\n"):
            return data
        late = self.left() <= 0
        self.close()
        raise self._error("the server did not answer in time; is it overloaded?" if late else "the server closed the connection")

    def _error(self, text: str) -> DeviceError:
        return DeviceError(self._sentence(text))

    def _sentence(self, text: str) -> str:
        return f"{self.source}: " + text.format(ups=self.source.ups, host=self.source.host, port=self.source.port)

    def _refusal(self, answer: tuple[str, ...]) -> Refusal:
        code = answer[1] if len(answer) > 1 else ""
        text = REFUSALS.get(code)
        return Refusal(self._sentence(text) if text else f"{self.source}: the server answered ERR {code[:40]}", code)

    def _nonsense(self) -> DeviceError:
        self.close()
        return self._error("the answer is not that of a NUT server; is another service listening on port {port}?")


@functools.lru_cache(KEPT_LINES)
def _parse(line: bytes) -> tuple[str, ...]:
    """Return the words of a line; none when it breaks the rules of quoting."""
    for item in Reader().feed(line):
        return item.words if isinstance(item, Words) else ()
    return ()
