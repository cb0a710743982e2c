# SPDX-License-Identifier: GPL-2.0-or-later
"""A recording tells how the device behaves, and never whose it is."""

from __future__ import annotations

import base64
import gzip
import json
import os
import stat
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nutdrv_py.protocols.rct.frame import Command, build
from nutdrv_py.protocols.rct.objects import BY_NAME, BY_OID, OBJECTS
from nutdrv_py.protocols.rct.payload import Kind, decode, encode
from nutdrv_py.protocols.rct.reader import FrameReader
from nutdrv_py.recording.file import Recorder, read
from nutdrv_py.recording.gateway import Exchange, line_of
from nutdrv_py.recording.inverter import Bytes, Ear
from nutdrv_py.recording.rules import STATES, VERSIONS, scrub, version
from nutdrv_py.recording.standins import StandIns
from nutdrv_py.simulators.enphase import SCENARIOS, documents
from nutdrv_py.simulators.enphase.physics import Site
from nutdrv_py.simulators.rct import SCENARIOS as HOUSES
from tests.backends.taping import taping

WIFI_PASSWORD = 0x14C0E627
"""wifi.password, which any client can read, and so every one on the line hears."""


def spellings(secret: str) -> set[str]:
    """What a secret may look like, in lower case; for base64 at each place in a group of three bytes."""
    raw = secret.encode()
    found = {secret, secret[::-1], raw.hex(), urllib.parse.quote(secret, safe=""), json.dumps(secret)[1:-1]}
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + raw).decode().rstrip("=")
        found |= {coded[(shift * 8 + 5) // 6 : -1], coded[(shift * 8 + 5) // 6 : -1].replace("+", "-").replace("/", "_")}
    # Shorter ones stand in any text by chance.
    return {secret.lower(), *(text.lower() for text in found if len(text) >= 7)}


def assert_silent(text: str, secrets: set[str]) -> None:
    low = text.lower()
    for secret in secrets:
        for spelling in spellings(secret):
            assert spelling not in low, f"{secret} as {spelling}"


# What the simulators know


def _serials(content: object) -> Iterator[str]:
    """Each serial number in a document, wherever it stands."""
    if isinstance(content, dict):
        for name, value in content.items():
            if str(name).isdigit():
                yield str(name)
            if name in ("serial_num", "device_id", "sn"):
                yield str(value)
            yield from _serials(value)
    elif isinstance(content, list):
        for item in content:
            yield from _serials(item)


PAGES = ("relay", "status", "secctrl", "power", "inventory", "generator", "meters", "readings", "reports", "production", "tariff", "schedule")


def _documents(scenario: str, serial: str) -> Iterator[tuple[str, Any]]:
    story = SCENARIOS[scenario]
    view = documents.View(Site(story.site), story.gateway, 1_700_000_000, serial)
    for page in PAGES:
        yield page, json.loads(json.dumps(getattr(documents, page)(view)))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_no_serial_number_of_a_gateways_documents_is_left_and_no_measurement_is_changed(scenario: str) -> None:
    for page, document in _documents(scenario, "122333444455"):
        clean = scrub(document, StandIns())
        assert_silent(json.dumps(clean), set(_serials(document)))
        assert list(_measured(clean)) == list(_measured(document)), page


def _measured(content: object, key: str = "") -> Iterator[object]:
    """What the driver looks at: numbers, flags, states and versions, in their order."""
    if isinstance(content, dict):
        for name, value in content.items():
            yield from _measured(value, name)
    elif isinstance(content, list):
        for item in content:
            yield from _measured(item, key)
    elif not isinstance(content, str) or key in STATES or key in VERSIONS:
        yield content


@pytest.mark.parametrize("scenario", ["online", "outage", "broken-json", "ac-battery", "token-expiry", "wrong-serial", "collar"])
async def test_nothing_that_the_gateway_and_its_cloud_know_of_the_owner_is_in_the_file(scenario: str, tmp_path: Path) -> None:
    async def story() -> set[str]:
        async with taping("enphase", tmp_path, scenario, certificate="pin") as t:
            await t.polls(4, 20)
            t.sim.set(grid="outage", rotate_certificate=True)
            await t.polls(4, 310)
            token = t.tape.backend.session.authority.token  # type: ignore[attr-defined]
            secrets = {t.sim.serial, t.sim.username, t.sim.password, "122999888777", "482300000001", "482500000001"}
            secrets |= {t.sim.host_port, t.tape.backend.session.gateway.fingerprint or "x" * 64}  # type: ignore[attr-defined]
            secrets |= {f"1220310{number + 1:05d}" for number in range(8)}
            if token is not None:
                secrets |= {token.text, *token.text.split(".")}
            return secrets | {cookie for cookie in t.sim.access.sessions}

    secrets = await story()
    text = gzip.decompress((tmp_path / "home.recording").read_bytes()).decode()
    assert text.count("\n") > 10
    assert_silent(text, secrets)
    assert "bearer" not in text.lower()
    assert "cookie" not in text.lower()


@pytest.mark.parametrize("scenario", ["online", "second-tower", "noisy", "foreign", "no-battery"])
async def test_nothing_that_the_inverter_knows_of_the_owner_is_in_the_file(scenario: str, tmp_path: Path) -> None:
    name = "Villa Schmidt PS 6.0 BA3L 4711-0815"

    async def story() -> set[str]:
        async with taping("rct", tmp_path, scenario) as t:
            t.sim.set(override={"android_description": name})
            await t.polls(2, 61)
            t.sim.broadcast(build(Command.RESPONSE, WIFI_PASSWORD, b"GeheimesWort99\0\0"))
            await t.polls(2, 61)
            values = [t.sim.value(row.name) for row in OBJECTS if row.kind is Kind.STRING and row.name.endswith(("_sn", "]", "description"))]
            return {t.sim.serial, "GeheimesWort99", "Villa", "Schmidt", "4711-0815", t.sim.host_port, *(value for value in values if value)}

    secrets = await story()
    assert len(secrets) > 5
    data = (tmp_path / "home.recording").read_bytes()
    text = gzip.decompress(data).decode()
    heard = b"".join(event.data for event in read(tmp_path / "home.recording").events if isinstance(event, Bytes))
    assert len(heard) > 1000
    for view in (text, heard.decode("latin-1")):
        assert_silent(view, secrets)
    assert b"PS 6.0 BA3L" in heard


# What anybody could hide in it

_PERSON = st.text(st.characters(codec="utf-8", categories=("L", "N")), min_size=8, max_size=24).filter(
    lambda text: any(map(str.isdigit, text)) and not any(map(str.isspace, text)) and text.lower() == text.lower().upper().lower()
)
SECRETS = st.one_of(
    st.from_regex(r"[0-9]{12}|[0-9A-F]{12}|[A-Z]{7}[0-9]|0[0-9]{3}A[0-9]{7}", fullmatch=True),
    st.from_regex(r"[a-z]{3,9}[0-9]{2}@[a-z]{5,9}\.example", fullmatch=True),
    st.from_regex(r"([0-9a-f]{2}:){5}[0-9a-f]{2}", fullmatch=True),
    st.from_regex(r"eyJ[A-Za-z0-9_-]{20,40}", fullmatch=True),
    st.sampled_from(["Villa Sonnenschein 12a", "Familie Müller-Lüdenscheidt", "48.137154, 11.576124", "Straße des 17. Juni 135", "+49 89 1234567"]),
    _PERSON,
)
PLACES = st.sampled_from(
    ["serial_num", "sn", "name", "site_name", "owner", "email", "mac", "lat", "ssid", "description", "x", "token", "zip", "dry_contact_load_name",
     "new_key_of_tomorrow", "type", "mains_oper_state", "part_num", "temperature", "software", "info", "message"]
)  # fmt: skip


def _hidden(secret: str) -> st.SearchStrategy[object]:
    """Documents that hold the secret as a value, in a longer text, or as a key."""
    leaf = st.sampled_from([secret, f"Gateway {secret}", f"{secret}/info", f"envoy-{secret}.local", secret.upper(), [secret], {secret: 1}])
    return st.recursive(leaf, lambda inner: st.dictionaries(PLACES, inner, min_size=1, max_size=3) | st.lists(inner, min_size=1, max_size=3), max_leaves=6)


def _runs(secret: str) -> set[str]:
    """What of a secret tells something: it, and its parts that are long enough not to stand in any text by chance."""
    words = "".join(sign if sign.isalnum() else " " for sign in secret).split()
    return {secret, *(word for word in words if len(word) >= 6)}


@pytest.mark.parametrize("name", ["A000AAAA", "aaaaaaa0", "keller1b", "AAAAAAL0", "der1aaaa", "eyJhbGciOiJFUzI", "aa:bb:cc:dd:ee:ff", "ABCDEFABCDEF"])
def test_a_key_that_firmware_does_not_have_is_a_name(name: str) -> None:
    assert name not in json.dumps(scrub({"devices": {name: 1}}, StandIns()))


@given(data=st.data(), secret=SECRETS)
def test_whatever_stands_anywhere_in_json_is_replaced(data: st.DataObject, secret: str) -> None:
    document = data.draw(_hidden(secret))
    recorder = Recorder("enphase", 0.0, {}, StandIns())
    body = json.dumps({"devices": document, "mains_oper_state": "closed"}).encode()
    recorder.add([line_of(1.0, 0.1, "GET /ivp/ensemble/inventory", recorder.stand_ins, status=200, body=body)])
    recorder._sweep()
    text = "\n".join(recorder._lines)
    assert "closed" in text
    assert_silent(text, _runs(secret))
    assert_silent(json.dumps(json.loads(recorder._lines[-1]), ensure_ascii=False), _runs(secret))


@given(secret=SECRETS, status=st.sampled_from([200, 401, 404, 503]), kind=st.text(max_size=40))
def test_pages_headers_and_broken_answers_are_not_taken_over(secret: str, status: int, kind: str) -> None:
    headers = {
        "Date": "Sat, 21 Nov 2026 10:27:23 GMT", "Content-Type": f"text/html; {secret}", "Set-Cookie": secret, "X-Serial": secret, "Server": kind,
    }  # fmt: skip
    for body in (f"<html>{secret}</html>", f'{{"a": "{secret}', secret, f"<device><sn>122333444455</sn></device>{secret}"):
        line = line_of(1.0, 0.1, "GET /info", StandIns(), status=status, headers=headers, body=body.encode())
        assert_silent(json.dumps(line), _runs(secret) | {"122333444455"})
        assert Exchange.of(json.loads(json.dumps(line))).status == status


STRINGS = [row for row in OBJECTS if row.kind is Kind.STRING]


@given(
    row=st.sampled_from(STRINGS),
    secret=st.from_regex(r"[0-9A-Za-z]{4}[0-9]{2}[0-9A-Za-z]{4}|H[a-z]{5}\xfc[a-z]{3}", fullmatch=True),
    tail=st.binary(max_size=20),
)
def test_texts_of_an_inverter_are_replaced_with_the_rest_of_their_field(row: Any, secret: str, tail: bytes) -> None:
    text = secret.encode()
    [line] = Ear(StandIns()).heard(0.0, build(Command.RESPONSE, row.oid, (text + b"\0" + text + tail)[:60]))
    frame = _frame(line["in"])
    assert frame.oid == row.oid
    assert len(frame.payload) == len((text + b"\0" + text + tail)[:60])
    assert text.lower() not in frame.payload.lower()
    assert frame.payload[len(text) :].strip(b"\0") == b""


def _frame(text: object) -> Any:
    reader = FrameReader()
    [frame] = [*reader.feed(bytes.fromhex(str(text))), *reader.flush()]
    return frame


@given(row=st.sampled_from([row for row in OBJECTS if row.kind is Kind.FLOAT]), value=st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_numbers_of_an_inverter_stay_as_they_are(row: Any, value: float) -> None:
    data = build(Command.RESPONSE, row.oid, encode(row.kind, value))
    [line] = Ear(StandIns()).heard(0.0, data)
    assert bytes.fromhex(str(line["in"])) == data


@given(secret=st.binary(min_size=8, max_size=40).filter(lambda octets: len(set(octets)) > 4), before=st.binary(max_size=30))
@example(secret=b"GeheimesWort99", before=b"")
def test_what_others_say_on_the_line_and_what_is_damaged_is_only_counted(secret: bytes, before: bytes) -> None:
    ear = Ear(StandIns())
    frames = [
        build(Command.RESPONSE, WIFI_PASSWORD, secret), build(Command.WRITE, BY_NAME["inverter_sn"].oid, secret),
        build(Command.LONG_RESPONSE, 0x6F3876BC, secret), build(Command.PLANT_RESPONSE, BY_NAME["inverter_sn"].oid, secret, 7),
        build(Command.RESPONSE, BY_NAME["battery.soc"].oid, secret), build(Command.RESPONSE, BY_NAME["inverter_sn"].oid, secret)[:-1] + b"\xff",
    ]  # fmt: skip
    lines = [line for part in (before, *frames, None) for line in ear.heard(1.0, part)]
    for line in lines:
        text = json.dumps(line)
        assert secret.hex() not in text
        if "in" in line:
            frame = _frame(line["in"])
            assert frame.oid in BY_OID
            assert secret not in frame.payload


# Stand-ins


@given(text=st.text(max_size=40))
def test_a_stand_in_has_the_form_of_what_it_stands_for_and_is_always_the_same(text: str) -> None:
    stand_ins = StandIns()
    first = stand_ins.text(text, "a")
    assert stand_ins.text(text, "b") == first
    if text.isascii():
        assert [_class(sign) for sign in first] == [_class(sign) for sign in text]


def _class(sign: str) -> str:
    return "0" if sign.isdigit() else "A" if sign.isupper() else "a" if sign.islower() else sign


@given(serials=st.sets(st.from_regex(r"[0-9]{12}", fullmatch=True), max_size=50))
def test_two_serial_numbers_have_two_stand_ins_also_inside_other_texts(serials: set[str]) -> None:
    stand_ins = StandIns()
    alone = {serial: stand_ins.text(serial, "") for serial in serials}
    assert len(set(alone.values())) == len(serials)
    assert not set(alone.values()) & serials
    assert {stand_ins.text(f"envoy-{serial}.local", "").split("-")[1].split(".")[0] for serial in serials} == set(alone.values())


def test_a_serial_number_is_the_same_one_in_capitals_and_in_any_place() -> None:
    stand_ins = StandIns(b"key")
    one = stand_ins.text("0065a4631487", "")
    assert stand_ins.text("0065A4631487", "") == one.upper()
    assert stand_ins.octets(b"0065A4631487", "") == one.upper().encode()
    assert stand_ins.sweep('{"a":"x0065A4631487y"}') == f'{{"a":"x{one.upper()}y"}}'
    assert StandIns(b"other key").text("0065a4631487", "") != one


def test_what_is_learnt_late_is_taken_out_of_what_was_written_before(tmp_path: Path) -> None:
    recorder = Recorder("enphase", 0.0, {}, StandIns())
    recorder.add([{"t": 1.0, "poll": "begins"}, {"t": 1.5, "poll": "ends", "says": "OL x122333444455"}])
    recorder.write(tmp_path / "file")
    assert b"122333444455" in gzip.decompress((tmp_path / "file").read_bytes())
    recorder.stand_ins.know("122333444455")
    recorder.write(tmp_path / "file")
    assert b"122333444455" not in gzip.decompress((tmp_path / "file").read_bytes())


@pytest.mark.parametrize(
    ("text", "plain"),
    [("D8.2.4345", True), ("2.3.5687", True), ("830-00703-r64", True), ("1.5.5229_rel/22.13", True), ("192.168.1.20", False),
     ("192.168.178.56/24", False), ("1.192.168.1.20", False), ("8.3.5433.300", True),
     ("122333444455", False), ("A12345", False), ("00:1D:C0:11:22:33", False), ("", False)],
)  # fmt: skip
def test_versions_are_told_and_addresses_are_not(text: str, plain: bool) -> None:
    assert version(text) is plain


@pytest.mark.parametrize(
    "content",
    [
        {"site": {"id": 1234567}}, {"gps": [48.137, 11.57]}, {"location": [48.137, 11.57]}, {"geo": {"x": 48.137, "y": 11.57}},
        {"zipcode": "80331"}, {"postalcode": 80331}, {"siteid": 77}, {"system_id": 77}, {"serialnumber": 1234567},
        {"owner": {"contact": {"flat": "12"}}}, {"devName": "Kitchen"}, {"devName": "kitchen"}, {"status": "Anna Smith"},
        {"type": "Villa Rosa"}, {"state": "Rosa"},
    ],
    ids=str,
)  # fmt: skip
def test_what_tells_who_or_where_is_replaced_also_in_objects_within(content: dict[str, object]) -> None:
    def leaves(value: object) -> list[object]:
        if isinstance(value, dict):
            return [leaf for item in value.values() for leaf in leaves(item)]
        return [leaf for item in value for leaf in leaves(item)] if isinstance(value, list) else [value]

    clean = scrub(content, StandIns())
    assert list(clean) == list(content)  # type: ignore[call-overload]
    assert not set(map(str, leaves(content))) & set(map(str, leaves(clean)))


@pytest.mark.parametrize(
    ("key", "value", "kept"),
    [("soc", 80, True), ("last_update", 1_700_000_000, True), ("whDlvdCum", 12345678.9, True), ("eid", 704643328, True), ("communicating", True, True),
     ("serial_num", 122333, False), ("x", 122333444455, False), ("lat", 48.137, False), ("longitude", 11.5, False), ("zip", 80331, False),
     ("siteId", 12, False), ("currW", "0.25", True), ("pin", "1234", False), ("x", None, True), ("temperature", "unknown", True)],
)  # fmt: skip
def test_numbers_that_measure_are_told_and_numbers_that_name_are_not(key: str, value: object, kept: bool) -> None:
    assert (scrub({key: value}, StandIns()) == {key: value}) is kept


# The file


def test_the_file_is_its_owners_alone_and_a_failure_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder("rct", 0.0, {}, StandIns())
    path = tmp_path / "file"
    old = os.umask(0)
    try:
        recorder.write(path)
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()
    recorder.add([{"t": 1.0, "poll": "begins"}])

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="space"):
        recorder.write(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_repeated_is_stored_once_and_read_as_often_as_it_was(tmp_path: Path) -> None:
    recorder = Recorder("enphase", 5.0, {"pollinterval": 5}, StandIns())
    body = json.dumps({"agg_soc": 80, "shutdown": False, "VLS_Limit": 10}).encode()
    for turn in range(3):
        recorder.add([{"t": turn * 5, "poll": "begins"}, line_of(turn * 5, 0, "GET /ivp/ensemble/secctrl", recorder.stand_ins, status=200, body=body)])
        recorder.add([{"t": turn * 5, "poll": "ends", "says": "OL", "token": 100}])
    recorder.write(tmp_path / "file")
    text = gzip.decompress((tmp_path / "file").read_bytes()).decode()
    assert text.count("VLS_Limit") == 1
    assert text.count('"same":3') == 2
    found = read(tmp_path / "file")
    assert [json.loads(event.body) for event in found.events if isinstance(event, Exchange)] == [json.loads(body)] * 3
    assert (found.backend, found.began, found.options, found.token) == ("enphase", 5.0, {"pollinterval": 5}, 100)
    assert [poll.says for poll in found.polls] == ["OL"] * 3


MOST_FOR_TEN_MINUTES = 1_000_000


@pytest.mark.parametrize(("kind", "scenario", "seconds"), [("enphase", "three-phase", 5.0), ("rct", "second-tower", 2.0)])
async def test_ten_minutes_are_small_enough_for_a_bug_report(kind: str, scenario: str, seconds: float, tmp_path: Path) -> None:
    async with taping(kind, tmp_path, scenario) as t:
        await t.polls(int(600 / seconds), seconds)
        assert all(t.live)
    size = (tmp_path / "home.recording").stat().st_size
    print(f"ten minutes of {kind}: {size} bytes")
    assert 1000 < size < MOST_FOR_TEN_MINUTES


def test_every_scenario_of_the_inverter_is_covered_by_the_rules() -> None:
    """Each text object there is has a value that is replaced, or is known to be harmless."""
    assert "second-tower" in HOUSES
    harmless = {"svnversion": "2.3.5687", "parameter_file": "DE-VDE-AR-N4105", "android_description": "PS 6.0 BA3L"}
    for row in STRINGS:
        text = harmless.get(row.name, "0089M63148700")
        [line] = Ear(StandIns()).heard(0.0, build(Command.RESPONSE, row.oid, encode(Kind.STRING, text, size=32)))
        assert (decode(Kind.STRING, _frame(line["in"]).payload) == text) is (row.name in harmless), row.name


@pytest.mark.parametrize("key", ["passcode", "pass_code", "coords", "gpsCoords", "wifi_psk", "wifiPassphrase", "latlng"])
def test_a_number_whose_key_tells_who_or_where_is_replaced(key: str) -> None:
    kept = scrub({"device": {key: 481516}}, StandIns())
    assert "481516" not in json.dumps(kept)
