# SPDX-License-Identifier: GPL-2.0-or-later
"""Words as NUT reads them: vectors whole, byte by byte, and with garbage around."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nutdrv_py.nut.parseconf import MAX_VALUE, MAX_WORD, MAX_WORDS, BadLine, Line, Reader, escape, join, parse, quote

VECTORS: list[tuple[bytes, list[tuple[str, ...]]]] = [
    (b"PING\n", [("PING",)]),
    (b"ping\r\n", [("ping",)]),
    (b"PI\x00NG\n", [("PING",)]),
    (b"PI\xc3\xa4NG\n", [("PING",)]),
    (b"PI\\\nNG\n", [("PING",)]),
    (b"\\\nPING\n", [("PING",)]),
    (b"\n", [()]),
    (b"# comment\n", [()]),
    (b"a # comment\n", [("a",)]),
    (b"a#comment\n", [("a",)]),
    (b"  a\tb\x0bc\x0c d \n", [("a", "b", "c", "d")]),
    (b"name=value\n", [("name", "=", "value")]),
    (b"name = value\n", [("name", "=", "value")]),
    (b'name="a = b"\n', [("name", "=", "a = b")]),
    (b'SET x "a \\"b\\" \\\\c \\# = d"\n', [("SET", "x", 'a "b" \\c # = d')]),
    (b'"a\nb"\n', [("ab",)]),
    (b'"a\\\nb"\n', [("ab",)]),
    (b'a"b c\n', [('a"b', "c")]),
    (b'""\n', [("",)]),
    (b"a\\ b\n", [("a b",)]),
    (b"DEL\x7f\n", [("DEL\x7f",)]),
]


def _words(items: list[Line | BadLine]) -> list[tuple[str, ...]]:
    return [item.words for item in items if isinstance(item, Line)]


@pytest.mark.parametrize(("data", "expected"), VECTORS)
def test_vectors_are_read_whole_byte_by_byte_and_between_other_lines(data: bytes, expected: list[tuple[str, ...]]) -> None:
    assert _words(list(Reader().feed(data))) == expected
    reader = Reader()
    assert _words([item for byte in data for item in reader.feed(bytes([byte]))]) == expected
    assert _words(list(Reader().feed(b"BEFORE\n" + data + b"AFTER\n"))) == [("BEFORE",), *expected, ("AFTER",)]


def test_a_bare_hash_in_quotes_costs_a_socket_only_that_line() -> None:
    items = list(Reader().feed(b'SET a "x # y" TRACKING 1\nPING\n'))
    assert isinstance(items[0], BadLine)
    assert "unescaped #" in items[0].reason
    assert _words(items) == [("PING",)]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b'desc = "Rack #3"\n', ("desc", "=", "Rack #3")),
        (b'desc = "#"\n', ("desc", "=", "#")),
        (b'desc = "a # b \\" # c" # comment\n', ("desc", "=", 'a # b " # c')),
        (b'desc = "a \\# b # c"', ("desc", "=", "a # b # c")),
        (b'desc = "a \\\nb # c"\n', ("desc", "=", "a b # c")),
    ],
)
def test_a_bare_hash_in_quotes_that_are_closed_on_the_line_is_a_character_of_a_file(line: bytes, words: tuple[str, ...]) -> None:
    """NUT takes it from 2026-09 on."""
    assert list(parse(line)) == [Line(1 + line.count(b"\\\n"), words)]
    assert [item for item in parse(b"[a]\n" + line + b"\n[b]\n") if isinstance(item, BadLine)] == []


def test_a_bare_hash_in_quotes_that_stay_open_lets_a_file_go_on_in_the_same_line_as_nut_does() -> None:
    items = list(parse(b'x = "a # bad"\ny = 1\n'.replace(b'bad"', b"bad")))
    assert isinstance(items[0], BadLine)
    assert [item.words for item in items[1:] if isinstance(item, Line)] == [("bad",), ("y", "=", "1")]


def test_an_unbalanced_quote_swallows_lines_until_it_is_closed() -> None:
    reader = Reader()
    assert list(reader.feed(b'SET x "abc\nPING\nPING\n')) == []
    assert _words(list(reader.feed(b'"\nPING\n'))) == [("SET", "x", "abcPINGPING"), ("PING",)]


def test_a_word_and_a_line_have_an_end() -> None:
    reader = Reader()
    (line,) = reader.feed(b"x" * 100_000 + b" " + b"w " * 100 + b"\n")
    assert isinstance(line, Line)
    assert len(line.words[0]) == MAX_WORD
    assert len(line.words) == MAX_WORDS


def test_lines_are_numbered_also_after_continuations_and_quotes() -> None:
    items = list(parse(b'a\n"x\ny"\nb \\\n c\n\nd\n'))
    assert [(item.number, item.words) for item in items if isinstance(item, Line)] == [
        (1, ("a",)),
        (3, ("xy",)),
        (5, ("b", "c")),
        (7, ("d",)),
    ]


def test_a_last_line_without_line_feed_loses_a_lone_word_but_not_a_setting() -> None:
    assert list(parse(b"flag")) == []
    assert [item.words for item in parse(b"name = value") if isinstance(item, Line)] == [("name", "=", "value")]


def test_only_three_characters_are_escaped_and_no_pair_is_cut() -> None:
    assert escape('a"b\\c#d=e\n') == 'a\\"b\\\\c\\#d=e\n'
    assert escape('"' * 200) == '\\"' * 127
    assert len(escape('"' * 200)) == 254


@given(st.lists(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=60), min_size=1, max_size=8))
def test_any_words_survive_the_round_trip(words: list[str]) -> None:
    (line,) = Reader().feed((join(words) + "\n").encode())
    assert isinstance(line, Line)
    assert list(line.words) == words


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=MAX_VALUE // 2))
def test_any_value_survives_quoting(text: str) -> None:
    (line,) = Reader().feed(f"SETINFO x {quote(text)}\n".encode())
    assert isinstance(line, Line)
    assert line.words == ("SETINFO", "x", text)


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_any_bytes_in_any_pieces_never_raise_and_the_pieces_do_not_matter(pieces: list[bytes]) -> None:
    reader = Reader()
    split = [item for piece in pieces for item in reader.feed(piece)]
    assert split == list(Reader().feed(b"".join(pieces)))
