# SPDX-License-Identifier: GPL-2.0-or-later
"""A Network UPS Tools driver in Python, and the frame in which more of them are written.

The names here are all that a backend needs.
"""

from __future__ import annotations

from nutdrv_py.device.backend import Backend, Config, option
from nutdrv_py.device.mapping import Field
from nutdrv_py.device.reading import Decline, Reading, Status

__all__ = ["Backend", "Config", "Decline", "Field", "Reading", "Status", "__version__", "option"]

__version__ = "0.1.0"
