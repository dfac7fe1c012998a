"""The doctor on real databases, each part of the record broken in turn."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from team import team

import dualcontrol as dc
from dualcontrol.doctor import PROBLEM, WARNING, Finding, examine
from dualcontrol.people import Grant
from dualcontrol.store.accounts import Account
from dualcontrol.testing import FakeClock

CONTENT = {"input": {"mail": "please"}, "rationale": "late", "alternatives": []}


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Any) -> str:
    """A database of each kind."""
    return f"sqlite:///{tmp_path}/dc.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def desk(url: str, clock: FakeClock, folder: Path) -> Iterator[dc.Desk]:
    (folder / "dualcontrol.toml").unlink()
    desk = dc.open(url, clock=clock)
    yield desk
    desk.close()


@pytest.fixture
def case(desk: dc.Desk) -> str:
    """A case with four entries, one answer, and more cases beside it."""
    loop = desk.loop("refunds", threshold=0.9, respond_within="15m", audit=1.0)
    loop.propose(action="refund", args={"amount": 1}, confidence=0.99, **CONTENT)
    loop.propose(action="refund", args={"amount": 2}, confidence=0.5, **CONTENT)
    case = loop.propose(action="refund", args={"amount": 3}, confidence=0.5, **CONTENT)
    desk.claim("ana", case=case).reject("no")
    return case.id


@pytest.fixture
def sql(url: str, desk: dc.Desk) -> Callable[..., None]:
    """Change the database behind the program's back."""

    def change(statement: str) -> None:
        if url.startswith("sqlite"):
            with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
                assert connection.execute(statement).rowcount > 0
            connection.close()
            return
        import psycopg

        with psycopg.connect(url) as connection:
            assert connection.execute(statement).rowcount > 0

    return change


def problems(desk: dc.Desk, level: str = PROBLEM, **more: Any) -> list[Finding]:
    """What is found at a level."""
    return [finding for finding in examine(desk.store, **more) if finding.level == level]


def test_a_sound_database_has_no_problem(desk, case):
    assert problems(desk) == []
    desk.erase(case)
    assert problems(desk) == []
    assert {f.check for f in examine(desk.store)} >= {"database", "durability", "evidence", "sequencer", "queue"}


@pytest.mark.parametrize(
    ("change", "seq"),
    [
        ("UPDATE entries SET body = replace(body, '\"ana\"', '\"eve\"') WHERE stream = 'case/{case}' AND seq = 2", 2),
        ("UPDATE entries SET hash = 'x' WHERE stream = 'case/{case}' AND seq = 1", 1),
        ("UPDATE entries SET body = 'rubbish' WHERE stream = 'case/{case}' AND seq = 3", 3),
        ("DELETE FROM entries WHERE stream = 'case/{case}' AND seq = 2", 2),
        ("DELETE FROM entries WHERE stream = 'case/{case}' AND seq = 3", 2),
    ],
    ids=["body", "hash", "rubbish", "gap", "tail"],
)
def test_a_broken_chain_is_named_by_case_and_number(desk, case, sql, change, seq):
    sql(change.format(case=case))
    found = problems(desk)
    assert (found[0].case_id, found[0].seq) == (case, seq)
    assert case in found[0].what


