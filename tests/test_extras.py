# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import configparser
import re
import sys
from pathlib import Path

import pytest

from nutdrv_py import extras
from nutdrv_py.errors import ConfigError
from nutdrv_py.extras import EXTRAS, how_to_get, load
from tests.conftest import REPO

DEBIAN, FEDORA, ELSEWHERE = "/usr/lib/python3/dist-packages", "/usr/lib/python3.14/site-packages", "/opt/x/lib/python3.13/site-packages"


def _installed(monkeypatch: pytest.MonkeyPatch, folder: str, python: tuple[int, int]) -> None:
    monkeypatch.setattr(extras, "__file__", f"{folder}/nutdrv_py/extras.py")
    monkeypatch.setattr(sys, "version_info", (*python, 0, "final", 0))


def test_the_table_is_that_of_setup_cfg() -> None:
    setup = configparser.ConfigParser()
    setup.read(REPO / "setup.cfg")
    listed = {name: text for name, text in setup["options.extras_require"].items() if name not in ("all", "test", "docs")}
    assert set(listed) == set(EXTRAS)
    for name, text in listed.items():
        packages = [re.split(r"[ >;]", line)[0] for line in text.strip().splitlines()]
        assert packages == [word for word in (EXTRAS[name].package, EXTRAS[name].backport) if word]


def test_debians_names_are_those_that_its_package_suggests() -> None:
    control = (REPO / "packaging" / "debian" / "control").read_text()
    suggested = set(re.findall(r"python3-[a-z-]+", control.split("Suggests:")[1].split("Description:")[0]))
    assert suggested == {extra.debian for extra in EXTRAS.values() if extra.debian}


@pytest.mark.parametrize(
    ("folder", "python", "name", "words"),
    [
        (ELSEWHERE, (3, 13), "mqtt", "type: pip install 'nutdrv_py[mqtt]'"),
        ("/home/me/nutdrv_py", (3, 11), "client", "type: pip install 'nutdrv_py[client]'"),
        (DEBIAN, (3, 11), "mqtt", "type: apt install python3-paho-mqtt"),
        (DEBIAN, (3, 13), "influxdb", "type: apt install python3-influxdb-client"),
        (DEBIAN, (3, 11), "influxdb", "type: apt install python3-pip && pip install --break-system-packages influxdb-client"),
        (DEBIAN, (3, 11), "client", "type: apt install python3-pip && pip install --break-system-packages pynut2"),
        (DEBIAN, (3, 13), "client", "type: apt install python3-pip && pip install --break-system-packages pynut2 standard-telnetlib"),
        (FEDORA, (3, 14), "mqtt", "type: dnf install 'python3dist(paho-mqtt)'"),
        (FEDORA, (3, 14), "client", "type: pip install pynut2 standard-telnetlib"),
    ],
)
def test_what_to_type_depends_on_how_it_was_installed(
    monkeypatch: pytest.MonkeyPatch, folder: str, python: tuple[int, int], name: str, words: str
) -> None:
    if folder == DEBIAN and Path(folder).is_symlink():
        pytest.skip("this machine has another layout")
    _installed(monkeypatch, folder, python)
    assert how_to_get(name) == words


@pytest.mark.parametrize("name", EXTRAS)
def test_a_missing_package_is_told_with_who_needs_it(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, EXTRAS[name].module, None)
    with pytest.raises(ConfigError, match=f"^the section x needs the Python package {EXTRAS[name].package}; type: "):
        load(name, "the section x")


def test_another_module_of_it_can_be_had() -> None:
    assert load("prometheus", "x", "prometheus_client.core").__name__ == "prometheus_client.core"
