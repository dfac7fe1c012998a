"""How the headless demo is shown: a progress bar, a table of rounds, a closing line, or one JSON document."""

from __future__ import annotations

import json
import sys
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from dualcontrol.demo.figures import Figures
from dualcontrol.demo.headless import run

WIDE = 120


def main(
    seed: int = 0, database: str | None = None, *, as_json: bool = False, limit: int | None = None,
    out: TextIO | None = None, err: TextIO | None = None, guarantee: bool = False, adjudicate: bool = True,
) -> Figures:  # fmt: skip
    """Play the demo with a progress bar on `err` and its figures on `out`."""
    with _bar(err or sys.stderr) as bar:
        task = bar.add_task("playing", total=None)
        found, url = run(
            seed, database, limit=limit, guarantee=guarantee, adjudicate=adjudicate,
            watch=lambda done, of: bar.update(task, completed=done, total=of),
        )  # fmt: skip
    if as_json:
        print(json.dumps(found, indent=2), file=out or sys.stdout)
        print(f"The ledger: {url.rpartition('@')[2]}", file=err or sys.stderr)
    else:
        show(found, url, _console(out or sys.stdout))
    return found


def _console(file: TextIO) -> Console:
    return Console(file=file, width=None if file.isatty() else WIDE, highlight=False, emoji=False)


def _bar(file: TextIO) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=_console(file), transient=True, disable=not file.isatty())


def show(found: Figures, url: str, console: Console) -> None:
    """The rounds as a table, and what they came to in one line."""
    table = Table(title="Digits: a tenth of the stream a round")
    for name in ("round", "cases", "human load", "audited", "autopilot error", "accuracy", "promoted", "threshold"):
        table.add_column(name, justify="right")
    for number, row in enumerate(found["rounds"], start=1):
        table.add_row(str(number), *_cells(row))
    table.add_section()
    table.add_row("all", *_cells(found["total"]))
    console.print(table)
    console.print(closing(found), markup=False)
    if "guarantee" in found:
        console.print(promised(found["guarantee"]), markup=False)
    console.print(f"The ledger: {url.rpartition('@')[2]}", markup=False)


def _cells(row: Figures) -> tuple[str, ...]:
    threshold = "none" if row["threshold"] is None else f"{row['threshold']:.2f}"
    return (
        str(row["cases"]), f"{row['human_load']:.1%}", str(row["audited"]), f"{row['autopilot_error']:.2%}",
        f"{row['accuracy']:.1%}", str(row["promoted"]), threshold,
    )  # fmt: skip


def closing(found: Figures) -> str:
    """What happened, in a sentence."""
    total, rounds = found["total"], found["rounds"]
    return (
        f"Human load fell from {rounds[0]['human_load']:.0%} to {rounds[-1]['human_load']:.0%}; "
        f"autopilot decided {total['autopilot']} of {total['cases']} cases and was wrong on "
        f"{total['autopilot_error']:.2%} of them; {total['promoted']} better models took over."
    )


def promised(found: Figures) -> str:
    """What came of the guarantee, in two sentences."""
    opened = found["opened_at"]
    when = "Autopilot never opened" if opened is None else f"Autopilot opened at case {opened}"
    load = f"{found['last_third_reviews']:.0%} reviews a case in the last third, second reviews included"
    return f"{when}; {load}. {found['state'].capitalize()}: {found['reason']}."