def test_the_chain_of_a_loop_is_examined_as_well(desk, case, sql):
    sql("UPDATE entries SET body = replace(body, '0.9', '0.1') WHERE stream = 'loop/1'")
    assert "loop/1" in problems(desk)[0].what


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            "UPDATE cases SET snapshot = replace(snapshot, '\"reject\"', '\"approve\"') WHERE id = '{case}'",
            "the row of",
        ),
        ("UPDATE cases SET snapshot = '[]' WHERE id = '{case}'", "cannot be read"),
        ("UPDATE cases SET state = 'open' WHERE id = '{case}'", "the columns of"),
        ("UPDATE cases SET wrong = 0, verdict = 'approve' WHERE id = '{case}'", "say: verdict, wrong"),
        ("UPDATE cases SET inclusion = 0.1, score = 0.9, risk = 'low' WHERE id = '{case}'", "score, risk, inclusion"),
        ("UPDATE cases SET seq = 9, effect = 'ready', due_at = 1 WHERE id = '{case}'", "seq, due_at, effect"),
        ("UPDATE cases SET control = 7, epoch = 3 WHERE id = '{case}'", "control, epoch"),
        ("UPDATE reviews SET person = 'eve' WHERE case_id = '{case}'", "is not what its entries say: person"),
        ("UPDATE reviews SET state = 'open' WHERE case_id = '{case}'", "is not what its entries say: state"),
        ("UPDATE reviews SET claim_id = 'mine' WHERE case_id = '{case}'", "is not what its entries say: claim_id"),
        ("DELETE FROM reviews WHERE case_id = '{case}'", "has entries and no row"),
        (
            "INSERT INTO reviews SELECT 'x', loop_id, case_id, kind, opened_at, excludes, owner, pool, round, state, "
            "order_at, due_at, 'eve', NULL, lease_until, claimed_at, answered_at, presented, shown "
            "FROM reviews WHERE case_id = '{case}'",
            "no entry opened it",
        ),
        ("UPDATE examples SET wrong = 0 WHERE case_id = '{case}'", "wrong is 0, not 1"),
        ("UPDATE examples SET inclusion = 0.5 WHERE case_id = '{case}'", "an example of"),
        ("DELETE FROM examples WHERE case_id = '{case}'", "has 0 examples, its entries make 1"),
        ("UPDATE examples SET case_id = 'gone' WHERE case_id = '{case}'", "has 0 examples"),
        ("DELETE FROM cases WHERE id = '{case}'", "has entries and no row"),
        ("DELETE FROM entries WHERE stream = 'case/{case}'", "has a row and no entries"),
        (
            "UPDATE payloads SET body = '\"bribe\"' WHERE case_id = '{case}' AND slot = 'rationale'",
            "the content rationale",
        ),
        ("DELETE FROM payloads WHERE case_id = '{case}' AND slot = 'input'", "the content input"),
    ],
)
def test_what_is_not_what_was_recorded_is_found(desk, case, sql, change, says):
    sql(change.format(case=case))
    found = problems(desk)
    assert any(says in finding.what and finding.case_id == case for finding in found)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ("control = replace(control, '0.9', '0.1')", "threshold"),
        ("control = replace(control, '\"audit\":1.0', '\"audit\":0.0')", "audit"),
        ('control = replace(control, \'"closed":{"":"drift"}\', \'"closed":{}\')', "closed"),
        ("control = replace(control, '\"epoch\":1', '\"epoch\":2')", "epoch"),
        ("control = replace(control, '\"m1\"', '\"m2\"')", "model"),
        ("version = 9", "version"),
        ("mode = 'labels'", "mode"),
        ("head = 'x'", "head"),
    ],
)
def test_what_governs_a_loop_is_what_its_events_say(desk, case, sql, change, field):
    from dualcontrol.events import AutopilotClosed, ModelPromoted

    desk.loop("refunds", threshold=0.9, respond_within="20m", audit=1.0)
    model = {"model": "m1", "examples": 1, "metric": "log_loss", "score": "0.1"}
    desk.steps.move("refunds", lambda c, at: [ModelPromoted(version=3, at=at, **model)])
    closed = {"segment": "", "cause": "person", "reason": "drift"}
    desk.steps.move("refunds", lambda c, at: [AutopilotClosed(version=4, at=at, **closed)])
    recorded = lambda: [found for found in problems(desk) if found.check == "evidence"]  # noqa: E731
    assert recorded() == []
    sql(f"UPDATE loops SET {change}")
    (found,) = recorded()
    assert found.what == f"what governs loop refunds is not what its entries say: {field}"
    assert found.seq == 4


def test_a_loop_whose_entries_are_gone_is_found(desk, case, sql):
    sql("DELETE FROM entries WHERE stream = 'loop/1'")
    assert "loop/1 has a row and no entries" in [f.what for f in problems(desk)]


def test_positions_are_dense_and_in_commit_order(desk, case, sql):
    while desk.store.sequence():
        pass
    desk.claim("ben", "refunds").reject("no")
    assert problems(desk) == []
    sql("UPDATE feed SET pos = 1000 WHERE pos = 3")
    (found,) = problems(desk)
    assert (found.check, found.seq is not None) == ("sequencer", True)
    sql("UPDATE feed SET pos = 3 WHERE pos = 1000")
    assert problems(desk) == []
    sql("DELETE FROM feed WHERE pos = 2")
    assert [f.check for f in problems(desk)] == ["sequencer"]


