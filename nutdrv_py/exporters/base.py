# SPDX-License-Identifier: GPL-2.0-or-later
"""What every exporter is."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import ClassVar

from nutdrv_py.core.telemetry import Source

__all__ = ["Exporter"]


class Exporter(abc.ABC):
    """Publishes what one or more sources hold. A subclass takes its section of the configuration as ``options``.

    :meth:`start` and :meth:`stop` are called in the event loop. Nothing may block it: what can, runs in a thread.
    """

    first: ClassVar[bool] = False
    """Whether it begins before the others: what it has left from before is in force until it does."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self.sources = tuple(sources)
        self.restart = False
        """Whether the process is started again at once when this is stopped."""

    @abc.abstractmethod
    async def start(self) -> None:
        """Begin. Raises :class:`ConfigError` for what only an administrator can mend (a port in use, a missing package).

        A server that is away is no error: it is tried again.
        """

    @abc.abstractmethod
    async def stop(self) -> None:
        """End, within a second, whatever state the server is in."""

    @property
    def stuck(self) -> bool:
        """Return whether it has hung, so that what others read of it is old."""
        return False

    @property
    def dropped(self) -> int:
        """Return what was thrown away because a server could not take it, since the start."""
        return 0
