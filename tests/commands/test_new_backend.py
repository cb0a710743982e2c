# SPDX-License-Identifier: GPL-2.0-or-later
"""A package that is written by ``nutdrv_py new-backend`` is one that works, before anything in it is changed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from nutdrv_py.cli import main
from nutdrv_py.commands.new_backend import TEMPLATE, files
from nutdrv_py.errors import ConfigError
from tests.conftest import REPO


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("new") / "package"
    assert main(["nutdrv_py", "new-backend", "my_solar", "--directory", str(folder)]) == 0
    return folder


def _run(package: Path, *words: str) -> str:
    environ = {**os.environ, "PYTHONPATH": str(package), "MYPYPATH": str(REPO)}
    done = subprocess.run([sys.executable, "-m", *words], cwd=package, env=environ, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_its_own_tests_pass(package: Path) -> None:
    said = _run(package, "pytest", "-p", "no:cacheprovider", "-o", "addopts=")
    assert re.search(r"\d+ passed", said)
    assert "skipped" not in said, "each rule is tested"


def test_it_is_clean_for_ruff_and_strict_for_mypy(package: Path) -> None:
    _run(package, "ruff", "check", "--no-cache", ".")
    assert "Success" in _run(package, "mypy", "--cache-dir", os.devnull)


def test_it_says_its_licence_in_each_file_and_holds_no_place_of_the_template(package: Path) -> None:
    for path in (path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
        text = path.read_text()
        assert not re.search(r"@[A-Z]+@", text), path
        if path.name not in ("py.typed", ".gitignore"):
            assert "SPDX-License-Identifier: GPL-2.0-or-later" in text, path


def test_each_file_of_the_template_is_used() -> None:
    from nutdrv_py.commands.new_backend import FILES

    assert {path.name for path in TEMPLATE.iterdir()} == {name for name in FILES.values() if name}


def test_what_is_there_is_not_touched(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (package / "README.md").write_text("mine")
    assert main(["nutdrv_py", "new-backend", "my_solar", "--directory", str(package)]) == 1
    assert "is left as it is" in capsys.readouterr().err
    assert (package / "README.md").read_text() == "mine"


def test_the_folder_is_named_after_the_backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["nutdrv_py", "new-backend", "my_solar"]) == 0
    assert (tmp_path / "nutdrv-py-my-solar" / "nutdrv_py_my_solar" / "__init__.py").exists()


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nutdrv_py", "new-backend", "my_solar", "--directory", str(tmp_path / "a" / "b")]) == 1
    assert "cannot be made" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", "My", "my-solar", "1st", "_x", "x_", "a__b", "a.b", "../x", "x" * 33, "class", "ü", "a b", "x\n"])
def test_a_name_that_cannot_be_one_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be the name of a backend"):
        files(name)


@pytest.mark.parametrize("name", ["enphase", "mapping"])
def test_a_name_that_is_taken_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="already"):
        files(name)


@pytest.mark.parametrize("name", ["none", "true", "config", "backend", "status", "web_client", "fake"])
def test_a_name_whose_class_would_hide_another_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="something else"):
        files(name)


def test_its_simulator_is_run_by_the_same_command_as_ours(package: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from nutdrv_py.device import backend

    monkeypatch.syspath_prepend(str(package))
    monkeypatch.setitem(backend.BUILT_IN, "my_solar", "nutdrv_py_my_solar:MySolar")
    assert main(["nutdrv_py", "simulate", "my_solar", "--list"]) == 0
    assert "outage  grid = island" in capsys.readouterr().out
    assert main(["nutdrv_py", "simulate", "my_solar", "--scenario", "flood"]) == 2
    assert "There is no scenario flood" in capsys.readouterr().err
    for words, sentence in (
        (["demo", "--backend", "my_solar"], "has no demo"),
        (["simulate", "dummy"], "has no simulation; enphase, my_solar, rct have one"),
        (["simulate", "nothing"], "there is no backend 'nothing'"),
    ):
        assert main(["nutdrv_py", *words]) == 1
        assert sentence in capsys.readouterr().err
