# SPDX-License-Identifier: GPL-2.0-or-later
"""Port files as dummy-ups reads them, without its traps, and written so that both readers agree."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nutdrv_py.errors import ProtocolError
from nutdrv_py.nut.parseconf import Line, Reader
from nutdrv_py.nut.portfile import entry, parse, update
from nutdrv_py.nut.portitems import MAX_ENTRY, MAX_NAME, MAX_SECONDS, Alarm, Command, Entry, Item, Mistake, Remark, Settable, Timer, fitting

# text of one line -> name and value
ENTRIES: list[tuple[str, str, str]] = [
    ("ups.status: OL CHRG", "ups.status", "OL CHRG"),
    ("a.b:tight", "a.b", "tight"),
    ("a.b:tight and more", "a.b", "tight and more"),
    ("a.b:", "a.b", ""),
    ('a.b: ""', "a.b", ""),
    ("a.b : apart", "a.b", "apart"),
    ("a.b :apart", "a.b", "apart"),
    ("a.b :", "a.b", ""),
    ("a.b no colon", "a.b", "no colon"),
    ("a.b: x:y:z", "a.b", "x:y:z"),
    ("a.b:c: x", "a.b", "c: x"),
    ("a.b: x=y", "a.b", "x=y"),
    ("a.b: x = y", "a.b", "x = y"),
    ("a.b:=", "a.b", "="),
    ("a.b: =x=", "a.b", "=x="),
    ("a.b: http://x/?a=b&c=d", "a.b", "http://x/?a=b&c=d"),
    ("a.b: one   two\t three  ", "a.b", "one two three"),
    ('a.b: "  one   two  "', "a.b", "  one   two  "),
    ('a.b: "one = two"  three', "a.b", "one = two three"),
    ("a.b: x # comment", "a.b", "x"),
    ("a.b: x#comment", "a.b", "x"),
    ("a.b: x\\#no\\ comment", "a.b", "x#no comment"),
    (r'a.b: "A \"x\" \#1 = b \\ c"', "a.b", 'A "x" #1 = b \\ c'),
    ('a.b: 15" rack', "a.b", '15" rack'),
    ("a.b: Größe 5 °C", "a.b", "Größe 5 °C"),
    ("a.b: \x7f=ü=\x7f", "a.b", "\x7f=ü=\x7f"),
    ("a.b: 😀\udcff", "a.b", "😀\udcff"),
    ("a.b: " + "x" * 500, "a.b", "x" * 500),
    ("a.b: 0230.50", "a.b", "0230.50"),
    ("a.b: x\r", "a.b", "x"),
    ("  \t a.b: x", "a.b", "x"),
    ("a.b: on\\\ne", "a.b", "one"),
    ('a.b: "on\\\ne"', "a.b", "one"),
    ("\\\na.b: one", "a.b", "one"),
    ("a.b: one\\", "a.b", "one"),
    ("a.b: one\\\\", "a.b", "one\\"),
    ("timer: 5", "timer", "5"),
    ("TIMERX: 5", "TIMERX", "5"),
    ("drivers.x: 5", "drivers.x", "5"),
]

# text of one line -> item without its line number
OTHERS: list[tuple[str, type[Item], object]] = [
    ("", Remark, ()),
    ("   \t\r", Remark, ()),
    ("# comment", Remark, ()),
    ("# it ends in a backslash \\", Remark, ()),
    ('# a " in it', Remark, ()),
    ("#! comment", Remark, ()),
    ("driver.name: dummy-ups", Remark, ()),
    ("DRIVER.parameter.port: x", Remark, ()),
    ("TIMER 5", Timer, (5.0,)),
    ("TIMER: 0.25", Timer, (0.25,)),
    ("TIMER 0", Timer, (0.0,)),
    ('TIMER "5" # comment', Timer, (5.0,)),
    ("ALARM", Alarm, ("",)),
    ("ALARM:", Alarm, ("",)),
    ("ALARM Replace  the battery", Alarm, ("Replace the battery",)),
    ('ALARM "a = b"', Alarm, ("a = b",)),
    ("#@ rw ups.id string 32", Settable, ("ups.id", (), (), 32)),
    ("  #@ rw ups.id string 32", Settable, ("ups.id", (), (), 32)),
    ("#@ rw ups.id string 32 # why", Settable, ("ups.id", (), (), 32)),
    ("#@ rw battery.charge.low range 1 99", Settable, ("battery.charge.low", ((1, 99),), (), 0)),
    ("#@ rw x range -5 +5 10 10", Settable, ("x", ((-5, 5), (10, 10)), (), 0)),
    ("#@rw b enum enabled disabled muted", Settable, ("b", (), ("enabled", "disabled", "muted"), 0)),
    ('#@ rw b enum "two words" a a', Settable, ("b", (), ("two words", "a"), 0)),
    ('#@ command load.off ups.status "OFF"', Command, ("load.off", (("ups.status", "OFF"),))),
    (
        '#@ command test.battery.start battery.charge 50 ups.test.result "Done" x ""',
        Command,
        ("test.battery.start", (("battery.charge", "50"), ("ups.test.result", "Done"), ("x", ""))),
    ),
]

# text of one line -> a piece of the sentence
MISTAKES: list[tuple[str, str]] = [
    ("lonely", "alone says nothing"),
    (": value", "not the name"),
    ('"": value', "not the name"),
    ("a=b: value", "not the name"),
    ("größe: value", "not the name"),
    ('"a b": value', "not the name"),
    ("a[1]: value", "not the name"),
    (".a: value", "not the name"),
    ("a" * (MAX_NAME + 1) + ": value", "longer than"),
    ('a.b: "A #1', "bare #"),
    ('a.b: "open', "not closed"),
    ('a.b: "open\\', "not closed"),
    ("a.b: " + "x " * 31, "more than 31 words"),
    ("a.b: " + "x" * 512, "512 characters"),
    ("a.b: 1\0", "NUL"),
    ("TIMER", "TIMER needs"),
    ("TIMER soon", "TIMER needs"),
    ("TIMER 5 s", "TIMER needs"),
    ("TIMER -1", "TIMER needs"),
    ("TIMER nan", "TIMER needs"),
    ("TIMER inf", "TIMER needs"),
    (f"TIMER {MAX_SECONDS + 1}", "TIMER needs"),
    ("#@", "rw or command"),
    ("#@ ro ups.id", "rw or command"),
    ('#@ rw "open', "not closed"),
    ("#@ rw ups.id", "string LENGTH"),
    ("#@ rw ups.id text 5", "string LENGTH"),
    ("#@ rw ups.id string", "string LENGTH"),
    ("#@ rw ups.id string 0", "string LENGTH"),
    ("#@ rw ups.id string 256", "string LENGTH"),
    ("#@ rw ups.id string five", "string LENGTH"),
    ("#@ rw ups.id string 5 6", "string LENGTH"),
    ("#@ rw x range 1", "range LOWEST"),
    ("#@ rw x range 1 2 3", "range LOWEST"),
    ("#@ rw x range 2 1", "range LOWEST"),
    ("#@ rw x range 1 2.5", "range LOWEST"),
    ("#@ rw x range 1 " + "9" * 400, "range LOWEST"),
    ('#@ rw x enum ""', "enum VALUE"),
    ("#@ rw x enum grün", "enum VALUE"),
    ("#@ rw a=b enum x", "not the name"),
    ("#@ rw driver.x string 32", "cannot be made writable"),
    ("#@ command", "#@ command NAME"),
    ("#@ command load.off", "#@ command NAME"),
    ("#@ command load.off ups.status", "#@ command NAME"),
    ("#@ command load.off ups.status OFF more", "#@ command NAME"),
    ("#@ command load/=off ups.status OFF", "cannot be declared"),
    ("#@ command driver.killpower ups.status OFF", "belongs to the driver"),
    ("#@ command x driver.name y", "belongs to the driver"),
]


def _one(text: str) -> Item:
    items = parse(text)
    assert len(items) == 1, items
    return items[0]


def _between(text: str) -> Item:
    """The item of a line among others, which must be none the worse for it."""
    first, *middle, last = parse(f"before: 1\n{text}\nafter: 2\n")
    assert first == Entry(1, "before", "1")
    if text.endswith("\\") and not text.endswith("\\\\") and not text.startswith("#"):
        return _one(text)
    assert isinstance(last, Entry)
    assert (last.name, last.value) == ("after", "2")
    assert last.line == 3 + text.count("\n")
    assert len(middle) == 1
    assert middle[0].line == 2
    return middle[0]


@pytest.mark.parametrize(("text", "name", "value"), ENTRIES)
def test_variables_are_read_as_they_were_meant(text: str, name: str, value: str) -> None:
    assert _one(text) == Entry(1, name, value)
    assert _one(text + "\n") == Entry(1, name, value)
    found = _between(text)
    assert isinstance(found, Entry)
    assert (found.name, found.value) == (name, value)


@pytest.mark.parametrize(("text", "kind", "fields"), OTHERS)
def test_other_lines_are_told_apart(text: str, kind: Callable[..., Item], fields: tuple[object, ...]) -> None:
    assert _between(text) == kind(2, *fields)


@pytest.mark.parametrize(("text", "sentence"), MISTAKES)
def test_a_bad_line_says_what_to_write_and_costs_only_itself(text: str, sentence: str) -> None:
    found = _one(text)
    assert isinstance(found, Mistake)
    assert sentence in found.reason
    assert isinstance(_between(text), Mistake)


def test_a_value_is_never_that_of_the_line_before() -> None:
    assert parse("a: 1\nb:\nc:3\nd\n") == (
        Entry(1, "a", "1"),
        Entry(2, "b", ""),
        Entry(3, "c", "3"),
        Mistake(4, "'d' alone says nothing; write name: value, TIMER seconds or ALARM text"),
    )


def test_an_open_quote_does_not_swallow_the_lines_up_to_the_next_one() -> None:
    kinds = [type(item) for item in parse('a: "open\nups.status: OB\nb: "x"\n')]
    assert kinds == [Mistake, Entry, Entry]


def test_line_numbers_count_continued_lines() -> None:
    assert parse("a: on\\\ne\\\nmore\nb: 2\n") == (Entry(1, "a", "onemore"), Entry(4, "b", "2"))


def test_crlf_files_a_byte_order_mark_and_a_missing_last_line_feed_are_read() -> None:
    assert parse("\ufeffups.status: OL\r\nTIMER 5\r\nups.status: OB") == (
        Entry(1, "ups.status", "OL"),
        Timer(2, 5.0),
        Entry(3, "ups.status", "OB"),
    )


@pytest.mark.parametrize("cut", range(1, 40))
def test_a_file_cut_anywhere_loses_only_what_is_after_the_cut(cut: int) -> None:
    whole = 'ups.status: OL CHRG\nups.model: "A \\"x\\""\nbattery.charge: 85\n'
    lines = whole[:cut].count("\n")
    assert parse(whole[:cut])[:lines] == parse(whole)[:lines]


@given(st.text())
def test_no_text_makes_the_reader_fail_or_lose_a_line(text: str) -> None:
    items = parse(text)
    assert [item.line for item in items] == sorted({item.line for item in items})
    assert all(item.line <= text.count("\n") + 1 for item in items)


@given(st.text(alphabet='ab:.= "#\\@\n\r\t\0é'))
def test_no_text_of_special_characters_makes_the_reader_fail(text: str) -> None:
    assert parse(text + "\n\nlast: 1\n")[-1].line <= text.count("\n") + 3
    last = parse(text + "\n\nlast: 1\n")[-1]
    assert isinstance(last, Entry) and (last.name, last.value) == ("last", "1")


# Writing

NAMES = st.sampled_from(["ups.status", "ups.model", "battery.charge", "Battery.Charge", "ups.alarm", "experimental.x-1", "TIMERs"])
VALUES = st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=MAX_ENTRY)


def dummy_ups(text: str) -> dict[str, str]:
    """The variables as dummy-ups 2.8.0 takes them from a file of complete lines, with its traps: the previous value
    stays, ``=`` becomes a word, 127 characters; an unclosed quote swallows lines."""
    found: dict[str, str] = {}
    value = ""
    for line in Reader(resume=True).feed(text.encode("utf-8", "surrogateescape")):
        if not isinstance(line, Line) or not line.words or line.words[0].startswith("TIMER"):
            continue
        if len(line.words) > 1:
            value = " ".join(line.words[1:])[:MAX_ENTRY]
        found[line.words[0].partition(":")[0]] = value
    return found


def values_of(text: str) -> dict[str, str]:
    """Name in lower case to value, as the lines leave them."""
    return {item.name.lower(): item.value for item in parse(text) if isinstance(item, Entry)}


@given(VALUES)
def test_what_is_written_is_read_back_by_both_readers(value: str) -> None:
    line = entry("ups.model", value)
    assert parse(line) == (Entry(1, "ups.model", value),)
    assert dummy_ups("before: 1\n" + line) == {"before": "1", "ups.model": value}


@given(st.text())
def test_what_no_port_file_can_hold_is_left_out_alike_by_the_writer_and_the_reader(value: str) -> None:
    line = entry("ups.model", value)
    assert line.count("\n") == 1
    assert parse(line) == (Entry(1, "ups.model", fitting(value)),)
    assert dummy_ups(line) == {"ups.model": fitting(value)}


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a=b", "a\nb: c", "#a", "größe", "driver.name", "TIMER", "ALARM", "a" * 128])
def test_a_name_that_the_grammar_does_not_allow_is_refused(name: str) -> None:
    with pytest.raises(ProtocolError):
        entry(name, "x")


OLD = """\
# mine
ups.id: rack 5   # keep
battery.charge:80
custom.x : a=b
Battery.Charge: 70

