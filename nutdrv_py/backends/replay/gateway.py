# SPDX-License-Identifier: GPL-2.0-or-later
"""The Enphase backend on a recording: its requests are answered in place of the network."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Callable, Mapping

import httpx

from nutdrv_py.backends.enphase import Enphase
from nutdrv_py.backends.enphase.client import Gateway
from nutdrv_py.backends.enphase.config import Credentials, EnphaseConfig, token_path
from nutdrv_py.backends.enphase.jwt import DAY, Token
from nutdrv_py.backends.enphase.session import Session
from nutdrv_py.backends.enphase.token import Authority
from nutdrv_py.backends.replay.stage import Cue, PlayedClock, Stage, Tracks
from nutdrv_py.device.backend import Config
from nutdrv_py.log import Trouble
from nutdrv_py.recording.gateway import Exchange

__all__ = ["PlayedEnphase", "config_of"]

URL = "https://recording.invalid"
"""Nothing is asked there; the name is reserved for that (RFC 6761)."""

TOKEN_LIFE = 365 * DAY
"""Seconds of life of the token when the recording has none."""

_FAILURES: Mapping[str, Callable[[str], Exception]] = {
    "timeout": httpx.ReadTimeout,
    "connect": httpx.ConnectError,
    "broken": httpx.RemoteProtocolError,
    "certificate": httpx.ConnectError,
}


def config_of(options: Mapping[str, int | float | bool], own: Config) -> EnphaseConfig:
    """Return the options with which it was recorded; those of the section that plays it where they are about the UPS."""
    fields = {item.name for item in dataclasses.fields(EnphaseConfig)}
    known = {name: value for name, value in options.items() if name in fields}
    config = EnphaseConfig(**{"port": URL, "certificate": "any", **known})  # type: ignore[arg-type]
    return dataclasses.replace(config, ups=own.ups, overrides=own.overrides, defaults=own.defaults)


class PlayedEnphase(Enphase):
    """The backend that plays the recording of ``stage``."""

    def __init__(self, config: EnphaseConfig, stage: Stage) -> None:
        clock, trouble = PlayedClock(stage), Trouble()
        cues: dict[str, list[Cue[Exchange]]] = {}
        for event in stage.recording.events:
            if isinstance(event, Exchange):
                cues.setdefault(event.ask, []).append(Cue(event.begun, event.at, event))
        authority = _Authority(config, Credentials(), token_path(config), clock, trouble)
        gateway = _Gateway(Tracks(stage, cues))
        super().__init__(config, clock, Session(config, Credentials(), clock, trouble, gateway=gateway, authority=authority))
        left = stage.recording.token
        authority.token = _token(stage.recording.began + (TOKEN_LIFE if left is None else left))


class _Authority(Authority):
    """The token is a stand-in: no warning of its end is needed."""

    def maintain(self, serial: str, *, on_battery: bool) -> None:
        pass


def _token(expires: float) -> Token:
    claims = {"exp": round(expires), "iat": round(expires - TOKEN_LIFE), "enphaseUser": "owner"}
    return Token.parse(f"e30.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.e30")


class _Gateway(Gateway):
    def __init__(self, tracks: Tracks[Exchange]) -> None:
        super().__init__(URL, lambda fingerprint: True)
        self._tracks = tracks

    def _transport(self) -> httpx.AsyncBaseTransport:
        return _Transport(self._tracks)


class _Transport(httpx.AsyncBaseTransport):
    """Answers with what was answered; what was never asked is not there."""

    def __init__(self, tracks: Tracks[Exchange]) -> None:
        self._tracks = tracks

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        cue = self._tracks.ask(f"{request.method} {request.url.path}")
        if cue is None:
            return httpx.Response(404)
        answer = cue.item
        if answer.error is not None:
            raise _FAILURES[answer.error]("as it was recorded")
        headers = {name: value for name, value in (("Date", answer.date), ("Content-Type", answer.kind)) if value}
        return httpx.Response(answer.status, headers=headers, stream=httpx.ByteStream(answer.body))
