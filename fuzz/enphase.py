# SPDX-License-Identifier: GPL-2.0-or-later
"""The IQ Gateway: whole conversations with the real backend, and the single documents that nobody has vouched for."""

from __future__ import annotations

import base64
import contextlib
import copy
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from fuzz.invariants import Told, Upsd, bounded, harmless, kept, only
from fuzz.loop import LoopClock, run
from fuzz.taking import SECRET, Bytes
from nutdrv_py.backends.enphase import ENDPOINTS, Enphase, meters, powers, site
from nutdrv_py.backends.enphase.client import Absent, Answer, Gateway, Refused, decode
from nutdrv_py.backends.enphase.config import EnphaseConfig
from nutdrv_py.backends.enphase.jwt import Token
from nutdrv_py.core.events import Limits
from nutdrv_py.core.recall import parsed
from nutdrv_py.device.mapping import to_number
from nutdrv_py.device.reading import Status
from nutdrv_py.errors import DeviceError, ProtocolError
from nutdrv_py.simulators.enphase import documents
from nutdrv_py.simulators.enphase.house import SiteSetup
from nutdrv_py.simulators.enphase.physics import Site
from nutdrv_py.simulators.enphase.scenarios import GatewayOptions

__all__ = ["PATHS", "conversation", "info", "json_text", "token"]

SERIAL = "123456789012"
RELAY, STATUS = "/ivp/ensemble/relay", "/ivp/ensemble/status"
_PATH = {endpoint.name: endpoint.path for endpoint in ENDPOINTS} | {"relay": RELAY}

MOST_POLLS = 30
"""Polls of one conversation, at most."""

MOST_REQUESTS = 60
"""Requests to the gateway in one poll, at most."""

FOLDER = tempfile.mkdtemp(prefix="fuzz-enphase-")


def _jwt(claims: Mapping[str, object]) -> str:
    parts = [json.dumps(part).encode() for part in ({"alg": "ES256"}, claims)]
    return ".".join([*(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts), SECRET])


TOKEN = _jwt({"aud": SERIAL, "exp": 1_900_000_000, "iat": 1_790_000_000, "enphaseUser": "owner"})


def _documents(**setup: Any) -> dict[str, Any]:
    """Return what the simulated gateway answers, by endpoint."""
    view = documents.View(Site(SiteSetup(**setup)), GatewayOptions(), 1_800_000_000, SERIAL)
    live = documents.livedata(documents.live_meters(view), stream=True, claims_stream=True, online=True, now=view.now)
    found = {
        "relay": documents.relay(view), "secctrl": documents.secctrl(view), "power": documents.power(view), "livedata": live,
        "reports": documents.reports(view), "meters": documents.meters(view), "inventory": documents.inventory(view),
        "status": documents.status(view), "info": documents.info(view),
    }  # fmt: skip
    return {name: content if isinstance(content, str) else json.loads(json.dumps(content)) for name, content in found.items()}


HOUSES: tuple[dict[str, Any], ...] = (
    _documents(), _documents(phases=3, packs=3, load=2400, pv=900, soc=60),
    _documents(phases=2, grid="outage", soc=40, load=3000), _documents(packs=0, mid="none"),
    _documents(acb=2, soc=50, acb_soc=70),
)  # fmt: skip
LOW, WELL = _documents(grid="outage", soc=10, load=800), _documents(soc=90)
DRAINED = _documents(grid="outage", soc=85, load=3000)


