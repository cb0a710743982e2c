# SPDX-License-Identifier: GPL-2.0-or-later
"""The contract of a backend: a device that can be a UPS. Only :meth:`Backend.poll` is obligatory.

``drivers/skeleton.py`` is a complete backend in one file, made to be copied.
"""

from __future__ import annotations

import abc
import importlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import MISSING, dataclass, field
from types import ModuleType, TracebackType
from typing import Any, ClassVar, Generic, Self, TypeVar

from nutdrv_py.clock import Clock
from nutdrv_py.device.findings import Finding
from nutdrv_py.device.reading import Reading
from nutdrv_py.errors import CommandError, ConfigError, Result

__all__ = ["BUILT_IN", "ENTRY_POINTS", "Answers", "Backend", "Config", "Option", "Writable", "load", "names", "option"]

ENTRY_POINTS = "nutdrv_py.backends"
"""Group in which installed packages register backends: ``name = package.module:Class``."""

BUILT_IN = {
    "enphase": "nutdrv_py.backends.enphase:Enphase",
    "rct": "nutdrv_py.backends.rct:Rct",
    "dummy": "nutdrv_py.backends.dummy:Dummy",
    "repeater": "nutdrv_py.backends.repeater:Repeater",
    "replay": "nutdrv_py.backends.replay:Replay",
    "mapping": "nutdrv_py.backends.mapping:Mapping",
}
"""The backends of this package, as it registers them itself: looking for entry points takes longer than the rest of the start."""


@dataclass(frozen=True, slots=True)
class Option:
    """What the configuration knows of an option besides its name, type and default."""

    help: str
    minimum: float | None = None
    sensitive: bool = False
    reload: bool = False
    choices: tuple[str, ...] = ()
    default_text: str = ""


def option(
    help: str,
    *,
    default: Any = MISSING,
    minimum: float | None = None,
    sensitive: bool = False,
    reload: bool = False,
    choices: tuple[str, ...] = (),
    default_text: str = "",
) -> Any:
    """Declare a field of a :class:`Config`: an option of the section in ups.conf.

    A value below ``minimum`` is raised to it and logged once. ``sensitive`` keeps the value out of ``driver.parameter.*``,
    out of the logs and out of the command line. ``reload`` lets a reload change it while the driver runs.
    ``default_text`` is what an absent default means, for documentation.
    """
    settled = Option(help, minimum, sensitive, reload, choices, default_text)
    return field(default=default, repr=not sensitive, metadata={"option": settled})


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The options every backend has. A backend subclasses it, adds fields and may give others a new default."""

    port: str = option("where the device is")
    pollinterval: int = option("seconds between quick polls", default=2, minimum=1, reload=True)
    pollfreq: int = option("seconds between full polls, for slow values", default=60, minimum=1, reload=True)
    maxage: int = option(
        "seconds the last good reading is served while polls fail; then the data are stale", default=15, minimum=1, reload=True
    )
    lowbatt: float | None = option(
        "percent of charge at which LB begins; fixes battery.charge.low", default=None, minimum=0, reload=True
    )
    looks: int = option(
        "seconds between two looks of any upsmon at most, its POLLFREQ plus 2: for so long alarms are withdrawn before the data "
        "go stale or the driver ends",
        default=7, minimum=1, reload=True,
    )  # fmt: skip
    ups: str = ""
    overrides: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)
    confpath: str = ""
    statepath: str = ""
    home: str = ""


_Config = Config  # inside Backend the name Config means the class of its options
ConfigT = TypeVar("ConfigT", bound=Config)


@dataclass(frozen=True, slots=True)
class Answers:
    """What a device answers of which no reading can be made: ``raw`` and ``raw_times`` as in a Reading."""

    raw: Mapping[str, object]
    raw_times: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Writable:
    """What upsrw may set a variable to: integers in ``ranges``, one of ``enum``, or text up to ``maxlen``."""

    ranges: tuple[tuple[int, int], ...] = ()
    enum: tuple[str, ...] = ()
    maxlen: int = 0

    def check(self, value: str) -> None:
        """Raise :class:`CommandError` unless ``value`` is allowed: local clients reach the socket without upsd's checks."""
        if self.ranges:
            try:
                wanted = int(value)
            except ValueError:
                raise CommandError(f"{value!r} is not a whole number", Result.INVALID) from None
            if not any(low <= wanted <= high for low, high in self.ranges):
                allowed = " or ".join(f"{low} to {high}" for low, high in self.ranges)
                raise CommandError(f"{wanted} is not in the range {allowed}", Result.INVALID)
        elif self.enum and value not in self.enum:
            raise CommandError(f"{value!r} is not one of {', '.join(self.enum)}", Result.INVALID)
        elif self.maxlen and len(value) > self.maxlen:
            raise CommandError(f"the text is longer than {self.maxlen} characters", Result.INVALID)


