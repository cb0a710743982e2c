# SPDX-License-Identifier: GPL-2.0-or-later
"""``nutdrv_py check`` at the gateway's token: is there one, how long does it last, whose is it, can it be renewed."""

from __future__ import annotations

import dataclasses
import logging
from datetime import UTC, datetime

from nutdrv_py.backends.enphase.config import EnphaseConfig, credentials, token_path
from nutdrv_py.backends.enphase.jwt import DAY, Token
from nutdrv_py.backends.enphase.token import Authority
from nutdrv_py.clock import Clock
from nutdrv_py.device.findings import Finding, Level, failed, ok, warning
from nutdrv_py.errors import AuthError
from nutdrv_py.log import Trouble

__all__ = ["CLOCK", "TOKEN_PAGE", "examine_token"]

CLOCK = 60.0
"""Seconds by which the clocks may differ: half a minute of a token's life means nothing."""

LOGIN = 5
"""Seconds for each request to the cloud; a login is up to three."""

SOON = 30
"""Days before a token's end at which the administrator must act, if it cannot be renewed; the driver renews at the same time."""

OVERDUE = 7
"""Days before the end at which the driver should have renewed it long ago."""

TOKEN_PAGE = "https://entrez.enphaseenergy.com"


class _Collected(Trouble):
    """Keeps what the parts of the backend would log."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def report(self, topic: str, message: str, level: int = logging.WARNING) -> bool:
        """Keep the message."""
        self.messages.append(message)
        return True


async def examine_token(
    config: EnphaseConfig, serial: str, clock: Clock, gateway_time: float | None, *, login: bool
) -> list[tuple[Finding, Token | None]]:
    """Return the findings about the token, and the token if it can be used."""
    account = credentials(config)
    trouble = _Collected()
    patient = dataclasses.replace(config, login_timeout=min(LOGIN, config.login_timeout))
    authority = Authority(patient, account, token_path(config), clock, trouble)
    token = authority.stored(serial)
    findings: list[tuple[Finding, Token | None]] = [
        (warning("token", text, f"put a right one into the credentials file, or type: rm {token_path(config)}"), None)
        for text in trouble.messages
    ]
    trouble.messages.clear()
    command = f"nutdrv_py check --login {config.ups}"
    by_hand = f"fetch one at {TOKEN_PAGE} and put it into the credentials file as TOKEN="
    if token is None or token.left(clock.wall()) <= 0:
        ended = "there is none" if token is None else f"it ended on {_day(token.expires)}"
        if not account.account:
            return [*findings, (failed("token", f"{ended}, and there is no account to fetch one", by_hand), None)]
        if not login:
            advice = f"the driver fetches one when it starts; to try it now, type: {command}"
            make = warning if token is None else failed
            return [*findings, (make("token", f"{ended}, and none is fetched without --login", advice), None)]
        try:
            token = await authority.fetch(serial)
        except AuthError as error:
            # A failure that is no refusal may pass: the cloud is out of reach, or out of order.
            advice = "correct that, then type" if error.rejected else "wait some minutes, then type"
            return [*findings, (failed("login", str(error), f"{advice}: {command}"), None)]
        findings.append((ok("login", "Enphase's cloud accepted the account and gave a token"), None))
        findings += [(warning("login", text, "see the owner and mode of its folder"), None) for text in trouble.messages]
    life = _life(token, account.account, clock.wall(), gateway_time, by_hand)
    return [*findings, (life, token if life.level is not Level.FAILED else None)]


def _life(token: Token, account: bool, now: float, gateway_time: float | None, by_hand: str) -> Finding:
    days = int(token.left(now) // DAY)
    text = f"of the role {token.role or 'unknown'}, lasts {days} more days"
    if gateway_time is not None and not token.issued - CLOCK <= gateway_time < token.expires:
        return failed(
            "token", f"by the gateway's clock ({_day(gateway_time)}) it is not valid, from {_day(token.issued)} to "
            f"{_day(token.expires)}",
            "give the gateway internet, so that it sets its clock, and restart it",
        )  # fmt: skip
    if token.role == "installer":
        return warning("token", f"{text}; an installer's lasts 12 hours", "use an account or a token of the owner (a year)")
    if not account and days < SOON:
        return warning("token", f"{text} and cannot be renewed without an account", by_hand)
    if days < OVERDUE and token.expires - token.issued > SOON * DAY:
        return warning("token", f"{text}; the driver should have renewed it", "type: journalctl -t nutdrv_py -g token")
    return ok("token", f"{text}; {'the driver renews it' if account else 'it was given by hand'}")


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")
