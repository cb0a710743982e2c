# SPDX-License-Identifier: GPL-2.0-or-later
"""The file that ``credentials =`` names: a login that is not in ups.conf, which upsd's clients may see."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from nutdrv_py.device.backend import Config
from nutdrv_py.errors import ConfigError
from nutdrv_py.log import hide
from nutdrv_py.machine.private import read_private

__all__ = ["MOST", "read_credentials"]

MOST = 64 * 1024
"""Maximum bytes of the file."""


def read_credentials(config: Config, name: str | None, known: Collection[str] = ("username", "password")) -> dict[str, str]:
    """Return what the file ``name`` holds, by ``known`` keys in lower case; nothing when there is no name.

    A relative name is one in the folder of ups.conf. Lines are KEY=VALUE; a value may be in single or double quotes; ``#``
    begins a comment only at the start of a line, because passwords hold it. Each value but that of ``username`` is hidden from
    the log from then on. Raises :class:`ConfigError` for a file that others may use, and for other lines, without quoting them.
    """
    if not name:
        return {}
    path = Path(config.confpath or ".") / name
    try:
        lines = read_private(path, MOST).decode().splitlines()
    except OSError as error:
        raise ConfigError(
            f"credentials = {path} cannot be read: {error.strerror}; it should be owned by root with NUT's group, mode 0640"
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(f"credentials = {path} is not text in UTF-8") from None
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key, equals, value = (part.strip() for part in line.partition("="))
        if not equals or key.lower() not in known:
            # What is there instead may be the password.
            *others, last = (f"{word.upper()}=" for word in known)
            wanted = f"{', '.join(others)} or {last}" if others else last
            raise ConfigError(f"{path}:{number}: write {wanted} before what stands there, or #")
        if len(value) >= 2 and value[0] in "\"'" and value[-1] == value[0]:
            value = value[1:-1]
        found[key.lower()] = value
        if key.lower() != "username":
            hide(value)
    return found
