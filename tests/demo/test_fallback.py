"""Fallback: answered from the docs when they speak of it; where they do not, the human writes."""

from __future__ import annotations

from pathlib import Path

import pytest

import dualcontrol as dc
from dualcontrol.demo import fallback
from dualcontrol.demo.passages import Passage, of_page, passages
from dualcontrol.demo.retrieval import Index
from dualcontrol.errors import NotFoundError

# Where a reader would look for the answer to a question of the demo; the others have none in the docs.
ANSWERED = {
    "What is an epoch?": ["glossary.md", "guarantee.md"],
    "How do I restore a backup?": ["operations.md"],
    "How do I take back an answer?": ["settings.md", "events.md"],
    "What does the gate do with async functions?": ["howto/gate.md"],
    "Who may not review a case?": ["errors/DC-ELIGIBILITY.md", "concepts.md"],
    "How do I erase what people wrote?": ["operations.md"],
    "What is the risk ceiling?": ["glossary.md", "settings.md"],
    "What happens to a late answer?": ["concepts.md", "errors/DC-CLAIM.md"],
    "How do I move from SQLite to PostgreSQL?": ["howto/postgres.md"],
    "Can two people answer the same case?": ["howto/quorum.md", "errors/DC-SAME-PERSON.md"],
    "Which exit code means still waiting?": ["cli.md"],
    "Why is content outside the ledger?": ["decisions/0003-content-outside-the-ledger.md"],
    "How do I run the demo without a browser?": ["demo.md", "cli.md"],
    "What do I do when the database is full?": ["errors/DC-STORE-FULL.md"],
    "Why is Pending not an exception?": [
        "errors/DC-PENDING.md",
        "errors/DC-PENDING-POOL.md",
        "quickstart.md",
        "howto/gate.md",
    ],
    "How do I follow events as a stream?": ["howto/any-language.md"],
    "How is the queue ordered?": ["capacity.md", "concepts.md"],
}


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


def test_the_best_passage_comes_first_and_what_nobody_knows_lowers_the_confidence():
    told = {"Cats": "cats sleep all day long", "Dogs": "dogs bark at night", "Fish": "fish swim"}
    small = Index([Passage("pets.md", ("Pets", title), text) for title, text in told.items()])
    found = small.ask("Do dogs bark?")
    assert found.passages[0].place == "docs/pets.md, “Dogs”"
    assert 0.5 < found.confidence < 1
    assert small.ask("Do dogs sing?").confidence < found.confidence
    assert small.ask("Do parrots sing?").confidence == small.ask("???").confidence == 0.0
    assert Index([]).ask("Do dogs bark?") == ([], [])


def test_a_section_keeps_its_code_and_stands_below_its_headings():
    dogs = "## Dogs\n<!-- new -->\n```sh\n# no heading [a](b)\n```\n\n**Puppies.**\nSmall.\n"
    page = f"# Pets\n\nSee [cats](cats.md).\n\n{dogs}"
    assert of_page("pets.md", page) == [
        ("pets.md", ("Pets",), "See cats."),
        ("pets.md", ("Pets", "Dogs"), "```sh\n# no heading [a](b)\n```"),
        ("pets.md", ("Pets", "Dogs", "Puppies"), "Small."),
    ]


def test_an_error_is_one_passage_and_a_word_of_the_glossary_too(index):
    claim = next(p for p in index.passages if p.page == "errors/DC-CLAIM.md")
    assert claim.headings == ("DC-CLAIM",)
    assert "**What to do.**\n- Claim the next review" in claim.text
    assert "```" not in claim.text
    assert "**claim**: a reviewer takes a review for a time" in next(
        p.text for p in index.passages if p.page == "glossary.md" and p.headings[-1] == "claim"
    )


def test_pages_are_read_from_the_package_or_else_from_beside_src(tmp_path: Path):
    package = tmp_path / "src" / "dualcontrol"
    package.mkdir(parents=True)
    with pytest.raises(NotFoundError, match="docs/ are missing; looked for"):
        passages(package)
    for folder in (tmp_path / "docs", package / "docs"):
        (folder / "howto").mkdir(parents=True)
        (folder / "howto" / "page.md").write_text(f"# Page\n{folder}", encoding="utf-8")
        (folder / "status.md").write_text("# Status\nof a moment", encoding="utf-8")
        assert passages(package) == [("howto/page.md", ("Page",), str(folder))]


def test_what_the_docs_say_runs_on_autopilot_and_names_its_source(desk, loop, index):
    case = fallback.propose(loop, index, "How do I restore a backup?")
    assert case.route.to == "autopilot"
    assert "put the copy in place" in case.outcome.value["text"]
    assert "docs/operations.md, “Restore”" in case.rationale
    assert case.proposal.source == {
        "model": "bm25", "page": "docs/operations.md", "section": "Operations › Backup › Restore"
    }  # fmt: skip
    opened, routed = desk.events(case.id)[:2]
    assert (opened.confidence, routed.to, routed.by) == (str(case.confidence), "autopilot", "threshold")


def test_where_retrieval_abstains_the_human_writes(desk, loop, index):
    case = fallback.propose(loop, index, "Is there a mobile app?")
    assert (case.route.to, case.proposal) == ("human", None)
    assert "the nearest is docs/" in case.rationale
    desk.claim("ana", loop).respond("Not yet.")
    outcome = desk.case(case.id).outcome
    assert (outcome.value, outcome.by) == ({"text": "Not yet."}, "human")


def test_a_weak_answer_goes_to_a_human_with_the_next_ones(desk, loop, index):
    asked = (fallback.propose(loop, index, question) for question in fallback.QUESTIONS)
    # which question has a weak answer, and which are second and third, the docs decide
    case = next(case for case in asked if case.proposal is not None and case.route.to == "human")
    shown = desk.claim("ana", case=case).view["candidates"]
    found = index.ask(case.input["question"]).passages
    assert [one["value"]["text"] for one in shown] == [passage.text for passage in found[:3]]
    assert [one["rationale"] for one in shown[1:]] == [f"from {passage.place}" for passage in found[1:3]]


def test_a_question_asked_again_finds_its_case(loop, index):
    one, two = (fallback.propose(loop, index, "What is an epoch?") for _ in range(2))
    assert one.id == two.id


def test_the_questions_are_answered_abstained_from_and_left_to_humans(loop, index):
    cases = {question: fallback.propose(loop, index, question) for question in fallback.QUESTIONS}
    assert set(ANSWERED) < set(cases)
    proposed = {question: case for question, case in cases.items() if case.proposal is not None}
    alone = {question for question, case in proposed.items() if case.route.to == "autopilot"}
    assert len(alone) >= 6
    assert len(proposed) - len(alone) >= 6
    assert len(cases) - len(proposed) >= 5
    assert not (set(ANSWERED) - set(proposed))
    for question in alone:
        assert proposed[question].proposal.source["page"].removeprefix("docs/") in ANSWERED[question]
