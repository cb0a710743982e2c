# SPDX-License-Identifier: GPL-2.0-or-later
"""Backends with one fault each, most of them seen in bridges that people use. ``@wrong`` names the rule that finds it, and the fault."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from nutdrv_py import Config, Decline, Reading, Status, option
from nutdrv_py.clock import Clock
from nutdrv_py.device.backend import Writable
from nutdrv_py.device.findings import ok
from nutdrv_py.device.mapping import to_number
from nutdrv_py.errors import DeviceError
from tests.conformance.right import PASSWORD, Right, RightConfig

OL, OB, LB = Status.OL, Status.OB, Status.LB


@dataclass(frozen=True, slots=True)
class Wrong:
    rule: str
    fault: str
    backend: type[Right]


WRONG: list[Wrong] = []


def wrong(rule: str, fault: str) -> Callable[[type[Right]], type[Right]]:
    def note(backend: type[Right]) -> type[Right]:
        WRONG.append(Wrong(rule, fault, backend))
        return backend

    return note


# Where OL and OB come from


@wrong("night", "OB when the battery discharges")
class ByDischarge(Right):
    def grid(self, raw: Mapping[str, Any]) -> Status:
        super().grid(raw)
        return OB if raw["battery"] > 50 or raw["grid"] == "down" else OL


@wrong("night", "OB when the battery discharges, and by nothing else")
class ByDischargeAlone(Right):
    def grid(self, raw: Mapping[str, Any]) -> Status:
        super().grid(raw)
        return OB if raw["battery"] > 50 else OL


@wrong("sun", "OB unless the battery rests or discharges")
class BySun(Right):
    def grid(self, raw: Mapping[str, Any]) -> Status:
        return OB if raw["battery"] < -50 else super().grid(raw)


@wrong("voltage", "OB when the battery's voltage is low")
class ByVoltage(Right):
    def grid(self, raw: Mapping[str, Any]) -> Status:
        return OB if raw["volts"] < 46 else super().grid(raw)


@wrong("low-on-grid", "OB when the charge is low")
class ByCharge(Right):
    def grid(self, raw: Mapping[str, Any]) -> Status:
        return OB if raw.get("soc", 100) < 10 else super().grid(raw)


@wrong("calm", "OB when the house buys nothing from the grid")
class ByImport(Right):
    def grid(self, raw: Mapping[str, Any]) -> Status:
        super().grid(raw)
        return OL if raw["load"] - raw["battery"] > 1000 else OB


@wrong("outage", "always OL")
class AlwaysOl(Right):
    def grid(self, raw: Mapping[str, Any]) -> Status:
        super().grid(raw)
        return OL


@wrong("calm", "always OB")
class AlwaysOb(Right):
    def grid(self, raw: Mapping[str, Any]) -> Status:
        super().grid(raw)
        return OB


@wrong("calm", "OL and OB exchanged")
class Exchanged(Right):
    def grid(self, raw: Mapping[str, Any]) -> Status:
        return OB if super().grid(raw) is OL else OL


@wrong("solar", "OL as soon as the battery is charged")
class SolarIsGrid(Right):
    def grid(self, raw: Mapping[str, Any]) -> Status:
        return OL if raw["battery"] < -50 else super().grid(raw)


@wrong("full", "OL when the battery is full")
class FullIsGrid(Right):
    def grid(self, raw: Mapping[str, Any]) -> Status:
        return OL if raw.get("soc", 0) >= 99 else super().grid(raw)


@wrong("discharge", "OB until the battery discharges")
class DischargeIsGrid(Right):
    def grid(self, raw: Mapping[str, Any]) -> Status:
        return OL if raw["battery"] > 1000 else super().grid(raw)


@wrong("return", "an outage that never ends")
class Sticky(Right):
    gone = False

    def grid(self, raw: Mapping[str, Any]) -> Status:
        self.gone = self.gone or super().grid(raw) is OB
        return OB if self.gone else OL


@wrong("again", "only the first outage counts")
class Once(Right):
    outages = 0
    last = OL

    def grid(self, raw: Mapping[str, Any]) -> Status:
        now = super().grid(raw)
        self.outages += now is OB and self.last is OL
        self.last = now
        return now if self.outages < 2 else OL


@wrong("late-start", "the first reading is always OL")
class FirstIsGrid(Right):
    before: Status | None = None
    last: Status | None = None

    def grid(self, raw: Mapping[str, Any]) -> Status:
        now = super().grid(raw)
        if self.last is not None and now is not self.last:
            self.before = now
        self.last = now
        return self.before or OL


@wrong("outage", "OB only after the battery has discharged for a minute")
class Patient(Right):
    since: float | None = None

    def grid(self, raw: Mapping[str, Any]) -> Status:
        now = super().grid(raw)
        self.since = None if now is OL else self.since or self.clock.monotonic()
        return OB if self.since is not None and self.clock.monotonic() - self.since > 60 else OL


# What is made of an error


@wrong("silent-on-grid", "an error is OB")
class ErrorIsOb(Right):
    async def poll(self) -> Reading:
        try:
            return await super().poll()
        except DeviceError:
            return Reading({}, OB)


@wrong("silent-in-outage", "an error is OL")
class ErrorIsOl(Right):
    async def poll(self) -> Reading:
        try:
            return await super().poll()
        except DeviceError:
            return Reading({}, OL)


@wrong("silence", "an error is the last reading, as if it were new")
class ErrorIsLast(Right):
    last: Reading | None = None

    async def poll(self) -> Reading:
        try:
            self.last = await super().poll()
        except DeviceError:
            if self.last is None:
                raise
        assert self.last is not None
        return replace(self.last, at=None)


@wrong("stuck", "the first answer is kept for ever")
class AskedOnce(Right):
    kept: dict[str, Any] | None = None

    async def ask(self) -> dict[str, Any]:
        self.kept = self.kept or await super().ask()
        return {**self.kept, "age": 0}


@wrong("stuck", "one answer is kept for ten minutes")
class Cached(Right):
    kept: dict[str, Any] | None = None
    kept_at = 0.0

    async def ask(self) -> dict[str, Any]:
        if self.kept is None or self.clock.monotonic() - self.kept_at > 600:
            self.kept, self.kept_at = await super().ask(), self.clock.monotonic()
        return {**self.kept, "age": 0}


@wrong("garbage", "while nothing can be understood the last answer counts")
class GarbageIsLast(Right):
    last: dict[str, Any] | None = None

    async def ask(self) -> dict[str, Any]:
        raw = await super().ask()
        if "error" not in raw:
            self.last = raw
        return self.last or raw


@wrong("garbage-on-grid", "a word that is not known is OB")
class UnknownIsOb(Right):
    def grid(self, raw: Mapping[str, Any]) -> Status:
        return OL if raw.get("grid", "up") == "up" else OB


@wrong("garbage-in-outage", "a word that is not known is OL")
class UnknownIsOl(Right):
    def grid(self, raw: Mapping[str, Any]) -> Status:
        return OB if raw["grid"] == "down" else OL


@wrong("unsaid", "the last word about the grid counts for ever")
class LastWord(Right):
    word = ""

    def grid(self, raw: Mapping[str, Any]) -> Status:
        self.word = raw.get("grid", self.word)
        return super().grid({"grid": self.word})


@wrong("unsaid-on-grid", "no word about the grid is OB")
class NoWordIsOb(Right):
    def grid(self, raw: Mapping[str, Any]) -> Status:
        return super().grid({"grid": raw.get("grid", "down")})


@wrong("unsaid-in-outage", "no word about the grid is OL")
class NoWordIsOl(Right):
    def grid(self, raw: Mapping[str, Any]) -> Status:
        return super().grid({"grid": raw.get("grid", "up")})


@wrong("old", "what was retained counts as new")
class Retained(Right):
    def told_at(self, raw: Mapping[str, Any]) -> float | None:
        return None


@wrong("missed-outage", "after an error the grid is looked at only when it changes")
class Changes(Right):
    word = ""
    failed = False

    async def ask(self) -> dict[str, Any]:
        try:
            raw = await super().ask()
        except DeviceError:
            self.failed = True
            raise
        if not self.failed:
            self.word = raw.get("grid", "")
        return {**raw, "grid": self.word}


@wrong("recovery", "after an error it does not ask any more")
class Dead(Right):
    dead = False

    async def ask(self) -> dict[str, Any]:
        if self.dead:
            raise DeviceError("the connection to the device is closed")
        try:
            return await super().ask()
        except DeviceError:
            self.dead = True
            raise


@wrong("restart", "a session that has ended is never begun anew")
class OneSession(Right):
    begun = False

    async def ask(self) -> dict[str, Any]:
        if not self.begun:
            self.begun, self.session = True, self.cloud.session
        try:
            return await self.cloud.ask(PASSWORD, self.session)
        except OSError as error:
            raise DeviceError(f"the device does not answer: {error.strerror}") from None


@wrong("restart", "a connection that ends is OB")
class ResetIsOb(Right):
    async def poll(self) -> Reading:
        if self.session != self.cloud.session and self.session:
            self.session = self.cloud.session
            return Reading({}, OB)
        return await super().poll()


@wrong("first-silence", "it gives up when the device is away at the start")
class FirstTry(Right):
    answered = False
    tried = 0

    async def ask(self) -> dict[str, Any]:
        self.tried += 1
        if self.tried > 3 and not self.answered:
            raise DeviceError("the device could not be found at the start")
        raw = await super().ask()
        self.answered = True
        return raw


# Charge, runtime, powers


@wrong("charge", "a charge from 0 to 1 in place of percent")
class Fraction(Right):
    def values(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        values = super().values(raw)
        return {**values, "battery.charge": values["battery.charge"] / 100} if "battery.charge" in values else values


@wrong("dropped", "Wh in place of percent")
class WattHours(Right):
    def values(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        values = super().values(raw)
        return {**values, "battery.charge": values["battery.charge"] * 100} if "battery.charge" in values else values


@wrong("charge", "the charge that is left to be charged")
class Depth(Right):
    def values(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        values = super().values(raw)
        return {**values, "battery.charge": 100 - values["battery.charge"]} if "battery.charge" in values else values


@wrong("charge-missing", "a charge that is missing is 100")
class MissingIsFull(Right):
    def values(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        return {"battery.charge": 100, **super().values(raw)}


@wrong("charge-missing", "a charge that is missing is 0")
class MissingIsEmpty(Right):
    def values(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        return {"battery.charge": 0, **super().values(raw)}


@wrong("charge-kept", "a charge that is missing is the last one")
class LastCharge(Right):
    last: int | None = None

    def values(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        values = super().values(raw)
        self.last = values.get("battery.charge", self.last)
        return {**values, "battery.charge": self.last} if self.last is not None else values


@wrong("stuck", "the charge of the start")
class FirstCharge(Right):
    first: int | None = None

    def values(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        values = super().values(raw)
        self.first = self.first or values.get("battery.charge")
        return {**values, "battery.charge": self.first}


@wrong("low-battery", "a charge that never falls below 15")
class Floor(Right):
    def values(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        values = super().values(raw)
        return {**values, "battery.charge": max(15, values["battery.charge"])} if "battery.charge" in values else values


@wrong("own-low", "an LB of its own below 30 %")
class OwnLow(Right):
    def status(self, raw: Mapping[str, Any]) -> Status:
        status = super().status(raw)
        return status | LB if OB in status and raw.get("soc", 100) < 40 else status


@wrong("runtime", "minutes in place of seconds")
class Minutes(Right):
    def values(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        values = super().values(raw)
        return {**values, "battery.runtime": values["battery.runtime"] / 60} if "battery.runtime" in values else values


@wrong("runtime", "the remaining time in hours, of a device that tells none")
class Hours(Right):
    def values(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        values = super().values({name: value for name, value in raw.items() if name != "left"})
        power, charge = to_number(raw.get("battery")), to_number(raw.get("soc"))
        return {**values, "battery.runtime": 100 * (charge or 0) / max(100.0, power or 0)} if "battery.charge" in values else values


@wrong("power", "kW in place of W")
class KiloWatts(Right):
    def values(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        values = super().values(raw)
        return {**values, "ups.realpower": values["ups.realpower"] / 1000} if "ups.realpower" in values else values


@wrong("direction", "the sign of the battery's power")
class Sign(Right):
    def values(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        return super().values({**raw, "battery": -raw["battery"]} if "battery" in raw else raw)


@wrong("decline", "the sign of the power that is lost while it is silent")
class DeclineSign(Right):
    def decline(self, raw: Mapping[str, Any]) -> Decline | None:
        return Decline(load=max(0.0, -(to_number(raw.get("battery")) or 0.0)), capacity=10000.0, low=20)


@wrong("believable", "tenths of a degree")
class Tenths(Right):
    def values(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        values = super().values(raw)
        return {**values, "battery.temperature": values["battery.temperature"] * 10} if "battery.temperature" in values else values


@wrong("believable", "hundredths of Hz")
class Hundredths(Right):
    def values(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        values = super().values(raw)
        return {**values, "input.frequency": 499.8} if "input.frequency" in values else values


# The reading


@wrong("status", "neither OL nor OB while the battery discharges")
class NoSupply(Right):
    def status(self, raw: Mapping[str, Any]) -> Status:
        self.grid(raw)
        return self.direction or super().status(raw)


@wrong("status", "OL and OB while the grid carries and the battery helps")
class Both(Right):
    def status(self, raw: Mapping[str, Any]) -> Status:
        status = super().status(raw)
        return status | OB if raw["battery"] > 50 else status


@wrong("status", "FSD when the battery is empty")
class Forced(Right):
    def status(self, raw: Mapping[str, Any]) -> Status:
        status = super().status(raw)
        return status | Status.FSD if OB in status and raw.get("soc", 100) < 15 else status


@wrong("status", "LB on the grid")
class LowOnGrid(Right):
    def status(self, raw: Mapping[str, Any]) -> Status:
        status = super().status(raw)
        return status | LB if raw.get("soc", 100) < 20 else status


@wrong("alarm", "an alarm that is only news")
class Newsy(Right):
    async def poll(self) -> Reading:
        return replace(await super().poll(), alarms=("a new firmware is there",))


@wrong("names", "the device's own names")
class OwnNames(Right):
    def values(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        values = super().values(raw)
        return {**values, "battery.soc": values["battery.charge"]} if "battery.charge" in values else values


@wrong("dropped", "a charge with its unit")
class WithUnit(Right):
    def values(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        values = super().values(raw)
        return {**values, "battery.charge": f"{values['battery.charge']} %"} if "battery.charge" in values else values


@wrong("dropped", "None where nothing is known")
class Nones(Right):
    def values(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        return {"ups.load": None, **super().values(raw)}


@wrong("first-reading", "the model is asked for after the first reading")
class Later(Right):
    polls = 0

    def values(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        self.polls += 1
        values = super().values(raw)
        if self.polls < 4:
            values.pop("ups.model", None)
        return values


@wrong("start", "a login that it never makes")
class NoLogin(Right):
    async def ask(self) -> dict[str, Any]:
        raise DeviceError("the device wants a login, and there is none")


@wrong("time", "the wall clock in Reading.at")
class WallClock(Right):
    def told_at(self, raw: Mapping[str, Any]) -> float | None:
        return self.clock.wall()


@wrong("time", "another monotonic clock in Reading.at")
class OtherClock(Right):
    def told_at(self, raw: Mapping[str, Any]) -> float | None:
        return time.monotonic()


# Errors


@wrong("exit", "sys.exit when the device does not answer")
class Exits(Right):
    async def ask(self) -> dict[str, Any]:
        try:
            return await super().ask()
        except DeviceError:
            sys.exit(1)


@wrong("exit", "KeyboardInterrupt when the device does not answer")
class Interrupts(Right):
    async def ask(self) -> dict[str, Any]:
        try:
            return await super().ask()
        except DeviceError:
            raise KeyboardInterrupt from None


@wrong("error", "what the library raises")
class Raises(Right):
    async def ask(self) -> dict[str, Any]:
        return await self.cloud.ask(PASSWORD, self.cloud.session)


@wrong("error", "KeyError for what is missing")
class Missing(Right):
    def values(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        return {**super().values(raw), "battery.charge": raw["soc"] if raw["grid"] in ("up", "down") else 0}


@wrong("sentence", "an error without words")
class Wordless(Right):
    async def ask(self) -> dict[str, Any]:
        try:
            return await super().ask()
        except DeviceError:
            raise DeviceError("timeout") from None


@wrong("chatter", "a line in the log for each poll that fails")
class Chatty(Right):
    async def ask(self) -> dict[str, Any]:
        try:
            return await super().ask()
        except DeviceError as error:
            logging.getLogger(__name__).warning("no answer of the device: %s", error)
            raise


@wrong("hang", "a poll that waits for ever")
class Hangs(Right):
    async def ask(self) -> dict[str, Any]:
        if self.cloud.mode == "silence":
            await asyncio.Event().wait()
        return await super().ask()


@wrong("cancel", "a cancelled poll that goes on")
class Stubborn(Right):
    async def ask(self) -> dict[str, Any]:
        try:
            return await super().ask()
        except asyncio.CancelledError:
            await asyncio.sleep(30)
            raise


@wrong("cancel", "a cancellation taken for an error")
class Swallows(Right):
    async def ask(self) -> dict[str, Any]:
        try:
            return await super().ask()
        except asyncio.CancelledError:
            raise DeviceError("the request was cancelled") from None


@wrong("cancel", "a lock that a cancelled poll keeps")
class Locked(Right):
    def __init__(self, config: RightConfig, clock: Clock) -> None:
        super().__init__(config, clock)
        self.lock = False

    async def ask(self) -> dict[str, Any]:
        if self.lock:
            raise DeviceError("a request is still under way")
        self.lock = True
        try:
            return await super().ask()
        except asyncio.CancelledError:
            raise
        finally:
            self.lock = bool(asyncio.current_task().cancelling())  # type: ignore[union-attr]


@wrong("blocking", "a call that blocks")
class Blocks(Right):
    async def ask(self) -> dict[str, Any]:
        time.sleep(self.cloud.delay)
        delay, self.cloud.delay = self.cloud.delay, 0.0
        try:
            return await super().ask()
        finally:
            self.cloud.delay = delay


@wrong("login", "a refused password is any error")
class AnyError(Right):
    async def ask(self) -> dict[str, Any]:
        try:
            return await self.cloud.ask(PASSWORD, self.cloud.session)
        except OSError:
            raise DeviceError("the device does not answer as it should") from None


@wrong("secret", "the password in an error")
class Loud(Right):
    async def ask(self) -> dict[str, Any]:
        try:
            return await super().ask()
        except DeviceError as error:
            raise DeviceError(f"http://admin:{self.config.password}@device/ failed: {error}") from None


@wrong("secret", "the password in the traceback of an error")
class Chained(Right):
    async def ask(self) -> dict[str, Any]:
        try:
            return await super().ask()
        except DeviceError as error:
            try:
                raise ValueError(f"Authorization: Basic {self.config.password}") from error
            except ValueError as worse:
                raise DeviceError("the device does not answer as it should") from worse


@wrong("secret", "the password in a value")
class InValue(Right):
    def values(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        return {**super().values(raw), "device.description": f"http://admin:{self.config.password}@device/"}


@wrong("secret", "the password in what exporters publish")
class InRaw(Right):
    async def poll(self) -> Reading:
        return replace(await super().poll(), raw={"url": f"http://admin:{self.config.password}@device/"})


@wrong("secret", "the password on standard output")
class Prints(Right):
    async def ask(self) -> dict[str, Any]:
        print("login with", self.config.password)
        return await super().ask()


# The process


@wrong("thread", "wake() from another thread")
class Threads(Right):
    async def ask(self) -> dict[str, Any]:
        waker = threading.Thread(target=self.wake)
        waker.start()
        await asyncio.to_thread(waker.join)
        return await super().ask()


@wrong("leftovers", "a task that outlives it")
class Tasks(Right):
    task: asyncio.Task[bool] | None = None

    async def ask(self) -> dict[str, Any]:
        self.task = self.task or asyncio.create_task(asyncio.Event().wait())
        return await super().ask()


@wrong("leftovers", "a thread that outlives it")
class Thread(Right):
    thread: threading.Thread | None = None

    async def ask(self) -> dict[str, Any]:
        if self.thread is None:
            self.thread = threading.Thread(target=time.sleep, args=(3,), daemon=True)
            self.thread.start()
        return await super().ask()


@wrong("two-houses", "an answer that is kept for a moment, in the class")
class Shared(Right):
    kept: ClassVar[tuple[float, dict[str, Any]] | None] = None

    async def ask(self) -> dict[str, Any]:
        if Shared.kept is None or not 0 <= self.clock.monotonic() - Shared.kept[0] < 1:
            Shared.kept = (self.clock.monotonic(), await super().ask())
        return Shared.kept[1]


@wrong("set", "what is set is forgotten")
class Forgets(Right):
    async def set(self, name: str, value: str) -> None:
        pass


@wrong("set", "what can be set is in no reading")
class Unseen(Right):
    @property
    def writable(self) -> Mapping[str, Writable]:
        return {**super().writable, "ups.delay.start": Writable(ranges=((0, 60),))}


@wrong("command", "a command that raises what it likes")
class Command(Right):
    async def command(self, name: str, param: str | None) -> None:
        raise KeyError(name)


@wrong("offers", "a command that is none of NUT's")
class OwnCommand(Right):
    commands: ClassVar[frozenset[str]] = frozenset({"force.charge"})


@wrong("reload", "a reload that changes nothing")
class Deaf(Right):
    async def reload(self, config: RightConfig) -> None:
        pass


@wrong("properties", "counters that fail")
class Counts(Right):
    @property
    def counters(self) -> Mapping[str, int]:
        return {"requests": None}  # type: ignore[dict-item]


@wrong("examine", "an examination that raises")
class Examines(Right):
    async def examine(self, *, login: bool):  # type: ignore[no-untyped-def]
        await self.cloud.ask(PASSWORD, self.cloud.session)
        yield ok("device", "it answers")


# The options


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenConfig(RightConfig):
    api_token: str | None = option("of the cloud", default=None)


@wrong("secret-option", "a token that is not sensitive")
class OpenToken(Right):
    Config: ClassVar[type[Config]] = OpenConfig  # type: ignore[assignment]


@dataclass(frozen=True, slots=True, kw_only=True)
class SilentConfig(RightConfig):
    factor: float = option("", default=1.0)


@wrong("options", "an option without help")
class Undocumented(Right):
    Config: ClassVar[type[Config]] = SilentConfig  # type: ignore[assignment]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListConfig(RightConfig):
    serials: tuple[str, ...] = option("serial numbers", default=())


@wrong("options", "an option of a type that ups.conf cannot hold")
class Untyped(Right):
    Config: ClassVar[type[Config]] = ListConfig  # type: ignore[assignment]


@dataclass(frozen=True, slots=True, kw_only=True)
class LongConfig(RightConfig):
    maxage: int = option("seconds the last good reading is served while polls fail", default=3600, minimum=1)


@wrong("limits", "the last reading is served for an hour")
class Long(Right):
    Config: ClassVar[type[Config]] = LongConfig  # type: ignore[assignment]


@wrong("described", "no version")
class Nameless(Right):
    version: ClassVar[str] = ""
