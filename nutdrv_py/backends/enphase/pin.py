# SPDX-License-Identifier: GPL-2.0-or-later
"""Which certificate of the gateway is trusted: the remembered one of its serial number, named ones, or any."""

from __future__ import annotations

import os

from nutdrv_py.backends.enphase.config import EnphaseConfig, pinned, token_path
from nutdrv_py.errors import ConfigError
from nutdrv_py.log import Trouble
from nutdrv_py.machine.files import replace
from nutdrv_py.machine.place import Unsafe
from nutdrv_py.machine.private import read_trusted

__all__ = ["Pin"]


MOST = 1024
"""Bytes of the file that are read; it has about 150."""


class Pin:
    """The trust in fingerprints (SHA-256 of the certificate, hex), as ``certificate =`` wants it.

    With ``pin`` the first certificate seen is trusted, and remembered in a file beside the token as soon as the serial
    number is known. Raises :class:`ConfigError` when that file is there but cannot be read: trusting anew any machine that
    answers would be worse than not starting.
    """

    def __init__(self, config: EnphaseConfig, trouble: Trouble) -> None:
        self._trouble = trouble
        self._wanted_serial = config.serial
        self._named = pinned(config)
        self._any = config.certificate == "any"
        self.path = token_path(config).with_suffix(".pin")
        self.serial = ""
        """Serial number for which the fingerprint was remembered; empty when none was."""
        self._fingerprint = self._key = ""
        if self.changeable:
            self._read()

    @property
    def changeable(self) -> bool:
        """Return whether a new certificate may be accepted at all: only with ``pin``."""
        return self._named is None and not self._any

    def trusts(self, fingerprint: str) -> bool:
        """Return whether a certificate may see the token; with ``pin`` the very first one becomes the trusted one."""
        if self._any:
            return True
        if self._named is not None:
            return fingerprint in self._named
        if not self._fingerprint:
            self._fingerprint = fingerprint
        return fingerprint == self._fingerprint

    def introduced(self, serial: str, key: str) -> None:
        """Remember the serial number that the gateway behind the first certificate has named, the certificate, and the
        certificate's key."""
        if self.changeable and self._fingerprint and (not self.serial or not self._key):
            self.remember(serial, self._fingerprint, key)

    def same_key(self, key: str) -> bool:
        """Return whether a certificate holds the remembered key: its sender has the gateway's private key."""
        return bool(key) and key == self._key

    def remember(self, serial: str, fingerprint: str, key: str) -> None:
        """Trust this certificate for this serial number from now on, also after a restart."""
        self.serial, self._fingerprint, self._key = serial, fingerprint, key
        try:
            replace(self.path, f"{serial} {fingerprint} {key}".rstrip().encode("ascii") + b"\n", sync=False)
        except OSError as error:
            self._trouble.report(
                "pin",
                f"The certificate's fingerprint could not be kept in {self.path}: {error.strerror}; "
                f"type: ls -ld {self.path.parent}",
            )

    def _read(self) -> None:
        try:
            words = read_trusted(self.path, MOST).decode("ascii", "replace").split()
        except FileNotFoundError:
            return
        except Unsafe:
            raise
        except OSError as error:
            raise ConfigError(
                f"{self.path}, which holds the fingerprint of the gateway's certificate, cannot be read: {error.strerror}; "
                f"type: chown {os.geteuid()} {self.path}"
            ) from error
        if len(words) in (2, 3) and len(words[1]) == 64 and self._wanted_serial in (None, words[0]):
            self.serial, self._fingerprint, self._key = (*words, "")[:3]
