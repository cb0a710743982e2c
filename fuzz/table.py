# SPDX-License-Identifier: GPL-2.0-or-later
"""The targets: one row each. A target takes bytes, returns nothing, and raises for what must not be."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["CORPUS", "TARGETS", "Target"]

CORPUS = Path(__file__).parent / "corpus"
"""Inputs that were found by fuzzing, in a folder for each target; all others are made by ``fuzz.seeds``."""


@dataclass(frozen=True, slots=True)
class Target:
    """A target: where its function is, and how long its inputs are at most.

    ``share`` is its part of the time, ``pace`` how many inputs a slow machine runs in a second.
    """

    name: str
    where: str
    longest: int
    share: float
    pace: int
    what: str

    def runs(self, seconds: float) -> int:
        """Return how many inputs a run with a seed has."""
        return len(self.corpus()) + int(self.pace * seconds)

    def load(self) -> Callable[[bytes], None]:
        """Return the function. Imported late: atheris instruments what is imported after it was asked to."""
        module, _, function = self.where.partition(":")
        found = getattr(importlib.import_module(module), function)
        from fuzz.invariants import listening

        return listening(found)

    def corpus(self) -> dict[str, bytes]:
        """Return the inputs to begin with, by name: those that ``fuzz.seeds`` makes, and those that were found."""
        from fuzz.seeds import seeds

        return {**seeds(self.name), **{path.name: path.read_bytes() for path in sorted((CORPUS / self.name).glob("*"))}}


# fmt: off
TARGETS: tuple[Target, ...] = (
    Target("enphase",   "fuzz.enphase:conversation", 1024, 4.0, 6, "what an IQ Gateway answers, poll for poll, up to upsd"),
    Target("rct",       "fuzz.rct:conversation",     1024, 4.0, 2, "what an RCT inverter answers, poll for poll, up to upsd"),
    Target("repeater",  "fuzz.repeater:answers",     4096, 0.5, 60, "what another NUT server answers, up to upsd"),
    Target("frames",    "fuzz.rct:frames",           4096, 1.0, 60, "bytes on the inverter's line"),
    Target("payloads",  "fuzz.rct:payloads",         512,  0.5, 300, "payloads of the inverter's objects"),
    Target("json",      "fuzz.enphase:json_text",    4096, 1.0, 2000, "a gateway's answer as JSON"),
    Target("info",      "fuzz.enphase:info",         4096, 0.5, 3000, "/info of a gateway that nobody has vouched for"),
    Target("token",     "fuzz.enphase:token",        2048, 0.5, 3000, "a token (JSON Web Token)"),
    Target("socket",    "fuzz.doors:requests",       4096, 1.0, 40, "requests of local clients on the driver's socket"),
    Target("words",     "fuzz.files:words",          2048, 0.5, 80, "words and lines by NUT's grammar"),
    Target("conf",      "fuzz.files:conf",           2048, 1.0, 80, "ups.conf"),
    Target("account",   "fuzz.files:account",        1024, 0.5, 80, "the file with the credentials"),
    Target("exporters", "fuzz.files:exporters",      2048, 1.0, 80, "the YAML of the exporters"),
    Target("portfile",  "fuzz.files:port_file",      2048, 1.0, 60, "a port file (.dev, .seq)"),
    Target("recording", "fuzz.files:recordings",     4096, 1.0, 60, "a recording of a device"),
    Target("web",       "fuzz.doors:web_request",    2048, 1.0, 300, "a request to the web server"),
)
# fmt: on
