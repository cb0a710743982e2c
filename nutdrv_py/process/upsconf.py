# SPDX-License-Identifier: GPL-2.0-or-later
"""From ups.conf and ``-x`` to typed settings.

ups.conf is read as NUT reads it (NUT drivers/main.c, man ups.conf): global lines, one section, later lines win. What a
C driver would quietly live with, an unknown option, stops the start here with a sentence that names the nearest known
one. :func:`load` gives :class:`Loaded` settings, which hold the core's own options and the backend's :class:`Config`.
"""

from __future__ import annotations

import dataclasses
import os
import stat
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nutdrv_py.core.settings import Settings, backend_options
from nutdrv_py.device import backend as backends
from nutdrv_py.device.backend import Config, Option
from nutdrv_py.device.mapping import to_number
from nutdrv_py.errors import ConfigError, word
from nutdrv_py.machine.paths import Paths, paths
from nutdrv_py.nut.parseconf import BadLine, parse

if typing.TYPE_CHECKING:
    from nutdrv_py.exporters.config import Exports

__all__ = ["CORE", "Core", "Entry", "Loaded", "UpsConf", "load", "read_ups_conf"]


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
class Loaded(Settings):
    """The settings, and those of the exporters of the driver's process."""

    exports: Exports | None = None
    """The exporters' file, read."""


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
_CORE = {row.name: row for row in CORE}
_PREFIXES = ("default.", "override.")

LEAST_POLLS = 2
"""Poll intervals that ``maxage`` must hold, or a healthy device would be stale between its polls."""
_ON = frozenset({"", "1", "yes", "true", "on", "enabled"})
_OFF = frozenset({"0", "no", "false", "off", "disabled"})


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


def load(
    ups: str,
    progname: str,
    *,
    conf: UpsConf | None,
    arguments: Sequence[Entry] = (),
    before: Sequence[Entry] = (),
    environ: Mapping[str, str] = os.environ,
) -> Loaded:
    """Return the settings of section ``ups`` for the program ``progname``.

    ``arguments`` are ``-x`` options that came after ``-a`` and override the section, ``before`` those that came before it.
    Raises :class:`ConfigError` for anything that cannot be meant so.
    """
    known_globals = {row.name for row in CORE if row.scope in ("global", "both")}
    entries: list[Entry] = [entry for entry in (conf.globals if conf else ()) if _global_name(entry.name) in known_globals]
    entries = [dataclasses.replace(entry, name=_global_name(entry.name)) for entry in entries]
    section = [*before, *(conf.section if conf else ()), *arguments]
    notes = list(conf.notes if conf else ())

    backend_name = next((e.value for e in reversed(section) if e.name == "backend" and e.value), _preset(progname))
    if not backend_name:
        raise ConfigError(
            f"the section [{ups}] does not say which device it is; write backend = one of: {', '.join(sorted(backends.names()))}"
        )
    backend = backends.load(backend_name)
    options = backend_options(backend.Config)

    core: dict[str, str | None] = {}
    own: dict[str, Entry] = {}
    extra: dict[str, dict[str, str]] = {"default.": {}, "override.": {}}
    for entry in [*entries, *section]:
        prefix = next((p for p in _PREFIXES if entry.name.startswith(p)), None)
        lowered = entry.name.lower()
        if prefix is not None and entry.name[len(prefix) :].lower() == "ups.status":
            raise ConfigError(f"{entry.where}: {entry.name} would hide outages from upsmon; remove the line")
        if prefix is not None:
            _mark(entry, entry.name[len(prefix) :].lower())
            extra[prefix][entry.name[len(prefix) :]] = entry.value or ""
        elif entry.name in _CORE:
            _core(entry, core, own, ups, progname, in_section=entry not in entries)
        elif lowered in options and (entry.name == lowered or lowered != "port"):
            # A backend's options go in any case; `port` does not, because upsd would not see the section.
            own[lowered] = dataclasses.replace(entry, name=lowered)
        else:
            raise ConfigError(_unknown(entry, [*_CORE, *options, *_PREFIXES], backend_name))

    if "port" not in own or not own["port"].value:
        raise ConfigError("Error: you must specify a port name in ups.conf or in '-x port=...' argument.\nTry -h for help.")
    _protect(own, options, arguments=[*before, *arguments])

    where = paths(core.get("statepath"), environ)
    values: dict[str, object] = {
        "ups": ups,
        "overrides": extra["override."],
        "defaults": extra["default."],
        "confpath": str(where.confpath),
        "statepath": str(where.statepath),
        "home": str(where.home),
    }
    for name, value in _convert(backend.Config, own, notes):
        values[name] = value
    config = backend.Config(**values)  # type: ignore[arg-type]
    if config.lowbatt is not None and config.lowbatt > 100:
        raise ConfigError(f"{own['lowbatt'].where}: lowbatt = {config.lowbatt:g} is not a percentage from 0 to 100")
    if config.maxage < LEAST_POLLS * config.pollinterval:
        notes.append(
            f"maxage = {config.maxage} is too short for pollinterval = {config.pollinterval} and is raised to "
            f"{LEAST_POLLS * config.pollinterval}: between two good polls the data must not go stale"
        )
        config = dataclasses.replace(config, maxage=LEAST_POLLS * config.pollinterval)
    backend.check(config)
    return Loaded(
        ups=ups,
        progname=progname,
        backend_name=backend_name,
        backend=backend,
        config=config,
        paths=where,
        user=core.get("user"),
        group=core.get("group"),
        synchronous=core.get("synchronous") or "auto",
        debug_min=_int(core.get("debug_min") or "0", "debug_min"),
        ignorelb=_flag(core, "ignorelb"),
        allow_killpower=_flag(core, "allow_killpower"),
        sdcommands=tuple(word.strip() for word in (core.get("sdcommands") or "").split(",") if word.strip()),
        defaults=extra["default."],
        overrides=extra["override."],
        parameters=_parameters(core, own, options, extra, config),
        notes=tuple(notes),
        exports=_exports(core["config"], where) if core.get("config") else None,
    )


