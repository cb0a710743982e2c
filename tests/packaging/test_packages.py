# SPDX-License-Identifier: GPL-2.0-or-later
"""The files of the packages agree with the project. Building and installing them is `make deb` and `make matrix`."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

from nutdrv_py import __version__
from nutdrv_py.machine import installed
from nutdrv_py.machine.paths import layout
from tests.conftest import REPO

PACKAGING = REPO / "packaging"
DEBIAN = PACKAGING / "debian"
CONTROL = (DEBIAN / "control").read_text()
SPEC = (PACKAGING / "rpm" / "nutdrv_py.spec").read_text()

NAMES = {
    "httpx": "python3-httpx",
    "construct": "python3-construct",
    "pyyaml": "python3-yaml",
    "prometheus-client": "python3-prometheus-client",
    "paho-mqtt": "python3-paho-mqtt",
    "pymodbus": "python3-pymodbus",
    "zeroconf": "python3-zeroconf",
}
"""Debian's names of what setup.cfg names as on PyPI."""


def _setup() -> configparser.ConfigParser:
    found = configparser.ConfigParser()
    found.read(REPO / "setup.cfg")
    return found


def _field(name: str) -> set[str]:
    found = re.search(rf"^{name}:(.*(?:\n .*)*)", CONTROL, re.MULTILINE)
    assert found, name
    return {re.split(r"[ (]", word.strip())[0] for word in found[1].split(",")}


def test_the_version_is_the_same_everywhere() -> None:
    assert (DEBIAN / "changelog").read_text().startswith(f"nutdrv-py ({__version__}) ")
    assert f"\nVersion:        {__version__}\n" in SPEC
    assert f"- {__version__}-1\n" in SPEC
    policy = (PACKAGING / "selinux" / "nutdrv_py.te").read_text()
    assert f"policy_module(nutdrv_py, {__version__})" in policy


def test_what_the_program_needs_is_there_for_the_build_and_what_it_may_use_is_suggested() -> None:
    setup = _setup()
    needed = {NAMES[line.split()[0]] for line in setup["options"]["install_requires"].split("\n") if line}
    assert needed <= _field("Build-Depends")
    extras = {line.split()[0] for name in ("prometheus", "mqtt", "modbus", "discover") for line in setup["options.extras_require"][name].split("\n") if line}
    assert {NAMES[name] for name in extras} == _field("Suggests")
    assert "nut-server" in _field("Depends")


def test_the_driver_is_put_wherever_a_release_looks_for_it() -> None:
    lines = (DEBIAN / "nutdrv-py.links").read_text().split("\n")
    linked = {"/" + line.split()[1] for line in lines if line}
    # /lib is a link to /usr/lib on every release.
    assert linked == {f"{folder}/nutdrv_py" for folder in layout().driverpaths if folder != "/lib/nut"}


def test_every_file_of_the_modules_is_installed() -> None:
    data = _setup()["options.package_data"]
    patterns = {package: value.split() for package, value in ((name, data[name].replace(",", " ")) for name in data)}

    def covered(path: Path) -> bool:
        folder = path.parent
        while folder != REPO:
            package = ".".join(folder.relative_to(REPO).parts)
            inner = str(path.relative_to(folder))
            if any(fnmatch(inner, pattern) for pattern in [*patterns.get(package, []), *patterns.get("*", [])]):
                return True
            folder = folder.parent
        return False

    files = [path for path in (REPO / "nutdrv_py").rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")]
    assert files
    assert [str(path) for path in files if not covered(path)] == []


@pytest.mark.parametrize("name", ["nutdrv-py.examples", "nutdrv-py.docs", "nutdrv-py.install"])
def test_files_that_the_package_takes_are_there(name: str) -> None:
    for line in (DEBIAN / name).read_text().splitlines():
        source = line.split()[0]
        assert source.startswith("build/generated/") or list(REPO.glob(source)), source


def test_the_units_call_what_the_package_installs() -> None:
    for unit in (PACKAGING / "systemd").glob("*.service"):
        for program in re.findall(r"^Exec\w+=(\S+)", unit.read_text(), re.MULTILINE):
            assert program == "/usr/bin/nutdrv_py"


def _scripts() -> Iterator[Path]:
    for path in sorted(PACKAGING.rglob("*")):
        if path.is_file() and path.read_bytes().startswith((b"#!/bin/sh", b"#!/bin/bash")):
            yield path


@pytest.mark.parametrize("path", list(_scripts()), ids=lambda path: path.name)
def test_scripts_are_good_shell(path: Path) -> None:
    shell = "bash" if b"bash" in path.read_bytes().split(b"\n")[0] else "sh"
    assert subprocess.run([shell, "-n", path], capture_output=True, timeout=30, check=False).stderr == b""
    if shutil.which("shellcheck"):
        done = subprocess.run(["shellcheck", "-x", "-S", "warning", path], capture_output=True, text=True, timeout=60, check=False, cwd=REPO)
        assert done.stdout == ""


def test_maintainer_scripts_leave_the_administrators_files_alone() -> None:
    for name in ("postinst", "prerm", "postrm"):
        text = (DEBIAN / f"nutdrv-py.{name}").read_text()
        commands = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
        # What `systemctl enable` has made of our own units is not theirs.
        commands = [re.sub(r"/etc/systemd/system/\*\.wants/nutdrv_py-\S+", "", line) for line in commands]
        assert not [line for line in commands if re.search(r"\b(rm|mv|cp|sed|chmod|chown|install)\b.*/etc/", line)]


def test_rows_for_the_driver_list_have_six_fields() -> None:
    rows = [line for line in (PACKAGING / "upstream" / "driver.list").read_text().splitlines() if line and not line.startswith("#")]
    assert rows
    for row in rows:
        fields = row.split("\t")
        assert len(fields) == 6
        assert all(re.fullmatch(r'"[^"]+"', field) for field in fields)
        assert fields[1] == '"ups"'
        assert fields[5] == '"nutdrv_py"'


def test_an_installation_by_the_distribution_is_left_to_its_package_manager(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from nutdrv_py.cli import main

    monkeypatch.setattr(installed, "__file__", "/usr/lib/python3/dist-packages/nutdrv_py/installed.py")
    assert installed.packaged() == "debian"
    assert main(["nutdrv_py", "install"]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert main(["nutdrv_py", "install", "--remove"]) == 1
    assert "apt remove nutdrv-py" in capsys.readouterr().err