def test_content_left_after_an_erasure_is_found(desk, case, sql):
    desk.erase(case)
    sql(
        "INSERT INTO payloads (case_id, slot, n, body, size, salt, commitment) "
        f"SELECT '{case}', slot, n, body, size, salt, commitment FROM payloads WHERE slot = 'input' LIMIT 1"
    )
    assert "erased" in problems(desk)[0].what


def test_a_review_that_fell_out_of_the_queue_is_found(desk, case, sql):
    sql("DELETE FROM reviews WHERE state = 'open' AND kind = 'decide'")
    assert any("nobody is offered it" in finding.what for finding in problems(desk))


def test_reviews_in_a_group_that_is_gone_are_a_warning(desk, case):
    desk.loop("refunds", group="elsewhere", audit=1.0, threshold=0.9)
    found = problems(desk, WARNING)
    assert any("no longer names" in finding.what for finding in found)


def test_overdue_cases_are_a_warning(desk, case, clock):
    clock.tick(3600)
    assert any("past the response time" in finding.what for finding in problems(desk, WARNING))


def test_a_case_held_after_its_time_is_overdue(desk, clock):
    loop = desk.loop("pay", threshold=0.9, respond_within="1s", audit=1.0)
    loop.propose(action="pay", args={}, confidence=0.5, **CONTENT)
    assert desk.store.queries.counts(loop.control.loop_id)["overdue"] == 0
    clock.tick(97)
    desk.sweep()
    assert desk.store.queries.counts(loop.control.loop_id)["overdue"] == 1
    assert [f.what for f in problems(desk, WARNING) if f.check == "queue"] == [
        "loop pay: 1 case is past the response time"
    ]
    claim = desk.claim("ana", loop)
    assert desk.store.queries.counts(loop.control.loop_id)["overdue"] == 1
    claim.reject("no")
    assert desk.store.queries.counts(loop.control.loop_id)["overdue"] == 0


DISPUTE = {"mode": "approval", "threshold": 0.9, "group": "team", "quorum": {"answers": 2}}


def disputed(url: str, clock: FakeClock, **settings: Any) -> list[Finding]:
    """What the doctor says in the queue after all members of a group have said different things."""
    groups = settings.pop("groups", {"team": ["ana", "ben"], "leads": ["lee"]})
    with dc.open(url, clock=clock, groups=groups) as desk:
        case = desk.loop("pay", **{**DISPUTE, **settings}).propose(action="pay", args={}, confidence=0.5, **CONTENT)
        desk.claim("ana", case=case).approve()
        last = desk.claim("ben", case=case)
        before = [f for f in problems(desk, WARNING) if f.check == "queue"]
        last.reject("no")
        assert desk.case(case.id).state == "open"
        assert before == []
        found = [f for f in problems(desk, WARNING) if f.check == "queue"]
        assert {f.case_id for f in found} <= {case.id}
        return found


def test_a_dispute_that_nobody_can_end_is_named(url, clock, folder):
    (folder / "dualcontrol.toml").unlink()
    (found,) = disputed(url, clock)
    assert "nobody in team may give" in found.what
    assert "Add somebody to the group" in found.hint
    with dc.open(url, clock=clock, groups={"team": ["ana", "ben", "cleo"]}) as desk:
        desk.loop("pay", **DISPUTE)
        assert not [f for f in problems(desk, WARNING) if f.check == "queue"]
        desk.claim("cleo", "pay").approve()
        assert desk.case(found.case_id).outcome.verdict == "approve"


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"quorum": {"answers": 2, "arbiter": "leads"}}, False),
        ({"groups": {"team": ["ana", "ben", "cleo"]}}, False),
        ({"groups": {}, "group": "everybody"}, False),
        ({"respond_within": "15m", "on_timeout": "reject"}, False),
        ({"respond_within": "15m", "on_timeout": "hold"}, True),
    ],
)
def test_only_what_stays_open_for_ever_is_stuck(url, clock, folder, settings, named):
    (folder / "dualcontrol.toml").unlink()
    assert bool(disputed(url, clock, **settings)) is named


