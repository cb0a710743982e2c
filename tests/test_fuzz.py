# SPDX-License-Identifier: GPL-2.0-or-later
"""The fuzz targets over their corpus, and over some inputs made anew. ``make fuzz`` does the same for as long as you like."""

from __future__ import annotations

import asyncio
import copy
import gc
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz import doors, enphase
from fuzz.__main__ import changed
from fuzz.invariants import Told, Upsd, harmless, kept, listening, only
from fuzz.seeds import seeds
from fuzz.table import CORPUS, TARGETS, Target
from fuzz.taking import SECRET
from nutdrv_py.backends.enphase import site
from nutdrv_py.core.events import Limits
from nutdrv_py.device.parts import Parts
from nutdrv_py.device.reading import Decline, Reading, Status
from nutdrv_py.errors import ConfigError, DeviceError
from tests.conftest import REPO

NAMES = [target.name for target in TARGETS]
MANY = {"enphase": 30, "rct": 20}
"""Inputs made anew for a target whose inputs take long."""

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("target", TARGETS, ids=NAMES)
def test_each_input_of_the_corpus_holds_the_invariants(target: Target) -> None:
    function = target.load()
    for name, data in target.corpus().items():
        try:
            function(data)
        except Exception as error:
            raise AssertionError(f"{target.name}, {name}: {error}") from error


@pytest.mark.parametrize("target", TARGETS, ids=NAMES)
def test_inputs_made_anew_hold_the_invariants(target: Target) -> None:
    function = target.load()
    inputs = list(target.corpus().values())

    @settings(max_examples=MANY.get(target.name, 60), suppress_health_check=list(HealthCheck), database=None)
    @given(st.integers(0, 2**32) | st.binary(max_size=200))
    def holds(data: int | bytes) -> None:
        function(data if isinstance(data, bytes) else changed(random.Random(data), inputs)[: target.longest])

    holds()


def test_a_charge_that_was_refused_at_the_start_is_asked_for_again_in_an_outage() -> None:
    async def story() -> None:
        talk = enphase._Conversation()
        frozen, refused = enphase.FAILURES[0], enphase.FAILURES[2]
        talk.gateway.failing = {"livedata": frozen, "secctrl": refused}
        await talk.poll()
        talk.gateway.documents = copy.deepcopy(enphase.LOW)
        await talk.poll()
        del talk.gateway.failing["secctrl"]
        for _ in range(60):
            talk.waits(5.0)
            await talk.poll()
        assert Status.LB in talk.upsd.status

    enphase.run(story())  # type: ignore[attr-defined]


def test_a_reload_without_a_file_leaves_no_traceback_in_the_log() -> None:
    house = doors._House(file=False)
    house.loop.run_until_complete(house.ask(b"INSTCMD driver.reload\n"))
    house.loop.run_until_complete(asyncio.sleep(0.05))
    gc.collect()
    unheard = [str(context["message"]) for context in house.unheard]
    house.loop.run_until_complete(house.server.stop())
    house.loop.close()
    assert unheard == []


def test_the_corpus_stays_small_and_each_of_its_files_is_an_input_of_a_target() -> None:
    kept = {path.relative_to(CORPUS) for path in CORPUS.rglob("*") if path.is_file()}
    assert {path.parts[0] for path in kept} <= set(NAMES)
    assert all(path.parts[1] not in seeds(path.parts[0]) for path in kept)
    assert sum(len((CORPUS / path).read_bytes()) for path in kept) <= 65536
    for target in TARGETS:
        assert all(len(data) <= target.longest for data in target.corpus().values())


# The invariants: each is able to fail


def _upsd(told: Told) -> Upsd:
    return Upsd(0.0, Limits(5, 60, 7), told)


def test_ob_that_the_device_never_said_is_found() -> None:
    told = Told()
    told.says(False)
    with pytest.raises(AssertionError, match="off_grid=False"):
        _upsd(told).polled(Reading({}, Status.OB), 1.0)


def test_ol_while_the_device_says_off_grid_is_found() -> None:
    told = Told()
    told.says(True)
    with pytest.raises(AssertionError, match="off_grid=True"):
        _upsd(told).polled(Reading({}, Status.OL), 1.0)


