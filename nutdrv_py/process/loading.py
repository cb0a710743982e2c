# SPDX-License-Identifier: GPL-2.0-or-later
"""From the lines of ups.conf and ``-x`` to typed settings; later lines win.

What a C driver would quietly live with, an unknown option, stops the start here with a sentence that names the nearest known
one. :func:`load` gives :class:`Loaded` settings, which hold the core's own options and the backend's :class:`Config`.
"""

from __future__ import annotations

import dataclasses
import os
import stat
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
from nutdrv_py.process.upsconf import CORE, Entry, UpsConf
from nutdrv_py.process.values import convert, nearest, switch

if typing.TYPE_CHECKING:
    from nutdrv_py.exporters.config import Exports

__all__ = ["LEAST_POLLS", "Loaded", "load"]

_CORE = {row.name: row for row in CORE}
_PREFIXES = ("default.", "override.")

LEAST_POLLS = 2
"""Poll intervals that ``maxage`` must hold, or a healthy device would be stale between its polls."""


@dataclass(frozen=True, slots=True)
class Loaded(Settings):
    """The settings, and those of the exporters of the driver's process."""

    exports: Exports | None = None
    """The exporters' file, read."""


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
    for name, value in convert(backend.Config, own, notes):
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
    near = nearest(word(entry.name).lower(), known)
    hint = f" Did you mean '{near}'?" if near else f" The options are listed by: -L -x backend={backend_name}"
    return f"Fatal error: '{word(entry.name)}' is not a valid {kind} for this driver ({entry.where}).{hint}"


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


def _flag(core: Mapping[str, str | None], name: str) -> bool:
    return name in core and switch(Entry(name, core[name], "ups.conf"))


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
