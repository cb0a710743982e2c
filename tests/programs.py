# SPDX-License-Identifier: GPL-2.0-or-later
"""The programs of this repository as modules, so that a test can call their functions."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from functools import cache
from types import ModuleType

from tests.conftest import REPO

__all__ = ["module"]


@cache
def module(path: str) -> ModuleType:
    """Return the program at this path of the repository as a module; nothing is written beside it."""
    name = path.replace("/", "_").removesuffix(".py")
    spec = importlib.util.spec_from_loader(name, importlib.machinery.SourceFileLoader(name, str(REPO / path)))
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[name] = made
    writing, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(made)
    finally:
        sys.dont_write_bytecode = writing
    return made
