# SPDX-License-Identifier: GPL-2.0-or-later
"""``nutdrv_py portfile`` takes what users of enphase-monitor have, and writes what the script writes, except where it is wrong."""

from __future__ import annotations

import os
import pwd
import re
from pathlib import Path

import pytest

from nutdrv_py.cli import main
from nutdrv_py.commands.portfile_config import Plan, read_plan
from nutdrv_py.errors import ConfigError, StartError
from nutdrv_py.exporters.portfile import PortFile, take_away
from nutdrv_py.machine.owners import keeper
from tests.backends.enphase.conftest import house
from tests.commands.script import divided, script
from tests.conftest import REPO

USERS_CONFIG = """\
# enphase-monitor configuration for ups "home"
SERIAL=122333444455            # on the label
USERNAME='me@example.org'
PASSWORD='pa$$ w"ord#1'
ENVOY_HOST="192.168.1.20:8443"
POLLFREQ=90
POLLFREQALERT=30
LOGIN_TIMEOUT=15
API_TIMEOUT=6
LOADKWH=900
DISABLE_METERS=1
TOKEN_FILE="$NUT_LOCALSTATE/enphase-$UPS.token"
PORT_FILE="$NUT_SYSCONFIG/enphase.dev"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "enphase-home.conf").write_text(USERS_CONFIG)
    (tmp_path / "enphase-home.conf").chmod(0o640)
    (tmp_path / "enphase.dev").write_text("battery.charge.low: 35\nups.location: cellar\n")
    (tmp_path / "home.dev").touch()
    return tmp_path


def plan(folder: Path, ups: str | None = "home", config: str | None = None, **environ: str) -> Plan:
    return read_plan(ups, config, {"NUT_CONFPATH": str(folder), "NUT_LOCALSTATE": str(folder), **environ})


def write(folder: Path, text: str) -> None:
    (folder / "enphase-home.conf").write_text(text)


ACCOUNT = "USERNAME=a\nPASSWORD=b\n"


def test_a_configuration_of_the_script_works_as_it_is(folder: Path) -> None:
    found = plan(folder)
    config = found.settings.config
    expected = {
        "serial": "122333444455", "username": "me@example.org", "password": 'pa$$ w"ord#1', "port": "192.168.1.20:8443", "pollfreq": 90,
        "pollfreqalert": 30, "login_timeout": 15, "api_timeout": 6, "loadkwh": 900, "disable_meters": True,
        "tokenfile": str(folder / "enphase-home.token"), "ups": "home",
    }  # fmt: skip
    assert {name: getattr(config, name) for name in expected} == expected
    assert found.file.path == folder / "enphase.dev"
    assert (found.every, found.alert) == (90, 30)
    assert found.with_settings_of_file().overrides == {"battery.charge.low": "35"}, "the user's entry of the port file is honoured"


@pytest.mark.parametrize(
    ("ups", "config", "environ"),
    [
        ("home", None, {}),
        (None, "enphase-home.conf", {}),
        (None, None, {"CONFIG_FILE": "enphase-home.conf"}),
        (None, None, {"UPS": "home"}),
    ],
)
def test_the_configuration_is_found_by_name_by_option_and_by_environment(folder: Path, ups: str | None, config: str | None, environ: dict[str, str]) -> None:
    if config:
        config = str(folder / config)
    environ = {name: str(folder / value) if name == "CONFIG_FILE" else value for name, value in environ.items()}
    write(folder, USERS_CONFIG + "UPS=home\n" if "$UPS" not in USERS_CONFIG else "UPS=home\n" + USERS_CONFIG)
    assert plan(folder, ups, config, **environ).settings.ups == "home"


def test_defaults_and_minima_are_the_scripts(folder: Path) -> None:
    write(folder, ACCOUNT)
    first = plan(folder)
    config = first.settings.config
    first.file.close()
    for name, value in {"port": "envoy.local", "pollfreq": 60, "pollfreqalert": 20, "login_timeout": 10, "api_timeout": 10, "loadkwh": None}.items():
        assert getattr(config, name) == value
    write(folder, ACCOUNT + "POLLFREQ=1\nPOLLFREQALERT=1\nLOGIN_TIMEOUT=1\nAPI_TIMEOUT=1\n")
    settings = plan(folder).settings
    for name, value in {"pollfreq": 5, "pollfreqalert": 5, "login_timeout": 5, "api_timeout": 2}.items():
        assert getattr(settings.config, name) == value
    assert len(settings.notes) == 4


def test_the_port_file_is_that_of_ups_conf_when_nothing_else_is_said(folder: Path) -> None:
    write(folder, ACCOUNT)
    assert plan(folder).file.path == folder / "home.dev"
    (folder / "ups.conf").write_text("[home]\ndriver = dummy-ups\nport = enphase.dev\nmode = dummy-once\n")
    assert plan(folder).file.path == folder / "enphase.dev"


def test_an_inverter_is_named_by_backend_and_host(folder: Path) -> None:
    write(folder, "BACKEND=rct\nHOST=192.168.1.50\nCHARGE_LOW_MARGIN=8\n")
    found = plan(folder)
    assert found.settings.backend_name == "rct"
    assert found.settings.config.port == "192.168.1.50"
    assert (found.every, found.alert) == (60, 20)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("API_TIMEOUT=soon\n" + ACCOUNT, "is not a whole number"),
        ("BACKEND=rct\n", "HOST= is missing"),
        ("BACKEND=nothing\n" + ACCOUNT, "BACKEND=nothing is none of dummy, enphase"),
        ("BACKEND=os:path\n" + ACCOUNT, "BACKEND=os:path is none of"),
        ("SERIAL=1\n", "no way to log in"),
        (ACCOUNT + "PASSWORD=$(cat /etc/shadow)\n", "conf:3: .*nothing in this file is run"),
        (ACCOUNT + "rm -rf /\n", "conf:3: "),
        (ACCOUNT + "PORT_FILE=nowhere.dev\n", "does not exist"),
        (ACCOUNT + "TEST_MODE=1\nTEST_DELAY=quick\n", "TEST_DELAY"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_sentence(folder: Path, text: str, sentence: str) -> None:
    write(folder, text)
    with pytest.raises(ConfigError, match=sentence):
        plan(folder)


@pytest.mark.parametrize("text", ["$(reboot)\n", "BACKEND=nothing\n", ""])
@pytest.mark.parametrize("words", [[], ["-s"]])
def test_with_a_wrong_configuration_a_file_that_was_kept_here_is_taken_away_and_another_programs_is_not(
    folder: Path, text: str, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody will keep ours, and dummy-ups would serve it for ever; a trial run must not harm the script that keeps the other one."""
    monkeypatch.setenv("NUT_CONFPATH", str(folder))
    monkeypatch.setenv("NUT_LOCALSTATE", str(folder))
    write(folder, "PORT_FILE=enphase.dev\n" + text)
    before = (folder / "enphase.dev").read_text()
    assert main(["nutdrv_py", "portfile", *words, "home"]) == 1
    assert (folder / "enphase.dev").read_text() == before
    file = PortFile(folder / "enphase.dev")
    file.show({"ups.status": "OL"})
    assert main(["nutdrv_py", "portfile", *words, "home"]) == 1
    assert (folder / "enphase.dev").exists(), "another process keeps it"
    file.close()
    assert main(["nutdrv_py", "portfile", *words, "home"]) == 1
    assert (folder / "enphase.dev-nocomms").read_text() == before, "what is ours does not stay in it"


