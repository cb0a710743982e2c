# SPDX-License-Identifier: GPL-2.0-or-later
"""Scenarios, what all devices have in common: reading them from YAML files, and what happens when."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from nutdrv_py.simulators.spelling import nearest

FILE_LIMIT = 256 * 1024
"""Longest scenario file, bytes: a long story has some hundred lines."""


class ScenarioError(ValueError):
    """A scenario that cannot be used; the text is a sentence for its author."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens ``at`` seconds of simulator time after the start: changes as for ``set()``."""

    at: float
    changes: Mapping[str, Any]

    def __post_init__(self) -> None:
        """Refuse changes that are not possible."""
        if self.at < 0:
            raise ValueError("A scenario's timeline starts at 0 seconds.")
        self.check()

    def check(self) -> None:
        """Raise ``ValueError`` for changes that the device does not have."""


class Timeline:
    """The events of a story that are still to come."""

    def __init__(self, events: Iterable[Event]) -> None:
        self._events = deque(sorted(events, key=lambda event: event.at))

    def __len__(self) -> int:
        """Return how many events are still to come."""
        return len(self._events)

    def play(self, now: float, advance: Callable[[float], None], apply: Callable[[Mapping[str, Any]], None]) -> None:
        """Bring a device up to ``now`` seconds: ``advance`` lets time pass to a moment, ``apply`` makes an event's changes."""
        while self._events and self._events[0].at <= now:
            event = self._events.popleft()
            advance(event.at)
            apply(event.changes)
        advance(now)


Story = TypeVar("Story")
Happening = TypeVar("Happening", bound=Event)


def find_story(name: str, named: Mapping[str, Story], parse: Callable[[Any, str], Story]) -> Story:
    """Return the story of this name, or what ``parse`` makes of the YAML file at this path and its stem."""
    if name in named:
        return named[name]
    path = Path(name)
    if not path.is_file():
        raise ScenarioError(f'There is no scenario and no file called "{name}"{nearest(name, named)}.')
    try:
        if path.stat().st_size > FILE_LIMIT:
            raise ScenarioError(f"{name} is too long for a scenario (limit {FILE_LIMIT} bytes).")
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(f"The scenario {name} cannot be read: {error}.") from None
    except yaml.YAMLError as error:
        raise ScenarioError(f"The scenario {name} is not YAML: {error}") from None
    try:
        return parse({} if content is None else content, path.stem)
    except (ValueError, TypeError) as error:
        raise ScenarioError(f"{name}: {error}") from None


def base_story(content: Mapping[str, Any], named: Mapping[str, Story]) -> Story:
    """Return the named story that a file starts from: the one of its key ``base``, or "online"."""
    name = content.get("base", "online")
    if name not in named:
        raise ScenarioError(f'base: there is no scenario "{name}"{nearest(str(name), named)}.')
    return named[name]


def parse_timeline(content: Any, make: Callable[[float, Mapping[str, Any]], Happening]) -> tuple[Happening, ...]:
    """Build the timeline of a scenario, sorted, from a list of entries ``{at: seconds, set: {...}}``."""
    if not isinstance(content, list):
        raise ScenarioError('timeline: needs a list of entries like "- {at: 30, set: {grid: outage}}".')
    events = []
    for entry in content:
        known_keys(entry, ("at", "set"), "an entry of the timeline")
        if isinstance(entry.get("at"), bool) or not isinstance(entry.get("at"), (int, float)):
            raise ScenarioError('timeline: every entry needs "at" with a number of seconds.')
        if not isinstance(entry.get("set"), Mapping):
            raise ScenarioError('timeline: every entry needs "set" with what changes.')
        # YAML 1.1 reads a bare on as true; what is meant is clear.
        changes = {key: "on" if key == "grid" and value is True else value for key, value in entry["set"].items()}
        events.append(make(float(entry["at"]), changes))
    return tuple(sorted(events, key=lambda event: event.at))


def known_keys(content: Any, known: Iterable[str], where: str) -> None:
    """Refuse what is no table, and keys that are not known."""
    if not isinstance(content, Mapping):
        raise ScenarioError(f"{where}: needs keys with values, not {type(content).__name__}.")
    names = tuple(known)
    for key in content:
        if key not in names:
            raise ScenarioError(f'{where} has no key "{key}"{nearest(str(key), names)}.')


def right_types(content: Mapping[str, Any], example: Any, where: str) -> None:
    """Compare the type of each value with that of the example's; whole numbers do for floats."""
    for key, value in content.items():
        present = getattr(example, key)
        wanted = float if present is None else type(present)
        fits = isinstance(value, wanted) or (wanted is float and isinstance(value, int)) or value is None is present
        if key == "grid" and value is True:
            raise ScenarioError(f'{where}: write grid: "on" with quotation marks (YAML reads a bare on as true).')
        if not fits or (isinstance(value, bool) and wanted is not bool):
            raise ScenarioError(f"{where}: {key} cannot be {value!r}; it is a {_TYPE_WORDS.get(wanted, 'value')}.")


def plain_words(content: Mapping[str, Any], words: Mapping[tuple[str, Any], Any]) -> dict[str, Any]:
    """Return tuples instead of lists, and the plain value for each yes, no or nothing that ``words`` translates."""

    def plain(name: str, value: Any) -> Any:
        if isinstance(value, list | set | frozenset):
            return tuple(value)
        return words.get((name, value), value) if value is None or isinstance(value, bool) else value

    return {name: plain(name, value) for name, value in content.items()}


_TYPE_WORDS: Mapping[type, str] = {
    bool: "yes or no (true/false)",
    int: "whole number",
    float: "number",
    str: "text",
    tuple: "list",
}
