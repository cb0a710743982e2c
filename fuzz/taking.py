# SPDX-License-Identifier: GPL-2.0-or-later
"""Cuts the bytes of an input into numbers, choices and pieces; what is missing at the end is 0, so each input means something."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TypeVar

__all__ = ["NUMBERS", "SECRET", "WORDS", "Bytes"]

T = TypeVar("T")

SECRET = "hunter2-planted-0123456789"
"""The secret that targets put where a secret may stand; no text may hold it."""

NUMBERS: tuple[object, ...] = (
    0, -0.0, 1, -1, 5, 10, 19.9, 20, 50, 95, 99.9, 100, 100.4, 101, 255, 256, 1000, 5000, 32767, 65535, 65536, 1e6, -1e6, 1e9,
    2147483647, -2147483648, 4294967295, 1e18, 1.1e18, -1e18, 1e-9, 1e300, -1e300, 1.7e308, float("inf"), float("-inf"), 10**400,
    "12", "-0", "1e5", "nan", "inf", "0x10", "", True, False, None,
)  # fmt: skip
"""What devices give where a number belongs."""

WORDS: tuple[object, ...] = (
    "", " ", "open", "closed", "OPEN", "Closed", "enabled", "disabled", "multimode-offgrid", "grid-tied", "net-consumption",
    "production", "storage", "x" * 300, "a\nSETINFO ups.status \"OB LB\"", "\x1b[31m", "\u00e4\u20ac\u0130\ud800", "[x] [y]",
    "\\\"#", SECRET, None, True, [], {}, [[]], {"": {}}, [None] * 40, 0,
)  # fmt: skip
"""What devices give where a word belongs, or anything else."""


class Bytes:
    """Takes from the front of ``data``."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        """Bytes that were not taken yet."""
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        """Return the next bytes: ``count``, or fewer at the end."""
        piece = self._data[self._at : self._at + count]
        self._at += len(piece)
        return piece

    def rest(self) -> bytes:
        """Return all that is left."""
        return self.take(self.left)

    def byte(self) -> int:
        """Return the next byte."""
        return next(iter(self.take(1)), 0)

    def choice(self, options: Sequence[T]) -> T:
        """Return one of ``options``."""
        return options[self.byte() % len(options)]

    def piece(self) -> bytes:
        """Return a piece whose first byte is its length."""
        return self.take(self.byte())

    def value(self) -> object:
        """Return a number, a word, or something else that JSON can hold."""
        kind = self.byte()
        if kind < 96:
            return NUMBERS[kind % len(NUMBERS)]
        if kind < 128:
            return WORDS[kind % len(WORDS)]
        if kind < 192:
            return float(self.byte())
        if kind < 224:
            return struct.unpack(">h", self.take(2).ljust(2, b"\0"))[0]
        if kind < 240:
            return struct.unpack(">i", self.take(4).ljust(4, b"\0"))[0]
        if kind < 248:
            return struct.unpack(">d", self.take(8).ljust(8, b"\0"))[0]
        return self.piece().decode("utf-8", "replace")