def test_lb_that_no_charge_explains_is_found() -> None:
    told = Told(charge=60.0)
    told.says(True)
    with pytest.raises(AssertionError, match="LB, though"):
        _upsd(told).polled(Reading({}, Status.OB | Status.LB, decline=Decline(load=1000.0, capacity=10000.0)), 1.0)


def test_a_power_that_no_battery_has_is_found() -> None:
    told = Told()
    told.says(True)
    with pytest.raises(AssertionError, match="W that the battery loses"):
        _upsd(told).polled(Reading({}, Status.OB, decline=Decline(load=1e5, capacity=10000.0)), 1.0)


def test_lb_that_was_counted_down_to_is_right() -> None:
    told = Told(charge=60.0)
    told.says(True)
    upsd = _upsd(told)
    reading = Reading({"battery.charge": 60.0}, Status.OB, decline=Decline(load=3e4, capacity=1000.0, charge=60.0, low=20.0))
    upsd.polled(reading, 1.0)
    upsd.waits(50.0)
    assert Status.LB in upsd.status


@pytest.mark.parametrize(("wrong", "name"), [(site.Grid.OUTAGE, "relay-says-nothing"), (site.Grid.ON_GRID, "relay-says-nothing-in-an-outage")])
def test_a_backend_that_makes_a_state_of_the_grid_of_nonsense_is_found(monkeypatch: pytest.MonkeyPatch, wrong: site.Grid, name: str) -> None:
    right = site.grid

    def guesses(relay: object) -> site.Grid:
        try:
            return right(relay)
        except DeviceError:
            return wrong

    monkeypatch.setattr(site, "grid", guesses)
    (target,) = [target for target in TARGETS if target.name == "enphase"]
    with pytest.raises(AssertionError, match="the device says off_grid="):
        target.load()(seeds("enphase")[name])


def test_a_secret_in_a_message_is_found() -> None:
    with pytest.raises(AssertionError, match="secret"):
        harmless(f"the password {SECRET} is wrong")
    with pytest.raises(AssertionError, match="secret"), only(ConfigError):
        raise ConfigError(f"not {SECRET}")


def test_another_exception_is_found() -> None:
    with pytest.raises(ValueError, match="x"), only(ConfigError):
        raise ValueError("x")


def test_what_is_kept_is_counted_through_the_fields_of_an_object() -> None:
    assert kept(Reading({"a": "bc"}, Status.OL, ("def",))) == len("abcdef")


def test_a_fault_that_the_package_catches_itself_is_found() -> None:
    with pytest.raises(AssertionError, match="fault of its own"):
        listening(lambda data: Parts().do("x", lambda: 1 // 0, None))(b"")  # type: ignore[arg-type]


def test_a_fault_in_a_callback_of_the_event_loop_is_found() -> None:
    async def story() -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 // 0)
        await asyncio.sleep(0)

    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        enphase.run(story())  # type: ignore[attr-defined]


def test_a_driver_that_starts_in_an_outage_goes_on_with_what_the_one_before_knew() -> None:
    told = Told(charge=21.0)
    told.says(True)
    upsd = _upsd(told)
    upsd.polled(Reading({"battery.charge": 21.0}, Status.OB, decline=Decline(load=3600.0, capacity=10000.0, charge=21.0, low=20.0)), 1.0)
    upsd.restarts(2.0)
    upsd.polled(Reading({}, Status.OB), 260.0)
    assert Status.LB in upsd.status


# The command


def _fuzz(*arguments: str, folder: Path, without_atheris: bool = False) -> subprocess.CompletedProcess[str]:
    start = [sys.executable, "-m", "fuzz"]
    if without_atheris:
        start = [sys.executable, "-c", "import sys; sys.modules['atheris'] = None; import runpy; runpy.run_module('fuzz', run_name='__main__', alter_sys=True)"]
    environment = {"PYTHONPATH": str(REPO), "PATH": "/usr/bin:/bin"}
    return subprocess.run([*start, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=100, check=False)


def test_without_atheris_the_corpus_is_run_and_changed_at_random(tmp_path: Path) -> None:
    done = _fuzz("--one", "token", "--seconds", "0.3", "--seed", "1", folder=tmp_path, without_atheris=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.partition("executions: ")[2]) > len(seeds("token"))


def test_a_target_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    done = _fuzz("--minutes", "0.01", "tokenn", folder=tmp_path)
    assert done.returncode == 2
    assert "there is no target tokenn; the targets are enphase, rct" in done.stderr
