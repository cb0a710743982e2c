# SPDX-License-Identifier: GPL-2.0-or-later
"""Wheel and sdist, built from what git has, and the wheel installed as pip and pipx do it: into an environment of its own."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from nutdrv_py import __version__
from nutdrv_py.simulators.nut import free_port
from tests.conftest import REPO
from tests.integration.conftest import Watched, wait


def _run(*command: str | Path, cwd: Path | None = None, code: int = 0) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def _tracked() -> set[str]:
    try:
        return set(_run("git", "ls-files", cwd=REPO).splitlines())
    except (OSError, AssertionError):
        pytest.skip("this tree is not a git checkout")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with both, from a copy of the tracked files."""
    folder = tmp_path_factory.mktemp("built")
    for name in _tracked():
        if (REPO / name).is_file():
            (folder / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "tree" / name).write_bytes((REPO / name).read_bytes())
    _run(sys.executable, "-m", "build", "--outdir", folder, folder / "tree")
    return folder


def test_the_sdist_holds_the_whole_tree(built: Path) -> None:
    with tarfile.open(built / f"nutdrv_py-{__version__}.tar.gz") as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {name for name in _tracked() - names if not name.startswith(".") and (REPO / name).exists()} == set()


def test_the_wheel_holds_the_modules_and_the_page_and_nothing_else(built: Path) -> None:
    with zipfile.ZipFile(built / f"nutdrv_py-{__version__}-py3-none-any.whl") as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == {name for name in _tracked() if name.startswith("nutdrv_py/") and (REPO / name).exists()}


def test_the_wheel_is_a_driver_that_install_links_and_unlinks(built: Path, tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    _run(sys.executable, "-m", "venv", environment)
    _run(environment / "bin" / "pip", "install", "--quiet", built / f"nutdrv_py-{__version__}-py3-none-any.whl")
    program = environment / "bin" / "nutdrv_py"
    assert f"nutdrv_py {__version__}" in _run(program, "--version")
    device = tmp_path / "home.dev"
    device.write_text("ups.status: OL\nbattery.charge: 80\n")
    shown = _run(program, "-s", "home", "-x", "backend=dummy", "-x", f"port={device}", "-d", "1", "-u", pwd.getpwuid(os.geteuid()).pw_name)
    assert "battery.charge: 80\n" in shown
    assert "backend = replay" in _run(program, "backends")

    drivers = tmp_path / "drivers"
    assert f"there is no folder {drivers}" in _run(program, "install", "--driverpath", drivers, code=1)
    drivers.mkdir()
    # The place may be one that NUT's user cannot enter, as a home directory is; then it says so, and ends with 1.
    done = subprocess.run([program, "install", "--driverpath", drivers], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 or "may not enter" in done.stderr
    assert (drivers / "nutdrv_py").resolve() == program.resolve()
    assert os.access(environment / "libexec" / "nutdrv_py", os.X_OK)
    assert f"removed {drivers}/nutdrv_py" in _run(program, "install", "--driverpath", drivers, "--remove")
    assert not list(drivers.iterdir())
    assert not (environment / "libexec").exists()


@pytest.mark.timeout(300)
def test_a_package_of_new_backend_is_installed_beside_the_wheel_passes_its_tests_and_is_served_by_upsd(built: Path, tmp_path: Path) -> None:
    """No file of it is edited."""
    environment = tmp_path / "environment"
    _run(sys.executable, "-m", "venv", environment)
    pip = (environment / "bin" / "pip", "install", "--quiet")
    _run(*pip, built / f"nutdrv_py-{__version__}-py3-none-any.whl", "pytest")
    program = environment / "bin" / "nutdrv_py"
    _run(program, "new-backend", "solar", "--directory", tmp_path / "solar")
    _run(*pip, tmp_path / "solar")
    assert "backend = solar" in _run(program, "backends")
    assert "passed" in _run(environment / "bin" / "python", "-m", "pytest", tmp_path / "solar")

    port = free_port()
    stage = Watched({"driver": "nutdrv_py", "backend": "solar", "port": f"127.0.0.1:{port}"}, ups="solar")
    simulator = subprocess.Popen([program, "simulate", "solar", "--listen", f"127.0.0.1:{port}", "--scenario", "outage"], stdout=subprocess.DEVNULL)
    try:
        (stage.folder / "bin" / "nutdrv_py").unlink()
        (stage.folder / "bin" / "nutdrv_py").symlink_to(program)
        stage.start()
        stage.upsd()
        wait(lambda: stage.status() == "OB DISCHRG", 20)
        served = stage.variables()
        assert served["battery.charge"] == "81"
        assert served["driver.version.data"] == "Solar house battery 0.1"
        assert _run(program, "scan", "--seconds", "0.1", "--network", "127.0.0.1/32", "--port", "9", code=1)
    finally:
        stage.close()
        simulator.kill()
        simulator.wait(10)
