"""``train``: a model from a loop's decisions, promoted if it beats the incumbent on held-out ones."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from dualcontrol.cli.command import State, group, verb
from dualcontrol.cli.open import desk_of
from dualcontrol.cli.screen import facts, progress, report, styled, table
from dualcontrol.guarantee.relearn import learn_risk
from dualcontrol.layout import some
from dualcontrol.learn.report import Report
from dualcontrol.learn.risk import RiskReport
from dualcontrol.learn.training import train

app = group("train", "Train.")


@verb(app, "train", "dualcontrol train spam")
def train_loop(
    state: State,
    loop: Annotated[
        str,
        typer.Argument(
            metavar="LOOP", help="The loop, in labels mode and with a trainer; any under a guarantee with --risk."
        ),
    ],
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed gives the same model from the same data.")] = 0,
    risk: Annotated[
        bool, typer.Option("--risk", help="Learn how likely proposals are wrong, the score of a guarantee.")
    ] = False,
) -> None:
    """Train a model from a loop's decisions, and promote it if it is better on held-out human decisions.

    A model that is not better is kept and not put in force; the exit code is 0 all the same.

    A risk model is in force at once, in any mode, and nothing is certified for it yet.
    """
    if risk:
        with desk_of(state) as desk, progress(f"learning from {loop}", None, quiet=state.as_json):
            learned = learn_risk(desk, loop, seed=seed)
        return report(state.as_json, learned.to_dict(), facts(_risk_facts(learned)))
    with desk_of(state) as desk:
        desk.store.sequence()
        with progress(f"training {loop}", None, quiet=state.as_json):
            trained = train(desk, loop, seed=seed)
    measures = (("this model", trained.candidate), ("incumbent", trained.before))
    rows = [
        (name, f"{of.log_loss:.4f}", f"{of.accuracy:.1%}", f"{of.calibration_error:.4f}") for name, of in measures if of
    ]
    tables = [table(("on held-out decisions", "log loss", "accuracy", "calibration error"), rows)] if rows else []
    return report(state.as_json, trained.to_dict(), facts(_facts(trained)), *tables)


def _risk_facts(of: RiskReport) -> list[tuple[str, str | Text]]:
    in_force, faster = styled("in force, nothing certified yet", "green"), styled("another was faster", "yellow")
    return [
        ("risk model", of.version), ("outcome", in_force if of.in_force else faster), ("why", of.reason),
        ("learned from", f"{some(of.examples, 'decision')}, {of.wrong} of them wrong"),
        ("left out", f"{some(of.left_out, 'decision')} without content or without a last word"),
        ("before", of.before or "none"),
    ]  # fmt: skip


def _facts(of: Report) -> list[tuple[str, str | Text]]:
    word = styled("promoted", "green") if of.promoted else styled("kept, not in force", "yellow")
    gone = f"; {of.removed} of them for a label that the loop no longer has" if of.removed else ""
    return [
        ("model", of.version), ("outcome", word), ("why", of.reason or "it is the first"),
        ("trained on", some(of.trained, "decision")), ("held out", some(of.held_out, "decision")),
        ("left out", f"{some(of.left_out, 'decision')} without content"),
        ("skipped", f"{some(of.skipped, 'decision')} without an input or one label that leads{gone}"),
    ]  # fmt: skip
