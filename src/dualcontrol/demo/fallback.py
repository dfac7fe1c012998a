"""Fallback: questions answered from the package's own docs; where retrieval abstains, the human writes the answer."""

from __future__ import annotations

from typing import Any

from dualcontrol.case import Case
from dualcontrol.demo.passages import Index
from dualcontrol.desk import Desk, Loop

NAME = "fallback"
ABSTAINS = 0.45
SETTINGS: dict[str, Any] = {"mode": "fallback", "threshold": 0.85, "audit": 0.1, "feedback": "export"}
QUESTIONS = (
    "What is a claim?",
    "What does the fencing token do?",
    "How do I name a run so that a restarted program finds its cases?",
    "Can I edit the arguments before they run?",
    "What is the risk ceiling?",
    "Who may not review a case?",
    "What happens to an effect whose lease ran out?",
    "How much does it cost for a team of twelve?",
    "What is an audit?",
    "When is a guarantee in force?",
    "How do I erase what people wrote?",
    "Does it run on Kubernetes with autoscaling?",
    "What does the gate do with async functions?",
    "Why is Pending not an exception?",
    "Which key may I reuse?",
    "Is there a mobile app?",
    "How are entries chained?",
    "What does withdraw do?",
    "Can two people answer the same case?",
    "How do I get my money back?",
)


def open_loop(desk: Desk) -> Loop:
    """The loop with its settings in force."""
    return desk.loop(NAME, **SETTINGS)


def propose(loop: Loop, index: Index, question: str) -> Case:
    """Answer a question from the docs; below `ABSTAINS` nothing is proposed and a human writes."""
    found = index.ask(question)
    given: dict[str, Any] = {"input": {"question": question}, "key": question}
    if found.confidence < ABSTAINS:
        nearest = found.passages[0].place if found.passages else "nothing"
        return loop.propose(
            **given,
            alternatives=[],
            rationale=f"the docs do not speak of this; nearest: {nearest} ({found.confidence:.0%})",
        )
    best, *others = found.passages
    return loop.propose(
        **given, proposal={"text": best.text}, alternatives=[{"text": p.text} for p in others],
        confidence=found.confidence, source={"model": "bm25", "version": best.place},
        rationale=f"from {best.place}, which speaks of {found.confidence:.0%} of the question",
    )  # fmt: skip
