# SPDX-License-Identifier: GPL-2.0-or-later
"""The lines of ups.conf for one driver, read as NUT reads them (NUT drivers/main.c, man ups.conf): global lines, one section."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nutdrv_py.errors import ConfigError, word
from nutdrv_py.nut.parseconf import BadLine, parse

__all__ = ["CORE", "Core", "Entry", "UpsConf", "read_ups_conf"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One setting: ``value`` is None for a flag; ``where`` is its file and line, for sentences."""

    name: str
    value: str | None
    where: str


@dataclass(frozen=True, slots=True)
class UpsConf:
    """The lines of ups.conf for one driver. ``notes`` are sentences about lines that NUT ignores."""

    globals: tuple[Entry, ...]
    section: tuple[Entry, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Core:
    """A row of the table of the core's options: ``kind`` is text, number, flag or ignored; ``scope`` where it is allowed."""

    name: str
    kind: str
    scope: str
    reload: bool
    help: str


# fmt: off
CORE: tuple[Core, ...] = (
    Core("driver",           "text",    "section", False, "must be the name of this program"),
    Core("backend",          "text",    "section", False, "which device: a backend's name, or module:Class"),
    Core("desc",             "ignored", "section", True,  "description that upsd shows"),
    Core("user",             "text",    "both",    False, "run as this user when started by root"),
    Core("group",            "text",    "both",    False, "give the socket to this group"),
    Core("synchronous",      "text",    "both",    False, "yes, no or auto; accepted, writes never block here"),
    Core("pollinterval",     "backend", "both",    True,  "seconds between quick polls"),
    Core("debug_min",        "number",  "both",    True,  "least debug level"),
    Core("nolock",           "flag",    "section", False, "accepted; there is no port to lock"),
    Core("ignorelb",         "flag",    "section", True,  "derive LB from battery.charge.low and battery.runtime.low"),
    Core("allow_killpower",  "flag",    "section", True,  "let driver.killpower cut the power"),
    Core("sdcommands",       "text",    "section", True,  "instant commands to try at shutdown, comma separated"),
    Core("config",           "text",    "section", False, "YAML file of the exporters: Prometheus, InfluxDB, MQTT, page"),
    Core("chroot",           "refused", "both",    False, "is not possible with an interpreter"),
    Core("statepath",        "text",    "global",  False, "directory of the sockets"),
    Core("sdorder",          "ignored", "section", True,  "for upsdrvctl"),
    Core("sddelay",          "ignored", "section", True,  "obsolete"),
    Core("maxstartdelay",    "ignored", "both",    True,  "for upsdrvctl"),
    Core("maxretry",         "ignored", "both",    True,  "for upsdrvctl"),
    Core("retrydelay",       "ignored", "both",    True,  "for upsdrvctl"),
    Core("nowait",           "ignored", "both",    True,  "for upsdrvctl"),
    Core("LIBUSB_DEBUG",     "ignored", "both",    True,  "for USB drivers"),
    Core("reconnect_max_tries",   "ignored", "both", True, "this driver reconnects for ever"),
    Core("reconnect_report_freq", "ignored", "both", True, "this driver logs once per change of state"),
)
# fmt: on


def read_ups_conf(path: Path, ups: str) -> UpsConf:
    """Return the global lines and the section ``ups`` of the file.

    Raises :class:`ConfigError` when the file cannot be read, the section is not there, or a line of it (or a global one)
    breaks the grammar. Broken lines elsewhere are other drivers' business.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"Can't open {path}: Can't open {path}: {error.strerror}") from error
    current: str | None = None
    found = False
    sections: dict[bool, list[Entry]] = {False: [], True: []}
    notes: list[str] = []
    for line in parse(data):
        ours = current is None or current == ups
        where = f"{path}:{line.number}"
        if isinstance(line, BadLine):
            if ours:
                raise ConfigError(f'Parse error: {where}: {line.reason}; write \\# inside quotes, or close the "')
            continue
        words = line.words
        if len(words[0]) > 1 and words[0][0] == "[" and words[0][-1] == "]":
            current = words[0][1:-1]
            found = found or current == ups
        elif not ours:
            continue
        elif len(words) >= 3 and words[1] == "=":
            sections[current is not None].append(Entry(words[0], words[2], where))
            if len(words) > 3:
                notes.append(f"{where}: only the first word is used as the value of {word(words[0])}; put the value in quotes")
        elif len(words) == 1:
            sections[current is not None].append(Entry(words[0], None, where))
        else:
            notes.append(f"{where}: the line {word(words[0])} ... is ignored; write name = value, and [section] without blanks")
    if not found:
        raise ConfigError("Error: Section " + ups + " not found in ups.conf")
    return UpsConf(tuple(sections[False]), tuple(sections[True]), tuple(notes))