@pytest.mark.parametrize(
    ("on_timeout", "leads", "named"), [("hold", "lee", True), ("escalate", "lee", False), ("escalate", "ana", True)]
)
def test_a_group_of_the_proposer_alone_is_nobody(url, clock, folder, on_timeout, leads, named):
    (folder / "dualcontrol.toml").unlink()
    settings = {"threshold": 0.9, "group": "team", "quorum": {"arbiter": "leads"}, "respond_within": "15m"}
    for members in (["ana", "ben"], ["ana"]):
        with dc.open(url, clock=clock, groups={"team": members, "leads": [leads]}) as desk:
            loop = desk.loop("pay", on_timeout=on_timeout, **settings)
            loop.propose(action="pay", args={}, confidence=0.5, owner="ana", key="k", **CONTENT)
            found = [f for f in problems(desk, WARNING) if f.check == "queue"]
    assert bool(found) is named


def test_a_case_without_any_review_is_named(desk, case):
    from msgspec.structs import replace

    from dualcontrol.doctor.loops import stuck

    found, settings = desk.case(case), desk.control("refunds").settings
    bare = replace(found, state="open", due_at=None, reviews=(), settled=None, concluded=None)
    (said,) = stuck(bare, settings)
    assert ("nobody is asked" in said.what, said.case_id, said.level) == (True, case, WARNING)
    for sound in (replace(bare, state="closed"), replace(bare, kind="probe"), found):
        assert list(stuck(sound, settings)) == []


def test_an_effect_of_unknown_end_is_named(desk, clock):
    loop = desk.loop("refunds", threshold=0.5)
    case = loop.propose(action="refund", args={}, confidence=0.9, **CONTENT)
    loop.start_effect(case.id)
    clock.tick(3600)
    desk.sweep()
    found = problems(desk, WARNING)
    assert [(f.check, f.case_id) for f in found if f.check == "effects"] == [("effects", case.id)]


@pytest.mark.parametrize(
    ("feedback", "level", "hint"),
    [
        ("export", WARNING, "Run `dualcontrol export refunds OUT`."),
        ({"trainer": "sklearn", "retrain_every": 1}, WARNING, "Run `dualcontrol train refunds`."),
        ({"trainer": "sklearn", "retrain_every": 2}, "ok", "Run `dualcontrol train refunds`."),
        ("off", "ok", 'Set feedback = "export" or a trainer to learn from them.'),
    ],
)
def test_answers_not_yet_used_are_counted(desk, case, feedback, level, hint):
    desk.loop("refunds", threshold=0.9, feedback=feedback)
    (found,) = [f for f in examine(desk.store) if f.check == "feedback"]
    assert (found.level, found.hint) == (level, hint)
    assert "1 answer not yet used" in found.what


def test_an_export_uses_the_answers_it_takes(desk, case, tmp_path):
    loop = desk.loop("refunds", threshold=0.9, feedback="export")
    assert len(loop.examples()) == 1
    loop.export(tmp_path / "none.jsonl", format="labels")
    with pytest.raises(OSError, match="nowhere"):
        loop.export(tmp_path / "nowhere" / "out.jsonl")
    assert desk.store.queries.unfed() == {"refunds": 1}
    assert loop.export(tmp_path / "out.jsonl", unused=True) == 1
    assert [row.used_by for row in loop.examples()] == ["export:out.jsonl"]
    assert loop.examples(unused=True) == []
    assert [f for f in examine(desk.store) if f.check == "feedback"] == []


def test_a_lag_of_the_sequencer_is_a_warning(desk, case, monkeypatch):
    monkeypatch.setattr("dualcontrol.doctor.database.LAG", 1)
    assert any(finding.check == "sequencer" for finding in problems(desk, WARNING))
    desk.store.sequence()
    assert not any(finding.check == "sequencer" for finding in problems(desk, WARNING))


def test_durability_is_what_the_database_answers(desk, case, monkeypatch):
    weak = {**desk.store.describe(), "synchronous": 1, "fsync": "off"}
    monkeypatch.setattr(desk.store, "describe", lambda: weak)
    assert any(finding.check == "durability" for finding in problems(desk))


