"""What is written down for good: bytes, hashes, seals, fingerprints and draws, as somebody else computes them.

No value here comes from the code under test: the comment above each says how to get it with a shell alone.
A change that turns one of these red makes old records unprovable, or draws all old cases anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace
from store_cases import define

import dualcontrol as dc
from dualcontrol.case import Content
from dualcontrol.control import draw, uuid7
from dualcontrol.errors import KeyConflictError
from dualcontrol.events import Concluded, Entry, Opened
from dualcontrol.evolve import fold
from dualcontrol.learn.training import for_comparison, for_evidence
from dualcontrol.store import Store
from dualcontrol.store.sql import open_store
from dualcontrol.testing import START, FakeClock

SECRET = "golden-golden-golden"
IDS = [f"01890000-0000-7000-8000-{number:012x}" for number in range(1, 17)]
CASE = IDS[0]

# printf 'dualcontrol-payload-v1\0input\0\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f%s' \
#   '{"b":1,"a":"é"}' | sha256sum
INPUT = "83992cb8ceeb169fda4080873d0fa3524004f4080d868e9f2ef5a51fe96805e7"
# printf 'dualcontrol-payload-v1\0candidates\0\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f%s' \
#   '[{"id":"c1","action":"refund","value":{"amount":1.0}}]' | sha256sum
CANDIDATES = "8db17b57d8b811ff2e05df864716e7598054da463499852dae4b0dee7c8feb21"

FIRST = (
    '{"actor":"program","at":1767225600000000,"events":[{"action":"refund","at":1767225600000000,'
    '"case_id":"01890000-0000-7000-8000-000000000001","confidence":"0.5","content":{"candidates":'
    '"8db17b57d8b811ff2e05df864716e7598054da463499852dae4b0dee7c8feb21","input":'
    '"83992cb8ceeb169fda4080873d0fa3524004f4080d868e9f2ef5a51fe96805e7"},"key":"order A-17","kind":"Opened",'
    '"loop":"refunds","mode":"approval","proposed":0}],"seq":1,"stream":"case/01890000-0000-7000-8000-000000000001"}'
)
# printf '\n%s' "$FIRST" | sha256sum
FIRST_HASH = "82b939864f4272f5584ebe75b21ff446e3b7b10df5177f6bf3beb410b755a6ea"
SECOND = (
    '{"actor":"ana","at":1767225600000001,"events":[{"at":1767225600000001,"by":"withdrawn","kind":"Concluded",'
    '"verdict":"reject"}],"seq":2,"stream":"case/01890000-0000-7000-8000-000000000001"}'
)
# printf '%s\n%s' "$FIRST_HASH" "$SECOND" | sha256sum
SECOND_HASH = "d1573dc331ccbcf6e04e13d4e567551d71e046355b813eda2516ef3e62809a56"


def test_two_entries_have_these_bytes_and_each_hash_holds_the_one_before(database_url: str) -> None:
    store = open_store(database_url, salt=lambda size: bytes(range(size)))
    try:
        _written(store)
        first, second = store.queries.entries(f"case/{CASE}")
        seals = {row.slot: row.commitment for row in store.queries.slots(f"case/{CASE}")}
    finally:
        store.close()
    assert (first.body, first.prev, first.hash) == (FIRST, "", FIRST_HASH)
    assert (second.body, second.prev, second.hash) == (SECOND, FIRST_HASH, SECOND_HASH)
    assert seals == {"input": INPUT, "candidates": CANDIDATES}


def _written(store: Store) -> None:
    """A case of two entries, with content sealed under a salt that counts up."""
    define(store)
    content = {
        "input": {"b": 1, "a": "é"},
        "candidates": [{"id": "c1", "action": "refund", "value": {"amount": 1.0}}],
    }
    opened = Opened(
        case_id=CASE, loop="refunds", mode="approval", at=START, proposed=0, action="refund", confidence="0.5",
        key="order A-17", content=Content(content),
    )  # fmt: skip
    case = fold(None, [opened], seq=1)
    with store.transaction() as tx:
        entry = Entry(stream=f"case/{CASE}", seq=1, at=START, actor="program", events=(opened,))
        tx.save(None, case, entry, fingerprint="")
    over = Concluded(by="withdrawn", at=START + 1, verdict="reject")
    with store.transaction() as tx:
        case = tx.load(CASE)
        assert case is not None
        entry = Entry(stream=f"case/{CASE}", seq=2, at=START + 1, actor="ana", events=(over,))
        tx.save(case, replace(fold(case, [over]), seq=2), entry)


class Ids:
    """Ids whose next one is given; what a step needs besides is anything."""

    def __init__(self) -> None:
        self.next = ""

    def __call__(self) -> str:
        given, self.next = self.next, ""
        return given or uuid7()


@pytest.fixture
def ids() -> Ids:
    return Ids()


@pytest.fixture
def desk(database_url: str, ids: Ids) -> Iterator[dc.Desk]:
    with dc.open(database_url, durability="process", secret=SECRET, new_id=ids, clock=FakeClock()) as desk:
        yield desk


def test_a_key_stands_for_the_hmac_of_its_content(desk: dc.Desk) -> None:
    """The fingerprint binds action, arguments and input, and nothing else."""
    loop = desk.loop("refunds", threshold=0.9, context="minimal")
    said: dict[str, Any] = {"action": "refund", "args": {"amount": 1.0}, "key": "order A-17"}
    case = loop.propose(**said, input={"b": 1, "a": "é"}, confidence=0.5)
    with desk.store.transaction() as tx:
        row = tx.find_key(loop.control.loop_id, "order A-17")
    assert row is not None
    # printf '[[["refund",{"amount":1.0}]],{"b":1,"a":"é"}]' | openssl dgst -sha256 -hmac golden-golden-golden
    assert row.fingerprint == "fa81fcfc2189621b45af95117c19ffef551ce78bd682516e47744746e9f2622d"
    assert loop.propose(**said, input={"a": "é", "b": 1}, confidence=0.7).id == case.id
    with pytest.raises(KeyConflictError):
        loop.propose(**said, input={"a": "e", "b": 1}, confidence=0.5)


# for p in audit holdout evidence side/ana/c1; do
#   d=$(printf '%s\0%s' $p 01890000-0000-7000-8000-000000000001 | openssl dgst -sha256 -hmac golden-golden-golden)
#   d=${d##* }; python3 -c "print((0x${d:0:16} >> 11) / 2**53)"
# done
DRAWS = {
    "audit": 0.9788333048416077,
    "holdout": 0.2548577412754922,
    "evidence": 0.17327176082464746,
    "side/ana/c1": 0.9514124195444967,
}


@pytest.mark.parametrize(("purpose", "number"), DRAWS.items())
def test_each_purpose_draws_its_own_number(purpose: str, number: float) -> None:
    assert draw(SECRET.encode(), purpose, CASE) == number


# For each of the sixteen ids: "x" where the draw of that purpose is below one half.
AUDITED = ".x.xxx.....x.x.."
HELD_OUT = "xxx..x.xxx..xx.x"
EVIDENCE = "xxx..xx..xxxx..."


def marks(chosen: list[bool]) -> str:
    return "".join("x" if one else "." for one in chosen)


def test_audits_are_drawn_for_their_own_purpose(desk: dc.Desk, ids: Ids) -> None:
    loop = desk.loop("refunds", threshold=0.9, context="minimal", audit=0.5)
    chosen = []
    for case_id in IDS:
        ids.next = case_id
        case = loop.propose(action="refund", args={}, input=case_id, confidence=0.95)
        assert (case.id, case.route.to, case.route.inclusion) == (case_id, "autopilot", 0.5)
        chosen.append(case.route.audited)
    assert marks(chosen) == AUDITED


def test_held_out_cases_and_evidence_are_drawn_for_purposes_of_their_own(desk: dc.Desk) -> None:
    feedback = {"trainer": "sklearn", "holdout": 0.5}
    plain = desk.loop("mail", mode="labels", labels=["a", "b"], threshold=0.9, context="minimal", feedback=feedback)
    assert marks([for_comparison(SECRET.encode(), plain.control, case_id) for case_id in IDS]) == HELD_OUT
    promise = {"max_error": 0.05, "evidence": 0.5}
    certified = desk.loop("post", mode="labels", labels=["a", "b"], context="minimal", guarantee=promise)
    assert marks([for_evidence(SECRET.encode(), certified.control, case_id) for case_id in IDS]) == EVIDENCE


# For each person and candidate the draw of "side/PERSON/CANDIDATE", smallest first.
SIDES = {
    ("ana", IDS[0]): ["c2", "c3", "c1"],
    ("ana", IDS[1]): ["c3", "c1", "c2"],
    ("ben", IDS[0]): ["c1", "c2", "c3"],
    ("ben", IDS[1]): ["c2", "c1", "c3"],
    ("cleo", IDS[0]): ["c2", "c3", "c1"],
    ("cleo", IDS[1]): ["c1", "c2", "c3"],
}


@pytest.mark.parametrize("person", ["ana", "ben", "cleo"])
def test_each_reviewer_sees_candidates_in_an_order_of_their_own(desk: dc.Desk, ids: Ids, person: str) -> None:
    loop = desk.loop("texts", mode="preference", context="minimal")
    for case_id in IDS[:2]:
        ids.next = case_id
        loop.propose(input="hello", candidates=[{"id": f"c{n}", "value": f"text {n}"} for n in (1, 2, 3)])
        claim = desk.claim(person, case=case_id)
        assert claim is not None
        assert list(claim.review.presented) == SIDES[person, case_id]