def _exports(name: str | None, where: Paths) -> Exports:
    # Imported here: most drivers have no exporters, and YAML costs memory.
    from nutdrv_py.exporters.config_file import read_exports

    return read_exports(where.confpath / (name or ""))


def _global_name(name: str) -> str:
    # main.c takes these two in any case.
    return name.lower() if name.lower() in ("statepath", "debug_min") else name


def _preset(progname: str) -> str | None:
    _, found, name = progname.partition("nutdrv_py_")
    return name if found and name else None


def _core(entry: Entry, core: dict[str, str | None], own: dict[str, Entry], ups: str, progname: str, *, in_section: bool) -> None:
    row = _CORE[entry.name]
    if in_section and row.scope == "global":
        raise ConfigError(f"{entry.where}: {entry.name} belongs above the first [section] of ups.conf, not into one")
    match row.kind:
        case "backend":
            own[entry.name] = entry
        case "refused":
            raise ConfigError(f"{entry.where}: {entry.name} {row.help}; remove the line")
        case "text" | "number" if entry.value is None:
            raise ConfigError(f"{entry.where}: {entry.name} needs a value: {entry.name} = ...")
        case _:
            core[entry.name] = entry.value if entry.value is not None else ""
    if entry.name == "driver" and entry.value != progname:
        raise ConfigError(f"Error: UPS [{ups}] is for driver {entry.value}, but I'm {progname}!")


def _unknown(entry: Entry, known: Iterable[str], backend_name: str) -> str:
    kind = "flag" if entry.value is None else "variable name"
    near = _nearest(word(entry.name).lower(), known)
    hint = f" Did you mean '{near}'?" if near else f" The options are listed by: -L -x backend={backend_name}"
    return f"Fatal error: '{word(entry.name)}' is not a valid {kind} for this driver ({entry.where}).{hint}"


def _nearest(name: str, known: Iterable[str]) -> str:
    """Return the one of ``known`` that may be meant; empty when none is close."""
    # Imported here: only a mistake needs it.
    import difflib

    return next(iter(difflib.get_close_matches(name, list(known), n=1)), "")


def _mark(entry: Entry, name: str) -> None:
    """Refuse a low mark that would make LB for nothing, or never. Raises :class:`ConfigError`."""
    highest = {"battery.charge.low": 100.0, "battery.runtime.low": float("inf")}.get(name)
    number = to_number(entry.value)
    if highest is not None and (number is None or not 0 <= number <= highest):
        what = "a percentage from 0 to 100" if name == "battery.charge.low" else "a number of seconds"
        raise ConfigError(f"{entry.where}: {entry.name} = {entry.value} is not {what}")


