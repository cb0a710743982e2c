# SPDX-License-Identifier: GPL-2.0-or-later
"""The devices that a command can be about: this package's and those of others come through the same door."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nutdrv_py.device import backend as backends
from nutdrv_py.device.tools import Tools, tools_of
from nutdrv_py.errors import ConfigError, NutdrvError

__all__ = ["OFFERED", "all_tools", "tools"]


class _Offered(tuple[str, ...]):
    """Names that are shown; any other is taken too and judged when its backend is loaded."""

    def __contains__(self, name: object) -> bool:
        return True


OFFERED = _Offered(("enphase", "rct"))
"""The devices of this package that have a simulator. To find those of others, all installed packages had to be looked at."""


def tools(name: str, what: str) -> Tools:
    """Return what the backend ``name`` brings, which has a tool called ``what``. Raises :class:`ConfigError`."""
    found = tools_of(backends.load(name))
    if getattr(found, what) is None:
        raise ConfigError(f"backend = {name} has no {what}; {', '.join(_names(what))} have one")
    return found


def _names(what: str) -> list[str]:
    return [name for name, found in all_tools() if getattr(found, what) is not None]


def all_tools() -> Iterator[tuple[str, Tools]]:
    """Yield the tools of each installed backend; one that cannot be loaded is left out."""
    for name in sorted(backends.names()):
        try:
            backend: type[backends.Backend[Any]] = backends.load(name)
            yield name, tools_of(backend)
        except NutdrvError:
            continue
