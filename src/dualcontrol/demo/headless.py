"""The headless demo: the digits loop played through the desk by a reviewer who errs on 2 % of answers.

One seed, one result: order, ids, draws, clock, models and errors all come from the seed.  The ledger stays.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from dualcontrol import compose
from dualcontrol.case import JSON
from dualcontrol.demo.figures import Figures, certified, figures
from dualcontrol.desk import Desk
from dualcontrol.errors import SettingsError
from dualcontrol.learn.trainers import optional
from dualcontrol.settings import Database, Settings
from dualcontrol.settings.place import model_folder
from dualcontrol.testing import FakeClock, ScriptedReviewer, seeded_ids

ERRS = 0.02
PERSON = "scripted reviewer"
SECOND = "scripted adjudicator"
CASE_EVERY = 1.0
ANSWER_TAKES = 3.0
DATABASE = "dualcontrol-headless"
Watch = Callable[[int, int], None]


def run(
    seed: int = 0, database: str | None = None, *, limit: int | None = None, watch: Watch | None = None,
    guarantee: bool = False, adjudicate: bool = True,
) -> tuple[Figures, str]:  # fmt: skip
    """Play the demo into a fresh database; the figures, and the URL of the ledger.

    `watch(done, of)` hears of the progress; `limit` plays only the first cases of the stream.  With `guarantee` the
    threshold is found by evidence, and a second reviewer adjudicates unless `adjudicate` is off.
    """
    digits, scans = (optional(f"dualcontrol.demo.{name}", "demo") for name in ("digits", "scans"))
    url, clock = database or fresh_url(), FakeClock()
    settings = Settings(
        database=Database(url=url, durability="process"), models=model_folder(url),
        secret=hashlib.sha256(f"dualcontrol headless demo {seed}".encode()).hexdigest(),
    )  # fmt: skip
    with compose.open(settings=settings, clock=clock, new_id=seeded_ids(seed)) as desk:
        if desk.loops():  # a ledger holds one run: another would meet its ids
            raise SettingsError(
                "this database is in use already; a headless run needs one of its own",
                hint="Name a new database with --database, or none to have a new file made.",
            )
        loop = digits.open_loop(desk, **(digits.guaranteed(adjudicate=adjudicate) if guarantee else {}))
        digits.learn(desk, seed)  # the first model, then the stream, each case answered before the next one comes
        people = (PERSON, SECOND) if guarantee else (PERSON,)
        reviewers = [scripted(desk, seed, clock, scans.truth, person) for person in people]
        stream: Sequence[int] = scans.order(seed).stream[:limit]
        for done, (sample, output, version) in enumerate(digits.scored_stream(desk, stream), start=1):
            clock.tick(CASE_EVERY)
            case = digits.propose(loop, sample, output, version)
            if case.route.to == "human" or case.route.audited:
                for reviewer in reviewers:
                    reviewer.all()
                digits.learn(desk, seed)
            if watch is not None:
                watch(done, len(stream))
        while desk.store.sequence():  # nothing runs on after us that would give the entries their positions
            pass
        result = figures(desk, "digits", scans.truth)
        if guarantee:
            result["guarantee"] = certified(desk, "digits", scans.truth)
    result["total"] |= {"seed": seed, "start_labels": len(scans.order(seed).starters)}
    return result, url


def fresh_url(folder: str = ".") -> str:
    """A SQLite file in the working directory that does not exist yet."""
    number = 1
    while True:
        path = Path(folder) / (f"{DATABASE}.db" if number == 1 else f"{DATABASE}-{number}.db")
        if not path.exists():
            return f"sqlite:///{path}"
        number += 1


def scripted(
    desk: Desk, seed: int, clock: FakeClock, truth: Callable[[int], int], person: str
) -> ScriptedReviewer:  # fmt: skip
    """A reviewer who types the digit, and on 2 % of the scans another one."""

    def script(view: dict[str, JSON]) -> tuple[str, JSON]:
        clock.tick(ANSWER_TAKES)
        sample = desk.case(view["case_id"]).meta["sample"]
        return "label", misread(seed, sample, truth(sample), "" if person == PERSON else person)

    return ScriptedReviewer(desk, person, script, loop="digits")


def misread(seed: int, sample: int, right: int, person: str = "") -> int:
    """What a reviewer reads; fixed by seed, scan and person, whatever the order of the answers."""
    noise = random.Random(f"{seed}/{sample}{person and '/'}{person}")
    others: list[Any] = [digit for digit in range(10) if digit != right]
    return int(noise.choice(others)) if noise.random() < ERRS else right


# How the headless demo is shown: a progress bar, a table of rounds, a closing line, or one JSON document.


WIDE = 120


def console(file: TextIO) -> Console:
    """A console of a demo, as wide as a page where it is no terminal."""
    return Console(file=file, width=None if file.isatty() else WIDE, highlight=False, emoji=False)


def progress(err: TextIO) -> Progress:
    """The progress bar of a demo, on a terminal only."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console(err), transient=True, disable=not err.isatty())


def main(
    seed: int = 0, database: str | None = None, *, as_json: bool = False, limit: int | None = None,
    out: TextIO | None = None, err: TextIO | None = None, guarantee: bool = False, adjudicate: bool = True,
) -> Figures:  # fmt: skip
    """Play the demo with a progress bar on `err` and its figures on `out`."""
    out, err = out or sys.stdout, err or sys.stderr
    with progress(err) as bar:
        task = bar.add_task("playing", total=None)
        result, url = run(
            seed, database, limit=limit, guarantee=guarantee, adjudicate=adjudicate,
            watch=lambda done, of: bar.update(task, completed=done, total=of),
        )  # fmt: skip
    if as_json:
        print(json.dumps(result, indent=2), file=out)
        print(f"The ledger: {url.rpartition('@')[2]}", file=err)
    else:
        show(result, url, console(out))
    return result


def show(result: Figures, url: str, console: Console) -> None:
    """The rounds as a table, and what they came to in sentences."""
    rounds, total = result["rounds"], result["total"]
    table = Table(title="Digits: a tenth of the stream a round")
    for name in ("round", "cases", "human load", "audited", "autopilot error", "accuracy", "promoted", "threshold"):
        table.add_column(name, justify="right")
    for name, row in [*((str(n), r) for n, r in enumerate(rounds, start=1)), ("all", total)]:
        threshold = "none" if row["threshold"] is None else f"{row['threshold']:.2f}"
        table.add_row(
            name, str(row["cases"]), f"{row['human_load']:.1%}", str(row["audited"]),
            f"{row['autopilot_error']:.2%}", f"{row['accuracy']:.1%}", str(row["promoted"]), threshold,
            end_section=row is rounds[-1],
        )  # fmt: skip
    console.print(table)
    closing = (
        f"Human load fell from {rounds[0]['human_load']:.0%} to {rounds[-1]['human_load']:.0%}; "
        f"autopilot decided {total['autopilot']} of {total['cases']} cases and was wrong on "
        f"{total['autopilot_error']:.2%} of them; {total['promoted']} better models took over."
    )
    console.print(closing, markup=False)
    if (promise := result.get("guarantee")) is not None:
        opened = promise["opened_at"]
        when = "Autopilot never opened" if opened is None else f"Autopilot opened at case {opened}"
        load = f"{promise['last_third_reviews']:.0%} reviews a case in the last third, second reviews included"
        console.print(f"{when}; {load}. {promise['state'].capitalize()}: {promise['reason']}.", markup=False)
    console.print(f"The ledger: {url.rpartition('@')[2]}", markup=False)
