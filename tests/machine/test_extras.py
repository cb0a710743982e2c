# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import configparser
import re
import sys

import pytest

from nutdrv_py.errors import ConfigError
from nutdrv_py.machine import extras
from nutdrv_py.machine.extras import EXTRAS, how_to_get, load
from tests.conftest import REPO


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
    ("manager", "python", "name", "words"),
    [
        (None, (3, 13), "mqtt", "type: pip install 'nutdrv_py[mqtt]'"),
        (None, (3, 11), "client", "type: pip install 'nutdrv_py[client]'"),
        ("debian", (3, 11), "mqtt", "type: apt install python3-paho-mqtt"),
        ("debian", (3, 13), "modbus", "type: apt install python3-pymodbus"),
        ("debian", (3, 11), "modbus", "type: apt install python3-pip && pip install --break-system-packages pymodbus"),
        ("debian", (3, 11), "client", "type: apt install python3-pip && pip install --break-system-packages pynut2"),
        ("debian", (3, 13), "client", "type: apt install python3-pip && pip install --break-system-packages pynut2 standard-telnetlib"),
        ("rpm", (3, 14), "mqtt", "type: dnf install 'python3dist(paho-mqtt)'"),
        ("rpm", (3, 14), "client", "type: pip install pynut2 standard-telnetlib"),
    ],
)
def test_what_to_type_depends_on_how_it_was_installed(
    monkeypatch: pytest.MonkeyPatch, manager: str | None, python: tuple[int, int], name: str, words: str
) -> None:
    monkeypatch.setattr(extras, "packaged", lambda: manager)
    monkeypatch.setattr(sys, "version_info", (*python, 0, "final", 0))
    assert how_to_get(name) == words


@pytest.mark.parametrize("name", EXTRAS)
def test_a_missing_package_is_told_with_who_needs_it(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, EXTRAS[name].module, None)
    with pytest.raises(ConfigError, match=f"^the section x needs the Python package {EXTRAS[name].package}; type: "):
        load(name, "the section x")


def test_another_module_of_it_can_be_had() -> None:
    assert load("prometheus", "x", "prometheus_client.core").__name__ == "prometheus_client.core"