#@ rw ups.id string 32
ups.load: 5
a: "broken
input.voltage: 230
"""


def test_update_replaces_where_it_stood_appends_what_is_new_and_removes_what_vanished() -> None:
    new = update(OLD, {"ups.status": "OB LB", "battery.charge": "55"}, ours={"ups.load", "ups.status", "battery.charge"})
    assert new == (
        '# mine\nups.id: rack 5   # keep\nbattery.charge: "55"\ncustom.x : a=b\n\n#@ rw ups.id string 32\na: "broken\ninput.voltage: 230\nups.status: "OB LB"\n'
    )


def test_update_deletes_in_a_running_dummy_ups_by_an_empty_value() -> None:
    assert update("a: 1\nb: 2\n", {"a": ""}) == 'a: ""\nb: 2\n'


def test_update_to_nothing_and_from_nothing() -> None:
    assert update("", {}) == ""
    assert update("", {"a": "1", "b": "2"}) == 'a: "1"\nb: "2"\n'
    assert update("a: 1\nb: 2\n", {}, ours={"A", "b", "c"}) == ""


@pytest.mark.parametrize(
    ("text", "before"),
    [
        ("x: 1", "x: 1\n"),
        ("x: 1\\", "x: 1\\\n\n"),
        ("x: 1\\\n", "x: 1\\\n\n"),
        ("x: 1\\\\", "x: 1\\\\\n"),
        ("# x\\", "# x\\\n"),
        ("# x\\\n", "# x\\\n"),
        ("x: 1\r\n", "x: 1\r\n"),
    ],
)
def test_what_is_appended_never_becomes_part_of_an_unfinished_last_line(text: str, before: str) -> None:
    assert update(text, {"a": "1"}) == before + 'a: "1"\n'


def test_bytes_of_others_come_through_unchanged() -> None:
    data = b"\xef\xbb\xbfx: \xff\xfe \xc3\xb6\r\n\x00\x01\ny: 1\x0b\x0c\x85\n"
    text = data.decode("utf-8", "surrogateescape")
    assert update(text, {}).encode("utf-8", "surrogateescape") == data
    assert update(text, {"a": "1"}).encode("utf-8", "surrogateescape") == data + b'a: "1"\n'


OTHER_LINES = st.lists(st.text(alphabet='ab:.= "#\\@\n\r\0é', max_size=12), max_size=6)
OUR_LINES = st.lists(st.tuples(NAMES, VALUES).map(lambda pair: entry(*pair).rstrip("\n")), max_size=4)


@given(st.tuples(OTHER_LINES, OUR_LINES).flatmap(lambda both: st.permutations(both[0] + both[1])), st.dictionaries(NAMES, VALUES), st.sets(NAMES))
def test_update_says_the_new_values_and_leaves_all_others_as_they_were(lines: list[str], values: dict[str, str], ours: set[str]) -> None:
    text = "\n".join(lines)
    mine = {name.lower() for name in (*values, *ours)}
    new = update(text, values, ours)
    expected = {name: value for name, value in values_of(text).items() if name not in mine}
    expected |= {name.lower(): value for name, value in values.items()}
    assert values_of(new) == expected
    assert [item for item in _nameless(new, mine)] == [item for item in _nameless(text, mine)]
    assert update(new, values, ours) == new
    assert update(new, {}, mine).rstrip("\n") == update(text, {}, mine).rstrip("\n")


def _nameless(text: str, mine: set[str]) -> list[object]:
    """The items of others in their order, without line numbers and blank lines."""
    found: list[object] = []
    for item in parse(text):
        if isinstance(item, Entry) and item.name.lower() not in mine:
            found.append((item.name, item.value))
        elif isinstance(item, Timer | Alarm | Mistake):
            found.append(repr(item).partition(",")[2])
    return found
