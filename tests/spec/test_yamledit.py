"""Single values of a YAML text are changed, and nothing else."""

import difflib
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kpasim.spec.base import Place
from kpasim.spec.yamledit import edited, put, scalar_text
from kpasim.spec.yamlfile import parse_documents

TEXT = """\
# head
top:   # why
    single: 'one'
    double: "two"   # keep me
    plain: three  \n
    number: 4
    list:
    - name: a
      value: 5
    - {name: b, value: 6}
    flow: {x: 1, y: "2"}
    nothing:
    block: |
      text
    other: &anchor 7
    alias: *anchor
last: end
"""


def changed(old: str, new: str) -> list[str]:
    """The lines that were taken away and added."""
    lines = difflib.ndiff(old.splitlines(keepends=True), new.splitlines(keepends=True))
    return [line.rstrip("\n") for line in lines if line[0] in "+-"]


@pytest.mark.parametrize(
    ("place", "value", "lines"),
    [
        (("top", "single"), "1's", ["-     single: 'one'", "+     single: '1''s'"]),
        (("top", "double"), "2", ['-     double: "two"   # keep me', '+     double: "2"   # keep me']),
        (("top", "plain"), "drei", ["-     plain: three  ", "+     plain: drei  "]),
        (("top", "plain"), "3", ["-     plain: three  ", '+     plain: "3"  ']),
        (("top", "plain"), "on: off", ["-     plain: three  ", '+     plain: "on: off"  ']),
        (("top", "number"), 5, ["-     number: 4", "+     number: 5"]),
        (("top", "number"), None, ["-     number: 4"]),
        (("top", "list", 0, "value"), 9, ["-       value: 5", "+       value: 9"]),
        (("top", "list", 0, "more"), 9, ["+       more: 9"]),
        (("top", "list", 1, "value"), 9, ["-     - {name: b, value: 6}", "+     - {name: b, value: 9}"]),
        (("top", "flow", "z"), "3", ['-     flow: {x: 1, y: "2"}', '+     flow: {x: 1, y: "2", z: "3"}']),
        (("top", "nothing"), True, ["-     nothing:", "+     nothing: true"]),
        (("top", "new"), "x", ['+     new: "x"']),
        (("fresh", "deep"), 1, ["+ fresh:", "+   deep: 1"]),
        (("top", "missing"), None, []),
    ],
)
def test_only_the_lines_of_the_value_change(place: Place, value: Any, lines: list[str]) -> None:
    """Comments, blanks, quotes and order stay as they were."""
    assert changed(TEXT, edited(TEXT, 0, [(place, value)])) == lines


@pytest.mark.parametrize("place", [("top", "block"), ("top", "alias")])
def test_values_that_have_no_place_of_their_own_are_set_all_the_same(place: Place) -> None:
    """Block scalars and aliases are written anew, comments included."""
    text = edited(TEXT, 0, [(place, "new")])
    wanted = parse_documents(TEXT, "")[0].data
    put(wanted, place, "new")
    assert parse_documents(text, "")[0].data == wanted
    assert "# keep me" in text


def test_no_edit_changes_no_byte() -> None:
    """An unchanged text is the text."""
    assert edited(TEXT, 0, []) == TEXT


def test_line_ends_and_byte_order_mark_stay() -> None:
    """A file from Windows stays one."""
    text = "\ufeffa: 1\r\nb:\r\n  c: 'x'\r\n"
    assert edited(text, 0, [(("b", "c"), "y"), (("b", "d"), "z")]) == "\ufeffa: 1\r\nb:\r\n  c: 'y'\r\n  d: 'z'\r\n"


def test_the_other_documents_of_a_file_stay() -> None:
    """Only the chosen document is changed, and documents that hold nothing do not count."""
    text = "---\n# empty\n---\na: 1\n---\na: 2 # two\n"
    assert edited(text, 1, [(("a",), 3)]) == "---\n# empty\n---\na: 1\n---\na: 3 # two\n"


def test_a_last_line_without_an_end_gets_one() -> None:
    """A further key begins a line of its own."""
    assert edited("a:\n  b: 1", 0, [(("a", "c"), 2)]) == "a:\n  b: 1\n  c: 2\n"


@settings(deadline=None)
@given(st.text(max_size=30), st.sampled_from(["'", '"', None]))
@example("NULL", None)
@example("on", None)
@example("---", None)
@example("...", None)
def test_any_text_is_written_so_that_it_is_read_back(value: str, style: str | None) -> None:
    """Whatever a setting holds, the file holds the same afterwards."""
    text = f"a: {scalar_text(value, style)}\n"
    if "\x00" <= value < "\x20" or any(
        ord(one) < 32 or 0x7F <= ord(one) < 0xA0 or 0xD800 <= ord(one) < 0xE000 for one in value
    ):
        return
    assert parse_documents(text, "")[0].data == {"a": value}


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["single", "double", "plain", "number", "new", "nothing"]), st.text("abc '\"#:{}-1", max_size=8)
    ),
)
def test_any_edits_give_exactly_the_wanted_data(edits: dict[str, str]) -> None:
    """Reading the edited text gives the old data with the new values in it."""
    wanted = parse_documents(TEXT, "")[0].data
    places = [(("top", key), value) for key, value in edits.items()]
    for place, value in places:
        put(wanted, place, value)
    assert parse_documents(edited(TEXT, 0, places), "")[0].data == wanted


def test_folded_text_is_its_lines() -> None:
    """Lines become spaces and blank lines ends of lines, as YAML says; a bell that is written as one stays."""
    [document] = parse_documents('a: >\n  one\n  two\n\n  three\nb: >-\n  four\n  five\nc: "\\a"\n', "f.yaml")
    assert document.data == {"a": "one two\nthree\n", "b": "four five", "c": "\a"}
