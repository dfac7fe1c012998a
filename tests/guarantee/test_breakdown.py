"""The error of autopilot by class and group: estimates, intervals at every look, and when a warning stands."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from certify_cases import EASY, Stream
from hypothesis import given, settings
from hypothesis import strategies as st

from dualcontrol.events import EvidenceCounted
from dualcontrol.guarantee.breakdown import Audit, Breakdowns, Part, limits, mend, warning

LABELS = ["a", "b", "c"]
WIDE: dict[str, Any] = {**EASY, "max_error": 0.2, "launch": 0}


def go(stream: Stream, count: int, errors: dict[str, float], opens: int = 0, **given: Any) -> None:
    """Decisions that propose each class in turn, all of one score; the first, by which autopilot opens, are right."""
    for n in range(count):
        label = LABELS[n % 3]
        wrong = n >= opens and stream.noise.random() < errors.get(label, 0.0)
        case = stream.propose(0.9, proposal=label, meta={"country": "de" if n % 2 else "fr"}, **given)
        stream.truth[case.id] = LABELS[(n + 1) % 3] if wrong else label
        if case.route.to == "human" or case.route.audited:
            stream.answer(case=case)
    stream.loop.certify()


def parts(stream: Stream, by: str = "class") -> dict[str, Part]:
    return {part.name: part for of in stream.loop.breakdown() if of.by == by for part in of.parts}


def by_hand(stream: Stream) -> dict[str, tuple[int, int, float]]:
    """Labels, errors and weighted error of each class, read from the cases of the counted positions."""
    found: dict[str, list[tuple[int, float]]] = {label: [] for label in LABELS}
    for event in stream.events(EvidenceCounted):
        for pos, _, wrong, inclusion, autopilot, _ in event.labels:
            if autopilot:
                entry = stream.desk.store.feed(pos - 1, 1, "mail")[0]
                case = stream.desk.case(entry.stream.removeprefix("case/"))
                found[case.proposal.value].append((wrong, float(inclusion)))
    return {
        label: (len(rows), sum(w for w, _ in rows), sum(w / p for w, p in rows) / sum(1 / p for _, p in rows))
        for label, rows in found.items() if rows
    }  # fmt: skip


def test_the_worst_class_is_named_with_what_it_is_wrong_in(make, database_url: str):
    """On the whole 17 % are wrong, within 20 %; class c is in 50 %."""
    s = make(database_url, guarantee={**WIDE, "breakdown": ["meta.country"]}, labels=LABELS, audit=1.0)
    go(s, 360, {"c": 0.5}, opens=90)
    assert s.loop.control.thresholds
    (classes, countries) = s.loop.breakdown()
    assert (classes.by, countries.by) == ("class", "meta.country")
    assert next(part.name for part in classes.parts) == "c"
    assert [part.name for part in classes.exceeding] == ["c"]
    worst = classes.parts[0]
    assert 0.2 < worst.low <= (worst.estimate or 0.0) <= worst.high
    said = warning(classes)
    assert said is not None
    assert said.startswith("class 'c' is wrong in ")
    assert said.endswith("where at most 20 % is promised for all together")
    assert 'per = "class"' in (mend(s.loop.control, classes) or "")
    assert warning(countries) is None
    assert {part.name for part in countries.parts} == {"de", "fr"}
    assert sum(part.share for part in classes.parts) == pytest.approx(1.0, abs=1e-5)


def test_estimates_weigh_each_audit_by_one_over_its_probability(make):
    s = make(guarantee={**WIDE, "launch": 90}, labels=LABELS, audit=0.3)  # all are reviewed first, then some
    go(s, 330, {"a": 0.15, "b": 0.1}, opens=130)
    wanted, told = by_hand(s), parts(s)
    assert sum(Counter({k: v[0] for k, v in wanted.items()}).values()) > 30
    for label, (labels, wrong, error) in wanted.items():
        assert (told[label].labels, told[label].wrong) == (labels, wrong)
        assert told[label].estimate == pytest.approx(error, abs=1e-6)


def test_nothing_is_said_before_autopilot_has_done_anything(make):
    s = make(guarantee=WIDE, labels=LABELS)
    go(s, 20, {})
    for label in LABELS:
        assert (parts(s)[label].labels, parts(s)[label].estimate, parts(s)[label].low, parts(s)[label].high) == (
            0, None, 0.0, 1.0,
        )  # fmt: skip
    assert make(guarantee=None, labels=LABELS, threshold=0.5).loop.breakdown() == []


def test_a_new_epoch_begins_with_no_label(make):
    s = make(guarantee=WIDE, labels=LABELS, audit=1.0)
    go(s, 120, {})
    assert parts(s)["a"].labels
    s.settings["human_actions"] = ["another question"]
    s.loop = s.desk.loop("mail", **s.settings)
    assert parts(s)["a"].labels == 0


def test_what_people_may_miss_lifts_the_upper_end_only(make):
    low, high = make(guarantee=WIDE, labels=LABELS, audit=1.0), None
    go(low, 180, {"a": 0.1})
    honest = parts(low)["a"]
    high = make(guarantee={**WIDE, "miss_rate": 0.5}, labels=LABELS, audit=1.0)
    go(high, 180, {"a": 0.1})
    missed = parts(high)["a"]
    if missed.labels == honest.labels:
        assert missed.low == honest.low
        assert missed.high == pytest.approx(min(1.0, 2 * honest.high), abs=1e-5)
    assert missed.high >= honest.high


def test_an_erased_case_keeps_its_label_and_loses_its_name(make):
    s = make(guarantee=WIDE, labels=LABELS, audit=1.0)
    go(s, 120, {})
    before = parts(s)
    audited = next(
        s.desk.case(row.id) for row in s.desk.store.queries.cases(loop="mail", limit=50).rows
        if s.desk.case(row.id).route.to == "autopilot"
    )  # fmt: skip
    s.desk.erase(audited.id)
    after = parts(s)
    assert after["not known any more"].labels == 1
    assert sum(part.labels for part in after.values()) == sum(part.labels for part in before.values())


def test_a_look_that_is_kept_and_a_fresh_one_say_the_same(make):
    s = make(guarantee=WIDE, labels=LABELS, audit=0.5)
    kept = Breakdowns(s.desk.store)
    for _ in range(3):
        go(s, 90, {"b": 0.1})
        assert kept.of(s.loop.control) == s.loop.breakdown()


# intervals


def audits(rng: np.random.Generator, count: int, error: float) -> list[Audit]:
    """Labels of audits: first all of it reviewed, then a few, likelier where errors are."""
    made = []
    for n in range(count):
        wrong = int(rng.random() < error)
        inclusion = 1.0 if n < 60 else float(rng.uniform(0.05, 0.3))
        made.append(Audit(n, n, wrong, inclusion, 1.0 if n < 60 else 0.05))
    return made


@pytest.mark.parametrize("error", [0.02, 0.2])
def test_an_interval_holds_at_all_looks_at_once(error: float):
    """Looked at four times; each end may be wrong in 5 % of the streams, at any look."""
    rng, low_wrong, high_wrong, runs = np.random.default_rng(3), 0, 0, 60
    for _ in range(runs):
        made = audits(rng, 200, error)
        ends = [limits(made[:end], 0.05) for end in range(50, 201, 50)]
        low_wrong += any(low > error for low, _ in ends)
        high_wrong += any(high < error for _, high in ends)
    assert low_wrong / runs <= 0.05 + 1.65 * (0.05 * 0.95 / runs) ** 0.5
    assert high_wrong / runs <= 0.05 + 1.65 * (0.05 * 0.95 / runs) ** 0.5


def test_it_is_narrow_enough_to_say_something():
    """Sixty labels that were certain and 18.7 % of them wrong: above a bound of 5 %, in most streams."""
    rng = np.random.default_rng(5)
    lows = [limits(audits(rng, 150, 0.187), 0.0028)[0] for _ in range(20)]
    assert np.mean([low > 0.05 for low in lows]) > 0.5


@given(st.lists(st.tuples(st.integers(0, 1), st.floats(0.05, 1.0)), max_size=40), st.floats(0.001, 0.4))
@settings(max_examples=25, deadline=None)
def test_ends_are_in_order_and_wider_for_less_chance(rows: list[tuple[int, float]], chance: float):
    made = [Audit(n, n, wrong, inclusion, 0.05) for n, (wrong, inclusion) in enumerate(rows)]
    low, high = limits(made, chance)
    wider = limits(made, chance / 10)
    assert 0.0 <= low <= high <= 1.0
    assert wider[0] <= low + 1e-5
    assert wider[1] >= high - 1e-5


def test_a_cluster_is_one_bet():
    """Ten times the same answer says no more than one bet that may lose ten."""
    alone = [Audit(n, n, 1, 1.0, 1.0) for n in range(4)]
    together = [Audit(n, n - n % 10, 1, 1.0, 1.0) for n in range(40)]
    assert limits(together, 0.05, 10) == limits(alone, 0.05)
