"""What runs is what was approved: bound before it is recorded, and held against today's rules when it starts."""

from __future__ import annotations

import asyncio
import datetime
import enum
import inspect
import uuid
from decimal import Decimal
from typing import Annotated, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, PlainSerializer, PrivateAttr, SecretStr, field_serializer, field_validator

import dualcontrol as dc
from dualcontrol.errors import (
    AnswerValueError,
    EffectDiffersError,
    EffectError,
    EffectTakenError,
    NotRun,
    PayloadError,
    RecalledError,
    SettledError,
)
from dualcontrol.events import Concluded, EffectStarted, Recalled, Revoked
from dualcontrol.testing import FakeClock

GROUPS = {"team": ["ana", "ben", "lea"], "leads": ["lea", "leo"]}
UNSURE: dict[str, Any] = {"confidence": 0.1, "timeout": 0, "context": lambda *a, **k: {"input": 1}}


def named(value: Any) -> str:
    """An id that is alike in every process: members of a set come in any order."""
    return type(value).__name__ if isinstance(value, set | frozenset | BaseModel) else repr(value)[:30]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def desk(database_url: str, clock: FakeClock):
    with dc.open(database_url, durability="process", clock=clock, groups=GROUPS) as desk:
        yield desk


def opened(desk: dc.Desk, **more: Any) -> Any:
    return desk.loop("pay", **{"context": "minimal", "threshold": 0.9, **more})


def pending(desk: dc.Desk, gate: Any, *args: Any, **kwargs: Any) -> str:
    with desk.run("r"), pytest.raises(dc.Pending) as waiting:
        gate(*args, **kwargs)
    return waiting.value.case_id


def again(desk: dc.Desk, gate: Any, *args: Any, **kwargs: Any) -> Any:
    with desk.run("r"):
        return gate(*args, **kwargs)


def kinds(desk: dc.Desk, case_id: str) -> list[str]:
    return [type(event).__name__ for event in desk.events(case_id)]


LARGE = [{"name": "large", "when": "args.amount > 500.0", "route": "human", "quorum": {"answers": 2}}]


# 1.1 defaults


@pytest.mark.parametrize("how", ["again", "resume"])
def test_an_argument_that_an_edit_leaves_out_is_recorded_at_its_default_and_meets_the_rules(desk, how) -> None:
    ran: list[Any] = []
    loop = opened(desk, rules=LARGE)

    @loop.gate(**UNSURE)
    def refund(order: str, amount: float = 1000.0) -> str:
        ran.append((order, amount))
        return "done"

    case_id = pending(desk, refund, "B", 10.0)
    after = desk.claim("ana", case=case_id).edit({"order": "B"})
    assert after.answers[0].value == {"action": "refund", "args": {"order": "B", "amount": 1000.0}}
    assert after.state == "open"  # two people have to agree to 1000
    assert ran == []
    desk.claim("ben", case=case_id).approve()
    assert desk.case(case_id).outcome.value["args"] == {"order": "B", "amount": 1000.0}
    result = refund.resume(case_id) if how == "resume" else again(desk, refund, "B", 10.0)
    assert (result, ran) == ("done", [("B", 1000.0)])


class Line(BaseModel):
    sku: str
    count: int = 100


class Order(BaseModel):
    line: Line
    lines: list[Line] = []
    note: str | None = None


@pytest.mark.parametrize("how", ["again", "resume"])
@pytest.mark.parametrize(
    ("annotation", "before", "edit", "recorded"),
    [
        (
            Order,
            Order(line=Line(sku="a", count=1)),
            {"line": {"sku": "b"}},
            {"line": {"sku": "b", "count": 100}, "lines": [], "note": None},
        ),
        (
            Order,
            Order(line=Line(sku="a")),
            {"line": {"sku": "b", "count": 2}, "lines": [{"sku": "c"}]},
            {"line": {"sku": "b", "count": 2}, "lines": [{"sku": "c", "count": 100}], "note": None},
        ),
        (Line | None, None, {"sku": "b"}, {"sku": "b", "count": 100}),
        (
            list[Line],
            [],
            [{"sku": "b"}, {"sku": "c", "count": 3}],
            [{"sku": "b", "count": 100}, {"sku": "c", "count": 3}],
        ),
        (dict[str, Line], {}, {"x": {"sku": "b"}}, {"x": {"sku": "b", "count": 100}}),
    ],
    ids=["nested", "list in object", "optional", "list", "map"],
)
def test_defaults_are_bound_however_deep_they_stand(desk, how, annotation, before, edit, recorded) -> None:
    ran: list[Any] = []

    def act(x: Any) -> None:
        ran.append(x)

    act.__annotations__["x"] = annotation
    gate = opened(desk).gate(act, **UNSURE)
    case_id = pending(desk, gate, before)
    desk.claim("ana", case=case_id).edit({"x": edit})
    assert desk.case(case_id).outcome.value["args"] == {"x": recorded}
    if how == "resume":
        gate.resume(case_id)
    else:
        again(desk, gate, before)
    assert as_json(ran[0]) == recorded


