# SPDX-License-Identifier: GPL-2.0-or-later
"""``nutdrv_py check --backend``: what can be judged of a backend without a fake device, and what cannot."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from nutdrv_py.clock import Clock
from nutdrv_py.commands.sections import Section
from nutdrv_py.core.settings import backend_options
from nutdrv_py.device import backend as backends
from nutdrv_py.device.backend import Backend
from nutdrv_py.device.findings import Finding, failed, ok, warning
from nutdrv_py.errors import NutdrvError
from nutdrv_py.process.loading import load
from nutdrv_py.process.upsconf import Entry
from nutdrv_py.testing.classes import class_faults
from nutdrv_py.testing.live import look
from nutdrv_py.testing.rules import Failure, rule

__all__ = ["judged"]

SUITE = "outages, silence, nonsense, old data, restarts, and whether the charge is that of the device"
"""What needs a fake device."""


async def judged(name: str, section: Section | None) -> AsyncIterator[Finding]:
    """Judge the class called ``name``, and with a section the device of its ``port``, which is polled three times."""
    try:
        kind = backends.load(name)
    except NutdrvError as error:
        yield failed("backend", str(error), "correct it, then type the same again")
        return
    for finding in _class(kind):
        yield finding
    if section is not None:
        async for finding in _device(name, section):
            yield finding
    else:
        advice = f"type: nutdrv_py check --backend {name} UPS"
        yield warning("device", "no device was asked: name a section of ups.conf whose port = leads to one", advice)
    advice = "write a test of four lines and run it with pytest: docs/conformance.md"
    yield warning("conformance", f"not tested here: {SUITE}", advice)


def _finding(failure: Failure) -> Finding:
    broken = rule(failure.rule)
    return failed(failure.rule, f"{failure.seen}: {broken.harm}", broken.advice)


def _class(kind: type[Backend[Any]]) -> list[Finding]:
    faults = [_finding(failure) for failure in class_faults(kind)]
    options = ", ".join(backend_options(kind.Config))
    return faults or [ok("backend", f"{kind.description} {kind.version}; options {options}")]


async def _device(name: str, section: Section) -> AsyncIterator[Finding]:
    try:
        where = Entry("backend", name, "--backend")
        settings = load(section.ups, section.driver, conf=section.conf, arguments=[where])
    except NutdrvError as error:
        yield failed("configuration", str(error), "correct it, then type the same again")
        return
    looked = await look(settings.backend, settings.config, Clock())
    for topic, text in looked.done:
        yield ok(topic, text)
    for failure in looked.failures:
        yield _finding(failure)