def keyed(desk: dc.Desk) -> tuple[str, str]:
    """Two cases with keys of their own, and one whose key was closed when it was erased."""
    loop = desk.loop("refunds", threshold=0.9)
    ids = [loop.propose(action="refund", args={"amount": n}, key=f"order {n}", **CONTENT).id for n in range(3)]
    desk.erase(ids[2])
    return ids[0], ids[1]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("DELETE FROM case_keys WHERE case_id = '{one}'", "the key of case {one} is gone"),
        ("UPDATE case_keys SET case_id = '{two}' WHERE case_id = '{one}'", "the key of case {one} leads to case {two}"),
        ("UPDATE case_keys SET case_id = 'nowhere' WHERE case_id = '{one}'", "the key of case {one} leads to case now"),
        ("UPDATE case_keys SET digest = 'x' WHERE case_id = '{one}'", "the key of case {one} is gone"),
        ("UPDATE case_keys SET loop_id = 7 WHERE case_id = '{one}'", "the key of case {one} is gone"),
        ("UPDATE case_keys SET fingerprint = '00' WHERE case_id = '{one}'", "{one} stands for other content"),
        ("UPDATE case_keys SET erased = {true} WHERE case_id = '{one}'", "the key of case {one} is closed"),
        ("UPDATE case_keys SET erased = {false} WHERE erased", "is not closed as that of an erased case"),
        (
            "INSERT INTO case_keys SELECT loop_id, 'planted', case_id, fingerprint, erased FROM case_keys "
            "WHERE case_id = '{one}'",
            "leads to case {one}, which was not opened with it",
        ),
    ],
    ids=["gone", "repointed", "to-nothing", "renamed", "other-loop", "content", "closed", "reopened", "planted"],
)
def test_a_key_that_would_run_its_case_again_is_found(desk, sql, url, change, says):
    one, two = keyed(desk)
    assert problems(desk) == []
    truth = {"true": 1, "false": 0} if url.startswith("sqlite") else {"true": "true", "false": "false"}
    sql(change.format(one=one, two=two, **truth))
    found = problems(desk)
    assert any(says.format(one=one, two=two) in f.what for f in found), found
    assert all(f.hint for f in found)


def test_keys_of_another_secret_are_a_warning(url, folder):
    """Fingerprints of a program with a secret of its own mean nothing to a doctor that does not know it."""
    with dc.open(url, secret="of this program alone") as desk:
        keyed(desk)
        assert problems(desk, secret=b"of this program alone") == []
        assert problems(desk) == []
        (found,) = [f for f in problems(desk, WARNING) if "key" in f.what]
    assert "2 keys cannot be compared with content" in found.what


