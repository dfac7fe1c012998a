"""The shortcut says yes only where jsonschema does."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from dualcontrol.schema import fits_plainly

LEAVES = st.sampled_from(["string", "number", "integer", "boolean", "null"]).map(lambda t: {"type": t, "title": "T"})
NAMES = st.sampled_from("abc")
ODD = st.sampled_from([{"type": "string", "minLength": 2}, {"enum": [1]}, {"type": ["string", "null"]}, True])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=3),
)


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Schemas of objects with these properties."""
    return st.fixed_dictionaries(
        {"type": st.just("object"), "properties": st.dictionaries(NAMES, inner, max_size=3)},
        optional={"required": st.lists(NAMES, unique=True), "additionalProperties": st.booleans() | LEAVES},
    )


SCHEMAS = st.recursive(LEAVES | ODD, objects, max_leaves=6)


@settings(max_examples=600)
@given(value=VALUES, schema=SCHEMAS)
def test_what_fits_plainly_fits(value: Any, schema: Any) -> None:
    if fits_plainly(value, schema):
        assert Draft202012Validator(schema).is_valid(value)


def test_the_commonest_schema_takes_the_shortcut() -> None:
    schema = {
        "additionalProperties": False, "required": ["amount"], "title": "refund", "type": "object",
        "properties": {"amount": {"title": "Amount", "type": "number"}, "note": {"type": "string"}},
    }  # fmt: skip
    assert fits_plainly({"amount": 2**70}, schema)
    assert not fits_plainly({"amount": True}, schema)
    assert not fits_plainly({}, schema)
    assert not fits_plainly({"amount": 1, "more": 1}, schema)
