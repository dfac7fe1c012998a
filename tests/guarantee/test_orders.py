"""Two orders on the same labels: each has half of delta, the wider acts, and neither takes from the other.

A quarter of the cases is confident and often wrong, which their arguments give away, so that confidence opens nothing;
the learned order leaves them to people.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from risk_cases import Stream, define, opened, pay

import dualcontrol as dc
from dualcontrol.case import Route
from dualcontrol.control import CONFIDENCE, RISK, Control, Guarantee, LoopSettings
from dualcontrol.events import (
    AuditsChanged,
    EpochBegan,
    EvidenceCounted,
    Routed,
    ScoreChanged,
    ThresholdMoved,
)
from dualcontrol.evolve import governed_by
from dualcontrol.guarantee import moves, orders, relearn
from dualcontrol.guarantee.certificate import Certificate
from dualcontrol.guarantee.certifier import apply
from dualcontrol.guarantee.evidence import Segments
from dualcontrol.guarantee.history import History
from dualcontrol.guarantee.relearn import learn_risk
from dualcontrol.guarantee.standing import words
from dualcontrol.testing import FakeClock, seeded_ids


class Played(NamedTuple):
    """A stream that the learned order has opened, where it lies, and the cases that each risk model learned from."""

    stream: Stream
    folder: Path
    learned: list[set[str]]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """A stream through the desk until autopilot has worked for a while, with a restart in the middle."""
    folder, learned, fitted = tmp_path_factory.mktemp("orders"), [], relearn.fitted

    def noted(desk: Any, control: Any, rows: Any, **remarks: Any) -> Any:
        learned.append({row.case_id for row in rows})
        return fitted(desk, control, rows, **remarks)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(relearn, "fitted", noted)
        with opened(folder) as desk:
            first = Stream(desk, define(desk, "both", max_error=0.1, learn_from=250)).go(650)
        with opened(folder, 1) as desk:
            stream = Stream(desk, desk.loop("pay"), 1)
            stream.asked, stream.autopilot = first.asked, first.autopilot
            yield Played(stream.go(500), folder, learned)


def recorded(desk: dc.Desk, *kinds: type) -> list[Any]:
    """Events of the loop's stream."""
    events = [event for entry in desk.store.queries.entries(desk.loop("pay").stream) for event in entry.events]
    return [event for event in events if isinstance(event, kinds)]


def test_the_learned_order_acts_where_confidence_certifies_nothing(played: Played) -> None:
    """Within the bound, without the cases that only look sure; each case carries both scores."""
    loop, done = played.stream.loop, played.stream.autopilot
    assert len(done) > 100
    assert sum(done) <= 0.1 * len(done)
    assert (loop.control.orders, loop.control.acting(None)) == ({"": RISK}, RISK)
    sure, foreign = pay(loop, "plain", 0.97).route, pay(loop, "foreign", 0.97).route
    assert (sure.to, foreign.to) == ("autopilot", "human")
    assert "(learned) reaches" in sure.reason
    for route in (sure, foreign):
        assert (route.score, route.scorer, route.chance_by) == (0.97, None, loop.control.scorer)
        assert route.chance is not None
    assert foreign.chance < loop.control.threshold_for(None) <= sure.chance


def test_it_is_said_which_acts_what_each_covers_and_why(played: Played) -> None:
    loop = played.stream.loop
    [standing] = loop.guarantee()
    confidence, chance = standing.orders
    assert (standing.state, standing.scorer, standing.threshold) == (
        "certified", loop.control.scorer, loop.control.threshold_for(None),
    )  # fmt: skip
    assert (confidence.order, confidence.acts, confidence.threshold, confidence.through) == (
        CONFIDENCE, False, None, 0.0,
    )  # fmt: skip
    assert (chance.order, chance.acts, chance.threshold) == (RISK, True, standing.threshold)
    assert confidence.labels_used > chance.labels_used > 200
    text = words(loop.control, standing)
    assert "The learned one acts" in text.orders
    assert "nothing is certified by the other" in text.orders
    assert "learned score of" in text.promised_for
    assert "acts from here on, since it lets" in recorded(played.stream.desk, ThresholdMoved)[0].reason


