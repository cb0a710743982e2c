# SPDX-License-Identifier: GPL-2.0-or-later
"""What packaging/ makes, made once."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import REPO


def module(path: str) -> ModuleType:
    """A program of packaging/ as a module of its own name."""
    name = "packaging_" + path.replace("/", "_").removesuffix(".py")
    found = importlib.util.spec_from_file_location(name, REPO / "packaging" / path)
    assert found is not None
    assert found.loader is not None
    made = importlib.util.module_from_spec(found)
    sys.modules[name] = made
    found.loader.exec_module(made)
    return made


@pytest.fixture(scope="session")
def page() -> str:
    """The man page."""
    return str(module("man/generate.py").page())


@pytest.fixture(scope="session")
def completion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The completion script."""
    path = tmp_path_factory.mktemp("completion") / "nutdrv_py"
    path.write_text(module("completion/generate.py").script())
    return path
