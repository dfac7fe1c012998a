"""JSON Schema as the loop uses it: checked when given, values held against it in linear time, defaults bound."""

from __future__ import annotations

import contextlib
import re
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import dualcontrol as dc
from dualcontrol.errors import AnswerValueError, ProposalError, SettingsError
from dualcontrol.schema import _atoms, bound, flaw, matches, meaning, plain_text, violation

EVIL = ["^(a+)+$", "^(a|a)*$", "(x+x+)+y", "^([a-zA-Z]+)*$", "(.*a){20}", "^(([a-z])+.)+[A-Z]([a-z])+$", "(a*)*b"]


@pytest.fixture
def loop():
    with dc.open("sqlite:///:memory:", durability="process") as desk:
        yield desk.loop("pay", context="minimal")


@pytest.mark.parametrize("pattern", EVIL)
@pytest.mark.parametrize("keyword", ["pattern", "patternProperties", "propertyNames", "items", "anyOf"])
def test_no_pattern_of_a_caller_holds_anybody_up(loop, pattern: str, keyword: str) -> None:
    text = "a" * 60_000 + "!"
    inner: dict[str, Any] = {"type": "string", "pattern": pattern}
    schemas: dict[str, tuple[Any, Any]] = {
        "pattern": (inner, text),
        "items": ({"type": "array", "items": inner}, [text] * 3),
        "anyOf": ({"anyOf": [inner, {"type": "null"}]}, text),
        "patternProperties": ({"type": "object", "patternProperties": {pattern: {"type": "integer"}}}, {text: "x"}),
        "propertyNames": ({"type": "object", "propertyNames": inner}, {text: 1}),
    }
    schema, value = schemas[keyword]
    case = loop.propose(action="act", args={}, schema={"type": "object", "properties": {"x": schema}}, input=1)
    claim = loop.desk.claim("ana", case=case)
    started = time.process_time()
    with contextlib.suppress(AnswerValueError):
        claim.edit({"x": value})
    assert time.process_time() - started < 20  # it took 73 s and more for the first of them; now it is milliseconds


def test_while_an_answer_is_held_against_its_schema_others_go_on(loop, monkeypatch) -> None:
    from dualcontrol import schema as schemas

    case = loop.propose(
        action="act",
        args={"x": "a"},
        input=1,
        schema={"type": "object", "properties": {"x": {"type": "string", "pattern": "^a"}}},
    )
    claim, inside = loop.desk.claim("ana", case=case), []
    transaction = loop.desk.store.transaction
    depth = [0]

    def counted(*args: Any, **kwargs: Any) -> Any:
        block = transaction(*args, **kwargs)

        class Block:
            def __enter__(self) -> Any:
                depth[0] += 1
                return block.__enter__()

            def __exit__(self, *raised: Any) -> Any:
                depth[0] -= 1
                return block.__exit__(*raised)

        return Block()

    matched = schemas.matches
    monkeypatch.setattr(loop.desk.store, "transaction", counted)
    monkeypatch.setattr(schemas, "matches", lambda p, t: inside.append(depth[0]) or matched(p, t))
    claim.edit({"x": "abc"})
    assert inside  # it was matched
    assert set(inside) == {0}  # and never while the database was locked


@pytest.mark.parametrize(
    "pattern", [r"(?=a)b", r"(?!a)b", r"(a)\1", "[a", "(?<=x)y", "a{1001}", "(a{100}){100}", r"(\w{40}){40}"]
)
@pytest.mark.parametrize("where", ["proposal", "settings"])
def test_a_pattern_that_a_linear_engine_cannot_read_is_refused_when_it_is_given(loop, pattern: str, where: str) -> None:
    schema = {"type": "object", "properties": {"x": {"type": ["string"], "pattern": pattern}}}
    if where == "proposal":
        with pytest.raises(ProposalError, match="the pattern"):
            loop.propose(action="act", args={}, schema=schema, input=1)
        assert loop.desk.store.queries.cases(loop="pay").rows == ()
        return
    with pytest.raises(SettingsError, match="the pattern"):
        loop.desk.loop("open", mode="labels", schema=schema)


@pytest.mark.parametrize(
    "pattern", [r"^\d{3}-\d{4}$", r"^[A-Z]{2}\d+$", r"\p{L}+", "a{2,}", "^$", r"^\S+@\S+$", "é|ü", r"\/x\-"]
)
def test_an_ordinary_pattern_is_taken(pattern: str) -> None:
    assert flaw({"type": "string", "pattern": pattern}) is None


def test_what_stands_in_data_is_no_pattern() -> None:
    assert flaw({"const": {"pattern": "(?=a)"}, "enum": [{"pattern": "("}], "default": {"pattern": "("}}) is None
    assert flaw({"properties": {"pattern": {"type": "string"}}}) is None
    assert flaw({"properties": {"x": {"$ref": "#/$defs/y"}}, "$defs": {"y": {"pattern": "("}}}) is not None


