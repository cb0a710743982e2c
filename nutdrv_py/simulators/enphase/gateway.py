# SPDX-License-Identifier: GPL-2.0-or-later
"""The simulated gateway: house, documents, tokens and faults behind one TLS port."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from nutdrv_py.simulators.enphase import cloud
from nutdrv_py.simulators.enphase.access import Access
from nutdrv_py.simulators.enphase.captures import Captures
from nutdrv_py.simulators.enphase.certificate import make_certificate
from nutdrv_py.simulators.enphase.changes import CHANGES, change_gateway
from nutdrv_py.simulators.enphase.documents import View
from nutdrv_py.simulators.enphase.endpoints import Endpoints
from nutdrv_py.simulators.enphase.faults import Fault, FaultTable
from nutdrv_py.simulators.enphase.listener import Listener
from nutdrv_py.simulators.enphase.live import LiveData
from nutdrv_py.simulators.enphase.messages import Answer, Incoming, Request
from nutdrv_py.simulators.enphase.physics import Site
from nutdrv_py.simulators.enphase.scenarios import SCENARIOS, Scenario
from nutdrv_py.simulators.enphase.tokens import TokenAuthority
from nutdrv_py.simulators.news import News
from nutdrv_py.simulators.pace import Pace
from nutdrv_py.simulators.spelling import nearest
from nutdrv_py.simulators.stories import Timeline

REQUEST_LOG_LENGTH = 10_000
"""Requests remembered: a day of polling every 10 s; older ones fall out."""

TICK_SECONDS = 0.05
"""How often the timeline is looked at between requests, real time; every request looks at it too."""


class GatewaySimulator:
    """A gateway with its house and its cloud account.

    ``speed`` makes simulator time run faster than ``clock`` (seconds, any start); tokens, Date and ``last_update``
    follow ``wall`` (epoch seconds) plus ``gateway_clock_offset``. Once it is started, ``fingerprint`` is the SHA-256 of its
    certificate in DER form, lower-case hex. All methods belong to the event loop's thread; see
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
        captures: Captures | None = None,
    ) -> None:
        """Make the gateway as the scenario wants it; nothing listens before :meth:`start`."""
        if not serial.isalnum():
            raise ValueError(f'A serial number has letters and digits only, not "{serial}".')
        self.scenario = scenario
        self.options = scenario.gateway
        self.serial = serial
        # The serial number that the gateway reports: its own, unless the scenario makes it another gateway.
        self.shown_serial = self.options.reported_serial or serial
        self.speed = speed
        self.site = Site(scenario.site)
        self.offline = False
        self.fingerprint = ""
        self.gateway_clock_offset = 0.0
        self.requests: deque[Request] = deque(maxlen=REQUEST_LOG_LENGTH)
        self._wall = wall
        self._pace = Pace(clock, speed)
        self._timeline = Timeline(scenario.timeline)
        self._news = News()
        self.listeners = self._news.listeners
        self.authority = TokenAuthority()
        self.access: Access = Access(
            self.authority, self.shown_serial, self.options.version, self._gateway_time, clock, self.options.needs_cookie
        )
        self.cloud = cloud.Cloud(
            self.authority,
            wall,
            login_mode=self.options.login,
            lifetime=self.options.token_lifetime,
            issued=self._news.tell,
        )
        self.live: LiveData = LiveData(self.view, self._pace, captures)
        self._endpoints = Endpoints(self.view, self.access, self.live, self.cloud, captures)
        self._listener = Listener(self._answer, self._fault_for, self._note, self._gateway_time)
        self._ticker: asyncio.Task[None] | None = None
        self.faults: FaultTable = FaultTable(self._reconcile)
        self.faults.update(scenario.faults)
        self._news.note(self._visible_state())

    @classmethod
    def from_captures(cls, directory: str | Path, **settings: Any) -> GatewaySimulator:
        """Make a gateway that serves a folder of captured answers; ``settings`` are those of the constructor."""
        captured = Captures.load(directory)
        options = replace(SCENARIOS["online"].gateway, firmware=captured.firmware or "D8.2.4345")
        scenario = settings.pop("scenario", None) or Scenario("captures", f"Answers from {directory}.", gateway=options)
        settings.setdefault("serial", captured.serial or "122333444455")
        return cls(scenario, captures=captured, **settings)

    # -- life --------------------------------------------------------------------------------------------------------

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen on this loopback address; port 0 takes a free one. Simulator time starts now."""
        if self._ticker is not None:
            raise RuntimeError("The simulator is running already.")
        self._make_certificate()
        self._listener.reserve(host, port)
        self._pace.restart()
        self._ticker = asyncio.get_running_loop().create_task(self._tick())
        self._reconcile()

    async def stop(self) -> None:
        """Close the port. Stopping twice is fine."""
        if self._ticker is None:
            return
        ticker, self._ticker = self._ticker, None
        ticker.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await ticker
        await self._listener.stop()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self.catch_up()

    def _reconcile(self) -> None:
        """Open or close the port as the gateway's state wants it."""
        if self._ticker is None:
            return
        everywhere = self.faults.get("*")
        refused = everywhere is not None and everywhere.kind == "refuse"
        if self.offline or refused or not self.site.gateway_powered:
            self._listener.close()
        else:
            self._listener.listen()

    def _make_certificate(self) -> None:
        with tempfile.TemporaryDirectory(prefix="enphase-simulator-") as folder:
            made = make_certificate(Path(folder), self.shown_serial)
            self._listener.use_certificate(str(made.path), str(made.key_path))
        self.fingerprint = made.fingerprint

    def rotate_certificate(self) -> None:
        """Make a new certificate, as an upgrade does; present connections end, new ones see the new one."""
        if self._ticker is None:
            return  # as a change of the timeline: the first one is still to be made
        self._make_certificate()
        # The listening socket keeps the certificate it was opened with, so it is opened anew.
        self._listener.close()
        self._reconcile()
        self._news.tell("certificate changed")

    # -- what others need to know ------------------------------------------------------------------------------------

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
    def username(self) -> str:
        """Name of the cloud account."""
        return self.cloud.username

    @property
    def password(self) -> str:
        """Return the password of the cloud account."""
        return self.cloud.password

    @property
    def most_parallel(self) -> int:
        """Return the most requests ever handled at the same time; a well-behaved client keeps this at 1."""
        return self._listener.most_parallel

    @property
    def seconds(self) -> float:
        """Return the simulator time since the start, s."""
        return self._pace.seconds

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
        self._timeline.play(self.seconds, self._advance_to, partial(change_gateway, self))
        self._reconcile()
        self._news.compare(self._visible_state())

    def _advance_to(self, moment: float) -> None:
        ends = self.live.ends
        if ends is not None and ends <= moment:
            self._site_to(ends)
            self.live.end(self._gateway_time() - (self.seconds - ends) / self.speed)
        self._site_to(moment)

    def _site_to(self, moment: float) -> None:
        self.site.advance(moment - self.site.seconds)

    def _gateway_time(self) -> float:
        """Return the epoch seconds by the gateway's own clock."""
        return self._wall() + self.gateway_clock_offset

    def set(self, **changes: Any) -> None:
        """Change the house or the gateway by name, as of now; see CHANGES for the names."""
        for name in changes:
            if name not in CHANGES:
                raise ValueError(f'The simulator has nothing called "{name}"{nearest(name, CHANGES)}.')
        self.catch_up()
        change_gateway(self, changes)
        self._reconcile()
        self._news.compare(self._visible_state())

    def _visible_state(self) -> dict[str, str]:
        """Return what the command line reports when it changes."""
        site = self.site
        reachable = not self.offline and site.gateway_powered
        return {
            "grid": f"grid {site.grid} (relay: {site.relay.oper})",
            # In steps of 10 %, rounded to the nearest, so that a charge resting on a step does not flicker.
            "charge": f"charge about {int(site.agg_soc / 10 + 0.5) * 10} %" if site.encharge.capacity_wh else "no battery",
            "power": "the house is dark" if site.blackout else "the house has power",
            "gateway": "gateway answers" if reachable else "gateway offline",
        }

    # -- requests ----------------------------------------------------------------------------------------------------

    def view(self) -> View:
        """Return what the documents of this moment are made from."""
        return View(self.site, self.options, int(self._gateway_time()), self.shown_serial)

    def _answer(self, request: Incoming) -> Answer:
        self.catch_up()
        return self._endpoints.answer(request)

    def _fault_for(self, path: str) -> Fault | None:
        return self.faults.strike(path, cloud=path in cloud.CLOUD_PATHS)

    def _note(self, method: str, path: str, status: int) -> None:
        self.requests.append(Request(self._wall(), method, path, status))
