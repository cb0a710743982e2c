# SPDX-License-Identifier: GPL-2.0-or-later
"""What is written for people agrees with the program."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from nutdrv_py import __version__, cli
from nutdrv_py.backends.dummy.config import DummyConfig
from nutdrv_py.backends.enphase.config import EnphaseConfig
from nutdrv_py.backends.mapping.config import MappingConfig
from nutdrv_py.backends.rct.config import RctConfig
from nutdrv_py.backends.repeater.config import RepeaterConfig
from nutdrv_py.backends.replay.config import ReplayConfig
from nutdrv_py.cli import main
from nutdrv_py.core.settings import backend_options
from nutdrv_py.device.backend import Config, load, names
from nutdrv_py.exporters.config import InfluxDB, Mqtt, Page, PortFileSection, Prometheus, Wake
from nutdrv_py.exporters.config_file import read_exports
from tests.backends.enphase.conftest import house
from tests.backends.rct.conftest import home as rct_home
from tests.conftest import REPO

EXAMPLE = (REPO / "ups.conf.example").read_text()


def _section(name: str) -> str:
    return EXAMPLE.split(f"[{name}]")[1].split("# ----")[0]


SECTIONS_OF_EXPORTERS = {"prometheus": Prometheus, "page": Page, "influxdb": InfluxDB, "mqtt": Mqtt, "portfile": PortFileSection, "wake": Wake}
SECTIONS: dict[str, type[Config]] = {
    "home": EnphaseConfig,
    "rct": RctConfig,
    "file": DummyConfig,
    "mirror": RepeaterConfig,
    "described": MappingConfig,
    "played": ReplayConfig,
}


@pytest.mark.parametrize(("section", "name"), [(section, name) for section, config in SECTIONS.items() for name in backend_options(config)])
def test_the_example_shows_every_option_with_its_default(section: str, name: str) -> None:
    found = re.search(rf"^\s*(?:# )?{name}\s*(?:= *([^#\n]*))?(?:#.*)?$", _section(section), re.MULTILINE)
    assert found, name
    default = next(item.default for item in dataclasses.fields(SECTIONS[section]) if item.name == name)
    if default not in (None, dataclasses.MISSING, False) and name not in ("port",):
        assert found.group(1).strip() == str(default)


def test_the_example_is_read_by_the_driver(tmp_path: Path) -> None:
    from nutdrv_py.process.loading import load as load_settings
    from nutdrv_py.process.upsconf import read_ups_conf

    (tmp_path / "ups.conf").write_text(EXAMPLE)
    (tmp_path / "enphase-home.conf").write_text("USERNAME=a\nPASSWORD=b\n")
    (tmp_path / "enphase-home.conf").chmod(0o600)
    for section, backend in (("home", "enphase"), ("rct", "rct"), ("file", "dummy"), ("mirror", "repeater")):
        conf = read_ups_conf(tmp_path / "ups.conf", section)
        settings = load_settings(section, "nutdrv_py", conf=conf, environ={"NUT_CONFPATH": str(tmp_path), "NUT_STATEPATH": str(tmp_path)})
        assert settings.backend_name == backend
        assert settings.notes == ()


YAML_EXAMPLE = (REPO / "exporters.yml.example").read_text()


@pytest.mark.parametrize(("section", "name"), [(section, item.name) for section, kind in SECTIONS_OF_EXPORTERS.items() for item in dataclasses.fields(kind)])
def test_the_example_of_the_exporters_shows_every_key_with_its_default(section: str, name: str) -> None:
    kind = SECTIONS_OF_EXPORTERS[section]
    text = re.split(rf"^#? ?{section}:", YAML_EXAMPLE, flags=re.MULTILINE)[1]
    text = re.split(r"^#? ?\w+:", text, flags=re.MULTILINE)[0]
    found = re.search(rf"^#?   ?(?:# )?{name}: *([^#\n]*)", text, re.MULTILINE)
    assert found, name
    default = next(item.default for item in dataclasses.fields(kind) if item.name == name)
    if (section, name) not in {("prometheus", "exposition"), ("portfile", "path"), ("wake", "machines")}:
        assert found.group(1).strip() == ("" if default is None else str(default).lower() if isinstance(default, bool) else str(default))


def test_the_example_of_the_exporters_is_read(tmp_path: Path) -> None:
    path = tmp_path / "exporters.yml"
    path.write_text(YAML_EXAMPLE)
    found = read_exports(path)
    assert found.prometheus is not None
    assert found.page is not None
    assert [device.name for device in found.devices] == ["rct"]


def _named(backend: str) -> set[str]:
    text = (REPO / "docs" / "backends" / f"{backend}.md").read_text()
    table = text.split("## What the variables mean")[1].split("## ")[0]
    rows = [row.split("|")[1] + row.split("|")[2] for row in table.splitlines() if row.startswith("| `")]
    return {word for row in rows for word in re.findall(r"`([a-z]+\.[A-Za-z0-9.-]+)`", row)} - {"prim_sm.island"}


async def test_the_pages_table_for_rct_names_what_is_served_and_all_of_it() -> None:
    served: set[str] = set()
    async with rct_home(changes={"calibration": "low", "faults": (25,)}) as h:
        served.update(h.shown(await h.polls(8)))
    named = _named("rct")
    assert named <= served
    families = ("input.", "output.", "device.", "experimental.")
    assert {name for name in served - named if not name.startswith(families)} == set()


async def test_the_pages_table_for_enphase_names_what_is_served_and_all_of_it(tmp_path: Path) -> None:
    named = _named("enphase")
    served: set[str] = set()
    for scenario in ("split-phase", "online"):
        (tmp_path / scenario).mkdir()
        async with house(tmp_path / scenario, scenario) as h:
            served.update(h.shown(await h.polls(2)))
            h.sim.set(packs_bad=h.sim.site.setup.packs)
            served.update(h.shown(await h.polls(2, 301)))
    served.add("experimental.data.age")  # by the driver
    assert named <= served
    families = (
        "input.L",
        "output.L",
        "battery.voltage.",
        "device.",
        "experimental.battery.",
        "experimental.controller",
        "experimental.livedata.stream",
        "output.power",
    )
    assert {name for name in served - named if not name.startswith(families)} == {"ups.realpower.nominal"} - named


def test_the_version_stands_in_the_changelog() -> None:
    assert f"## {__version__}" in (REPO / "CHANGELOG.md").read_text()


def test_built_in_backends_come_through_the_strangers_door() -> None:
    for name in ("enphase", "rct", "dummy", "repeater", "replay", "mapping"):
        assert name in names()
        assert load(name).__name__ == name.capitalize()


def test_the_backends_command_lists_options_with_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nutdrv_py", "backends"]) == 0
    text = capsys.readouterr().out
    assert "backend = enphase" in text
    for name in backend_options(EnphaseConfig):
        assert name in text
    assert main(["nutdrv_py", "backends", "nothing"]) == 1


COMMANDS = [[name, "--help"] for name in cli.COMMANDS]


@pytest.mark.parametrize("words", [["--help"], ["--version"], *COMMANDS])
def test_help_exits_0(words: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["nutdrv_py", *words])
    assert caught.value.code == 0


def test_install_links_the_driver_and_takes_it_away(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["nutdrv_py", "install", "--driverpath", str(tmp_path)])
    out = capsys.readouterr()
    link = tmp_path / "nutdrv_py"
    assert link.is_symlink()
    assert code == 0 or "may not enter" in out.err
    assert main(["nutdrv_py", "install", "--driverpath", str(tmp_path)]) == code
    link.unlink()
    link.write_text("somebody else's")
    assert main(["nutdrv_py", "install", "--driverpath", str(tmp_path)]) == 1
    link.unlink()
    link.symlink_to("/bin/true")
    assert main(["nutdrv_py", "install", "--driverpath", str(tmp_path), "--remove"]) == 0
    assert not link.exists()
    # The interpreter of the driver's name was removed too; the next start makes it again.


@pytest.mark.parametrize("words", [["backends", "enphase"], ["simulate", "rct", "--list"], ["status"]])
def test_a_reader_that_has_enough_is_no_error(words: list[str], tmp_path: Path) -> None:
    """As in ``nutdrv_py backends | head -1``: nobody reads the rest, which is said to nobody."""
    (tmp_path / "ups.conf").write_text("[ups]\n    driver = nutdrv_py\n    backend = rct\n    port = 127.0.0.1\n")
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "nutdrv_py", *words]
    environ = {**os.environ, "NUT_CONFPATH": str(tmp_path)}
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, cwd=REPO, env=environ, timeout=60, check=False)
    os.close(write)
    assert done.stderr == ""
