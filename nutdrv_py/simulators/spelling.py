# SPDX-License-Identifier: GPL-2.0-or-later
"""Hints for misspelt names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LISTED_MOST = 60
"""Names that fit into a message."""


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a hint `` (did you mean "x"?)`` for a misspelt word, or the list of all known ones if it is short."""
    names = list(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    if close:
        return f' (did you mean "{close[0]}"?)'
    return f" (known: {', '.join(sorted(names))})" if len(names) <= LISTED_MOST else ""
