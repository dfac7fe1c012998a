"""Gates: what runs is what was decided, whatever the arguments are named."""

from __future__ import annotations

import datetime
import uuid
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, BaseModel, Field

import dualcontrol as dc
from dualcontrol.errors import EffectError, ProposalError

BIG = 2**53 + 1
UNSURE: dict[str, Any] = {"confidence": 0.1, "timeout": 0, "context": lambda *a, **k: {"input": 1}}


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Order(BaseModel):
    id: int
    amount: float = 0.0
    at: datetime.datetime | None = None


@dataclass
class Line:
    n: int


def edited(desk, gate, how: str, value: Any, *args: Any, **kwargs: Any) -> tuple[str, Any]:
    """Call a gate, edit the case, go on in the same run or by the case's id; gives the case and the result."""
    with desk.run("r"), pytest.raises(dc.Pending) as waiting:
        gate(*args, **kwargs)
    case_id = waiting.value.case_id
    desk.claim("ana", case=case_id).edit(value)
    if how == "resume":
        return case_id, gate.resume(case_id)
    with desk.run("r"):
        return case_id, gate(*args, **kwargs)


HOW = pytest.mark.parametrize("how", ["again", "resume"])


@HOW
@pytest.mark.parametrize("value", [1.0, -0.0, BIG, 2**70], ids=repr)
def test_an_edit_that_differs_only_in_type_is_what_runs(desk, loop, how, value):
    ran: list[Any] = []

    @loop.gate(**UNSURE)
    def act(n) -> None:
        ran.append(n)

    case_id, _ = edited(desk, act, how, {"n": value}, 0.0 if value == 0 else 1)
    decided = desk.case(case_id).outcome.value["args"]["n"]
    assert repr(ran) == repr([value]) == repr([decided])


@HOW
@pytest.mark.parametrize(
    ("annotation", "before", "after"),
    [
        (Any, 1, True),
        (float, 1.5, BIG),
        (float, 1.0, 1),
        (list[float], [1.0], [BIG, 1, 1.0]),
        (dict[str, float], {"a": 1.0}, {"a": BIG}),
        (float | None, 1.0, BIG),
        (Annotated[float, Field(ge=0)], 1.0, BIG),
    ],
    ids=repr,
)
def test_plain_json_reaches_the_function_with_its_types(desk, loop, how, annotation, before, after):
    ran: list[Any] = []

    def act(x, s: str) -> None:
        ran.append((x, s))

    act.__annotations__["x"] = annotation
    edited(desk, loop.gate(act, **UNSURE), how, {"x": after, "s": "b"}, before, "a")
    assert repr(ran) == repr([(after, "b")])


def test_what_was_not_edited_is_the_callers_own_object(desk, loop):
    ran: list[Any] = []
    own = Order(id=1, amount=2.5)

    @loop.gate(**UNSURE)
    def act(x: float, order: Order, s: str) -> None:
        ran.append((x, order, s))

    edited(desk, act, "again", {"x": BIG, "order": own.model_dump(mode="json"), "s": "b"}, BIG, own, "a")
    assert ran[0][1] is own
    assert repr(ran[0][::2]) == repr((BIG, "b"))


@HOW
@pytest.mark.parametrize(
    ("annotation", "before", "after", "runs"),
    [
        (datetime.datetime, datetime.datetime(2024, 1, 1), "2024-01-02T00:00:00+00:00",
         datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC)),
        (Decimal, Decimal("1.50"), "2.50", Decimal("2.50")),
        (Decimal, Decimal("1.50"), 2.5, Decimal("2.5")),
        (uuid.UUID, uuid.UUID(int=1), str(uuid.UUID(int=255)).upper(), uuid.UUID(int=255)),
        (Colour, Colour.RED, "blue", Colour.BLUE),
        (Order, Order(id=1), {"id": BIG, "amount": 3}, Order(id=BIG, amount=3.0)),
        (Order, Order(id=1), {"id": 2, "at": "2024-01-02T00:00:00Z"},
         Order(id=2, at=datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC))),
        (Line, Line(1), {"n": 2}, Line(2)),
        (list[Line], [Line(1)], [{"n": 2}, {"n": 3}], [Line(2), Line(3)]),
        (tuple[float, ...], (1.0,), [2.5, 3], (2.5, 3.0)),
        (set[int], {1}, [2, 3], {2, 3}),
        (dict[int, float], {1: 1.0}, {"2": 3}, {2: 3.0}),
        (Order | None, None, {"id": 2}, Order(id=2)),
    ],
    ids=repr,
)  # fmt: skip
def test_annotations_still_make_of_json_what_they_name(desk, loop, how, annotation, before, after, runs):
    ran: list[Any] = []

    def act(x) -> None:
        ran.append(x)

    act.__annotations__["x"] = annotation
    edited(desk, loop.gate(act, **UNSURE), how, {"x": after}, before)
    assert ran == [runs]
    assert type(ran[0]) is type(runs)


