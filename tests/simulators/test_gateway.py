# SPDX-License-Identifier: GPL-2.0-or-later
"""The simulated gateway: documents, tokens, cloud, faults, certificate, captures."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import socket
import ssl
import stat
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from nutdrv_py.simulators.enphase import SCENARIOS, Fault, GatewayOptions, GatewaySimulator, RunningSimulator, Scenario
from nutdrv_py.simulators.enphase.certificate import make_certificate
from nutdrv_py.simulators.enphase.endpoints import ENDPOINTS
from nutdrv_py.simulators.enphase.faults import FAULTS
from nutdrv_py.simulators.enphase.house import SiteSetup

CAPTURES = Path(__file__).resolve().parents[2].parent / "shared" / "captures" / "enphase"


class Clock:
    """A clock for simulator time that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Caller:
    """Asks a running simulator, with a good token unless told otherwise."""

    def __init__(self, running: RunningSimulator) -> None:
        self.running = running
        self.sim = running.sim
        self.token: str | None = self.sim.issue_token()
        self.client = httpx.Client(base_url=self.sim.url, verify=False, timeout=2.0, trust_env=False)

    def get(self, path: str, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return self.client.get(path, headers=headers, **more)

    def post(self, path: str, **more: Any) -> httpx.Response:
        return self.client.post(path, headers={"Authorization": f"Bearer {self.token}"}, **more)

    def json(self, path: str) -> Any:
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
def make() -> Iterator[Callable[..., Caller]]:
    opened: list[tuple[RunningSimulator, Caller]] = []

    def start(scenario: Scenario | str | GatewaySimulator = "online", **settings: Any) -> Caller:
        running = RunningSimulator(scenario, **settings)
        running.__enter__()
        caller = Caller(running)
        opened.append((running, caller))
        return caller

    yield start
    for running, caller in opened:
        caller.client.close()
        running.__exit__(None, None, None)


Make = Callable[..., Caller]

KEYS: dict[str, dict[str, type]] = {
    "/ivp/ensemble/relay": {"mains_admin_state": str, "mains_oper_state": str, "der1_state": int, "Enchg_grid_mode": str},
    "/ivp/ensemble/status": {"inventory": dict, "secctrl": dict, "relay": dict},
    "/ivp/ensemble/secctrl": {
        "agg_soc": int,
        "Max_energy": int,
        "ENC_agg_soc": int,
        "ENC_agg_avail_energy": int,
        "Enc_max_available_capacity": int,
        "configured_backup_soc": int,
        "VLS_Limit": int,
        "soc_recovery_exit": int,
        "shutdown": bool,
    },
    "/ivp/ensemble/power": {"devices:": list},
    "/ivp/ensemble/generator": {"admin_state": str, "oper_state": str, "present": int, "stop_soc": int},
    "/ivp/ensemble/dry_contacts": {"dry_contacts": list},
    "/ivp/livedata/status": {"connection": dict, "meters": dict, "dry_contacts": dict},
    "/production.json": {"production": list, "consumption": list, "storage": list},
    "/admin/lib/tariff": {"tariff": dict, "schedule": dict},
    "/ivp/sc/sched": {"ENC_agg_energy": int, "Agg VLS Energy": int, "max_energy": int, "mode": str},
}


@pytest.mark.parametrize("path", KEYS)
def test_documents_have_their_keys(make: Make, path: str) -> None:
    document = make().json(path)
    for key, kind in KEYS[path].items():
        assert type(document[key]) is kind, key


def test_every_endpoint_answers(make: Make) -> None:
    caller = make("split-phase")
    for path in ENDPOINTS:
        answer = caller.post(path, json={"enable": 1}) if path.endswith("/stream") else caller.get(path)
        assert answer.status_code == 200, path
    assert caller.get("/ivp/unknown").status_code == 404
    assert caller.get("/ivp/unknown").json() == {"error": "404 - Not Found"}
    assert caller.get("/ivp/peb/devstatus").status_code == 401
    assert caller.post("/ivp/ensemble/relay", json={"mains_admin_state": "open"}).status_code == 405


def test_info_and_home_need_no_token(make: Make) -> None:
    caller = make()
    caller.token = None
    for path in ("/info", "/info.xml"):
        text = caller.get(path).text
        assert "<sn>122333444455</sn>" in text
        assert "<web-tokens>true</web-tokens>" in text
        assert "<software>D8.2.4345</software>" in text
    assert caller.get("/home").status_code == 200
    assert caller.get("/ivp/ensemble/relay").status_code == 401


def test_inventory_of_battery_and_controller(make: Make) -> None:
    caller = make()
    caller.running.set(packs_bad=1, mid_communicating=False, temperature="unknown")
    groups = {group["type"]: group["devices"] for group in caller.json("/ivp/ensemble/inventory")}
    assert [device["communicating"] for device in groups["ENCHARGE"]] == [True, False]
    assert groups["ENCHARGE"][0]["maxCellTemp"] == "unknown"
    assert groups["ENPOWER"][0]["communicating"] is False
    assert groups["ENPOWER"][0]["temperature"] == 79  # °F
    rated = [item["encharge_rated_power"] for item in caller.json("/ivp/ensemble/status")["inventory"]["serial_nums"].values() if item["device_type"] == 13]
    assert rated == [3840, 3840]
    assert len(caller.json("/ivp/ensemble/power")["devices:"]) == 1


def test_collar(make: Make) -> None:
    caller = make("collar")
    groups = {group["type"]: group["devices"] for group in caller.json("/ivp/ensemble/inventory")}
    assert (groups["COLLAR"][0]["mid_state"], groups["COLLAR"][0]["grid_state"]) == ("close", "on_grid")
    assert "ENPOWER" not in groups
    assert groups["ENCHARGE"][0]["admin_state_str"] == "ENCMN_MDE_ENCHARGE_READY"


@pytest.mark.parametrize(
    ("grid", "admin", "oper", "mode", "main"),
    [
        ("on", "closed", "closed", "multimode-ongrid", 1),
        ("outage", "closed", "open", "multimode-offgrid", 0),
        ("island", "open", "open synchronizing", "multimode-offgrid", 0),
        ("reclosing", "closed", "open synchronized", "multimode-offgrid", 0),
        ("generator", "closed", "open", "multimode-generator", 0),
    ],
)
def test_grid_states(make: Make, grid: str, admin: str, oper: str, mode: str, main: int) -> None:
    caller = make()
    caller.running.set(grid=grid)
    relay = caller.json("/ivp/ensemble/relay")
    assert (relay["mains_admin_state"], relay["mains_oper_state"], relay["Enchg_grid_mode"]) == (admin, oper, mode)
    assert caller.json("/ivp/ensemble/status")["relay"] == relay
    caller.post("/ivp/livedata/stream", json={"enable": 1})
    assert caller.json("/ivp/livedata/status")["meters"]["main_relay_state"] == main


@pytest.mark.parametrize(
    ("firmware", "present", "absent"),
    [
        ("D7.3.517", (), ("der3_state", "srt12_state", "VLS_Limit", "soc_recovery_exit", "ENC_agg_soh")),
        ("D8.1.41", ("der3_state", "VLS_Limit", "Recovery_threshold_soc"), ("srt12_state", "soc_recovery_exit")),
        ("D8.2.4345", ("srt12_state", "soc_recovery_exit"), ("Recovery_threshold_soc", "offgrid_secctrl")),
        ("D8.3.6086", ("offgrid_secctrl", "user_commanded_offgrid_vls_offset"), ("Recovery_threshold_soc",)),
    ],
)
def test_firmware_keys(make: Make, firmware: str, present: tuple[str, ...], absent: tuple[str, ...]) -> None:
    caller = make(Scenario(gateway=GatewayOptions(firmware=firmware)))
    keys = {*caller.json("/ivp/ensemble/relay"), *caller.json("/ivp/ensemble/secctrl")}
    assert keys >= set(present)
    assert not keys & set(absent)
    device = caller.json("/ivp/ensemble/inventory")[0]["devices"][0]
    assert ("operating" in device) == firmware.startswith("D7")
    assert ("reported_enc_grid_state" in device) == firmware.startswith(("D8.2", "D8.3"))


def test_old_firmware(make: Make) -> None:
    caller = make("old-firmware")
    text = caller.get("/info").text
    assert "<software>R4.10.35</software>" in text
    assert "web-tokens" not in text
    assert caller.get("/ivp/ensemble/relay").status_code == 404
    assert caller.get("/auth/check_jwt").status_code == 404


# -- meters and live data ----------------------------------------------------------------------------------------------


def report_of(caller: Caller, kind: str) -> Any:
    return next(item for item in caller.json("/ivp/meters/reports") if item["reportType"] == kind)


def test_reports_of_split_phase(make: Make) -> None:
    caller = make("split-phase")
    flows = caller.sim.site.flows
    storage = report_of(caller, "storage")
    assert storage["cumulative"]["currW"] == pytest.approx(flows.storage, abs=0.01)
    assert report_of(caller, "net-consumption")["cumulative"]["currW"] == pytest.approx(flows.grid, abs=0.01)
    assert report_of(caller, "production")["cumulative"]["rmsVoltage"] == 240
    assert len(storage["lines"]) == 3
    assert not any(storage["lines"][2].values())
    assert storage["cumulative"]["pwrFactor"] == -0.98
    enabled = {meter["eid"]: meter for meter in caller.json("/ivp/meters")}
    readings = caller.json("/ivp/meters/readings")
    assert {item["eid"] for item in readings} == set(enabled)
    assert all(len(item["channels"]) == 3 for item in readings)


def test_reports_of_three_phases_on_new_firmware(make: Make) -> None:
    caller = make("three-phase")
    total = report_of(caller, "total-consumption")
    assert total["cumulative"]["rmsVoltage"] == 690
    assert total["cumulative"]["pwrFactor"] == pytest.approx(2.85)
    assert sum(line["currW"] for line in total["lines"]) == pytest.approx(2400)
    states = {meter["measurementType"]: meter["state"] for meter in caller.json("/ivp/meters")}
    assert states["storage"] == "enabled"
    assert states["evse"] == "disabled"
    assert 1023410688 in {item["eid"] for item in caller.json("/ivp/meters/readings")}


def test_islanded_meters_read_zero_but_the_storage_ct_is_true(make: Make) -> None:
    caller = make()
    caller.running.set(grid="outage", load=734)
    caller.post("/ivp/livedata/stream", json={"enable": True})
    for kind in ("production", "net-consumption", "total-consumption"):
        cumulative = report_of(caller, kind)["cumulative"]
        assert (cumulative["currW"], cumulative["rmsVoltage"]) == (0, 230)
    assert report_of(caller, "storage")["cumulative"]["currW"] == 734
    live = caller.json("/ivp/livedata/status")["meters"]
    assert (live["load"]["agg_p_mw"], live["storage"]["agg_p_mw"], live["grid"]["agg_p_mw"]) == (734_000, 734_000, 0)
    assert '"reactPwr": -0,' in caller.get("/ivp/meters/reports").text


def test_no_meters(make: Make) -> None:
    caller = make("no-meters")
    for path in ("/ivp/meters", "/ivp/meters/readings", "/ivp/meters/reports"):
        assert caller.json(path) == []
    assert caller.json("/production.json")["consumption"] == []


def test_live_data_balance_and_units(make: Make) -> None:
    caller = make("split-phase")
    caller.post("/ivp/livedata/stream", json={"enable": 1})
    meters = caller.json("/ivp/livedata/status")["meters"]
    assert meters["enc_agg_energy"] == pytest.approx(11_500, abs=2)  # energy left, not capacity
    assert (meters["is_split_phase"], meters["phase_count"], meters["gen_relay_state"]) == (1, 2, 5)
    for part in ("agg_p_mw", "agg_p_ph_a_mw", "agg_p_ph_b_mw"):
        given = sum(meters[kind][part] for kind in ("pv", "grid", "storage", "generator"))
        assert given == pytest.approx(meters["load"][part], abs=3)


def test_live_data_repeats_a_blank_key(make: Make) -> None:
    names: list[str] = []
    caller = make()
    text = caller.get("/ivp/livedata/status").text
    json.loads(text, object_pairs_hook=lambda pairs: names.extend(key for key, _ in pairs))
    assert names.count("") == 4


def test_stream_ends_after_a_quarter_of_an_hour(make: Make) -> None:
    clock = Clock()
    caller = make(clock=clock)
    before = caller.json("/ivp/livedata/status")
    assert before["connection"]["sc_stream"] == "disabled"
    assert before["info"].startswith("Last available status data shown")
    assert caller.post("/ivp/livedata/stream", json={"enable": 1}).json() == {"sc_stream": "enabled"}
    caller.running.set(load=3000)
    assert caller.json("/ivp/livedata/status")["meters"]["load"]["agg_p_mw"] == 3_000_000
    clock.now += 899
    caller.running.set(load=2000)
    assert caller.json("/ivp/livedata/status")["connection"]["sc_stream"] == "enabled"
    clock.now += 2
    caller.running.set(load=1000)
    after = caller.json("/ivp/livedata/status")
    assert after["connection"]["sc_stream"] == "disabled"
    assert after["meters"]["load"]["agg_p_mw"] == 2_000_000
    assert "info" in after
    caller.post("/ivp/livedata/stream", json={"enable": 1})
    assert caller.json("/ivp/livedata/status")["meters"]["load"]["agg_p_mw"] == 1_000_000


def test_frozen_live_data_claims_to_stream(make: Make) -> None:
    wall = Clock()
    caller = make("frozen-livedata", wall=wall)
    first = caller.json("/ivp/livedata/status")
    wall.now += 120
    caller.running.set(load=5000)
    second = caller.json("/ivp/livedata/status")
    assert first["connection"]["sc_stream"] == second["connection"]["sc_stream"] == "enabled"
    assert first["meters"] == second["meters"]


def test_ac_batteries_mix_into_the_total(make: Make) -> None:
    control = make("ac-battery").json("/ivp/ensemble/secctrl")
    assert control["ENC_agg_soc"] == 12
    assert control["ACB_agg_soc"] == 70
    assert control["agg_soc"] == pytest.approx(40, abs=1)
    assert control["Max_energy"] == 9800


def test_no_batteries_are_zeros(make: Make) -> None:
    control = make("no-batteries").json("/ivp/ensemble/secctrl")
    assert (control["agg_soc"], control["Max_energy"], control["Enc_max_available_capacity"]) == (0, 0, 0)


# -- tokens and cloud --------------------------------------------------------------------------------------------------


def claims_of(token: str) -> Any:
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def login(caller: Caller, **more: Any) -> httpx.Response:
    form = {"user[email]": caller.sim.username, "user[password]": caller.sim.password, **more}
    return caller.client.post("/login/login.json", data=form)


def test_token_looks_real(make: Make) -> None:
    token = make().sim.issue_token()
    assert token.count(".") == 2
    assert "=" not in token
    assert 350 < len(token) < 460
    claims = claims_of(token)
    assert (claims["aud"], claims["iss"], claims["enphaseUser"]) == ("122333444455", "Entrez", "owner")
    assert claims["exp"] - claims["iat"] == 31_536_000


def test_token_rules(make: Make) -> None:
    caller = make()
    sim = caller.sim
    good = sim.issue_token(lifetime=60)
    tokens = {
        good: 200,
        sim.issue_token(role="installer"): 200,
        sim.issue_token(lifetime=-1): 401,
        sim.issue_token(serial="122000000000"): 401,
        good[:-4] + ("AAAA" if not good.endswith("AAAA") else "BBBB"): 401,
        "nonsense": 401,
        "a.b.c": 401,
        "é.ü.ö".encode().decode("latin-1"): 401,
    }
    for token, status in tokens.items():
        caller.client.cookies.clear()
        answer = caller.client.get("/ivp/ensemble/relay", headers={b"Authorization": b"Bearer " + token.encode("latin-1")})
        assert answer.status_code == status, token
        if status == 401:
            assert answer.headers["content-type"] == "text/html"
            assert "401 Authorization Required" in answer.text
            assert "'/home'" in answer.text
    caller.client.cookies.clear()
    caller.token = good
    caller.running.set(gateway_clock_offset=3600)
    assert caller.get("/ivp/ensemble/relay").status_code == 401
    caller.running.set(gateway_clock_offset=-86400)
    assert caller.get("/ivp/ensemble/relay").status_code == 401  # not valid yet by a clock that runs behind
    caller.running.set(gateway_clock_offset=0)
    assert caller.get("/ivp/ensemble/relay").status_code == 200
    caller.running.set(forget_tokens=True)
    assert caller.get("/ivp/ensemble/relay").status_code == 401


def test_cookie_of_check_jwt(make: Make) -> None:
    clock = Clock()
    caller = make(Scenario(gateway=GatewayOptions(needs_cookie=True)), clock=clock)
    assert caller.get("/ivp/ensemble/relay").status_code == 401
    answer = caller.get("/auth/check_jwt")
    assert answer.status_code == 200
    assert "Valid token." in answer.text
    assert "Max-Age" not in answer.headers["set-cookie"]
    assert caller.get("/ivp/ensemble/relay").status_code == 200
    clock.now += 601
    assert caller.get("/ivp/ensemble/relay").status_code == 401


def test_cookie_alone_is_enough(make: Make) -> None:
    caller = make()
    caller.get("/ivp/ensemble/relay")
    caller.token = None
    assert caller.get("/ivp/ensemble/relay").status_code == 200


@pytest.mark.parametrize("password", ["demo-password", "a&b+c%d=é €"])
@pytest.mark.parametrize("multipart", [False, True])
def test_login_and_both_routes(make: Make, multipart: bool, password: str) -> None:
    caller = make()
    caller.sim.cloud.password = password
    if multipart:
        fields = {"user[email]": caller.sim.username, "user[password]": password}
        answer = caller.client.post("/login/login.json", files={key: (None, text) for key, text in fields.items()})
    else:
        answer = login(caller)
    body = answer.json()
    assert (answer.status_code, body["message"]) == (200, "success")
    assert re.fullmatch("[0-9a-f]{32}", body["session_id"])
    wanted = {"session_id": body["session_id"], "serial_num": caller.sim.serial, "username": caller.sim.username}
    route_a = caller.client.post("/tokens", json=wanted)
    assert route_a.headers["content-type"].startswith("text/plain")
    caller.token = route_a.text
    assert caller.get("/ivp/ensemble/relay").status_code == 200
    route_b = caller.client.get("/entrez-auth-token", params={"serial_num": caller.sim.serial}).json()
    assert claims_of(route_b["token"])["exp"] == route_b["expires_at"]
    assert caller.client.post("/tokens", data=wanted).status_code == 415
    assert caller.client.post("/tokens", json={**wanted, "session_id": "0" * 32}).status_code == 401
    caller.client.cookies.clear()
    assert caller.client.get("/entrez-auth-token", params={"serial_num": "1"}).status_code == 401


def test_login_variants(make: Make) -> None:
    caller = make()
    assert login(caller, **{"user[password]": "wrong"}).status_code == 401
    assert login(caller, **{"user[password]": "wrong"}).json() == {"message": "Invalid"}
    caller.running.set(login="mfa")
    answer = login(caller)
    assert answer.json() == {"success": True, "isBlocked": False}
    assert "login_otp_nonce" in answer.headers["set-cookie"]
    caller.running.set(login="blocked")
    assert login(caller).json()["isBlocked"] is True
    caller.running.set(login="too-many-sessions")
    assert "Too many active sessions" in login(caller).json()["message"]
    caller.running.fault("cloud", Fault("status", status=429))
    assert login(caller).status_code == 429
    assert caller.get("/ivp/ensemble/relay").status_code == 200
    with pytest.raises(ValueError):
        caller.running.set(login="nonsense")


def test_wrong_serial_refuses_every_token(make: Make) -> None:
    caller = make("wrong-serial")
    assert "<sn>122999888777</sn>" in caller.get("/info").text
    assert caller.get("/ivp/ensemble/relay").status_code == 401


# -- faults ------------------------------------------------------------------------------------------------------------

RELAY = "/ivp/ensemble/relay"


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault("refuse"), httpx.RemoteProtocolError),
        (Fault("reset"), (httpx.ReadError, httpx.RemoteProtocolError)),
        (Fault("hang"), httpx.ReadTimeout),
        (Fault("hang-after-headers"), httpx.ReadTimeout),
        (Fault("truncated"), httpx.RemoteProtocolError),
        (Fault("truncated-chunk"), httpx.RemoteProtocolError),
    ],
)
def test_faults_that_break_the_exchange(make: Make, fault: Fault, error: type[Exception] | tuple[type[Exception], ...]) -> None:
    caller = make()
    caller.running.fault(RELAY, fault)
    with pytest.raises(error):
        caller.get(RELAY, timeout=0.2)
    assert caller.get("/ivp/ensemble/power").status_code == 200
    caller.running.fault(RELAY, None)
    assert caller.get(RELAY).status_code == 200


