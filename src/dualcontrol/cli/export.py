"""``export``: examples for training, or open reviews that people or other tools answer elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from dualcontrol.case import Case
from dualcontrol.cli.command import Force, State, group, os_user, verb
from dualcontrol.cli.inbox import pools
from dualcontrol.cli.open import desk_of
from dualcontrol.cli.read import usage, write
from dualcontrol.cli.screen import document, note, progress, stamp
from dualcontrol.desk import Desk
from dualcontrol.exchange import jsonl, row_of, table_text, waiting
from dualcontrol.layout import some
from dualcontrol.learn.export import Exported, content, kind_of, mark

app = group("export", "Export.")
Format = Literal["jsonl", "csv", "parquet", "labels", "sft", "prompt-completion", "trl-preference"]
OPEN = {"csv": table_text, "jsonl": jsonl}


@verb(
    app, "export",
    "dualcontrol export refunds examples.parquet",
    "dualcontrol export refunds pairs.jsonl --format trl-preference",
    "dualcontrol export --open answers.jsonl --person ana",
)  # fmt: skip
def export(
    state: State,
    what: Annotated[
        list[str],
        typer.Argument(metavar="[LOOP] OUT", help="The loop and a .csv, .jsonl or .parquet file; - is stdout."),
    ],
    open_reviews: Annotated[
        bool, typer.Option("--open", help="Open reviews with empty answers; .csv for labels, .jsonl for all modes.")
    ] = False,
    format: Annotated[
        Format | None,
        typer.Option(metavar="labels|sft|trl-preference", help="The shape of the examples; everything if not given."),
    ] = None,
    loop: Annotated[str | None, typer.Option(metavar="LOOP", help="With --open: only this loop.")] = None,
    person: Annotated[
        str | None, typer.Option(metavar="PERSON", help="With --open: who will answer; the system's user if not given.")
    ] = None,
    force: Force = False,
) -> None:
    """Write examples for training, or with --open the reviews that wait.

    The ending of the file's name says what kind of file it is: .csv, .jsonl or .parquet (extra arrow).  Every column
    is of one type from the first line to the last; one whose values have none in common is written as JSON text.

    Rows of --open hold what this reviewer may see, and empty fields verdict, value and rationale to fill in,
    by hand or with another tool.  With feedback = "export" the examples in the file count as used from then on.
    """
    with desk_of(state) as desk:
        if open_reviews:
            if len(what) != 1:
                raise usage("export --open takes one file: dualcontrol export --open OUT [--loop LOOP]")
            exported = Exported(_open(state, desk, what[0], loop, person or os_user(), force))
            noun, why_none = "open review", "nothing waits for this person; --person names another"
        else:
            if len(what) != 2:
                raise usage("export takes a loop and a file: dualcontrol export LOOP OUT")
            noun, (exported, why_none) = "example", _examples(desk, what[0], what[1], format, force)
    out = what[-1]
    if state.as_json and out != "-":
        details = {"left_out": exported.left_out, "as_text": exported.as_text}
        return document({"out": out, "rows": exported, **details})
    note(f"{some(exported, noun)} in {out}" if exported else f"0 {noun}s in {out}: {why_none}")
    if exported.left_out:
        note(f"{some(exported.left_out, 'pair')} left out: chosen and rejected are the same text")
    if exported.as_text:
        note(f"written as JSON text, since the values have no type in common: {', '.join(exported.as_text)}")
    return None


def _open(state: State, desk: Desk, out: str, loop: str | None, person: str, force: bool) -> int:
    kind = "jsonl" if out == "-" else kind_of(out)
    if kind not in OPEN:
        raise usage(f"open reviews are written as .csv (labels) or .jsonl, and {out} is neither")
    waits = waiting(desk, pools(desk, loop, person), person)
    rows = []
    with progress("reading what is open", len(waits), quiet=state.as_json) as step:
        for listed in waits:
            step()
            if listed.read_only:
                continue
            case: Case = desk.case(listed.review.case_id)
            review = case.review(listed.review.id)
            if review is not None and not case.erased:
                rows.append(row_of(case, review, person, desk))
    write(out, OPEN[kind](rows), force=force)
    return len(rows)


def _examples(desk: Desk, name: str, out: str, format: Format | None, force: bool) -> tuple[Exported, str]:
    """Write what a loop's people decided, then mark it as used; how many lines, and why there are none."""
    if out != "-":
        kind = kind_of(out, format)
    elif format == "parquet":
        raise usage("Parquet is no text, and goes to a file: dualcontrol export LOOP OUT.parquet")
    else:
        kind = "csv" if format == "csv" else "jsonl"
    loop = desk.loop(name)
    rows = loop.examples()
    count, data = content(rows, kind, format)
    write(out, data, force=force)
    mark(desk, name, rows, format, stamp(desk.steps.now()) if out == "-" else Path(out).name)
    if not rows:
        return count, "people have decided nothing here yet"
    mode = f"a loop in {loop.settings.mode} mode"
    return count, f"--format {format} fits none of the decisions ({len(rows)}) of {mode}; without it all are written"
