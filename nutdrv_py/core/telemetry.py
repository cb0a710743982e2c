# SPDX-License-Identifier: GPL-2.0-or-later
"""What exporters may know of a device: one :class:`View` at a moment, and the driver's own :class:`Health`.

Exporters look at any time, or are called with each change. While the data are stale a view holds none of them: nothing that
looks at it can repeat an old value as new. What a device answers without the state of the grid is not old: it is in ``raw``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from nutdrv_py.core.driver import Driver
from nutdrv_py.core.poller import FAILURES
from nutdrv_py.device.backend import Answers
from nutdrv_py.device.reading import Status
from nutdrv_py.log import Trouble, log
from nutdrv_py.nut.kinds import What
from nutdrv_py.nut.snapshot import Snapshot, Variable

__all__ = ["BUCKETS", "Health", "Source", "View"]

BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the poll duration histogram, in seconds."""


@dataclass(frozen=True, slots=True)
class View:
    """A device at one moment.

    ``variables`` are NUT's, those of the driver (``driver.*``) included. While ``stale``, only ``driver.*``
    is left in them, and ``status`` and ``alarms`` are empty, as is ``raw`` unless ``answering``.
    """

    ups: str
    """Name of the section."""
    backend: str
    stale: bool
    now: float
    """Seconds since 1970 (UTC) of this look."""
    at: float | None
    """Seconds since 1970 of the last good data, also while stale; None when there never were any."""
    variables: Mapping[str, Variable]
    status: Status
    alarms: tuple[str, ...]
    raw: Mapping[str, object]
    """The device's own names: of RCT the objects by name, of Enphase the payloads by endpoint."""
    raw_at: Mapping[str, float] = field(default_factory=dict)
    """Seconds since 1970 at which the device reported each of ``raw``, as far as that is known; else ``at``."""

    answering: bool = False
    """Whether the device answers although no reading can be made of it: ``raw`` is what it answers, stale or not."""

    @property
    def current_raw(self) -> Mapping[str, object]:
        """Return ``raw``, empty when it is not current."""
        return self.raw if self.answering or not self.stale else {}

    @property
    def texts(self) -> dict[str, str]:
        """Return the variables' values by name, as upsc shows them."""
        return {name: variable.value for name, variable in self.variables.items()}

    @property
    def numbers(self) -> dict[str, float]:
        """Return the finite values of the variables that are numbers, by name."""
        return {name: float(variable.value) for name, variable in self.variables.items() if variable.kind.what is What.NUMBER}

    @property
    def age(self) -> float | None:
        """Return the seconds since the last good data; None when there never were any."""
        return None if self.at is None else max(0.0, self.now - self.at)


@dataclass(frozen=True, slots=True)
class Health:
    """How the driver itself does."""

    ups: str
    backend: str
    up: bool
    """Whether the last poll was good."""
    polls: int
    failures: Mapping[str, int]
    """Failed polls by kind, each of :data:`~nutdrv_py.core.poller.FAILURES`."""
    seconds: float
    """Sum of the durations of all polls."""
    buckets: tuple[int, ...]
    """Polls that took at most as long as each of :data:`BUCKETS`."""
    clients: int
    """Connections to the driver's socket: upsd and its like."""
    counters: Mapping[str, int]
    """What the backend counts."""
    ages: Mapping[str, float]
    """Seconds since each quantity was last reported, by the backend's name for it."""


class Source:
    """A driver as exporters see it. ``clients`` counts the connections to its socket."""

    def __init__(self, driver: Driver, *, clients: Callable[[], int] = lambda: 0) -> None:
        self._driver = driver
        self._clients = clients
        self._listeners: list[Callable[[View], None]] = []
        self._trouble = Trouble()
        self._up = False
        self._polls = 0
        self._failures: Counter[str] = Counter(dict.fromkeys(FAILURES, 0))
        self._seconds = 0.0
        self._buckets = [0] * len(BUCKETS)
        driver.poller.polled = self._polled
        driver.subscribe(self._changed)

    @property
    def ups(self) -> str:
        """Name of the section."""
        return self._driver.settings.ups

    @property
    def backend(self) -> str:
        """Name of the backend."""
        return self._driver.settings.backend_name

    def subscribe(self, listener: Callable[[View], None]) -> None:
        """Call ``listener`` with each change. It runs in the event loop and must return at once."""
        self._listeners.append(listener)

    def view(self) -> View:
        """Return the device now."""
        driver = self._driver
        snapshot, reading = driver.snapshot, driver.reading
        now, mono = driver.clock.wall(), driver.clock.monotonic()
        variables = snapshot.variables
        if snapshot.stale:
            variables = {name: variable for name, variable in variables.items() if name.startswith("driver.")}
        answers = driver.answers
        told = answers or reading or Answers({}, {})
        return View(
            ups=self.ups,
            backend=self.backend,
            stale=snapshot.stale,
            now=now,
            at=None if driver.good_at is None else now - (mono - driver.good_at),
            variables=variables,
            status=Status.parse(variables["ups.status"].value if "ups.status" in variables else "")[0],
            # On the grid the driver withdraws alarms before the data go stale.
            alarms=reading.alarms if reading is not None and "ups.alarm" in variables else (),
            raw=told.raw,
            raw_at={name: now - mono + at for name, at in told.raw_times.items()},
            answering=answers is not None,
        )

    def health(self) -> Health:
        """Return how the driver does now."""
        backend = self._driver.backend
        return Health(
            ups=self.ups,
            backend=self.backend,
            up=self._up,
            polls=self._polls,
            failures=dict(self._failures),
            seconds=self._seconds,
            buckets=tuple(self._buckets),
            clients=self._clients(),
            counters=backend.counters,
            ages=backend.ages,
        )

    def _polled(self, seconds: float, failure: str | None) -> None:
        self._up = failure is None
        self._polls += 1
        self._seconds += seconds
        if failure is not None:
            self._failures[failure] += 1
        for index, bound in enumerate(BUCKETS):
            self._buckets[index] += seconds <= bound

    def _changed(self, old: Snapshot, new: Snapshot) -> None:
        if not self._listeners:
            return
        view = self.view()
        for listener in self._listeners:
            try:
                listener(view)
            except Exception as error:
                # What an exporter does wrong must never reach upsd.
                if self._trouble.report(f"listener {listener!r}", f"internal error in an exporter: {type(error).__name__}"):
                    log.error("please report this:", exc_info=error)