@settings(max_examples=300)
@given(
    pattern=st.text("ab", min_size=1, max_size=4)
    | st.sampled_from(["^a+b?$", "[ab]{2}", "(a|b)+c", "a.b", "^$", "a{1,3}"]),
    text=st.text("abc\n", max_size=8),
)
def test_a_pattern_means_what_it_means_elsewhere(pattern: str, text: str) -> None:
    if not ("$" in pattern and text.endswith("\n")):  # there Python's `$` is laxer than everybody else's
        assert matches(pattern, text) == (re.search(pattern, text) is not None)


@pytest.mark.parametrize(
    ("pattern", "count"),
    [
        ("abc", 3),
        ("a{5}b", 6),
        ("(ab){3}", 6),
        ("((a{2}){3}){4}", 24),
        ("[abc]{7}", 7),
        (r"\d{2}\p{L}{3}", 5),
        ("a{2,9}", 9),
        ("a|b", 2),
        ("(?:a){3}", 3),
    ],
)
def test_counted_repetitions_are_written_out(pattern: str, count: int) -> None:
    assert _atoms(pattern) == count


def nested(depth: int) -> dict[str, Any]:
    """Alternatives in alternatives: 2ⁿ ways to look at one value."""
    defs: dict[str, Any] = {
        f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}, {"$ref": f"#/$defs/d{n + 1}"}]} for n in range(depth)
    }
    return {"$ref": "#/$defs/d0", "$defs": {**defs, f"d{depth}": {"type": "string"}}}


@pytest.mark.parametrize(
    "schema",
    [nested(40), {"$ref": "#"}, {"allOf": [{"$ref": "#"}]}, {"items": {"anyOf": [{"const": n} for n in range(300)]}}],
    ids=["2^40", "self", "all", "wide"],
)
def test_no_schema_takes_for_ever(schema: dict[str, Any]) -> None:
    started = time.process_time()
    value = [5.5] * 2000 if "items" in schema else {"a": 5}
    assert violation(value, schema) is not None
    bound(value, schema)
    assert time.process_time() - started < 30


def test_many_equal_items_are_found_in_linear_time() -> None:
    items = [{"n": n, "m": [n]} for n in range(20_000)]
    assert violation(items, {"uniqueItems": True}) is None
    assert violation([*items, {"m": [7], "n": 7.0}], {"uniqueItems": True}) is not None
    assert violation([1, True, "1", [1]], {"uniqueItems": True}) is None


LEAVES = st.sampled_from(
    [
        {"type": "string"},
        {"type": "integer"},
        {"type": "number", "minimum": 0},
        {"enum": [1, "a", None]},
        {"const": [1]},
        {"type": "string", "pattern": "^a"},
        {"type": "string", "maxLength": 1},
        True,
        {"uniqueItems": True},
        {"minItems": 1},
    ]
)
SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=1, max_size=2)}),
        st.fixed_dictionaries({"items": inner}),
        st.fixed_dictionaries({"not": inner}),
        st.fixed_dictionaries(
            {
                "properties": st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
                "additionalProperties": st.booleans() | inner,
                "patternProperties": st.dictionaries(st.sampled_from(["^a", "b"]), inner, max_size=1),
            }
        ),
    ),
    max_leaves=5,
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-3, 3) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=2), inner, max_size=3),
)


@settings(max_examples=600, deadline=None)
@given(value=VALUES, schema=SCHEMAS)
def test_it_judges_as_jsonschema_does(value: Any, schema: Any) -> None:
    if isinstance(schema, dict):
        assert (violation(value, schema) is None) == Draft202012Validator(schema).is_valid(value)