@pytest.mark.parametrize("status", [401, 403, 404, 418, 429, 502, 503, 504])
def test_status_faults(make: Make, status: int) -> None:
    caller = make()
    caller.running.fault(RELAY, Fault("status", status=status))
    answer = caller.get(RELAY)
    assert answer.status_code == status
    assert answer.headers["content-type"] == ("application/json" if status in (404, 429) else "text/html")


def test_faults_in_the_body(make: Make) -> None:
    caller = make()
    caller.running.fault(RELAY, Fault("html"))
    assert caller.get(RELAY).text.startswith("<!DOCTYPE html>")
    caller.running.fault(RELAY, Fault("wrong-json"))
    assert "mains_oper_state" not in caller.json(RELAY)
    caller.running.fault(RELAY, Fault("empty"))
    assert caller.get(RELAY).content == b""
    caller.running.fault(RELAY, Fault("delay", seconds=0.1))
    assert caller.get(RELAY).elapsed.total_seconds() >= 0.1
    caller.running.fault(RELAY, Fault("drip", seconds=0.0005))
    assert caller.json(RELAY)["mains_oper_state"] == "closed"


def test_fault_that_strikes_twice(make: Make) -> None:
    caller = make()
    caller.running.fault(RELAY, Fault("status", times=2))
    assert [caller.get(RELAY).status_code for _ in range(3)] == [503, 503, 200]