@HOW
@pytest.mark.parametrize(
    ("annotation", "before", "after"),
    [
        (Order, Order(id=1), {"id": 1, "amount": BIG}),
        (Order, Order(id=1), {"id": 1, "more": "x"}),
        (tuple[float, ...], (1.0,), [BIG]),
        (Annotated[str, AfterValidator(str.lower)], "a", "ABC"),
    ],
    ids=repr,
)
def test_a_conversion_that_would_change_the_value_is_refused_before_it_runs(desk, loop, how, annotation, before, after):
    def act(x) -> None:
        raise AssertionError("must not run")

    act.__annotations__["x"] = annotation
    with pytest.raises(EffectError, match="decided") as refused:
        edited(desk, loop.gate(act, **UNSURE), how, {"x": after}, before)
    assert "Nothing was run" in refused.value.hint
    (row,) = desk.store.queries.cases(loop="pay").rows
    case = desk.case(row.id)
    assert (case.state, case.effect.state, case.route.by) == ("open", "none", "program")
    assert [review.state for review in case.reviews] == ["cancelled", "open"]


@HOW
def test_an_argument_that_an_edit_leaves_out_is_at_its_default(desk, loop, how):
    ran: list[Any] = []

    @loop.gate(**UNSURE)
    def act(order: str, *lines: int, note: str = "none", **more: int) -> None:
        ran.append((order, lines, note, more))

    edited(desk, act, how, {"order": "B"}, "A", 1, 2, note="x", y=3)
    assert ran == [("B", (), "none", {})]


@HOW
def test_every_kind_and_name_of_parameter_goes_through_an_edit(desk, loop, how):
    ran: list[Any] = []

    @loop.gate(**UNSURE)
    def act(self, _x: int, /, model_config: str, schema: str = "s", *json: float, copy: bool = False, a0=1, **__y: int):
        ran.append((self, _x, model_config, schema, json, copy, a0, __y))

    value = {
        "self": "me", "_x": 2, "model_config": "c", "schema": "t", "json": [1, 2.5], "copy": True, "a0": None,
        "__y": {"_x": 5, "_z": 1},
    }  # fmt: skip
    edited(desk, act, how, value, "you", 1, "b", "s", 1.5, copy=False, _z=0)
    assert repr(ran) == repr([("me", 2, "c", "t", (1, 2.5), True, None, {"_x": 5, "_z": 1})])


def test_the_schema_names_every_parameter(desk, loop):
    @loop.gate(**UNSURE)
    def act(_x: int, model_config: str = "s", *, copy: bool = False) -> None: ...

    with pytest.raises(dc.Pending) as waiting:
        act(1)
    schema = desk.case(waiting.value.case_id).proposal.schema
    assert (list(schema["properties"]), schema["required"]) == (["_x", "model_config", "copy"], ["_x"])


class Client:
    """Something that JSON cannot say."""


def test_annotations_without_a_schema_are_refused_with_the_function_named(desk, loop):
    @loop.gate(**UNSURE)
    def act(n: int, client: Client | None = None) -> None: ...

    with pytest.raises(ProposalError, match="arguments of act"):
        act(1)
    assert desk.store.queries.cases(loop="pay").rows == ()


def test_a_gate_may_name_the_owner_of_its_cases(desk):
    loop = desk.loop("pay", mode="approval", threshold=0.9, context="minimal")

    @loop.gate(owner="agent-7", timeout=0, confidence=0.5, context=lambda amount: {"input": 1})
    def pay(amount: float) -> str:
        return "paid"

    with pytest.raises(dc.Pending) as waiting:
        pay(1.0)
    assert desk.case(waiting.value.case_id).owner == "agent-7"
