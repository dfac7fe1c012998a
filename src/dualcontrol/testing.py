"""Shipped to users: a clock you move, ids and secrets you seed, and a reviewer and a model who follow a script."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from dualcontrol.case import JSON, Case
from dualcontrol.desk import Desk
from dualcontrol.learn.trainers import optional

START = 1_767_225_600_000_000
Script = Callable[[dict[str, JSON]], tuple[str, JSON] | str]


class FakeClock:
    """A clock that stands still until you move it; give it to ``dualcontrol.open(clock=…)``.

    Times are integer microseconds, UTC; it starts on 2026-01-01.
    """

    def __init__(self, at: int = START) -> None:
        self.at = at

    def __call__(self) -> int:
        return self.at

    def tick(self, seconds: float) -> None:
        """Let `seconds` pass."""
        self.at += int(seconds * 1_000_000)


def seeded_ids(seed: int) -> Callable[[], str]:
    """Ids that look like UUIDv7 and are the same for the same seed, in rising order."""
    noise = random.Random(seed)
    count = 0

    def new_id() -> str:
        nonlocal count
        count += 1
        text = f"{count << 80 | 7 << 76 | noise.getrandbits(12) << 64 | 2 << 62 | noise.getrandbits(62):032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    return new_id


class ScriptedReviewer:
    """A reviewer who answers what a script says; the script sees the view and nothing else.

    The script returns a verdict, or a verdict and its value.  Where a review asks for a commitment first, `first`
    gives it from what is shown before: "happen" or "not", alone or with whom it concerns.
    """

    def __init__(
        self, desk: Desk, person: str, script: Script, *, loop: str | None = None,
        first: Script = lambda view: "happen",
    ) -> None:  # fmt: skip
        self.desk = desk
        self.person = person
        self.script = script
        self.loop = loop
        self.first = first
        self.answered = 0

    def once(self) -> Case | None:
        """Claim and answer one review; None when there is none."""
        claim = self.desk.claim(self.person, self.loop)
        if claim is None:
            return None
        self.answered += 1
        if claim.view.get("committed", claim) is None:
            claim.commit(*_pair(self.first(claim.view)))
        verdict, value = _pair(self.script(claim.view))
        return claim.answer(verdict, value, rationale="by script")

    def all(self, limit: int = 1_000_000) -> int:
        """Answer until the queue is empty; returns how many."""
        done = 0
        while done < limit and self.once() is not None:
            done += 1
        return done


def _pair(answer: tuple[str, JSON] | str) -> tuple[str, JSON]:
    return (answer, None) if isinstance(answer, str) else answer


def scripted_model(turns: Sequence[Any]) -> Any:
    """A chat model for LangGraph and LangChain that says one turn after the other, the last one again and again.

    A turn is a text, ``(text, (tool, args), …)`` to call tools, or an AIMessage.  It counts what was said in the
    conversation, so a program that is started again goes on where it was.  Needs the extra ``langgraph``.
    """
    return optional("dualcontrol.adapters.scripted_model", "langgraph").ScriptedModel(turns=list(turns))
