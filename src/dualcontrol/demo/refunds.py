"""The headless demo of measured people: refunds under a guarantee, decided by three who look and one who stamps.

Each refund is judged by what was paid; Zoe approves whatever she is shown.  Probes, right refunds that were made wrong,
find her out, and what she lets pass counts against the guarantee.  One seed, one result; the ledger stays.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table

from dualcontrol import compose
from dualcontrol.case import JSON
from dualcontrol.demo.headless import console, fresh_url, progress
from dualcontrol.desk import Desk, Loop
from dualcontrol.errors import SettingsError
from dualcontrol.names import identity
from dualcontrol.oversight.rates import at_least
from dualcontrol.settings import Database, Settings
from dualcontrol.settings.place import model_folder
from dualcontrol.testing import FakeClock, ScriptedReviewer, seeded_ids

CAREFUL, STAMPER = ("Ana", "Ben", "Cleo"), "Zoe"
REFUNDS, WRONG, OVERLOOKED = 2_000, 0.06, 0.03
CASE_EVERY, LOOKING, STAMPING = 240.0, 25.0, 2.0
CORRUPTIONS = (
    {"field": "amount", "times": 10, "cue": "the amount is ten times what was paid"},
    {"field": "to", "swap": True, "cue": "the account is another customer's"},
)
Watch = Callable[[int, int], None]


def run(
    seed: int = 0, database: str | None = None, *, limit: int | None = None, stamper: bool = True,
    watch: Watch | None = None,
) -> tuple[dict[str, Any], str]:  # fmt: skip
    """Play the refunds into a fresh database; what the probes say of each person, and the URL of the ledger."""
    url, clock, rng = database or fresh_url(), FakeClock(), random.Random(f"refunds {seed}")
    people = (*CAREFUL, STAMPER) if stamper else CAREFUL
    settings = Settings(
        database=Database(url=url, durability="process"), models=model_folder(url), groups={"tellers": people},
        secret=hashlib.sha256(f"dualcontrol refunds demo {seed}".encode()).hexdigest(),
    )  # fmt: skip
    cases = REFUNDS if limit is None else limit
    with compose.open(settings=settings, clock=clock, new_id=seeded_ids(seed)) as desk:
        if desk.loops():
            raise SettingsError(
                "this database is in use already; a headless run needs one of its own",
                hint="Name a new database with --database, or none to have a new file made.",
            )
        loop = desk.loop(
            "refunds", context="minimal", group="tellers", audit=0.1,
            guarantee={"max_error": 0.05}, probes={"corruptions": [dict(one) for one in CORRUPTIONS]},
        )  # fmt: skip
        reviewers = {name: reviewer(desk, clock, seed, name) for name in people}
        opened: int | None = None
        for done in range(1, cases + 1):
            clock.tick(CASE_EVERY)
            propose(loop, done, rng)
            for name in rng.sample(people, len(people)):  # whoever comes first
                reviewers[name].all()
            opened = done if opened is None and loop.control.thresholds else opened
            if watch is not None:
                watch(done, cases)
        while desk.store.sequence():
            pass
        return measured(desk, loop, people, opened, cases) | {"seed": seed}, url


def propose(loop: Loop, number: int, rng: random.Random) -> None:
    """One refund: right with what was paid, or wrong in the amount or the account; the less sure, the likelier."""
    paid, account = rng.randrange(500, 40_000) / 100, f"account {rng.randrange(10**6):06d}"
    sure = rng.random()
    wrong = rng.random() < 2.0 * WRONG * (1.0 - sure)
    amount, to = paid, account
    if wrong and rng.random() < 0.5:
        amount = round(paid * rng.choice((2.0, 10.0, 0.1)), 2)
    elif wrong:
        to = f"account {rng.randrange(10**6):06d}"
    order = {"order": f"R-{number:05d}", "paid": paid, "account": account, "request": "please refund this order"}
    loop.propose(
        action="refund", args={"amount": amount, "to": to}, input=order, rationale="the order was paid and cancelled",
        confidence=0.5 + 0.5 * sure,
    )  # fmt: skip


def reviewer(desk: Desk, clock: FakeClock, seed: int, name: str) -> ScriptedReviewer:
    """Somebody who compares the refund with what was paid, and overlooks little; or who stamps it."""

    def script(view: dict[str, JSON]) -> str:
        clock.tick(STAMPING if name == STAMPER else LOOKING)
        refund, order = view["proposal"]["value"], view["input"]
        right = (refund["amount"], refund["to"]) == (order["paid"], order["account"])
        noise = random.Random(f"{seed}/{name}/{view['case_id']}")
        return "approve" if name == STAMPER or right or noise.random() < OVERLOOKED else "reject"

    return ScriptedReviewer(desk, name, script, loop="refunds", first=lambda view: "happen")


def measured(desk: Desk, loop: Loop, people: tuple[str, ...], opened: int | None, cases: int) -> dict[str, Any]:
    """What the probes say of each person, what is certified, and what autopilot did."""
    control = loop.control
    figures, answers = desk.prober.figures(control), Counter[str]()
    for person, _ in desk.store.queries.handling(control.loop_id, 0, 10 * REFUNDS):
        answers[person] += 1
    flagged = Counter(identity(flag.person) for flag in figures.flags)
    rows = []
    for name in people:
        rate = figures.blind.people.get(identity(name))
        low, high = (0.0, 1.0) if rate is None else rate.interval
        rows.append({
            "person": name, "answers": answers[identity(name)], "probes": 0 if rate is None else rate.of,
            "let_pass": 0 if rate is None else round(rate.total), "let_pass_at_least": low, "let_pass_at_most": high,
            "flags": flagged[identity(name)],
        })  # fmt: skip
    (standing,) = loop.guarantee()
    return {
        "people": rows, "cases": cases, "opened_at": opened, "state": standing.state, "reason": standing.reason,
        "probes": len(figures.probes), "answers": answers.total(),
    }  # fmt: skip


def main(
    seed: int = 0, database: str | None = None, *, as_json: bool = False, limit: int | None = None,
    out: TextIO | None = None, err: TextIO | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Play the demo with a progress bar on `err` and its figures on `out`."""
    out, err = out or sys.stdout, err or sys.stderr
    with progress(err) as bar:
        task = bar.add_task("refunds", total=None)
        result, url = run(
            seed, database, limit=limit, watch=lambda done, of: bar.update(task, completed=done, total=of)
        )
    if as_json:
        print(json.dumps(result, indent=2), file=out)
        print(f"The ledger: {url.rpartition('@')[2]}", file=err)
    else:
        show(result, url, console(out))
    return result


