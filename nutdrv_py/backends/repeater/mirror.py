# SPDX-License-Identifier: GPL-2.0-or-later
"""Turns another server's variables into a Reading. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from nutdrv_py.device.reading import Reading, Status
from nutdrv_py.errors import DeviceError

__all__ = ["MOST_HOPS", "PATH", "is_mirrored", "mirror"]

PATH = "experimental.repeater.path"
"""Variable that names the repeaters the data came through, the last one first: how a loop is noticed."""

MOST_HOPS = 4
"""Maximum repeaters in a row: each adds its poll interval to the age of the data, and its ``maxage`` before they go stale."""

LONGEST_NAME = 128
"""Characters of a name. upsd answers in lines of 511 bytes; a longer name and a long value would lose their line feed."""

_OWN = "driver."  # of the source's driver: of no use to clients of ours
_OWN_COMMAND = "shutdown.default"
_NAME = re.compile(rf"[A-Za-z0-9_][A-Za-z0-9._-]{{0,{LONGEST_NAME - 1}}}")
_ALARM = re.compile(r"[^\[\]]+")

ALARM = "ALARM"
UNNAMED = "alarm"
"""The alarm of a source that gives the token without a text."""


def is_mirrored(name: str) -> bool:
    """Return whether a variable or instant command of that name is repeated as it is."""
    return _NAME.fullmatch(name) is not None and not name.startswith(_OWN) and name != _OWN_COMMAND


def mirror(source: object, values: Mapping[str, str], identity: str) -> Reading:
    """Return a reading of the variables ``values``, which came from ``source`` to the repeater ``identity``.

    Raises :class:`DeviceError` when they have no usable status, or came through this repeater before.
    """
    path = values.get(PATH, "").split()
    if identity in path:
        raise DeviceError(f"{source} is a repeater that repeats this driver: a loop; name the server that has the real UPS")
    if len(path) >= MOST_HOPS:
        raise DeviceError(f"{source} is the last of {len(path)} repeaters in a row; name a server nearer to the real UPS")
    tokens = values.get("ups.status", "").split()
    if "WAIT" in tokens:
        raise DeviceError(f"{source}: the server does not know the state of the UPS yet (WAIT)")
    status, _ = Status.parse(values.get("ups.status", ""))
    if not status.says_supply:
        shown = " ".join(tokens)[:80]
        raise DeviceError(f"{source}: ups.status is {shown!r}, which says neither on line (OL) nor on battery (OB)")
    alarms = [text.strip() for text in _ALARM.findall(values.get("ups.alarm", ""))]
    alarms = [text for text in alarms if text] or ([UNNAMED] if ALARM in tokens else [])
    mirrored = {name: text for name, text in values.items() if is_mirrored(name) and name not in ("ups.status", "ups.alarm")}
    mirrored[PATH] = " ".join([identity, *path])
    return Reading(mirrored, status, tuple(alarms), values)
