# SPDX-License-Identifier: GPL-2.0-or-later
"""A Network UPS Tools driver in Python, and the frame in which more of them are written.

The names here are all that a backend needs.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nutdrv_py.device.backend import Backend, Config, option
    from nutdrv_py.device.mapping import Field
    from nutdrv_py.device.reading import Decline, Reading, Status

__all__ = ["Backend", "Config", "Decline", "Field", "Reading", "Status", "__version__", "option"]

__version__ = "0.1.0"


_MODULES = {
    "Backend": "backend", "Config": "backend", "option": "backend", "Field": "mapping",
    "Decline": "reading", "Reading": "reading", "Status": "reading",
}  # fmt: skip


def __getattr__(name: str) -> object:
    # Loaded when asked for: a driver's first interpreter, which only looks for its name, imports next to nothing.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.device.{_MODULES[name]}"), name)