def show(result: dict[str, Any], url: str, console: Console) -> None:
    """Who lets what pass, with which certainty, and what follows."""
    table = Table(title="Wrong refunds among the probes: who lets them pass")
    for name in ("person", "answers", "probes", "let pass", "at least", "at most", "flagged"):
        table.add_column(name, justify="left" if name == "person" else "right")
    for row in result["people"]:
        flags = row["flags"]
        flagged = f"{flags} times" if flags > 1 else "once" if flags else ""
        limits = at_least(row["let_pass_at_least"]), f"{row['let_pass_at_most']:.1%}"
        counts = str(row["answers"]), str(row["probes"]), str(row["let_pass"])
        table.add_row(row["person"], *counts, *limits, flagged, style="bold" if flags else "")
    console.print(table)
    share = result["probes"] / max(result["answers"] + result["probes"], 1)
    measured_by = (
        f"Measured by {result['probes']} probes, {share:.1%} of all answers: refunds whose right answer is known, "
        "asked like any other. Limits hold at every look, for all people together with 95 % confidence."
    )
    console.print(measured_by, markup=False)
    opened = result["opened_at"]
    when = "Autopilot never opened" if opened is None else f"Autopilot opened at case {opened}"
    console.print(f"{when}. {result['state'].capitalize()}: {result['reason']}.", markup=False)
    console.print(f"The ledger: {url.rpartition('@')[2]}", markup=False)
