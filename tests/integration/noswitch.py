# SPDX-License-Identifier: GPL-2.0-or-later
"""A device that cannot switch its load off, as most house batteries."""

from __future__ import annotations

from skeleton import Skeleton

from nutdrv_py.backend import Backend


class NoSwitch(Skeleton):
    """The skeleton without shutdown."""

    shutdown = Backend.shutdown
