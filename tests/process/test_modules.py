# SPDX-License-Identifier: GPL-2.0-or-later
"""What a driver loads: libraries of its own backend and no other, exporters only when they are enabled. Each one is memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nutdrv_py.process.interpreter import make_named_interpreter

WATCHED = frozenset({
    "httpx", "httpcore", "anyio", "construct", "yaml", "paho", "prometheus_client", "influxdb_client", "pymodbus", "pynut2", "zeroconf",
    "importlib.metadata", "email", "http", "zipfile", "argparse", "difflib", "shutil", "uuid", "tempfile",
    "nutdrv_py.exporters", "nutdrv_py.commands", "nutdrv_py.simulators", "nutdrv_py.recording",
    *(f"nutdrv_py.backends.{name}" for name in ("enphase", "rct", "dummy", "repeater", "replay", "mapping")),
})  # fmt: skip
"""What no driver loads unless it stands below."""

LIBRARIES = {"httpx", "httpcore", "email", "http", "zipfile", "shutil", "tempfile", "importlib.metadata", "uuid"}
"""httpx, and what it loads in one release or another."""

LOADED = {
    "enphase": LIBRARIES | {"anyio", "nutdrv_py.backends.enphase"},
    "rct": {"construct", "nutdrv_py.backends.rct"},
    "dummy": {"nutdrv_py.backends.dummy"},
    "repeater": {"pynut2", "nutdrv_py.backends.repeater"},
}
"""What the driver may load, by backend."""


def loaded(folder: Path, section: str) -> frozenset[str]:
    """Return the watched modules that a driver with this section has loaded when its settings are read."""
    (folder / "ups.conf").write_text(f"[home]\n driver = nutdrv_py\n{section}\n")
    (folder / "ups.conf").chmod(0o600)
    code = (
        "import sys\nfrom pathlib import Path\nimport nutdrv_py.process.start\n"
        "from nutdrv_py.process.loading import load\nfrom nutdrv_py.process.upsconf import read_ups_conf\n"
        f"load('home', 'nutdrv_py', conf=read_ups_conf(Path({str(folder / 'ups.conf')!r}), 'home'))\n"
        "print(*sys.modules)"
    )
    # What a development environment imports at its own start is no part of a driver.
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    bare = subprocess.run([sys.executable, "-c", "import sys; print(*sys.modules)"], capture_output=True, text=True, timeout=60, check=True)
    return WATCHED & (set(done.stdout.split()) - set(bare.stdout.split()))


@pytest.mark.parametrize("backend", LOADED)
def test_a_driver_loads_nothing_that_its_section_does_not_need(backend: str, tmp_path: Path) -> None:
    port = tmp_path / "x.dev" if backend == "dummy" else "ups@127.0.0.1" if backend == "repeater" else "127.0.0.1"
    more = " serial = 122333444455\n token = x\n" if backend == "enphase" else ""
    found = loaded(tmp_path, f" backend = {backend}\n port = {port}\n{more}")
    assert f"nutdrv_py.backends.{backend}" in found
    assert found <= LOADED[backend]


def test_an_exporter_is_loaded_with_its_section_and_not_before(tmp_path: Path) -> None:
    (tmp_path / "exports.yml").write_text("page: {enable: true, bind_port: 9720}\n")
    section = f" backend = dummy\n port = {tmp_path}/x.dev\n config = {tmp_path}/exports.yml"
    found = loaded(tmp_path, section)
    assert {"yaml", "nutdrv_py.exporters"} <= found
    assert not found & {"prometheus_client", "paho", "influxdb_client", "httpx", "construct"}


def test_the_first_interpreter_which_only_looks_for_the_drivers_name_imports_next_to_nothing(tmp_path: Path) -> None:
    make_named_interpreter("nutdrv_py")
    names = tmp_path / "names"
    code = (
        "import os, sys\nbefore = set(sys.modules)\nimport nutdrv_py.cli\n"
        f"os.execv = lambda *words: open({str(names)!r}, 'w').write(' '.join(set(sys.modules) - before)) and os._exit(0)\n"
        "sys.argv = ['/usr/lib/nut/nutdrv_py', '-a', 'home']\nnutdrv_py.cli.main()"
    )
    subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=True)
    assert set(names.read_text().split()) <= {"nutdrv_py", "nutdrv_py.cli", "nutdrv_py.process", "nutdrv_py.process.interpreter"}
