"""``withdraw``, ``revoke``, ``resolve``: a case that nobody needs, an approval taken back, an effect that was lost."""

from __future__ import annotations

from typing import Annotated

import typer

from dualcontrol.case import Case
from dualcontrol.cli.command import Person, Rationale, State, group, os_user, verb
from dualcontrol.cli.open import case_of, desk_of
from dualcontrol.cli.read import authenticated, json_of, text_of, usage
from dualcontrol.cli.screen import facts, report
from dualcontrol.cli.show import concluded
from dualcontrol.layout import written

app = group("cases", "End what nobody needs.")
CaseId = Annotated[str, typer.Argument(metavar="CASE", help="The case's id, or a beginning that only one has.")]


@verb(app, "withdraw", "dualcontrol withdraw 01890a5d-ac96-774b-bcce-b302099a8057")
def withdraw(state: State, case: CaseId, person: Person = None) -> None:
    """Say that nobody needs an answer any more: the case counts as rejected, and its reviews are cancelled."""
    with desk_of(state) as desk:
        ended = desk.withdraw(case_of(desk, case).id, by=person or os_user())
    _report(state, ended, "withdrawn by", person or os_user())


@verb(app, "revoke", "dualcontrol revoke 01890a5d-ac96-774b-bcce-b302099a8057 --rationale 'the customer called'")
def revoke(state: State, case: CaseId, person: Person = None, rationale: Rationale = None) -> None:
    """Take an approval back whose effect has not begun: the case counts as rejected from then on."""
    who = person or os_user()
    with desk_of(state) as desk:
        ended = desk.revoke(case_of(desk, case).id, who, rationale, via="cli", authenticated=authenticated(who))
    _report(state, ended, "revoked by", who)


@verb(
    app, "resolve",
    "dualcontrol resolve 01890a5d-ac96-774b-bcce-b302099a8057 --happened --result '\"refunded\"'",
    "dualcontrol resolve 01890a5d-ac96-774b-bcce-b302099a8057 --did-not-happen",
)  # fmt: skip
def resolve(
    state: State,
    case: CaseId,
    happened: Annotated[
        bool | None,
        typer.Option("--happened/--did-not-happen", help="What you found when you looked.", show_default=False),
    ] = None,
    result: Annotated[
        str | None, typer.Option("--result", metavar="JSON", help="What it gave, if it happened: JSON, @FILE or -.")
    ] = None,
    person: Person = None,
) -> None:
    """Say whether an effect happened that never reported back; if it did not, it may be started again.

    So may one that failed before anything had run.
    """
    if happened is None:
        raise usage("look whether it happened, then say --happened or --did-not-happen")
    if result is not None and not happened:
        raise usage("--result is what an effect gave that happened")
    value = None if result is None else json_of(text_of(result), "--result")
    with desk_of(state) as desk:
        case_id = case_of(desk, case).id
        ended = desk.resolve_effect(case_id, happened=happened, by=person or os_user(), result=value)
    _report(state, ended, "resolved by", person or os_user())


def _report(state: State, case: Case, what: str, who: str) -> None:
    rows = [("case", case.id), (what, who), ("state", case.state)]
    if case.outcome is not None and case.outcome.rationale:
        rows.append(("rationale", written(case.outcome.rationale)))
    if case.effect.state != "none":
        rows.append(("effect", case.effect.state))
    report(state.as_json, concluded(case, state=case.state, effect=case.effect.state), facts(rows))
