# SPDX-License-Identifier: GPL-2.0-or-later
"""News of a simulator for its listeners."""

from __future__ import annotations

from collections.abc import Callable, Mapping


class News:
    """Texts for :attr:`listeners`: single ones, and those of a state's lines that have changed."""

    def __init__(self) -> None:
        self.listeners: list[Callable[[str], None]] = []
        self._seen: dict[str, str] = {}

    def tell(self, text: str) -> None:
        """Call every listener."""
        for listener in tuple(self.listeners):
            listener(text)

    def note(self, state: Mapping[str, str]) -> None:
        """Take the state for known, without a word."""
        self._seen = dict(state)

    def compare(self, state: Mapping[str, str]) -> None:
        """Publish the lines that have changed."""
        changed = [text for name, text in state.items() if self._seen.get(name) != text]
        self.note(state)
        for text in changed:
            self.tell(text)