def _protect(own: Mapping[str, Entry], options: Mapping[str, Option], arguments: Sequence[Entry]) -> None:
    for name, entry in own.items():
        if not options[name].sensitive or not entry.value:
            continue
        if entry.where in {argument.where for argument in arguments}:
            raise ConfigError(f"-x {name}=... would show the secret in the process list; put it into the file of `credentials =`")
        path = Path(entry.where.rpartition(":")[0])
        if stat.S_IMODE(path.stat().st_mode) & stat.S_IROTH:
            raise ConfigError(f"{path} holds {name} and everybody may read it; type: chmod o-rwx {path}")


def _convert(config: type[Config], own: Mapping[str, Entry], notes: list[str]) -> Iterable[tuple[str, object]]:
    hints = typing.get_type_hints(config)
    for name, settled in backend_options(config).items():
        if name not in own:
            continue
        entry = own[name]
        try:
            value = _typed(entry, hints[name])
        except ConfigError:
            if not settled.sensitive:
                raise
            raise ConfigError(f"{entry.where}: {name} is not what it must be; see the options of the backend") from None
        if settled.choices and value not in settled.choices:
            near = _nearest(str(value), settled.choices)
            raise ConfigError(
                f"{entry.where}: {name}{'' if settled.sensitive else f' = {value}'} is not one of {', '.join(settled.choices)}"
                + (f"; did you mean {near}?" if near else "")
            )
        if name == "pollinterval" and isinstance(value, int) and value < 1:
            raise ConfigError(f"Error: {entry.where}: invalid pollinterval: {value}")
        if settled.minimum is not None and isinstance(value, int | float) and value < settled.minimum:
            given = name if settled.sensitive else f"{name} = {value}"
            notes.append(f"{entry.where}: {given} is below the minimum and is raised to {settled.minimum:g}")
            value = type(value)(settled.minimum)
        yield name, value


_KIND = {int: "a whole number", float: "a number"}


def _typed(entry: Entry, hint: object) -> object:
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    kind = next(kind for kind in kinds if kind is not type(None))
    if kind is bool:
        return _switch(entry)
    if entry.value is None:
        raise ConfigError(f"{entry.where}: {entry.name} needs a value: {entry.name} = ...")
    if kind is str:
        return entry.value
    if kind is int or kind is float:
        try:
            value = kind(entry.value)
            if value != value or value in (float("inf"), float("-inf")):
                raise ValueError
        except ValueError:
            raise ConfigError(f"{entry.where}: {entry.name} = {entry.value!r} is not {_KIND[kind]}") from None
        return value
    raise TypeError(f"option {entry.name}: no conversion to {kind}")


def _switch(entry: Entry) -> bool:
    word = (entry.value or "").lower()
    if word in _ON:
        return True
    if word in _OFF:
        return False
    raise ConfigError(f"{entry.where}: {entry.name} is a flag: write it alone on its line, or = yes or = no, not {entry.value!r}")


def _flag(core: Mapping[str, str | None], name: str) -> bool:
    return name in core and _switch(Entry(name, core[name], "ups.conf"))


def _int(text: str, name: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ConfigError(f"{name} = {text!r} is not a whole number") from None


def _parameters(
    core: Mapping[str, str | None],
    own: Mapping[str, Entry],
    options: Mapping[str, Option],
    extra: Mapping[str, Mapping[str, str]],
    config: Config,
) -> dict[str, str]:
    published = {
        "driver.parameter.pollinterval": str(config.pollinterval),
        "driver.parameter.synchronous": core.get("synchronous") or "auto",
    }
    for name in own:
        if options[name].sensitive or name == "pollinterval":
            continue
        if isinstance(getattr(config, name), bool):
            if getattr(config, name):
                published[f"driver.flag.{name}"] = "enabled"
        else:
            published[f"driver.parameter.{name}"] = str(getattr(config, name))
    for name in ("backend", "config", "sdcommands"):
        if core.get(name):
            published[f"driver.parameter.{name}"] = str(core[name])
    for name in ("nolock", "ignorelb"):
        if _flag(core, name):
            published[f"driver.flag.{name}"] = "enabled"
    for prefix, values in extra.items():
        for name, value in values.items():
            published[f"driver.parameter.{prefix}{name}"] = value
    return published
