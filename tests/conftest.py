# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import asyncio
import atexit
import heapq
import inspect
import logging
import os
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from nutdrv_py import log
from nutdrv_py.backends import rct
from nutdrv_py.backends.rct import client
from nutdrv_py.clock import Clock
from nutdrv_py.core.variables import with_kinds
from nutdrv_py.nut.snapshot import Variable
from tests.hasty import HastyLoop

REPO = Path(__file__).parent.parent
sys.path[:0] = [str(REPO / "drivers"), str(REPO / "tests" / "integration")]

HASTY = (
    "tests/backends/rct/", "tests/backends/enphase/", "tests/backends/test_replay.py", "tests/systems/", "tests/test_recording.py",
    "tests/test_documents.py", "tests/nut/test_kinds.py", "tests/exporters/test_page.py::test_both_kinds_of_house_batteries",
)  # fmt: skip
"""Tests whose device and driver are tasks of one loop: its time runs ahead while nothing happens."""

SLOW = (
    "tests/integration/", "tests/drills/", "tests/packaging/", "tests/conformance/", "tests/systems/", "tests/core/test_model.py",
    "tests/backends/test_replay.py", "tests/backends/enphase/test_distribution.py", "tests/test_docs.py", "tests/test_files.py",
    "tests/test_fuzz.py", "tests/test_layers.py", "tests/test_pictures.py", "tests/machine/test_owners.py", "tests/commands/test_new_backend.py",
    "tests/commands/test_record.py", "tests/commands/test_rctmon_document.py", "tests/commands/test_scan.py",
    "tests/commands/test_script_document.py", "tests/test_dashboards.py", "tests/test_documents.py",
    "tests/process/test_server.py", "tests/test_recording.py",
    "tests/backends/mapping/test_hostile.py::test_any_answer_is_a_reading_by_the_words_of_the_grid_or_no_statement",
    "tests/backends/rct/test_frame.py::test_it_makes_no_difference_how_the_stream_was_cut",
    "tests/backends/rct/test_frame.py::test_no_flipped_byte_makes_a_wrong_frame_or_costs_the_next",
    "tests/backends/rct/test_frame.py::test_the_next_frame_is_read_behind_any_rubbish",
    "tests/backends/rct/test_frame.py::test_the_work_grows_with_the_bytes_and_no_faster",
    "tests/backends/rct/test_rct.py::test_a_limit_of_the_island_that_jumps_makes_no_low_battery_at_once",
    "tests/backends/rct/test_rct.py::test_a_sign_of_emptiness_beside_a_high_charge_must_stay_for_two_minutes",
    "tests/backends/enphase/test_backend.py::test_a_charge_that_was_refused_at_the_start_is_asked_for_with_each_full_poll_of_an_outage",
    "tests/backends/enphase/test_backend.py::test_a_relay_that_fails_is_a_failed_poll_and_never_a_status",
    "tests/backends/enphase/test_backend.py::test_any_json_from_any_endpoint_leaves_the_driver_serving",
    "tests/backends/enphase/test_backend.py::test_any_other_endpoint_may_fail_without_touching_the_status",
    "tests/backends/enphase/test_backend.py::test_on_battery_with_a_charge_that_nobody_tells_any_more_lb_still_comes",
    "tests/backends/enphase/test_backend.py::test_the_gateway_is_asked_one_thing_at_a_time_within_the_budget",
    "tests/backends/enphase/test_backend.py::test_the_live_stream_is_kept_on",
    "tests/backends/enphase/test_house.py::test_a_size_or_a_limit_that_cannot_be_makes_no_low_battery",
    "tests/backends/enphase/test_systems.py::test_a_system_of_this_shape_serves_what_the_page_says",
    "tests/backends/enphase/test_token.py::test_a_gateway_with_a_wrong_clock_refuses_good_tokens_and_the_cloud_is_not_hammered",
    "tests/backends/enphase/test_token.py::test_a_proxy_that_cannot_be_used_is_one_sentence_and_no_traceback",
    "tests/commands/test_portfile.py::test_each_row_of_the_table_is_a_difference",
    "tests/commands/test_portfile.py::test_each_variable_of_the_script_is_written_with_its_value_or_stands_in_the_table",
    "tests/core/test_driver.py::test_a_login_that_is_refused_for_good_is_not_tried_again_and_again_but_after_a_reload",
    "tests/core/test_driver.py::test_a_reload_that_cannot_be_done_is_a_line_in_the_log",
    "tests/exporters/test_influxdb.py::test_an_hour_of_a_full_house_is_kept_and_takes_little_memory",
    "tests/exporters/test_portfile.py::test_killed_at_any_moment_it_leaves_a_whole_file",
    "tests/exporters/test_web.py::test_more_clients_than_there_is_room_for_are_closed",
    "tests/simulators/test_physics.py::test_energy_balance_holds_in_any_house",
)  # fmt: skip
"""Tests that --quick leaves out: they start programs, take about a second of a processor, or are in make check."""