def test_a_proposal_of_another_language_is_bound_by_the_schema_that_it_brings(desk) -> None:
    loop = opened(desk, rules=LARGE)
    schema = {
        "type": "object",
        "properties": {"order": {"type": "string"}, "amount": {"type": "number", "default": 1000.0}},
    }
    case = loop.propose(action="refund", args={"order": "B"}, schema=schema, input=1, confidence=0.99)
    assert (case.route.to, case.route.by) == ("human", "rule:large")
    assert case.proposal.value == {"order": "B", "amount": 1000.0}


# 1.1, a gate refuses to run what differs from the record


class Lowered(BaseModel):
    name: str

    @field_validator("name")
    @classmethod
    def _lower(cls, name: str) -> str:
        return name.lower()


@pytest.mark.parametrize("how", ["again", "resume"])
def test_a_gate_refuses_what_it_would_run_otherwise_and_people_are_asked_again(desk, how) -> None:
    ran: list[Any] = []
    loop = opened(desk)

    @loop.gate(**UNSURE)
    def act(x: Lowered) -> str:
        ran.append(x)
        return x.name

    case_id = pending(desk, act, Lowered(name="a"))
    desk.claim("ana", case=case_id).edit({"x": {"name": "ABC"}})
    with pytest.raises(EffectDiffersError, match="other values of x") as refused:
        act.resume(case_id) if how == "resume" else again(desk, act, Lowered(name="a"))
    assert "people are asked again" in refused.value.hint
    case = desk.case(case_id)
    assert (case.state, case.route.by, ran) == ("open", "program", [])
    assert case.route.reason == "the program cannot take the decided arguments"
    desk.claim("ana", case=case_id).edit({"x": {"name": "abc"}})  # the same person may answer: nothing was spent
    assert again(desk, act, Lowered(name="a")) == "abc"
    assert kinds(desk, case_id).count("EffectStarted") == 1


def test_who_starts_an_effect_may_say_what_it_runs(desk) -> None:
    loop = opened(desk)
    case = loop.propose(action="pay", args={"n": 1, "at": 2.0}, input=1, confidence=0.95)
    for runs in (
        {"action": "pay", "args": {"n": 2, "at": 2}},
        {"action": "pay", "args": {"n": 1}},
        {"n": 1, "at": 2},
        {"action": "send", "args": {"n": 1, "at": 2}},
        {"action": "pay", "args": {"n": True, "at": 2}},
    ):
        with pytest.raises(EffectDiffersError):
            loop.start_effect(case.id, runs=runs)
    assert desk.case(case.id).effect.state == "ready"
    assert loop.start_effect(case.id, runs={"action": "pay", "args": {"at": 2, "n": 1.0}}) == 1


# 1.2 the program's own functions


def test_functions_of_the_gate_are_asked_of_the_edited_arguments(desk) -> None:
    ran: list[Any] = []
    loop = opened(
        desk,
        rules=[
            {
                "name": "dear",
                "when": 'signal.risk == "high"',
                "route": "human",
                "quorum": {"answers": 2},
                "group": "leads",
            }
        ],
        group="team",
    )

    @loop.gate(
        risk=lambda order, amount: "high" if amount > 500 else "low",
        timeout=0,
        confidence=0.1,
        context=lambda **k: {"input": 1},
    )
    def refund(order: str, amount: float) -> float:
        ran.append(amount)
        return amount

    case_id = pending(desk, refund, "A", 35.0)
    desk.claim("ana", case=case_id).edit({"order": "A", "amount": 100000.0})
    assert desk.case(case_id).outcome.by == "human"  # where it is answered, nobody knows the program's functions
    with pytest.raises(dc.Pending):
        again(desk, refund, "A", 35.0)
    case = desk.case(case_id)
    assert (case.state, case.route.group, case.route.quorum.answers, case.route.risk) == ("open", "leads", 2, "high")
    assert ran == []
    desk.claim("lea", case=case_id).approve()
    with pytest.raises(dc.Pending):
        again(desk, refund, "A", 35.0)
    desk.claim("leo", case=case_id).approve()
    assert again(desk, refund, "A", 35.0) == 100000.0
    assert ran == [100000.0]
    recalled = [e for e in desk.events(case_id) if isinstance(e, Recalled)]
    assert [(e.group, e.lapsed, e.by) for e in recalled] == [("leads", False, "rule:dear")]


def test_what_a_function_says_may_block_an_edit(desk) -> None:
    loop = opened(desk, rules=[{"name": "never", "when": 'signal.segment == "forbidden"', "route": "block"}])

    @loop.gate(segment=lambda n: "forbidden" if n > 5 else "open", **UNSURE)
    def act(n: int) -> int:
        raise AssertionError("must not run")

    case_id = pending(desk, act, 1)
    desk.claim("ana", case=case_id).edit({"n": 9})
    for _ in range(2):
        with pytest.raises(dc.Rejected, match="is blocked by now"):
            again(desk, act, 1)
    assert desk.case(case_id).effect.state == "ready"


