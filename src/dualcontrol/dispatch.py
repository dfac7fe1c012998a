"""Which stage answers a command, which follow an event, and what a command is besides: whose, how urgent, when."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dualcontrol import apply, review, route
from dualcontrol.case import Case
from dualcontrol.commands import (
    Answer,
    Claim,
    Command,
    Commit,
    Erase,
    Expire,
    Extend,
    FinishEffect,
    LoseEffect,
    Propose,
    Recall,
    Release,
    ResolveEffect,
    Retract,
    Revoke,
    Settle,
    StartEffect,
)
from dualcontrol.control import Control, Env
from dualcontrol.events import Event
from dualcontrol.keys import json_text
from dualcontrol.labels import Labels
from dualcontrol.review import context, opening

Handler = Callable[[Any, Any, Control, Env], list[Event]]
HANDLERS: dict[Any, Handler] = {**route.HANDLERS, **review.HANDLERS, **apply.HANDLERS}
REACTIONS: dict[type[Event], list[Handler]] = {
    kind: [stage[kind] for stage in (opening.REACTIONS, apply.REACTIONS) if kind in stage]
    for kind in {*opening.REACTIONS, *apply.REACTIONS}
}
UNHURRIED: tuple[type[Command], ...] = (Claim, Settle)
AFTER_ERASURE: tuple[type[Command], ...] = (Erase, FinishEffect, LoseEffect, ResolveEffect)
UNREAD: tuple[type[Command], ...] = (FinishEffect, LoseEffect, Expire)
BY_CLAIM, BY_PERSON = (Answer, Commit, Release, Extend), (Claim, Retract)
BY_PROGRAM = (StartEffect, FinishEffect, Recall)
IN_TIME: tuple[type[Command], ...] = (Answer, Retract, StartEffect)


def admitted(command: Propose, control: Control) -> None:
    """Refuse a proposal before rules look at it: context that is missing, content that is not JSON.

    So is a label that is none by now, which a program may still propose that opened its loop before.
    """
    labels = Labels.of(control.settings)
    if labels is not None and command.proposed is not None:
        value = command.candidates[command.proposed].get("value")
        if value not in labels:
            raise labels.refusal(value)
    context.admit(command, control.settings)
    if control.settings.rules:
        json_text([command.input, command.candidates, command.meta])


def actor_of(command: Any, case: Case) -> str:
    """Who stands behind a command on a case, for the ledger."""
    kind = type(command)
    if kind in BY_CLAIM:
        review = case.review_of_claim(command.claim_id)
        return (review.person if review else None) or "reviewer"
    if kind in BY_PERSON:
        return str(command.person)
    if kind is Revoke:
        return str(command.actor.person)
    if kind in BY_PROGRAM:
        return "program"
    return str(getattr(command, "by", "system"))
