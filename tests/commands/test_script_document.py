# SPDX-License-Identifier: GPL-2.0-or-later
"""The document of enphase-monitor, taken apart: each key, option, default, environment variable and file rule that it promises.

The document is part of NUT (scripts/external_apis/enphase). Where it is at hand, each of its keys is looked for here.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nutdrv_py.backends.enphase.config import EnphaseConfig
from nutdrv_py.backends.enphase.rehearsal import Rehearsal
from nutdrv_py.backends.steps import STEPS
from nutdrv_py.cli import main
from nutdrv_py.commands.portfile_config import Plan, find, read_plan
from nutdrv_py.commands.portfile_help import KEYS, MANUAL
from nutdrv_py.device.reading import Status
from nutdrv_py.errors import ConfigError, StaleError
from nutdrv_py.nut.portfile import parse
from nutdrv_py.nut.portitems import Entry
from nutdrv_py.simulators.enphase.tokens import TokenAuthority
from tests.conftest import REPO, FakeClock

REQUIRED = "USERNAME=you@example.org\nPASSWORD=correct-horse-9\nSERIAL=122333444455\n"
SERIAL = "122333444455"


class Place:
    """NUT's folders on a machine, and a configuration of the script in one of them."""

    def __init__(self, folder: Path) -> None:
        self.etc, self.state = folder / "ups", folder / "lib"
        for one in (self.etc, self.state):
            one.mkdir()
        self.conf = self.etc / "enphase-home.conf"
        self.environ = {"NUT_CONFPATH": str(self.etc), "NUT_STATEPATH": str(self.state)}

    def write(self, text: str) -> None:
        self.conf.write_text(text)
        self.conf.chmod(0o640)

    def plan(self, text: str, *, file: str = "home.dev", ups: str | None = "home", **environ: str) -> Plan:
        path = self.state / file
        path.parent.mkdir(exist_ok=True)
        path.touch()
        self.write(text)
        plan = read_plan(ups, None if ups else str(self.conf), {**self.environ, **environ})
        plan.file.close()
        return plan


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def read(path: Path) -> dict[str, str]:
    return {item.name: item.value for item in parse(path.read_text()) if isinstance(item, Entry)}


# Keys

DEFAULTS = {
    "port": "envoy.local", "pollfreq": 60, "pollfreqalert": 20, "loadkwh": None, "login_timeout": 10, "api_timeout": 10,
    "disable_meters": False, "serial": SERIAL, "username": "you@example.org", "password": "correct-horse-9",
}  # fmt: skip


def test_without_optional_keys_the_defaults_are_the_documents(place: Place) -> None:
    plan = place.plan(REQUIRED + "PORT_FILE=home.dev\n")
    found = {name: getattr(plan.settings.config, name) for name in DEFAULTS}
    assert found == DEFAULTS
    assert (plan.every, plan.alert) == (60, 20)
    assert plan.file.path == place.state / "home.dev"
    assert plan.settings.config.tokenfile == str(place.state / "enphase-home.token")  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("line", "option", "value"),
    [
        ("POLLFREQ=1", "pollfreq", 5), ("POLLFREQ=600", "pollfreq", 600), ("POLLFREQALERT=1", "pollfreqalert", 5),
        ("LOGIN_TIMEOUT=1", "login_timeout", 5), ("LOGIN_TIMEOUT=30", "login_timeout", 30), ("API_TIMEOUT=1", "api_timeout", 2),
        ("API_TIMEOUT=5", "api_timeout", 5), ("LOADKWH=0", "loadkwh", 0), ("LOADKWH=1536", "loadkwh", 1536),
        ("DISABLE_METERS=", "disable_meters", False), ("DISABLE_METERS=1", "disable_meters", True),
        ("DISABLE_METERS=0", "disable_meters", True), ("DISABLE_METERS=no", "disable_meters", True),
        ('DISABLE_METERS="no CTs here"', "disable_meters", True), ('ENVOY_HOST="192.168.1.20"', "port", "192.168.1.20"),
        ("SERIAL=", "serial", None), ("ENPHASE_LOGIN=https://login.example", "login_url", "https://login.example"),
        ("ENPHASE_TOKENS=https://tokens.example", "token_url", "https://tokens.example"),
    ],
)  # fmt: skip
def test_each_key_is_taken_as_the_document_says(place: Place, line: str, option: str, value: object) -> None:
    assert getattr(place.plan(f"{REQUIRED}PORT_FILE=home.dev\n{line}\n").settings.config, option) == value