@pytest.mark.parametrize("said_by", ["meta", "requires_approval", "context"])
def test_whatever_routing_looks_at_is_asked_again(desk, said_by) -> None:
    rules = [{"name": "two", "when": "meta.big == true", "route": "human", "quorum": {"answers": 2}}]
    loop = opened(
        desk,
        rules=rules
        if said_by != "context"
        else [{"name": "two", "when": "input.n > 5", "route": "human", "quorum": {"answers": 2}}],
    )
    said: dict[str, Any] = {"meta": lambda n: {"big": n > 5}, "context": lambda n: {"input": {"n": n}}}
    if said_by == "requires_approval":
        said["requires_approval"] = lambda n: n > 5

    @loop.gate(timeout=0, confidence=0.1, **said)
    def act(n: int) -> int:
        return n

    case_id = pending(desk, act, 1)
    desk.claim("ana", case=case_id).edit({"n": 9})
    with pytest.raises(dc.Pending):
        again(desk, act, 1)
    desk.claim("ben", case=case_id).approve()
    assert again(desk, act, 1) == 9


def test_a_function_that_fails_starts_nothing(desk) -> None:
    def risk(n: int) -> str:
        if n == 9:
            raise ZeroDivisionError
        return "low"

    @opened(desk).gate(risk=risk, **UNSURE)
    def act(n: int) -> int:
        return n

    case_id = pending(desk, act, 1)
    desk.claim("ana", case=case_id).edit({"n": 9})
    with pytest.raises(ZeroDivisionError):
        again(desk, act, 1)
    assert desk.case(case_id).effect.state == "ready"


# 1.2 the property


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


def values_of(annotation: Any) -> st.SearchStrategy[Any]:
    """Python values of an annotation."""
    whole = st.integers(-(2**60), 2**60)
    return {
        int: whole,
        float: st.floats(allow_nan=False, allow_infinity=False),
        str: st.text(max_size=6),
        bool: st.booleans(),
        Decimal: st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-999, max_value=999),
        datetime.date: st.dates(),
        datetime.datetime: st.datetimes(timezones=st.just(datetime.UTC)),
        uuid.UUID: st.uuids(),
        Colour: st.sampled_from(Colour),
        Line: st.builds(Line, sku=st.text(max_size=4), count=whole),
        Order: st.builds(Order, line=st.builds(Line, sku=st.just("s"), count=whole), note=st.none() | st.just("n")),
        set[int]: st.sets(whole, max_size=4),
        list[float]: st.lists(st.floats(-9, 9), max_size=3),
        tuple[int, str]: st.tuples(whole, st.text(max_size=3)),
        dict[str, int]: st.dictionaries(st.text(max_size=3), whole),
        Line | None: st.none() | st.builds(Line, sku=st.just("z"), count=whole),
        Any: st.none() | st.booleans() | whole,
    }[annotation]


ANNOTATIONS = [
    int,
    float,
    str,
    bool,
    Decimal,
    datetime.date,
    datetime.datetime,
    uuid.UUID,
    Colour,
    Line,
    Order,
    set[int],
    list[float],
    tuple[int, str],
    dict[str, int],
    Line | None,
    Any,
]


@st.composite
def signatures(draw: st.DrawFn) -> tuple[list[inspect.Parameter], dict[str, Any], dict[str, Any]]:
    """Parameters with or without defaults, the values of a call, and those of an edit, which may leave some out."""
    chosen = draw(st.lists(st.sampled_from(ANNOTATIONS), min_size=1, max_size=4))
    parameters, call, edit = [], {}, {}
    for place, annotation in enumerate(chosen):
        name, value = f"p{place}", values_of(annotation)
        default = draw(st.just(inspect.Parameter.empty) | value)
        parameters.append(
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        )
        call[name] = draw(value)
        if default is inspect.Parameter.empty or draw(st.booleans()):
            edit[name] = draw(value)
    return parameters, call, edit


def as_json(value: Any) -> Any:
    """What a reviewer types: JSON in the plainest way, written apart from the code under test."""
    if isinstance(value, BaseModel):
        return {name: as_json(part) for name, part in vars(value).items()}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Decimal | uuid.UUID):
        return str(value)
    if isinstance(value, datetime.date | datetime.datetime):
        return value.isoformat()
    if isinstance(value, set | list | tuple):
        return [as_json(part) for part in value]
    return {k: as_json(v) for k, v in value.items()} if isinstance(value, dict) else value


@pytest.fixture(scope="module")
def one_desk():
    with dc.open("sqlite:///:memory:", durability="process") as desk:
        yield desk


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(signature=signatures(), resumed=st.booleans())
def test_recorded_is_executed(one_desk: dc.Desk, signature: Any, resumed: bool) -> None:
    parameters, call, edit = signature
    ran: list[dict[str, Any]] = []

    def act(**values: Any) -> None:
        ran.append(values)

    act.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    gate = one_desk.loop("pay", context="minimal").gate(act, **UNSURE)
    key = uuid.uuid4().hex
    with one_desk.run(key), pytest.raises(dc.Pending) as waiting:
        gate(**call)
    case_id = waiting.value.case_id
    one_desk.claim("ana", case=case_id).edit({name: as_json(value) for name, value in edit.items()})
    recorded = one_desk.case(case_id).outcome.value["args"]
    if resumed:
        gate.resume(case_id)
    else:
        with one_desk.run(key):
            gate(**call)
    expected = {p.name: edit.get(p.name, p.default) for p in parameters}
    assert {*recorded} == {*ran[0]} == {*expected}
    for name, value in expected.items():
        assert same_json(as_json(ran[0][name]), as_json(value)), name
        assert same_json(recorded[name], as_json(value)), name


