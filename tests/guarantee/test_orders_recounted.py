"""Two orders whose evidence is counted again by another allowance for what people miss: neither loses a label."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from certify_cases import PROMISE, People, Stream, miss_rate, problems
from msgspec.structs import replace

from dualcontrol.control import CONFIDENCE, RISK, Control, Guarantee, LoopSettings
from dualcontrol.events import Entry, EpochBegan, EvidenceCounted, LookTaken
from dualcontrol.guarantee import moves, one_look
from dualcontrol.guarantee.breakdown import Audits
from dualcontrol.guarantee.certificate import Certificate
from dualcontrol.guarantee.certifier import apply
from dualcontrol.guarantee.evidence import Segment, Segments, evidence
from dualcontrol.oversight.allowance import Allowance

BOTH = {**PROMISE, "score": "both", "learn_from": 40}


def counts(began: EpochBegan, events: list[Any], rate: float) -> Certificate:
    """What an order's certificate makes of these labels by an allowance, away from the certifier."""
    made = Certificate(**json.loads(began.promise) | {"miss_rate": rate})
    for event in events:
        for n, (pos, score, wrong, inclusion, _, _) in enumerate(event.labels):
            by = (event.chances[n] if event.chances else "") if began.order == RISK else score
            floor = float(event.floors[n]) if event.floors and event.floors[n] else None
            if by and pos not in event.stale:
                made.observe(score=float(by), wrong=wrong, inclusion=float(inclusion), seq=pos, floor=floor)
    made.tick(max(event.upto for event in events))
    return made


def since(events: list[Any], orders: tuple[str, ...]) -> tuple[EpochBegan, list[Any]]:
    """The last certificate that began with new labels, of these orders, and what was counted from there on."""
    last = max(
        n for n, e in enumerate(events) if isinstance(e, EpochBegan) and e.order in orders and not e.carried
    )  # fmt: skip
    return events[last], [event for event in events[last:] if isinstance(event, EvidenceCounted)]


def two(desk: Any) -> Segment:
    """The one segment of the loop, with two orders."""
    segment = desk.certifier.segments(desk.control("mail"))[""]
    assert segment.second is not None
    return segment


def test_both_orders_are_counted_again_through_the_desk(make: Any, tmp_path: Path) -> None:
    """The same labels, the same part of delta, another allowance; a desk that starts in the middle says the same."""
    p = People(make, f"sqlite:///{tmp_path}/dc.db", guarantee=BOTH)
    s: Stream = p.stream
    for _ in range(30):
        p.go(10)
        if any(began.order == RISK for began in p.epochs()):
            break
    p.go(30)
    before, p.catch = two(s.desk), 0.4
    s.restart()
    for _ in range(30):
        p.go(10)
        if p.epochs()[-1].carried and miss_rate(p.epochs()[-1]) > before.certificate.miss_rate:
            break
    last = p.epochs()[-1]
    after, events = two(s.desk), s.events(EpochBegan, EvidenceCounted)
    assert last.carried
    assert miss_rate(last) > before.certificate.miss_rate
    for certificate, orders in ((after.certificate, ("", CONFIDENCE)), (after.second.certificate, (RISK,))):
        began, counted = since(events, orders)
        made = counts(began, counted, miss_rate(last))
        assert {**made.to_dict(), "seq": 0} == {**certificate.to_dict(), "seq": 0}
        assert sum(len(event.labels) for event in counted) > 20
        assert (certificate.kept, certificate.segments) == (0.1, 2)
        assert certificate.spent == json.loads(began.promise)["spent"]
    assert after.second.scorer == s.loop.control.scorer
    control = s.loop.control
    acting = after.acting(control, "")
    assert control.thresholds.get("") == acting.threshold
    s.restart()
    again = two(s.desk)
    for order in (CONFIDENCE, RISK):
        assert again.of(order).to_dict() == after.of(order).to_dict()
    assert list(again.second.latest) == list(after.second.latest)
    assert problems(s.desk, tmp_path / "dc.db.models") == []


# By hand: what begins again in between, and what reads the stream.


SETTINGS = LoopSettings(
    name="m", mode="labels", labels=("a", "b"), guarantee=Guarantee(max_error=0.2, confidence=0.8, pilot=10, launch=0)
)
CONTROL = Control(loop="m", loop_id=1, version=1, settings=SETTINGS, scorer="r1", epochs={"": 0})


