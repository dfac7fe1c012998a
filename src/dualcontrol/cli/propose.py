"""``propose``: open a case from a shell, a script or any other language."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer
from rich.text import Text

from dualcontrol.case import JSON, Case
from dualcontrol.cli.command import State, group, verb
from dualcontrol.cli.open import desk_of
from dualcontrol.cli.read import json_of, usage
from dualcontrol.cli.screen import document, facts, note, progress, show, spread, styled
from dualcontrol.desk import Loop
from dualcontrol.errors import Pending

app = group("propose", "Propose.")
DONE, REFUSED, WAITING = 0, 1, 5
JSON_HELP = "JSON, @FILE or - for stdin."


def _json(name: str, help: str) -> Any:
    return typer.Option(name, metavar="JSON", help=f"{help} {JSON_HELP}")


@verb(
    app, "propose",
    "dualcontrol propose refunds --action refund --args '{\"amount\": 420}' --input @mail.json "
    "--rationale 'never arrived' --alternatives '[]' --confidence 0.62 --wait 900",
    "dualcontrol propose spam --proposal '\"spam\"' --input '\"win a prize\"' --confidence 0.7 --json",
)  # fmt: skip
def propose(
    state: State,
    loop: Annotated[str, typer.Argument(metavar="LOOP", help="The loop.")],
    action: Annotated[str | None, typer.Option(metavar="NAME", help="The action that is proposed.")] = None,
    args: Annotated[str | None, _json("--args", "The action's arguments.")] = None,
    proposal: Annotated[str | None, _json("--proposal", "What is proposed where there is no action.")] = None,
    input: Annotated[str | None, _json("--input", "What the AI was given.")] = None,
    confidence: Annotated[float | None, typer.Option(metavar="0..1", help="How sure the AI is.")] = None,
    risk: Annotated[str | None, typer.Option(metavar="RISK", help="low, medium, high, critical, or 0 to 1.")] = None,
    requires_approval: Annotated[bool, typer.Option("--requires-approval", help="A human decides.")] = False,
    rationale: Annotated[str | None, typer.Option(metavar="TEXT", help="Why the AI proposes this.")] = None,
    alternatives: Annotated[str | None, _json("--alternatives", "What else was considered: a list.")] = None,
    candidates: Annotated[str | None, _json("--candidates", "What to choose from where nothing is proposed.")] = None,
    scores: Annotated[str | None, _json("--scores", "Probability by class, or a score for each candidate.")] = None,
    history: Annotated[str | None, _json("--history", "What happened before.")] = None,
    meta: Annotated[str | None, _json("--meta", "Data of your own.")] = None,
    segment: Annotated[str | None, typer.Option(metavar="NAME", help="The segment whose threshold counts.")] = None,
    owner: Annotated[str | None, typer.Option(metavar="PERSON", help="Who proposes, and so does not review.")] = None,
    key: Annotated[str | None, typer.Option(metavar="KEY", help="Same key and content: the same case again.")] = None,
    effect: Annotated[
        Literal["none", "ready"],
        typer.Option(metavar="none|ready", help="ready: a program takes the effect; none: who reads the outcome acts."),
    ] = "none",
    wait: Annotated[float | None, typer.Option(min=0, metavar="SECONDS", help="Wait so long for the outcome.")] = None,
) -> int:
    """Open a case for a proposal, and wait for its outcome if asked to.

    With --wait the exit code is the answer: 0 go on with the value, 1 refused, 5 still waiting.
    Without it, 0 says that the case is recorded, and 1 that it was blocked.
    """
    given: dict[str, Any] = {
        "action": action, "risk": _risk(risk), "confidence": confidence, "rationale": rationale, "segment": segment,
        "owner": owner, "key": key, "effect": effect, "requires_approval": requires_approval,
    }  # fmt: skip
    texts = {
        "args": args, "proposal": proposal, "input": input, "alternatives": alternatives, "candidates": candidates,
        "scores": scores, "history": history, "meta": meta,
    }  # fmt: skip
    if list(texts.values()).count("-") > 1:
        raise usage("stdin can be read once: give - to one option only")
    given |= {name: json_of(text, f"--{name}") for name, text in texts.items() if text is not None}
    _check(given)
    with desk_of(state, create=True, loop=loop) as desk:
        found = desk.loop(loop)
        case = found.propose(**given)
        if wait is not None and case.outcome is None:
            case = _waited(found, case, wait, state.as_json)
    return _report(state, case, waited=wait is not None)


def _check(given: dict[str, JSON]) -> None:
    if given["action"] is not None and "proposal" in given:
        raise usage("--action and --proposal are two ways to say the same: give one of them")
    if "args" in given and given["action"] is None:
        raise usage("--args are the arguments of an action: give --action as well")
    for name, kind in (("alternatives", list), ("candidates", list), ("meta", dict)):
        if name in given and not isinstance(given[name], kind):
            raise usage(f"--{name} is a JSON {'list' if kind is list else 'object'}")


def _risk(text: str | None) -> str | float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return text


def _waited(loop: Loop, case: Case, seconds: float, quiet: bool) -> Case:
    """The case when it has an outcome or the patience ends; says on stderr what it waits for."""
    if not quiet:
        note(f"case {case.id} waits for a human: dualcontrol approve {case.id}")
    try:
        with progress("waiting for a human", None, quiet=quiet):
            loop.wait(case, seconds)
    except Pending:
        pass
    return loop.desk.case(case.id)


def _report(state: State, case: Case, *, waited: bool) -> int:
    outcome, route = case.outcome, case.route
    if state.as_json:
        document({
            "case_id": case.id, "state": case.state, "route": route.to_dict() if route else None,
            "outcome": outcome.to_dict() if outcome else None,
        })  # fmt: skip
    else:
        show(facts(_facts(case)))
    if outcome is None:
        return WAITING if waited else DONE
    return REFUSED if outcome.verdict == "reject" or outcome.by == "withdrawn" else DONE


def _facts(case: Case) -> list[tuple[str, str | Text]]:
    outcome, route = case.outcome, case.route
    rows: list[tuple[str, str | Text]] = [("case", case.id)]
    if route is not None:
        rows += [("route", styled(route.to)), ("why", route.reason)]
    if outcome is None:
        return [*rows, ("outcome", styled("open: waits for a human"))]
    rows += [("outcome", styled(f"{outcome.verdict or 'autopilot'} by {outcome.by}"))]
    rows += [("value", spread(outcome.value))]
    return rows if outcome.rationale is None else [*rows, ("rationale", outcome.rationale)]
