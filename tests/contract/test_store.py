"""What every database must keep: cases, keys, content, the chain of entries, loops."""

from __future__ import annotations

import hashlib
import json
import threading
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from store_cases import (
    CONTENT,
    advance,
    answered,
    claim,
    concluded,
    decided,
    define,
    entry,
    new_id,
    opening,
    propose,
    step,
)

from dualcontrol.case import Case, Content, Example, ModelRow
from dualcontrol.control import Control
from dualcontrol.errors import PayloadError, PayloadTooLargeError, StoreError, UnknownLoopError
from dualcontrol.events import BatchRouted, Entry, Erased, Retracted, ThresholdMoved, link
from dualcontrol.evolve import fold
from dualcontrol.store import Conflict, KeyTaken, Store
from dualcontrol.store.accounts import SignIn
from dualcontrol.store.sql import open_store

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def exact(value: Any) -> Any:
    """A value that equals another only when the types are equal too."""
    if isinstance(value, dict):
        return {k: exact(v) for k, v in value.items()}
    return [exact(v) for v in value] if isinstance(value, list) else (type(value), value)


def load(store: Store, case_id: str) -> Case:
    found = store.queries.case(case_id)
    assert found is not None
    return found


# cases


def test_a_case_comes_back_as_it_was_saved(store: Store) -> None:
    define(store)
    case = propose(store, key="order-17", run="run-1", owner="bot", segment="eu", risk="high")
    with store.transaction() as tx:
        assert tx.load(case.id) == case
    assert load(store, case.id) == case
    assert load(store, case.id).proposal == case.proposal


def test_a_case_that_is_not_there_is_none(store: Store) -> None:
    with store.transaction() as tx:
        assert tx.load(new_id()) is None
    assert store.queries.case(new_id()) is None


@QUICK
@given(value=VALUES)
def test_content_of_every_json_shape_survives(store: Store, value: Any) -> None:
    if store.queries.loops() == []:
        define(store)
    case = propose(store, content={"input": value, "rationale": "r"}, groups=())
    assert exact(load(store, case.id).input) == exact(value)


@pytest.mark.parametrize(
    "value",
    [1, 1.0, True, -0.0, 2**53 + 1, -(10**40), 1e22, 5e-324, "\x00", "😀", "\u2028", {"": {"\x00": []}}, [[[]]], ""],
)
def test_types_are_kept(store: Store, value: Any) -> None:
    define(store)
    case = propose(store, content={"input": value}, groups=())
    assert exact(load(store, case.id).input) == exact(value)


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"a": [1, float("nan")]}, "input.a[1]"),
        (float("-inf"), "input"),
        ({"a": object()}, "input.a"),
        ({1: 2}, "input"),
        ({"a": {"b": {1, 2}}}, "input.a.b"),
        ({"a": b"bytes"}, "input.a"),
        (["\ud800"], "input[0]"),
        ({"\ud800": 1}, "input"),
    ],
)
def test_what_is_not_json_is_refused_by_its_place(store: Store, value: Any, place: str) -> None:
    define(store)
    with pytest.raises(PayloadError) as refused:
        propose(store, content={"input": value})
    assert refused.value.details["path"] == place
    assert store.queries.cases().rows == ()


def test_deep_nesting_and_a_mebibyte_are_the_limits(store: Store) -> None:
    define(store)
    deep: Any = 1
    for _ in range(250):
        deep = [deep]
    with pytest.raises(PayloadError, match="levels"):
        propose(store, content={"input": deep})
    with pytest.raises(PayloadTooLargeError):
        propose(store, content={"input": "x" * 1_048_575})
    case = propose(store, content={"input": "x" * 1_048_574, "history": list(range(1000))})
    assert load(store, case.id).content.values == case.content.values


def test_tuples_come_back_as_lists(store: Store) -> None:
    define(store)
    case = propose(store, content={"input": {"a": (1, (2,))}})
    assert load(store, case.id).input == {"a": [1, [2]]}