def test_no_label_is_learned_from_and_counted(played: Played) -> None:
    """Confidence counts all labels, the learned order those of cases that its model had scored."""
    desk = played.stream.desk
    places = {entry.pos: entry.stream.partition("/")[2] for entry in desk.store.feed(0, 1_000_000, "pay")}
    began = [event for event in recorded(desk, EpochBegan) if event.order == RISK]
    scorers = [event.scorer for event in began]
    assert scorers == [event.model for event in recorded(desk, ScoreChanged)]
    counted: set[str] = set()
    for event in recorded(desk, EvidenceCounted):
        chances = event.chances or ("",) * len(event.labels)
        counted |= {places[label[0]] for label, chance in zip(event.labels, chances, strict=True) if chance}
    by_model = {scorer: {c for c in counted if desk.case(c).route.chance_by == scorer} for scorer in scorers}
    assert len(by_model[scorers[-1]]) > 200
    for scorer, learned in zip(scorers, played.learned, strict=True):
        assert not by_model[scorer] & learned


def test_both_orders_count_a_label_with_the_one_probability_of_its_draw(played: Played) -> None:
    """Each certificate is what its own scores make of the same wrong, inclusion and floor; a stranger gets the same."""
    desk, last = played.stream.desk, None
    certificates: dict[str, Certificate] = {}
    for event in recorded(desk, EpochBegan, EvidenceCounted):
        if isinstance(event, EpochBegan):
            last = event.promise
            certificates[event.order or CONFIDENCE] = Certificate(**json.loads(last))
            continue
        for n, (pos, score, wrong, inclusion, _, _) in enumerate(event.labels):
            floor = float(event.floors[n]) if event.floors and event.floors[n] else None
            chance = event.chances[n] if event.chances else ""
            for certificate, by in zip(certificates.values(), (score, chance), strict=False):
                if by and pos not in event.stale:
                    certificate.observe(
                        score=float(by), wrong=wrong, inclusion=float(inclusion), seq=pos, floor=floor
                    )  # fmt: skip
        for certificate in certificates.values():
            certificate.tick(event.upto)
    segment = desk.certifier.segments(desk.control("pay"))[""]
    assert certificates[CONFIDENCE].to_dict() == segment.certificate.to_dict()
    assert certificates[RISK].to_dict() == segment.second.certificate.to_dict()
    assert desk.control("pay").thresholds == {"": certificates[RISK].threshold}
    assert [json.loads(event.promise)["segments"] for event in recorded(desk, EpochBegan)] == [2] * (
        1 + len(played.learned)
    )
    inclusions = {float(label[3]) for event in recorded(desk, EvidenceCounted) for label in event.labels}
    assert min(inclusions) < 0.2


def test_a_restart_goes_on_where_it_was(played: Played) -> None:
    with opened(played.folder, 2) as desk:
        before = played.stream.desk.certifier.segments(played.stream.loop.control)[""]
        after = desk.certifier.segments(desk.control("pay"))[""]
        assert after.second.certificate.to_dict() == before.second.certificate.to_dict()
        assert after.certificate.to_dict() == before.certificate.to_dict()
        assert list(after.second.latest) == list(before.second.latest)
        one, other = pay(played.stream.loop, "plain", 0.97).route, pay(desk.loop("pay"), "plain", 0.97).route
        assert (one.chance, one.to) == (other.chance, other.to)


def test_the_course_shows_what_the_acting_order_covers(played: Played) -> None:
    desk = played.stream.desk
    history = History("pay").fold(desk.store.queries.entries(played.stream.loop.stream))
    [standing] = played.stream.loop.guarantee()
    last = history.points("")[-1]
    assert (last.threshold, last.coverage > 0.2) == (standing.threshold, True)
    assert "learned order began" in [move.what for move in history.moves]


def test_the_monitor_watches_what_the_learned_order_does(tmp_path: Path, played: Played) -> None:
    """Errors behind it raise the alarm; autopilot closes, both orders begin anew, and each has spent its part."""
    with opened(played.folder, 3) as desk:
        loop = desk.loop("pay")
        while (claim := desk.claim("ana", loop="pay")) is not None:  # what other tests have left unanswered
            claim.approve()
        before = [json.loads(event.promise)["spent"] for event in recorded(desk, EpochBegan)]
        for n in range(4_000):
            case = pay(loop, "plain", 0.97, 10.0 + n % 7)
            if case.route.to == "human" or case.route.audited:
                desk.claim("ana", case=case).reject("no")
            if loop.control.closed:
                break
        assert "the monitor found" in loop.control.closed[""]
        assert (loop.control.orders, loop.control.thresholds) == ({}, {})
        for _ in range(60):
            case = pay(loop, "plain", 0.5)
            if case.route.to == "human":
                desk.claim("ana", case=case).approve()
        loop.certify()
        fresh = recorded(desk, EpochBegan)[len(before) :]
        assert [event.order for event in fresh[:2]] == ["", RISK]
        assert [json.loads(event.promise)["spent"] for event in fresh[:2]] == [1, max(before) + 1]