@pytest.mark.parametrize("word", ["-x", "--away"])
def test_nocomms_is_set_whatever_else_is_wrong(folder: Path, word: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("NUT_CONFPATH", str(folder))
    monkeypatch.setenv("NUT_LOCALSTATE", str(folder))
    write(folder, "PORT_FILE=enphase.dev\n$(reboot)\n")
    (folder / "enphase-home.conf").chmod(0o644)
    assert main(["nutdrv_py", "portfile", word, "home"]) == 0
    assert (folder / "enphase.dev-nocomms").exists() and not (folder / "enphase.dev").exists()
    assert main(["nutdrv_py", "portfile", word, "home"]) == 0, "it is away already"
    file = PortFile(folder / "enphase.dev")
    file.show({"ups.status": "OL"})
    assert main(["nutdrv_py", "portfile", word, "home"]) == 1
    assert "another process keeps" in capsys.readouterr().err
    file.close()


def test_nothing_of_a_line_is_shown_because_it_may_be_a_password(folder: Path) -> None:
    for line in ("PASSWORD=correct horse\n", "PASSWORD=a;horse\n", "PASSWORD=`horse`\n", "PASSWORD='horse\n"):
        write(folder, "USERNAME=a\n" + line)
        with pytest.raises(ConfigError) as caught:
            plan(folder)
        assert "horse" not in str(caught.value)
    write(folder, ACCOUNT + 'PASSWORD="pa$Wort7"\n')
    notes = plan(folder).notes
    assert "variable at column 13 is not set" in notes[0] and "Wort" not in " ".join(notes)


def test_a_configuration_that_others_may_read_is_refused(folder: Path) -> None:
    (folder / "enphase-home.conf").chmod(0o644)
    with pytest.raises(ConfigError, match="chmod"):
        plan(folder)


def test_without_a_name_it_says_what_to_type(folder: Path) -> None:
    with pytest.raises(ConfigError, match="nutdrv_py portfile"):
        plan(folder, None)
    with pytest.raises(ConfigError, match=r"enphase-other\.conf"):
        plan(folder, "other")


# The values

PAGE = (REPO / "docs" / "portfile.md").read_text()
ROWS = [row.split("|")[1].strip() for row in PAGE.split("## What differs from the script")[1].split("\n## ")[0].splitlines() if row.startswith("| `")]
DIFFERENT = {re.sub(r"\\d|\.L\*", ".L*", name.strip("` ")) for row in ROWS for name in row.split(",")}


def _general(name: str) -> str:
    return re.sub(r"\.L\d", ".L*", name)


HOUSES: tuple[tuple[str, dict[str, object]], ...] = (
    ("online", {}), ("online", {"pv": 6000, "soc": 50}), ("online", {"soc": 15}), ("online", {"soc": 20}), ("online", {"grid": "outage"}),
    ("three-phase", {}), ("three-phase", {"pv": 9000}), ("three-phase", {"grid": "outage"}), ("split-phase", {}),
    ("split-phase", {"grid": "outage", "soc": 15}), ("no-batteries", {}), ("no-meters", {}), ("total-ct", {"pv": 5000}), ("ac-battery", {}),
)  # fmt: skip
"""Scenarios, and what is another way than in them."""


async def _compared(folder: Path, scenario: str, changes: dict[str, object]) -> tuple[dict[str, str], dict[str, str]]:
    """Return what we show and what the script writes of the same answers."""
    async with house(folder, scenario) as h:
        h.sim.set(**changes)
        ours = h.shown(await h.polls(3))
        return ours, script(h.backend._raw(), h.sim.serial)


@pytest.mark.parametrize(("scenario", "changes"), HOUSES)
async def test_each_variable_of_the_script_is_written_with_its_value_or_stands_in_the_table(scenario: str, changes: dict[str, object], tmp_path: Path) -> None:
    ours, theirs = await _compared(tmp_path, scenario, changes)
    assert len(theirs) > 25
    assert {_general(name) for name, value in theirs.items() if ours.get(name) != value} <= DIFFERENT


async def test_each_row_of_the_table_is_a_difference(tmp_path: Path) -> None:
    seen: set[str] = set()
    for number, (scenario, changes) in enumerate(HOUSES):
        (tmp_path / str(number)).mkdir()
        ours, theirs = await _compared(tmp_path / str(number), scenario, changes)
        seen.update(_general(name) for name, value in theirs.items() if ours.get(name) != value)
    assert seen >= DIFFERENT


@pytest.mark.parametrize(
    ("charge", "volts"),
    [(100, "86.4"), (96, "85.4"), (92, "84.4"), (89, "83.7"), (46, "78.7"), (39, "77.7"), (20, "74.4"), (15, "72.0"), (0, "60.0")],
)
def test_the_voltage_of_the_battery_is_the_scripts(charge: int, volts: str) -> None:
    from nutdrv_py.backends.enphase import site
    from nutdrv_py.core.variables import format_value

    assert format_value("battery.voltage", site.battery_voltage(charge)) == volts


async def test_the_users_highest_voltage_counts(tmp_path: Path) -> None:
    async with house(tmp_path, "online", overrides={"battery.voltage.high": "57.6"}) as h:
        assert h.shown(await h.polls(3))["battery.voltage"] == "55.2"


@pytest.mark.parametrize(
    ("charge", "capacity", "watts", "volts", "runtime", "load", "battery"),
    [(96, 9710, 2712.8, 245.3, "11081", "36.3", "85.4"), (46, 11600, 8884.7, 247.1, "1692", "99.7", "78.7")],
)
def test_the_emulation_gives_what_the_script_gave_for_real_answers(
    charge: int, capacity: int, watts: float, volts: float, runtime: str, load: str, battery: str
) -> None:
    report = {"reportType": "total-consumption", "cumulative": {"currW": watts, "rmsVoltage": volts}, "lines": []}
    grid = {"reportType": "net-consumption", "cumulative": {"currW": 23.2, "rmsVoltage": 245.0}, "lines": []}
    raw = {
        "livedata": {"meters": {"soc": charge, "enc_agg_energy": capacity}}, "secctrl": {}, "info": {"software": "D1"},
        "reports": [report, grid],
    }  # fmt: skip
    found = script(raw, "1")
    assert (found["battery.runtime"], found["ups.load"], found["battery.voltage"]) == (runtime, load, battery)
    assert (found["input.realpower"], found["input.current"]) == ("23.2", "0.09")


@pytest.mark.parametrize(
    ("a", "b", "decimals", "text"), [(-2863, 1, 2, "-2863.00"), (1, 3, 2, "0.33"), (-1, 300, 2, "-0.00"), (5, 0, 2, "0.00"), (998, 10, 1, "99.8")]
)
def test_the_scripts_division_is_emulated(a: int, b: int, decimals: int, text: str) -> None:
    assert divided(a, b, decimals) == text


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files that belong to others")


@needs_root
@pytest.mark.parametrize("words", [["-s"], ["--away"], []])
def test_root_goes_on_as_the_user_whom_the_port_file_belongs_to(folder: Path, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the lock, the token and the pin that it leaves would stop the unit, which runs as that user."""
    became: list[int] = []

    def become(path: Path) -> None:
        became.append(keeper(path, 1))
        raise StartError("this far")

    monkeypatch.setattr("nutdrv_py.process.background.become_keeper", become)
    monkeypatch.setenv("NUT_CONFPATH", str(folder))
    nobody = pwd.getpwnam("nobody").pw_uid
    os.chown(folder / "enphase.dev", nobody, -1)
    assert main(["nutdrv_py", "portfile", "-c", str(folder / "enphase-home.conf"), *words]) == 1
    assert became == [nobody]


@needs_root
def test_a_lock_that_another_user_left_does_not_keep_an_old_file_in_force(folder: Path) -> None:
    nobody = pwd.getpwnam("nobody").pw_uid
    file = folder / "enphase.dev"
    (folder / ".enphase.dev.lock").touch(mode=0o600)
    for place in (folder, file):
        os.chown(place, nobody, -1)
    for above in (folder, *folder.parents):
        if above == Path("/tmp"):
            break
        above.chmod(0o755)
    child = os.fork()
    if child == 0:
        os.setuid(nobody)
        os._exit(0 if take_away(file) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert not file.exists()
    assert file.with_name("enphase.dev-nocomms").exists()


def test_a_file_that_cannot_be_taken_away_is_said_in_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(path: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("nutdrv_py.commands.portfile.take_away", refuse)
    monkeypatch.setenv("NUT_CONFPATH", str(folder))
    assert main(["nutdrv_py", "portfile", "--away", "-c", str(folder / "enphase-home.conf")]) == 1
    assert "dummy-ups serves old data" in capsys.readouterr().err
