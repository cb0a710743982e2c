# SPDX-License-Identifier: GPL-2.0-or-later
"""The targets of the fuzzer over what it has found before, and over some hundred inputs of any kind."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.targets import TARGETS, seeds
from tests.conftest import REPO

KEPT = [(path.parent.name, path.read_bytes()) for path in sorted((REPO / "fuzz" / "corpus").glob("*/*"))]


@pytest.mark.parametrize(("target", "data"), [*KEPT, *seeds()])
def test_what_was_found_before_is_found_no_more(target: str, data: bytes) -> None:
    TARGETS[target](data)


@pytest.mark.parametrize("target", TARGETS)
def test_any_bytes(target: str) -> None:
    @settings(max_examples=60)
    @given(st.binary(max_size=300))
    def story(data: bytes) -> None:
        TARGETS[target](data)

    story()