def test_with_confidence_alone_there_is_no_second_order(tmp_path: Path) -> None:
    with opened(tmp_path) as desk:
        stream = Stream(desk, define(desk, "confidence", learn_from=60)).go(120)
        control = stream.loop.control
        assert (control.scorer, recorded(desk, ScoreChanged)) == (None, [])
        assert json.loads(recorded(desk, EpochBegan)[0].promise)["segments"] == 1
        assert stream.asked[-1].route.chance is None
        [standing] = stream.loop.guarantee()
        assert (standing.orders, standing.halved, words(control, standing).orders) == ([], False, "")


def test_where_no_risk_model_can_be_learned_confidence_has_all_of_delta(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orders, "learnable", lambda: False)
    with opened(tmp_path) as desk:
        stream = Stream(desk, define(desk, "both", learn_from=60)).go(120)
        assert json.loads(recorded(desk, EpochBegan)[0].promise)["segments"] == 1
        assert stream.loop.control.scorer is None
    monkeypatch.setattr(orders, "learnable", lambda: True)
    with opened(tmp_path, 1) as desk:  # an epoch that has all of delta has no second order beside it
        stream = Stream(desk, desk.loop("pay"), 1).go(120)
        assert [event.order for event in recorded(desk, EpochBegan)] == [""]
        assert (stream.loop.control.scorer, stream.loop.guarantee()[0].halved) == (None, False)
        define(desk, "both", learn_from=60, max_error=0.06)
        Stream(desk, desk.loop("pay"), 2).go(120)
        began = [(e.order, json.loads(e.promise)) for e in recorded(desk, EpochBegan)][1:]
        assert [(order, promise["segments"], promise["spent"]) for order, promise in began][:2] == [
            ("", 2, 1), (RISK, 2, 1),
        ]  # fmt: skip


def test_a_case_that_another_model_scored_counts_for_confidence_alone(tmp_path: Path) -> None:
    """The next model may have learned from it, or from what it was like."""
    with opened(tmp_path) as desk:
        loop = define(desk, "both", learn_from=60, pilot=0)
        Stream(desk, loop).go(90)
        waits, first = pay(loop, "plain", 0.4), loop.control.scorer
        second = learn_risk(desk, "pay").version
        later = pay(loop, "plain", 0.4)
        assert (waits.route.chance_by, later.route.chance_by) == (first, second)
        for case in (waits, later):
            desk.claim("ana", case=case).approve()
        loop.certify()
        chances: dict[int, str] = {}
        for event in recorded(desk, EvidenceCounted):
            chances |= dict(zip((label[0] for label in event.labels), event.chances, strict=False))
        feed = desk.store.feed(0, 100_000, "pay")
        opened_at = {entry.stream.partition("/")[2]: entry.pos for entry in feed if entry.seq == 1}
        assert [chances[opened_at[case.id]] != "" for case in (waits, later)] == [False, True]
        assert loop.evidence()[-2]["seq"] == opened_at[waits.id]


@pytest.mark.parametrize("harm", ["gone", "altered"])
def test_a_lost_file_closes_nothing(tmp_path: Path, played: Played, harm: str) -> None:
    """What the learned order would let through goes to people; confidence goes on."""
    with opened(tmp_path) as desk:
        loop = define(desk, "both", learn_from=60)
        Stream(desk, loop).go(90)
    [file] = (tmp_path / "dc.db.models").iterdir()
    file.unlink() if harm == "gone" else file.write_bytes(b"other")
    with opened(tmp_path, 1) as desk:
        loop = desk.loop("pay")
        route = pay(loop, "plain", 0.99).route
        assert (route.score, route.chance, route.chance_by, loop.control.closed) == (0.99, None, None, {})
        desk.claim("ana", case=pay(loop, "plain", 0.4)).approve()
        loop.certify()
        assert learn_risk(desk, "pay").in_force
        assert pay(loop, "plain", 0.99).route.chance is not None


