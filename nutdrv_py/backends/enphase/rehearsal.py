# SPDX-License-Identifier: GPL-2.0-or-later
"""The test mode of enphase-monitor: the backend on answers that a configuration gives, through the steps of an outage.

No network is touched. Each key is described in the script's own text: ``TEST_RELAY`` with ``@RELAY_STATE@``, ``TEST_LIVE``
with ``@BATT_SOC@``; an empty one is a query that fails.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping

import httpx

from nutdrv_py.backends.enphase import Enphase, _Datum
from nutdrv_py.backends.enphase.client import Gateway, decode
from nutdrv_py.backends.enphase.config import Credentials, EnphaseConfig, token_path
from nutdrv_py.backends.enphase.house import House
from nutdrv_py.backends.enphase.jwt import Token
from nutdrv_py.backends.enphase.session import Session
from nutdrv_py.backends.enphase.token import Authority
from nutdrv_py.backends.steps import STEPS, Step
from nutdrv_py.clock import Clock
from nutdrv_py.device.mapping import find
from nutdrv_py.device.reading import Reading, Status
from nutdrv_py.errors import AuthError, DeviceError, ProtocolError, StaleError
from nutdrv_py.log import Trouble
from nutdrv_py.machine.files import remove

__all__ = ["Rehearsal"]

_KEYS = {
    "/ivp/ensemble/relay": "TEST_RELAY", "/ivp/livedata/status": "TEST_LIVE", "/ivp/meters/reports": "TEST_REPORTS",
    "/ivp/ensemble/secctrl": "TEST_SECCTRL", "/info": "TEST_INFO",
}  # fmt: skip


class Rehearsal(Enphase):
    """Shows the present :attr:`step`; the caller that sets another one calls :attr:`wake`."""

    def __init__(self, config: EnphaseConfig, clock: Clock, answers: Mapping[str, str]) -> None:
        config = dataclasses.replace(config, port="https://test.invalid", serial=None, certificate="any")
        account, trouble = Credentials("test", "test"), Trouble()
        authority = _Authority(config, account, token_path(config), clock, trouble)
        authority.answers = answers
        gateway = _Gateway(self._answer)
        super().__init__(config, clock, Session(config, account, clock, trouble, gateway=gateway, authority=authority))
        self.session.known = True
        self._step = STEPS[0]
        self._answers = answers

    @property
    def step(self) -> Step:
        """Return what is shown."""
        return self._step

    @step.setter
    def step(self, step: Step) -> None:
        # No battery falls by 30 % within seconds: the next step is another house.
        self._step, self._house = step, House(self.clock)
        self._data.clear()
        self._schedule.anew()

    def forget(self) -> None:
        """Forget the token: the next poll fetches it anew."""
        self.session.authority.token = None
        remove(token_path(self.config))

    async def poll(self) -> Reading:
        """Return what the step shows, or raise :class:`StaleError` where the device is silent."""
        if self.step.status is None:
            raise StaleError("test mode: nobody answers")
        return await super().poll()

    def _answer(self, request: httpx.Request) -> httpx.Response:
        text = self._answers.get(_KEYS.get(request.url.path, ""), "")
        if not text:
            return httpx.Response(404 if request.url.path not in _KEYS else 503)
        relay = "closed" if self.step.status is not None and Status.OL in self.step.status else "open"
        text = text.replace("@RELAY_STATE@", relay).replace("@BATT_SOC@", str(self.step.charge))
        return httpx.Response(200, stream=httpx.ByteStream(text.encode()))

    async def _live(self, payload: object, gateway_time: float | None, token: str) -> None:
        """Take them as they are: the configuration's live data have no clock that moves."""
        meters = find({"l": payload}, "l.meters")
        self._data["livedata"] = _Datum(payload if meters is not None else {"meters": payload}, self.clock.monotonic())


class _Gateway(Gateway):
    def __init__(self, answer: Callable[[httpx.Request], httpx.Response]) -> None:
        super().__init__("https://test.invalid", lambda fingerprint: True)
        self._play = answer

    def _transport(self) -> httpx.AsyncBaseTransport:
        return httpx.MockTransport(self._play)


class _Authority(Authority):
    """Logs in with ``TEST_SESS`` and ``TEST_TOKEN``."""

    answers: Mapping[str, str]

    async def fetch(self, serial: str, *, only_longer: bool = False) -> Token:
        """Return the token, kept in its file. Raises :class:`AuthError` where the configuration has none."""
        try:
            session = find({"s": decode(self.answers["TEST_SESS"].encode())}, "s.session_id")
            token = Token.parse(self.answers["TEST_TOKEN"])
        except (DeviceError, ProtocolError) as error:
            raise AuthError(f"test mode: TEST_SESS or TEST_TOKEN gives no token: {error}") from None
        if not session:
            raise AuthError("test mode: TEST_SESS has no session_id")
        if token.left(time.time()) <= 0:
            raise AuthError("test mode: the token in TEST_TOKEN has ended")
        self.token = token
        self._write(token)
        return token

    def stored(self, serial: str) -> Token | None:
        """Return the token in the file, whatever gateway it is for."""
        try:
            return Token.parse(self._read() or "")
        except ProtocolError:
            return None
