# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/describing-a-device.md is typed here, step by step, on a NUT of its own."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nutdrv_py.backends.mapping.description import describe
from nutdrv_py.backends.mapping.sources import Options
from nutdrv_py.simulators.nut import free_port
from tests.conftest import REPO
from tests.integration.conftest import Watched

PAGE = (REPO / "docs" / "describing-a-device.md").read_text(encoding="utf-8")
STEPS, SOURCES = PAGE.split("\n## Sources\n")
BLOCK = re.compile(r"^```(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

PATIENCE = 15.0
"""Seconds in which a command must print what the page says; an outage is looked at twice."""


class Reader:
    """Types what a block holds. Paths, ports and the section are those of the scratch NUT."""

    def __init__(self, folder: Path) -> None:
        self.stage = Watched({"driver": "nutdrv_py"}, ups="mine")
        self.battery = folder / "battery"
        self.port = free_port()
        self.processes: list[subprocess.Popen[bytes]] = []

    def here(self, text: str) -> str:
        return (
            text.replace("/etc/nut", f"{self.stage.folder}/etc").replace("/tmp/battery", str(self.battery)).replace("8000", str(self.port))
        )

    def write(self, name: str, text: str) -> None:
        path = self.stage.folder / "etc" / name
        path.write_text(text)
        path.chmod(0o640)

    def section(self, text: str) -> None:
        path = self.stage.folder / "etc" / "ups.conf"
        self.write("ups.conf", path.read_text().partition("[mine]")[0] + self.here(text))

    def type(self, command: str) -> str:
        if command.endswith("&"):
            words = command.removesuffix("&").split()
            self.processes.append(subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
            time.sleep(0.5)
            return ""
        if command.startswith("upsc "):
            return self.stage.upsc(*command.split()[2:]).stdout
        if command.startswith("upsdrvctl start"):
            self.stage.start()
            self.stage.upsd()
            return "Network UPS Tools\n"
        if command.startswith("nutdrv_py"):
            command = f"{self.stage.folder}/bin/{command}"
        done = subprocess.run(command, shell=True, env=self.stage.environment(), capture_output=True, text=True, timeout=60, check=False)
        return done.stdout + done.stderr

    def console(self, text: str) -> None:
        """Type each command; what the page shows of its output must come, line by line, in that order."""
        for part in re.split(r"^\$ ", self.here(text), flags=re.MULTILINE)[1:]:
            command, *wanted = part.splitlines()
            lines = [line.strip() for line in wanted if line != "..."]
            end = time.monotonic() + PATIENCE
            while not _in_order(lines, output := self.type(command)):
                assert time.monotonic() < end, f"{command} printed {output!r}"
                time.sleep(0.3)

    def close(self) -> None:
        self.stage.close()
        for process in self.processes:
            process.kill()
            process.wait(10)


def _in_order(wanted: list[str], output: str) -> bool:
    lines = iter([" ".join(line.split()) for line in output.splitlines()])
    return all(any(" ".join(line.split()) in found for found in lines) for line in wanted)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    made = Reader(tmp_path)
    try:
        yield made
    finally:
        made.close()


def test_whoever_types_this_page_has_a_ups_and_sees_an_outage(reader: Reader) -> None:
    typed = 0
    for kind, text in BLOCK.findall(STEPS):
        match kind:
            case "yaml":
                reader.write("my-battery.yaml", text)
            case "ups.conf":
                reader.section(text)
            case "console":
                reader.console(text)
            case _:
                pytest.fail(f"a block of the kind {kind!r} cannot be typed")
        typed += 1
    assert typed >= 6
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
    path.write_text(f"maxage: 60\n{text}{rest}")
    path.chmod(0o644)
    assert describe(path, Options(address="192.0.2.1", topic="house", folder=tmp_path)).maxage == 60
