# SPDX-License-Identifier: GPL-2.0-or-later
"""Live data: they move while the stream is on, and show the moment of its end afterwards."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

from nutdrv_py.simulators.enphase import documents
from nutdrv_py.simulators.enphase.captures import Captures
from nutdrv_py.simulators.enphase.documents import Document, View
from nutdrv_py.simulators.enphase.messages import Answer, Incoming, json_answer, status_answer
from nutdrv_py.simulators.pace import Pace


class LiveData:
    """The stream and what it shows. ``ends`` is when it ends, simulator time in seconds; None: it is off.

    ``frozen`` is the fault that nothing moves although the stream claims to be on.
    """

    def __init__(self, view: Callable[[], View], pace: Pace, captures: Captures | None) -> None:
        """Begin as the gateway's options want it."""
        options = view().options
        self.ends: float | None = options.stream_seconds if options.stream else None
        self.frozen = options.frozen
        self._seconds = options.stream_seconds
        self._view = view
        self._pace = pace
        self._captures = captures
        self._last = self._meters()

    @property
    def streaming(self) -> bool:
        """Return whether the data move."""
        return self.ends is not None and not self.frozen

    def document(self) -> Document:
        """Return ``/ivp/livedata/status``."""
        view = self._view()
        return documents.livedata(
            self._meters() if self.streaming else self._last,
            stream=self.streaming,
            claims_stream=self.ends is not None,
            # An outage may take the internet with it: then the cloud link is gone and live data still moves.
            online=view.site.grid != "outage",
            now=view.now,
        )

    def answer_switch(self, request: Incoming) -> Answer:
        """Answer ``/ivp/livedata/stream``: ``POST`` with JSON ``{"enable": 1}`` or 0."""
        if request.method != "POST":
            return status_answer(405)
        try:
            wanted = json.loads(request.body)["enable"]
        except (ValueError, TypeError, KeyError):
            return json_answer({"error": "enable is needed"}, 400)
        self.switch(bool(wanted))
        return json_answer({"sc_stream": "enabled" if wanted else "disabled"})

    def switch(self, on: bool) -> None:
        """Switch the stream on for its time, or off."""
        if on:
            self.ends = self._pace.seconds + self._seconds
        else:
            self.end()

    def end(self, when: float | None = None) -> None:
        """End the stream with the values of now and the time ``when``, epoch seconds; None: now."""
        if self.streaming:
            self._last = self._meters(when)
        self.ends = None

    def freeze(self, frozen: bool) -> None:
        """Let the data stand still from now on, or move again."""
        if frozen and self.streaming:
            self._last = self._meters()
        self.frozen = frozen

    def _meters(self, when: float | None = None) -> Document:
        view = self._view()
        if when is not None:
            view = replace(view, now=int(when))
        if self._captures is not None:
            return self._captures.live_meters(view.now, view.site.relay if view.site.islanded else None)
        return documents.live_meters(view)