def test_the_saved_case_is_the_fold_of_its_entries(store: Store) -> None:
    define(store)
    case = propose(store, key="k")
    review = case.reviews[0].id
    with store.transaction() as tx:
        claim(tx, case.id, review, "ana")
    step(store, case.id, answered(review, "ana", {"amount": 90.0}), decided(review), concluded())
    folded: Case | None = None
    for kept in store.queries.entries(f"case/{case.id}"):
        folded = fold(folded, kept.events, seq=kept.seq)
    assert folded == load(store, case.id)
    assert folded.outcome is not None
    assert folded.outcome.value == {"amount": 90.0}


def test_without_values_a_case_has_its_seals_only(store: Store) -> None:
    define(store)
    case = propose(store)
    with store.transaction() as tx:
        bare = tx.load(case.id, values=False)
        assert bare is not None
        after = fold(bare, [concluded()], seq=2)
        tx.save(bare, after, entry(bare, concluded()))
    assert bare.content.values == {}
    assert bare.content.seals == case.content.seals
    assert load(store, case.id).content == case.content


# guarded writes


def test_a_stale_write_is_a_conflict_and_leaves_nothing(store: Store) -> None:
    define(store)
    case = propose(store)
    step(store, case.id, concluded())
    stale = fold(case, [concluded("bob")], seq=2)
    with pytest.raises(Conflict), store.transaction() as tx:
        tx.save(case, stale, entry(case, concluded("bob")))
    assert load(store, case.id).seq == 2
    assert len(store.queries.entries(f"case/{case.id}")) == 2


def test_of_two_writers_of_one_case_both_get_through_in_turn(store: Store) -> None:
    define(store)
    case = propose(store)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(10):
                step(store, case.id, concluded())
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert load(store, case.id).seq == 41


def test_a_transaction_that_raises_leaves_nothing_and_the_store_usable(store: Store) -> None:
    define(store)
    case, first = opening()

    def interrupted() -> None:
        with store.transaction() as tx:
            tx.save(None, case, first)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert store.queries.case(case.id) is None
    assert propose(store).seq == 1


def test_a_case_of_an_unknown_loop_is_refused(store: Store) -> None:
    with pytest.raises(UnknownLoopError):
        propose(store, loop="nowhere")


def test_a_loop_rolled_back_is_not_remembered(store: Store) -> None:
    settled = define(store)
    loop = replace(settled, loop="other", settings=replace(settled.settings, name="other"))
    moved = ThresholdMoved(version=1, at=1, segment="", threshold="0.9", reason="r")

    def rolled_back() -> None:
        with store.transaction() as tx:
            tx.save_control(loop, Entry(stream="", seq=1, at=1, actor="a", events=(moved,)), expected_version=None)
            assert tx.control("other") is not None
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        rolled_back()
    with store.transaction() as tx:
        assert tx.control("other") is None
    with pytest.raises(UnknownLoopError):
        propose(store, loop="other")


# keys


@pytest.mark.parametrize("key", ["k", "x" * 10_000, "😀" * 65_536, "a\x00b", " ", "é", "e\u0301"], ids=range(7))
def test_a_key_finds_its_case(store: Store, key: str) -> None:
    control = define(store)
    case = propose(store, key=key, fingerprint="print")
    with store.transaction() as tx:
        found = tx.find_key(control.loop_id, key)
        assert found is not None
        assert (found.case_id, found.fingerprint, found.erased) == (case.id, "print", False)
        assert tx.find_key(control.loop_id + 1, key) is None
        assert tx.find_key(control.loop_id, key + "x") is None


def test_a_key_is_taken_once(store: Store) -> None:
    define(store)
    propose(store, key="k")
    other, first = opening(key="k")
    with pytest.raises(KeyTaken), store.transaction() as tx:
        tx.save(None, other, first, fingerprint="other")
    assert store.queries.case(other.id) is None
    assert define(store, "second").loop_id != define(store, "third").loop_id
    assert propose(store, loop="second", key="k").key == "k"


