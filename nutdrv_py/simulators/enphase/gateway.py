# SPDX-License-Identifier: GPL-2.0-or-later
"""The simulated gateway: house, documents, tokens and faults behind one TLS port."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import tempfile
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from nutdrv_py.simulators.enphase import cloud, documents
from nutdrv_py.simulators.enphase.captures import Captures
from nutdrv_py.simulators.enphase.certificate import Certificate, make_certificate
from nutdrv_py.simulators.enphase.changes import SITE_CHANGES, change_site
from nutdrv_py.simulators.enphase.documents import Document, View
from nutdrv_py.simulators.enphase.faults import Fault, FaultTable
from nutdrv_py.simulators.enphase.http import Listener
from nutdrv_py.simulators.enphase.messages import Answer, Incoming, Request, json_answer, not_found, status_answer, unauthorized
from nutdrv_py.simulators.enphase.physics import Site
from nutdrv_py.simulators.enphase.scenarios import GATEWAY_CHANGES, SCENARIOS, Scenario, parse_fault
from nutdrv_py.simulators.enphase.tokens import TokenAuthority, TokenRejected
from nutdrv_py.simulators.loopback import check_loopback
from nutdrv_py.simulators.news import News
from nutdrv_py.simulators.pace import Pace
from nutdrv_py.simulators.spelling import nearest
from nutdrv_py.simulators.stories import Timeline

REQUEST_LOG_LENGTH = 10_000
"""Requests remembered: a day of polling every 10 s; older ones fall out."""

TICK_SECONDS = 0.05
"""How often the timeline is looked at between requests, real time; every request looks at it too."""

SESSION_SECONDS = 600.0
"""A sessionId cookie dies after 10 minutes unused."""

SESSION_LIMIT = 50
"""Sessions remembered; older ones die. Every request with a bearer token opens one."""

FIRST_TOKEN_VERSION = (7,)
NEW_LOGIN_PAGE_VERSION = (8, 3, 5169)

OPEN_PATHS = ("/info", "/info.xml", "/home", "/")
"""What the gateway shows without a token."""

INSTALLER_PATHS = ("/ivp/peb/", "/ivp/tpm/", "/ivp/meters/cts", "/installer/", "/ivp/mod/")
"""Paths that an owner's token may not read."""

_GETTERS: Mapping[str, Callable[[View], Any]] = {
    "/ivp/ensemble/relay": documents.relay,
    "/ivp/ensemble/status": documents.status,
    "/ivp/ensemble/secctrl": documents.secctrl,
    "/ivp/ensemble/power": documents.power,
    "/ivp/ensemble/inventory": documents.inventory,
    "/ivp/ensemble/generator": documents.generator,
    "/ivp/ensemble/dry_contacts": documents.dry_contacts,
    "/ivp/meters": documents.meters,
    "/ivp/meters/readings": documents.readings,
    "/ivp/meters/reports": documents.reports,
    "/production.json": documents.production,
    "/admin/lib/tariff": documents.tariff,
    "/ivp/sc/sched": documents.schedule,
}
"""Endpoints that only read."""

_LIVE_PATH = "/ivp/livedata/status"
_STREAM_PATH = "/ivp/livedata/stream"
_CHECK_PATH = "/auth/check_jwt"

ENDPOINTS = (*OPEN_PATHS[:3], *_GETTERS, _LIVE_PATH, _STREAM_PATH, _CHECK_PATH)
"""All paths of the gateway."""