def test_every_fault_kind_is_tested() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert all(f'Fault("{kind}"' in text for kind in FAULTS)


@pytest.mark.parametrize("way", ["offline", "fault", "power"])
def test_offline_and_back_on_the_same_port(make: Make, way: str) -> None:
    caller = make()
    port = caller.sim.port
    ways: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "offline": ({"offline": True}, {"offline": False}),
        "fault": ({"fault": {"*": Fault("refuse")}}, {"fault": {"*": None}}),
        "power": ({"gateway_backed_up": False, "grid": "outage"}, {"grid": "on"}),
    }
    for _ in range(3):
        assert caller.get(RELAY).status_code == 200
        caller.running.set(**ways[way][0])
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"https://127.0.0.1:{port}/info", verify=False, trust_env=False)
        caller.running.set(**ways[way][1])
        assert caller.sim.port == port
        with httpx.Client(verify=False, trust_env=False) as fresh:
            assert fresh.get(f"https://127.0.0.1:{port}/info").status_code == 200


def test_offline_toggled_quickly_leaves_a_working_port(make: Make) -> None:
    caller = make()

    def toggle() -> None:
        for _ in range(5):
            caller.sim.set(offline=True)
            caller.sim.set(offline=False)

    caller.running.call(toggle)
    assert caller.client.get("/info").status_code == 200