def test_a_key_that_is_taken_often_leaves_the_connection_usable(store: Store) -> None:
    """A batch that fails leaves statements behind that the driver takes for prepared: none of them is used again."""
    define(store)
    propose(store, key="k")
    for _ in range(12):
        other, first = opening(key="k")
        with pytest.raises(KeyTaken), store.transaction() as tx:
            tx.save(None, other, first, fingerprint="print")
    later = [propose(store, key=f"later-{n}") for n in range(8)]
    assert all(store.queries.case(case.id) is not None for case in later)


# sessions


def session_of(digit: str, account: str, now: int, life: int) -> SignIn:
    return SignIn(digest=digit * 64, id=digit, account=account, created_at=now, expires_at=now + life)


def alive(store: Store, digits: str) -> list[bool]:
    with store.queries.accounts() as book:
        return [book.session(digit * 64) is not None for digit in digits]


def test_a_session_lives_until_it_ends_or_its_time_is_over(store: Store) -> None:
    with store.transaction() as tx:
        tx.accounts.save_session(session_of("b", "ben", tx.now, -1))
        tx.accounts.save_session(session_of("a", "ana", tx.now, 3_600_000_000))
    assert alive(store, "abc") == [True, False, False]
    with store.transaction() as tx:
        assert tx.accounts.end_sessions(digest="a" * 64) == 1
        assert tx.accounts.end_sessions(digest="c" * 64) == 0
    assert alive(store, "a") == [False]
    with store.transaction() as tx:
        for digit, account in (("b", "ben"), ("d", "ben"), ("e", "eva")):
            tx.accounts.save_session(session_of(digit, account, tx.now, 3_600_000_000))
    assert alive(store, "bde") == [True, True, True]
    with store.transaction() as tx:
        assert tx.accounts.end_sessions(account_id="ben") == 2
    assert alive(store, "bde") == [False, False, True]


# content and commitments


def test_every_slot_is_committed_to_with_a_salt_of_its_own(store: Store) -> None:
    define(store)
    case, first = opening(content={"input": "same", "rationale": "same", "history": "same"})
    with store.transaction() as tx:
        kept = tx.save(None, case, first)
    seals = case.content.seals
    assert len(set(seals.values())) == 3
    assert kept.events[0].content.seals == seals  # type: ignore[attr-defined]
    assert all(seal in kept.body for seal in seals.values())
    assert "same" not in kept.body


def test_a_commitment_is_what_the_design_says(database_url: str) -> None:
    store = open_store(database_url, salt=lambda size: b"\x07" * size)
    define(store)
    case = propose(store, content={"input": {"b": 1, "a": "é"}}, groups=())
    body = '{"b":1,"a":"é"}'.encode()
    sealed = hashlib.sha256(b"dualcontrol-payload-v1\x00" + b"input" + b"\x00" + b"\x07" * 16 + body).hexdigest()
    assert case.content.seals == {"input": sealed}
    store.close()


def test_content_keeps_the_callers_order(store: Store) -> None:
    """People are shown the fields as the caller gave them; the entry, which is hashed, has its own keys sorted."""
    define(store)
    given = {"zeta": [{"b": 1, "a": {"d": 1, "c": 2}}], "alpha": None, "Mid": 1}
    case = propose(store, content={"input": given, "candidates": [{"value": given, "id": "c1"}]}, groups=())
    assert json.dumps(load(store, case.id).content.values["input"]) == json.dumps(given)
    (kept,) = store.queries.entries(f"case/{case.id}")
    assert json.dumps(kept.events[0].content.values["input"]) == json.dumps(given)  # type: ignore[attr-defined]
    assert list(json.loads(kept.body)) == ["actor", "at", "events", "seq", "stream"]
    keys = list(json.loads(kept.body)["events"][0])
    assert keys == sorted(keys)


