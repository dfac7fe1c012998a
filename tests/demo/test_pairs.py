"""Pairs: two summaries, sides drawn for each reviewer and recorded, choices that train a scorer."""

from __future__ import annotations

import numpy as np
import pytest

import dualcontrol as dc
from dualcontrol.demo import pairs
from dualcontrol.demo.pairs import fit, held_out_accuracy
from dualcontrol.demo.readmes import parts, sections
from dualcontrol.demo.summaries import luhn, sentences, textrank
from dualcontrol.events import Answered

TEXT = (
    "The pump moves water. The pump needs oil and the pump needs a filter. Lunch is at noon. "
    "A dirty filter stops the water, so change the filter and the oil. Somebody left a hat."
)


@pytest.fixture
def desk(database_url):
    with dc.open(database_url, durability="process", secret="0" * 64) as opened:
        yield opened


@pytest.fixture
def loop(desk):
    return pairs.open_loop(desk)


def some(count: int) -> list[pairs.Pair]:
    found = list(pairs.pairs())[:count]
    assert len(found) == count
    return found


def chances(differences: np.ndarray, strengths: np.ndarray) -> np.ndarray:
    """Bradley and Terry's probability of each choice, given chosen minus rejected features."""
    return 1.0 / (1.0 + np.exp(-(differences @ strengths)))


def choose(desk, loop, how) -> None:
    """Answer every open pair by `how(luhn, textrank)`, which says the better text."""
    while (claim := desk.claim("ana", loop)) is not None:
        texts = {c["value"]: c["id"] for c in claim.view["candidates"]}
        claim.prefer(texts[how(*sorted(texts, key=len))])


def test_both_summaries_are_sentences_of_the_text():
    section = sentences(TEXT)
    for summary in (luhn(section), textrank(section)):
        assert len(sentences(summary)) == 2
        assert set(sentences(summary)) <= set(section)
        assert "hat" not in summary


def test_code_links_and_badges_are_no_prose():
    one = "[![badge](x)](y)\nSee [the *docs*](http://x) for **more**.\n```py\ncode. here\n```\n- item one"
    assert list(parts(f"# One\n{one}\n## Two\nb")) == [("One", "See the *docs* for more.\nitem one"), ("Two", "b")]


def test_installed_packages_have_sections_and_they_come_in_the_same_order():
    found = sections()
    assert len(found) > 10
    assert found == sections()
    assert len({section.key for section in found}) == len(found)


def test_a_reviewer_sees_the_section_and_two_texts_but_no_method(desk, loop):
    pairs.propose(loop, some(1)[0], pairs.PairScorer(0, [], None))
    view = desk.claim("ana", loop).view
    assert view["input"]["text"]
    assert len(view["candidates"]) == 2
    assert "luhn" not in str(view)
    assert "textrank" not in str(view)


def test_sides_are_drawn_and_recorded_with_the_answer(desk, loop):
    for pair in some(12):
        pairs.propose(loop, pair, pairs.PairScorer(0, [], None))
    first = []
    while (claim := desk.claim("ana", loop)) is not None:
        shown = tuple(c["id"] for c in claim.view["candidates"])
        case = claim.prefer(shown[0])
        [answered] = [e for e in desk.events(case.id) if isinstance(e, Answered)]
        assert answered.presented == shown
        first.append(shown[0])
    assert set(first) == {"s1", "s2"}


def test_choices_train_a_scorer_and_its_held_out_accuracy_is_shown(desk, loop):
    for pair in some(24):
        pairs.propose(loop, pair, pairs.PairScorer(0, [], None))
    choose(desk, loop, lambda short, long: short)
    scorer = pairs.train(loop)
    assert scorer.choices == 24
    assert scorer.strengths[0] < 0
    assert scorer.held_out > 0.8
    assert f"{scorer.held_out:.0%} of 24 choices" in scorer.in_words()
    assert desk.store.queries.unfed().get("pairs", 0) == 0


def test_few_choices_claim_nothing(loop):
    assert pairs.train(loop) == pairs.PairScorer(0, [], None)
    assert "too few" in pairs.PairScorer(3, [0.1], None).in_words()


def test_bradley_terry_finds_the_strengths_that_made_the_choices():
    noise = np.random.default_rng(0)
    true = np.array([2.0, -1.0, 0.0])
    rows = noise.normal(size=(3_000, 3))
    won = noise.random(3_000) < chances(rows, true)
    found = fit(np.where(won[:, None], rows, -rows))
    assert found == pytest.approx(true, abs=0.15)


def test_the_slope_of_the_likelihood_is_zero_at_the_fit():
    rows = np.random.default_rng(1).normal(size=(40, 2))
    found = fit(rows)
    slope = rows.T @ (1.0 - chances(rows, found)) - found
    assert slope == pytest.approx(0.0, abs=1e-7)


def test_held_out_accuracy_needs_two_choices_a_fold():
    assert held_out_accuracy(np.ones((9, 1))) is None
    assert held_out_accuracy(np.ones((10, 1))) == 1.0
