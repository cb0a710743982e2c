# SPDX-License-Identifier: GPL-2.0-or-later
"""``nutdrv_py check`` of a described device: is the file about the grid, does the device use its words, is there a charge."""

from __future__ import annotations

import asyncio
import hashlib
import re
import ssl
from collections.abc import AsyncIterator

from nutdrv_py.backends.mapping.config import MappingConfig, login
from nutdrv_py.backends.mapping.description import Description
from nutdrv_py.backends.mapping.sources import Source
from nutdrv_py.clock import Clock
from nutdrv_py.device.findings import Finding, failed, low_mark, ok, warning
from nutdrv_py.device.house import LOW_UNKNOWN, MARGIN
from nutdrv_py.errors import AuthError, DeviceError

__all__ = ["examine"]

DOUBTFUL = re.compile(r"volt|power|watt|current|ampere|soc|charge|discharg|energy", re.IGNORECASE)
"""Words in the name of a place that is seldom about the grid alone."""

WAIT = 10.0
"""Seconds that a device which speaks by itself is listened to."""

LOOK = 0.2
"""Seconds between two looks at its answers."""

CERTIFICATE = 5
"""Seconds that the certificate is waited for."""


async def examine(config: MappingConfig, clock: Clock) -> AsyncIterator[Finding]:
    """Judge the file, then ask the device once; nothing is written."""
    plan = config.plan
    assert plan is not None
    yield ok("file", f"{plan.path}: {plan.device}; {plan.tried}")
    words = f"{plan.grid.place}: {_listed(plan.grid.on)} = on, {_listed(plan.grid.off)} = off"
    if DOUBTFUL.search(str(plan.grid.place)):
        advice = "look whether this says that the grid itself is gone; a battery also discharges while the grid is there"
        yield warning("grid rule", f"{words}: its name is that of a power or a charge", advice)
    else:
        yield ok("grid rule", words)
    if plan.no_charge:
        text = f"no charge is known ({plan.no_charge}): LB cannot come from it"
        yield warning("charge", text, "look whether the device reports one")
    source = plan.kind.source(plan.spec, clock, lambda: login(config), (plan.grid.place, *plan.places), maxage=plan.maxage)
    try:
        await source.open()
        async for finding in _asked(config, plan, source, clock):
            yield finding
    except AuthError as error:
        yield failed("login", str(error), f"correct that, then type: nutdrv_py check {config.ups}")
    except DeviceError as error:
        yield failed("grid", str(error), "look at what the device answers, and at source: and grid: of the file")
        async for finding in _certificate(config, plan):
            yield finding
    finally:
        await source.close()


def _listed(words: frozenset[str | float]) -> str:
    return ", ".join(sorted(f"{word:g}" if isinstance(word, float) else word for word in words))


async def _asked(config: MappingConfig, plan: Description, source: Source, clock: Clock) -> AsyncIterator[Finding]:
    until = clock.monotonic() + WAIT
    while True:
        try:
            told = (await source.ask((plan.grid.place,))).get(plan.grid.place)
            if told is not None:
                break
            raise DeviceError(f"the device says nothing at {plan.grid.place}")
        except DeviceError:
            if plan.kind.MAIN != "topic" or clock.monotonic() >= until:
                raise
        await clock.sleep(LOOK)
    on, said = plan.grid.judge(told.value), str(told.value)[:40]
    age = clock.monotonic() - told.at
    if on is None:
        advice = f"find out what {said!a} means, and write it into on: or off: of {plan.path}; until then nothing is served"
        yield failed("grid", f"the device says {said!a}, which is neither on nor off in the file", advice)
    elif age > plan.maxage:
        yield failed("grid", f"what it says is {age:.0f} s old; the file allows {plan.maxage} s", "look at what writes it")
    else:
        yield ok("grid", f"the device says {said!a}: the grid is {'there' if on else 'gone'}")
    try:
        values = await source.ask(plan.places) if plan.places else {}
    except DeviceError as error:
        yield failed("values", str(error), "look at fields: of the file")
        return
    silent = [rule.name for rule in plan.rules if rule.quantity is not None and rule.quantity.of(values) is None]
    charge = next((rule.quantity for rule in plan.rules if rule.name == "battery.charge" and rule.quantity is not None), None)
    found = charge.number(values) if charge is not None else None
    if charge is not None and found is None:
        yield failed("charge", "the device reports no charge from 0 to 100 where the file looks for it: LB cannot come from it",
                     "correct battery.charge in the file: its place, scale and unit")  # fmt: skip
    elif found is not None:
        yield ok("charge", f"the charge is {found[0]:g} %; compare it with the device's own display")
    if silent:
        text = f"the device reports nothing usable for {', '.join(silent)[:300]}"
        yield warning("values", text, "take them out of the file, or correct them")
    cutoff = plan.battery.cutoff if isinstance(plan.battery.cutoff, float) else None
    own = plan.battery.low if isinstance(plan.battery.low, float) else max(LOW_UNKNOWN, (cutoff or 0) + MARGIN)
    if charge is not None:
        yield low_mark(config, own, cutoff, MARGIN)


async def _certificate(config: MappingConfig, plan: Description) -> AsyncIterator[Finding]:
    """Show the fingerprint of a self-signed certificate: only the owner can know that it is the device's."""
    if not getattr(plan.spec, "url", "").startswith("https:") or config.certificate or plan.spec.address is None:
        return
    address = plan.spec.address
    try:
        pem = await asyncio.to_thread(ssl.get_server_certificate, address, timeout=CERTIFICATE)
        shown = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
    except (OSError, ValueError):
        return
    yield warning(
        "certificate", f"{address[0]} shows the certificate {shown}",
        f"if this is your own device in your own network, write certificate = {shown} into its section in ups.conf",
    )  # fmt: skip