class GatewaySimulator:
    """A gateway with its house and its cloud account.

    ``speed`` makes simulator time run faster than ``clock`` (seconds, any start); tokens, Date and ``last_update``
    follow ``wall`` (epoch seconds) plus ``gateway_clock_offset``. All methods belong to the event loop's thread; see
    :class:`~nutdrv_py.simulators.enphase.running.RunningSimulator` for use from other threads.
    """

    def __init__(
        self,
        scenario: Scenario,
        *,
        serial: str = "122333444455",
        speed: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Make the gateway as the scenario wants it; nothing listens before :meth:`start`."""
        if not serial.isalnum():
            raise ValueError(f'A serial number has letters and digits only, not "{serial}".')
        self._pace = Pace(clock, speed)
        self.scenario = scenario
        self.options = scenario.gateway
        self.serial = serial
        self.speed = speed
        self.site = Site(scenario.site)
        self.gateway_clock_offset = 0.0
        self.needs_cookie = self.options.needs_cookie
        self.frozen = self.options.frozen
        self._news = News()
        self.listeners = self._news.listeners
        self.requests: deque[Request] = deque(maxlen=REQUEST_LOG_LENGTH)
        self.authority = TokenAuthority()
        self.cloud = cloud.Cloud(
            self.authority,
            wall,
            login_mode=self.options.login,
            lifetime=self.options.token_lifetime,
            issued=self._news.tell,
        )
        self._clock = clock
        self._wall = wall
        self._timeline = Timeline(scenario.timeline)
        self._offline = False
        self._started = False
        self._sessions: dict[str, tuple[str, float]] = {}
        self._captures: Captures | None = None
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        self._certificate: Certificate | None = None
        self._certificates_made = 0
        self._ticker: asyncio.Task[None] | None = None
        self._listener = Listener(self._handle, self._fault_for, self._note, self._gateway_time)
        self.faults: dict[str, Fault] = FaultTable(self._reconcile)
        self.faults.update(scenario.faults)
        self._stream_ends: float | None = self.options.stream_seconds if self.options.stream else None
        self._frozen_meters: Document = self._live_meters_now(self._gateway_time())
        self._news.note(self._visible_state())

    @classmethod
    def from_captures(cls, directory: str | Path, **settings: Any) -> GatewaySimulator:
        """Make a gateway that serves a folder of captured answers; ``settings`` are those of the constructor."""
        captured = Captures.load(directory)
        options = replace(SCENARIOS["online"].gateway, firmware=captured.firmware or "D8.2.4345")
        scenario = settings.pop("scenario", None) or Scenario("captures", f"Answers from {directory}.", gateway=options)
        settings.setdefault("serial", captured.serial or "122333444455")
        simulator = cls(scenario, **settings)
        simulator._captures = captured
        simulator._frozen_meters = simulator._live_meters_now(simulator._gateway_time())
        return simulator

    # -- life --------------------------------------------------------------------------------------------------------

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen on this loopback address; port 0 takes a free one. Simulator time starts now."""
        if self._started:
            raise RuntimeError("The simulator is running already.")
        check_loopback(host)
        self._directory = tempfile.TemporaryDirectory(prefix="enphase-simulator-")
        try:
            self._make_certificate()
            self._listener.reserve(host, port)
        except BaseException:
            self._directory.cleanup()
            raise
        self._pace.restart()
        self._started = True
        self._reconcile()
        self._ticker = asyncio.get_running_loop().create_task(self._tick())

    async def stop(self) -> None:
        """Close the port and remove the certificate. Stopping twice is fine."""
        if not self._started:
            return
        self._started = False
        if self._ticker is not None:
            self._ticker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._ticker
        await self._listener.stop()
        if self._directory is not None:
            self._directory.cleanup()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self.catch_up()

    def _reconcile(self) -> None:
        """Open or close the port as the gateway's state wants it."""
        if not self._started:
            return
        everywhere = self.faults.get("*")
        refused = everywhere is not None and everywhere.kind == "refuse"
        if self._offline or refused or not self.site.gateway_powered:
            self._listener.close()
        else:
            self._listener.listen()

    def _make_certificate(self) -> None:
        if self._directory is None:
            raise RuntimeError("The simulator has not been started.")
        self._certificates_made += 1
        folder = Path(self._directory.name)
        self._certificate = make_certificate(folder, self.shown_serial, f"gateway-{self._certificates_made}")
        self._listener.use_certificate(str(self._certificate.path), str(self._certificate.key_path))

    def rotate_certificate(self) -> None:
        """Make a new certificate, as an upgrade does; present connections end, new ones see the new certificate."""
        self._make_certificate()
        # The listening socket keeps the certificate it was opened with, so it is opened anew.
        self._listener.close()
        self._reconcile()
        self._news.tell("certificate changed")

    # -- what others need to know ------------------------------------------------------------------------------------

    @property
    def shown_serial(self) -> str:
        """Return the serial number the gateway reports: its own, unless the scenario makes it another gateway."""
        return self.options.reported_serial or self.serial

    @property
    def port(self) -> int:
        """Return the port number; valid after :meth:`start`, also while the gateway is offline."""
        return self._listener.port

    @property
    def host_port(self) -> str:
        """Return ``host:port`` as the driver's configuration wants it."""
        host = self._listener.host
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """Return the base address of the gateway."""
        return f"https://{self.host_port}"

    @property
    def login_url(self) -> str:
        """Return the address of the cloud's login service."""
        return self.url + cloud.LOGIN_PATH

    @property
    def token_url(self) -> str:
        """Return the address of the cloud's token service (route A)."""
        return self.url + cloud.TOKEN_PATH

    @property
    def fingerprint(self) -> str:
        """Return the SHA-256 of the certificate in DER form, lower-case hex."""
        if self._certificate is None:
            raise RuntimeError("The simulator has no certificate before it is started.")
        return self._certificate.fingerprint

    @property
    def username(self) -> str:
        """Name of the cloud account."""
        return self.cloud.username

    @username.setter
    def username(self, value: str) -> None:
        self.cloud.username = value

    @property
    def password(self) -> str:
        """Return the password of the cloud account."""
        return self.cloud.password

    @password.setter
    def password(self, value: str) -> None:
        self.cloud.password = value

    @property
    def most_parallel(self) -> int:
        """Return the most requests ever handled at the same time; a well-behaved client keeps this at 1."""
        return self._listener.most_parallel

    @property
    def seconds(self) -> float:
        """Return the simulator time since the start, s."""
        return self._pace.seconds

    @property
    def streaming(self) -> bool:
        """Return whether live data moves."""
        return self._stream_ends is not None and not self.frozen

    def issue_token(
        self, lifetime: float | None = None, role: str = "owner", serial: str | None = None, *, now: float | None = None
    ) -> str:
        """Issue a token without the cloud. ``lifetime`` in s (negative = expired); ``now`` = when it is issued."""
        return self.authority.issue(
            self.serial if serial is None else serial,
            now=self._wall() if now is None else now,
            role=role,
            lifetime=self.cloud.lifetime if lifetime is None else lifetime,
            username=self.username,
        )

    # -- time --------------------------------------------------------------------------------------------------------

    def skip(self, seconds: float) -> None:
        """Let simulator time jump ahead. Wall time, and with it tokens, stays."""
        self._pace.skip(seconds)
        self.catch_up()

    def catch_up(self) -> None:
        """Bring house, timeline and live stream up to the present."""
        self._timeline.play(self.seconds, self._advance_to, self._apply)
        self._reconcile()
        self._tell_changes()

    def _advance_to(self, moment: float) -> None:
        if self._stream_ends is not None and self._stream_ends <= moment:
            self._site_to(self._stream_ends)
            since = (self.seconds - self._stream_ends) / self.speed
            self._end_stream(self._gateway_time() - since)
        self._site_to(moment)

    def _site_to(self, moment: float) -> None:
        self.site.advance(moment - self.site.seconds)

    def _gateway_time(self) -> float:
        """Return the epoch seconds by the gateway's own clock."""
        return self._wall() + self.gateway_clock_offset

    def _end_stream(self, when: float) -> None:
        """Freeze the live data from now on, with the values and the time of this moment."""
        if self._stream_ends is not None:
            self._stream_ends = None
            if not self.frozen:
                self._frozen_meters = self._live_meters_now(when)

    # -- changes -----------------------------------------------------------------------------------------------------

    @property
    def offline(self) -> bool:
        """Return whether the gateway is cut off: the port refuses connections. Setting it acts at once."""
        return self._offline

    @offline.setter
    def offline(self, value: bool) -> None:
        self._offline = bool(value)
        self._reconcile()
        self._tell_changes()

    def set(self, **changes: Any) -> None:
        """Change the house or the gateway by name, as of now; see SITE_CHANGES and GATEWAY_CHANGES for the names."""
        known = (*SITE_CHANGES, *GATEWAY_CHANGES)
        for name in changes:
            if name not in known:
                raise ValueError(f'The simulator has nothing called "{name}"{nearest(name, known)}.')
        self.catch_up()
        self._apply(changes)
        self._reconcile()
        self._tell_changes()

    def _apply(self, changes: Mapping[str, Any]) -> None:
        change_site(self.site, {name: value for name, value in changes.items() if name in SITE_CHANGES})
        for name, value in changes.items():
            if name in _GATEWAY_SETTERS:
                _GATEWAY_SETTERS[name](self, value)

    def _change_offline(self, value: Any) -> None:
        self._offline = bool(value)

    def _change_fault(self, value: Any) -> None:
        if not isinstance(value, Mapping):
            raise ValueError("fault needs paths with their faults, like {'/ivp/meters': {'kind': 'hang'}}.")
        for path, content in value.items():
            if content is None:
                self.faults.pop(path, None)
            else:
                self.faults[path] = parse_fault(content)

    def _change_clear_faults(self, value: Any) -> None:
        if value:
            self.faults.clear()

    def _change_needs_cookie(self, value: Any) -> None:
        self.needs_cookie = bool(value)

    def _change_login(self, value: Any) -> None:
        if value not in cloud.LOGIN_MODES:
            raise ValueError(f'login cannot be "{value}"{nearest(str(value), cloud.LOGIN_MODES)}.')
        self.cloud.login_mode = value

    def _change_token_lifetime(self, value: Any) -> None:
        self.cloud.lifetime = None if value is None else float(value)

    def _change_clock(self, value: Any) -> None:
        self.gateway_clock_offset = float(value)

    def _change_stream(self, value: Any) -> None:
        if value:
            self._stream_ends = self.seconds + self.options.stream_seconds
        else:
            self._end_stream(self._gateway_time())

    def _change_frozen(self, value: Any) -> None:
        if value and not self.frozen and self._stream_ends is not None:
            self._frozen_meters = self._live_meters_now(self._gateway_time())
        self.frozen = bool(value)

    def _change_forget_tokens(self, value: Any) -> None:
        if value:
            self.authority.forget()
            self._sessions.clear()

    def _change_certificate(self, value: Any) -> None:
        if value and self._started:
            self.rotate_certificate()

    # -- telling -----------------------------------------------------------------------------------------------------

    def _visible_state(self) -> dict[str, str]:
        """Return what the command line reports when it changes."""
        site = self.site
        reachable = not self._offline and site.gateway_powered
        return {
            "grid": f"grid {site.grid} (relay: {site.relay.oper})",
            # In steps of 10 %, rounded to the nearest, so that a charge resting on a step does not flicker.
            "charge": f"charge about {int(site.agg_soc / 10 + 0.5) * 10} %" if site.encharge.capacity_wh else "no battery",
            "power": "the house is dark" if site.blackout else "the house has power",
            "gateway": "gateway answers" if reachable else "gateway offline",
        }

    def _tell_changes(self) -> None:
        self._news.compare(self._visible_state())

    # -- requests ----------------------------------------------------------------------------------------------------

    def _fault_for(self, path: str) -> Fault | None:
        table = self.faults
        return table.strike(path, cloud=path in cloud.CLOUD_PATHS) if isinstance(table, FaultTable) else None

    def _note(self, method: str, path: str, status: int) -> None:
        self.requests.append(Request(self._wall(), method, path, status))

    def _handle(self, request: Incoming) -> Answer:
        self.catch_up()
        if request.path in cloud.CLOUD_PATHS:
            return cloud.CLOUD_PATHS[request.path](self.cloud, request)
        if request.path in OPEN_PATHS:
            return self._open_answer(request)
        if self.options.version < FIRST_TOKEN_VERSION:
            return not_found()
        if request.path == _CHECK_PATH:
            return self._check_token(request)
        role, cookies = self._authorize(request)
        if role is None:
            return self._unauthorized()
        answer = self._authorized_answer(request, role)
        return replace(answer, headers=(*answer.headers, *cookies))

    def _open_answer(self, request: Incoming) -> Answer:
        captured = self._captures.answer("/info") if self._captures is not None else None
        if request.path in ("/info", "/info.xml"):
            return captured or Answer(200, documents.info(self._view()).encode(), "text/xml")
        if request.path == "/home":
            return Answer(200, documents.home(self._view()).encode(), "text/html")
        return not_found()

    def _unauthorized(self) -> Answer:
        return unauthorized("/login.html" if self.options.version >= NEW_LOGIN_PAGE_VERSION else "/home")

    def _role_of_token(self, token: str | None) -> str | None:
        if token is None:
            return None
        try:
            return self.authority.check(token, serial=self.shown_serial, now=self._gateway_time()).role
        except TokenRejected:
            return None

    def _role_of_cookie(self, request: Incoming) -> str | None:
        session = request.cookies.get("sessionId", "")
        role, used = self._sessions.get(session, ("", 0.0))
        now = self._clock()
        if not role or now - used > SESSION_SECONDS:
            self._sessions.pop(session, None)
            return None
        self._sessions[session] = (role, now)
        return role

    def _authorize(self, request: Incoming) -> tuple[str | None, tuple[tuple[str, str], ...]]:
        """Return the role of the caller (None = unknown) and the cookies to set."""
        by_token, by_cookie = self._role_of_token(request.bearer), self._role_of_cookie(request)
        if self.needs_cookie:
            # Some firmware takes the token for the login only and wants its cookie everywhere else.
            return by_cookie, ()
        if by_token is not None and by_cookie is None:
            return by_token, self._new_session(by_token)
        return by_token if request.bearer is not None else by_cookie, ()

    def _new_session(self, role: str) -> tuple[tuple[str, str], ...]:
        session = secrets.token_urlsafe(24)
        self._sessions[session] = (role, self._clock())
        while len(self._sessions) > SESSION_LIMIT:
            del self._sessions[next(iter(self._sessions))]
        return (("Set-Cookie", f"sessionId={session}; Secure; HttpOnly; path=/"),)

    def _check_token(self, request: Incoming) -> Answer:
        role = self._role_of_token(request.bearer)
        if role is None:
            return self._unauthorized()
        page = b"<!DOCTYPE html><html><body><h2>Valid token.</h2></body></html>\n"
        return Answer(200, page, "text/html", self._new_session(role))

    def _authorized_answer(self, request: Incoming, role: str) -> Answer:
        path = request.path
        if path.startswith(INSTALLER_PATHS):
            return self._unauthorized() if role == "owner" else not_found()
        if path == _STREAM_PATH:
            return self._switch_stream(request)
        if path != _LIVE_PATH and path not in _GETTERS and self._captures is None:
            return not_found()
        if request.method != "GET":
            # Also POST /ivp/ensemble/relay: what moves the relay is the scenario, never a client.
            return status_answer(405)
        if path == _LIVE_PATH:
            return json_answer(self._livedata())
        if self._captures is not None:
            return self._captured_answer(self._captures, path)
        return json_answer(_GETTERS[path](self._view()))

    def _view(self) -> View:
        return View(self.site, self.options, int(self._gateway_time()), self.shown_serial)

    # -- live data ---------------------------------------------------------------------------------------------------

    def _live_meters_now(self, when: float) -> Document:
        if self._captures is not None:
            words = self.site.relay if self.site.islanded else None
            return self._captures.live_meters(int(when), words)
        return documents.live_meters(replace(self._view(), now=int(when)))

    def _livedata(self) -> Document:
        now = self._gateway_time()
        claims = self._stream_ends is not None
        meters = self._live_meters_now(now) if self.streaming else self._frozen_meters
        # An outage may take the internet with it: then the cloud link is gone and live data still moves.
        online = self.site.grid != "outage"
        return documents.livedata(meters, stream=self.streaming, claims_stream=claims, online=online, now=int(now))

    def _switch_stream(self, request: Incoming) -> Answer:
        if request.method != "POST":
            return status_answer(405)
        try:
            wanted = json.loads(request.body)["enable"]
        except (ValueError, TypeError, KeyError):
            return json_answer({"error": "enable is needed"}, 400)
        self._change_stream(bool(wanted))
        return json_answer({"sc_stream": "enabled" if wanted else "disabled"})

    # -- captured answers --------------------------------------------------------------------------------------------

    def _captured_answer(self, captured: Captures, path: str) -> Answer:
        if path == "/ivp/ensemble/relay":
            found = captured.relay()
            if found is None:
                return self._unauthorized() if captured.relay_refused() else not_found()
            if self.site.islanded:
                words = self.site.relay
                mode = {"mains_admin_state": words.admin, "mains_oper_state": words.oper, "Enchg_grid_mode": words.mode}
                found = {**found, **mode}
            return json_answer(found)
        answer = captured.answer(path)
        if answer is not None:
            return answer
        if path == "/ivp/meters/reports":
            return json_answer(captured.reports())
        # Not captured because that system has no meters.
        return json_answer([]) if path.startswith("/ivp/meters") else not_found()


_GATEWAY_SETTERS: Mapping[str, Callable[[GatewaySimulator, Any], None]] = {
    "offline": GatewaySimulator._change_offline,
    "fault": GatewaySimulator._change_fault,
    "clear_faults": GatewaySimulator._change_clear_faults,
    "needs_cookie": GatewaySimulator._change_needs_cookie,
    "login": GatewaySimulator._change_login,
    "token_lifetime": GatewaySimulator._change_token_lifetime,
    "gateway_clock_offset": GatewaySimulator._change_clock,
    "stream": GatewaySimulator._change_stream,
    "frozen": GatewaySimulator._change_frozen,
    "forget_tokens": GatewaySimulator._change_forget_tokens,
    "rotate_certificate": GatewaySimulator._change_certificate,
}
