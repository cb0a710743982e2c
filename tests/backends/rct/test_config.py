# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import pytest

from nutdrv_py.backends.rct.config import RctConfig, address, check
from nutdrv_py.errors import ConfigError


@pytest.mark.parametrize(
    ("port", "found"),
    [
        ("192.168.1.50", ("192.168.1.50", 8899)),
        ("192.168.1.50:8899", ("192.168.1.50", 8899)),
        ("inverter.local:1234", ("inverter.local", 1234)),
        ("fd00::5", ("fd00::5", 8899)),
        ("[fd00::5]:99", ("fd00::5", 99)),
    ],
)
def test_the_port_is_a_host_or_a_host_and_a_number(port: str, found: tuple[str, int]) -> None:
    assert address(port) == found


@pytest.mark.parametrize("port", ["", ":8899", "host:", "host:0", "host:99999", "host:abc", "http://host", "host/path", "a b", "user@host", "[fd00::5"])
def test_a_port_that_is_none_is_refused_with_an_example(port: str) -> None:
    with pytest.raises(ConfigError, match=r"192\.168\.1\.50:8899"):
        address(port)


@pytest.mark.parametrize(
    ("options", "word"), [
        ({"window": 17}, "window"), ({"charge_low_margin": 95.0}, "charge_low_margin"),
        ({"nominal_voltage": 400}, "phase and neutral"), ({"nominal_voltage": 50}, "phase and neutral"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused(options: dict[str, float], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        check(RctConfig(port="host", **options))  # type: ignore[arg-type]


def test_the_promised_defaults() -> None:
    config = RctConfig(port="host")
    assert (config.pollinterval, config.pollfreq, config.maxage, config.window) == (2, 60, 60, 4)
    assert (config.charge_low_margin, config.nominal_voltage, config.nominal_frequency, config.wakeup) == (5, 230, 50, False)
