# SPDX-License-Identifier: GPL-2.0-or-later
"""Files and answers that nobody would write by hand: a sentence or a reading, never anything else."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from nutdrv_py.backends.mapping.description import describe
from nutdrv_py.backends.mapping.rules import canonical
from nutdrv_py.backends.mapping.sources import Options
from nutdrv_py.core.guard import guarded
from nutdrv_py.device.reading import Status
from nutdrv_py.errors import ConfigError, DeviceError
from tests.backends.mapping.conftest import GOOD, House

PIECES = [
    *GOOD.splitlines(keepends=True), "source: {mqtt: x}\n", "source: {modbus: x, unit_id: 1}\n", "source: {http: http://x}\n", "  ", "- ", "{", "}", "[",
    "]", ": ", "on", "off", "&a ", "*a", "!!python/object/apply:os.system [id]", "<<: ", "? ", "|\n", "'", '"', "0x", "1e400", "\t", "\x00", "\ufeff", "%YAML 9\n",
    "---\n", "register: 1", "topic: a", "get: /a", "path: a", "battery.charge: ", "words: {1: a}", "scale: 1e9", "{address}", "é", "\u2028",
]  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=20) | st.sampled_from(["up", "down", 80, "80"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["grid", "soc", "load", "power", "x"]), inner, max_size=4),
    max_leaves=10,
)


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=25))
@settings(max_examples=300)
def test_any_text_is_a_description_or_a_sentence_with_its_file(parts: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "any.yaml"
        path.write_bytes("".join(parts).encode("utf-8", "surrogatepass"))
        path.chmod(0o600)
        try:
            plan = describe(path, Options(address="192.0.2.1", topic="x", folder=Path(folder)))
        except ConfigError as error:
            assert str(error).startswith(str(path))
        else:
            assert not plan.grid.on & plan.grid.off


@given(st.lists(JSON, min_size=1, max_size=6))
@example([{"grid": "UP"}])
@example([{"grid": "down"}])
@settings(max_examples=150)
async def test_any_answer_is_a_reading_by_the_words_of_the_grid_or_no_statement(answers: list[object]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = House(Path(folder))
        home.describe(
            GOOD + "  ups.realpower: {path: load}\n  ups.model: {path: x}\n"
            "battery: {power: {path: power}, capacity: {path: x}, low: {path: load}, cutoff: {path: soc}}\n"
        )
        backend = home.backend()
        for answer in answers:
            home.clock.now += 5
            state = home.folder / "state.json"
            state.write_text(json.dumps(answer))
            os.utime(state, (home.clock.wall(),) * 2)
            said = canonical(answer.get("grid")) if isinstance(answer, dict) else None
            try:
                reading, _ = guarded(await backend.poll())
            except DeviceError:
                assert said not in ("up", "down")
            else:
                assert (Status.OL in reading.status) == (said == "up")
                assert (Status.OB in reading.status) == (said == "down")
