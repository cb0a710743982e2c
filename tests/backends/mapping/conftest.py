# SPDX-License-Identifier: GPL-2.0-or-later
"""A described device in a folder of its own, on a clock that a test moves."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from nutdrv_py.backends.mapping import Mapping
from nutdrv_py.backends.mapping.config import MappingConfig
from nutdrv_py.device.reading import Reading
from tests.conftest import FakeClock

GOOD = """\
device: Test
maxage: 60
source: {file: state.json}
grid: {path: grid, on: [up], off: [down]}
fields:
  battery.charge: {path: soc}
"""


class Running(FakeClock):
    """A clock that runs at once to the end of each sleep."""

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


class House:
    """A folder with a description, and the backend that it makes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = Running()
        self.path = folder / "device.yaml"
        self.early: list[Reading] = []

    def describe(self, text: str = GOOD) -> None:
        self.path.write_text(textwrap.dedent(text))

    def config(self, **options: object) -> MappingConfig:
        given: dict[str, object] = {"port": "device.yaml", "confpath": str(self.folder), "ups": "home", **options}
        return MappingConfig(**given)  # type: ignore[arg-type]

    def backend(self, **options: object) -> Mapping:
        backend = Mapping(self.config(**options), self.clock)
        backend.publish = self.early.append
        return backend


@pytest.fixture
def home(tmp_path: Path) -> House:
    made = House(tmp_path)
    made.describe()
    return made
