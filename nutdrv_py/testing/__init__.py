# SPDX-License-Identifier: GPL-2.0-or-later
"""Is a backend safe? Any backend is played through outages, silence and nonsense, and judged by what upsd would be given.

Describe your fake device in a class derived from :class:`Device`, name it and your backend in one derived from
:class:`Conformance`, and let pytest collect that: docs/conformance.md.
"""

from __future__ import annotations

from nutdrv_py.testing.conformance import Conformance, judged
from nutdrv_py.testing.device import Device

__all__ = ["Conformance", "Device", "judged"]