def test_content_of_earlier_releases_is_still_what_was_sealed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Text that was written with its names sorted has its commitment over that text."""
    define(store)
    with monkeypatch.context() as earlier:
        earlier.setattr("dualcontrol.store.sql.rows._encode", msgspec.json.Encoder(order="sorted").encode)
        case = propose(store, content={"input": {"b": 1, "a": 2}}, groups=())
    with store.transaction() as tx:
        assert tx.load(case.id) is not None  # which compares text and commitment
    assert list(load(store, case.id).content.values["input"]) == ["a", "b"]


def test_a_glance_reads_what_a_list_shows(store: Store) -> None:
    """Input and candidates while they are small; of a large input how it begins, and nothing else of the content."""
    define(store)
    small = propose(store, content={"input": {"b": "ü"}, "candidates": [], "history": ["x"]}, groups=())
    found = store.queries.glance(small.id)
    assert found is not None
    assert (found[0].content.values, found[1]) == ({"input": {"b": "ü"}, "candidates": []}, "")
    text = "é" * 70_000
    large = propose(store, content={"input": text, "candidates": [{"id": "c1", "value": "x" * 70_000}]}, groups=())
    found = store.queries.glance(large.id)
    assert found is not None
    assert (found[0].id, found[0].content.values, found[1]) == (large.id, {}, f'"{"é" * 4_095}')
    assert store.queries.glance("nothing") is None


def test_a_slot_can_be_written_again(store: Store) -> None:
    define(store)
    case = propose(store)
    review = case.reviews[0].id
    slot = f"answer/{review}"
    step(store, case.id, answered(review, "ana", 1), decided(review))
    step(store, case.id, Retracted(review_id=review, person="ana"))
    assert slot not in load(store, case.id).content.values
    after = step(store, case.id, answered(review, "ana", 2), decided(review))
    assert load(store, case.id).content == after.content
    first, second = (
        kept.events[0].content.values[slot]["value"]  # type: ignore[attr-defined]
        for kept in store.queries.entries(f"case/{case.id}")
        if slot in getattr(kept.events[0], "content", Content()).seals
    )
    assert (first, second) == (1, 2)


def test_erasure_deletes_content_and_keeps_the_evidence(store: Store) -> None:
    control = define(store)
    case = propose(store, key="k")
    other = propose(store, key="other")
    with store.transaction() as tx:
        erased = Erased(at=50, by="dpo")
        after = advance(tx, case.id, erased)
        assert tx.erase(after) == len(CONTENT)
        assert tx.erase(after) == 0
    found = load(store, case.id)
    assert found.erased
    assert found.content.values == {}
    assert found.content.seals == case.content.seals
    assert all(not e.content.values for e in store.queries.entries(f"case/{case.id}")[0].events[:1])  # type: ignore[attr-defined]
    with store.transaction() as tx:
        row = tx.find_key(control.loop_id, "k")
        assert row is not None
        assert row.erased
        kept = tx.find_key(control.loop_id, "other")
        assert kept is not None
        assert not kept.erased
    assert load(store, other.id).content == other.content


# entries


def test_entries_chain_by_hash(store: Store) -> None:
    define(store)
    case = propose(store)
    step(store, case.id, concluded())
    step(store, case.id, concluded("bob"))
    entries = store.queries.entries(f"case/{case.id}")
    prev = ""
    for number, kept in enumerate(entries, start=1):
        assert (kept.seq, kept.prev) == (number, prev)
        assert kept.hash == link(prev, kept.body.encode())
        prev = kept.hash
    assert [e.seq for e in store.queries.entries(f"case/{case.id}", after=1)] == [2, 3]
    assert store.queries.entries(f"case/{case.id}", after=1)[0] == entries[1]
    assert [e.seq for e in store.queries.entries(f"case/{case.id}", limit=2)] == [1, 2]
    assert [e.seq for e in store.queries.entries(f"case/{case.id}", after=1, limit=1)] == [2]


def test_two_saves_of_one_case_in_one_transaction(store: Store) -> None:
    define(store)
    case, first = opening()
    with store.transaction() as tx:
        tx.save(None, case, first)
        after = fold(case, [concluded()], seq=2)
        tx.save(case, after, entry(case, concluded()))
    entries = store.queries.entries(f"case/{case.id}")
    assert entries[1].prev == entries[0].hash
    assert load(store, case.id) == after


# loops


def moved(version: int) -> Entry:
    event = ThresholdMoved(version=version, at=2, segment="", threshold="0.8", reason="r")
    return Entry(stream="", seq=0, at=2, actor="learn", events=(event,))


def test_control_has_versions_and_a_stream(store: Store) -> None:
    first = define(store)
    second = replace(first, version=2, thresholds={"": 0.8})
    with store.transaction() as tx:
        saved = tx.save_control(second, moved(2), expected_version=1)
        assert tx.control("refunds") == saved
    with store.transaction() as tx:
        assert tx.control("refunds") == saved
        assert tx.control("nowhere") is None
    assert (saved.version, saved.seq, saved.thresholds) == (2, 2, {"": 0.8})
    with pytest.raises(Conflict), store.transaction() as tx:
        tx.save_control(second, moved(2), expected_version=1)
    assert store.queries.loops() == [saved]
    entries = store.queries.entries(f"loop/{first.loop_id}")
    assert [e.seq for e in entries] == [1, 2]
    assert entries[1].prev == entries[0].hash


def test_a_loop_is_created_once(store: Store) -> None:
    define(store)
    with pytest.raises(Conflict):
        define(store)


def test_another_process_sees_a_new_control(lasting_url: str) -> None:
    store, other = open_store(lasting_url), open_store(lasting_url)
    first = define(store)
    with other.transaction() as tx:
        assert tx.control("refunds") == first
    with store.transaction() as tx:
        second = tx.save_control(replace(first, version=2, epoch=1), moved(2), expected_version=1)
    with other.transaction() as tx:
        assert tx.control("refunds") == second
    other.close()
    store.close()


def batch(chunk: int) -> BatchRouted:
    return BatchRouted(
        at=3, batch="b", chunk=chunk, rows=10, autopilot=9, human=1, blocked=0, audited=0, control=1, digest="d",
        content=Content({f"rows/{chunk}": {"keys": [1, 2, 3]}}),
    )  # fmt: skip


def test_a_loop_takes_entries_beside_its_control(store: Store) -> None:
    control = define(store)
    stream = f"loop/{control.loop_id}"
    with store.transaction() as tx:
        first = tx.append(Entry(stream=stream, seq=0, at=3, actor="batch", events=(batch(1),)))
        second = tx.append(Entry(stream=stream, seq=3, at=3, actor="batch", events=(batch(2),)))
    assert (first.seq, second.seq, second.prev) == (2, 3, first.hash)
    with pytest.raises(Conflict), store.transaction() as tx:
        tx.append(Entry(stream=stream, seq=3, at=3, actor="batch", events=(batch(3),)))
    with store.transaction() as tx:
        known = tx.control("refunds")
        assert known is not None
        assert (known.version, known.seq) == (1, 3)
        saved: Control = tx.save_control(replace(known, version=2), moved(2), expected_version=1)
        assert saved.seq == 4
    kept = store.queries.entries(stream)[1].events[0]
    assert kept.content.values == {"rows/1": {"keys": [1, 2, 3]}}  # type: ignore[attr-defined]


def test_the_system_has_a_stream(store: Store) -> None:
    for expected in (1, 2):
        with store.transaction() as tx:
            kept = tx.append(Entry(stream="system", seq=0, at=3, actor="cli", events=(Erased(at=1, by="x"),)))
        assert kept.seq == expected
    assert [e.seq for e in store.queries.entries("system")] == [1, 2]


# examples, models, jobs


def example(case: Case, loop_id: int, at: int = 5) -> Example:
    return Example(
        case_id=case.id, loop_id=loop_id, epoch=0, kind="label", verdict="edit", wrong=1, bin=3, score=0.62,
        inclusion=0.05, at=at,
    )  # fmt: skip


def test_examples_are_made_with_the_step_and_marked_when_used(store: Store) -> None:
    control = define(store)
    case = propose(store)
    made = [example(case, control.loop_id, at) for at in range(3)]
    step(store, case.id, concluded(), examples=made)
    found = store.queries.examples(control.loop_id)
    assert [replace(e, id=None) for e in found] == made
    assert store.queries.unfed() == {"refunds": 3}
    with store.transaction() as tx:
        assert tx.mark_used(control.loop_id, [e.id for e in found[:2] if e.id], "m1") == 2
        assert tx.mark_used(control.loop_id, [], "m1") == 0
        assert tx.mark_used(control.loop_id + 1, [found[2].id or 0], "m1") == 0
    assert [e.id for e in store.queries.examples(control.loop_id, unused=True)] == [found[2].id]
    assert store.queries.examples(control.loop_id, after=found[0].id or 0, limit=1) == [replace(found[1], used_by="m1")]
    assert store.queries.unfed() == {"refunds": 1}
    store.sequence()
    assert {e.pos for e in store.queries.examples(control.loop_id)} == {2}


def test_models_are_kept_newest_first(store: Store) -> None:
    model = ModelRow(
        id="m1", loop_id=1, version="1", path="m1.bin", sha256="0" * 64, state="trained", examples=9,
        metrics={"accuracy": 0.9}, created_at=1,
    )  # fmt: skip
    newer = replace(model, id="m2", version="2", created_at=2)
    with store.transaction() as tx:
        tx.save_model(model)
        tx.save_model(newer)
        tx.save_model(replace(model, state="promoted"))
    assert store.queries.models(1) == [newer, replace(model, state="promoted")]
    assert store.queries.models(2) == []


def test_a_job_is_leased_to_one_worker_at_a_time(store: Store) -> None:
    with store.transaction() as tx:
        late = tx.add_job("train", "refunds", 50)
        early = tx.add_job("effect", "case-1", 10)
    with store.transaction() as tx:
        assert tx.take_job(["train"], "w1", now=20, until=30) is None
        job = tx.take_job(["train", "effect"], "w1", now=20, until=30)
        assert job is not None
        assert (job["id"], job["ref"], job["attempts"]) == (early, "case-1", 1)
        assert tx.take_job(["train", "effect"], "w2", now=25, until=40) is None
    with store.transaction() as tx:
        again = tx.take_job(["effect"], "w2", now=31, until=60)
        assert again is not None
        assert (again["id"], again["attempts"]) == (early, 2)
        assert not tx.finish_job(early, "w1", "late")
        assert tx.finish_job(early, "w2", "done")
        assert not tx.finish_job(early, "w2", "done")
        last = tx.take_job(["effect", "train"], "w2", now=99, until=100)
        assert last is not None
        assert last["id"] == late


def test_a_transaction_whose_write_failed_cannot_commit(store: Store) -> None:
    """Part of the failed batch may stand (SQLite), or COMMIT quietly rolls back (PostgreSQL)."""
    define(store)
    propose(store, key="k")
    case, first = opening(key="k")
    other, second = opening()

    def looking_away() -> None:
        with store.transaction() as tx:
            tx.save(None, other, second)
            with suppress(KeyTaken):
                tx.save(None, case, first)

    with pytest.raises(StoreError):
        looking_away()
    assert store.queries.case(case.id) is None
    assert store.queries.case(other.id) is None
