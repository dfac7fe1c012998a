"""Every bad input ends in an error with a code, a hint and a page, and writes nothing."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dualcontrol as dc
from dualcontrol import errors as e
from dualcontrol.testing import FakeClock

PAGES = Path(__file__).parents[1] / "docs" / "errors"
PAY: dict[str, Any] = {
    "action": "pay", "args": {"order": "A-17", "amount": 420.0}, "input": {"mail": "please"}, "confidence": 0.5,
    "rationale": "it is due", "alternatives": [],
}  # fmt: skip
GROUPS = {"team": ["ana", "ben", "cleo"], "leads": ["lee"]}
BLOCK = {"name": "never above 1000", "when": "args.amount > 1000.0", "route": "block"}


class Odd:
    """An object that is not JSON; it reads the same in every process, as names of tests must."""

    def __repr__(self) -> str:
        return "Odd()"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def desk(database_url: str, clock: FakeClock) -> Iterator[dc.Desk]:
    """A loop of each mode, and one case in each that waits."""
    with dc.open(database_url, durability="process", groups=GROUPS, clock=clock) as desk:
        pay = desk.loop("pay", group="team", threshold=0.9, rules=[BLOCK])
        mail = desk.loop("mail", mode="labels", labels=["spam", "ham", 1], group="team", context="minimal")
        pairs = desk.loop("pairs", mode="preference", group="team", context="minimal")
        pay.propose(**PAY, key="known", owner="ben")
        mail.propose(proposal="spam", input="win a prize", confidence=0.2)
        pairs.propose(candidates=["one", "two"], input="which?")
        yield desk


def entries(desk: dc.Desk) -> int:
    """How many entries the ledger has."""
    return sum(len(desk.store.queries.entries(s, values=False)) for s in desk.store.queries.streams())


def refused(desk: dc.Desk, act: Callable[[], object], kind: type[e.DualcontrolError]) -> e.DualcontrolError:
    """The error of a bad input, after looking that it is whole and that nothing was written."""
    before = entries(desk)
    with pytest.raises(kind) as caught:
        act()
    error = caught.value
    assert error.code.startswith("DC-")
    assert error.hint
    assert (PAGES / f"{error.code}.md").exists()
    assert entries(desk) == before
    return error


# What Python's float() reads: as an event's text it would come back as a number.
NUMERALS = ("nan", "inf", "-Infinity", "0.2", "-5", "1_0", " 1 ", "1e3", "\u0663", "\ud800", "x\0", "x" * 201)
PROPOSALS: list[tuple[dict[str, Any], type[e.DualcontrolError]]] = [
    *[({"confidence": bad}, e.SignalError) for bad in (1.2, -0.1, 10**400, True, "0.9", "nan", np.True_, [0.9])],
    *[({"risk": bad}, e.SignalError) for bad in ("", 1.5, True, float("nan"), {"level": "low"}, *NUMERALS)],
    *[({"requires_approval": bad}, e.SignalError) for bad in ("yes", 1, None, np.int64(1))],
    *[({"input": {"x": bad}}, e.PayloadError) for bad in (float("nan"), float("inf"), Odd(), {1}, b"x", "\ud800")],
    ({"args": {"at": __import__("datetime").datetime(2026, 1, 1)}}, e.PayloadError),
    ({"args": {"n": __import__("decimal").Decimal(1)}}, e.PayloadError),
    ({"args": {1: 2}}, e.PayloadError),
    ({"args": np.ones(3)}, e.PayloadError),
    ({"input": "x" * 1_100_000}, e.PayloadTooLargeError),
    ({"input": None, "rationale": " "}, e.ContextError),
    ({"alternatives": None}, e.ContextError),
    *[({"action": bad}, e.ProposalError) for bad in ("", " ", 5, ["pay"], {"a": 1}, "a\x00b", "x" * 201)],
    *[({"alternatives": bad}, e.ProposalError) for bad in ("text", {"a": 1}, {1, 2}, 5, [{"value": 1, "id": 7}])],
    ({"alternatives": [{"value": 1, "id": "c1"}]}, e.ProposalError),
    *[({"schema": bad}, e.ProposalError) for bad in ([1], "object", {"type": "nonsense"}, {"required": 5})],
    *[({"scores": bad}, e.SignalError) for bad in ([], [0.1, 0.2], [2.0], "x", 5, {0.5})],
    *[({name: 5}, e.ProposalError) for name in ("rationale", "meta", "owner", "parent", "run", "source")],
    *[({"segment": bad}, e.SignalError) for bad in (5, "a\x00b", ["x"])],
    *[({"origin": bad}, e.ProposalError) for bad in (None, "moon", 5)],
    ({"effect": "later"}, e.ProposalError),
    *[({"key": bad}, e.KeyFormatError) for bad in ("", 5, b"k", {"k": 1}, "\ud800", "k" * 65_537)],
    ({"key": "known", "args": {"order": "A-17", "amount": 421.0}}, e.KeyConflictError),
]


@pytest.mark.parametrize(("change", "kind"), PROPOSALS, ids=lambda v: repr(v)[:40] if isinstance(v, dict) else "")
def test_proposals(desk: dc.Desk, change: dict[str, Any], kind: type[e.DualcontrolError]) -> None:
    refused(desk, lambda: desk.loop("pay").propose(**{**PAY, **change}), kind)


def test_the_missing_fields_are_named(desk: dc.Desk) -> None:
    error = refused(desk, lambda: desk.loop("pay").propose(action="pay", args={}), e.ContextError)
    assert error.details["fields"] == ["input", "rationale", "alternatives"]


@pytest.mark.parametrize("name", ["nowhere", "", 5, None, ["pay"], "\ud800", "a\x00b"])
def test_loops_that_nobody_defined(desk: dc.Desk, name: Any) -> None:
    refused(desk, lambda: desk.loop(name), e.UnknownLoopError)


@pytest.mark.parametrize("name", ["nothing", "", 5, None, ["x"], "\ud800", "a\x00b", "x" * 500])
def test_cases_that_are_not_there(desk: dc.Desk, name: Any) -> None:
    loop = desk.loop("pay")
    for verb in (desk.case, desk.events, desk.withdraw, desk.erase, loop.look, loop.start_effect):
        refused(desk, lambda verb=verb: verb(name), e.DualcontrolError)
    refused(desk, lambda: loop.wait(name, timeout=0), e.UnknownCaseError)


ANSWERS: list[tuple[str, str, Any, type[e.DualcontrolError]]] = [
    ("pay", "label", "spam", e.VerdictError),
    ("pay", "prefer", "c1", e.VerdictError),
    ("pay", "yes", None, e.VerdictError),
    ("pay", 5, None, e.VerdictError),
    ("pay", "approve", {"amount": 1.0}, e.AnswerValueError),
    *[("pay", "edit", bad, e.AnswerValueError) for bad in (None, 5, [], {"order": "A-17", "amount": "ninety"})],
    ("pay", "edit", {"order": "A-17", "amount": True}, e.AnswerValueError),
    ("pay", "edit", {"order": "A-17", "amount": 2000.0}, e.BlockedError),
    ("pay", "edit", {"order": "A-17", "amount": float("nan")}, e.PayloadError),
    *[("pay", "respond", bad, e.AnswerValueError) for bad in (None, "", " ", {}, {"text": ""}, np.ones(2), Odd())],
    ("pay", "respond", "x" * 1_100_000, e.PayloadTooLargeError),
    ("pay", "escalate", None, e.EscalationError),
    *[("pay", "escalate", {"to": bad}, e.EscalationError) for bad in ("nobody", 5, ["leads"])],
    *[("mail", "label", bad, e.LabelError) for bad in ("eggs", 1.5, True, "1", "Spam", ["spam"])],
    ("mail", "label", None, e.AnswerValueError),
    ("mail", "edit", "ham", e.VerdictError),
    *[("pairs", "prefer", bad, e.AnswerValueError) for bad in (None, 5, "c9", ["c1"], ["c1", "c1"], {"order": ["c1"]})],
    ("pairs", "prefer", {"ranking": [["c1"], ["c2"]], "rejected": ["c2"]}, e.AnswerValueError),
    ("pairs", "prefer", {"ranking": [["c1"], ["c2"]], "strength": float("nan")}, e.AnswerValueError),
    ("pairs", "approve", None, e.VerdictError),
]


@pytest.mark.parametrize(("loop", "verdict", "value", "kind"), ANSWERS, ids=lambda v: repr(v)[:25])
def test_answers(desk: dc.Desk, loop: str, verdict: Any, value: Any, kind: type[e.DualcontrolError]) -> None:
    claim = desk.claim("ana", loop)
    refused(desk, lambda: claim.answer(verdict, value, rationale="r"), kind)
    assert desk.case(claim.case.id).review(claim.review.id).state == "claimed"


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ({"confidence": 1.5}, e.SignalError),
        ({"confidence": float("nan")}, e.SignalError),
        ({"confidence": "sure"}, e.SignalError),
        ({"rationale": 5}, e.AnswerError),
        ({"reasons": "policy"}, e.AnswerError),
        ({"reasons": [5]}, e.AnswerError),
        ({"expected_seq": 99}, e.ConflictError),
        ({"expected_seq": "two"}, e.AnswerError),
        ({"via": 5}, e.AnswerError),
    ],
)
def test_what_is_said_beside_the_answer(desk: dc.Desk, said: dict[str, Any], kind: type[e.DualcontrolError]) -> None:
    claim = desk.claim("ana", "pay")
    refused(desk, lambda: claim.approve(**said), kind)


@pytest.mark.parametrize("claim_id", ["nothing", "", 5, None, "\ud800", "a.b"])
def test_answers_without_a_claim(desk: dc.Desk, claim_id: Any) -> None:
    for verb in (desk.release, lambda i: desk.answer(i, "approve"), lambda i: desk.extend(i, "1m")):
        refused(desk, lambda verb=verb: verb(claim_id), e.DualcontrolError)


def test_a_settled_review_and_somebody_elses_claim(desk: dc.Desk) -> None:
    claim = desk.claim("ana", "pay")
    refused(desk, lambda: desk.answer(claim.id, "approve", person="cleo"), e.ClaimError)
    claim.approve()
    refused(desk, claim.approve, e.SettledError)
    refused(desk, lambda: claim.reject("no"), e.SettledError)
    refused(desk, lambda: desk.retract(claim.case.id, "ana"), e.SettledError)


@pytest.mark.parametrize(
    ("person", "kind"),
    [
        ("ben", e.EligibilityError),
        ("eve", e.EligibilityError),
        *[(bad, e.EligibilityError) for bad in ("", " ", None, 5, ["ana"], "a\x00b", "\ud800", "x" * 201)],
    ],
)
def test_people_who_may_not(desk: dc.Desk, person: Any, kind: type[e.DualcontrolError]) -> None:
    case = desk.store.queries.cases(loop="pay").rows[0].id
    refused(desk, lambda: desk.claim(person, case=case), kind)


def test_the_same_person_twice(desk: dc.Desk) -> None:
    case = desk.loop("two", group="team", quorum={"answers": 2}).propose(**PAY)
    desk.claim("ana", case=case).approve()
    refused(desk, lambda: desk.claim("ana", case=case), e.SamePersonError)


@pytest.mark.parametrize("time", [0, -1, "0m", "soon", float("nan"), float("inf"), True, [], "x" * 99, 10**30])
def test_times(desk: dc.Desk, time: Any) -> None:
    refused(desk, lambda: desk.claim("ana", "pay", lease=time), e.RequestError)
    claim = desk.claim("ana", "pay")
    refused(desk, lambda: claim.extend(time), e.RequestError)


@pytest.mark.parametrize("timeout", ["soon", True, float("nan"), [], {}])
def test_patience(desk: dc.Desk, timeout: Any) -> None:
    case = desk.store.queries.cases(loop="pay").rows[0].id
    refused(desk, lambda: desk.loop("pay").wait(case, timeout=timeout), e.RequestError)
    with pytest.raises(dc.Pending):
        desk.loop("pay").wait(case, timeout=-5)


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({"treshold": 0.9}, e.SettingsError),
        ({"threshold": 90}, e.SettingsError),
        ({"mode": "aproval"}, e.SettingsError),
        ({"on_timeout": "approve"}, e.SettingsError),
        ({"on_timeout": "autopilot", "risk_ceiling": "high"}, e.SettingsError),
        ({"group": "nobody"}, e.SettingsError),
        ({"group": "team", "quorum": {"answers": 4}}, e.QuorumError),
        ({"quorum": {"answers": 3, "of": 2}}, e.SettingsError),
        ({"quorum": {"answers": 0}}, e.SettingsError),
        ({"rules": [{"name": "r", "when": "1 + 1", "route": "human"}]}, e.RuleError),
        ({"rules": [{"name": "r", "when": "args.amount >", "route": "human"}]}, e.RuleError),
        ({"rules": [{"name": "r", "when": "wrong.amount > 1", "route": "human"}]}, e.RuleError),
    ],
    ids=lambda v: repr(v)[:50] if isinstance(v, dict) else "",
)
def test_settings(desk: dc.Desk, settings: dict[str, Any], kind: type[e.DualcontrolError]) -> None:
    refused(desk, lambda: desk.loop("new", **settings), kind)
    assert desk.control("new") is None


@pytest.mark.parametrize("when", ["args.amount", "args.missing > 1.0", "args.order > 5"])
def test_a_rule_that_fails_on_a_case_sends_it_to_a_human(desk: dc.Desk, when: str) -> None:
    loop = desk.loop("new", threshold=0.1, rules=[{"name": "r", "when": when, "route": "autopilot"}])
    route = loop.propose(**{**PAY, "confidence": 0.99}).route
    assert (route.to, route.by) == ("human", "rule:r")
    assert "420" not in route.reason


@pytest.mark.parametrize("key", ["k" * 10_000, "🧾" * 10_000, "a\x00b", " ", "\n"])
def test_odd_keys_are_keys(desk: dc.Desk, key: str) -> None:
    loop = desk.loop("pay")
    assert loop.propose(**PAY, key=key).id == loop.propose(**PAY, key=key).id
    refused(desk, lambda: loop.propose(**{**PAY, "input": "other"}, key=key), e.KeyConflictError)


def test_large_integers_are_kept_through_an_edit(desk: dc.Desk) -> None:
    case = desk.loop("wide", group="team").propose(**{**PAY, "args": {"id": 2**53 + 1, "n": 2**64 + 1}})
    desk.claim("ana", case=case).edit({"id": 2**53 + 3, "n": 10**30 + 1})
    assert desk.case(case.id).outcome.value["args"] == {"id": 2**53 + 3, "n": 10**30 + 1}


def test_numbers_and_texts_of_numpy_are_numbers_and_texts(desk: dc.Desk) -> None:
    given = {**PAY, "action": np.str_("pay"), "args": {"amount": np.float64(1.5)}, "confidence": np.float32(0.5)}
    case = desk.case(desk.loop("pay").propose(**given, key=np.str_("n")).id)
    assert (case.action, case.confidence, case.proposal.value) == ("pay", 0.5, {"amount": 1.5})
    mail = desk.loop("mail").propose(input="x", scores={np.str_("spam"): 0.2, np.int64(1): np.float64(0.8)})
    assert [(c.value, c.score) for c in desk.case(mail.id).candidates] == [(1, 0.8), ("spam", 0.2)]


def test_a_proposed_label_outside_the_set(desk: dc.Desk) -> None:
    mail = desk.loop("mail")
    for bad in ("eggs", True, 1.5, "1"):
        refused(desk, lambda bad=bad: mail.propose(proposal=bad, input="x"), e.ProposalError)
    refused(desk, lambda: mail.propose(scores={"spam": 0.5, "eggs": 0.5}, input="x"), e.ProposalError)


def test_a_schema_that_asks_for_another_address_fetches_nothing(desk: dc.Desk) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/schema.json"
        case = desk.loop("open", group="team").propose(**PAY, schema={"$ref": address})
        claim = desk.claim("ana", case=case)
        refused(desk, lambda: claim.edit({"order": "A-17", "amount": 1.0}), e.AnswerValueError)
        with pytest.raises(TimeoutError):
            server.accept()
    claim.approve()


def test_a_taken_port(desk: dc.Desk) -> None:
    from dualcontrol.web.server import Serving

    with socket.create_server(("127.0.0.1", 0)) as taken:
        refused(desk, lambda: Serving(desk, port=taken.getsockname()[1]), e.ServeError)


def test_a_second_server_on_one_file_works(tmp_path: Path) -> None:
    from dualcontrol.web.server import background

    url = f"sqlite:///{tmp_path}/dc.db"
    with dc.open(url) as one, dc.open(url) as two, background(one, port=0) as a, background(two, port=0) as b:
        assert a.url != b.url
        case = one.loop("pay", context="minimal").propose(**PAY)
        two.claim("ana", "pay").approve()
        assert one.loop("pay").wait(case, timeout=5).verdict == "approve"


def test_a_model_file_that_is_gone_closes_autopilot(desk: dc.Desk) -> None:
    from dualcontrol.case import ModelRow
    from dualcontrol.events import ModelPromoted
    from dualcontrol.learn.serving import check

    loop = desk.loop("mail")
    row = ModelRow(
        id="m", loop_id=loop.control.loop_id, version="m1", path="gone.bin", sha256="0" * 64, state="promoted",
        examples=9, metrics={}, created_at=0,
    )  # fmt: skip
    with desk.store.transaction() as tx:
        tx.save_model(row)
    promoted = {"model": "m1", "examples": 9, "metric": "log loss", "score": "0.1"}
    desk.steps.move("mail", lambda c, at: [ModelPromoted(version=c.version + 1, at=at, **promoted)])
    assert "missing" in check(desk)["mail"]
    assert "missing" in desk.control("mail").closed[""]
    assert loop.propose(proposal="spam", input="x", confidence=1.0).route.to == "human"


class Unprintable:
    """An object that can be neither written nor compared."""

    def __eq__(self, other: object) -> bool:
        raise ValueError("not to be compared")

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return "Unprintable()"


WRONG: dict[str, Any] = {
    "None": None, "number": 123, "real": 3.5, "bytes": b"x", "list": ["x"], "object": {"a": 1}, "set": {1},
    "array": np.array([1, 2]), "texts": np.array(["a", "b"]), "empty": np.array([]), "odd": Unprintable(),
    "function": len,
}  # fmt: skip


def doors(desk: dc.Desk) -> dict[str, tuple[Callable[[Any], object], type[e.DualcontrolError]]]:
    """Every verb that takes a name, an id, a word or a flag: how to call it with a value, and what it raises."""
    loop, pay = desk.loop("pay"), desk.store.queries.cases(loop="pay").rows[0].id
    claim = desk.claim("ana", "pay").id
    return {
        "loop": (desk.loop, e.UnknownLoopError),
        "control": (desk.control, e.UnknownLoopError),
        "run": (lambda bad: desk.run(bad).__enter__(), e.RequestError),
        "case": (desk.case, e.UnknownCaseError),
        "events": (desk.events, e.UnknownCaseError),
        "claim": (desk.claim, e.EligibilityError),
        "claim a loop": (lambda bad: desk.claim("ana", bad), e.UnknownLoopError),
        "claim a case": (lambda bad: desk.claim("ana", case=bad), e.UnknownCaseError),
        "claimed": (desk.claimed, e.ClaimError),
        "answer": (lambda bad: desk.answer(claim, bad), e.AnswerError),
        "answer by": (lambda bad: desk.answer(claim, "approve", person=bad), e.DualcontrolError),
        "answer why": (lambda bad: desk.answer(claim, "approve", rationale=bad), e.AnswerError),
        "release": (desk.release, e.DualcontrolError),
        "extend": (lambda bad: desk.extend(bad, "1m"), e.DualcontrolError),
        "retract": (lambda bad: desk.retract(bad, "ana"), e.UnknownCaseError),
        "retract by": (lambda bad: desk.retract(pay, bad), e.EligibilityError),
        "withdraw": (desk.withdraw, e.DualcontrolError),
        "withdraw by": (lambda bad: desk.withdraw(pay, by=bad), e.RequestError),
        "erase": (desk.erase, e.DualcontrolError),
        "erase by": (lambda bad: desk.erase(pay, by=bad), e.RequestError),
        "resolve": (lambda bad: desk.resolve_effect(pay, happened=bad), e.RequestError),
        "escalate": (lambda bad: desk.claimed(claim).escalate(bad), e.AnswerError),
        "look": (loop.look, e.UnknownCaseError),
        "wait": (lambda bad: loop.wait(bad, timeout=0), e.UnknownCaseError),
        "patience": (lambda bad: loop.wait(pay, timeout=bad), e.RequestError),
        "recall": (lambda bad: loop.recall(bad, "why"), e.DualcontrolError),
        "recall why": (lambda bad: loop.recall(pay, bad), e.DualcontrolError),
        "revoke": (lambda bad: desk.revoke(bad, "ana"), e.DualcontrolError),
        "revoke by": (lambda bad: desk.revoke(pay, bad), e.EligibilityError),
        "revoke why": (lambda bad: desk.revoke(pay, "ana", bad), e.DualcontrolError),
        "approve for": (lambda bad: desk.answer(claim, "approve", lasts=bad), e.RequestError),
        "again": (lambda bad: loop.propose(**PAY, again=bad), e.RequestError),
        "runs": (lambda bad: loop.start_effect(pay, runs=bad), e.DualcontrolError),
        "start": (loop.start_effect, e.DualcontrolError),
        "start as": (lambda bad: loop.start_effect(pay, bad), e.RequestError),
        "finish": (lambda bad: loop.finish_effect(pay, 1, succeeded=bad), e.RequestError),
        "fence": (lambda bad: loop.finish_effect(pay, bad, succeeded=True), e.DualcontrolError),
        "effect": (lambda bad: loop.effect(bad).__enter__(), e.UnknownCaseError),
        "examples": (lambda bad: loop.examples(unused=bad), e.RequestError),
        "export": (loop.export, e.RequestError),
        "format": (lambda bad: loop.export("out.jsonl", format=bad), e.SettingsError),
        "mode": (lambda bad: desk.loop("new", mode=bad), e.SettingsError),
        "undo": (lambda bad: desk.loop("new", undo=bad), e.SettingsError),
        "gate": (lambda bad: loop.gate(bad), e.RequestError),
        "gate what": (lambda bad: loop.gate(action=bad)(len), e.ProposalError),
        "gate how long": (lambda bad: loop.gate(timeout=bad), e.RequestError),
        "resume": (loop.gate(len).resume, e.UnknownCaseError),
        "batch": (loop.propose_batch, e.ProposalError),
        "batch key": (lambda bad: loop.propose_batch({"input": ["x"]}, key=bad), e.KeyFormatError),
        "column": (lambda bad: loop.propose_batch({"input": bad, "confidence": [0.5]}), e.ProposalError),
        "durability": (lambda bad: dc.open("sqlite://", durability=bad), e.SettingsError),
    }


MEANT = {  # what a door takes as it is meant
    "claim a loop": ("None",), "claim a case": ("None",), "answer by": ("None",), "answer why": ("None",),
    "escalate": ("None",), "patience": ("None", "number", "real"), "revoke why": ("None",),
    "approve for": ("None", "number", "real"), "runs": ("None",), "gate": ("None", "function"),
    "gate what": ("None",), "gate how long": ("None", "number", "real"), "batch key": ("None",), "column": ("list",),
    "mode": ("None",), "undo": ("None", "number", "real"), "durability": ("None",), "format": ("None",),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_a_value_of_the_wrong_type_at_any_door(desk: dc.Desk, wrong: str) -> None:
    for name, (door, kind) in doors(desk).items():
        if wrong not in MEANT.get(name, ()):
            error = refused(desk, lambda door=door: door(WRONG[wrong]), kind)
            assert "ambiguous" not in error.message, name


@pytest.mark.parametrize("path", ["", "/", "a\x00b", "\ud800"])
def test_files_that_cannot_be_named(desk: dc.Desk, path: str) -> None:
    refused(desk, lambda: desk.loop("pay").export(path), e.RequestError)
    refused(desk, lambda: desk.store.backup(path), e.StoreError)


def test_a_settings_file_that_cannot_be_named(tmp_path: Path) -> None:
    with pytest.raises(e.SettingsError, match="cannot be read"):
        dc.open("sqlite://", settings="a\x00b")
