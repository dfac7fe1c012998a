"""Probes that somebody writes: a proposal with the answer to it, kept to be copied, and never asked of who wrote it."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from dualcontrol.case import ENCODER, JSON
from dualcontrol.commands import Propose, person
from dualcontrol.control import LoopSettings
from dualcontrol.errors import ProposalError
from dualcontrol.keys import fingerprint
from dualcontrol.labels import Labels
from dualcontrol.probe import AnswerKey

CUE = 2_000  # characters


def written(
    proposal: Propose, settings: LoopSettings, secret: bytes, *, wrong: Any, right: JSON, cue: Any, by: str
) -> Propose:  # fmt: skip
    """The command that keeps a proposal as a probe; the very same one finds its case again.

    Raises ProposalError where there is nothing to be right or wrong about, or the answer contradicts itself.
    """
    if not isinstance(wrong, bool):
        raise ProposalError(f"wrong is true or false, not {wrong!r:.80}: whether the proposal of the probe is wrong")
    if not isinstance(cue, str) or len(cue) > CUE:
        raise ProposalError(f"a cue is a text of at most {CUE:,} characters: what shows that the proposal is wrong")
    if proposal.proposed is None:
        raise ProposalError("a probe proposes something, so that it can be right or wrong; this one proposes nothing")
    labels = Labels.of(settings) if right is not None else None
    if labels is not None:
        right = labels.own(right)
        if right not in labels:
            raise labels.refusal(right)
    value = proposal.candidates[proposal.proposed].get("value")
    if right is not None and wrong == (ENCODER.encode(right) == ENCODER.encode(value)):
        states = "wrong, and right" if wrong else "right, and wrong"
        raise ProposalError(f"the probe says that its proposal is {states} by the value that it calls right")
    key = AnswerKey(
        person="", wrong=wrong, how="authored", right=right, cue=cue.strip(), author=person(by),
        effect=proposal.effect == "ready",
    )  # fmt: skip
    print_ = fingerprint(secret, replace(proposal, input=[proposal.input, key.content()]))
    return replace(proposal, kind="probe", key=f"probe/{print_}", effect="none", answer_key=key.content())
