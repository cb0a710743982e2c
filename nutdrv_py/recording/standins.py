# SPDX-License-Identifier: GPL-2.0-or-later
"""Stand-ins for what must not be recorded: the same text always becomes the same other text, of the same form and length.

A text is replaced run by run of letters and digits, so that a serial number is the same one alone and inside a longer text.
The stand-ins of two recordings differ: they come from a key that is made for each and kept nowhere.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections import Counter
from collections.abc import Callable

__all__ = ["StandIns"]

LEAST_TELLING = 8
"""Letters and digits, with a digit among them, from which on a text is looked for everywhere: shorter ones are in any number."""

MOST_TRIES = 1000
"""Stand-ins tried until one is free; a form of two digits has only a hundred."""

_RUN = re.compile(r"[^\W_]+")


class StandIns:
    """Replaces texts; ``key`` decides by what (by default a random one)."""

    def __init__(self, key: bytes | None = None) -> None:
        self.replaced: Counter[str] = Counter()
        """How many different texts were replaced, by where they stood."""
        self._key = key or secrets.token_bytes(32)
        self._found: dict[str, str] = {}
        self._used: set[str] = set()
        self._counted: set[tuple[str, str]] = set()
        self._telling: set[str] = set()
        self._net: re.Pattern[str] | None = None
        self.generation = 0
        """Grows with each text that :meth:`sweep` looks for."""

    def know(self, text: str) -> None:
        """Name a secret beforehand, so that :meth:`sweep` finds it wherever it turns up."""
        for run in _RUN.findall(text):
            self._run(run)

    def text(self, original: str, where: str) -> str:
        """Return the stand-in for a text at ``where``."""
        if (where, original) not in self._counted:
            self._counted.add((where, original))
            self.replaced[where] += 1
        return _RUN.sub(lambda match: self._run(match.group()), "".join(map(_plain, original)))

    def octets(self, original: bytes, where: str) -> bytes:
        """Return the same for bytes of an unknown alphabet; what is not ASCII becomes a letter."""
        text = "".join(chr(octet) if octet < 0x80 else "x" for octet in original)
        return self.text(text, where).encode("ascii")

    def number(self, original: int | float, where: str) -> int | float:
        """Return the same for a number: another one with as many digits."""
        text = self.text(repr(original), where)
        try:
            return int(text) if isinstance(original, int) else float(text)
        except ValueError:  # an exponent has become something else
            return 0

    def sweep(self, line: str) -> str:
        """Return ``line`` with everything replaced that was replaced elsewhere, or was named beforehand, in capitals or not."""
        if self._net is None:
            longest_first = sorted(self._telling, key=len, reverse=True)
            self._net = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)", re.IGNORECASE)
        return self._net.sub(lambda match: self._run(match.group()), line)

    def _run(self, run: str) -> str:
        key = run.lower()
        pattern = self._found.get(key)
        if pattern is None:
            pattern = self._found[key] = self._new(key)
            if len(key) >= LEAST_TELLING and any(map(str.isdigit, key)):
                self._telling.add(key)
                self._net = None
                self.generation += 1
        return "".join(new.upper() if old.isupper() else new for old, new in zip(run, pattern, strict=False))

    def _new(self, key: str) -> str:
        number = int.from_bytes(hmac.digest(self._key, key.encode("utf-8", "replace"), hashlib.sha256))
        found = key
        for attempt in range(MOST_TRIES):
            found = _spell(key, number + attempt)
            if found != key and found not in self._used:
                break
        self._used.add(found)
        return found


def _plain(letter: str) -> str:
    """Return the letter; "?" for a sign outside ASCII that is neither letter nor digit, because it may identify, too."""
    return letter if letter.isascii() or letter.isalnum() else "?"


def _digit(number: int) -> str:
    return chr(ord("0") + number)


def _letter(number: int) -> str:
    return chr(ord("a") + number)


def _spell(form: str, number: int) -> str:
    """Return ``number`` written with a digit for each digit of ``form`` and a letter for each other sign; never with a
    leading 0."""
    result: list[str] = []
    for position in range(len(form) - 1, -1, -1):
        first = position == 0 and form.isdigit() and len(form) > 1
        base, least, sign = _DIGIT[first] if form[position].isdigit() else _LETTER
        number, rest = divmod(number, base)
        result.append(sign(rest + least))
    return "".join(reversed(result))


_Sign = tuple[int, int, Callable[[int], str]]
_DIGIT: dict[bool, _Sign] = {False: (10, 0, _digit), True: (9, 1, _digit)}
_LETTER: _Sign = (26, 0, _letter)
