# SPDX-License-Identifier: GPL-2.0-or-later
"""Figures of the benchmarks: printed for people, and kept for docs/performance.md as a line of JSON each."""

from __future__ import annotations

import json
import math
import os
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass

__all__ = ["RESULTS", "Figure", "p99", "show", "spread"]

RESULTS = "BENCH_RESULTS"
"""Environment variable with the file that gets the figures; without it they are only printed."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of ours beside its peer's of the same run; ``target`` is what is aimed at, in words."""

    name: str
    ours: str
    peer: str
    ratio: float | None = None
    target: str = ""


def p99(values: Sequence[float]) -> float:
    """Return the smallest value that 99 of 100 do not exceed."""
    return sorted(values)[math.ceil(0.99 * len(values)) - 1]


def spread(values: Sequence[float], unit: str, scale: float = 1.0, digits: int = 1) -> str:
    """Return median and p99 in words."""
    return f"{statistics.median(values) * scale:.{digits}f} {unit} (p99 {p99(values) * scale:.{digits}f})"


def show(*figures: Figure) -> None:
    """Print figures, and keep them where :data:`RESULTS` wants them."""
    for figure in figures:
        ratio = f", ratio {figure.ratio:.2f}" if figure.ratio is not None else ""
        target = f" [aim: {figure.target}]" if figure.target else ""
        print(f"{figure.name}: {figure.ours}; {figure.peer}{ratio}{target}", flush=True)
    if os.environ.get(RESULTS):
        with open(os.environ[RESULTS], "a", encoding="utf-8") as file:
            file.writelines(json.dumps(asdict(figure)) + "\n" for figure in figures)