@pytest.mark.parametrize(
    ("schema", "value", "full"),
    [
        ({"properties": {"a": {"default": 1}}}, {}, {"a": 1}),
        ({"properties": {"a": {"default": 1}}}, {"a": None}, {"a": None}),
        ({"properties": {"a": {"properties": {"b": {"default": [1]}}}}}, {"a": {}}, {"a": {"b": [1]}}),
        ({"properties": {"a": {"properties": {"b": {"default": 2}}, "default": {}}}}, {}, {"a": {"b": 2}}),
        ({"$ref": "#/$defs/x", "$defs": {"x": {"properties": {"a": {"default": 1}}}}}, {}, {"a": 1}),
        (
            {"allOf": [{"properties": {"a": {"default": 1}}}, {"properties": {"b": {"default": 2}}}]},
            {},
            {"a": 1, "b": 2},
        ),
        ({"items": {"properties": {"a": {"default": 1}}}}, [{}, {"a": 2}], [{"a": 1}, {"a": 2}]),
        ({"prefixItems": [{"properties": {"a": {"default": 1}}}]}, [{}, {}], [{"a": 1}, {}]),
        ({"additionalProperties": {"properties": {"a": {"default": 1}}}}, {"x": {}}, {"x": {"a": 1}}),
        ({"anyOf": [{"type": "object", "properties": {"a": {"default": 1}}}, {"type": "null"}]}, {}, {"a": 1}),
        (
            {
                "anyOf": [
                    {"type": "object", "properties": {"k": {"const": "x"}, "a": {"default": 1}}, "required": ["k"]},
                    {"type": "object", "properties": {"k": {"const": "y"}, "a": {"default": 2}}, "required": ["k"]},
                ]
            },
            {"k": "y"},
            {"k": "y", "a": 2},
        ),
        ({"anyOf": [{"properties": {"a": {"default": 1}}}, {"properties": {"a": {"default": 2}}}]}, {}, {}),
        ({"type": "integer"}, 3.0, 3),
        ({"type": "integer"}, 3.5, 3.5),
        ({"type": "number"}, 3.0, 3.0),
        ({"items": {"type": "integer"}}, [1.0, 2], [1, 2]),
        ({"type": "integer"}, 1e300, 1e300),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, 3.0, 3),
        ({"oneOf": [{"type": "integer"}, {"type": "null"}]}, 3.0, 3),
        ({"allOf": [{"type": "integer"}]}, 3.0, 3),
        ({"$ref": "#/$defs/n", "$defs": {"n": {"type": "integer"}}}, 3.0, 3),
        ({"items": {"$ref": "#/$defs/n"}, "$defs": {"n": {"type": "integer"}}}, [3.0, 4], [3, 4]),
        (
            {"properties": {"a": {"$ref": "#"}, "b": {"default": 1}}},
            {"a": {"a": {}}},
            {"a": {"a": {"b": 1}, "b": 1}, "b": 1},
        ),
        ({"properties": {"a": {"$ref": "#", "default": {}}}}, {}, ...),
    ],
)
def test_what_is_left_out_stands_at_its_default(schema: dict[str, Any], value: Any, full: Any) -> None:
    result = bound(value, schema)
    if full is not ...:  # a default that asks for itself ends somewhere
        assert plain_text(result) == plain_text(full)
        assert repr(result) == repr(full) or isinstance(full, dict)


@pytest.mark.parametrize(
    ("schema", "one", "other", "alike"),
    [
        (None, 3, 3.0, True),
        (None, 1, True, False),
        (None, "3", 3, False),
        (None, [1, 2], [2, 1], False),
        ({"uniqueItems": True}, [1, 2], [2.0, 1], True),
        ({"items": {"uniqueItems": True}}, [[1, 2]], [[2, 1]], True),
        ({"format": "uuid"}, "00000000-0000-0000-0000-0000000000ff", "00000000-0000-0000-0000-0000000000FF", True),
        ({"format": "date-time"}, "2024-01-01T00:00:00Z", "2024-01-01T01:00:00+01:00", True),
        ({"format": "date-time"}, "2024-01-01T00:00:00", "2024-01-01T00:00:00Z", False),
        ({"anyOf": [{"type": "number"}, {"type": "string"}]}, "2.50", 2.5, True),
        ({"anyOf": [{"type": "number"}, {"type": "string"}]}, "2.50", "2.51", False),
        ({"type": "string"}, "A", "a", False),
        ({"format": "email"}, "Ana@Example.com", "Ana@example.com", True),
        (None, 2**53 + 1, float(2**53), False),
    ],
)
def test_what_means_the_same_is_the_same(schema: Any, one: Any, other: Any, alike: bool) -> None:
    assert (meaning(one, schema) == meaning(other, schema)) is alike
    inside = {"properties": {"part": schema if schema is not None else True}}
    assert (meaning({"part": one}, inside) == meaning({"part": other}, inside)) is alike


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"id": {"type": "string"}}, "allOf": [{"properties": {"id": {"format": "uuid"}}}]},
        {"properties": {}, "additionalProperties": {"format": "uuid"}},
        {"properties": {"id": {"$ref": "#/$defs/id"}}, "$defs": {"id": {"format": "uuid"}}},
        {"properties": {"n": {}, "id": {"anyOf": [{"format": "uuid"}, {"type": "null"}]}}},
    ],
)
def test_a_part_is_read_by_whatever_names_its_form(schema: Any) -> None:
    one, other = "00000000-0000-0000-0000-0000000000ff", "00000000-0000-0000-0000-0000000000FF"
    assert meaning({"id": one}, schema) == meaning({"id": other}, schema)


@pytest.mark.parametrize(
    ("pattern", "fits", "fits_not"),
    [
        (r"^[^\0]+$", "ab", "a\0b"),
        (r"^[\0-\x1f]+$", "\0\x1f", " "),
        (r"^a\cJb$", "a\nb", "a\tb"),
        (r"^[^[\]]+$", "ab", "a[b"),
        (r"^[[a]+$", "a[[a", "b"),
        (r"^[[:alpha:]]+$", "abc", "1"),
        (r"^\/x\-y\u0041$", "/x-yA", "/x-y"),
    ],
)
def test_a_pattern_is_read_as_json_schema_spells_it(pattern: str, fits: str, fits_not: str) -> None:
    """NUL, control letters and brackets within a class as ECMA-262 writes them, which the linear engine does not."""
    assert flaw({"pattern": pattern}) is None
    assert violation(fits, {"pattern": pattern}) is None
    assert violation(fits_not, {"pattern": pattern}) is not None
