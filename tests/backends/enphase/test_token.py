# SPDX-License-Identifier: GPL-2.0-or-later
"""The token: read, fetched, kept, renewed, refused; wall time by freezegun, pauses by the clock."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import os
import stat
import sys
from pathlib import Path

import pytest
from freezegun import freeze_time
from hypothesis import given
from hypothesis import strategies as st

from nutdrv_py.backends.enphase.config import Credentials, EnphaseConfig, credentials
from nutdrv_py.backends.enphase.jwt import DAY, Token
from nutdrv_py.backends.enphase.token import REJECTED, Authority, Backoff
from nutdrv_py.clock import Clock
from nutdrv_py.errors import AuthError, DeviceError, ProtocolError
from nutdrv_py.log import Trouble
from nutdrv_py.simulators.enphase import Fault, GatewaySimulator
from nutdrv_py.simulators.enphase.access import Access
from nutdrv_py.simulators.enphase.cloud import LOGIN_MODES
from nutdrv_py.simulators.enphase.messages import Answer, Incoming
from tests.backends.enphase.conftest import PASSWORD, House, house
from tests.conftest import FakeClock

NOW = 1_800_000_000.0


async def renewed(h: House) -> None:
    """Wait for the end of the renewal that is under way in the background, if there is one."""
    renewal = h.backend.session.authority._renewal
    if renewal is not None:
        await asyncio.wait([renewal])


def _jwt(**claims: object) -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'ES256'})}.{part(claims)}.c2lnbmF0dXJl"


def _token(left: float = 365 * DAY, *, life: float = 365 * DAY, serial: str = "1", role: str = "owner", now: float = NOW) -> str:
    return _jwt(aud=serial, iss="Entrez", enphaseUser=role, iat=int(now + left - life), exp=int(now + left), username="a@b.c")


def test_a_token_says_whose_it_is_and_how_long_it_lasts() -> None:
    token = Token.parse("  " + _token(10 * DAY) + "\n")
    assert (token.serial, token.role, token.expires - token.issued) == ("1", "owner", 365 * DAY)
    assert token.left(NOW) == 10 * DAY
    assert "eyJ" not in repr(token)


def test_base64url_letters_are_read() -> None:
    """GNU base64 does not know - and _, on which the script stumbles."""
    token = _jwt(aud="1", exp=NOW, x="\u07ff\u07ff~~~???>>>")
    assert {"-", "_"} & set(token)
    assert Token.parse(token).expires == NOW


@pytest.mark.parametrize(
    "copied",
    [
        '{"generation_time":1,"token":"%s","expires_at":2}', '{"generation_time":1,"token":"%s","expires_at":2},', '%s,', '"%s"', '"%s",',
        "'%s'", "token=%s", "TOKEN=%s", 'token: "%s",', '"token":"%s",', "Bearer %s", " %s\r\n", '{"token": " %s "}',
    ],
)  # fmt: skip
def test_a_token_is_found_in_what_people_copy_from_the_web_page(copied: str, tmp_path: Path) -> None:
    token = _token()
    assert Token.parse(copied % token).text == token
    secret = tmp_path / "credentials"
    secret.write_text(f"TOKEN={copied.strip() % token}\n")
    secret.chmod(0o600)
    given = credentials(EnphaseConfig(ups="home", port="gateway", credentials=str(secret))).token
    assert given is not None
    assert Token.parse(given).text == token


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"token": "eyJ', "not whole"),
        ('{"generation_time": 1}', "JSON without a token"),
        ("a.b c.d", "something else there"),
        ("a.b..", "three parts"),
        ("a..c", "something else there"),
        ("ä.b.c", "something else there"),
        ("a" * 20000, "longer than"),
    ],
)
def test_what_holds_no_token_is_refused_with_the_reason_and_without_what_it_holds(text: str, reason: str) -> None:
    with pytest.raises(ProtocolError, match=reason) as error:
        Token.parse(text)
    assert "eyJ" not in str(error.value)


@pytest.mark.parametrize(
    "text",
    ["", "abc", "a.b", "a.b.c.d", "a.!!!.c", "<html>.<b>.x", _jwt(aud="1"), _jwt(aud="1", exp="soon"), _jwt(aud="1", exp=True),
     _jwt(aud="1", exp=-5), "x." + base64.urlsafe_b64encode(b"[1]").decode() + ".y", "a." + "A" * 20000 + ".c", "ä.b.c"],
)  # fmt: skip
def test_something_else_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ProtocolError):
        Token.parse(text)


@given(st.text(max_size=300))
def test_any_text_is_a_token_or_a_protocol_error(text: str) -> None:
    for candidate in (text, f"a.{text}.c", f"a.{base64.urlsafe_b64encode(text.encode()).decode()}.c"):
        with contextlib.suppress(ProtocolError):
            Token.parse(candidate)


@pytest.mark.parametrize(
    ("left", "life", "due"),
    [(31 * DAY, 365 * DAY, False), (29 * DAY, 365 * DAY, True), (5 * 3600, 12 * 3600, False), (3 * 3600, 12 * 3600, True), (-1, 365 * DAY, True)],
)
def test_a_token_is_renewed_a_month_before_its_end_or_in_its_last_third(left: float, life: float, due: bool) -> None:
    assert Token.parse(_token(left, life=life)).due(NOW) is due


def test_the_back_off_grows_and_a_rejection_waits_six_hours(clock: FakeClock) -> None:
    backoff = Backoff(clock)
    pauses = []
    for _ in range(6):
        backoff.failed(AuthError("x"))
        pauses.append(backoff.left())
    assert pauses == [60, 300, 1800, 3600, 3600, 3600]
    backoff.failed(AuthError("x", rejected=True))
    assert backoff.left() == REJECTED == 6 * 3600
    clock.now += REJECTED
    assert backoff.left() == 0
    backoff.failed(AuthError("x"))
    backoff.reset()
    assert backoff.left() == 0


def _authority(tmp_path: Path, credentials: Credentials, clock: Clock, trouble: Trouble | None = None) -> Authority:
    config = EnphaseConfig(ups="x", port="h")
    return Authority(config, credentials, tmp_path / "x.token", clock, trouble or Trouble())


async def test_warnings_come_at_30_7_and_1_days_and_once_each(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with freeze_time("2026-01-01", real_asyncio=True) as frozen:
        clock = Clock()
        authority = _authority(tmp_path, Credentials(token=_token(100 * DAY, now=clock.wall())), clock)
        await authority.current("1")
        said: list[tuple[int, int]] = []
        for day in range(100):
            before = len(caplog.records)
            for _ in range(3):
                authority.maintain("1", on_battery=False)
            said.append((100 - day, len(caplog.records) - before))
            frozen.tick(DAY)
    assert [left for left, count in said if count] == [29, 6] or [left for left, count in said if count] == [30, 7, 1]
    assert all(count <= 1 for _, count in said)
    assert "cannot be renewed without USERNAME and PASSWORD" in caplog.text


async def test_an_installers_token_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture, clock: FakeClock) -> None:
    authority = _authority(tmp_path, Credentials(token=_token(12 * 3600, life=12 * 3600, role="installer", now=clock.wall())), clock)
    await authority.current("1")
    authority.maintain("1", on_battery=False)
    assert "installer" in caplog.text


async def test_of_a_token_by_hand_and_one_in_the_file_the_longer_one_for_this_gateway_is_used(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "x.token"
    path.write_text(_token(50 * DAY, now=clock.wall()))
    path.chmod(0o600)
    authority = _authority(tmp_path, Credentials(token=_token(20 * DAY, now=clock.wall())), clock)
    assert (await authority.current("1")).left(clock.wall()) == 50 * DAY
    path.write_text(_token(50 * DAY, serial="999", now=clock.wall()))
    authority = _authority(tmp_path, Credentials(token=_token(20 * DAY, now=clock.wall())), clock)
    assert (await authority.current("1")).left(clock.wall()) == 20 * DAY


async def test_without_token_and_account_the_sentence_says_what_to_do(tmp_path: Path, clock: FakeClock) -> None:
    with pytest.raises(AuthError, match="USERNAME= and PASSWORD="):
        await _authority(tmp_path, Credentials(), clock).current("1")


async def test_an_ended_token_is_still_tried_because_our_clock_may_be_the_wrong_one(tmp_path: Path, clock: FakeClock) -> None:
    authority = _authority(tmp_path, Credentials(token=_token(-5 * DAY, now=clock.wall())), clock)
    assert (await authority.current("1")).left(clock.wall()) < 0


# Against the simulated cloud


async def test_a_fetched_token_is_kept_in_a_file_for_its_owner_alone(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.poll()
    path = tmp_path / "home.token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Token.parse(path.read_text()).serial == h.sim.serial
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


async def test_a_kept_token_is_used_without_the_cloud(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.poll()
        (tmp_path / "home.token").write_text(h.sim.issue_token())
        sim = h.sim
        await h.backend.__aexit__(None, None, None)
        before = sim.cloud.logins
        other = type(h.backend)(h.backend.config, h.clock)
        other.publish = lambda reading: None
        await other.poll()
        assert sim.cloud.logins == before
        await other.__aexit__(None, None, None)


async def test_a_token_file_that_others_may_read_is_refused_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "home.token"
    path.write_text(_token())
    path.chmod(0o644)
    with pytest.raises(Exception, match="chmod o-rwx"):
        async with house(tmp_path):
            pass


@pytest.mark.parametrize(
    ("mode", "sentence"),
    [
        ("invalid", "refused USERNAME or PASSWORD"),
        ("mfa", "two-factor login"),
        ("mfa-required", "two-factor login"),
        ("blocked", "account is locked"),
        ("too-many-sessions", "too many active sessions"),
    ],
)
async def test_each_refusal_of_the_cloud_has_its_sentence_and_cannot_lock_the_account(
    tmp_path: Path, mode: str, sentence: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with house(tmp_path) as h:
        h.sim.set(login=mode)
        for _ in range(700):
            with pytest.raises(DeviceError, match=sentence):
                await h.poll(5)
        # An hour of polls. Refused for good: one try. Passing trouble: after 0, 1, 6 and 36 minutes.
        assert h.sim.cloud.logins == (4 if mode == "too-many-sessions" else 1)
    assert PASSWORD not in caplog.text


async def test_a_login_that_gives_its_session_as_a_cookie_alone_is_one(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        h.sim.set(login="cookie")
        assert str((await h.poll()).status) == "OL"
        assert h.sim.cloud.logins == 1
    (tmp_path / "b").mkdir()
    async with house(tmp_path / "b") as h:
        h.sim.set(login="cookie")
        h.sim.faults["/tokens"] = Fault("status", status=503)
        assert str((await h.poll()).status) == "OL", "by the other way, which takes the cookie"


@pytest.mark.parametrize("body", ["", "<html>Sign in</html>", "[]", '{"success": true}'])
async def test_a_page_is_no_login_although_it_sets_the_cookie(tmp_path: Path, body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = Answer(200, body.encode(), "text/html", (("Set-Cookie", "_enlighten_4_session=abc; path=/; Secure; HttpOnly"),))
    monkeypatch.setitem(LOGIN_MODES, "page", lambda _: answer)
    async with house(tmp_path) as h:
        h.sim.set(login="page")
        with pytest.raises(DeviceError, match=r"not JSON|two-factor"):
            await h.poll()
        assert h.asked("/tokens") == 0


@pytest.mark.parametrize("proxy", ["socks5://user:hidden@127.0.0.1:1", "ftp://user:hidden@127.0.0.1:1", "unix:///run/hidden"])
@pytest.mark.parametrize("variable", ["ALL_PROXY", "HTTPS_PROXY"])
async def test_a_proxy_that_cannot_be_used_is_one_sentence_and_no_traceback(
    tmp_path: Path, variable: str, proxy: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv(variable, proxy)
    monkeypatch.setitem(sys.modules, "socksio", None)
    async with house(tmp_path, login_url="https://cloud.invalid/login", token_url="https://cloud.invalid/tokens") as h:
        for _ in range(3):
            with pytest.raises(AuthError, match=f"proxy that {variable} names.*unset it") as error:
                await h.poll()
            assert "hidden" not in str(error.value)
        assert "next try is due in" in str(error.value), "the back-off holds"
        # The gateway itself is never asked through it; and a token that works goes on while its renewal fails.
        (tmp_path / "home.token").write_text(h.sim.issue_token(lifetime=365 * DAY, now=h.clock.wall() - 355 * DAY))
        (tmp_path / "home.token").chmod(0o600)
        for _ in range(3):
            assert str((await h.poll(3600)).status) == "OL"
            await renewed(h)
    assert "Traceback" not in caplog.text
    assert sum("could not be renewed" in record.message for record in caplog.records) == 1


async def test_new_credentials_may_be_tried_at_once_after_a_reload(tmp_path: Path) -> None:
    secret = tmp_path / "credentials"
    secret.write_text("USERNAME=demo@example.org\nPASSWORD=wrong\n")
    secret.chmod(0o600)
    async with house(tmp_path, username=None, password=None, credentials=str(secret)) as h:
        with pytest.raises(DeviceError, match="refused USERNAME or PASSWORD"):
            await h.poll()
        secret.write_text(f"USERNAME={h.sim.username}\nPASSWORD={PASSWORD}\n")
        await h.backend.reload(h.backend.config)
        await h.poll()


@pytest.mark.parametrize("fault", [Fault("status", status=503), Fault("html"), Fault("reset"), Fault("empty")])
async def test_route_b_serves_when_route_a_fails(tmp_path: Path, fault: Fault) -> None:
    async with house(tmp_path) as h:
        h.sim.faults["/tokens"] = fault
        await h.poll()
        assert h.asked("/entrez-auth-token") == 1


async def test_a_token_that_works_is_kept_when_its_renewal_fails_and_renewed_when_that_is_possible(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with house(tmp_path) as h:
        h.sim.set(token_lifetime=20 * DAY)
        h.sim.cloud.lifetime = 20 * DAY
        await h.poll()
        first = h.backend.session.authority.token
        assert first is not None
        h.sim.faults["cloud"] = Fault("status", status=503)
        h.clock.wall_offset += 15 * DAY
        h.clock.now += 4000
        for _ in range(20):
            await h.poll(30)
            await renewed(h)
        assert h.backend.session.authority.token is first
        h.sim.faults.clear()
        for _ in range(200):
            await h.poll(60)
            await renewed(h)
            if h.backend.session.authority.token is not first:
                break
        assert h.backend.session.authority.token is not first
        await h.poll()
    assert sum("could not be renewed; the present one stays in use" in r.message for r in caplog.records) == 1
    assert sum("The token has been renewed" in r.message for r in caplog.records) == 1


async def test_no_renewal_on_battery(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        h.sim.cloud.lifetime = 20 * DAY
        h.sim.set(grid="outage", soc=90)
        await h.poll()
        h.clock.wall_offset += 15 * DAY
        h.clock.now += 4000
        logins = h.sim.cloud.logins
        for _ in range(10):
            await h.poll(10)
            await renewed(h)
        assert h.sim.cloud.logins == logins
        h.sim.set(grid="on")
        await h.poll()
        await renewed(h)
        await h.poll()
        assert h.sim.cloud.logins == logins + 1


async def test_an_ended_token_is_replaced_when_the_gateway_refuses_it(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        h.sim.cloud.lifetime = 12 * 3600
        await h.poll()
        h.clock.wall_offset += 13 * 3600
        h.sim.cloud.lifetime = None
        await h.poll()
        token = h.backend.session.authority.token
        assert token is not None
        assert token.left(h.clock.wall()) > 360 * DAY


async def test_an_ended_token_without_the_cloud_is_a_failed_poll_with_few_logins_and_recovers(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        h.sim.cloud.lifetime = 12 * 3600
        await h.poll()
        h.clock.wall_offset += 13 * 3600
        h.sim.faults["cloud"] = Fault("status", status=503)
        before = h.asked("/login/login.json")
        for _ in range(120):
            with pytest.raises(DeviceError):
                await h.poll(30)
        assert h.asked("/login/login.json") - before <= 4
        h.sim.faults.clear()
        for _ in range(140):
            try:
                await h.poll(60)
                break
            except DeviceError:
                continue
        else:
            raise AssertionError("never recovered")


async def test_a_host_whose_clock_runs_ahead_fetches_no_token_after_the_other(tmp_path: Path) -> None:
    """Local time taken for UTC, and a token of 12 hours: each new one looks due, or ended, at once."""

    async def story(ahead: float) -> None:
        async with house(tmp_path) as h:
            h.sim.cloud.lifetime = 12 * 3600
            h.sim.gateway_clock_offset = -ahead
            h.sim.cloud.wall = lambda: h.clock.wall() - ahead
            for _ in range(60):
                with contextlib.suppress(DeviceError):
                    await h.poll(5)
                await renewed(h)
            assert h.sim.cloud.logins <= 2

    for ahead in (10 * 3600, 13 * 3600):
        await story(ahead)


async def test_a_renewal_does_not_replace_a_longer_token_by_a_shorter_one(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        h.sim.cloud.lifetime = 29 * DAY * 12
        await h.poll()
        h.clock.wall_offset += 29 * DAY * 11
        h.clock.now += 4000
        first = h.backend.session.authority.token
        h.sim.cloud.lifetime = 12 * 3600
        for _ in range(5):
            await h.poll()
            await renewed(h)
        assert h.backend.session.authority.token is first
        assert h.sim.cloud.logins == 2


async def test_two_wishes_for_a_token_at_once_are_one_login(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.poll()
        logins = h.sim.cloud.logins
        authority = h.backend.session.authority
        await asyncio.gather(*(authority.fetch(h.sim.serial) for _ in range(3)))
        assert h.sim.cloud.logins == logins + 1


def _gateway_clock(h: House, seconds: float) -> None:
    h.sim.gateway_clock_offset = seconds


async def test_a_gateway_with_a_wrong_clock_refuses_good_tokens_and_the_cloud_is_not_hammered(tmp_path: Path) -> None:
    """After a power loss without internet the gateway's clock stands in the past; NTP heals it."""
    async with house(tmp_path) as h:
        await h.poll()
        logins = h.sim.cloud.logins
        _gateway_clock(h, -3000 * DAY)
        for _ in range(360):
            with pytest.raises(DeviceError, match="is the gateway's clock right"):
                await h.poll(10)
        assert h.sim.cloud.logins - logins == 1
        _gateway_clock(h, 0)
        await h.poll(10)


