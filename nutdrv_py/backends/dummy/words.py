# SPDX-License-Identifier: GPL-2.0-or-later
"""What a file's words mean: ``ups.status`` and alarms become a Reading, or a sentence why they cannot."""

from __future__ import annotations

import re
from collections.abc import Mapping

from nutdrv_py.backends.dummy.play import Text
from nutdrv_py.device.reading import Reading, Status, Value
from nutdrv_py.errors import DeviceError

__all__ = ["alarms_in", "compose", "status_of"]

UNNAMED = "N/A"
"""The text of an alarm that the file names only by the word ALARM in ups.status (as NUT 2.8.3)."""

_BRACKETS = re.compile(r"\s*(?:\[[^\[\]]*\]\s*)+")


def status_of(text: str) -> tuple[Status, tuple[str, ...]]:
    """Return the tokens of ``ups.status``, and the words among them that are none (ALARM is none: alarms make it).

    Raises :class:`DeviceError` for a status without OL, OB and OFF, or with more than one of them.
    """
    status, unknown = Status.parse(text)
    if Status.OL in status and Status.OB in status:
        raise DeviceError(f"ups.status is {text!a}, which says both OL and OB; write one of them")
    if not status.says_supply:
        raise DeviceError(f"ups.status is {text!a}, which says neither OL, OB nor OFF; write for example ups.status: OL")
    return status, unknown


def alarms_in(text: str) -> tuple[str, ...]:
    """Return the alarms in ``ups.alarm``: each pair of brackets holds one, as drivers write it; else the text is one."""
    if _BRACKETS.fullmatch(text):
        return tuple(alarm.strip() for alarm in re.findall(r"\[([^\[\]]*)\]", text) if alarm.strip())
    return (text.strip(),) if text.strip() else ()


def compose(values: Mapping[str, Text], alarms: tuple[str, ...]) -> tuple[Reading, tuple[str, ...]]:
    """Return the reading, and the words of ``ups.status`` that mean nothing. Raises :class:`DeviceError` as :func:`status_of`."""
    said = values.get("ups.status")
    if said is None:
        raise DeviceError("there is no ups.status to say where the power comes from; add a line such as ups.status: OL")
    status, unknown = status_of(said.value)
    shown: dict[str, Value] = {text.name: text.value for key, text in values.items() if key not in ("ups.status", "ups.alarm")}
    alarm = values.get("ups.alarm")
    alarms = tuple(dict.fromkeys((*alarms, *(alarms_in(alarm.value) if alarm else ()))))
    if not alarms and "ALARM" in said.value.upper().split():
        alarms = (UNNAMED,)
    return Reading(shown, status, alarms), unknown
