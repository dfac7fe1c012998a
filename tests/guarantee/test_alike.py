"""Errors that fall together though nobody declared what belongs together: noticed, said on the page, alarmed about."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from itertools import combinations
from typing import Any

import pytest
from certify_cases import EASY, Stream
from hypothesis import given, settings
from hypothesis import strategies as st

from dualcontrol.events import AlarmRaised, EvidenceCounted
from dualcontrol.guarantee.alike import Alike, alarming, crowding, likeness, pairing
from dualcontrol.guarantee.history import moves
from dualcontrol.guarantee.standing import words

Share = Callable[[int, int], dict[str, Any]]


def alarms(stream: Stream) -> list[str]:
    return [event.reason for event in stream.events(AlarmRaised) if event.code == "bursts"]


def played(share: Share, *, together: bool, runs: int = 40, size: int = 6, seed: int = 0, **changes: Any) -> Stream:
    """So many clusters one after the other, of which a tenth of the cases is wrong, all of a cluster or each by itself.

    `share` says what the cases of a cluster have in common.
    """
    stream, noise = Stream("sqlite:///:memory:", guarantee={**EASY, **changes}), random.Random(seed)
    for run in range(runs):
        bad = noise.random() < 0.1
        for number in range(size):
            wrong = bad if together else noise.random() < 0.1
            common = share(run, number)
            with stream.desk.run(common.pop("run")) if "run" in common else nullcontext():
                case = stream.propose(noise.random(), wrong=wrong, **common)
            stream.answer(case=case)
    stream.loop.certify()
    return stream


# the estimate and the chance of such a crowding


def test_the_correlation_of_a_table_is_that_of_the_analysis_of_variance():
    """24 clusters of four: three all wrong, three half wrong."""
    labels = []
    for cluster in range(24):
        wrongs = 4 if cluster < 3 else 2 if cluster < 6 else 0
        labels += [(int(place < wrongs), str(cluster)) for place in range(4)]
    between = (3 * 16 / 4 + 3 * 4 / 4 - 18 * 18 / 96) / 23
    within = (18 - (3 * 16 / 4 + 3 * 4 / 4)) / 72
    rho = (between - within) / (between + 3 * within)
    found = likeness("run", labels)
    assert (found.correlation, found.size) == (pytest.approx(rho), 4.0)
    assert found.effect == pytest.approx(1 + 3 * rho)
    assert 0.73 < rho < 0.74


def table(*wrongs: int, clusters: int = 25, size: int = 20) -> list[tuple[int, str | None]]:
    """So many clusters of a size, the first of which have so many wrong."""
    return [
        (int(place < (wrongs[cluster] if cluster < len(wrongs) else 0)), str(cluster))
        for cluster in range(clusters) for place in range(size)
    ]  # fmt: skip


def test_few_errors_that_lie_together_are_no_alarm_yet():
    """Four of eight in one of 25 clusters: labels may be worth half, and chance does it once in a few hundred times."""
    few, many = likeness("run", table(4, 1, 1, 1, 1)), likeness("run", table(20, 20))
    assert few.effect > 2.0
    assert 1e-6 < few.chance < 0.01
    assert alarming(500, few, 50, 2.0) is None
    assert 'independent_by = "run"' in str(alarming(500, many, 50, 2.0))
    assert alarming(49, many, 50, 2.0) is None


def test_three_that_lie_together_by_chance_take_nothing_from_the_labels():
    labels = table(3, 1, 1, 1, 1, 1)
    chance = likeness("run", labels)
    assert (chance.effect > 1.1, chance.chance > 0.01) == (True, True)
    few, many = Alike(), Alike()
    few.take([(0, "", wrong) for wrong, _ in labels], {"run": [str(mark) for _, mark in labels]})
    assert few.worst().effect == 1.0
    many.take([(0, "", wrong) for wrong, _ in table(20, 20)], {"run": [str(mark) for _, mark in table()]})
    assert many.worst().effect > 15.0


SIZES = st.lists(st.integers(1, 4), min_size=2, max_size=5).filter(lambda sizes: 4 <= sum(sizes) <= 11)


@given(SIZES, st.data())
@settings(max_examples=200, deadline=None)
def test_chances_are_not_below_what_all_ways_of_falling_say(sizes: list[int], data: Any):
    """Every way in which so many errors may fall on the cases, counted; no tail is far below them.

    That of pairs is an approximation, and was seen at a sixth of the exact chance where clusters are few and small.
    The alarm asks for one in a million.
    """
    cases = [cluster for cluster, size in enumerate(sizes) for _ in range(size)]
    wrong = data.draw(st.integers(2, len(cases) - 1))
    ways = [Counter(fallen) for fallen in combinations(cases, wrong)]
    shapes = Counter(sizes)
    for bound, part, of in (
        (crowding, 1.0, lambda on: wrong - len(on)),
        (pairing, 0.1, lambda on: sum(n * (n - 1) // 2 for n in on.values())),
    ):
        values = [of(on) for on in ways]
        for least in sorted(set(values))[1:]:
            exact = sum(value >= least for value in values) / len(values)
            if least > sum(values) / len(values) + 1:
                assert bound(least, len(cases), wrong, shapes) >= part * exact


# through the desk


@pytest.mark.parametrize(
    ("share", "by"),
    [
        (lambda run, n: {"run": f"run {run}"}, 'independent_by = "run"'),
        (lambda run, n: {"meta": {"conversation": f"c{run}"}}, 'independent_by = "meta.conversation"'),
        (lambda run, n: {"owner": f"program {run}"}, "Put who submits into a field of meta"),
    ],
)
def test_errors_that_come_together_raise_one_alarm_with_the_setting(share: Share, by: str):
    stream = played(share, together=True)
    (reason,) = alarms(stream)
    assert by in reason
    assert "are wrong together" in reason
    standing = stream.standing()
    assert standing.labels_worth < standing.labels_used / 5
    assert f"worth about {standing.labels_worth:,.0f} independent ones" in words(stream.loop.control, standing).evidence
    stream.desk.close()


@pytest.mark.parametrize(
    "share",
    [
        lambda run, n: {"run": f"run {run}"},
        lambda run, n: {"meta": {"conversation": f"c{run}", "n": n}},
        lambda run, n: {},
    ],
)
def test_errors_that_fall_as_they_like_raise_none(share: Share):
    stream = played(share, together=False)
    assert alarms(stream) == []
    assert stream.standing().labels_worth == pytest.approx(stream.standing().labels_used)
    stream.desk.close()


def test_what_lasts_is_a_part_of_the_mixture_and_no_burst():
    """A country in which more is wrong than in others comes all the time, in any order."""
    stream, noise = Stream("sqlite:///:memory:", guarantee=EASY), random.Random(1)
    for _ in range(480):
        country = noise.randrange(24)
        case = stream.propose(noise.random(), wrong=noise.random() < (0.9 if country < 3 else 0.01),
                              meta={"country": country})  # fmt: skip
        stream.answer(case=case)
    stream.loop.certify()
    assert alarms(stream) == []
    stream.desk.close()


def test_what_is_declared_is_not_looked_for():
    stream = played(lambda run, n: {"meta": {"talk": f"c{run}"}}, together=True, independent_by="meta.talk")
    assert alarms(stream) == []
    assert all(event.alike == {} for event in stream.events(EvidenceCounted))
    stream.desk.close()


def test_a_missing_answer_is_no_error_that_falls_together():
    stream, noise = Stream("sqlite:///:memory:", guarantee={**EASY, "answer_within": "1m"}), random.Random(2)
    for run in range(40):
        absent = noise.random() < 0.15
        for _ in range(6):
            case = stream.propose(noise.random(), wrong=False, meta={"shift": f"s{run}"})
            if not absent and any(review.state == "open" for review in case.reviews):
                stream.answer(case=case)
        stream.clock.tick(120.0)
    stream.loop.certify()
    assert stream.standing().missing > 0
    assert alarms(stream) == []
    stream.desk.close()


def test_it_is_told_from_the_stream_alone_on_every_database(database_url: str):
    """Marks are hashes of the desk's own secret, and whoever folds the stream anew says the same."""
    stream, noise = Stream(database_url), random.Random(0)
    for run in range(30):
        bad = noise.random() < 0.15
        for _ in range(5):
            stream.answer(case=stream.propose(noise.random(), wrong=bad, meta={"conversation": f"person {run}"}))
    stream.loop.certify()
    before = stream.standing().labels_worth
    assert before < stream.standing().labels_used / 2
    told = [event.to_dict() for event in stream.events(EvidenceCounted)]
    assert "person" not in str(told)
    assert {len(event["alike"]["meta.conversation"]) == len(event["labels"]) for event in told} == {True}
    if database_url != "sqlite:///:memory:":
        stream.restart()
        assert stream.standing().labels_worth == before
    stream.desk.close()


