# SPDX-License-Identifier: GPL-2.0-or-later
"""The files: which users may read them, what they hold, and whether the exporters they enable can work."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from nutdrv_py.commands.check.within import Within
from nutdrv_py.commands.sections import Section, ours
from nutdrv_py.core.settings import Settings
from nutdrv_py.device.findings import Finding, failed, ok, warning
from nutdrv_py.errors import ConfigError, NutdrvError
from nutdrv_py.exporters.config import Exports, Wake
from nutdrv_py.exporters.exporting import check_packages
from nutdrv_py.exporters.wake.net import answers
from nutdrv_py.machine.private import private_file
from nutdrv_py.process.loading import Loaded, load

__all__ = ["exporters", "permissions", "settings_of"]

SECRET = ("credentials",)
"""Options that name a file which holds a secret."""

PLAIN = ("config",)
"""Options that name a file which may hold none."""

ANSWER = 2.0
"""Seconds for an answer from an exporter's port."""

OWN_WORD = b"nutdrv_py"
"""What our own server calls itself in its answers."""


def settings_of(section: Section) -> tuple[Loaded | None, list[Finding]]:
    """Return the section's settings, None when they are wrong, and the findings about them. Blocks: it reads files."""
    path = section.paths.confpath / "ups.conf"
    if not ours(section.driver):
        text = f"[{section.ups}] is for driver {section.driver or 'none'}"
        return None, [failed("configuration", text, f"name a section with driver = nutdrv_py in {path}")]
    try:
        settings = load(section.ups, section.driver, conf=section.conf)
    except ConfigError as error:
        return None, [failed("configuration", str(error), f"correct it, then type: nutdrv_py check {section.ups}")]
    except NutdrvError as error:
        return None, [failed("configuration", str(error), "see the sentence before")]
    notes = [warning("configuration", note, f"correct it in {path}") for note in settings.notes]
    config = settings.config
    notes += _impatience(settings, path)
    polls = f"pollinterval {config.pollinterval} s, maxage {config.maxage} s"
    return settings, notes or [ok("configuration", f"{path}: backend {settings.backend_name}, port {config.port}, {polls}")]


def _impatience(settings: Settings, path: Path) -> Iterator[Finding]:
    least, maxage = settings.backend.patience, settings.config.maxage
    if maxage < least:
        yield warning(
            "configuration", f"maxage {maxage} s is less than the {least} s that backend {settings.backend_name} needs: when the "
            "device is silent for a moment, servers may be shut down for nothing",
            f"write maxage = {least} or more into {path}, or take the line out",
        )  # fmt: skip


def permissions(section: Section, user: str, group: str) -> list[Finding]:
    """Report whether ``user``, that of this process, may use the files and the state directory. Blocks."""
    found = list(_permissions(section, user, group))
    if found:
        return found
    named = [str(path) for path, _ in _files(section)]
    return [ok("permissions", f"user {user} may read {', '.join(named)}, and write to {section.paths.statepath}")]


def _files(section: Section) -> Iterator[tuple[Path, bool]]:
    """Yield the files that the driver reads, and whether each holds a secret."""
    yield section.paths.confpath / "ups.conf", False
    for names, secret in ((SECRET, True), (PLAIN, False)):
        for name in names:
            value = section.value(name)
            if value:
                yield section.paths.confpath / value, secret


def _permissions(section: Section, user: str, group: str) -> Iterator[Finding]:
    for path, secret in _files(section):
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
        except FileNotFoundError:
            yield failed("permissions", f"{path} is not there", f"write it: install -m 0640 -o root -g {group} /dev/null {path}")
            continue
        except OSError as error:
            advice = f"see the owner and mode of {path.parent}; type: ls -ld {path.parent}"
            yield failed("permissions", f"{path} cannot be looked at: {error.strerror}", advice)
            continue
        if not os.access(path, os.R_OK):
            advice = f"type: chown root:{group} {path}; chmod 0640 {path}"
            yield failed("permissions", f"user {user} may not read {path} (mode {mode:04o})", advice)
        elif secret:
            try:
                private_file(path)
            except ConfigError as error:
                text, _, advice = str(error).partition("; ")
                yield failed("permissions", text, advice or f"type: chmod o-rwx {path}")
        elif mode & stat.S_IWOTH:
            yield failed("permissions", f"everybody may change {path} (mode {mode:04o})", f"type: chmod o-w {path}")
    state = section.paths.statepath
    if not state.is_dir():
        advice = f"type: install -d -o root -g {group} -m 0770 {state}"
        yield failed("permissions", f"{state}, where the drivers' sockets are, is not there", advice)
    elif not os.access(state, os.W_OK | os.X_OK):
        advice = f"type: chown root:{group} {state}; chmod 0770 {state}"
        yield failed("permissions", f"user {user} may not write to {state}, so there can be no socket", advice)


# The exporters of `config =`


async def exporters(exports: Exports, *, running: bool, within: Within) -> AsyncIterator[Finding]:
    """Report whether the packages are there and the ports free, or ours when a driver is ``running``."""
    try:
        check_packages(exports)
    except ConfigError as error:
        text, _, advice = str(error).partition("; ")
        yield failed("exporters", text, advice)
        return
    used: set[tuple[str, int]] = set()
    bad = False
    for name, section in (("prometheus", exports.prometheus), ("page", exports.page)):
        place = (section.bind_address, section.bind_port) if section is not None else None
        if place is None or place in used or not place[1]:
            continue
        used.add(place)
        owner = await _listener(*place, within)
        if owner is not None and not (owner and running):
            bad = True
            yield failed(
                "exporters", f"{name}: port {place[1]} of {place[0]} is used by another process",
                f"type ss -ltnp 'sport = :{place[1]}' to see which, or write another bind_port into {exports.path}",
            )  # fmt: skip
    if bad:
        return
    sections = ("prometheus", "influxdb", "mqtt", "page", "portfile", "wake")
    names = [name for name in sections if getattr(exports, name) is not None]
    ports = f"; ports {', '.join(str(port) for _, port in sorted(used))}" if used else ""
    yield ok("exporters", f"{', '.join(names) or 'none is enabled'} in {exports.path}{ports}")
    if exports.wake is not None:
        yield await _machines(exports.wake)


async def _machines(wake: Wake) -> Finding:
    """Return whether the machines answer that are to be woken: one that never does counts as off before the outage."""
    up = await asyncio.gather(*(answers(machine.answers) for machine in wake.machines))
    silent = [machine for machine, answer in zip(wake.machines, up, strict=True) if not answer]
    if silent:
        names = ", ".join(f"{machine.name} at {machine.answers}" for machine in silent)
        return warning(
            "wake", f"no answer from {names}: after an outage only machines are woken that answered in it",
            "if the machine is on, write an address and port that answer, such as that of ssh",
        )  # fmt: skip
    return ok("wake", f"{', '.join(machine.name for machine in wake.machines)} answer and would be woken after an outage")


async def _listener(host: str, port: int, within: Within) -> bool | None:
    """Return whether our own server listens there; None when nothing does."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104
    head = await within.exchange(host, port, b"HEAD / HTTP/1.0\r\n\r\n", ANSWER)
    return None if head is None else OWN_WORD in head
