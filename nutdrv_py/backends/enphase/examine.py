# SPDX-License-Identifier: GPL-2.0-or-later
"""``nutdrv_py check`` at an IQ Gateway: certificate, identity, clock, token, endpoints, and what the system can report at all.

A running driver asks the same gateway, which does not like two at once: each request is made once, one after the other, with a
pause, and after two that hang no more. Nothing is written to the gateway; neither token nor certificate is kept, unless the user
wants a login.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping

from nutdrv_py.backends.enphase import site
from nutdrv_py.backends.enphase.charge import MARGIN, Charge
from nutdrv_py.backends.enphase.client import Absent, Answer, Gateway, Refused, Unreachable, decode
from nutdrv_py.backends.enphase.config import EnphaseConfig, gateway_url
from nutdrv_py.backends.enphase.controller import KINDS, can_see_outage, contradictions
from nutdrv_py.backends.enphase.examine_token import CLOCK, TOKEN_PAGE, examine_token
from nutdrv_py.backends.enphase.jwt import DAY, Token
from nutdrv_py.backends.enphase.meters import meter_kinds
from nutdrv_py.backends.enphase.older import old_firmware
from nutdrv_py.backends.enphase.pin import Pin
from nutdrv_py.backends.enphase.site import Identity
from nutdrv_py.clock import Clock
from nutdrv_py.device.findings import Finding, Level, failed, low_mark, ok, warning
from nutdrv_py.device.mapping import find, to_number
from nutdrv_py.errors import DeviceError
from nutdrv_py.log import Trouble

__all__ = ["examine"]

ANSWER = 3.0
"""Seconds for each request at most: the whole check must not take long."""

PAUSE = 0.2
"""Seconds between two requests, in which a running driver has its turn."""

SLOW = 2.0
"""Seconds from which an answer is slow; a healthy gateway needs less than one."""

ASKED = ("relay", "livedata", "secctrl", "inventory", "meters")
"""The endpoints that are asked, the most important first."""

HANGING = 2
"""Maximum requests that hang before no more are made."""


async def examine(config: EnphaseConfig, clock: Clock, paths: Mapping[str, str], *, login: bool) -> AsyncIterator[Finding]:
    """Look at the gateway. ``paths`` are its endpoints by name; ``login`` allows to fetch a token."""
    pin = Pin(config, Trouble())
    wait = min(ANSWER, float(config.api_timeout))
    seen = ""
    gateway = Gateway(gateway_url(config.port), lambda fingerprint: fingerprint == seen)
    try:
        began = clock.monotonic()
        try:
            answer, seen = await gateway.meet("/info", timeout=wait)
            found = site.identity(answer.body)
        except DeviceError as error:
            old = await old_firmware(gateway_url(config.port)) if isinstance(error, Unreachable) and error.refused else ""
            if old:
                yield failed("gateway", old, "ask Enphase's support for an upgrade")
                return
            advice = f"open {gateway_url(config.port)}/info in a browser; restart the gateway if it hangs"
            if config.serial:
                advice += "; a driver with serial = may start all the same, if the certificate is the gateway's"
            yield failed("gateway", str(error), advice)
            return
        took = clock.monotonic() - began
        trusted = _certificate(config, pin, found, seen)
        yield trusted
        who = _identity(config, pin, found, took)
        yield who
        yield _clocks(answer, clock)
        if Level.FAILED in (trusted.level, who.level):
            # The driver would not show it the token either.
            return
        token: Token | None = None
        for finding, told in await examine_token(config, found.serial, clock, answer.date, login=login):
            token = told or token
            yield finding
        if token is None:
            return
        raw: dict[str, object] = {}
        yield await _endpoints(gateway, config, clock, paths, token, wait, raw)
        if "relay" in raw:
            for finding in _system(raw, config):
                yield finding
    finally:
        await gateway.close()


# Identity


def _certificate(config: EnphaseConfig, pin: Pin, found: Identity, seen: str) -> Finding:
    topic = "certificate"
    if config.certificate == "any":
        return warning(
            topic, "any certificate is trusted, so any computer that answers at this address gets the token",
            "remove the line certificate = any from ups.conf",
        )  # fmt: skip
    known = pin.serial
    if pin.trusts(seen):
        how = f"the one remembered for gateway {known}" if known else "the first one; the driver will remember it"
        return ok(topic, how if pin.changeable else f"the one that certificate = {config.certificate} names")
    if not pin.changeable:
        return failed(
            topic, f"it is not the one that certificate = {config.certificate} names (SHA-256 {seen})",
            "if that is the gateway's new one, put its SHA-256 into that file",
        )  # fmt: skip
    if found.serial == known:
        return ok(topic, "a new one, and the gateway names the right serial number: the driver will take it")
    return failed(
        topic, f"another one than before, and gateway {found.serial} answers instead of {known}",
        f"correct port = in ups.conf; if the gateway was replaced, type: rm {pin.path}, then restart the driver",
    )  # fmt: skip


def _identity(config: EnphaseConfig, pin: Pin, found: Identity, took: float) -> Finding:
    if config.serial not in (None, found.serial):
        return failed("gateway", f"it is {found.serial}, but serial = {config.serial}", "correct port or serial in ups.conf")
    if found.major is not None and found.major < 7:
        return failed(
            "gateway", f"its firmware is {found.software}; batteries need 7 or later", "ask Enphase's support for an upgrade"
        )
    return ok("gateway", f"{found.serial}, firmware {found.software or 'not reported'}, answers after {took * 1000:.0f} ms")


def _clocks(answer: Answer, clock: Clock) -> Finding:
    if answer.date is None:
        return ok("clock", "the gateway does not report its time, so it was not compared")
    apart = answer.date - clock.wall()
    if abs(apart) <= CLOCK:
        return ok("clock", f"the gateway's and this machine's are {abs(apart):.0f} s apart")
    return warning(
        "clock", f"the gateway's is {_duration(abs(apart))} {'ahead of' if apart > 0 else 'behind'} this machine's, "
        "and tokens are checked by it",
        "type timedatectl to see whether this machine's is right; the gateway sets its own when it has internet",
    )  # fmt: skip


# What the gateway reports


async def _endpoints(
    gateway: Gateway, config: EnphaseConfig, clock: Clock, paths: Mapping[str, str], token: Token, wait: float,
    raw: dict[str, object],
) -> Finding:  # fmt: skip
    """Ask each endpoint once; the answers go into ``raw``."""
    told: list[str] = []
    missing: list[str] = []
    slow: list[str] = []
    hanging = 0
    for name in ASKED:
        if name == "meters" and config.disable_meters:
            continue
        if hanging >= HANGING:
            missing.append(f"{name} was not asked any more")
            continue
        await asyncio.sleep(PAUSE)
        began = clock.monotonic()
        try:
            raw[name] = decode((await gateway.get(paths[name], timeout=wait, token=token.text)).body)
        except Refused as error:
            if name == "relay":
                return failed(
                    "endpoints", str(error),
                    "is the account the owner's, and the gateway's clock right? The driver fetches another token once an hour; "
                    f"or fetch one at {TOKEN_PAGE}",
                )  # fmt: skip
            missing.append(f"{name} is refused")
            continue
        except DeviceError as error:
            took = clock.monotonic() - began
            hanging += took >= wait
            absent = isinstance(error, Absent)
            missing.append(f"{name}: {error}" if not absent else f"{name} is not there")
            if name == "relay" and absent and not await _relay_elsewhere(gateway, paths["status"], wait, token, raw):
                return failed("endpoints", site.NO_SYSTEM, "look into the Enphase app whether there are batteries")
            continue
        took = clock.monotonic() - began
        told.append(f"{name} {took * 1000:.0f} ms")
        if took > SLOW:
            slow.append(name)
    if "relay" not in raw:
        return failed("endpoints", "; ".join(missing), "restart the gateway: it does not report the state of the grid")
    if missing:
        return warning(
            "endpoints", "; ".join([", ".join(told), *missing]),
            "what hangs comes back when the gateway is restarted; what is refused needs an owner's token",
        )  # fmt: skip
    if slow:
        return warning(
            "endpoints", f"slow: {', '.join(told)}", "see who else asks the gateway (Home Assistant?), and let it ask less often"
        )
    return ok("endpoints", ", ".join(told))


async def _relay_elsewhere(gateway: Gateway, path: str, wait: float, token: Token, raw: dict[str, object]) -> bool:
    """Take the relay from the larger answer of which it is a part; return whether the gateway has that."""
    try:
        relay = find({"s": decode((await gateway.get(path, timeout=wait, token=token.text)).body)}, "s.relay")
    except Absent:
        return False
    except DeviceError:
        return True
    if relay is not None:
        raw["relay"] = relay
    return True


def _system(raw: Mapping[str, object], config: EnphaseConfig) -> Iterator[Finding]:
    """Report whether this system can see an outage, has a battery, and measures anything."""
    able, kind = can_see_outage(raw)
    try:
        state = site.grid(raw["relay"])
    except DeviceError as error:
        yield failed("outage", str(error), "restart the gateway; is a System Controller or Meter Collar there?")
    else:
        if able is False and state.on_grid:
            none = kind == "none"
            why = "it has no IQ System Controller or Meter Collar" if none else f"it runs grid-tied in spite of an {KINDS[kind]}"
            yield failed(
                "outage",
                f"this system cannot see one: {why}, so ups.status stays OL for ever",
                "do not rely on it for a shutdown",
            )
        elif able is None and state.on_grid:
            yield warning(
                "outage", f"the gateway does not report yet whether one can be seen; now {state.value}",
                "type the same again in some minutes: a gateway that has just started lists no devices",
            )  # fmt: skip
        elif against := contradictions(raw, on_grid=state.on_grid):
            yield warning(
                "outage", f"the relay makes it {state.value}, but {', '.join(against)}",
                "type the same again in a minute; if it stays so, restart the gateway: ups.status follows the relay alone",
            )  # fmt: skip
        else:
            yield ok("outage", f"can be seen ({KINDS.get(kind, 'by the relay')}); now {state.value}")
    yield from _battery(raw, config)
    if config.disable_meters:
        yield ok("meters", "not asked, as disable_meters wants it")
    elif "meters" in raw:
        yield _meters(meter_kinds(raw) or set())


def _battery(raw: Mapping[str, object], config: EnphaseConfig) -> Iterator[Finding]:
    packs = site.packs(raw)
    if packs is None:
        yield warning("battery", "the inventory was not answered", "type the same again in a minute")
        return
    if not packs.count:
        yield failed("battery", "there is no IQ Battery in the inventory", "look into the Enphase app whether it is connected")
        return
    charge = to_number(find(raw, "livedata.meters.soc"))
    text = f"{packs.count} IQ Batteries" + (f", {charge:.0f} % charged" if charge is not None else "")
    limits = Charge()
    limits.update(None, (raw.get("secctrl"), 0.0), on_grid=True, drain=None, now=0.0)
    # Only the IQ Batteries carry an island; the charge of all counts older ones too.
    told = (to_number(find(raw, path)) for path in ("livedata.meters.enc_agg_soc", "secctrl.ENC_agg_soc", "livedata.meters.soc"))
    backup = next((value for value in told if value is not None), None)
    if packs.bad:
        make = failed if packs.bad == packs.count else warning
        yield make("battery", f"{text}; {packs.bad} silent or switched off", "look at its switch and into the Enphase app")
    elif backup is not None and backup <= limits.verylow:
        yield warning(
            "battery", f"{text}; their limit in an island is {limits.verylow:g} %, so in an outage all would be dark at once",
            "let them charge, and raise the reserve in the Enphase app",
        )  # fmt: skip
    else:
        yield ok("battery", text)
    yield _low(raw, config, limits)


def _low(raw: Mapping[str, object], config: EnphaseConfig, limits: Charge) -> Finding:
    """Report the low mark that a driver would begin with; what upsrw has set in one that runs is not known here."""
    told = to_number(find(raw, "secctrl.VLS_Limit")) is not None
    return low_mark(config, limits.low, limits.verylow if told else None, MARGIN)


def _meters(kinds: set[str]) -> Finding:
    shown = ", ".join(sorted(kinds)) or "none is enabled"
    if not any(kind.endswith("-consumption") for kind in kinds):
        return warning(
            "meters", f"{shown}: without a consumption CT the load is not known, so there is no battery.runtime on the grid",
            "set lowbatt = in ups.conf with care; an installer can enable the CTs",
        )  # fmt: skip
    return ok("meters", shown)


def _duration(seconds: float) -> str:
    for size, unit in ((DAY, "days"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
