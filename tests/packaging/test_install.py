# SPDX-License-Identifier: GPL-2.0-or-later
"""`nutdrv_py install`, beyond tests/test_documents.py: packages, the interpreter alone, odd places."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nutdrv_py.cli import main
from nutdrv_py.commands import install
from nutdrv_py.errors import StartError
from nutdrv_py.process import interpreter


def test_a_folder_of_the_programs_name_is_not_the_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "nutdrv_py").mkdir()
    program = tmp_path / "bin" / "nutdrv_py"
    program.parent.mkdir()
    program.touch(mode=0o755)
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "-c")])
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "empty"))
    monkeypatch.setenv("PATH", str(program.parent))
    assert install.launcher() == program  # type: ignore[attr-defined]


def test_a_package_makes_the_interpreter_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    place = tmp_path / "nutdrv_py"
    made: list[str] = []

    def make(name: str) -> Path:
        made.append(name)
        return place

    monkeypatch.setattr(install, "make_named_interpreter", make)
    assert main(["nutdrv_py", "install", "--interpreter"]) == 0
    assert made == ["nutdrv_py"]


def test_an_interpreter_that_cannot_be_made_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def make(name: str) -> Path:
        raise StartError("it does not run")

    monkeypatch.setattr(install, "make_named_interpreter", make)
    assert main(["nutdrv_py", "install", "--interpreter"]) == 1
    assert "it does not run" in capsys.readouterr().err


def test_the_systems_interpreter_lies_beside_python_and_finds_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", "/usr")
    monkeypatch.setattr(sys, "base_prefix", "/usr")
    assert interpreter.named_interpreter("nutdrv_py") == Path("/usr/libexec/nutdrv_py/nutdrv_py")


def test_the_interpreter_of_the_drivers_name_runs_and_is_renewed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = Path(sys.prefix) / "libexec-test"
    place = folder / "nutdrv_py"
    monkeypatch.setattr(interpreter, "named_interpreter", lambda name: place)
    try:
        assert interpreter.make_named_interpreter("nutdrv_py") == place
        before = place.read_bytes()
        place.write_bytes(b"") if place.stat().st_nlink == 1 else place.unlink()
        interpreter.make_named_interpreter("nutdrv_py")
        assert place.read_bytes() == before
        said = subprocess.run([place, "-c", "import sys; print(sys.executable)"], capture_output=True, text=True, check=True)
        assert Path(said.stdout.strip()).name == "nutdrv_py"
        assert [file.name for file in folder.iterdir()] == ["nutdrv_py"]
    finally:
        place.unlink(missing_ok=True)
        folder.rmdir()