def test_a_batch_has_no_learned_scores(played: Played) -> None:
    """While the learned order acts, its rows go to people, as they would one by one without a score."""
    loop = played.stream.loop
    batch = loop.propose_batch(
        {
            "action": ["pay"] * 5,
            "proposal": [{"kind": "plain", "amount": 3.0}] * 5,
            "confidence": np.full(5, 0.99),
            "input": [{"bill": 7}] * 5,
        }
    )
    assert batch.counts["autopilot"] == 0


# The event of a changed order, folded.


def test_a_threshold_of_the_learned_order_makes_it_act() -> None:
    settings = LoopSettings(name="m", guarantee=Guarantee(max_error=0.05))
    control = Control(loop="m", loop_id=1, version=1, settings=settings, scorer="r1")
    table = AuditsChanged(version=3, at=0, segment="", edges=("0.5",), shares=("1.0", "0.1"), reason="")
    moved = ThresholdMoved(version=2, at=0, segment="", threshold="0.9", reason="", order=RISK)
    control = governed_by(governed_by(control, moved), table)
    assert (control.acting("any"), control.threshold_for("any")) == (RISK, 0.9)
    back = governed_by(control, ThresholdMoved(version=4, at=0, segment="", threshold="0.8", reason=""))
    assert (back.acting("any"), back.threshold_for("any")) == (CONFIDENCE, 0.8)
    for event in (
        ScoreChanged(version=4, at=0, model="r2", examples=9, reason="", beside=True),
        EpochBegan(version=4, at=0, segment="", epoch=1, reason="", promise="{}", order=RISK),
        EpochBegan(version=4, at=0, segment="", epoch=1, reason="", promise="{}"),
    ):
        after = governed_by(control, event)
        assert (after.orders, after.thresholds, after.audits) == ({}, {}, {})
    again = EpochBegan(version=5, at=0, segment="", epoch=1, reason="", promise="{}", order=CONFIDENCE)
    assert governed_by(control, again).thresholds == {"": 0.9}
    kept = governed_by(back, ScoreChanged(version=5, at=0, model="r2", examples=9, reason="", beside=True))
    assert (kept.thresholds, kept.scorer) == ({"": 0.8}, "r2")


def test_routes_of_before_keep_their_bytes() -> None:
    routed = Routed(to="human", by="threshold", reason="", control=1, inclusion="1.0", score="0.5")
    assert "chance" not in json.dumps(routed.to_dict())
    route = Route(to="human", by="", reason="", control=1, inclusion=1.0, audited=False, epoch=0)
    assert (route.chance, route.chance_by) == (None, None)


# Delta: whatever begins, ends, and is switched on or off, all certificates together spend no more than all of it.


@settings(max_examples=150, deadline=None)
@example(["confidence", "label", "both", *["model", "label"] * 4])
@example([*["model", "label"] * 4, *["confidence", "label"] * 4])
@given(st.lists(st.sampled_from(["label", "model", "alarm", "both", "confidence", "risk", "again"]), max_size=40))
def test_all_certificates_of_a_loop_spend_delta_once(story: list[str]) -> None:
    def control(score: str, scorer: str | None) -> Control:
        guarantee = Guarantee(max_error=0.05, pilot=0, launch=0, score=score)
        return Control(loop="m", loop_id=1, version=1, settings=LoopSettings(name="m", guarantee=guarantee),
                       scorer=scorer, epochs={"": 0})  # fmt: skip

    score, models, pos, family = "both", 0, 0, {CONFIDENCE: 0, RISK: 0}
    segments: Segments = {}
    apply(segments, moves.began(control(score, None), "", None, None, 0, 0, ""))
    spent: dict[tuple[str, int], float] = {}  # by certificates, a restart and what it restarts being one
    for what in story:
        now, segment = control(score, f"r{models}" if models else None), segments[""]
        if what == "label":
            pos += 1
            chances = ("0.95",) if segment.second is not None else ()
            labels = ((pos, "0.95", 0, "1.0", 0, 0),)
            apply(segments, EvidenceCounted(at=0, segment="", epoch=segment.epoch, upto=pos, labels=labels,
                                            chances=chances))  # fmt: skip
            spent[CONFIDENCE, family[CONFIDENCE]] = segment.certificate.delta
            if segment.second is not None:
                spent[RISK, family[RISK]] = segment.second.certificate.delta
            continue
        if what == "again":
            if segment.second is not None and segment.second.certificate.labels and segment.certificate.labels:
                apply(segments, moves.began_second(now, "", segment, 0, 3))
                apply(segments, moves.began(now, "", None, segments[""], pos, 0, "", first=3))
            continue
        if what == "model":
            if orders.shares(segment.promise, now):
                models += 1
                family[RISK] += 1
                apply(segments, moves.began_second(control(score, f"r{models}"), "", segment, 0))
            continue
        score = score if what == "alarm" else what
        family = {order: number + 1 for order, number in family.items()}
        apply(segments, moves.began(control(score, None), "", None, segment, pos, 0, what, cut="drift"))
    assert sum(spent.values()) <= 0.05 + 1e-12


