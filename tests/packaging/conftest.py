# SPDX-License-Identifier: GPL-2.0-or-later
"""What packaging/ makes, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.programs import module


@pytest.fixture(scope="session")
def page() -> str:
    """The man page."""
    return str(module("packaging/man/generate.py").page())


@pytest.fixture(scope="session")
def completion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The completion script."""
    path = tmp_path_factory.mktemp("completion") / "nutdrv_py"
    path.write_text(module("packaging/completion/generate.py").script())
    return path
