"""The gate of one tool call: arguments are JSON by the tool's schema, whatever framework asks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import dualcontrol as dc
from dualcontrol import errors
from dualcontrol.gate.gate import drive
from dualcontrol.gate.result import plain
from dualcontrol.gate.tool import ToolArguments, ToolGate, check_unchanged, differences

SCHEMA: dict[str, Any] = {
    "properties": {"to": {"type": "string", "title": "To"}, "cents": {"type": "integer", "default": 5}},
    "required": ["to"],
}


class AsJson:
    """Results that are JSON."""

    kept = staticmethod(plain)

    def read(self, value: Any) -> Any:
        return value


@pytest.fixture
def desk(database_url: str) -> Iterator[dc.Desk]:
    with dc.open(database_url) as opened:
        yield opened


@pytest.fixture
def loop(desk: dc.Desk) -> dc.Loop:
    return desk.loop("pay", mode="approval", context=["proposal"], rationale="optional")


def call(loop: dc.Loop, ran: list[Any], args: dict[str, Any], key: str = "call-1") -> Any:
    def run(values: dict[str, Any]) -> str:
        ran.append(values)
        return f"paid {values['to']}"

    return drive(ToolGate(loop, run, action="pay", schema=SCHEMA, result=AsJson(), key=key).trip(args))


def test_a_call_runs_once_with_what_was_decided(desk: dc.Desk, loop: dc.Loop) -> None:
    ran: list[Any] = []
    with pytest.raises(dc.Pending):
        call(loop, ran, {"to": "ana"})
    claim = desk.claim("olga")
    assert claim is not None
    assert claim.case.candidates[0].value == {"to": "ana", "cents": 5}, "the default is part of what is decided"
    claim.edit({"to": "ben"})
    assert [call(loop, ran, {"to": "ana"}) for _ in range(3)] == ["paid ben"] * 3
    assert ran == [{"to": "ben", "cents": 5}]


def test_the_key_stands_for_these_arguments_alone(loop: dc.Loop) -> None:
    with pytest.raises(dc.Pending):
        call(loop, [], {"to": "ana"})
    with pytest.raises(errors.KeyConflictError):
        call(loop, [], {"to": "ben"})


def test_another_key_is_another_call(desk: dc.Desk, loop: dc.Loop) -> None:
    for key in ("call-1", "call-2"):
        with pytest.raises(dc.Pending):
            call(loop, [], {"to": "ana"}, key)
    assert len(desk.store.queries.cases(loop="pay").rows) == 2


@pytest.mark.parametrize(
    ("args", "why"),
    [
        ({"to": 7}, "to: does not fit: 7 is not of type 'string'"),
        ({}, "'to' is a required property"),
        ({"to": "ana", "cc": "ben"}, "'cc'"),
        ({"to": "ana", "cents": object()}, "not JSON"),
        ("ana", "not an object"),
    ],
)
def test_what_does_not_fit_is_said(args: Any, why: str) -> None:
    told = ToolArguments("pay", SCHEMA).unfit(args)
    assert told is not None
    assert why in told


def test_a_schema_may_let_more_in() -> None:
    assert ToolArguments("pay", {**SCHEMA, "additionalProperties": True}).unfit({"to": "ana", "cc": "ben"}) is None


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"properties": {**SCHEMA["properties"], "currency": {"type": "string"}}}, ["currency is new"]),
        ({"properties": {"to": SCHEMA["properties"]["to"]}}, ["cents is gone"]),
        ({"properties": {**SCHEMA["properties"], "to": {"type": "integer"}}}, ["to takes other values"]),
        ({"properties": {**SCHEMA["properties"], "cents": {"type": "integer"}}}, ["cents takes other values"]),
        ({"required": ["to", "cents"]}, ["its arguments are declared otherwise"]),
        ({"title": "Pay", "description": "Other words."}, []),
        ({"properties": {**SCHEMA["properties"], "to": {"type": "string", "description": "whom"}}}, []),
        ({"properties": {**SCHEMA["properties"], "title": {"type": "string"}}}, ["title is new"]),
    ],
)
def test_what_changed_of_a_schema(change: dict[str, Any], told: list[str]) -> None:
    assert differences(SCHEMA, {**SCHEMA, **change}) == told


def test_a_case_whose_tool_is_gone_does_not_run_and_is_answered_once_it_is_over(desk: dc.Desk, loop: dc.Loop) -> None:
    with pytest.raises(dc.Pending) as pending:
        call(loop, [], {"to": "ana"})
    case_id = pending.value.case_id
    with pytest.raises(errors.RunChangedError, match="it is gone"):
        check_unchanged(desk.case(case_id), "pay", None)
    claim = desk.claim("olga")
    assert claim is not None
    claim.reject("no")
    check_unchanged(desk.case(case_id), "pay", None)
