"""A replay of a loop under a guarantee certifies what the live certificate has, or says plainly why it cannot."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from certify_cases import EASY, Stream

import dualcontrol as dc
from dualcontrol.replay.past import past_result, remarks, replayed
from dualcontrol.replay.whatif import Options, ThresholdResult

MISSED = {**EASY, "miss_rate": 0.1}
BLIND = {**EASY, "blind": True}
TALKS = {**EASY, "independent_by": "meta.talk", "largest": 3, "within": "1m"}
LAUNCH = {**EASY, "launch": 120}


def again(stream: Stream, max_error: float = 0.2, confidence: float = 0.95, **options: Any) -> ThresholdResult:
    """The stream's past, replayed under the settings in force; nothing is written by it."""
    before = len(stream.events())
    past = replayed(stream.desk, "mail", 100_000, lambda: None)
    result = past_result(past, Options(max_error=max_error, confidence=confidence, **options), None)
    assert len(stream.events()) == before
    return result


def figures(stream: Stream) -> dict[str, Any]:
    """The replayed certificate in figures: its part of the chance of being wrong, its wealth, what it needs."""
    (record,) = replayed(stream.desk, "mail", 1, lambda: None).recorded
    return record.certificate(0.2, 0.95).evidence()


def threshold_of(result: ThresholdResult) -> float | None:
    return None if result.offline is None else result.offline.threshold


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("guarantee", [EASY, MISSED, BLIND, LAUNCH], ids=["shown", "missed", "blind", "launch"])
def test_the_region_is_the_live_one_on_the_same_stream(make, guarantee: dict[str, Any], seed: int):
    """Weights, least inclusions, the burn-in, the part of delta, the exact test and the allowance are the same."""
    s = make(seed=seed, guarantee=guarantee, audit=0.3)
    for _ in range(3):
        s.go(130)
        s.loop.certify()
        assert threshold_of(again(s)) == s.loop.control.thresholds.get("")
        assert figures(s) == s.desk.certifier.segments(s.loop.control)[""].certificate.evidence()
    assert s.loop.control.thresholds or guarantee is MISSED, "the stream never opened"


def test_clusters_count_once_as_they_do_live(make):
    s = make(guarantee=TALKS)
    talks = itertools.count()
    for _ in range(130):
        talk = next(talks)
        for _ in range(3):
            case = s.propose(0.95, wrong=False, meta={"talk": talk})
            if case.route.to == "human" or case.route.audited:
                s.answer(case=case)
        s.clock.tick(200)
    s.loop.certify()
    assert s.loop.control.thresholds
    assert threshold_of(again(s)) == s.loop.control.thresholds[""]
    apart = again(s).offline
    assert apart is not None
    assert apart.n == len(s.loop.evidence())


def test_a_second_epoch_spends_what_is_left(make):
    """Its part of the chance of being wrong is smaller, in the replay as well."""
    s = make().opened()
    s.settings["human_actions"] = ["nothing of the kind"]  # another question: a new epoch
    s.loop = s.desk.loop("mail", **s.settings)
    s.go(120)
    s.loop.certify()
    assert s.standing().epoch > 0
    assert figures(s) == s.desk.certifier.segments(s.loop.control)[""].certificate.evidence()
    assert threshold_of(again(s)) == s.loop.control.thresholds.get("")


def test_people_who_miss_more_certify_less(make):
    s = make(guarantee=MISSED)
    s.go(500)
    s.loop.certify()
    told = [again(s, miss_rate=rate).offline for rate in (0.0, 0.1, 0.6)]
    assert [o.threshold for o in told if o is not None][1] == s.loop.control.thresholds.get("")
    none, live, much = (1.0 if o is None or o.threshold is None else o.threshold for o in told)
    assert none <= live < much


def test_another_bound_is_tried_under_the_same_promise(make):
    """As the what-if of the page: same bins, burn-in and part of delta."""
    s = make().opened()
    s.loop.certify()
    wider = again(s, max_error=0.5).offline
    assert wider is not None
    assert wider.threshold is not None
    assert wider.threshold <= s.loop.control.thresholds[""]


# why not


def said(stream: Stream, **options: Any) -> str:
    result = again(stream, **options)
    assert result.refused
    return result.reason


def test_before_anything_is_counted_it_says_so(make):
    s = make(guarantee=BLIND)
    s.propose(0.9)
    assert "nothing is known of its error" in said(s) or "no decision was counted yet" in said(s)


def changed(stream: Stream, **settings: Any) -> Stream:
    """The file says something else by now, and nobody has put it in force."""
    stream.settings.update(settings)
    stored = stream.desk.control("mail")
    declared = dc.open("sqlite:///:memory:")
    wanted = declared.loop("mail", **stream.settings).control.settings
    declared.close()
    assert stored is not None
    stream.desk.settings.loops["mail"] = wanted
    return stream


def test_other_labels_are_another_question(make):
    s = make(labels=["a", "b"]).opened()
    changed(s, labels=["a", "b", "c"])
    assert "labels, schema or mode changed" in said(s)
    assert "'c' was added" in said(s)


def test_a_rule_dropped_since_is_routed_again_and_counted_with_the_part_for_recorded_cases(make):
    """What a new epoch would begin with; a bare refold of the old labels would say more."""
    s = make(rules=[{"name": "odd", "when": "input == 3", "route": "human"}], audit=1.0)
    s.go(200, score=0.9, wrong=False)
    s.loop.certify()
    live = s.loop.control.thresholds[""]
    changed(s, rules=[])
    past = replayed(s.desk, "mail", 100_000, lambda: None)
    options = Options(max_error=0.2)
    result = past_result(past, options, None)
    assert any("by today's rules other cases reach the threshold" in remark for remark in remarks(past, options))
    mine = threshold_of(result)
    assert mine is not None
    assert mine >= live
    mine_in_figures = figures(s)
    s.loop = s.desk.loop("mail", **s.settings)
    s.propose(0.99)
    s.loop.certify()
    assert mine == s.loop.control.thresholds.get("")
    live_in_figures = s.desk.certifier.segments(s.loop.control)[""].certificate.evidence()
    assert {**mine_in_figures, "seq": 0} == {**live_in_figures, "seq": 0}


def test_answers_that_were_shown_are_why_a_rule_dropped_certifies_nothing(make):
    s = make(guarantee=BLIND, rules=[{"name": "low", "when": "signal.confidence < 0.5", "route": "human"}])
    s.go(150)
    changed(s, rules=[])
    assert "were answered with the proposal shown" in said(s)


def test_what_ran_without_audits_is_why(make):
    s = make(rules=[{"name": "let", "when": "signal.confidence < 0.3", "route": "autopilot"}], audit=0.0)
    s.go(120)
    changed(s, rules=[])
    assert "nobody could be asked about them" in said(s)


def test_clusters_of_several_are_not_routed_again(make):
    s = make(guarantee=TALKS, rules=[{"name": "odd", "when": "input == 3", "route": "human"}])
    for n in range(60):
        s.propose(0.95, wrong=False, meta={"talk": n})
        s.answer()
    s.clock.tick(200)
    s.loop.certify()
    changed(s, rules=[])
    assert "it is not looked up who was seen of a cluster" in said(s)


def test_segments_have_a_certificate_each(make):
    s = make(guarantee={**EASY, "segments": ["x", "y"]}).opened(segment="x")
    s.go(5, segment="y")
    s.loop.certify()
    result = again(s)
    assert not result.refused
    assert {name: part.threshold for name, part in result.segments.items()} == {
        "x": s.loop.control.thresholds["x"], "y": None,
    }  # fmt: skip