# people's time


def test_peoples_time_is_that_from_claim_to_answer_until_it_opens(tmp_path):
    stream = Stream(f"sqlite:///{tmp_path}/dc.db", guarantee={**EASY, "pilot": 0})
    counted = 0.0
    while not stream.loop.control.thresholds:
        case = stream.propose(wrong=False)
        claim = stream.desk.claim("ana", "mail", case=case)
        stream.clock.tick(7.5)
        claim.label(stream.truth[case.id])
        counted += 7.5
    assert stream.standing().seconds == counted
    for _ in range(30):
        case = stream.propose(0.001, wrong=False)
        if case.reviews:
            claim = stream.desk.claim("ana", "mail", case=case)
            stream.clock.tick(100.0)
            claim.label("a")
    stream.loop.certify()
    assert stream.standing().seconds == counted, "what comes after the opening is another time"
    entries = stream.desk.store.queries.entries(stream.loop.stream, values=False)
    assert [move.seconds for move in moves(entries) if move.what == "threshold moved"][:1] == [counted]
    with stream.open() as again:  # of the stream alone
        assert (again.loop("mail", **stream.settings).guarantee()[0].seconds, again is stream.desk) == (counted, False)
    stream.desk.close()


def test_the_time_of_two_people_is_added_and_that_of_shown_answers_is_not():
    blind = {**EASY, "blind": True, "blind_share": 0.3, "adjudicate": True}
    stream = Stream("sqlite:///:memory:", guarantee=blind, groups={"reviewers": ["ana", "ben"]})
    stream.answer("ben", case=stream.propose(wrong=False))  # so that there are two
    first = stream.propose(wrong=True)
    for person, seconds in (("ana", 3.0), ("ben", 4.0)):
        claim = stream.desk.claim(person, case=first)
        stream.clock.tick(seconds)
        claim.label("b")
    stream.loop.certify()
    assert stream.standing().seconds == 7.0
    stream.desk.close()
