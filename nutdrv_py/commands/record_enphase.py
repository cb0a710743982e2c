# SPDX-License-Identifier: GPL-2.0-or-later
"""``nutdrv_py record`` of an IQ Gateway: the Enphase backend, overheard between it and the network.

It works beside the driver and leaves nothing behind: the driver's token and pin are read and never written.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Callable, Mapping

import httpx

from nutdrv_py.backends.enphase import Enphase
from nutdrv_py.backends.enphase.client import LIMITS, MOST_BODY, Gateway, Stranger
from nutdrv_py.backends.enphase.config import EnphaseConfig, credentials, gateway_url, token_path
from nutdrv_py.backends.enphase.jwt import Token
from nutdrv_py.backends.enphase.pin import Pin
from nutdrv_py.backends.enphase.session import Session
from nutdrv_py.backends.enphase.token import Authority
from nutdrv_py.clock import Clock
from nutdrv_py.device.tools import Tape
from nutdrv_py.errors import AuthError
from nutdrv_py.log import Trouble
from nutdrv_py.recording.gateway import line_of
from nutdrv_py.recording.standins import StandIns

__all__ = ["OverheardEnphase"]

Take = Callable[[dict[str, object]], None]


class OverheardEnphase(Enphase):
    """The backend whose requests and answers become lines of a recording."""

    def __init__(self, config: EnphaseConfig, clock: Clock, tape: Tape) -> None:
        stand_ins: StandIns = tape.stand_ins
        known = credentials(config)
        for secret in (config.serial, known.username, known.token):
            stand_ins.know(secret or "")
        trouble = Trouble()
        pin = _Pin(config, trouble)
        gateway = _Gateway(config, pin, stand_ins, tape.now, lambda line: tape.take([line]))
        authority = _Authority(config, known, token_path(config), clock, trouble)
        session = Session(config, known, clock, trouble, pin=pin, gateway=gateway, authority=authority)
        super().__init__(config, clock, session)

    def settle(self) -> Mapping[str, object]:
        """Return the seconds of life that the token has left, once it is known."""
        token = self.session.authority.token
        return {} if token is None else {"token": round(token.left(self.clock.wall()), 3)}


class _Pin(Pin):
    """Remembers a certificate for as long as we run: a file of ours could be one that the driver may not read."""

    def remember(self, serial: str, fingerprint: str, key: str) -> None:
        self.serial, self._fingerprint, self._key = serial, fingerprint, key


class _Authority(Authority):
    """Uses the driver's token; fetches one only where there is none, and keeps that to itself."""

    def maintain(self, serial: str, *, on_battery: bool) -> None:
        pass

    async def fetch(self, serial: str, *, only_longer: bool = False) -> Token:
        if self.token is not None:
            raise AuthError("the token is the driver's, and only the driver replaces it")
        return await super().fetch(serial, only_longer=only_longer)

    def _write(self, token: Token) -> None:
        pass


class _Gateway(Gateway):
    def __init__(self, config: EnphaseConfig, pin: Pin, stand_ins: StandIns, now: Callable[[], float], take: Take) -> None:
        super().__init__(gateway_url(config.port), pin.trusts)
        self._stand_ins = stand_ins
        self._now = now
        self._take = take

    def _transport(self) -> httpx.AsyncBaseTransport:
        network = httpx.AsyncHTTPTransport(verify=self._context, limits=LIMITS, trust_env=False)
        return _Ear(network, self._stand_ins, self._now, self._take)


class _Ear(httpx.AsyncBaseTransport):
    """Passes requests on, and notes what came of them."""

    def __init__(self, network: httpx.AsyncBaseTransport, stand_ins: StandIns, now: Callable[[], float], take: Take) -> None:
        self._network = network
        self._stand_ins = stand_ins
        self._now = now
        self._take = take

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        began = self._now()
        ask = f"{request.method} {request.url.path}"
        try:
            response = await self._network.handle_async_request(request)
            try:
                raw = await _whole(response.stream)
            finally:
                await response.aclose()
        except BaseException as error:
            self._take(line_of(self._now(), self._now() - began, ask, self._stand_ins, error=_kind(error)))
            raise
        # What is encoded is refused by the backend, and never decoded here.
        body = b"?" if "Content-Encoding" in response.headers else raw
        took = self._now() - began
        self._take(line_of(
            self._now(), took, ask, self._stand_ins, status=response.status_code, headers=response.headers, body=body,
        ))  # fmt: skip
        return _copy(response, raw)

    async def aclose(self) -> None:
        await self._network.aclose()


def _copy(response: httpx.Response, raw: bytes) -> httpx.Response:
    return httpx.Response(response.status_code, headers=response.headers, stream=httpx.ByteStream(raw))


async def _whole(stream: object) -> bytes:
    """Return the answer as it came, up to what the backend would take."""
    found = bytearray()
    assert isinstance(stream, AsyncIterable)
    async for piece in stream:
        found += piece
        if len(found) > MOST_BODY:
            break
    return bytes(found)


def _kind(error: BaseException) -> str:
    match error:
        case asyncio.CancelledError() | httpx.TimeoutException():
            return "timeout"
        case Stranger():
            return "certificate"
        case httpx.ConnectError():
            return "connect"
    return "broken"
