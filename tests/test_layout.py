"""JSON as people read it: the same JSON, and never much longer than it."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dualcontrol.layout import laid

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=60,
)


@given(VALUES)
def test_it_is_the_same_json(value: Any) -> None:
    text, whole = laid(value)
    assert whole
    assert json.dumps(json.loads(text)) == json.dumps(value)


@given(VALUES, st.integers(1, 200))
def test_what_is_cut_is_its_beginning(value: Any, most: int) -> None:
    whole, text = laid(value).text, laid(value, most)
    assert text.whole is (len(whole) <= most)
    assert len(text.text) <= most
    assert text.whole is False or text.text == whole


def test_short_things_stand_on_one_line() -> None:
    value = {"order": "A-17", "rows": [{"sku": "a", "n": 1}, {"sku": "b" * 60, "n": list(range(40))}], "none": []}
    assert laid(value).text == (
        '{\n  "order": "A-17",\n  "rows": [\n    {"sku": "a", "n": 1},\n    {\n      "sku": "' + "b" * 60 + '",\n'
        '      "n": [\n'
        "        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24,\n"
        "        25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39\n"
        "      ]\n    }\n  ],\n  \"none\": []\n}"
    )  # fmt: skip


def test_depth_costs_no_room() -> None:
    """One MiB that is nested 190 levels deep was 91 MB with two spaces a level."""
    value: Any = ["a text of some length"] * 4_000
    for _ in range(190):
        value = {"a": value}
    assert len(laid(value).text) < 3 * len(json.dumps(value))
