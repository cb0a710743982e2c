# SPDX-License-Identifier: GPL-2.0-or-later
"""What an MQTT broker should hold, and what of it has still to be sent."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Message", "Outbox", "Rank"]


class Rank(enum.IntEnum):
    """In which order messages leave: a new status before all, "online" when all it speaks for has been sent."""

    URGENT = 0
    VALUE = 1
    CONFIG = 2
    ONLINE = 3


@dataclass(frozen=True, slots=True)
class Message:
    """What a topic shows. An empty payload takes it back."""

    topic: str
    payload: str
    rank: Rank
    retain: bool


class Outbox:
    """The newest message of each topic, and which of them wait. Nothing grows: a topic waits once at most."""

    def __init__(self) -> None:
        self.replaced = 0
        """Messages that were replaced by newer ones before they could leave."""
        self._wanted: dict[str, Message] = {}
        self._waiting: dict[Rank, dict[str, None]] = {rank: {} for rank in Rank}

    def put(self, topic: str, payload: str, rank: Rank, *, retain: bool) -> None:
        """Have the topic show this payload; nothing happens if it does."""
        before = self._wanted.get(topic)
        if before is not None and before.payload == payload:
            return
        self._unqueue(topic)
        self._wanted[topic] = Message(topic, payload, rank, retain)
        self._waiting[rank][topic] = None

    def withdraw(self, topic: str) -> None:
        """Withdraw the value of a topic: a retained one is taken back, any other forgotten."""
        before = self._wanted.get(topic)
        if before is None:
            return
        if before.retain:
            self.put(topic, "", Rank.VALUE, retain=True)
        else:
            self._unqueue(topic)
            del self._wanted[topic]

    def again(self, ranks: Iterable[Rank] = tuple(Rank)) -> None:
        """Send everything of these ranks once more."""
        wished = frozenset(ranks)
        for topic, message in self._wanted.items():
            if message.rank in wished:
                self._waiting[message.rank][topic] = None

    def take(self) -> Message | None:
        """Return the next message; None when nothing waits. A topic that is taken back is forgotten with it."""
        for queue in self._waiting.values():
            for topic in queue:
                del queue[topic]
                message = self._wanted[topic]
                if not message.payload:
                    del self._wanted[topic]
                return message
        return None

    def get(self, topic: str) -> Message | None:
        """Return what the topic should show."""
        return self._wanted.get(topic)

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def _unqueue(self, topic: str) -> None:
        for queue in self._waiting.values():
            if topic in queue:
                del queue[topic]
                self.replaced += 1
