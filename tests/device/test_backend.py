# SPDX-License-Identifier: GPL-2.0-or-later
"""Backends are found: those of this package without a search, a stranger's by its entry point or by module:Class."""

from __future__ import annotations

import configparser
from importlib import metadata
from pathlib import Path

import pytest

from nutdrv_py.backends.dummy import Dummy
from nutdrv_py.device.backend import BUILT_IN, ENTRY_POINTS, load, names
from nutdrv_py.errors import ConfigError


@pytest.fixture
def stranger(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        metadata.EntryPoint("strange", "nutdrv_py.backends.dummy:Dummy", ENTRY_POINTS),
        metadata.EntryPoint("rct", "nutdrv_py.backends.dummy:Dummy", ENTRY_POINTS),
    ]
    monkeypatch.setattr(metadata, "entry_points", lambda group: found if group == ENTRY_POINTS else [])


def test_the_built_in_backends_are_those_that_the_package_registers() -> None:
    setup = configparser.ConfigParser()
    setup.read(Path(__file__).parents[2] / "setup.cfg")
    lines = setup["options.entry_points"][ENTRY_POINTS].strip().splitlines()
    assert dict(line.split(" = ") for line in lines) == BUILT_IN


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_backend_is_loaded_without_a_search(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "entry_points", lambda group: pytest.fail("it was searched"))
    assert f"{load(name).__module__}:{load(name).__name__}" == BUILT_IN[name]


@pytest.mark.usefixtures("stranger")
def test_a_strangers_backend_is_found_and_cannot_take_the_name_of_a_built_in_one() -> None:
    assert load("strange") is Dummy
    assert load("rct") is not Dummy
    assert names() == {**BUILT_IN, "strange": "nutdrv_py.backends.dummy:Dummy"}


@pytest.mark.usefixtures("stranger")
def test_a_name_that_nobody_has_is_answered_with_all_that_there_are() -> None:
    with pytest.raises(ConfigError, match=r"there is no backend 'nobody'; write backend = one of: dummy, .*, strange, or module:Class"):
        load("nobody")


@pytest.mark.parametrize("target", ["no_such_module:Thing", "nutdrv_py.backends.dummy:Nothing", "nutdrv_py.clock:Clock"])
def test_a_class_that_is_none_is_refused_with_a_sentence(target: str) -> None:
    with pytest.raises(ConfigError, match=f"the backend '{target}'"):
        load(target)