class Told:
    """A stream of events that are folded as they come; errors lie low in both orders, by what is learned lower."""

    def __init__(self) -> None:
        self.segments: Segments = {}
        self.events: list[Any] = []
        self.pos = 0

    @property
    def segment(self) -> Segment:
        return self.segments[""]

    def tell(self, event: Any) -> None:
        self.events.append(event)
        apply(self.segments, event)

    def count(self, labels: int) -> None:
        """So many labels in events of ten, the last of each of autopilot."""
        for _ in range(labels // 10):
            rows, chances = [], []
            for n in range(10):
                self.pos += 1
                score = (self.pos * 7 % 100) / 100
                rows.append((self.pos, repr(score), int(score < 0.3), "1.0", int(n == 9), 0))
                chances.append(repr((self.pos * 7 % 100) / 100) if self.segment.second is not None else "")
            self.tell(EvidenceCounted(at=self.pos, segment="", epoch=self.segment.epoch, upto=self.pos,
                                      labels=tuple(rows), chances=tuple(chances) if any(chances) else ()))  # fmt: skip

    def entries(self) -> list[Entry]:
        return [Entry(stream="loop/1", seq=1, at=1, actor="dualcontrol", events=tuple(self.events))]


def told() -> Told:
    """Confidence has counted 60 labels, the learned order began beside it, and confidence began again after it."""
    t = Told()
    t.tell(moves.began(CONTROL, "", None, None, 0, 0, "first"))
    t.count(60)
    t.tell(moves.began_second(CONTROL, "", t.segment, 0))
    t.count(100)
    t.tell(moves.began(CONTROL, "", None, t.segment, t.pos, 0, "", first=3))
    t.count(200)
    return t


def test_a_restart_of_one_order_loses_nothing_of_the_other_when_all_is_counted_again() -> None:
    t = told()
    old = t.segment.copied()
    assert old.second is not None
    t.tell(moves.recounted(CONTROL, "", t.segment, Allowance(0.5, 40), 0))
    now = t.segment
    assert now.second is not None
    assert [now.of(order).labels for order in (CONFIDENCE, RISK)] == [
        old.certificate.labels, old.second.certificate.labels,
    ]  # fmt: skip
    assert [old.certificate.labels, old.second.certificate.labels] == [200, 290]
    for order in (CONFIDENCE, RISK):
        before, after = old.of(order), now.of(order)
        assert (after.edges, after.first, after.spent, after.again) == (
            before.edges, before.first, before.spent, before.again,
        )  # fmt: skip
        assert (after.miss_rate, after.delta, before.miss_rate) == (0.5, before.delta, 0.19)
        began, events = since(t.events, ("", CONFIDENCE) if order == CONFIDENCE else (RISK,))
        assert {**after.to_dict(), "seq": 0} == {**counts(began, events, 0.5).to_dict(), "seq": 0}
        assert before.threshold is not None
        assert after.threshold is None or after.threshold >= before.threshold
    assert list(now.second.latest) == list(old.second.latest)
    assert (now.second_spent, now.learned_spent, now.spent) == (old.second_spent, old.learned_spent, old.spent)
    t.count(10)
    assert [now.of(order).labels for order in (CONFIDENCE, RISK)] == [210, 300]
    assert (len(now.second.counted), len(old.second.counted)) == (31, 30)  # copies stay what they were


def test_what_begins_within_the_epoch_allows_for_what_was_measured() -> None:
    """A learned order that begins after it, and a restart of confidence, also where nothing is probed any more."""
    t = told()
    t.tell(moves.recounted(CONTROL, "", t.segment, Allowance(0.5, 40), 0))
    second = moves.began_second(CONTROL, "", t.segment, 0)
    restart = moves.began(CONTROL, "", None, t.segment, t.pos, 0, "", first=5)
    for began in (second, restart):
        promise = json.loads(began.promise)
        assert (promise["miss_rate"], promise["kept"], began.measured) == (0.5, 0.1, 40)


def test_the_rows_of_each_order_go_on() -> None:
    t = told()
    kept = [evidence(t.entries(), "", order) for order in (CONFIDENCE, RISK)]
    t.tell(moves.recounted(CONTROL, "", t.segment, Allowance(0.5, 40), 0))
    assert [evidence(t.entries(), "", order) for order in (CONFIDENCE, RISK)] == kept
    assert list(map(len, kept)) == [200, 300]


def test_one_look_stays_taken_and_the_audits_go_on() -> None:
    """Neither a learned order nor another allowance makes labels new that somebody has looked at."""
    t = Told()
    t.tell(moves.began(CONTROL, "", None, None, 0, 0, "first"))
    t.count(60)
    look = LookTaken(at=1, segment="", epoch=0, labels=50, after=0, upto=50, max_error="0.2", confidence="0.8",
                     missed="0.19", wrong=3)  # fmt: skip
    t.tell(look)
    audits = Audits()
    audits.fold(t.entries())
    one = audits.current(CONTROL)
    t.tell(moves.began_second(CONTROL, "", t.segment, 0))
    t.tell(moves.recounted(CONTROL, "", t.segment, Allowance(0.5, 40), 0))
    assert one_look.looks(t.entries(), "") == [look]
    audits = Audits()
    audits.fold(t.entries())
    assert len(one) == 6
    assert audits.current(replace(CONTROL, epochs={"": t.segment.epoch})) == one
    t.tell(moves.began(CONTROL, "", None, t.segment, t.pos, 0, "", first=3))
    assert one_look.looks(t.entries(), "") == []
