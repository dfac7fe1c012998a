"""Fallback: answered from the docs when they speak of it; where they do not, the human writes."""

from __future__ import annotations

import pytest

import dualcontrol as dc
from dualcontrol.demo import fallback
from dualcontrol.demo.passages import Index, Passage, passages


@pytest.fixture(scope="module")
def index() -> Index:
    return Index(passages())


@pytest.fixture
def desk(database_url):
    with dc.open(database_url, durability="process") as opened:
        yield opened


@pytest.fixture
def loop(desk):
    return fallback.open_loop(desk)


def test_the_best_passage_comes_first_with_the_share_of_the_question_that_it_covers():
    small = Index(
        [Passage("a", "cats sleep all day long"), Passage("b", "dogs bark at night"), Passage("c", "fish swim")]
    )
    assert small.ask("Do dogs bark?").passages[0].place == "b"
    assert small.ask("Do dogs bark?").confidence == 1.0
    assert small.ask("Do dogs sing?").confidence < 0.6
    assert small.ask("???").confidence == 0.0


def test_what_the_docs_say_runs_on_autopilot(loop, index):
    case = fallback.propose(loop, index, "What does withdraw do?")
    assert case.route.to == "autopilot"
    assert "no longer wants an answer" in case.outcome.value["text"]


def test_where_retrieval_abstains_the_human_writes(desk, loop, index):
    case = fallback.propose(loop, index, "Is there a mobile app?")
    assert (case.route.to, case.proposal) == ("human", None)
    desk.claim("ana", loop).respond("Not yet.")
    outcome = desk.case(case.id).outcome
    assert (outcome.value, outcome.by) == ({"text": "Not yet."}, "human")


def test_a_weak_answer_goes_to_a_human_with_the_next_ones(desk, loop, index):
    case = fallback.propose(loop, index, "When is a guarantee in force?")
    assert case.route.to == "human"
    assert len(desk.claim("ana", loop).view["candidates"]) == 3


def test_a_question_asked_again_finds_its_case(loop, index):
    one, two = (fallback.propose(loop, index, "What is a claim?") for _ in range(2))
    assert one.id == two.id


def test_the_questions_are_answered_abstained_from_and_left_to_humans(loop, index):
    routes = [fallback.propose(loop, index, question) for question in fallback.QUESTIONS]
    assert sum(case.route.to == "autopilot" for case in routes) >= 4
    assert sum(case.proposal is None for case in routes) >= 4
    assert sum(case.route.to == "human" and case.proposal is not None for case in routes) >= 4
