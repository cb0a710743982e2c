# SPDX-License-Identifier: GPL-2.0-or-later
"""Whose an entry of a port file is: the user's, ours, or the script's. Pure: texts in, texts out.

The last line of a file that is kept here names the entries that are ours, so that the others stay when the keeper starts again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote

from nutdrv_py.errors import ProtocolError
from nutdrv_py.nut.portfile import entry, parse, update
from nutdrv_py.nut.portitems import MAX_ENTRY, Entry, fitting

__all__ = ["GENERATED", "SCRIPT", "SETTABLE", "Owners", "begun", "is_kept", "stripped"]

SETTABLE = ("battery.charge.low", "battery.voltage.high", "battery.voltage.nominal", "battery.voltage.low")
"""Variables that the user may set in the file, besides all that end in .mfr and .model."""

SCRIPT = {
    "battery.charge.low": "20", "battery.voltage.high": "86.4", "battery.voltage.nominal": "76.8", "battery.voltage.low": "68.5",
    "ups.mfr": "Enphase Energy", "device.mfr": "Enphase Energy", "ups.model": "IQ Gateway", "device.model": "IQ Gateway",
}  # fmt: skip
"""What enphase-monitor writes by itself where the user has set nothing: in a file of the script these are not the user's own."""

GENERATED = re.compile(
    r"(in|out)put\.((l[123]\.)?(realpower|power|powerfactor|frequency|current)|(l[123]-n\.)?voltage|phases)"
    r"|battery\.(current|voltage|runtime|capacity|charge|charge\.restart|type)"
    r"|ups\.(status|load|firmware|serial)|device\.(serial|type)"
)
"""Names in small letters that enphase-monitor generates: in its file they are not the user's entries."""

_MAKERS = (".mfr", ".model")
_MARK = "# nutdrv_py keeps: "
_AGES = ("experimental.data.age", "experimental.livedata.age", "experimental.token.days")
_ALARM = "ALARM "
_CUT = "ups.alarm"


@dataclass(frozen=True, slots=True)
class Owners:
    """Names of entries that are ours, what the user has set, and which settable values were written last."""

    ours: frozenset[str]
    user: Mapping[str, str]
    last: Mapping[str, str]

    def merged(self, before: str, variables: Mapping[str, str]) -> tuple[str, Owners]:
        """Return the file with the variables of a driver, and the owner of each entry; entries of others stay byte by byte."""
        values = {name: _fitted(name, value) for name, value in variables.items() if _wanted(name, value)}
        if "ups.status" in values:
            # dummy-ups 2.8.3 never clears an ALARM that it has read in the status.
            values["ups.status"] = values["ups.status"].removeprefix(_ALARM)
        changed = {
            name: value
            for name, value in _settables(before).items()
            if value != self.last.get(name) and (name in self.last or name not in self.ours)
        }
        # A line that the user has taken out is no wish any more.
        user = {name: value for name, value in self.user.items() if name in _settables(before)} | changed
        values.update({name: value for name, value in user.items() if name in values})
        gone = self.ours - values.keys() - user.keys()
        text = update(_unmarked(before), {**dict.fromkeys(sorted(gone), ""), **values})
        ours = self.ours | values.keys()
        text += _MARK + " ".join(_marking(name, values.get(name, "")) for name in sorted(ours - user.keys())) + "\n"
        last = {name: fitting(value) for name, value in values.items() if _settable(name)}
        return text, Owners(frozenset(ours), user, last)


def begun(text: str) -> Owners:
    """Return the owner of each entry of an existing file: kept here before, written by the script, or by hand."""
    marked = _marked(text)
    # What differs from what was written last, or was not written here, is the user's.
    user = {
        name: value
        for name, value in _settables(text).items()
        if marked.get(name) != value and (marked or SCRIPT.get(name) != value)
    }
    names = {item.name.lower() for item in parse(text) if isinstance(item, Entry)}
    of_script = {name for name in names if GENERATED.fullmatch(name) or name in SCRIPT} - user.keys()
    ours = marked.keys() if marked else of_script
    return Owners(frozenset(ours), user, {name: value for name, value in marked.items() if _settable(name)})


def is_kept(text: str) -> bool:
    """Return whether the file was written here last."""
    return bool(_marked(text))


def stripped(text: str) -> str:
    """Return the file without our entries: the next keeper would leave them unchanged for ever."""
    values = _settables(text)
    ours = {name for name, value in _marked(text).items() if not _settable(name) or values.get(name, "") == value}
    return update(_unmarked(text), {}, ours)


def _wanted(name: str, value: str) -> bool:
    """Return whether dummy-ups can hold it; not the driver's own, nor what only counts time."""
    if name.startswith("driver.") or name in _AGES or (len(value) > MAX_ENTRY and name != _CUT):
        return False
    try:
        entry(name, "")
    except ProtocolError:
        return False
    return True


def _fitted(name: str, value: str) -> str:
    return fitting(value) if name == _CUT else value


def _settable(name: str) -> bool:
    return name in SETTABLE or name.endswith(_MAKERS)


def _settables(text: str) -> dict[str, str]:
    """Return the entries that a user may set, by name in lower case."""
    found = {item.name.lower(): item.value for item in parse(text) if isinstance(item, Entry) and item.value}
    return {name: value for name, value in found.items() if _settable(name)}


def _marking(name: str, value: str) -> str:
    return f"{name}={quote(fitting(value))}" if _settable(name) else name


def _marked(text: str) -> dict[str, str]:
    """Return the names in the mark, with the values of those that the user may set."""
    words = [word for line in text.splitlines() if line.startswith(_MARK) for word in line.removeprefix(_MARK).split()]
    return {name: unquote(value) for name, _, value in (word.partition("=") for word in words)}


def _unmarked(text: str) -> str:
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith(_MARK))