# Validity: however the order that acts is chosen, no false region is ever in force more often than delta allows.


def test_no_false_region_acts_more_often_than_delta_allows() -> None:
    """The surest fifth and three fifths err by a little more than the bound in either order; audits are rare."""
    runs, broken, delta = 60, 0, 0.1
    for seed in range(runs):
        rng = np.random.default_rng([7, seed])
        confidence, chance = rng.random(4_000), rng.random(4_000)
        wrong = rng.random(4_000) < 0.105
        draws = rng.random(4_000)
        certificates = {
            order: Certificate(0.1, 1.0 - delta, segments=2, edges=[n / 10 for n in range(1, 10)], floor=0.2)
            for order in (CONFIDENCE, RISK)
        }
        for n in range(4_000):
            inclusion = 1.0 if confidence[n] < 0.5 else (0.2 if chance[n] < 0.5 else 0.6)
            if draws[n] < inclusion:
                for order, score in ((CONFIDENCE, confidence[n]), (RISK, chance[n])):
                    certificates[order].observe(
                        score=float(score), wrong=bool(wrong[n]), inclusion=inclusion, seq=n, floor=0.2
                    )  # fmt: skip
            for certificate in certificates.values():
                certificate.tick(n)
        broken += any(certificate.threshold is not None for certificate in certificates.values())
    assert broken <= delta * runs + 3.0 * (delta * (1 - delta) * runs) ** 0.5


def test_the_wider_order_acts_and_two_alike_do_not_take_turns() -> None:
    def certified(at: float | None) -> Any:
        certificate = Certificate(0.5, 0.9, edges=[n / 100 for n in range(1, 100)], floor=1.0)
        if at is not None:
            certificate._certify(int(at * 100), "evidence")
        return certificate

    began = EpochBegan(version=1, at=0, segment="", epoch=0, reason="", order=RISK, scorer="r",
                       promise=json.dumps({"max_error": 0.5}))  # fmt: skip
    second = orders.Second(began)
    for n in range(1_000):
        second.latest.append(orders.Latest((n % 100) / 100, (n * 7 % 100) / 100, 1.0))

    def acts(one: float | None, other: float | None, acting: str) -> str:
        second.certificate = certified(other)
        return orders.wider(certified(one), second, acting).order

    assert acts(None, None, CONFIDENCE) == CONFIDENCE
    assert acts(0.5, None, CONFIDENCE) == CONFIDENCE
    assert acts(0.5, None, RISK) == CONFIDENCE
    assert acts(None, 0.99, CONFIDENCE) == RISK
    assert acts(0.5, 0.4, CONFIDENCE) == RISK
    assert acts(0.4, 0.5, RISK) == CONFIDENCE
    assert [acts(0.5, 0.5, acting) for acting in (CONFIDENCE, RISK)] == [CONFIDENCE, RISK]
    second.latest.extend(orders.Latest(0.9, None, 1.0) for _ in range(1_000))
    assert acts(0.5, 0.1, RISK) == CONFIDENCE  # its model scores nothing any more


@pytest.mark.postgres
def test_two_orders_on_postgres(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """The state folds to the same on another replica."""
    monkeypatch.chdir(tmp_path)  # the model's file lies beside the program

    def replica(ids: int) -> dc.Desk:
        return dc.open(postgres_url, clock=FakeClock(), secret="5eed" * 16, new_id=seeded_ids(ids))

    with replica(0) as desk, replica(1) as other:
        stream = Stream(desk, define(desk, "both", learn_from=60, pilot=20)).go(200)
        stream.loop.certify()
        one, two = (d.certifier.segments(d.control("pay"))[""] for d in (desk, other))
        assert one.second.certificate.labels >= 20
        assert one.second.certificate.to_dict() == two.second.certificate.to_dict()
        assert pay(other.loop("pay"), "plain", 0.9).route.chance_by == desk.control("pay").scorer
