# SPDX-License-Identifier: GPL-2.0-or-later
"""The options of the dummy backend."""

from __future__ import annotations

import os
from dataclasses import dataclass

from nutdrv_py.device.backend import Config, option
from nutdrv_py.errors import ConfigError

__all__ = ["LOOP", "ONCE", "DummyConfig", "check", "file_of", "loops"]

ONCE, LOOP, OLD = "dummy-once", "dummy-loop", "dummy"
"""The modes; the third is what dummy-ups called looping before 2.8.0 and still takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DummyConfig(Config):
    """Options of ``backend = dummy``; names and meaning as in dummy-ups(8)."""

    port: str = option("a .dev or .seq file, absolute or relative to the directory of ups.conf")
    pollinterval: int = option(
        "seconds between two looks at the file; a change is noticed at once besides", default=2, minimum=1, reload=True
    )
    maxage: int = option(
        "seconds the last good reading is served while the file cannot be read; then the data are stale",
        default=15, minimum=1, reload=True,
    )  # fmt: skip
    mode: str | None = option(
        "dummy-once reads the file to its end, and again when it changes; dummy-loop begins anew at the end",
        default=None, choices=(ONCE, LOOP, OLD), default_text="dummy-once for *.dev, dummy-loop for other files",
    )  # fmt: skip


def check(config: DummyConfig) -> None:
    """Refuse what cannot work, before anything is started: :class:`ConfigError`."""
    if "@" in config.port and "/" not in config.port and config.mode is None:
        raise ConfigError(f"port = {config.port} is another server's UPS, not a file; write backend = repeater")
    if "\0" in config.port:
        raise ConfigError("port holds a NUL byte; write the name of a file")


def file_of(config: DummyConfig) -> str:
    """Return the path of the file."""
    return os.path.join(config.confpath, config.port)


def loops(config: DummyConfig) -> bool:
    """Return whether the file is begun anew at its end: ``mode``, else by its name as dummy-ups decides it."""
    return config.mode != ONCE if config.mode else not config.port.endswith(".dev")
