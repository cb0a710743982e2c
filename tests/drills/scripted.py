# SPDX-License-Identifier: GPL-2.0-or-later
"""A backend that does at each poll what a JSON file says, faults of a third party's backend included.

``port`` is the file. Its keys, all optional: ``status`` (text), ``values``, ``alarms``, ``at`` (monotonic time of the reading),
``how`` (a name of :data:`ACTS`; empty: return the reading), ``seconds`` (for ``block``). Each poll appends a line with its
monotonic time and ``how`` to a file beside it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from nutdrv_py import Backend, Config, Reading, Status, option
from nutdrv_py.clock import Clock
from nutdrv_py.errors import AuthError, DeviceError, StaleError

__all__ = ["ACTS", "PASSWORD", "Scripted", "polls_file"]

PASSWORD = "unicorn-4711"
"""The value that the option ``password`` has in the drills."""

_HAS_TIME = "at" in {field.name for field in dataclasses.fields(Reading)}


def polls_file(device: Path) -> Path:
    """Return the file that holds a line for each poll."""
    return device.with_name(device.name + ".polls")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptedConfig(Config):
    """The options of every backend, and a secret."""

    password: str | None = option("never shown", default=None, sensitive=True)


class Scripted(Backend[Config]):
    """Does what its file says, good or bad."""

    Config: ClassVar[type[Config]] = ScriptedConfig
    description: ClassVar[str] = "Scripted backend"
    version: ClassVar[str] = "0.1"

    def __init__(self, config: Any, clock: Clock) -> None:
        super().__init__(config, clock)
        self._path = Path(config.port)
        self._text = ""
        self._tasks: list[asyncio.Task[None]] = []

    async def poll(self) -> Reading:
        """Return the file's reading, or fail as it says."""
        try:
            text = self._path.read_text(encoding="utf-8")
        except OSError as error:
            raise DeviceError(f"{self._path} cannot be read: {error.strerror}") from error
        script = json.loads(text)
        first, self._text = text != self._text, text
        how = script.get("how", "")
        with polls_file(self._path).open("a", encoding="ascii") as file:
            file.write(f"{time.monotonic():.3f} {how}\n")
        reading = _reading(script)
        if how:
            await ACTS[how](self, reading, script if first else {})
        return reading

    # Each takes the reading, and the script at its first poll or nothing.

    async def _device(self, reading: Reading, script: Mapping[str, Any]) -> NoReturn:
        raise DeviceError("the device gave no answer")

    async def _stale(self, reading: Reading, script: Mapping[str, Any]) -> NoReturn:
        raise StaleError("the device says that its data are stale")

    async def _rejected(self, reading: Reading, script: Mapping[str, Any]) -> NoReturn:
        raise AuthError("the login was refused: the password is wrong", rejected=True)

    async def _bug(self, reading: Reading, script: Mapping[str, Any]) -> NoReturn:
        raise ValueError(f"could not parse http://user:{self.config.password}@device/")  # type: ignore[attr-defined]

    async def _leak(self, reading: Reading, script: Mapping[str, Any]) -> NoReturn:
        raise DeviceError(f"no answer from http://user:{self.config.password}@device/")  # type: ignore[attr-defined]

    async def _exit(self, reading: Reading, script: Mapping[str, Any]) -> NoReturn:
        sys.exit(3)

    async def _block(self, reading: Reading, script: Mapping[str, Any]) -> None:
        time.sleep(script.get("seconds", 0))

    async def _hang(self, reading: Reading, script: Mapping[str, Any]) -> NoReturn:
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                continue

    async def _dead_task(self, reading: Reading, script: Mapping[str, Any]) -> None:
        async def die() -> None:
            raise RuntimeError("the subscription has died")

        if script:
            self._tasks.append(asyncio.create_task(die()))

    async def _early(self, reading: Reading, script: Mapping[str, Any]) -> None:
        self.publish(reading)
        await asyncio.sleep(3600)


def _reading(script: Mapping[str, Any]) -> Reading:
    time_of_it = {"at": script["at"]} if _HAS_TIME and script.get("at") is not None else {}
    status = Status.parse(script.get("status", "OL"))[0]
    return Reading(script.get("values", {}), status, tuple(script.get("alarms", ())), **time_of_it)


Act = Callable[[Scripted, Reading, Mapping[str, Any]], Awaitable[None]]

ACTS: Mapping[str, Act] = {
    "device": Scripted._device,
    "stale": Scripted._stale,
    "rejected": Scripted._rejected,
    "bug": Scripted._bug,
    "leak": Scripted._leak,
    "exit": Scripted._exit,
    "block": Scripted._block,
    "hang": Scripted._hang,
    "dead task": Scripted._dead_task,
    "early": Scripted._early,
}
"""What a poll can do besides returning the reading, by the file's ``how``."""