NUMBERS = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(st.characters(codec="utf-8"), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(contents=st.lists(VALUES, min_size=1, max_size=6), mode=st.sampled_from(["approval", "preference", "fallback"]))
def test_no_content_is_taken_for_another(contents, mode):
    """What is kept, read again, has the fingerprint that it was proposed with."""
    with dc.open("sqlite:///:memory:", durability="process") as desk:
        loop = desk.loop("pay", mode=mode, context="minimal")
        for number, content in enumerate(contents):
            given = {
                "approval": {"action": "pay", "args": {"content": content}},
                "preference": {"candidates": [{"id": "a", "value": content}, {"id": "b", "value": [content]}]},
                "fallback": {},
            }[mode]
            loop.propose(input={"content": content}, key=f"k{number}", **given)
        assert [f for f in examine(desk.store) if "key" in f.what and f.level != "ok"] == []


def test_an_effect_whose_time_ran_out_is_named(desk, clock):
    """Nobody has looked since: the sweep would make it unknown, and the doctor writes nothing."""
    loop = desk.loop("refunds", threshold=0.5, effect_lease="5m")
    case = loop.propose(action="refund", args={}, confidence=0.9, **CONTENT)
    loop.start_effect(case.id)
    assert [f for f in examine(desk.store) if f.check == "effects"] == []
    clock.tick(3 * 3600 + 300)
    (found,) = [f for f in examine(desk.store) if f.check == "effects"]
    assert (found.level, found.case_id) == (WARNING, case.id)
    assert "its time ran out 3 hours ago" in found.what
    assert desk.case(case.id).effect.state == "started"


def test_one_old_entry_without_a_position_is_a_warning(desk, case, clock):
    while desk.store.sequence():
        pass
    desk.loop("refunds").propose(action="refund", args={"amount": 4}, confidence=0.5, **CONTENT)
    clock.tick(60)
    assert not any(f.check == "sequencer" for f in problems(desk, WARNING))
    clock.tick(7200)
    (found,) = [f for f in problems(desk, WARNING) if f.check == "sequencer"]
    assert found.what.startswith("1 entry has no position yet, the oldest for 2 hours")


def test_the_command_says_1_for_a_problem_and_0_for_a_warning(run, refund, folder):
    case = refund()
    assert run("doctor").code == 0
    assert run("doctor", "--json").json["problems"] == 0
    with sqlite3.connect(folder / "dualcontrol.db") as connection:
        connection.execute("UPDATE entries SET hash = 'x' WHERE stream LIKE 'case/%'")
    connection.close()
    result = run("doctor")
    assert result.code == 1
    assert case in result.out.replace("\n", "")
    assert run("doctor", "--json").json["findings"][-1]
    assert run("doctor", "--json").json["problems"] == 1


def test_a_damaged_file_is_no_traceback(run, refund, folder):
    refund()
    (folder / "dualcontrol.db").write_bytes(b"not a database at all" * 500)
    result = run("doctor")
    assert (result.code, result.err) == (1, "")
    assert "the database cannot be opened: dualcontrol.db: file is not a database" in result.out
    (found,) = run("doctor", "--json").json["findings"]
    assert (found["check"], found["level"]) == ("database", "problem")
    assert run("inbox").err.startswith("error: dualcontrol.db: file is not a database")


def test_durability_is_said_of_this_program_and_counts_have_their_number(run, refund):
    refund()
    result = run("doctor")
    assert 'this program writes with durability "process"' in result.out
    assert "1 open case, none overdue" in result.out
    assert "1 case, reviews, keys and examples" in result.out
    assert "0 problems, 1 warning" in result.out
    assert "0 problems, 1 warnings" not in result.out


# Accounts


def accounts(desk: dc.Desk, level: str) -> list[str]:
    """What is found of accounts at a level."""
    return [finding.what for finding in examine(desk.store) if (finding.check, finding.level) == ("accounts", level)]


@pytest.fixture
def people(desk: dc.Desk, case: str, clock: FakeClock) -> dc.Desk:
    """The desk with accounts, a service, a group, tokens and a link between two accounts."""
    clock.tick(60)
    team(desk, ("ana", "ben", "lee"))
    desk.people.register("bot", "root", owner="lee")
    desk.people.set_group("support", ["ana", "ben"], "root")
    desk.people.link("ana", "ben", "root")
    desk.tokens.issue("ana", "root", scopes=("decide",))
    desk.tokens.revoke(desk.tokens.issue("bot", "root")[0].id, "root")
    desk.people.remove("ben", "root")
    desk.people.grant("ana", "auditor", "root", loop="refunds")
    return desk


def test_sound_accounts_have_no_problem_and_without_any_it_is_said(desk, case, request):
    assert accounts(desk, "ok") == ["there are no accounts: any name is taken, as far as its group allows"]
    request.getfixturevalue("people")
    assert (problems(desk), accounts(desk, WARNING)) == ([], [])
    assert accounts(desk, "ok") == ["4 accounts: rows, roles and tokens are what the entries say"]


def body(field: str, instead: str) -> str:
    """SQL that writes something else into a row."""
    return f"body = replace(body, '{field}', '{instead}')"


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (
            f"UPDATE accounts SET {body('reviewer', 'auditor')} WHERE identity = 'lee'",
            "the account of lee: its row has",
        ),
        (f"UPDATE accounts SET {body('removed', 'active')} WHERE identity = 'ben'", "the account of ben: its row says"),
        (f"UPDATE accounts SET {body('human', 'humen')} WHERE identity = 'ben'", "another human is behind it"),
        ("DELETE FROM accounts WHERE identity = 'lee'", "the account of lee: it has entries and no row"),
        (
            "INSERT INTO accounts (id, identity, body) "
            "SELECT 'x', 'eve', replace(replace(body, 'lee', 'eve'), id, 'x') FROM accounts WHERE identity = 'lee'",
            "the account of eve: it has a row, and no entry let it in",
        ),
        (f"UPDATE groups SET {body('ana', 'lee')}", "the people of group 'support'"),
        (f"UPDATE tokens SET {body('decide', 'propose')} WHERE body LIKE '%decide%'", "its row is not what was issued"),
        (f"UPDATE tokens SET {body('revoked_at', 'revoked')} WHERE body LIKE '%propose%'", "its row is in force"),
        ("DELETE FROM tokens WHERE body LIKE '%decide%'", "it was issued, and has no row"),
    ],
)
def test_a_row_of_accounts_that_the_entries_do_not_make_is_a_problem(people, sql, change, what):
    sql(change)
    assert any(what in finding for finding in accounts(people, PROBLEM)), accounts(people, PROBLEM)


