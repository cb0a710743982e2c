# SPDX-License-Identifier: GPL-2.0-or-later
"""All rules for one backend: a report, and the base of the test class that pytest collects."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from nutdrv_py.device.backend import Backend
from nutdrv_py.testing.device import Device

if TYPE_CHECKING:
    from nutdrv_py.testing.bench import Report

__all__ = ["Conformance", "judged"]


def judged(backend: type[Backend[Any]], device: type[Device], folder: Path | None = None, *, first: bool = False) -> Report:
    """Play the backend through the stories with the fake device; return a :class:`~nutdrv_py.testing.bench.Report`.

    With ``first`` the story in which something fails is the last one.
    """
    # Imported here: pytest loads this module in projects that do not use it.
    from nutdrv_py.testing.bench import Bench
    from nutdrv_py.testing.classes import class_faults
    from nutdrv_py.testing.rules import RULES
    from nutdrv_py.testing.stories import STORIES

    async def play(place: Path) -> Bench:
        bench = Bench(backend, device, place)
        bench.report.failures.extend(class_faults(backend))
        for story in STORIES:
            if first and bench.report.failures:
                break
            await story(bench)
        return bench

    if folder is not None:
        report = asyncio.run(play(folder)).report
    else:
        with tempfile.TemporaryDirectory(prefix="nutdrv-conformance-") as name:
            report = asyncio.run(play(Path(name))).report
    if len(report.failures) > 1:
        # That nothing was served follows from the others.
        report.failures = [failure for failure in report.failures if failure.rule != "start"]
    order = [row.name for row in RULES]
    report.failures.sort(key=lambda failure: order.index(failure.rule))
    return report


class Conformance:
    """Derive a test class from this and name your backend and your fake device: each rule becomes a test of it.

    ::

        class TestMine(Conformance):
            backend = Mine
            device = FakeMine
    """

    backend: ClassVar[type[Backend[Any]]]
    device: ClassVar[type[Device]]

    def test_rule(self, conformance_rule: str, conformance_report: Report) -> None:
        """One rule of nutdrv_py.testing.rules."""
        failure = conformance_report.failure(conformance_rule)
        assert failure is None, failure.sentence
