"""A change of what reaches the threshold is a new question: what was certified stops at once, and is asked anew."""

from __future__ import annotations

from typing import Any

import pytest
from certify_cases import EASY, problems
from msgspec.structs import replace

from dualcontrol.control import Capacity, LoopSettings
from dualcontrol.events import EpochBegan, EvidenceCounted, PolicyChanged
from dualcontrol.evolve import governed_by
from dualcontrol.guarantee.history import moves
from dualcontrol.guarantee.warm_start import UNKNOWN, reaches
from dualcontrol.question import ASIDE, ASKS, asked, same_cases

HARD = {"name": "hard", "when": "input.hard", "route": "human"}
EASIER = {"name": "easy", "when": "!input.hard", "route": "human"}


def declare(stream: Any, **settings: Any) -> None:
    """The same loop with other settings."""
    stream.settings.update(settings)
    stream.loop = stream.desk.loop("mail", **stream.settings)


def go(
    stream: Any, count: int, *, hard: float, wrong: float, share: float = 0.4, score: float | None = None
) -> None:  # fmt: skip
    """Decisions of which the share is hard: these are wrong with the one probability, the others with the other."""
    for n in range(count):
        is_hard = stream.noise.random() < share
        mistake = stream.noise.random() < (hard if is_hard else wrong)
        case = stream.propose(score, wrong=mistake, input={"hard": is_hard, "n": n})
        if case.route.to == "human" or case.route.audited:
            stream.answer(case=case)


def sure(stream: Any, *, hard: bool = False) -> Any:
    """The route of a case as sure as can be."""
    case = stream.propose(0.999, wrong=False, input={"hard": hard})
    if case.route.to == "human" or case.route.audited:
        stream.answer(case=case)
    return case.route


def opened(stream: Any, **rates: float) -> None:
    """Decisions until a threshold is certified."""
    for _ in range(40):
        if stream.loop.control.thresholds:
            return
        go(stream, 25, **rates)
    raise AssertionError("nothing was certified")


# Every setting either asks another question or does not; a new one has to be put in one of the two lists.

OTHERS: dict[str, Any] = {
    "respond_within": "3h", "on_timeout": "reject", "context": "standard",
    "meta": ["plan"], "rationale": "required", "markdown": ["input"], "group": "leads", "quorum": {"answers": 2},
    "start": "suggest", "feedback": {"retrain_every": 50}, "lease": "20m", "undo": "3s", "dead_time": "200ms",
    "approval_lasts": "1d", "on_unknown": "retry", "effect_lease": "9m", "changes": "two", "audit": 0.3,
    "probes": {"share": 0.1}, "cap": {"high": 80},
}  # fmt: skip
OTHER_QUESTIONS: dict[str, tuple[Any, str]] = {
    "guarantee": (EASY | {"max_error": 0.25}, "the promise changed: max_error is 0.25, not 0.2"),
    "risk_ceiling": ("low", "risk_ceiling changed: low, not medium"),
    "human_actions": (["pay"], "human_actions changed: 'pay' was added"),
    "autopilot_actions": (["read"], "autopilot_actions changed: 'read' was added"),
    "block_actions": (["drop"], "block_actions changed: 'drop' was added"),
    "labels": (["a", "b"], "labels changed: a set is declared"),
    "rules": ([HARD], "rules changed: 'hard' was added"),
}


def test_every_setting_is_in_one_of_the_two_lists():
    assert sorted((*ASKS, *ASIDE)) == sorted(LoopSettings.__struct_fields__)
    assert {*OTHERS, "name", "threshold", "groups"} == {*ASIDE}, "each that does not ask is tried below"
    assert {*OTHER_QUESTIONS, "mode", "schema", "capacity"} == {*ASKS}


def test_other_settings_leave_what_is_certified_in_force(stream):
    stream.opened()
    for name, value in OTHERS.items():
        before = stream.loop.control
        declare(stream, **{name: value})
        after = stream.loop.control
        assert after.version > before.version, name
        assert after.thresholds
        assert (after.thresholds, after.epochs, after.epoch) == (before.thresholds, before.epochs, before.epoch), name


