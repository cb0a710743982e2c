# SPDX-License-Identifier: GPL-2.0-or-later
"""What is judged of a class and of a single reading, row by row."""

from __future__ import annotations

from dataclasses import dataclass, make_dataclass
from typing import Any, ClassVar

import pytest

from nutdrv_py import Config, Reading, Status, option
from nutdrv_py.nut.names import is_command, is_variable
from nutdrv_py.testing.classes import class_faults
from nutdrv_py.testing.clock import FakeClock
from nutdrv_py.testing.readings import faults
from tests.conformance.right import Right, RightConfig


def _judged(name: str, kind: object, default: object = None, **more: Any) -> list[str]:
    config = make_dataclass("Made", [(name, kind, option("a help text", default=default, **more))], bases=(RightConfig,), frozen=True, slots=True, kw_only=True)

    class Made(Right):
        Config: ClassVar[type[Config]] = config  # type: ignore[assignment]

    return [failure.rule for failure in class_faults(Made)]


@pytest.mark.parametrize("name", ["api_token", "pin", "passwd", "cloud_password", "secret", "api_key", "apikey", "token_of_cloud"])
def test_an_option_that_holds_a_secret_by_its_name_must_be_sensitive(name: str) -> None:
    assert _judged(name, str | None) == ["secret-option"]
    assert _judged(name, str | None, sensitive=True) == []


@pytest.mark.parametrize("name", ["ping", "spinning", "tokenfile", "token_url", "token_path", "passive", "bypass", "login_timeout", "keyword"])
def test_an_option_that_only_resembles_one_need_not(name: str) -> None:
    assert _judged(name, str | None) == []


@pytest.mark.parametrize(
    ("kind", "default", "more", "rules"),
    [
        (int, 5, {}, []),
        (float | None, None, {}, []),
        (bool, True, {}, []),
        (str, "", {"sensitive": True}, []),
        (str, "hunter22", {"sensitive": True}, ["options"]),
        (str, "c", {"choices": ("a", "b")}, ["options"]),
        (int, 1, {"minimum": 2}, ["options"]),
        (dict[str, str], None, {}, ["options"]),
        (int | str, 1, {}, ["options"]),
    ],
)
def test_an_option_has_a_type_of_ups_conf_and_a_default_that_fits(kind: object, default: object, more: dict[str, Any], rules: list[str]) -> None:
    assert _judged("factor", kind, default, **more) == rules


@pytest.mark.parametrize(("interval", "age", "rules"), [(5, 30, []), (10, 15, ["limits"]), (2, 10, ["limits"]), (2, 601, ["limits"])])
def test_the_age_of_the_last_reading_fits_the_polls(interval: int, age: int, rules: list[str]) -> None:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Made(RightConfig):
        pollinterval: int = option("seconds between polls", default=interval)
        maxage: int = option("seconds", default=age)

    class Backend(Right):
        Config: ClassVar[type[Config]] = Made  # type: ignore[assignment]

    assert sorted({failure.rule for failure in class_faults(Backend)}) == rules


@pytest.mark.parametrize(
    "name",
    [
        "battery.charge",
        "battery.charge.low",
        "battery.runtime",
        "battery.voltage.nominal",
        "input.L1-N.voltage",
        "input.L3.current",
        "output.L2.power.percent",
        "input.bypass.L1-N.voltage",
        "input.transfer.high",
        "ups.realpower.nominal",
        "ups.test.result",
        "outlet.1.status",
        "outlet.group.2.current",
        "ambient.1.temperature.high.warning",
        "device.part",
        "experimental.pv.1.realpower",
        "battery.voltage.cell.max",
    ],
)
def test_names_that_are_nuts(name: str) -> None:
    assert is_variable(name)


@pytest.mark.parametrize(
    "name", ["battery.soc", "soc", "charge", "battery", "battery.charge.soc", "input.L4.voltage", "input.L1-L1-N.voltage", "outlet.x.status", "ups.", ".ups", "experimental", "experimental.", "battery.Charge", "BATTERY.CHARGE", "ups.status.extra", "load", "ups.realPower"],
)  # fmt: skip
def test_names_that_are_not(name: str) -> None:
    assert not is_variable(name)


def test_commands_that_are_nuts_and_that_are_not() -> None:
    assert all(map(is_command, ("load.off", "test.battery.start.deep", "outlet.2.load.cycle", "experimental.force.charge")))
    assert not any(map(is_command, ("force.charge", "load", "Load.Off", "outlet.x.load.off", "")))


@pytest.mark.parametrize(
    ("reading", "rules"),
    [
        (Reading({"battery.charge": 80}, Status.OL), []),
        (Reading({"battery.charge": 80}, Status.OL | Status.OB), ["status"]),
        (Reading({}, Status.DISCHRG), ["status"]),
        (Reading({}, Status.OB | Status.LB | Status.CAL), ["status"]),
        (Reading({"battery.charge": float("nan")}, Status.OL), ["dropped"]),
        (Reading({"battery.charge": "80 %"}, Status.OL), ["dropped"]),
        (Reading({"battery.charge": 8000}, Status.OL), ["dropped"]),
        (Reading({"battery.runtime": -5}, Status.OL), ["dropped"]),
        (Reading({"ups.status": "OL"}, Status.OL), ["dropped"]),
        (Reading({"battery.soc": 80}, Status.OL), ["names"]),
        (Reading({"input.frequency": 500.1}, Status.OL), ["believable"]),
        (Reading({"battery.temperature": 245}, Status.OL), ["believable"]),
        (Reading({"battery.voltage": 52300}, Status.OL), ["believable"]),
        (Reading({"ups.load": 0.3, "ups.realpower": 1500, "ups.realpower.nominal": 5000}, Status.OL), ["believable"]),
        (Reading({"ups.load": 30, "ups.realpower": 1500, "ups.realpower.nominal": 5000}, Status.OL), []),
        (Reading({"ups.load": 0, "ups.realpower": 10, "ups.realpower.nominal": 5000}, Status.OL), []),
        (Reading({}, Status.OL, at=float("nan")), ["time"]),
        (Reading({}, Status.OL, at=1e12), ["time"]),
        (Reading({}, Status.OL, at=12.0), ["time"]),
        (Reading({}, Status.OL, raw_times={"soc": 1e12}), ["time"]),
        (None, ["status"]),
    ],
)
def test_what_is_wrong_with_a_single_reading(reading: Reading, rules: list[str]) -> None:
    clock = FakeClock()
    backend = Right(RightConfig(port="x"), clock)
    assert [rule for rule, _ in faults(reading, backend, clock.monotonic())] == rules