@pytest.mark.parametrize(
    ("line", "file", "token"),
    [
        ("", "{state}/home.dev", "{state}/enphase-home.token"),
        ("TOKEN_FILE=x.token", "{state}/home.dev", "{state}/x.token"),
        ("TOKEN_FILE=/else/x.token", "{state}/home.dev", "/else/x.token"),
        ("STATE_DIR={state}/deep", "{state}/deep/home.dev", "{state}/deep/enphase-home.token"),
        ("STATE_DIR=$NUT_STATEPATH/deep", "{state}/deep/home.dev", "{state}/deep/enphase-home.token"),
        ("NUT_STATEPATH={state}/deep", "{state}/deep/home.dev", "{state}/deep/enphase-home.token"),
        ("BASE={state}\nSTATE_DIR=${{BASE:-/tmp}}/deep", "{state}/deep/home.dev", "{state}/deep/enphase-home.token"),
        ("TOKEN_FILE=$NUT_CONFPATH/x.token", "{state}/home.dev", "{etc}/x.token"),
    ],
)
def test_relative_names_are_names_in_state_dir(place: Place, line: str, file: str, token: str) -> None:
    (place.state / "deep").mkdir()
    words = {"state": place.state, "etc": place.etc}
    wanted = file.format(**words)
    plan = place.plan(f"{REQUIRED}PORT_FILE=home.dev\n{line.format(**words)}\n", file=os.path.relpath(wanted, place.state))
    assert (str(plan.file.path), plan.settings.config.tokenfile) == (wanted, token.format(**words))  # type: ignore[attr-defined]
    assert not plan.notes
    assert find("home", None, place.environ).file == Path(wanted), "the fail-safe knows the same file"


def test_state_dir_defaults_to_the_environments_folder_or_nuts(place: Place, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "home.dev").touch()
    assert place.plan(f"{REQUIRED}PORT_FILE=home.dev\n", NUT_LOCALSTATE=str(other)).file.path == other / "home.dev"
    place.write(f"{REQUIRED}PORT_FILE=home.dev\n")
    assert find("home", None, {"NUT_CONFPATH": str(place.etc)}).state in (Path("/var/lib/nut"), Path("/var/lib/ups"))


@pytest.mark.parametrize(
    ("line", "notes"),
    [
        ("POLFREQ=5", ["POLFREQ is not known and has no effect; do you mean POLLFREQ?"]),
        ("pollfreq=5", ["pollfreq is not known and has no effect; do you mean POLLFREQ?"]),
        ("ZZQQ=5", ["ZZQQ is not known and has no effect"]),
        ("MY=1\nPOLLFREQ=1$MY", []),
        ("DEBUG=1\nVERBOSE=1\nNUT_CONFPATH=/etc/ups\nexport CONFIG_FILE=x", []),
        ("TEST=\nTEST_RELAY=", []),
    ],
)
def test_any_key_is_taken_and_one_that_nobody_knows_is_said(place: Place, line: str, notes: list[str]) -> None:
    plan = place.plan(f"{REQUIRED}PORT_FILE={place.state}/home.dev\n{line}\n")
    assert [note.removeprefix(f"{place.conf}: ") for note in plan.notes] == notes


@pytest.mark.parametrize(
    ("lines", "port", "note"),
    [
        ("ENVOY_HOST=\n", "envoy.local", None),
        ("ENVOY_HOST=gate\nHOST=mine\n", "gate", "HOST has no effect; the address is ENVOY_HOST"),
        ("PORT=mine\n", "envoy.local", "PORT has no effect; the address is ENVOY_HOST"),
        ("LOWBATT=30\n", "envoy.local", "LOWBATT is taken as the option lowbatt"),
    ],
)
def test_a_variable_of_the_users_own_is_not_taken_silently(place: Place, lines: str, port: str, note: str | None) -> None:
    plan = place.plan(f"{REQUIRED}PORT_FILE=home.dev\n{lines}")
    assert plan.settings.config.port == port
    assert [line.removeprefix(f"{place.conf}: ") for line in plan.notes] == ([note] if note else [])