def test_requests_are_logged(make: Make) -> None:
    caller = make()
    caller.get(RELAY)
    caller.get("/nothing")
    last = [(item.method, item.path, item.status) for item in caller.running.call(lambda: list(caller.sim.requests))]
    assert last[-2:] == [("GET", RELAY, 200), ("GET", "/nothing", 404)]
    assert caller.sim.most_parallel == 1


# -- certificate, address, life ----------------------------------------------------------------------------------------


def seen_fingerprint(port: int) -> str:
    pem = ssl.get_server_certificate(("127.0.0.1", port), timeout=2)
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


def test_certificate_rotation(make: Make) -> None:
    caller = make()
    first = caller.sim.fingerprint
    assert seen_fingerprint(caller.sim.port) == first
    caller.running.call(caller.sim.rotate_certificate)
    assert caller.sim.fingerprint != first
    assert seen_fingerprint(caller.sim.port) == caller.sim.fingerprint
    assert caller.client.get("/info").status_code == 200


def test_missing_openssl_is_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with (
        pytest.raises(RuntimeError, match="apt install openssl"),
        RunningSimulator("online"),
    ):
        pass


async def test_only_loopback() -> None:
    sim = GatewaySimulator(SCENARIOS["online"])
    with pytest.raises(ValueError, match="loopback"):
        await sim.start("0.0.0.0")