async def test_a_stray_401_is_looked_into_once_and_repeated_without_a_new_token(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.poll()
        logins = h.sim.cloud.logins
        h.sim.faults["/ivp/ensemble/relay"] = Fault("status", status=401, times=1)
        await h.poll()
        assert h.sim.cloud.logins == logins
        assert h.asked("/auth/check_jwt") == 1


async def test_firmware_that_wants_its_cookie_gets_it(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        h.sim.set(needs_cookie=True)
        for _ in range(5):
            assert str((await h.poll()).status) == "OL"
        assert h.sim.cloud.logins == 1
        # A lost connection loses no session.
        for _ in range(20):
            h.sim._listener.drop_connections()
            assert str((await h.poll()).status) == "OL"
        assert h.sim.cloud.logins == 1
        assert h.asked("/auth/check_jwt") == 1


async def test_a_new_certificate_is_shown_no_cookie_before_it_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    answer = GatewaySimulator._answer

    def noted(sim: GatewaySimulator, request: Incoming) -> Answer:
        seen.append(f"{request.path} {request.cookies}")
        return answer(sim, request)

    monkeypatch.setattr(GatewaySimulator, "_answer", noted)
    async with house(tmp_path) as h:
        h.sim.set(needs_cookie=True)
        await h.polls(2)
        seen.clear()
        h.sim.rotate_certificate()
        for _ in range(3):
            await h.poll(61)
        assert any(line.startswith("/info") for line in seen)
        assert not [line for line in seen if line.startswith("/info") and "sessionId" in line]


async def test_a_gateway_that_sets_ever_more_cookies_costs_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = iter(range(10**9))
    monkeypatch.setattr(Access, "authorize", lambda self, request: ("owner", (("Set-Cookie", f"c{next(count)}={'x' * 300}; path=/"),)))
    async with house(tmp_path) as h:
        await h.polls(50)
        client = h.backend.session.gateway._client
        assert client is not None
        assert len(client.cookies.jar) < 30


async def test_a_token_for_another_gateway_is_refused_with_both_numbers(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        original = h.sim.authority.issue
        h.sim.authority.issue = lambda serial, **more: original("999888777666", **more)  # type: ignore[method-assign]
        with pytest.raises(DeviceError, match="999888777666"):
            await h.poll()


async def test_a_disk_without_space_says_so_once(tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    async with house(tmp_path) as h:
        await h.polls(5)
        assert not (tmp_path / "home.token").exists()
        assert [p for p in tmp_path.iterdir() if "token" in p.name] == []
    assert sum("No space left on device" in record.message for record in caplog.records) == 1