# What a driver keeps (tokens, histories) stays out of the machine's own folder, and out of other tests.
os.environ["NUTDRV_PY_HOME"] = tempfile.mkdtemp(prefix="nutdrv-home-")
atexit.register(shutil.rmtree, os.environ["NUTDRV_PY_HOME"], ignore_errors=True)

# Where the tests themselves run in a service, what they start is not to take that one for its own.
os.environ.pop("INVOCATION_ID", None)

# A shell that starts the tests in the background has them ignore Ctrl-C, and so would the programs that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A submission is judged by the same examples each time; whoever runs the tests by hand looks for new ones.
settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize="CI" in os.environ)
settings.register_profile("quick", settings.get_profile("default"), max_examples=20)
settings.load_profile("default")


def kinded(texts: Mapping[str, str]) -> dict[str, Variable]:
    """Return variables of these texts, as a backend that gives nothing but text would have them served."""
    return with_kinds({name: Variable(text) for name, text in texts.items()}, {})


class FakeClock(Clock):
    """A clock that only moves when a test moves it."""

    def __init__(self, wall: float = 1_800_000_000.0) -> None:
        self.now = 1000.0
        self.wall_offset = wall - self.now
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now + self.wall_offset

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._sleepers, (self.now + seconds, self._count, future))
        await future

    async def settle(self, turns: int = 40) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)

    async def advance(self, seconds: float) -> None:
        """Move time, waking sleepers one after the other and letting them run."""
        end = self.now + seconds
        await self.settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            at, _, future = heapq.heappop(self._sleepers)
            self.now = max(self.now, at)
            if not future.done():
                future.set_result(None)
                await self.settle()
        self.now = end
        await self.settle()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="leave out what takes long: SLOW in tests/conftest.py")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("quick"):
        settings.load_profile("quick")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Read no module of which --quick leaves out all."""
    path = collection_path.relative_to(REPO).as_posix() + "/" * collection_path.is_dir()
    return True if config.getoption("quick") and path in SLOW else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("quick"):
        slow = [item for item in items if item.nodeid.startswith(SLOW)]
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in slow]
    # By modules, or those that wait for programs would all be in the share of one worker, and be left when the others are done.
    modules: dict[Path, list[pytest.Item]] = {}
    for item in items:
        modules.setdefault(item.path, []).append(item)
    order = list(modules)
    random.Random(1).shuffle(order)
    items[:] = [item for module in order for item in modules[module]]


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Collector, name: str, obj: object) -> None:
    """Give each test that is a coroutine to the plugin of anyio, which httpx needs anyway; anyio before 4.11 has no option for it."""
    test = obj.hypothesis.inner_test if hasattr(obj, "hypothesis") else obj
    if name.startswith("test") and inspect.iscoroutinefunction(test):
        pytest.mark.usefixtures("anyio_backend")(obj)


@pytest.fixture
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, object]]:
    """Return asyncio, the only kind of loop that the driver runs on, and what it is made with."""
    hasty = request.node.nodeid.startswith(HASTY)
    return "asyncio", {"loop_factory": HastyLoop} if hasty else {}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def quick_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the real time on an inverter's line: the gap between requests, and how long an answer is waited for."""
    monkeypatch.setattr(client, "GAP", 0.0)
    monkeypatch.setattr(client, "ANSWER", 0.2)
    monkeypatch.setattr(rct, "CONFIRM", 0.01)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("NUT_") or name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _clean_log() -> Iterator[None]:
    log.set_debug_level(0)
    hidden = dict(log._hidden)
    yield
    # A secret of one test may be a word of the next one's log.
    log._hidden.clear()
    log._hidden.update(hidden)
    root = logging.getLogger()
    for handler in list(root.handlers):
        if type(handler).__module__ == "nutdrv_py.log":
            root.removeHandler(handler)
