# SPDX-License-Identifier: GPL-2.0-or-later
"""The plugin as an author meets it: a project of one file, and one that does not know of it."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

from nutdrv_py.testing import Conformance, Device
from tests.conftest import REPO

AUTHORS = """
from pathlib import Path

from nutdrv_py.api import Backend, DeviceError, Reading, Status

from nutdrv_py.testing import Conformance, Device


class Mine(Backend):
    description, version = "A word in a file", "1"

    async def poll(self):
        word = Path(self.config.port).read_text()
        if word not in ("up", "down"):
            raise DeviceError("the file says nothing of the grid")
        return Reading({}, Status.OL if word == "up" else Status.OB)


class FakeFile(Device):
    async def __aenter__(self):
        await self.grid()
        return self

    def config(self):
        return Mine.Config(port=str(self.folder / "state"))

    async def grid(self):
        (self.folder / "state").write_text("up")

    async def outage(self):
        (self.folder / "state").write_text("down")


class TestMine(Conformance):
    backend = Mine
    device = FakeFile


class Wrong(Mine):
    async def poll(self):
        await super().poll()
        return Reading({}, Status.OL)


class TestWrong(Conformance):
    backend = Wrong
    device = FakeFile
"""


def _pytest(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": str(REPO), "PYTEST_ADDOPTS": ""}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(folder), *words]
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=60, check=False)


def test_a_test_of_four_lines_has_a_result_for_each_rule_and_names_what_was_not_tested(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(AUTHORS)
    done = _pytest(tmp_path, "-k", "TestMine", "-q")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\d+ passed, \d+ skipped", done.stdout)
    assert re.search(r"TestMine: \d+ rules were not tested, because FakeFile does not describe battery, charge, ", done.stdout)


def test_a_failure_is_a_sentence_with_what_becomes_of_the_servers(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(AUTHORS)
    done = _pytest(tmp_path, "-k", "TestWrong and outage", "-q")
    assert done.returncode == 1
    text = "30 s after the grid had gone upsd was given OL: no server would be shut down in time"
    assert text in done.stdout
    assert "return OB when the device tells that the grid is gone" in done.stdout


def test_what_cannot_be_judged_because_of_a_broken_rule_is_not_called_right(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(AUTHORS)
    done = _pytest(tmp_path, "-k", "TestWrong and (late or return or again)", "-q", "-rs")
    assert "3 skipped" in done.stdout
    assert "not tested as long as the rule outage is broken" in done.stdout


def test_a_project_that_does_not_use_it_is_not_disturbed(tmp_path: Path) -> None:
    (tmp_path / "test_other.py").write_text(
        "import sys\n\n\ndef test_other():\n"
        "    loaded = {name for name in sys.modules if name.startswith('nutdrv_py')}\n"
        "    assert not {name for name in loaded if name.split('.')[1:2] in (['core'], ['backends'], ['nut'])}, loaded\n"
        "    assert 'yaml' not in sys.modules and 'httpx' not in sys.modules\n"
    )
    done = _pytest(tmp_path, "-q", "-W", "error")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("1 passed")


def test_the_driver_does_not_load_it() -> None:
    code = "import nutdrv_py.cli, nutdrv_py.core.driver, sys; print([n for n in sys.modules if 'testing' in n and 'nutdrv' in n or n == 'pytest'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_an_author_has_described_of_a_device_stays_what_it_is() -> None:
    """docs/stability.md promises it; more methods may come, each with nothing to do in those that do not have it."""
    expected = {
        "config": "(self)", "grid": "(self)", "outage": "(self)", "charge": "(self, percent)", "battery": "(self, watts)", "voltage": "(self, share)",
        "load": "(self, watts)", "runtime": "(self, seconds)", "hide_charge": "(self)", "hide_grid": "(self)", "silence": "(self)", "garbage": "(self)",
        "repeat": "(self)", "slow": "(self, seconds)", "refuse": "(self)", "restart": "(self)", "recover": "(self)", "__init__": "(self, clock, folder)",
    }  # fmt: skip
    found = {name: f"({', '.join(inspect.signature(getattr(Device, name)).parameters)})" for name in expected}
    assert found == expected
    assert Device.__abstractmethods__ == {"config", "grid", "outage"}
    assert {"notices", "returns", "settles", "patience", "delay", "capacity", "secrets", "clock", "folder"} <= {
        *vars(Device),
        *Device.__init__.__code__.co_names,
    }
    assert {"backend", "device"} <= set(Conformance.__annotations__)