def test_in_one_loop_with_an_async_client() -> None:
    async def story() -> tuple[int, int]:
        sim = GatewaySimulator(SCENARIOS["online"])
        await sim.start()
        try:
            async with httpx.AsyncClient(verify=False, base_url=sim.url, trust_env=False) as client:
                good = await client.get(RELAY, headers={"Authorization": f"Bearer {sim.issue_token()}"})
                sim.faults[RELAY] = Fault("status", status=502)
                bad = await client.get(RELAY)
            return good.status_code, bad.status_code
        finally:
            await sim.stop()

    run: Callable[[Awaitable[tuple[int, int]]], tuple[int, int]] = asyncio.run  # type: ignore[assignment]
    assert run(story()) == (200, 502)


def test_timeline_follows_simulator_time(make: Make) -> None:
    clock = Clock()
    caller = make("outage", clock=clock, speed=10)
    told: list[str] = []
    caller.sim.listeners.append(told.append)
    states = []
    for seconds in (2.9, 0.2, 29.8, 0.2, 1.5):
        clock.now += seconds
        states.append(caller.json(RELAY)["mains_oper_state"])
    assert states == ["closed", "open", "open", "open synchronized", "closed"]
    assert "grid outage (relay: open)" in told
    assert "grid on (relay: closed)" in told