def test_a_capacity_by_which_equal_questions_count_once_asks_another_question(stream):
    """Another number of reviewers does not, nor a capacity where the guarantee says what belongs together."""
    declare(stream, respond_within="3h")
    before, now = stream.loop.control.settings, replace(stream.loop.control.settings, capacity=Capacity(reviewers=3))
    assert asked(stream.loop.control, now).words == "capacity changed: equal questions count once"
    assert same_cases(now, replace(now, capacity=Capacity(reviewers=5)))
    declared = replace(before.guarantee, independent_by="run")
    assert same_cases(replace(before, guarantee=declared), replace(now, guarantee=declared))


@pytest.mark.parametrize("name", OTHER_QUESTIONS)
def test_another_question_stops_what_is_certified_at_once_and_names_what_changed(stream, name: str):
    stream.opened()
    before = stream.loop.control
    value, words = OTHER_QUESTIONS[name]
    declare(stream, **{name: value})
    after = stream.loop.control
    assert (after.thresholds, after.epochs, after.audits, after.epoch) == ({}, {}, {}, before.epoch + 1)
    route = sure(stream)
    assert (route.to, route.inclusion) == ("human", 1.0)
    stream.loop.certify()
    began = stream.events(EpochBegan)[-1]
    assert began.reason == words
    entries = stream.desk.store.queries.entries(stream.loop.stream)
    assert [move.reason for move in moves(entries) if move.what == "epoch began"][-1] == words
    assert problems(stream.desk) == []


# Through the desk: a rule that kept hard cases with people is deleted, and one is added that sends the easy half there.


def test_once_a_rule_is_dropped_nothing_acts_that_was_certified_without_its_cases(make):
    """The hard 40 % are wrong in 60 % of cases: with them no region keeps 20 %, and without them nearly all do."""
    s = make(rules=[HARD])
    opened(s, hard=0.6, wrong=0.04)
    assert sure(s).to == "autopilot"
    declare(s, rules=[])
    go(s, 400, hard=0.6, wrong=0.04)
    assert s.events(EpochBegan)[-1].reason == "rules changed: 'hard' was dropped"
    assert s.loop.control.thresholds == {}, "0.26 of all cases are wrong"
    s.check()


def test_once_a_rule_takes_the_easy_half_nothing_acts_that_was_certified_with_it(make):
    """Half of the cases are never wrong, half in every second: together 25 % are, and of those that are left 50 %."""
    s = make(guarantee=EASY | {"max_error": 0.4})
    opened(s, hard=0.5, wrong=0.0, share=0.5, score=0.9)
    assert sure(s, hard=True).to == "autopilot"
    declare(s, rules=[EASIER])
    go(s, 250, hard=0.5, wrong=0.0, share=0.5, score=0.9)
    began = s.events(EpochBegan)[-1]
    assert (began.reason, s.loop.control.thresholds) == ("rules changed: 'easy' was added", {})
    s.check()


def test_recorded_cases_that_reach_the_threshold_now_are_counted_from_the_beginning(make, tmp_path):
    """Those that the rule kept with people as well: they were seen for certain; one that nobody answered is wrong."""
    s = make(f"sqlite:///{tmp_path}/a.db", rules=[HARD], guarantee=EASY | {"max_error": 0.4})
    go(s, 160, hard=0.05, wrong=0.05)
    unanswered = s.propose(0.5, wrong=False, input={"hard": True})
    s.clock.tick(8 * 86_400)
    sure(s)
    s.desk.sweep()
    declare(s, rules=[])
    sure(s)
    s.loop.certify()
    began = s.events(EpochBegan)[-1]
    counted = next(e for e in s.events(EvidenceCounted) if e.epoch == began.epoch)
    cases = [s.desk.store.feed(label[0] - 1, 1, "mail")[0].stream.removeprefix("case/") for label in counted.labels]
    routes = [s.desk.case(case).route for case in cases]
    kept = [route.by == "rule:hard" for route in routes]
    assert 50 < sum(kept) < len(kept) - 50
    assert {label[3] for label, by_rule in zip(counted.labels, kept, strict=True) if by_rule} == {"1.0"}
    assert [float(label[3]) for label in counted.labels] == [route.inclusion for route in routes]
    wrong = {case: label[2] for case, label in zip(cases, counted.labels, strict=True)}
    truth = {case: int(s.truth[case] == "b") for case in cases}
    assert wrong == truth | {unanswered.id: 1}
    assert counted.missing == (counted.labels[cases.index(unanswered.id)][0],)
    assert s.loop.control.thresholds, "what is recorded certifies at once"
    s.go(30, input={"hard": True})
    s.check()
    s.restart()
    s.check()
    assert problems(s.desk) == []


