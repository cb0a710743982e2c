# SPDX-License-Identifier: GPL-2.0-or-later
"""What the relay between house and grid does, and its words in each state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

GRID_STATES = ("on", "outage", "island", "reclosing", "generator")
"""What the grid connection does: see :class:`RelayWords` for the words of each one."""

SYNCHRONIZING_SECONDS = 27.0
"""A commanded opening shows "open synchronizing" for this long (27 s were seen)."""

RECLOSE_SECONDS = 10.0
"""Re-closing takes 8-15 s (mpreissner/ha-enphase-realtime)."""


@dataclass(frozen=True, slots=True)
class RelayWords:
    """Words of ``/ivp/ensemble/relay`` and the MID in one grid state."""

    admin: str
    oper: str
    mode: str
    main_relay: int
    enpower_state: int
    enpower_name: str
    enpower_id: int


RELAY_WORDS: Mapping[str, RelayWords] = {
    "on": RelayWords("closed", "closed", "multimode-ongrid", 1, 24, "ENPWR_STATE_OPER_CLOSED", 16),
    "outage": RelayWords("closed", "open", "multimode-offgrid", 0, 21, "ENPWR_STATE_OPER_NO_GRID", 256),
    "synchronizing": RelayWords("open", "open synchronizing", "multimode-offgrid", 0, 22, "ENPWR_STATE_OPER_OPEN", 256),
    "island": RelayWords("open", "open synchronized", "multimode-offgrid", 0, 23, "ENPWR_STATE_OPER_SYNC_READY", 256),
    "reclosing": RelayWords("closed", "open synchronized", "multimode-offgrid", 0, 23, "ENPWR_STATE_OPER_SYNC_READY", 256),
    "generator": RelayWords("closed", "open", "multimode-generator", 0, 30, "ENPWR_STATE_OPER_GEN_CLOSE", 128),
}
"""One row per situation; "synchronizing" is the first part of a deliberate island. States 22 and 23 are guesses.

Sources: "on", fixtures of pyenphase; "outage", johnhartman/enphase_local; "synchronizing", "island" and "reclosing",
mpreissner/ha-enphase-realtime (D8.3.6086); "generator", a capture of firmware 8.2.127."""
