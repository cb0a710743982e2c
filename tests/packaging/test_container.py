# SPDX-License-Identifier: GPL-2.0-or-later
"""packaging/container: its files are read by what reads them, and nothing in compose.yaml asks for more than it needs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from nutdrv_py.machine.extras import EXTRAS
from nutdrv_py.process.loading import load
from nutdrv_py.process.upsconf import read_ups_conf
from tests.conftest import REPO

FOLDER = REPO / "packaging" / "container"
SERVICES = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]
CONTAINERFILE = (FOLDER / "Containerfile").read_text()


def test_the_section_is_read_by_the_driver_without_a_word(tmp_path: Path) -> None:
    conf = read_ups_conf(FOLDER / "etc" / "ups.conf", "home")
    settings = load("home", "nutdrv_py", conf=conf, environ={"NUT_CONFPATH": str(tmp_path), "NUT_STATEPATH": str(tmp_path)})
    assert settings.notes == ()


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_runs_without_root_capabilities_or_a_root_that_can_be_written(name: str) -> None:
    service = SERVICES[name]
    user, group = (int(number) for number in service["user"].split(":"))
    assert user > 0
    assert service["cap_drop"] == ["ALL"]
    assert service["read_only"] is True
    assert "no-new-privileges:true" in service["security_opt"]
    assert "privileged" not in service
    # The folders that become volumes must belong to that user, or nothing can be written.
    assert f"install -d -o {user} -g {group} -m 0770 /run/nut /var/lib/nut" in CONTAINERFILE
    assert {volume.split(":")[1] for volume in service["volumes"]} == {"/etc/nut", "/run/nut", "/var/lib/nut"}


def test_the_driver_has_time_to_withdraw_an_alarm_before_it_is_killed() -> None:
    assert int(SERVICES["driver"]["stop_grace_period"].removesuffix("s")) >= 10


def test_the_image_installs_extras_that_exist() -> None:
    found = re.search(r"/src\[([\w,]+)\]", CONTAINERFILE)
    assert found
    assert set(found[1].split(",")) <= set(EXTRAS)
