# SPDX-License-Identifier: GPL-2.0-or-later
"""What is answered at each path of the gateway's port."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from nutdrv_py.simulators.enphase import documents
from nutdrv_py.simulators.enphase.access import Access
from nutdrv_py.simulators.enphase.captures import Captures
from nutdrv_py.simulators.enphase.cloud import CLOUD_PATHS, Cloud
from nutdrv_py.simulators.enphase.documents import DOCUMENTS, View
from nutdrv_py.simulators.enphase.live import LiveData
from nutdrv_py.simulators.enphase.messages import Answer, Incoming, json_answer, not_found, status_answer

FIRST_TOKEN_VERSION = (7,)

OPEN_PATHS = ("/info", "/info.xml", "/home", "/")
"""What the gateway shows without a token."""

INSTALLER_PATHS = ("/ivp/peb/", "/ivp/tpm/", "/ivp/meters/cts", "/installer/", "/ivp/mod/")
"""Paths that an owner's token may not read."""

LIVE_PATH = "/ivp/livedata/status"
STREAM_PATH = "/ivp/livedata/stream"
CHECK_PATH = "/auth/check_jwt"

ENDPOINTS = (*OPEN_PATHS[:3], *DOCUMENTS, LIVE_PATH, STREAM_PATH, CHECK_PATH)
"""All paths of the gateway."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The paths of the gateway and, on the same port, of the cloud. With ``captures`` documents are those of a folder."""

    view: Callable[[], View]
    access: Access
    live: LiveData
    cloud: Cloud
    captures: Captures | None

    def answer(self, request: Incoming) -> Answer:
        """Answer a request to any path."""
        path = request.path
        if path in CLOUD_PATHS:
            return CLOUD_PATHS[path](self.cloud, request)
        if path in OPEN_PATHS:
            return self._open(path)
        if self.view().version < FIRST_TOKEN_VERSION:
            return not_found()
        if path == CHECK_PATH:
            return self.access.check_token(request)
        role, cookies = self.access.authorize(request)
        if role is None:
            return self.access.refuse()
        answer = self._authorized(request, role)
        return replace(answer, headers=(*answer.headers, *cookies))

    def _open(self, path: str) -> Answer:
        if path.startswith("/info"):
            captured = self.captures.answer("/info") if self.captures is not None else None
            return captured or Answer(200, documents.info(self.view()).encode(), "text/xml")
        if path == "/home":
            return Answer(200, documents.home(self.view()).encode(), "text/html")
        return not_found()

    def _authorized(self, request: Incoming, role: str) -> Answer:
        path = request.path
        if path.startswith(INSTALLER_PATHS):
            return self.access.refuse() if role == "owner" else not_found()
        if path == STREAM_PATH:
            return self.live.answer_switch(request)
        if path != LIVE_PATH and path not in DOCUMENTS and self.captures is None:
            return not_found()
        if request.method != "GET":
            # Also POST /ivp/ensemble/relay: what moves the relay is the scenario, never a client.
            return status_answer(405)
        if path == LIVE_PATH:
            return json_answer(self.live.document())
        if self.captures is not None:
            return self._captured(self.captures, path)
        return json_answer(DOCUMENTS[path](self.view()))

    def _captured(self, captured: Captures, path: str) -> Answer:
        if path == "/ivp/ensemble/relay":
            found = captured.relay()
            if found is None:
                return self.access.refuse() if captured.relay_refused() else not_found()
            site = self.view().site
            if site.islanded:
                words = site.relay
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
