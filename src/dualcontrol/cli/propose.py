"""``propose``: open a case from a shell, a script or any other language."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Any, Literal

import typer

from dualcontrol.case import Case
from dualcontrol.cli.command import LoopName, State, group, verb
from dualcontrol.cli.open import desk_of
from dualcontrol.cli.read import json_of, usage
from dualcontrol.cli.screen import facts, note, progress, report
from dualcontrol.cli.show import concluded, outcome_rows
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
    loop: LoopName,
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
    fields: dict[str, Any] = {
        "action": action, "risk": _risk(risk), "confidence": confidence, "rationale": rationale, "segment": segment,
        "owner": owner, "key": key, "effect": effect, "requires_approval": requires_approval,
    }  # fmt: skip
    texts = {
        "args": args, "proposal": proposal, "input": input, "alternatives": alternatives, "candidates": candidates,
        "scores": scores, "history": history, "meta": meta,
    }  # fmt: skip
    if list(texts.values()).count("-") > 1:
        raise usage("stdin can be read once: give - to one option only")
    fields |= {name: json_of(text, f"--{name}") for name, text in texts.items() if text is not None}
    if action is not None and proposal is not None:
        raise usage("--action and --proposal are two ways to say the same: give one of them")
    if args is not None and action is None:
        raise usage("--args are the arguments of an action: give --action as well")
    for name, kind in (("alternatives", list), ("candidates", list), ("meta", dict)):
        if name in fields and not isinstance(fields[name], kind):
            raise usage(f"--{name} is a JSON {'list' if kind is list else 'object'}")
    with desk_of(state, create=True, loop=loop) as desk:
        opened = desk.loop(loop)
        case = opened.propose(**fields)
        if wait is not None and case.outcome is None:
            case = _waited(opened, case, wait, state.as_json)
    outcome, route = case.outcome, case.route
    rows = [("case", case.id)]
    if route is not None:
        rows += [("route", route.to), ("why", route.reason)]
    rows += outcome_rows(outcome) if outcome is not None else [("outcome", "open: waits for a human")]
    if outcome is not None and outcome.rationale is not None:
        rows.append(("rationale", outcome.rationale))
    plain = concluded(case, state=case.state, route=route.to_dict() if route else None)
    report(state.as_json, plain, facts(rows))
    if outcome is None:
        return DONE if wait is None else WAITING
    return REFUSED if outcome.verdict == "reject" or outcome.by == "withdrawn" else DONE


def _risk(text: str | None) -> str | float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return text


def _waited(loop: Loop, case: Case, seconds: float, quiet: bool) -> Case:
    """The case when it has an outcome or the patience ends; says on stderr what it waits for."""
    if not quiet:
        note(f"case {case.id} waits for a human: dualcontrol approve {case.id}")
    with suppress(Pending), progress("waiting for a human", None, quiet=quiet):
        loop.wait(case, seconds)
    return loop.desk.case(case.id)
