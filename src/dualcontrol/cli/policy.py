"""``policy check`` and ``policy test``: settings and rules, before anybody is exposed to them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple

import typer
from msgspec.structs import replace
from rich.text import Text

from dualcontrol.case import JSON
from dualcontrol.cli.command import State, group, verb
from dualcontrol.cli.open import desk_of, settings_of, sqlite_file
from dualcontrol.cli.read import json_of, usage
from dualcontrol.cli.screen import document, facts, show, styled, table
from dualcontrol.control import Control, Env, LoopSettings, uuid7
from dualcontrol.desk import unknown_loop
from dualcontrol.errors import ProposalError
from dualcontrol.events import Routed
from dualcontrol.layout import some
from dualcontrol.names import nearest
from dualcontrol.propose import command
from dualcontrol.route.route import propose
from dualcontrol.settings import Settings
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
            columns = ("rule", "when", "route", "risk", "group", "answers")
            show(table(columns, [_rule(rule) for rule in loop.rules]))
    return show(f"{len(settings.loops)} loop{'s are' if len(settings.loops) > 1 else ' is'} sound.")


def _loop(loop: LoopSettings) -> list[tuple[str, str | Text]]:
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


def _rule(rule: Any) -> list[str | Text]:
    risk = "" if rule.risk is None else str(rule.risk)
    answers = str(rule.quorum.answers) if rule.quorum else ""
    return [rule.name, rule.when, styled(rule.route), styled(risk), rule.group or "", answers]


@verb(
    policy_app, "test",
    "dualcontrol policy test refunds --case '{\"action\": \"refund\", \"args\": {\"amount\": 900}}'",
    "dualcontrol policy test refunds --cases cases.jsonl",
)  # fmt: skip
def try_cases(
    state: State,
    loop: Annotated[str, typer.Argument(metavar="LOOP", help="The loop.")],
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
        found = [tried(control, "--case", json_of(case, "--case"))]
    else:
        found = list(tried_file(control, str(cases)))
    if state.as_json:
        document(found[0]._asdict() if case is not None else {"cases": [row._asdict() for row in found]})
    elif case is not None:
        show(facts(_facts(found[0])))
    else:
        show(table(("line", "route", "by", "why", "as expected"), [_tried(row) for row in found]))
    wrong = sum(row.met is False for row in found)
    if wrong and not state.as_json:
        show(f"{wrong} of {some(len(found), 'case')} {'goes' if wrong == 1 else 'go'} another way than expected")
    return 1 if wrong else 0


def _tried(row: TriedCase) -> list[str | Text]:
    return [str(row.line), styled(row.route), row.by, row.reason, _verdict(row)]


def _facts(tried: TriedCase) -> list[tuple[str, str | Text]]:
    rows: list[tuple[str, str | Text]] = [("route", styled(tried.route)), ("by", tried.by), ("why", tried.reason)]
    rows += [("a human sees it", f"with probability {tried.inclusion:g}")]
    rows += [(name, text) for name, text in (("group", tried.group), ("risk", tried.risk)) if text]
    return rows


def _verdict(tried: TriedCase) -> Text:
    if tried.met is None:
        return styled("not said")
    return styled("yes", "green") if tried.met else styled(f"no: {tried.expected}", "bold red")


# A proposal routed in the head only: what ``policy test`` does with each case.


FIELDS = tuple(inspect.signature(command).parameters)[1:]
EXPECTED = ("route", "by")


class TriedCase(NamedTuple):
    """Where a proposal would go; `met` says whether that was expected, None where nothing was said."""

    line: int
    route: str
    by: str
    reason: str
    inclusion: float
    group: str | None
    risk: str | None
    expected: str | None
    met: bool | None


def governing(state: State, loop: str) -> Control:
    """What would govern a loop: the settings of this call, over the thresholds that its database has certified."""
    settings = settings_of(state)
    mine = settings.loops.get(loop)
    if mine is not None and mine.guarantee is None and state.database is None:
        return Control(loop=loop, loop_id=0, version=0, settings=mine)
    known = _known(state, settings, loop)
    if mine is not None:
        return replace(known or Control(loop=loop, loop_id=0, version=0, settings=mine), settings=mine)
    if known is None:
        raise unknown_loop(loop, list(settings.loops))
    return known


def _known(state: State, settings: Settings, loop: str) -> Control | None:
    file = sqlite_file(settings.database.url)
    if file is not None and not file.exists():
        return None
    with desk_of(state, govern=False) as desk:
        return desk.control(loop)


def tried_file(control: Control, file: str) -> Iterator[TriedCase]:
    """Every case of a file; a usage error names the line that is none."""
    for line, row in opened(file).rows(None):
        where = f"{file}:{line}"
        if isinstance(row, str):
            raise usage(f"{where}: {row}")
        if row is None:
            continue
        expected = {name: row.pop(name) for name in EXPECTED if name in row}
        yield tried(control, where, row, line=line, expected=expected)


def tried(
    control: Control, where: str, given: JSON, *, line: int = 0, expected: dict[str, JSON] | None = None
) -> TriedCase:
    """Where a proposal would go under a control."""
    found = _routed(control, given, where)
    said = expected or {}
    wanted = " by ".join(str(said[name]) for name in EXPECTED if name in said) or None
    met = all(value == {"route": found.to, "by": found.by}[name] for name, value in said.items()) if said else None
    return TriedCase(
        line=line, route=found.to, by=found.by, reason=found.reason, inclusion=float(found.inclusion),
        group=found.group, risk=found.risk, expected=wanted, met=met,
    )  # fmt: skip


def _routed(control: Control, given: Any, where: str) -> Routed:
    if not isinstance(given, dict):
        raise usage(f"{where}: a case is a JSON object with the fields of propose")
    for name in given:
        if name not in FIELDS:
            near = nearest(name, FIELDS)
            raise usage(f"{where}: a proposal has no {name!r}" + (f"; did you mean {near!r}?" if near else ""))
    try:
        made = command(control.settings, **given)
        events = propose(None, made, control, Env(now=0, new_id=uuid7, secret=b""))
    except ProposalError as error:
        raise usage(f"{where}: {error.message}") from error
    return next(event for event in events if isinstance(event, Routed))