def test_demo_falls_low_and_recovers(make: Make) -> None:
    clock = Clock()
    caller = make("demo", clock=clock)
    clock.now += 1015
    control = caller.json("/ivp/ensemble/secctrl")
    assert 5 <= control["agg_soc"] <= 12
    assert caller.json(RELAY)["mains_oper_state"] == "open"
    clock.now += 600
    assert caller.json(RELAY)["mains_oper_state"] == "closed"
    assert caller.json("/ivp/ensemble/secctrl")["agg_soc"] > control["agg_soc"]


# -- captures ----------------------------------------------------------------------------------------------------------


def capture_folders() -> list[Path]:
    return sorted(path for path in CAPTURES.iterdir() if path.is_dir()) if CAPTURES.is_dir() else []


@pytest.mark.skipif(not capture_folders(), reason="captured answers of real gateways are not beside this tree")
@pytest.mark.parametrize("folder", capture_folders(), ids=lambda path: path.name)
def test_captured_answers(make: Make, folder: Path) -> None:
    caller = make(GatewaySimulator.from_captures(folder))
    info = (folder / "info").read_text(encoding="utf-8")
    assert caller.sim.serial in info
    assert caller.get("/info").text == info
    refused = b"401 Authorization" in (folder / "ivp_ensemble_status").read_bytes()
    relay = caller.get(RELAY)
    assert relay.status_code == (401 if refused else 200)
    for path in ("secctrl", "power", "inventory"):
        body = (folder / f"ivp_ensemble_{path}").read_bytes()
        answer = caller.get(f"/ivp/ensemble/{path}")
        assert answer.content == body
        assert answer.status_code == (401 if b"401 Authorization" in body else 200)
    reports = {item["reportType"]: item for item in caller.json("/ivp/meters/reports")}
    caller.post("/ivp/livedata/stream", json={"enable": 1})
    live = caller.json("/ivp/livedata/status")["meters"]
    given = sum(live[kind]["agg_p_mw"] for kind in ("pv", "grid", "storage"))
    assert live["load"]["agg_p_mw"] == pytest.approx(given, abs=3)
    if not refused:
        assert live["main_relay_state"] == 1
        control = caller.json("/ivp/ensemble/secctrl")
        assert (live["soc"], live["enc_agg_energy"]) == (control["agg_soc"], control["ENC_agg_avail_energy"])
        watts = sum(item["real_power_mw"] for item in caller.json("/ivp/ensemble/power")["devices:"])
        if watts:
            assert live["storage"]["agg_p_mw"] == watts
        caller.running.set(grid="outage")
        assert caller.json(RELAY)["mains_oper_state"].startswith("open")
        assert caller.json("/ivp/livedata/status")["meters"]["grid"]["agg_p_mw"] == 0
    meters = {item["measurementType"]: item for item in caller.json("/ivp/meters") if item["state"] == "enabled"}
    for kind, meter in meters.items():
        reading = next(item for item in caller.json("/ivp/meters/readings") if item["eid"] == meter["eid"])
        told = reports[kind]["cumulative"]["currW"]
        if kind == "total-consumption" and "net-consumption" not in meters:
            # Firmware 8.3 reports the net, which it has reckoned from this CT, as the total, too.
            told = sum(reports[part]["cumulative"]["currW"] for part in ("production", "net-consumption"))
        assert told == pytest.approx(reading["activePower"])


