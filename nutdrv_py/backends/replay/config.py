# SPDX-License-Identifier: GPL-2.0-or-later
"""The options of the replay backend."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nutdrv_py.device.backend import Config, option
from nutdrv_py.errors import ConfigError

__all__ = ["ReplayConfig", "file_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayConfig(Config):
    """Options of ``backend = replay``."""

    port: str = option("a file that nutdrv_py record has made, absolute or relative to the directory of ups.conf")
    pollinterval: int = option(
        "seconds between polls with speed = 0; else each is played at its time", default=2, minimum=1, reload=True
    )
    pollfreq: int = option("accepted; when slow values were asked is in the recording", default=60, minimum=1)
    maxage: int = option(
        "seconds the last good reading is served while polls fail; stale at once at the end of the recording",
        default=120, minimum=1, reload=True,
    )  # fmt: skip
    speed: float = option(
        "how many times as fast as it was recorded; 0 plays one recorded poll with each poll", default=1.0, minimum=0
    )
    loop: bool = option("begin anew at the end", default=False)


def file_of(config: ReplayConfig) -> Path:
    """Return the path of the file. Raises :class:`ConfigError`."""
    if "\0" in config.port:
        raise ConfigError("port holds a NUL byte; write the name of a file")
    return Path(config.confpath or ".") / config.port
