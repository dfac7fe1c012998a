"""The case: structure in fields, what people wrote in content, and the properties that join both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

import msgspec

from dualcontrol.case.parts import (
    Answer,
    Candidate,
    CaseState,
    Decision,
    Effect,
    Mode,
    Outcome,
    Review,
    Route,
    Signal,
)
from dualcontrol.case.value import ENCODER, JSON, Content, Value, decode_content, encode_content


class Case(Value, frozen=True, kw_only=True):
    """One proposal's life from opening to outcome.

    Structure is in the fields; what people wrote is in `content` and comes back through the properties.
    Times are integer microseconds, UTC.  `leader` is the case that asks the same and that this one is settled with,
    `followers` how many cases have joined this one so; `recalled_after` how many
    reviews it had when its outcome was last taken back.
    """

    id: str
    loop: str
    mode: Mode
    kind: Literal["live", "probe", "practice"]
    origin: Literal["live", "import", "shadow"]
    state: CaseState
    proposed: int | None
    effect: Effect
    opened_at: int
    wants_effect: bool = False
    seq: int = 0
    key: str | None = None
    run: str | None = None
    parent: str | None = None
    leader: str | None = None
    followers: int = 0
    owner: str | None = None
    action: str | None = None
    confidence: float | None = None
    risk: str | float | None = None
    requires_approval: bool = False
    segment: str | None = None
    route: Route | None = None
    reviews: tuple[Review, ...] = ()
    answered: tuple[Answer, ...] = ()
    settled: Decision | None = None
    concluded: Outcome | None = None
    audits: tuple[dict[str, JSON], ...] = ()
    alarms: tuple[dict[str, JSON], ...] = ()
    due_at: int | None = None
    recalled_after: int | None = None
    closed_at: int | None = None
    erased: bool = False
    read_only: str | None = None
    content: Content = Content()

    # what the caller wrote

    @property
    def input(self) -> JSON:
        """What the AI was given."""
        return self.content.get("input")

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """What the AI could do or say, in the caller's order."""
        return tuple(Candidate.from_dict(c) for c in self.content.get("candidates", ()))

    @property
    def proposal(self) -> Candidate | None:
        """The proposed candidate, or None."""
        candidates = self.content.get("candidates", ())
        if self.proposed is None or not candidates:
            return None
        return Candidate.from_dict(candidates[self.proposed])

    @property
    def signal(self) -> Signal:
        """The decision signal as it was given."""
        return Signal(
            confidence=self.confidence,
            risk=self.risk,
            requires_approval=self.requires_approval,
            scores=self.content.get("scores"),
            segment=self.segment,
        )

    @property
    def rationale(self) -> str | None:
        """Why the AI proposes this."""
        text: str | None = self.content.get("rationale")
        return text

    @property
    def history(self) -> JSON:
        """What happened before in the run."""
        return self.content.get("history")

    @property
    def meta(self) -> dict[str, JSON]:
        """The caller's own data."""
        return dict(self.content.get("meta") or {})

    # what humans wrote

    @property
    def answers(self) -> tuple[Answer, ...]:
        """The answers with what they say."""
        return tuple(self.answer(a.review_id) for a in self.answered)

    def answer(self, review_id: str) -> Answer:
        """One answer with what it says, by the review it was given to."""
        bare = next(a for a in self.answered if a.review_id == review_id)
        said = self.content.get(f"answer/{review_id}") or {}
        return msgspec.structs.replace(
            bare, value=said.get("value"), rationale=said.get("rationale"), first=said.get("first")
        )

    @property
    def decision(self) -> Decision | None:
        """The settled result, with its value."""
        if self.settled is None:
            return None
        value = self._decided_value()
        spread = None if len(self.settled.answers) < 2 else self._distribution()
        return msgspec.structs.replace(self.settled, value=value, distribution=spread)

    def _decided_value(self) -> JSON:
        if self.settled is None or self.settled.source is None:
            return None
        return (self.content.get(f"answer/{self.settled.source}") or {}).get("value")

    def _distribution(self) -> list[dict[str, JSON]]:
        counts: dict[bytes, dict[str, JSON]] = {}
        for answer in self.answers:
            if self.settled is not None and answer.review_id in self.settled.answers:
                shape = {"verdict": answer.verdict, "value": answer.value}
                counts.setdefault(ENCODER.encode(shape), {**shape, "answers": 0})["answers"] += 1
        return sorted(counts.values(), key=lambda c: -c["answers"])

    @property
    def outcome(self) -> Outcome | None:
        """What became of the case, with its value; None while it is undecided."""
        if self.concluded is None:
            return None
        effect: dict[str, JSON] = {"state": self.effect.state}
        if self.effect.state == "succeeded":
            effect["result"] = self.content.get("result")
        elif self.effect.state == "failed":
            effect["error"] = self.content.get("error")
        return msgspec.structs.replace(
            self.concluded, value=self.resolved_value(), rationale=self._decided_rationale(), effect=effect
        )

    def _decided_rationale(self) -> str | None:
        if (revoked := self.content.get("revoked")) is not None:
            why: str | None = revoked.get("rationale")
            return why
        if self.settled is None or self.settled.source is None:
            return None
        text: str | None = (self.content.get(f"answer/{self.settled.source}") or {}).get("rationale")
        return text

    def resolved_value(self) -> JSON:
        """The value the program continues with: proposed on autopilot or approval, else what was answered."""
        outcome = self.concluded
        if outcome is None or outcome.verdict == "reject" or outcome.by == "withdrawn":
            return None
        if outcome.verdict in (None, "approve") and (self.settled is None or self.settled.source is None):
            return self.proposed_value()
        if outcome.verdict == "approve":
            return self.approved_value(self.settled.source if self.settled else None)
        if self.settled is not None and self.settled.source is None:
            return self._distribution()
        return self._decided_value()

    def proposed_value(self) -> JSON:
        """The proposal as a value: ``{action, args}`` where there is an action, else the value itself."""
        rows = self.content.get("candidates", ())
        if self.proposed is None or not rows:
            return None
        row = rows[self.proposed]
        return {"action": row["action"], "args": row["value"]} if row.get("action") else row.get("value")

    def decided_action(self) -> str | None:
        """The name of the action that was decided on, which an edit may have changed; None when there is none."""
        value = self.resolved_value()
        return value["action"] if self.action is not None and isinstance(value, dict) else None

    def approved_value(self, review_id: str | None) -> JSON:
        """What an approval approved: the proposal, or the edit that a second reviewer was asked about."""
        said = self.content.get(f"answer/{review_id}") or {} if review_id else {}
        return said["approved"] if "approved" in said else self.proposed_value()

    # access

    def review(self, review_id: str) -> Review | None:
        """One review of this case."""
        return next((r for r in self.reviews if r.id == review_id), None)

    def review_of_claim(self, claim_id: str) -> Review | None:
        """The review that a claim was given for."""
        return next((r for r in self.reviews if r.claim_id == claim_id), None)

    def to_dict(self) -> dict[str, JSON]:
        """The case in the shape of one JSON for four modes, content included."""
        bare = msgspec.structs.replace(self, content=Content(), answered=(), settled=None, concluded=None)
        built: dict[str, JSON] = msgspec.to_builtins(bare, enc_hook=encode_content)
        for flat in ("confidence", "risk", "requires_approval", "segment"):
            built.pop(flat, None)
        built |= {
            "input": self.input,
            "candidates": [c.to_dict() for c in self.candidates],
            "signal": self.signal.to_dict(),
            "rationale": self.rationale,
            "history": self.history,
            "meta": self.meta,
            "route": self.route.to_dict() if self.route else None,
            "reviews": [r.to_dict() for r in self.reviews],
            "answers": [a.to_dict() for a in self.answers],
            "decision": self.decision.to_dict() if self.decision else None,
            "outcome": self.outcome.to_dict() if self.outcome else None,
            "seq": self.seq,
            "content": self.content.values,
            "seals": self.content.seals,
        }
        return built

    @classmethod
    def from_dict(cls, data: Mapping[str, JSON]) -> Self:
        """The case that `to_dict` described."""
        plain = dict(data)
        signal = plain.pop("signal", {})
        seals, values = plain.pop("seals", {}), plain.pop("content", {})
        answers = [
            {k: v for k, v in a.items() if k not in ("value", "rationale", "first")} for a in plain.pop("answers", [])
        ]
        settled, concluded = plain.pop("decision", None), plain.pop("outcome", None)
        for joined in ("input", "candidates", "rationale", "history", "meta"):
            plain.pop(joined, None)
        plain |= {k: v for k, v in signal.items() if k != "scores"}
        plain |= {"answered": answers}
        if settled is not None:
            plain["settled"] = {**settled, "value": None} | {"distribution": None}
        if concluded is not None:
            plain["concluded"] = {**concluded, "value": None, "rationale": None, "effect": {}}
        case = msgspec.convert(plain, cls, dec_hook=decode_content)
        return msgspec.structs.replace(case, content=Content(values, seals))