def test_own_captures(make: Make, tmp_path: Path) -> None:
    (tmp_path / "info").write_text("<envoy_info><device><sn>122111222333</sn><software>D8.1.1</software></device></envoy_info>")
    (tmp_path / "ivp_ensemble_status").write_text('{"relay": {"mains_oper_state": "open"}}')
    (tmp_path / "ivp_ensemble_secctrl").write_text('{"agg_soc": 40, "ENC_agg_avail_energy": 4000}')
    (tmp_path / "ivp_ensemble_power").write_text('{"devices:": [{"real_power_mw": 700000}]}')
    caller = make(GatewaySimulator.from_captures(tmp_path))
    assert caller.sim.serial == "122111222333"
    assert caller.json(RELAY) == {"mains_oper_state": "open"}
    meters = caller.json("/ivp/livedata/status")["meters"]
    assert (meters["soc"], meters["load"]["agg_p_mw"], meters["main_relay_state"]) == (40, 700_000, 0)
    assert caller.json("/ivp/meters/reports") == []
    assert caller.get("/ivp/ensemble/inventory").status_code == 404
    with pytest.raises(ValueError, match="no folder"):
        GatewaySimulator.from_captures(tmp_path / "none")


def test_key_is_private_and_gone_once_it_is_loaded(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert stat.S_IMODE(make_certificate(tmp_path, "1").key_path.stat().st_mode) == 0o600
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    caller = make()
    assert caller.get("/info").status_code == 200
    assert not list(folder.iterdir())
    assert caller.sim.site.setup == SiteSetup()


@pytest.mark.parametrize(
    ("request_line", "status"),
    [("GET http://[ HTTP/1.1", 400), ("GET / HTTP/2", 400), ("GET /", 400), ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked", 411)],
)
def test_what_is_no_request_is_answered_and_the_gateway_goes_on(make: Callable[..., Caller], request_line: str, status: int) -> None:
    caller = make("online")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", caller.sim.port), 5) as plain, context.wrap_socket(plain) as connection:
        connection.sendall(f"{request_line}\r\n\r\n".encode())
        assert connection.recv(100).startswith(f"HTTP/1.1 {status} ".encode())
    assert caller.get("/info").status_code == 200
