"""``policy check`` and ``policy test``: settings and rules, before anybody is exposed to them."""

from __future__ import annotations

import inspect
from typing import Annotated

import typer
from msgspec.structs import replace
from rich.text import Text

from dualcontrol.case import JSON
from dualcontrol.cli.command import LoopName, State, group, verb
from dualcontrol.cli.open import desk_of, missing, settings_of
from dualcontrol.cli.read import json_of, usage
from dualcontrol.cli.screen import document, facts, report, show, styled, table
from dualcontrol.control import Control, Env, LoopSettings, Rule, uuid7
from dualcontrol.desk import unknown_loop
from dualcontrol.errors import ProposalError
from dualcontrol.events import Routed
from dualcontrol.layout import some
from dualcontrol.names import nearest
from dualcontrol.propose import command
from dualcontrol.route.route import propose
from dualcontrol.tables import opened

policy_app = group("policy", "Check settings and rules, and try a case on them without writing.")


@verb(policy_app, "check", "dualcontrol policy check", "dualcontrol policy check deploy/dualcontrol.toml --json")
def check(
    state: State,
    file: Annotated[str | None, typer.Argument(metavar="[FILE]", help="The settings file.")] = None,
) -> None:
    """Load the settings and every rule; a mistake is named with file and line, and the exit code is 2."""
    state.settings = file or state.settings
    settings = settings_of(state)
    if state.as_json:
        return document({"loops": {name: loop.to_dict() for name, loop in settings.loops.items()}})
    if not settings.loops:
        return show("The settings are sound, and define no loop.")
    for loop in settings.loops.values():
        show(Text(f"\n{loop.name}", style="bold"), facts(_loop(loop)))
        if loop.rules:
            show(table(("rule", "when", "route", "risk", "group", "answers"), [_rule(rule) for rule in loop.rules]))
    return show(f"{len(settings.loops)} loop{'s are' if len(settings.loops) > 1 else ' is'} sound.")


def _loop(loop: LoopSettings) -> list[tuple[str, str]]:
    bound = loop.guarantee
    promise = f"certified for an error of at most {bound.max_error:g}" if bound else None
    start = "from certified confidence" if bound else "never" if loop.threshold is None else f"from {loop.threshold:g}"
    rows = [
        ("mode", loop.mode), ("autopilot", start), ("guarantee", promise),
        ("human above", f"risk {loop.risk_ceiling}"),
        ("audit", f"{loop.audit:.1%} of autopilot cases" if loop.audit else None),
        ("start", loop.start), ("group", loop.group),
        ("answer within", f"{loop.respond_within}, then {loop.on_timeout}" if loop.respond_within else None),
    ]  # fmt: skip
    rows += [(name, ", ".join(getattr(loop, name))) for name in ("human_actions", "autopilot_actions", "block_actions")]
    return [(name, value) for name, value in rows if value]


def _rule(rule: Rule) -> list[str]:
    risk = "" if rule.risk is None else str(rule.risk)
    answers = str(rule.quorum.answers) if rule.quorum else ""
    return [rule.name, rule.when, rule.route, risk, rule.group or "", answers]


@verb(
    policy_app, "test",
    "dualcontrol policy test refunds --case '{\"action\": \"refund\", \"args\": {\"amount\": 900}}'",
    "dualcontrol policy test refunds --cases cases.jsonl",
)  # fmt: skip
def try_cases(
    state: State,
    loop: LoopName,
    case: Annotated[
        str | None, typer.Option(metavar="JSON", help="A proposal, with the fields of propose: JSON, @FILE or -.")
    ] = None,
    cases: Annotated[
        str | None, typer.Option(metavar="FILE", help="Proposals, one a line, with the expected route (and by).")
    ] = None,
) -> int:
    """Route a case, or a file of cases with the route expected of each, and write nothing.

    The exit code is 1 when a case of the file goes another way than expected.
    """
    if (case is None) == (cases is None):
        raise usage("give one case with --case, or a file with --cases")
    control = governing(state, loop)
    if case is not None:
        tried = routed(control, "--case", json_of(case, "--case"))
        rows = [(name, tried[key]) for name, key in (("route", "route"), ("by", "by"), ("why", "reason"))]
        rows.append(("a human sees it", f"with probability {tried['inclusion']:g}"))
        rows += [(name, tried[name]) for name in ("group", "risk") if tried[name]]
        report(state.as_json, {"line": 0, **tried, "expected": None, "met": None}, facts(rows))
        return 0
    cells, documents, wrong = [], [], 0
    for line, row in opened(str(cases)).rows(None):
        if isinstance(row, str):
            raise usage(f"{cases}:{line}: {row}")
        if row is None:
            continue
        expected = {name: row.pop(name) for name in EXPECTED if name in row}
        tried = routed(control, f"{cases}:{line}", row)
        words = " by ".join(map(str, expected.values()))
        met = all(tried[name] == value for name, value in expected.items()) if expected else None
        verdict = styled("not said") if met is None else styled("yes", "green")
        if met is False:
            verdict, wrong = styled(f"no: {words}", "bold red"), wrong + 1
        cells.append((str(line), tried["route"], tried["by"], tried["reason"], verdict))
        documents.append({"line": line, **tried, "expected": words or None, "met": met})
    report(state.as_json, {"cases": documents}, table(("line", "route", "by", "why", "as expected"), cells))
    if wrong and not state.as_json:
        show(f"{wrong} of {some(len(cells), 'case')} {'goes' if wrong == 1 else 'go'} another way than expected")
    return 1 if wrong else 0


# A dry run of routing: what ``policy test`` does with each case.


FIELDS = tuple(inspect.signature(command).parameters)[1:]
EXPECTED = ("route", "by")


def governing(state: State, loop: str) -> Control:
    """What would govern a loop: the settings of this call, over the thresholds that its database has certified."""
    settings = settings_of(state)
    mine, known = settings.loops.get(loop), None
    certified = mine is None or mine.guarantee is not None or state.database is not None
    if certified and not missing(settings.database.url):
        with desk_of(state, govern=False) as desk:
            known = desk.control(loop)
    if mine is not None:
        return replace(known or Control(loop=loop, loop_id=0, version=0, settings=mine), settings=mine)
    if known is None:
        raise unknown_loop(loop, list(settings.loops))
    return known


def routed(control: Control, where: str, proposal: JSON) -> dict[str, JSON]:
    """Where a proposal would go under a control; a usage error where it is none."""
    if not isinstance(proposal, dict):
        raise usage(f"{where}: a case is a JSON object with the fields of propose")
    for name in proposal:
        if name not in FIELDS:
            near = nearest(name, FIELDS)
            raise usage(f"{where}: a proposal has no {name!r}" + (f"; did you mean {near!r}?" if near else ""))
    try:
        events = propose(None, command(control.settings, **proposal), control, Env(now=0, new_id=uuid7, secret=b""))
    except ProposalError as error:
        raise usage(f"{where}: {error.message}") from error
    route = next(event for event in events if isinstance(event, Routed))
    return {
        "route": route.to, "by": route.by, "reason": route.reason, "inclusion": float(route.inclusion),
        "group": route.group, "risk": route.risk,
    }  # fmt: skip
