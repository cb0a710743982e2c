# SPDX-License-Identifier: GPL-2.0-or-later
"""What a simulator tells whoever watches it."""

from __future__ import annotations

from collections.abc import Callable, Mapping


class News:
    """Texts for :attr:`listeners`: single ones, and those of a state's lines that have changed."""

    def __init__(self) -> None:
        self.listeners: list[Callable[[str], None]] = []
        self._seen: dict[str, str] = {}

    def tell(self, text: str) -> None:
        """Tell every listener."""
        for listener in tuple(self.listeners):
            listener(text)

    def note(self, state: Mapping[str, str]) -> None:
        """Take the state for known, without a word."""
        self._seen = dict(state)

    def compare(self, state: Mapping[str, str]) -> None:
        """Tell the lines that are not what they were."""
        changed = [text for name, text in state.items() if self._seen.get(name) != text]
        self.note(state)
        for text in changed:
            self.tell(text)
