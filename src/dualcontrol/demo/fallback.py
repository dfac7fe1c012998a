"""Fallback: questions answered from the package's own docs; where retrieval abstains, the human writes the answer."""

from __future__ import annotations

from typing import Any

from dualcontrol.case import Case
from dualcontrol.demo.retrieval import Index
from dualcontrol.desk import Desk, Loop

NAME = "fallback"
ABSTAINS = 0.33
SETTINGS: dict[str, Any] = {
    "mode": "fallback",
    "threshold": 0.6,
    "audit": 0.1,
    "respond_within": "2h",
    "on_timeout": "hold",  # a question is not lost because nobody came to it in time
    "feedback": "export",
    "markdown": ["proposal.text", "alternatives.text"],  # sections of the docs
}
QUESTIONS = (
    "What is an epoch?",
    "How do I restore a backup?",
    "What does the gate do with async functions?",
    "Is there a mobile app?",
    "How do I take back an answer?",
    "Who may not review a case?",
    "How much does it cost for a team of twelve?",
    "How do I erase what people wrote?",
    "What is the risk ceiling?",
    "What happens to a late answer?",
    "Does it run on Kubernetes with autoscaling?",
    "How do I move from SQLite to PostgreSQL?",
    "Can two people answer the same case?",
    "Which exit code means still waiting?",
    "How do I delete a loop?",
    "Why is content outside the ledger?",
    "Can I log in with Google?",
    "How do I run the demo without a browser?",
    "What do I do when the database is full?",
    "Why is Pending not an exception?",
    "Does it send notifications to Slack?",
    "How do I follow events as a stream?",
    "How is the queue ordered?",
    "How do I get my money back?",
)


def open_loop(desk: Desk) -> Loop:
    """The loop with its settings in force."""
    return desk.loop(NAME, **SETTINGS)


def propose(loop: Loop, index: Index, question: str) -> Case:
    """Answer a question from the docs; below `ABSTAINS` nothing is proposed and a human writes."""
    retrieved = index.ask(question)
    passages, confidence = retrieved.passages, retrieved.confidence
    request: dict[str, Any] = {"input": {"question": question}, "key": question}
    if confidence < ABSTAINS:
        nearest = passages[0].place if passages else "nothing"
        return loop.propose(
            **request, alternatives=[],
            rationale=f"the docs do not seem to speak of this; the nearest is {nearest} ({confidence:.0%})",
        )  # fmt: skip
    answers: list[dict[str, Any]] = [
        {
            "value": {"text": p.text},
            "source": {"model": "bm25", "page": f"docs/{p.page}", "section": " › ".join(p.headings)},
            "rationale": f"from {p.place}", "score": reached,
        }
        for p, reached in zip(passages, retrieved.reached, strict=True)
    ]  # fmt: skip
    best, *others = answers
    return loop.propose(
        **request, proposal=best["value"], source=best["source"], confidence=confidence, alternatives=others,
        rationale=f"{best['rationale']}; it reaches {confidence:.0%} of the highest score for this question",
    )  # fmt: skip