def same_json(one: Any, other: Any) -> bool:
    """Equal as JSON; members of a set in any order, and moments and decimals however they are written."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and (
            all(map(same_json, one, other)) or sorted(map(repr, one)) == sorted(map(repr, other))
        )
    if isinstance(one, dict) and isinstance(other, dict):
        return {*one} == {*other} and all(same_json(part, other[name]) for name, part in one.items())
    if isinstance(one, str) and isinstance(other, str) and one != other:
        return one.replace("Z", "+00:00") == other.replace("Z", "+00:00")
    return type(one) is type(other) and one == other


# 1.3 what is in force when it starts


def tighten(desk: dc.Desk, **settings: Any) -> Any:
    return opened(desk, **settings)


TIGHTER: list[tuple[str, dict[str, Any], str]] = [
    ("human_actions", {"human_actions": ("act",)}, "human_actions"),
    ("spelled otherwise", {"human_actions": ("ACT ",)}, "human_actions"),
    ("threshold", {"threshold": 0.99}, "threshold"),
    ("no threshold", {"threshold": 1.0}, "threshold"),
    ("ceiling", {"risk_ceiling": "low"}, "risk_ceiling"),
    ("rule", {"rules": [{"name": "r", "when": "args.n > 0", "route": "human"}]}, "rule:r"),
    ("broken rule", {"rules": [{"name": "r", "when": "args.gone > 0", "route": "human"}]}, "rule:r"),
    ("start", {"start": "suggest"}, "start"),
]


@pytest.mark.parametrize(("settings", "by"), [row[1:] for row in TIGHTER], ids=[row[0] for row in TIGHTER])
def test_what_autopilot_let_run_goes_to_people_when_it_is_not_routed_there_any_more(desk, settings, by) -> None:
    ran: list[int] = []
    loop = opened(desk)
    case = loop.propose(action="act", args={"n": 1}, input=1, confidence=0.95, risk="medium")
    assert (case.outcome.by, case.effect.state) == ("autopilot", "ready")
    loop = tighten(desk, **settings)
    with pytest.raises(dc.Pending), loop.effect(case):
        ran.append(1)
    now = desk.case(case.id)
    assert (now.state, now.route.to, now.route.by, now.outcome, ran) == ("open", "human", by, None, [])
    assert now.reviews[0].kind == "decide"
    desk.claim("ana", case=case.id).approve()
    with loop.effect(case.id):
        ran.append(2)
    assert (ran, desk.case(case.id).effect.state) == ([2], "succeeded")
    assert kinds(desk, case.id).count("EffectStarted") == 1


@pytest.mark.parametrize(
    "settings",
    [
        {"block_actions": ("act",)},
        {"block_actions": ("Act",)},
        {"rules": [{"name": "b", "when": "args.n == 1", "route": "block"}]},
    ],
    ids=["list", "spelled otherwise", "rule"],
)
@pytest.mark.parametrize("decided", ["autopilot", "people"])
def test_what_is_blocked_by_now_is_refused(desk, settings, decided) -> None:
    loop = opened(desk)
    case = loop.propose(action="act", args={"n": 1}, input=1, confidence=0.95 if decided == "autopilot" else 0.1)
    if decided == "people":
        desk.claim("ana", case=case.id).approve()
    loop = tighten(desk, **settings)
    for _ in range(2):
        with pytest.raises(dc.Rejected, match="is blocked by now"), loop.effect(case.id):
            raise AssertionError("must not run")
    assert desk.case(case.id).effect.state == "ready"
    with opened(desk).effect(case.id):  # let again
        pass
    assert desk.case(case.id).effect.state == "succeeded"


MORE: list[tuple[str, dict[str, Any], list[str], bool]] = [
    ("larger quorum", {"quorum": {"answers": 2}}, ["ben"], False),
    ("three", {"quorum": {"answers": 3}}, ["ben", "lea"], False),
    ("another group", {"group": "leads"}, ["lea"], False),
    (
        "quorum of a rule",
        {"rules": [{"name": "r", "when": "true", "route": "human", "quorum": {"answers": 2}}]},
        ["ben"],
        False,
    ),
    ("group of a rule", {"rules": [{"name": "r", "when": "true", "route": "human", "group": "leads"}]}, ["lea"], False),
    ("higher risk", {"rules": [{"name": "r", "when": "true", "route": "human", "risk": "critical"}]}, ["ana"], True),
]


@pytest.mark.parametrize(("settings", "people", "lapsed"), [r[1:] for r in MORE], ids=[r[0] for r in MORE])
@pytest.mark.parametrize("answer", ["approve", "edit"])
def test_what_people_let_run_goes_back_for_what_lacks(desk, settings, people, lapsed, answer) -> None:
    ran: list[Any] = []
    loop = opened(desk, group="team")
    case = loop.propose(action="act", args={"n": 1}, input=1, confidence=0.1)
    claim = desk.claim("ana", case=case.id)
    claim.approve() if answer == "approve" else claim.edit({"n": 2})
    loop = tighten(desk, **{"group": "team", **settings})
    with pytest.raises(dc.Pending), loop.effect(case.id):
        ran.append(1)
    assert (desk.case(case.id).outcome, ran) == (None, [])
    for person in people:
        claim = desk.claim(person, case=case.id)
        shown = claim.view["proposal"]["value"]
        assert shown == ({"n": 2} if answer == "edit" and not lapsed else {"n": 1})
        if shown == {"n": 1} and answer == "edit":
            claim.edit({"n": 2})
        else:
            claim.approve()
    with loop.effect(case.id) as value:
        ran.append(value["args"])
    assert ran == [{"n": 2 if answer == "edit" else 1}]
    recalled = [e for e in desk.events(case.id) if isinstance(e, Recalled)]
    assert [e.lapsed for e in recalled] == [lapsed]


def test_what_demands_no_more_runs_without_asking_anybody(desk) -> None:
    loop = opened(desk, quorum={"answers": 2})
    case = loop.propose(action="act", args={"n": 1}, input=1, confidence=0.1, risk="high")
    for person in ("ana", "ben"):
        desk.claim(person, case=case.id).approve()
    loop = tighten(desk, quorum={"answers": 1}, threshold=0.99, human_actions=("act",), respond_within="1h")
    with loop.effect(case.id):
        pass
    assert "Recalled" not in kinds(desk, case.id)


def test_an_edit_that_a_rule_called_riskier_when_it_was_answered_is_not_asked_twice(desk) -> None:
    rules = [{"name": "dear", "when": "args.n > 5", "route": "human", "risk": "high"}]
    loop = opened(desk, rules=rules)
    case = loop.propose(action="act", args={"n": 1}, input=1, confidence=0.1)
    desk.claim("ana", case=case.id).edit({"n": 9})
    with loop.effect(case.id):
        pass
    assert desk.case(case.id).decision.risk == "high"


def test_a_timeout_that_let_it_run_is_held_against_todays_settings(desk, clock) -> None:
    loop = opened(desk, respond_within="1m", on_timeout="autopilot", risk_ceiling="medium")
    cases = [loop.propose(action="act", args={"n": n}, input=1, confidence=0.5) for n in (1, 2)]
    clock.tick(61)
    desk.sweep()
    assert [desk.case(c.id).outcome.by for c in cases] == ["timeout", "timeout"]
    with loop.effect(cases[0].id):
        pass
    loop = opened(desk, respond_within="1m", on_timeout="reject", risk_ceiling="medium")
    with pytest.raises(dc.Pending), loop.effect(cases[1].id):
        raise AssertionError("must not run")


def test_a_recalled_case_that_nobody_answers_ends_as_the_loop_declares(desk, clock) -> None:
    loop = opened(desk, respond_within="1m", on_timeout="reject")
    case = loop.propose(action="act", args={"n": 1}, input=1, confidence=0.95)
    clock.tick(600)
    loop = opened(desk, respond_within="1m", on_timeout="reject", human_actions=("act",))
    with pytest.raises(dc.Pending), loop.effect(case.id):
        pass
    assert desk.case(case.id).due_at == clock() + 60_000_000
    clock.tick(61)
    assert loop.wait(case.id).by == "timeout"
    with pytest.raises(dc.Rejected), loop.effect(case.id):
        pass


def test_a_gate_waits_for_what_lacks(desk) -> None:
    async def program() -> Any:
        loop = opened(desk)

        @loop.gate(confidence=0.95, context=lambda n: {"input": 1})
        async def act(n: int) -> int:
            return n

        case = loop.propose(action="act", args={"n": 1}, input=1, confidence=0.95, effect="ready", alternatives=[])
        tighten(desk, human_actions=("act",))
        running = asyncio.ensure_future(act.resume(case))
        while desk.case(case.id).state != "open":
            await asyncio.sleep(0.01)
        claim = await desk.aio.claim("ana")
        await claim.approve()
        return await running

    assert asyncio.run(program()) == 1


def test_in_the_shadow_nothing_is_held_back_until_the_loop_leaves_it(desk) -> None:
    loop = opened(desk, start="shadow")
    cases = [loop.propose(action="act", args={"n": n}, input=1, confidence=0.1) for n in (1, 2)]
    with opened(desk, start="shadow", human_actions=("act",)).effect(cases[0].id):
        pass
    with pytest.raises(dc.Pending), opened(desk).effect(cases[1].id):
        raise AssertionError("must not run")


# 1.3 revoking and running out


def test_an_approval_may_be_revoked_until_its_effect_starts(desk) -> None:
    ran: list[int] = []

    @opened(desk).gate(**UNSURE)
    def act(n: int) -> int:
        ran.append(n)
        return n

    case_id = pending(desk, act, 1)
    with pytest.raises(SettledError, match="not decided yet"):
        desk.revoke(case_id, "ana")
    desk.claim("ana", case=case_id).approve()
    case = desk.revoke(case_id, "Ben", "the customer called")
    assert (case.outcome.verdict, case.outcome.reviewers, case.outcome.rationale) == (
        "reject",
        ("Ben",),
        "the customer called",
    )
    assert (case.state, case.effect.state) == ("closed", "none")
    for _ in range(2):
        with pytest.raises(dc.Rejected, match=r"Ben took the approval of case .* back: the customer called"):
            again(desk, act, 1)
    with pytest.raises(dc.Rejected):
        act.resume(case_id)
    assert ran == []
    assert [type(e) for e in desk.events(case_id)][-1] is Revoked
    other = pending(desk, act, 2)
    desk.claim("ana", case=other).approve()
    assert again(desk, act, 2) == 2
    with pytest.raises(SettledError, match="succeeded already"):
        desk.revoke(other, "ben")


@pytest.mark.parametrize("named_by", ["loop", "reviewer", "both"])
def test_an_approval_may_be_given_for_a_time(desk, clock, named_by) -> None:
    loop = opened(desk, approval_lasts={"loop": "2h", "both": "2d"}.get(named_by))
    lasts = {"reviewer": "2h", "both": 7200}.get(named_by)
    cases = [loop.propose(action="act", args={"n": n}, input=1, confidence=0.1).id for n in (1, 2)]
    for case_id in cases:
        desk.claim("ana", case=case_id).approve(lasts=lasts)
    clock.tick(7199)
    with loop.effect(cases[0]):
        pass
    clock.tick(1)
    with pytest.raises(dc.Pending), loop.effect(cases[1]):
        raise AssertionError("must not run")
    case = desk.case(cases[1])
    assert (case.state, case.route.by, case.answers) == ("open", "expired", ())
    desk.claim("ana", case=cases[1]).approve()  # who approved before may say so again
    with loop.effect(cases[1]):
        pass


@pytest.mark.parametrize("lasts", [0, -1, "soon", True, float("nan"), "1000000d"])
def test_a_time_that_is_none_is_refused(desk, lasts) -> None:
    case = opened(desk).propose(action="act", args={}, input=1)
    with pytest.raises(dc.DualcontrolError, match="time"):
        desk.claim("ana", case=case.id).approve(lasts=lasts)
    assert desk.case(case.id).answers == ()


def test_only_what_approves_lasts(desk) -> None:
    case = opened(desk).propose(action="act", args={}, input=1)
    with pytest.raises(dc.DualcontrolError, match="lasts"):
        desk.claim("ana", case=case.id).reject("no", lasts="1h")


# 1.4 values that do not come back from their JSON


class Rounded(BaseModel):
    x: float

    @field_serializer("x")
    def _round(self, x: float) -> int:
        return round(x)


class Excluded(BaseModel):
    shown: int
    hidden: int = Field(1, exclude=True)


class Private(BaseModel):
    shown: int
    _amount: int = PrivateAttr(1)


class Sub(Line):
    extra: int = 5


def private(amount: int) -> Private:
    value = Private(shown=1)
    value._amount = amount
    return value


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (SecretStr, SecretStr("hunter2")),
        (dict[str, SecretStr], {"a": SecretStr("x")}),
        (Any, SecretStr("hunter2")),
        (Rounded, Rounded(x=1.6)),
        (list[Rounded], [Rounded(x=1.6)]),
        (Excluded, Excluded(shown=1, hidden=2)),
        (Private, private(2)),
        (Line, Sub(sku="a")),
        (str, Decimal("1.5")),
        (Any, Line(sku="a")),
        (str, datetime.date(2024, 1, 1)),
        (dict[str, Any], {"a": Colour.RED}),
        (dict, {1: "a"}),
        (Any, {2: [3]}),
    ],
    ids=named,
)
def test_what_does_not_come_back_equal_is_refused_before_anybody_is_asked(desk, annotation, value) -> None:
    def act(x: Any) -> None:
        raise AssertionError("must not run")

    act.__annotations__["x"] = annotation
    gate = opened(desk).gate(act, confidence=0.99, context=lambda x: {"input": 1})
    with pytest.raises(PayloadError, match="x of act does not come back") as refused:
        gate(value)
    assert "hunter2" not in str(refused.value)
    assert desk.store.queries.cases(loop="pay").rows == ()


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Rounded, Rounded(x=2.0)),
        (Excluded, Excluded(shown=1)),
        (Private, private(1)),
        (Sub, Sub(sku="a")),
        (list[int], (1, 2)),
        (tuple[int, ...], [1, 2]),
        (Colour, Colour.RED),
        (Any, [1, {"a": None}]),
        (str, "\u2764"),
        (Annotated[float, PlainSerializer(lambda x: round(x))], 1.6),
        (Decimal, Decimal("1.50")),
        (set[str], {"b", "a"}),
    ],
    ids=named,
)
def test_what_comes_back_runs(desk, annotation, value) -> None:
    ran: list[Any] = []

    def act(x: Any) -> None:
        ran.append(x)

    act.__annotations__["x"] = annotation
    opened(desk).gate(act, confidence=0.99, context=lambda x: {"input": 1})(value)
    assert ran == [value]
    assert ran[0] is value


# 1.5 formats, and approvals that are not spent


class Dates(BaseModel):
    on: datetime.date


FORMATS: list[tuple[Any, Any, list[Any], list[Any]]] = [
    (
        datetime.date,
        datetime.date(2024, 1, 1),
        ["2024-13-01", "tomorrow", "1704110400", "2024-01-01T25:00"],
        ["2024-02-29"],
    ),
    (
        datetime.datetime,
        datetime.datetime(2024, 1, 1),
        ["noon", "2024-01-01T00:00:00.1234567Z", "1704110400"],
        ["2024-01-02T00:00:00Z", "2024-01-02T03:04:05"],
    ),
    (datetime.time, datetime.time(1), ["25:00", "1"], ["12:30:00"]),
    (uuid.UUID, uuid.UUID(int=1), ["7", "not-a-uuid"], [str(uuid.UUID(int=255)).upper()]),
    (Dates, Dates(on=datetime.date(2024, 1, 1)), [{"on": "2024-02-30"}], [{"on": "2024-02-28"}]),
    (list[datetime.date], [], [["x"]], [["2024-01-01"]]),
    (datetime.date | None, None, ["x"], ["2024-01-01", None]),
    (datetime.timedelta, datetime.timedelta(1), ["long", "5"], ["PT1H"]),
]


@pytest.mark.parametrize(("annotation", "before", "bad", "good"), FORMATS, ids=named)
def test_the_format_of_a_text_is_checked_before_the_answer_is_taken(desk, annotation, before, bad, good) -> None:
    ran: list[Any] = []

    def act(x: Any) -> None:
        ran.append(x)

    act.__annotations__["x"] = annotation
    gate = opened(desk).gate(act, **UNSURE)
    case_id = pending(desk, gate, before)
    claim = desk.claim("ana", case=case_id)
    for value in bad:
        with pytest.raises(AnswerValueError, match="does not fit"):
            claim.edit({"x": value})
    claim.edit({"x": good[0]})
    gate.resume(case_id)
    assert len(ran) == 1


EMAIL = {
    "type": "object",
    "properties": {
        "to": {"type": "string", "format": "email"},
        "url": {"type": "string", "format": "uri"},
        "host": {"type": "string", "format": "ipv4"},
    },
}


@pytest.mark.parametrize(
    ("edit", "fits"),
    [
        ({"to": "ana@example.com"}, True),
        ({"to": "ana"}, False),
        ({"to": "a@b@c"}, False),
        ({"url": "https://example.com/a?b=c"}, True),
        ({"url": "example"}, False),
        ({"url": "http://a b"}, False),
        ({"host": "10.0.0.1"}, True),
        ({"host": "10.0.0.300"}, False),
        ({"to": 5}, False),
    ],
)
def test_formats_of_a_schema_that_a_proposal_brings_are_checked(desk, edit, fits) -> None:
    case = opened(desk).propose(action="send", args={}, schema=EMAIL, input=1)
    claim = desk.claim("ana", case=case.id)
    if fits:
        claim.edit(edit)
        return
    with pytest.raises(AnswerValueError):
        claim.edit(edit)


def test_an_effect_that_certainly_did_nothing_can_be_made_ready_again(desk) -> None:
    tries: list[int] = []

    @opened(desk).gate(**UNSURE)
    def act(n: int) -> int:
        tries.append(n)
        if len(tries) == 1:
            raise NotRun("the bank cannot be reached")
        return n

    case_id = pending(desk, act, 1)
    desk.claim("ana", case=case_id).approve()
    with pytest.raises(NotRun):
        again(desk, act, 1)
    with pytest.raises(EffectError, match="failed before") as failed:
        again(desk, act, 1)
    assert "makes the approval ready again" in failed.value.hint
    with pytest.raises(EffectTakenError):
        desk.resolve_effect(case_id, happened=True)
    assert desk.resolve_effect(case_id, happened=False, by="ben").effect.state == "ready"
    assert again(desk, act, 1) == 1
    assert tries == [1, 1]


def test_an_effect_that_may_have_done_something_cannot(desk) -> None:
    loop = opened(desk)
    case = loop.propose(action="act", args={}, input=1, confidence=0.95)
    with pytest.raises(ZeroDivisionError), loop.effect(case.id):
        raise ZeroDivisionError
    with pytest.raises(EffectTakenError, match="failed, not unknown"):
        desk.resolve_effect(case.id, happened=False)


# 1.6 rules that fail


@pytest.mark.parametrize("route", ["human", "block", "autopilot"])
def test_a_rule_that_fails_keeps_what_it_demands(desk, route) -> None:
    loop = opened(
        desk,
        rules=[
            {
                "name": "x",
                "when": "args.gone > 1",
                "route": route,
                "group": "leads",
                "risk": "high",
                "quorum": {"answers": 2},
                "respond_within": "5m",
            }
        ],
    )
    case = loop.propose(action="act", args={"n": 1}, input=1, confidence=0.99)
    route_ = case.route
    assert (route_.to, route_.by) == ("human", "rule:x")
    assert (route_.group, route_.risk, route_.quorum.answers) == ("leads", "high", 2)
    assert route_.due_at == case.opened_at + 300_000_000


def test_a_rule_that_fails_never_asks_for_less_than_the_loop(desk) -> None:
    rules = [
        {
            "name": "x",
            "when": "args.gone > 1",
            "route": "human",
            "quorum": {"answers": 1},
            "risk": "low",
            "respond_within": "2h",
        }
    ]
    loop = opened(desk, quorum={"answers": 3}, respond_within="1h", rules=rules)
    route = loop.propose(action="act", args={}, input=1, confidence=0.99, risk="medium").route
    assert (route.quorum.answers, route.risk, route.due_at is not None) == (3, "medium", True)
    assert route.due_at == desk.steps.now() + 3_600_000_000


def test_a_rule_that_fails_behind_what_spoke_first_still_demands(desk) -> None:
    rules = [
        {"name": "x", "when": "args.gone > 1", "route": "human", "group": "leads"},
        {"name": "y", "when": "true", "route": "human", "quorum": {"answers": 2}},
    ]
    loop = opened(desk, rules=rules)
    route = loop.propose(action="act", args={}, input=1, requires_approval=True).route
    assert (route.by, route.group, route.quorum.answers) == ("requires_approval", "leads", 2)


# 1.7 labels that are gone


def test_a_label_that_was_removed_can_neither_be_approved_nor_run_by_a_timeout(desk, clock) -> None:
    more = {"mode": "labels", "context": "minimal", "respond_within": "1h", "on_timeout": "autopilot"}
    loop = desk.loop("mail", labels=["spam", "ham"], **more)
    cases = [loop.propose(proposal="spam", input=n, confidence=0.5) for n in (1, 2)]
    desk.loop("mail", labels=["ham", "eggs"], **more)
    claim = desk.claim("ana", case=cases[0].id)
    for answer in (claim.approve, lambda: claim.label("spam")):
        with pytest.raises(dc.errors.LabelError, match="not in the set"):
            answer()
    claim.label("ham")
    clock.tick(3601)
    desk.sweep()
    assert desk.case(cases[1].id).outcome.verdict == "reject"


# 7.2 numbers and sets


def test_three_and_three_point_zero_are_one_label_and_one_answer(desk) -> None:
    loop = desk.loop("stars", mode="labels", labels=[1, 2, 3], context="minimal", quorum={"answers": 2})
    case = loop.propose(proposal=2, input=1)
    desk.claim("ana", case=case.id).label(3.0)
    desk.claim("ben", case=case.id).label(3)
    decided = desk.case(case.id)
    assert (decided.state, decided.outcome.value, decided.decision.wrong) == ("closed", 3, 1)
    assert type(decided.outcome.value) is int


def test_a_list_of_unique_items_is_a_set_in_a_quorum_and_when_it_is_judged(desk) -> None:
    loop = opened(desk, quorum={"answers": 2})

    @loop.gate(**UNSURE)
    def act(tags: set[str], amount: float) -> None: ...

    case_id = pending(desk, act, {"a"}, 1.0)
    desk.claim("ana", case=case_id).edit({"tags": ["b", "c"], "amount": 2})
    desk.claim("ben", case=case_id).edit({"tags": ["c", "b"], "amount": 2.0})
    assert desk.case(case_id).decision.settled_by == "unanimous"
    same = pending(desk, act, {"a", "b"}, 3.0)
    for person in ("ana", "ben"):
        desk.claim(person, case=same).edit({"tags": ["b", "a"], "amount": 3})
    assert desk.case(same).decision.wrong == 0


# over HTTP, and the events


def test_http_says_that_it_went_back_and_takes_what_runs(desk) -> None:
    from team import People, team

    from dualcontrol.web.app import create_app

    loop = opened(desk)
    team(desk, ("ana", "ben"))
    case = loop.propose(action="act", args={"n": 1}, input=1, confidence=0.95)
    app = create_app(desk, token="t" * 32)
    client = People(app, desk, base_url="http://127.0.0.1:8765", headers={"Authorization": f"Bearer {'t' * 32}"})
    start = f"/api/v1/cases/{case.id}/effect/start"
    differs = client.post(start, json={"runs": {"action": "act", "args": {"n": 2}}})
    assert (differs.status_code, differs.json()["code"]) == (409, "DC-EFFECT-DIFFERS")
    tighten(desk, human_actions=("act",))
    back = client.post(start, json={"runs": {"action": "act", "args": {"n": 1}}})
    assert (back.status_code, back.json()["code"]) == (409, RecalledError.code)
    claim = client.post("/api/v1/claims", json={"person": "ana"}).json()
    approved = client.post(f"/api/v1/claims/{claim['id']}/answer", json={"verdict": "approve", "lasts": "1h"})
    assert approved.json()["decision"]["until"] == desk.steps.now() + 3_600_000_000
    revoked = client.post(f"/api/v1/cases/{case.id}/revoke", json={"person": "ben", "rationale": "too late"})
    assert (revoked.status_code, revoked.json()["outcome"]["verdict"]) == (200, "reject")
    refused = client.post(start)
    assert (refused.status_code, refused.json()["code"]) == (409, "DC-REJECTED")
    assert not any(isinstance(e, EffectStarted) for e in desk.events(case.id))
    assert sum(isinstance(e, Concluded) for e in desk.events(case.id)) == 2


def test_a_whole_number_with_a_point_runs_where_it_may_be_missing(desk):
    """Pydantic writes `int | None` as alternatives, and a form or a program gives 3.0 for 3."""
    loop, runs = desk.loop("pay", threshold=0.9, context="minimal"), []

    @loop.gate(confidence=0.1, timeout=0, context=lambda count: {"input": 1})
    def pay(count: int | None = None) -> None:
        runs.append(count)

    with pytest.raises(dc.Pending) as waiting:
        pay(2)
    desk.claim("ana", loop="pay").edit({"count": 3.0})
    pay.resume(waiting.value.case_id)
    assert [(type(count), count) for count in runs] == [(int, 3)]
