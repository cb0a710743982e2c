# SPDX-License-Identifier: GPL-2.0-or-later
"""What can go wrong, named after what must be done.

::

    NutdrvError
    +-- ConfigError       the administrator: the start stops with exit 1 and this sentence
    +-- StartError        the machine: a directory, a socket, a user is not as it must be; exit 1
    +-- DeviceError       the device gave no usable answer; the poll failed, the driver goes on
    |   +-- AuthError     the device or its cloud refused the login; ``rejected``: trying again is useless
    |   +-- StaleError    the device reports that its own data are stale: nothing is gained by waiting for ``maxage``
    +-- CommandError      an instant command or a setting could not be carried out; ``code`` goes to the client
    +-- ProtocolError     bytes that are not what the protocol allows

The text of every error is a sentence for the administrator: what is wrong, where, what to type.
"""

from __future__ import annotations

import enum
import re

__all__ = [
    "AuthError", "CommandError", "ConfigError", "DeviceError", "NutdrvError", "ProtocolError",
    "Result", "StaleError", "StartError", "without_login", "word",
]  # fmt: skip


class Result(enum.IntEnum):
    """Outcome of SET and INSTCMD, as sent in ``TRACKING <id> <code>`` (NUT drivers/upshandler.h).

    Code 4 (conversion failed, NUT 2.8.2+) is not used: older upsd maps it to "unknown".
    """

    HANDLED = 0
    UNKNOWN = 1
    INVALID = 2
    FAILED = 3


class NutdrvError(Exception):
    """Root of all errors this package raises on purpose."""


class ConfigError(NutdrvError):
    """The configuration cannot be used. Raised before anything is started; the exit code is 1."""


class StartError(NutdrvError):
    """The configuration is right but the machine does not allow the start. The exit code is 1."""


class DeviceError(NutdrvError):
    """The device gave no usable answer. The poll counts as failed; the last good values are held for ``maxage``."""


class StaleError(DeviceError):
    """The device answers that its data are stale; see the table above."""


class AuthError(DeviceError):
    """The login was refused.

    ``rejected`` is true when the same credentials will be refused again, so that trying on could lock the account.
    """

    def __init__(self, message: str, *, rejected: bool = False) -> None:
        super().__init__(message)
        self.rejected = rejected


class CommandError(NutdrvError):
    """An instant command or a setting was not carried out; ``code`` is the client's answer."""

    def __init__(self, message: str, code: Result = Result.UNKNOWN) -> None:
        super().__init__(message)
        self.code = code


class ProtocolError(NutdrvError):
    """Text that breaks the rules of its protocol."""


# What an error may quote of a configuration: a password may be in the wrong place.


def word(text: str) -> str:
    """Return the name at the beginning of ``text``: of ``password:secret`` the part before the colon."""
    found = re.match(r"[A-Za-z0-9._-]{1,64}", text)
    return found.group() if found else "?"


def without_login(address: str) -> str:
    """Return an address or URL with ``***`` in place of a user and password in front of its host."""
    return re.sub(r"^([A-Za-z][A-Za-z0-9+.-]*://)?[^/]*:.*@", r"\1***@", address)
