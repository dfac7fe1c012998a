"""``commit``: a reviewer says what should happen before the action is shown, and answers after that."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from dualcontrol.cli.command import Person, State, Target, group, os_user, verb
from dualcontrol.cli.open import case_of, desk_of
from dualcontrol.cli.read import text_of
from dualcontrol.cli.screen import facts, report, spread
from dualcontrol.cli.show import proposed_parts
from dualcontrol.errors import SettledError
from dualcontrol.spelling import loose

app = group("commit", "Commit.")


@verb(app, "commit", "dualcontrol commit 01890a5d-ac96-774b-bcce-b302099a8057 happen --to 'Jana, order A-17'")
def commit(
    state: State,
    case: Target,
    should: Annotated[Literal["happen", "not"], typer.Argument(metavar="happen|not", help="Whether it should happen.")],
    to: Annotated[
        str | None, typer.Option("--to", metavar="TEXT", help="To whom, or what exactly: text, JSON, @FILE or -.")
    ] = None,
    person: Person = None,
) -> None:
    """Say whether a hidden action should happen, and see it then: for blind reviews of actions.

    The review is held from here on; answer it with approve, edit, reject or answer.
    """
    target = case.strip()
    with desk_of(state) as desk:
        named = "." in target and desk.steps.case_of_claim(target) is not None
        claim = desk.claimed(target) if named else desk.claim(person or os_user(), case=case_of(desk, target))
        if claim is None:
            raise SettledError(f"case {target} has no review to take")
        claim = claim.commit(should, None if to is None else loose(text_of(to)))
    first = claim.view["committed"]
    plain = {
        "case_id": claim.case.id, "claim_id": claim.id, "person": claim.person, "committed": first, "view": claim.view,
    }  # fmt: skip
    answer = first["should"] if first["to"] is None else f"{first['should']}, to {spread(first['to'])}"
    rows = [("case", claim.case.id), ("claim", claim.id), ("said first", f"{answer} ({claim.person})")]
    report(state.as_json, plain, facts(rows), *proposed_parts(claim.case))