def test_cases_that_nobody_could_have_seen_leave_nothing_to_begin_with(make):
    """What a rule had blocked would come to the threshold now, and of that nothing is known."""
    s = make(rules=[HARD | {"route": "block"}])
    opened(s, hard=0.6, wrong=0.04)
    declare(s, rules=[])
    sure(s)
    s.loop.certify()
    began = s.events(EpochBegan)[-1]
    assert [label[0] > began.after for e in s.events(EvidenceCounted) if e.epoch == began.epoch for label in e.labels]
    assert {row["seq"] > began.after for row in s.loop.evidence()} == {True}
    assert s.loop.control.thresholds == {}


@pytest.mark.parametrize("blind", [True, False])
def test_what_a_rule_kept_with_people_is_of_the_record_only_where_shown_answers_count(make, blind: bool):
    """It was answered with the proposal shown: where only blind answers are evidence, the new policy begins cold."""
    s = make(rules=[HARD], guarantee=EASY | {"blind": blind})
    go(s, 60, hard=0.05, wrong=0.05)
    declare(s, rules=[])
    sure(s)
    s.loop.certify()
    began = s.events(EpochBegan)[-1]
    labels = [label for e in s.events(EvidenceCounted) if e.epoch == began.epoch for label in e.labels]
    recorded = sum(label[0] <= began.after for label in labels)
    assert recorded == 0 if blind else recorded > 50


def test_a_case_whose_answer_is_still_awaited_ends_what_is_counted_of_the_record(make):
    """Slow answers are not like quick ones: what was decided after it waits, and is no evidence for the new policy."""
    s = make(rules=[HARD])
    go(s, 30, hard=0.05, wrong=0.05)
    awaited = s.propose(0.5, wrong=False, input={"hard": True})
    go(s, 30, hard=0.05, wrong=0.05)
    declare(s, rules=[])
    sure(s)
    s.loop.certify()
    began = s.events(EpochBegan)[-1]
    counted = next(e for e in s.events(EvidenceCounted) if e.epoch == began.epoch)
    assert len(counted.labels) == 30
    heads = {entry.stream: entry.pos for entry in s.desk.store.feed(0, 10_000, "mail") if entry.seq == 1}
    assert max(label[0] for label in counted.labels) < heads[f"case/{awaited.id}"]


def test_a_case_without_the_score_that_counts_now_leaves_nothing_to_begin_with(make):
    s = make(rules=[HARD])
    case = s.propose(0.5, wrong=False, input={"hard": True})
    s.answer(case=case)
    declare(s, rules=[])
    control, case = s.loop.control, s.desk.case(case.id)
    assert reaches(case, control, "", None) == 0.5
    assert reaches(case, control, "", "another model") is None
    assert reaches(case, control, "another segment", None) is None
    guarantee = replace(control.settings.guarantee, score="risk")
    learned = replace(control, settings=replace(control.settings, guarantee=guarantee), scorer="risk-1")
    assert reaches(case, learned, "", None) is UNKNOWN


def test_an_override_and_its_end_are_other_questions_too(stream):
    stream.opened()
    stream.loop.override("risk_ceiling", "low", by="ana")
    assert stream.loop.control.thresholds == {}
    assert sure(stream).to == "human"
    stream.loop.drop_override("risk_ceiling", by="ana")
    sure(stream)
    stream.loop.certify()
    reasons = [event.reason for event in stream.events(EpochBegan)]
    assert reasons[-2:] == ["risk_ceiling changed: low, not medium", "risk_ceiling changed: medium, not low"]
    assert problems(stream.desk) == []


def test_settings_of_before_the_question_was_recorded_fold_as_they_did(stream):
    """A ledger of an older version kept what was certified when a rule changed; its controls stay as they were."""
    stream.opened()
    before = stream.loop.control
    declare(stream, rules=[HARD])
    event = stream.events(PolicyChanged)[-1]
    assert event.asks == "rules changed: 'hard' was added"
    assert governed_by(before, event).thresholds == {}
    assert governed_by(before, replace(event, asks=None)).thresholds == before.thresholds != {}