def _places(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    rows = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in rows:
        yield from _places(value, (*path, key))


PATHS: tuple[tuple[Any, ...], ...] = tuple(dict.fromkeys(
    (name, *path) for house in HOUSES[:3] for name, content in house.items() if name != "info" for path in _places(content)
))  # fmt: skip
"""Every place in the gateway's documents, first the endpoint."""


class _Scripted(Gateway):
    """Answers from ``documents``, and keeps account of what it has said."""

    def __init__(self, clock: LoopClock, told: Told) -> None:
        super().__init__("https://gateway.invalid", lambda fingerprint: True)
        self.documents: dict[str, Any] = copy.deepcopy(HOUSES[0])
        self.raw: dict[str, bytes] = {}
        self.failing: dict[str, Callable[[str], DeviceError]] = {}
        self.latency = 0.0
        self.moving = True
        self.requests = 0
        self._clock = clock
        self._told = told
        self._absent = False

    async def get(self, path: str, *, timeout: float, token: str | None = None) -> Answer:
        """Answer, fail, or take long."""
        self.requests += 1
        self._clock.move(self.latency)
        name = next((name for name, known in _PATH.items() if known == path), "")
        if name in self.failing:
            error = self.failing[name](path)
            self._absent = name == "relay" and isinstance(error, Absent)
            raise error
        assert token is None or name != "info", "the token goes to a gateway that was not looked at"
        body = self.raw.get(name) or self._body(name)
        self._account(name, body)
        return Answer(body, self._clock.wall())

    async def post(self, path: str, content: Mapping[str, object], *, timeout: float, token: str) -> Answer:
        """Take anything."""
        self.requests += 1
        return Answer(b"{}", None)

    def _body(self, name: str) -> bytes:
        content = self.documents.get(name, {})
        if name == "livedata" and self.moving and isinstance(content, dict) and isinstance(content.get("meters"), dict):
            content["meters"]["last_update"] = int(self._clock.wall())
        # JSON has no word for infinity, but a number of that size.
        return content.encode() if isinstance(content, str) else json.dumps(content).replace("Infinity", "1e999").encode()

    def _account(self, name: str, body: bytes) -> None:
        """Read the answer once more, by itself."""
        told, absent, now = self._told, self._absent, self._clock.monotonic()
        self._absent = False
        if name not in ("relay", "secctrl", "livedata") and not (name == "status" and absent):
            return
        try:
            content = json.loads(body)
        except (ValueError, RecursionError):
            return
        if name == "status":
            content = content.get("relay") if isinstance(content, dict) else None
        if name in ("relay", "status"):
            word = content.get("mains_oper_state") if isinstance(content, dict) else None
            words = word.lower().split() if isinstance(word, str) else []
            if words and words[0] in ("open", "closed"):
                told.says(words[0] == "open")
            return
        for key, number in _numbers(content):
            if key in ("soc", "enc_agg_soc", "agg_soc", "ENC_agg_soc"):
                told.says_charge(key, number, now)
            elif key in ("VLS_Limit", "soc_recovery_exit"):
                told.says_limit(key, number, max(min(50.0, number + 5), number + 1 if key == "VLS_Limit" else 0.0), now)


def _numbers(content: object) -> Iterator[tuple[str, float]]:
    meters = content.get("meters") if isinstance(content, dict) else None
    for source in (content, meters):
        for key, value in source.items() if isinstance(source, dict) else ():
            number = to_number(value)
            if number is not None and 0 <= number <= 100:
                yield key, number


def _put(content: Any, path: tuple[Any, ...], value: object) -> Any:
    """Return ``content`` with ``value`` at ``path``; as it is where the path leads nowhere."""
    if not path:
        return value
    inner = content
    with contextlib.suppress(KeyError, IndexError, TypeError):
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value
    return content


PAUSES = (0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 45.0, 61.0, 121.0, 200.0, 700.0, 3700.0, 50000.0)
RELAYS: tuple[object, ...] = (
    {"mains_admin_state": "closed", "mains_oper_state": "closed", "Enchg_grid_mode": "multimode-ongrid"},
    {"mains_admin_state": "closed", "mains_oper_state": "open", "Enchg_grid_mode": "multimode-offgrid"},
    {"mains_admin_state": "open", "mains_oper_state": "open synchronized"}, {"mains_oper_state": "OPEN"},
    {"mains_oper_state": "opening"},
    {"mains_oper_state": "closed", "Enchg_grid_mode": "generator"}, {"mains_oper_state": "open", "Enchg_grid_mode": "generator"},
    {"mains_oper_state": ""}, {"mains_oper_state": None}, {"mains_oper_state": ["open"]}, {"error": "open"}, [], None, "open", 0,
    {"mains_oper_state": "unknown open"}, {"mains_oper_state": "\u00a0open"}, {"mains_admin_state": "open"},
)  # fmt: skip
FAILURES: tuple[Callable[[str], DeviceError], ...] = (
    lambda path: DeviceError(f"{path}: no answer within 10 s"),
    lambda path: Absent(f"{path}: this gateway does not have it (HTTP 404)"),
    lambda path: Refused(f"{path}: the gateway refused the token (HTTP 401)"),
)


class _Conversation:
    """A gateway, the backend that asks it, and upsd behind it."""

    def __init__(self) -> None:
        self.clock, self.told = LoopClock(), Told()
        self.config = config = EnphaseConfig(
            port="gateway.invalid", ups="home", token=TOKEN, certificate="any", statepath=FOLDER, home=FOLDER,
            tokenfile=os.path.join(FOLDER, "no.token"),
        )  # fmt: skip
        self.gateway = _Scripted(self.clock, self.told)
        limits = Limits(float(config.pollinterval), float(config.maxage), float(config.looks))
        self.upsd = Upsd(self.clock.monotonic(), limits, self.told)
        self.polls = 0
        self.starts()

    def starts(self) -> None:
        """Begin with a backend that knows nothing yet."""
        self.backend = Enphase(self.config, self.clock)
        self.backend.session.gateway = self.gateway
        self.backend.publish = lambda reading: self.upsd.polled(reading, self.clock.monotonic(), early=True)

    async def poll(self) -> None:
        """Let the backend ask once."""
        self.polls += 1
        self.gateway.requests = 0
        with only(DeviceError) as failed:
            reading = await self.backend.poll()
        now = self.clock.monotonic()
        if failed:
            self.upsd.failed(now)
        else:
            self.upsd.polled(reading, now)
        bounded("requests in one poll", self.gateway.requests, MOST_REQUESTS)

    def waits(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.move(seconds)
        self.upsd.waits(self.clock.monotonic())

    async def heals(self, house: dict[str, Any], polls: int) -> None:
        """From now on the gateway is well, and in that house."""
        self.gateway.raw, self.gateway.failing, self.gateway.latency, self.gateway.moving = {}, {}, 0.0, True
        self.gateway.documents = copy.deepcopy(house)
        for _ in range(polls):
            await self.poll()
            self.waits(30.0)
        await self.poll()

    async def drains(self) -> None:
        """In an outage only the relay answers any more, for as long as the battery lasts."""
        await self.heals(DRAINED, 1)
        self.gateway.failing = {name: FAILURES[0] for name in _PATH if name != "relay"}
        for _ in range(14):
            self.waits(700.0)
            await self.poll()

    def step(self, data: Bytes) -> bool:
        """Take one step of the input; true when the backend shall ask then."""
        gateway = self.gateway
        names = tuple(_PATH)
        match data.byte() % 11:
            case 0 | 1:
                return True
            case 2:
                gateway.documents["relay"] = copy.deepcopy(data.choice(RELAYS))
            case 3 | 4:
                name, *path = PATHS[int.from_bytes(data.take(2), "big") % len(PATHS)]
                gateway.documents[name] = _put(gateway.documents[name], tuple(path), data.value())
            case 5:
                self.waits(data.choice(PAUSES))
            case 6:
                gateway.documents[data.choice(names)] = copy.deepcopy(data.choice((*HOUSES, LOW, WELL))[data.choice(names)])
            case 7:
                name, kind = data.choice(names), data.byte()
                gateway.failing.pop(name, None)
                if kind % 4:
                    gateway.failing[name] = FAILURES[kind % 4 - 1]
            case 8:
                gateway.raw[data.choice(names)] = data.piece()
            case 9:
                gateway.latency, gateway.moving = float(data.byte() % 8), bool(data.byte() % 3)
            case 10:
                self.starts()
                self.upsd.restarts(self.clock.monotonic())
        return False


def conversation(data: bytes) -> None:
    """Play what a gateway answers, poll for poll, then let it recover: low in an outage, drained unseen, back on the grid."""

    async def story() -> None:
        talk, steps = _Conversation(), Bytes(data)
        talk.gateway.documents = copy.deepcopy(steps.choice(HOUSES))
        while steps.left and talk.polls < MOST_POLLS:
            if talk.step(steps):
                await talk.poll()
                talk.waits(5.0)
        bounded("bytes that the backend keeps", kept(talk.backend), 8 << 20)
        await talk.heals(LOW, 10)
        assert talk.upsd.status & (Status.OB | Status.LB) == Status.OB | Status.LB, f"10 % in an outage is {talk.upsd.status}"
        await talk.drains()
        assert Status.LB in talk.upsd.status, f"a battery that must be empty is {talk.upsd.status}"
        await talk.heals(WELL, 3)
        assert talk.upsd.status & (Status.OL | Status.LB) == Status.OL, f"90 % on the grid is {talk.upsd.status}"

    run(story())


def json_text(data: bytes) -> None:
    """Read an answer as JSON."""
    with only(DeviceError):
        found = decode(data)
        bounded("what JSON becomes", kept(found), 8 * len(data) + 64)
        for on in (True, False):
            raw = {"relay": found, "livedata": found, "secctrl": found, "power": found, "reports": found, "meters": found}
            state = site.Grid.ON_GRID if on else site.Grid.OUTAGE
            powers.load(raw, state)
            meters.phases({**raw, **meters.meters(raw, state)})
        parsed(found)
        assert site.grid(found) is not None


def info(data: bytes) -> None:
    """Read /info of a stranger, as it is and behind the element that is looked for."""
    for document in (data, b"<device>" + data):
        with only(DeviceError):
            found = site.identity(document)
            assert found.serial.isalnum() and found.serial.isascii() and len(found.serial) <= 40
            bounded("what is kept of /info", kept(found), 120)
            assert found.major is None or found.major >= 0


def token(data: bytes) -> None:
    """Read a token: the text as it is, and with the bytes as its middle part."""
    middle = base64.urlsafe_b64encode(data).decode().rstrip("=")
    for text in (data.decode("latin-1"), f"eyJhbGciOiJub25lIn0.{middle}.{SECRET}"):
        with only(ProtocolError):
            found = Token.parse(text)
            assert 0 < found.expires < 1e11
            found.due(1.8e9)
            harmless(repr(found))
