# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/describing-a-device.md is typed here, step by step, on a NUT of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from nutdrv_py.backends.mapping.description import describe
from nutdrv_py.backends.mapping.sources import Options
from tests.conftest import REPO
from tests.integration.reader import BLOCK, Reader

PAGE = (REPO / "docs" / "describing-a-device.md").read_text(encoding="utf-8")
STEPS, SOURCES = PAGE.split("\n## Sources\n")


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    made = Reader(tmp_path)
    try:
        yield made
    finally:
        made.close()


def test_whoever_types_this_page_has_a_ups_and_sees_an_outage(reader: Reader) -> None:
    reader.page(STEPS)
    assert "OB" not in reader.stage.status()


def test_without_its_grid_the_file_of_the_page_is_refused_at_the_start(reader: Reader) -> None:
    blocks = dict(reversed(BLOCK.findall(STEPS)))
    reader.write("my-battery.yaml", re.sub(r"^grid:\n(  .*\n)+", "", blocks["yaml"], flags=re.MULTILINE))
    reader.section(blocks["ups.conf"])
    done = reader.stage.upsdrvctl("start")
    assert done.returncode != 0
    assert "grid: is missing" in done.stdout + done.stderr


@pytest.mark.parametrize("text", [text for kind, text in BLOCK.findall(SOURCES) if kind == "yaml"])
def test_each_source_of_the_page_is_read(text: str, tmp_path: Path) -> None:
    place = "topic: a/b" if "mqtt" in text else "register: 1" if "modbus" in text else "path: a" + (", get: /a" if "http" in text else "")
    rest = "" if "grid:" in text else f"grid: {{{place}, on: [on], off: [off]}}\nno_charge: an example\n"
    path = tmp_path / "example.yaml"
    # A program must be there.
    path.write_text(f"maxage: 60\n{text}{rest}".replace("/usr/local/bin/battery", "/bin/echo"))
    path.chmod(0o644)
    assert describe(path, Options(address="192.0.2.1", topic="house", folder=tmp_path)).maxage == 60
