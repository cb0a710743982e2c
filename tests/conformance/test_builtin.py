# SPDX-License-Identifier: GPL-2.0-or-later
"""The backends of this project pass the suite that they ask of others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from skeleton import Skeleton

from nutdrv_py.backends.dummy import Dummy
from nutdrv_py.backends.enphase import Enphase
from nutdrv_py.backends.mapping import Mapping
from nutdrv_py.backends.mapping.description import shipped
from nutdrv_py.backends.rct import Rct
from nutdrv_py.backends.repeater import Repeater
from nutdrv_py.device.backend import Backend, load, names
from nutdrv_py.testing import Device, judged
from nutdrv_py.testing.classes import class_faults
from tests.conformance.broker import MOSQUITTO, Published
from tests.conformance.described import MODBUS, OtherUpsd, Powerwall
from tests.conformance.houses import Described, DevFile, Gateway, Inverter, Sizeless, faked
from tests.conformance.pushed import Broker, Pushed

ROWS: dict[str, tuple[type[Backend[Any]], type[Device]]] = {
    "skeleton": (Skeleton, faked()),
    "dummy": (Dummy, DevFile),
    "repeater": (Repeater, OtherUpsd),
    "mapping": (Mapping, Described),
    "mapping without a size": (Mapping, Sizeless),
    "PushBackend": (Pushed, Broker),
    "rct": (Rct, Inverter),
    "enphase": (Enphase, Gateway),
    "tesla-powerwall": (Mapping, Powerwall),
    "generic-mqtt": (Mapping, Published),
    **{name: (Mapping, device) for name, device in MODBUS.items()},
}


NEEDED = {"generic-mqtt": Path(MOSQUITTO)}


@pytest.mark.parametrize("name", ROWS)
def test_a_backend_of_this_project_passes(name: str, tmp_path: Path) -> None:
    if not NEEDED.get(name, Path()).exists():
        pytest.skip(f"there is no {NEEDED[name]} here")
    report = judged(*ROWS[name], tmp_path)
    assert [failure.sentence for failure in report.failures] == []


def test_each_backend_and_each_shipped_description_is_played() -> None:
    # A recording cannot be told what happens next.
    assert set(names()) - {"replay"} <= set(ROWS)
    assert set(shipped()) <= set(ROWS)


@pytest.mark.parametrize("name", [*names(), "skeleton:Skeleton"])
def test_the_class_of_each_backend_is_right(name: str) -> None:
    assert [failure.sentence for failure in class_faults(load(name))] == []