class Backend(abc.ABC, Generic[ConfigT]):
    """A device that can be a UPS; ``ConfigT`` is the class of its options.

    The driver calls the methods one at a time from one task. Nothing here may block the event loop: put blocking calls
    into ``asyncio.to_thread``. A failure is a :class:`~nutdrv_py.errors.DeviceError` with a sentence; never an exit.
    """

    Config: ClassVar[type[_Config]] = _Config
    description: ClassVar[str] = "UPS backend"
    version: ClassVar[str] = "0"
    patience: ClassVar[int] = 15
    """Seconds that ``maxage`` should be at least: the longest silence of a healthy device, and no less than upsmon needs to see
    that an alarm was withdrawn. ``nutdrv_py check`` warns of less."""

    tools: ClassVar[str] = ""
    """``module:NAME`` of the :class:`~nutdrv_py.device.tools.Tools` by which simulate, demo, record and scan know the device."""

    says_low: ClassVar[bool] = False
    """True for a device that makes LB itself, in NUT's words: its own low marks then make no LB here, only those that
    are set here do."""

    says_fsd: ClassVar[bool] = False
    """True for a device that is another upsd: FSD is its word for a shutdown that has begun, after which it cuts the power."""

    def __init__(self, config: ConfigT, clock: Clock) -> None:
        self.config = config
        self.clock = clock
        self.publish: Callable[[Reading], None] = lambda reading: None
        """Call it inside :meth:`poll` with what cannot wait for the rest of the poll: the grid changed."""
        self.seen = ""
        """One word on what was seen of the device and still holds after a restart, in an outage too; empty for nothing. Set it
        in a poll; before the first poll it is what the driver before this one had, unless that is more than a day ago."""
        self.for_exporters = False
        """Set by the daemon: there is no upsd, and exporters may want some values more often than upsd needs them."""
        self.wake: Callable[[], None] = lambda: None
        """Call it from the event loop, at any time, to have the next poll at once: the device has something new to say."""

    @classmethod
    def check(cls, config: ConfigT) -> None:
        """Raise :class:`ConfigError` for options that cannot work together, before anything is started."""

    @property
    def commands(self) -> frozenset[str]:
        """Return the instant commands that :meth:`command` understands now; a class attribute where they never change."""
        return frozenset()

    @property
    def writable(self) -> Mapping[str, Writable]:
        """Return the variables that :meth:`set` takes now, with what they may be set to."""
        return {}

    @property
    def counters(self) -> Mapping[str, int]:
        """Return what the backend counts, by a name in lower case with ``_``; it only grows. For exporters."""
        return {}

    @property
    def ages(self) -> Mapping[str, float]:
        """Return the seconds since each quantity was last reported, by name; only what was reported. For exporters."""
        return {}

    @property
    def answers(self) -> Answers | None:
        """Return the device's answers although no reading can be made of them, because the grid is missing. For exporters.

        None while it does not answer, and while there are readings.
        """
        return None

    async def __aenter__(self) -> Self:
        """Open the connection, if there is one to open. Called again before a poll until it succeeds."""
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close what ``__aenter__`` opened."""

    @abc.abstractmethod
    async def poll(self) -> Reading:
        """Poll the device once; raises :class:`~nutdrv_py.errors.DeviceError` when there is no usable answer."""

    @property
    def address(self) -> tuple[str, int] | None:
        """Return host and TCP port that this backend connects to; None when it needs no network, or does not know."""
        return None

    async def examine(self, *, login: bool) -> AsyncIterator[Finding]:
        """Report for ``nutdrv_py check`` what only this backend can find out about the device, with few requests and nothing
        written.

        Called instead of :meth:`poll`, outside of ``async with``, perhaps beside a running driver. With ``login`` a token may
        be fetched, or whatever else takes a password.
        """
        nothing: tuple[Finding, ...] = ()
        for finding in nothing:
            yield finding

    async def command(self, name: str, param: str | None) -> None:
        """Run an instant command; :class:`~nutdrv_py.errors.CommandError` when it cannot be done."""
        raise CommandError(f"the instant command {name} is unknown", Result.UNKNOWN)

    async def set(self, name: str, value: str) -> None:
        """Set a variable of :attr:`writable`; the value was checked against it."""
        raise CommandError(f"{name} cannot be set", Result.UNKNOWN)

    async def shutdown(self) -> None:
        """Cut the power of the load (``-k``, killpower). Most house batteries cannot."""
        raise CommandError("shutdown not supported: this device has no output that the driver could switch off", Result.FAILED)

    async def reload(self, config: ConfigT) -> None:
        """Take over options marked ``reload``; the others are unchanged in ``config``. May come while a poll is under way."""
        self.config = config


def names() -> dict[str, str]:
    """Return the backends installed: name to ``module:Class``."""
    from importlib import metadata

    return {entry.name: entry.value for entry in metadata.entry_points(group=ENTRY_POINTS)} | BUILT_IN


def load(name: str) -> type[Backend[Any]]:
    """Return the backend called ``name``: an entry point, or ``module:Class`` for one without packaging.

    Such a module is first looked for in the plug-in folder, see :mod:`nutdrv_py.machine.plugins`.

    Raises :class:`ConfigError` with the list of backends when there is none of that name.
    """
    target = BUILT_IN.get(name) or (name if ":" in name else names().get(name, ""))
    module_name, colon, class_name = target.partition(":")
    if not colon:
        raise ConfigError(f"there is no backend {name!r}; write backend = one of: {', '.join(sorted(names()))}, or module:Class")
    try:
        found = getattr(_module(module_name), class_name)
    except ImportError as error:
        raise ConfigError(f"the backend {name!r} cannot be imported: {error}") from error
    except AttributeError:
        raise ConfigError(f"the backend {name!r}: module {module_name} has no {class_name}") from None
    if not (isinstance(found, type) and issubclass(found, Backend)):
        raise ConfigError(f"the backend {name!r}: {class_name} is not a nutdrv_py.Backend")
    return found


def _module(name: str) -> ModuleType:
    """Return the module: a file of the plug-in folder, else one that Python finds."""
    if "." not in name:
        # Imported here: a driver with a backend of this package stays small.
        from nutdrv_py.machine.plugins import plugin

        module = plugin(name)
        if module is not None:
            return module
    return importlib.import_module(name)