def test_roles_that_a_loop_knows_otherwise_than_the_accounts_are_a_problem(people, sql):
    sql(f"UPDATE accounts SET {body('reviewer', 'auditor')} WHERE identity = 'lee'")
    assert "loop refunds knows other roles than the accounts have: lee" in accounts(people, PROBLEM)
    sql("DELETE FROM accounts WHERE identity = 'lee'")  # who stood behind bot
    assert "loop refunds knows other roles than the accounts have: bot, lee" in accounts(people, PROBLEM)
    sql(f"UPDATE groups SET {body('ana', 'lee')}")
    assert "loop refunds knows other people of groups than an admin said: support" in accounts(people, PROBLEM)


def test_the_chain_of_people_is_verified(people, sql):
    sql("UPDATE entries SET body = replace(body, 'root', 'mary') WHERE stream = 'people' AND seq = 2")
    assert "the hash of entry 2 of people does not hold" in " ".join(finding.what for finding in problems(people))


def test_what_needs_care_is_a_warning(people, clock):
    people.people.remove("lee", "root")
    people.tokens.issue("ana", "root", scopes=("read",), life=3 * 86_400_000_000)
    assert set(accounts(people, WARNING)) == {
        "nobody answers for the service bot: the account of lee was closed",
        next(what for what in accounts(people, WARNING) if what.endswith("of ana expires in 3 days")),
    }
    clock.tick(100 * 86_400)
    people.tokens.issue("ana", "root", scopes=("read",), life=None)
    clock.tick(100 * 86_400)
    assert any(what.endswith("of ana was not used ever") for what in accounts(people, WARNING))


def test_people_of_a_group_in_the_settings_have_accounts(desk):
    settings = dc.control.LoopSettings(name="spam", mode="labels", groups={"support": ("ana", "Zed")}, group="support")
    desk.steps.govern(settings)
    team(desk, ("ana",))
    assert accounts(desk, WARNING) == ["the settings name people of group support who have no account: Zed"]


def test_no_admin_and_a_name_of_before_are_named(desk, case, clock):
    clock.tick(60)
    ids = (desk.steps.new_id(), desk.steps.new_id())
    grants = (Grant(role="reviewer", loop="refunds"),)
    with desk.store.transaction() as tx:  # as an upgrade makes it of an earlier case
        tx.accounts.save_account(Account(id=ids[0], name="Zoe", state="named", grants=grants))
    assert accounts(desk, WARNING) == []
    desk.people.invite("ana", "root")
    assert accounts(desk, WARNING) == [
        "no admin can sign in",
        "Zoe stands in earlier cases and has never signed in, and may still decide in Python",
    ]
    assert accounts(desk, PROBLEM) == []
    desk.people.recover("Zoe", "root")
    assert (accounts(desk, WARNING), accounts(desk, PROBLEM)) == (["no admin can sign in"], [])


def test_answers_since_there_are_accounts_for_which_nobody_signed_in_are_counted_by_door(people):
    loop = people.loop("refunds")
    for way in ({}, {"via": "cli"}, {"via": "web", "authenticated": "password"}):
        open_case = loop.propose(action="refund", args={"amount": 7}, confidence=0.5, **CONTENT)
        people.claim("lee", case=open_case).reject("no", **way)
    assert accounts(people, WARNING) == [
        "2 answers since there are accounts, and nobody signed in: 1 on the command line, 1 in Python"
    ]
