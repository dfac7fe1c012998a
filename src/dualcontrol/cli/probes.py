"""``probes``: test cases that somebody writes, with the answers to them."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from dualcontrol.cli.command import Acting, LoopName, State, group, os_user, verb
from dualcontrol.cli.open import desk_of
from dualcontrol.cli.read import text_of, usage
from dualcontrol.cli.screen import document, note, progress, show, styled, table
from dualcontrol.desk import Loop
from dualcontrol.errors import DualcontrolError, RequestError
from dualcontrol.spelling import parsed

probes_app = group("probes", "Write test cases, whose right answer is known, to be asked among the others.")
SHOWN = 50


@verb(
    probes_app, "add", "dualcontrol probes add refunds probes.jsonl --person ana",
    "dualcontrol probes add refunds - --json",
)  # fmt: skip
def add(
    state: State,
    loop: LoopName,
    file: Annotated[str, typer.Argument(metavar="FILE", help="JSON lines: one test case a line; - is stdin.")],
    person: Acting = None,
) -> int:
    """Add test cases from a file; copies of them are asked of people, never of who wrote them.

    A line has the fields of a proposal (action and args, or proposal; input, confidence …), "wrong": true or false,
    what is "right" and the "cue" that shows it.  The same line is added once, however often the file is.
    The exit code is 1 when a line was refused; the others are added all the same.
    """
    lines = [(number, line) for number, line in enumerate(_text(file).splitlines(), 1) if line.strip()]
    if not lines:
        raise usage(f"{file} holds no line")
    who, rows = person or os_user(), []
    with desk_of(state) as desk, progress("adding", len(lines), quiet=state.as_json) as step:
        opened, since, known = desk.loop(loop), desk.steps.now(), set[str]()
        for number, line in lines:
            rows.append({"line": number, **_added(opened, line, who, since, known)})
            step()
    counts = {name: sum(row["became"] == name for row in rows) for name in ("added", "known", "refused")}
    if state.as_json:
        document({"loop": loop, **counts, "lines": rows})
    else:
        refused = [
            (str(row["line"]), styled(row["code"], "red"), row["why"]) for row in rows if row["became"] == "refused"
        ]
        if refused:
            show(table(("line", "refused", "why"), refused[:SHOWN], whole=("refused",)))
            if len(refused) > SHOWN:
                note(f"and {len(refused) - SHOWN} more; --json lists all")
        before = f", {counts['known']} known already" if counts["known"] else ""
        show(f"{counts['added']} added to {loop}{before}, {counts['refused']} refused; written by {who}")
    return 1 if counts["refused"] else 0


def _text(file: str) -> str:
    return text_of(file if file == "-" or file.startswith("@") else f"@{file}")


def _added(loop: Loop, line: str, by: str, since: int, known: set[str]) -> dict[str, Any]:
    """What became of a line; `known` are the test cases that came from lines before it, `since` the first was read."""
    try:
        fields = parsed(line)
    except ValueError as error:
        return {"became": "refused", "code": "DC-REQUEST", "why": f"the line is not JSON: {error}", "case_id": None}
    try:
        if not isinstance(fields, dict):
            raise RequestError("a line is a JSON object with the fields of a proposal, and `wrong`")
        if "wrong" not in fields or "by" in fields:
            raise RequestError(
                'the line lacks "wrong"' if "by" not in fields else 'who wrote it is said by --person, not "by"'
            )
        case = loop.add_probe(by=by, **fields)
    except DualcontrolError as error:
        return {"became": "refused", "code": error.code, "why": error.message, "case_id": None}
    became = "known" if case.id in known or case.opened_at < since else "added"
    known.add(case.id)
    return {"became": became, "code": None, "why": None, "case_id": case.id}
