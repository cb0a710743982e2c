# SPDX-License-Identifier: GPL-2.0-or-later
"""The pytest plugin: a test for each rule of a class derived from :class:`~nutdrv_py.testing.Conformance`.

pytest loads it wherever nutdrv_py is installed; in a project without such a class it does nothing.
"""

from __future__ import annotations

from typing import Any

import pytest

from nutdrv_py.testing.conformance import Conformance, judged

__all__ = ["conformance_report"]

_REPORTS: pytest.StashKey[dict[Any, Any]] = pytest.StashKey()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test of each rule."""
    if metafunc.cls is not None and issubclass(metafunc.cls, Conformance) and "conformance_rule" in metafunc.fixturenames:
        from nutdrv_py.testing.rules import RULES

        metafunc.parametrize("conformance_rule", [row.name for row in RULES])


@pytest.fixture
def conformance_report(request: pytest.FixtureRequest, conformance_rule: str) -> Any:
    """Return what came of the stories, which are played once for a class; skips the test of a rule that cannot be tested."""
    reports = request.config.stash.setdefault(_REPORTS, {})
    cls: Any = request.cls
    if cls not in reports:
        reports[cls] = judged(cls.backend, cls.device)
    report = reports[cls]
    if report.failure(conformance_rule) is None and (missing := report.untested.get(conformance_rule)):
        pytest.skip(f"not tested: {cls.device.__name__} does not describe {', '.join(missing)}")
    if cause := report.cause(conformance_rule):
        pytest.skip(f"not tested as long as the rule {cause} is broken")
    return report


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Name what was not tested."""
    for cls, report in config.stash.get(_REPORTS, {}).items():
        if report.untested:
            missing = sorted({name for names in report.untested.values() for name in names})
            terminalreporter.write_line(
                f"{cls.__name__}: {len(report.untested)} rules were not tested, because {cls.device.__name__} does not describe "
                f"{', '.join(missing)}"
            )