@pytest.mark.parametrize("words", [["-x"], ["--away"], []])
def test_without_a_readable_configuration_the_file_that_dummy_ups_serves_is_taken_away(
    place: Place, words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in place.environ.items():
        monkeypatch.setenv(name, value)
    port = place.state / "home.dev"
    port.write_text("ups.status: OB LB\n# nutdrv_py keeps: ups.status\n")
    assert main(["nutdrv_py", "portfile", *words, "home"]) == 1
    assert "there is no configuration for home" in capsys.readouterr().err
    assert port.exists(), "nobody says that this is the file"
    (place.etc / "ups.conf").write_text(f"[home]\ndriver = dummy-ups\nport = {port}\n")
    assert main(["nutdrv_py", "portfile", *words, "home"]) == (0 if words else 1)
    assert not port.exists() and port.with_name("home.dev-nocomms").exists()


def test_debug_and_verbose_are_keys_too(place: Place) -> None:
    place.write("DEBUG=2\nVERBOSE=yes\n")
    script = find("home", None, place.environ)
    assert (script.debug, script.verbose) == (2, True)


# Where it is found


def test_a_name_finds_its_configuration_in_the_folder_of_the_environment(place: Place) -> None:
    place.write(REQUIRED)
    for environ in ({"NUT_CONFPATH": str(place.etc)}, {"NUT_SYSCONFIG": str(place.etc)}):
        assert find("home", None, environ).path == place.conf
        assert find(None, None, {**environ, "UPS": "home"}).path == place.conf
    assert find(None, None, {"CONFIG_FILE": str(place.conf)}).path == place.conf
    with pytest.raises(ConfigError, match=r"none of /etc/(nut|ups)/enphase-nobody\.conf.*/etc/(nut|ups)/enphase-nobody\.conf"):
        find("nobody", None, {})


def test_no_ups_is_2_and_says_what_to_type(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UPS", raising=False)
    assert main(["nutdrv_py", "portfile", "-s"]) == 2
    assert "nutdrv_py portfile -c CONFIG" in capsys.readouterr().out


@pytest.mark.parametrize(("of_ups_conf", "refused"), [("{state}/home.dev", False), ("{etc}/home.dev", True), ("home@other", False), ("home.dev", True)])
def test_another_file_in_the_section_of_dummy_ups_is_refused_with_both_names(place: Place, of_ups_conf: str, refused: bool) -> None:
    port = of_ups_conf.format(state=place.state, etc=place.etc)
    (place.etc / "ups.conf").write_text(f"[home]\ndriver = dummy-ups\nport = {port}\n")
    if not refused:
        assert place.plan(f"{REQUIRED}PORT_FILE=home.dev\n").file.path == place.state / "home.dev"
        return
    with pytest.raises(ConfigError, match=f"is {place.state}/home.dev, but dummy-ups serves {place.etc}/home.dev"):
        place.plan(f"{REQUIRED}PORT_FILE=home.dev\n")


def test_without_port_file_it_is_the_one_that_dummy_ups_serves(place: Place) -> None:
    (place.etc / "ups.conf").write_text("[home]\ndriver = dummy-ups\nport = my.dev\n")
    (place.etc / "my.dev").touch()
    assert place.plan(REQUIRED).file.path == place.etc / "my.dev"


# File rules


def test_secrets_that_others_may_read_are_refused(place: Place) -> None:
    for mode in (0o644, 0o604, 0o602):
        place.write(REQUIRED + "PORT_FILE=home.dev\n")
        place.conf.chmod(mode)
        (place.state / "home.dev").touch()
        with pytest.raises(ConfigError, match="chmod o-rwx"):
            read_plan("home", None, place.environ)


def test_a_folder_of_tokens_that_others_may_write_to_is_refused(place: Place) -> None:
    place.state.chmod(0o777)
    with pytest.raises(ConfigError, match=f"chmod o-w {place.state}"):
        place.plan(REQUIRED + "PORT_FILE=home.dev\n")


def test_a_token_of_the_script_is_used_and_kept_there(place: Place) -> None:
    plan = place.plan(REQUIRED + "PORT_FILE=home.dev\n")
    (place.state / "enphase-home.token").write_text(TokenAuthority().issue(SERIAL, now=time.time()))
    (place.state / "enphase-home.token").chmod(0o600)
    backend = plan.settings.backend(plan.settings.config, FakeClock())
    assert backend.session.authority.stored(SERIAL) is not None  # type: ignore[attr-defined]


def test_what_the_user_has_set_in_the_file_counts(place: Place) -> None:
    (place.state / "home.dev").write_text("battery.charge.low: 35\nbattery.voltage.high: 57.6\ndevice.mfr: Me\nups.location: cellar\n")
    plan = place.plan(REQUIRED + "PORT_FILE=home.dev\n")
    assert plan.with_settings_of_file().overrides == {"battery.charge.low": "35", "battery.voltage.high": "57.6", "device.mfr": "Me"}


# The test mode

TEST_CONF = """\
# what enphase-monitor's own test configuration holds
UPS=test
STATE_DIR=.
PORT_FILE="test.dev"
DEBUG=1
POLLFREQ=5
POLLFREQALERT=5
TEST=1
TEST_SESS='{"message":"success","session_id":"some-value"}'
TEST_TOKEN=@TOKEN@
TEST_RELAY='{"mains_admin_state":"closed","mains_oper_state":"@RELAY_STATE@","der1_state":2}'
TEST_LIVE='{"connection":{"mqtt_state":"connected"},"meters":{"soc":@BATT_SOC@,"enc_agg_soc":@BATT_SOC@,"enc_agg_energy":4500,
  "phase_count":2,"load":{"agg_p_mw":900000}}}'
TEST_REPORTS='[{"reportType":"total-consumption","cumulative":{"currW":900.5,"apprntPwr":950,"rmsVoltage":240.1,"pwrFactor":0.95,
  "freqHz":60},"lines":[]},{"reportType":"net-consumption","cumulative":{"currW":100.5,"rmsVoltage":240.1,"freqHz":60},"lines":[]}]'
TEST_SECCTRL='{"soc_recovery_exit":10}'
TEST_INFO='<?xml version="1.0" encoding="UTF-8"?>
<envoy_info>
 <device>
  <sn>122333444455</sn>
  <software>D8.2.4345</software>
 </device>
</envoy_info>'
"""


def test_conf(**changes: str) -> str:
    text = TEST_CONF.replace("@TOKEN@", TokenAuthority().issue(SERIAL, now=time.time()))
    for name, value in changes.items():
        text += f"{name}='{value}'\n"
    return text


test_conf.__test__ = False  # type: ignore[attr-defined]


def rehearsed(place: Place, **changes: str) -> Rehearsal:
    place.write("UPS=home\n" + test_conf(STATE_DIR=str(place.state), UPS="home", PORT_FILE="home.dev", **changes))
    (place.state / "home.dev").touch()
    plan = read_plan("home", None, place.environ)
    plan.file.close()
    assert plan.answers is not None and isinstance(plan.settings.config, EnphaseConfig)
    return Rehearsal(plan.settings.config, FakeClock(), plan.answers)


async def test_the_test_mode_goes_round_as_the_document_says(place: Place) -> None:
    backend = rehearsed(place)
    seen = []
    for step in (*STEPS, *STEPS):
        backend.step = step
        backend.clock.now += 5  # type: ignore[attr-defined]
        try:
            reading = await backend.poll()
            backend.clock.now += 5  # type: ignore[attr-defined]
            reading = await backend.poll()
        except StaleError:
            seen.append("nocomms")
            continue
        low = reading.decline is not None and reading.decline.charge is not None and reading.decline.charge <= (reading.decline.low or 0)
        seen.append("lowbatt" if low and Status.OB in reading.status else "onbatt" if Status.OB in reading.status else "online")
        assert reading.values["battery.charge"] == step.charge
        assert reading.values["ups.firmware"] == "D8.2.4345"
    assert seen == 2 * ["online", "nocomms", "online", "onbatt", "lowbatt"]


@pytest.mark.parametrize("empty", ["TEST_LIVE", "TEST_REPORTS", "TEST_SECCTRL", "TEST_INFO", "TEST_RELAY", "TEST_SESS", "TEST_TOKEN"])
async def test_an_empty_answer_is_a_query_that_fails(place: Place, empty: str) -> None:
    async def story() -> bool:
        backend = rehearsed(place, **{empty: ""})
        try:
            reading = await backend.poll()
        except Exception:
            return False
        assert Status.OL in reading.status
        assert ("battery.charge" in reading.values) is (empty != "TEST_LIVE")
        return True

    assert await story() is (empty not in ("TEST_RELAY", "TEST_SESS", "TEST_TOKEN"))


async def test_an_ended_token_is_fetched_anew_without_the_network(place: Place) -> None:
    backend = rehearsed(place)
    await backend.poll()
    token = place.state / "enphase-home.token"
    assert token.stat().st_mode & 0o777 == 0o600
    backend.forget()
    assert not token.exists()
    await backend.poll()
    assert token.exists()


@pytest.mark.timeout(60)
def test_the_distributed_test_configuration_runs_in_its_folder_as_it_stands(tmp_path: Path) -> None:
    (tmp_path / "test.conf").write_text(test_conf())
    (tmp_path / "test.conf").chmod(0o600)
    (tmp_path / "test.dev").write_text("ups.location: here\n")
    environ = {**os.environ, "PYTHONPATH": str(REPO)}
    with subprocess.Popen(
        [sys.executable, "-m", "nutdrv_py", "portfile", "-c", "test.conf"], cwd=tmp_path, env=environ, stderr=subprocess.PIPE, text=True
    ) as running:
        try:
            _until(lambda: (tmp_path / "test.dev").exists() and read(tmp_path / "test.dev").get("ups.status", "").startswith("OL"))
            assert read(tmp_path / "test.dev")["ups.location"] == "here"
            assert read(tmp_path / "test.dev")["battery.charge"] == "90"
            _until(lambda: (tmp_path / "test.dev-nocomms").exists() and not (tmp_path / "test.dev").exists())
            _until(lambda: (tmp_path / "test.dev").exists())
            assert (tmp_path / "enphase-test.token").exists()
        finally:
            running.send_signal(signal.SIGTERM)
            assert running.stderr is not None
            said = running.stderr.read()
    assert running.returncode == 0
    assert "Test mode: onbatt" not in said
    assert "Traceback" not in said


def _until(true: object, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.05)


# One check and nocomms, as the units use them


def test_one_check_without_a_device_is_no_failure_and_the_file_is_away(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in place.environ.items():
        monkeypatch.setenv(name, value)
    place.write(REQUIRED + "PORT_FILE=home.dev\nENVOY_HOST=127.0.0.1:9\nAPI_TIMEOUT=2\nTOKEN=" + TokenAuthority().issue(SERIAL, now=time.time()))
    (place.state / "home.dev").write_text("ups.status: OL\nups.location: cellar\n")
    assert main(["nutdrv_py", "portfile", "-s", "home"]) == 0
    assert (place.state / "home.dev-nocomms").exists() and not (place.state / "home.dev").exists()


def test_one_check_tells_the_status_when_asked(place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name, value in place.environ.items():
        monkeypatch.setenv(name, value)
    place.write("TEST=1\n" + test_conf(UPS="home", STATE_DIR=str(place.state), PORT_FILE="home.dev"))
    (place.state / "home.dev").touch()
    assert main(["nutdrv_py", "portfile", "-s", "-v", "home"]) == 0
    assert "OL" in capsys.readouterr().out
    assert read(place.state / "home.dev")["ups.status"].startswith("OL")


# Nothing is forgotten

DOCUMENT = Path(os.environ.get("ENPHASE_MONITOR_DOCUMENT", REPO.parent / "shared" / "seeds" / "enphase-monitor.adoc"))
NO_KEYS = frozenset({
    "API", "GPL", "INSTALL", "JSON", "JWT", "MODE", "MUST", "NOTE", "NUT", "SSD", "USER", "XXX", "EXIST", "DIR", "TEST_XXXX",
    "INSTALL_DIR", "HTTP", "LFP",
})  # fmt: skip


def test_the_help_says_every_key_and_option() -> None:
    known = {name for name, _, _ in KEYS}
    for key in known | {"TEST_RELAY", "TEST_LIVE", "TEST_REPORTS", "TEST_SECCTRL", "TEST_INFO", "TEST_SESS", "TEST_TOKEN"}:
        assert key in MANUAL
    page = (REPO / "docs" / "portfile.md").read_text()
    for key in known:
        assert f"`{key}`" in page, f"docs/portfile.md does not name {key}"
    assert max(map(len, MANUAL.splitlines())) <= 80


@pytest.mark.skipif(not DOCUMENT.exists(), reason="the script's document is not at hand; ENPHASE_MONITOR_DOCUMENT names it")
def test_each_key_and_option_of_the_document_is_known() -> None:
    text = DOCUMENT.read_text()
    words = set(re.findall(r"\b[A-Z][A-Z_]{2,}\b", text)) - NO_KEYS
    assert {"USERNAME", "LOADKWH", "TEST_SECCTRL", "NUT_LOCALSTATE"} <= words
    missing = {word for word in words if word not in MANUAL}
    assert not missing - {"RELAY_STATE", "BATT_SOC"}
    for option in re.findall(r"^  (-[a-z])\b", text, re.MULTILINE):
        done = subprocess.run([sys.executable, "-m", "nutdrv_py", "portfile", "--help"], capture_output=True, text=True, check=True, cwd=REPO)
        assert f"  {option}" in done.stdout
