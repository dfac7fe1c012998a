"""``policy``: settings and rules before anybody is exposed to them, and what people lay over those in force."""

from __future__ import annotations

import inspect
from typing import Annotated

import typer
from msgspec.structs import replace
from rich.text import Text

from dualcontrol.case import JSON
from dualcontrol.cli.command import LoopName, State, group, os_user, verb
from dualcontrol.cli.open import desk_of, missing, settings_of
from dualcontrol.cli.read import json_of, usage
from dualcontrol.cli.screen import document, facts, report, show, styled, table
from dualcontrol.control import Control, Env, LoopSettings, Override, Rule, uuid7
from dualcontrol.desk import Loop, unknown_loop
from dualcontrol.errors import ProposalError
from dualcontrol.events import Routed
from dualcontrol.layout import some, written
from dualcontrol.names import nearest
from dualcontrol.overrides import key_of, settings_of_loop
from dualcontrol.propose import command
from dualcontrol.route.route import propose
from dualcontrol.spelling import loose
from dualcontrol.tables import opened

policy_app = group("policy", "Check settings and rules, try a case on them without writing, and override a setting.")


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


# Overrides: what a person lays over a setting of the file.


Key = Annotated[
    str, typer.Argument(metavar="KEY", help="A setting of the loop, such as threshold, or groups.NAME for members.")
]
Author = Annotated[
    str | None, typer.Option("--person", metavar="PERSON", help="Who changes it; the system's user if not given.")
]


@verb(
    policy_app, "set", "dualcontrol policy set refunds threshold 0.95 --person ana",
    "dualcontrol policy set refunds groups.support '[\"ana\", \"ben\"]'",
)  # fmt: skip
def override(
    state: State,
    loop: LoopName,
    key: Key,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="JSON, @FILE or -; what is no JSON is text.")],
    person: Author = None,
) -> None:
    """Lay a value over a setting of the file, for every program from here on; null is its default."""
    with desk_of(state) as desk:
        opened = Loop(desk, desk.governing(loop))
        _laid(state, opened.override(key, _value(value), person or os_user()), key)


@verb(policy_app, "drop", "dualcontrol policy drop refunds threshold --person ana")
def drop(state: State, loop: LoopName, key: Key, person: Author = None) -> None:
    """Let a setting be as the file says again."""
    with desk_of(state, govern=False) as desk:  # the settings of this call may be what the override refuses
        opened = Loop(desk, desk.governing(loop))
        _laid(state, opened.drop_override(key, person or os_user()), key)


@verb(policy_app, "show", "dualcontrol policy show refunds", "dualcontrol policy show refunds --json")
def show_policy(state: State, loop: LoopName) -> None:
    """Show every setting in force in a loop, beside the file's value and what lies over it."""
    with desk_of(state, govern=False) as desk:
        rows = settings_of_loop(desk.governing(loop))
    if state.as_json:
        return document({"loop": loop, "settings": [row.to_dict() for row in rows]})
    cells = [
        (row.key, styled(_cell(row.value), "bold" if row.override else None),
         _cell(row.declared) if row.override else "", _author(row.override))
        for row in rows
    ]  # fmt: skip
    return show(table(("key", "in force", "file", "overridden by"), cells))


def _value(text: str) -> JSON:
    """What is typed as a value: JSON where it has to be, else what the text spells."""
    return json_of(text, "VALUE") if text == "-" or text[:1] in ("@", "{", "[", '"') else loose(text)


def _laid(state: State, control: Control, key: str) -> None:
    """Print what is in force of a setting after a change."""
    row = next((row for row in settings_of_loop(control) if row.key == key_of(key)), None)
    value = "not declared" if row is None else _cell(row.value)
    cells = [("loop", control.loop), ("version", str(control.version)), (key, value)]
    if row is not None and row.override is not None:
        cells += [("file", _cell(row.declared)), ("overridden by", _author(row.override))]
    plain = {"loop": control.loop, "version": control.version, "setting": row.to_dict() if row else None}
    report(state.as_json, plain, facts(cells))


def _cell(value: JSON) -> str:
    return "" if value is None else written(value)


def _author(override: Override | None) -> str:
    if override is None:
        return ""
    return override.by + (f", approved by {override.approved_by}" if override.approved_by else "")


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
