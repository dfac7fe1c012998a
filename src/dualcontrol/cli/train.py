"""``train``: a model from a loop's decisions, promoted if it beats the incumbent on held-out ones."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from dualcontrol.cli.command import State, group, verb
from dualcontrol.cli.open import desk_of
from dualcontrol.cli.screen import document, facts, progress, show, styled, table
from dualcontrol.guarantee.relearn import learn_risk
from dualcontrol.layout import some
from dualcontrol.learn.report import Measures, Report
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
        return _train_risk(state, loop, seed)
    with desk_of(state) as desk:
        desk.store.sequence()
        with progress(f"training {loop}", None, quiet=state.as_json):
            report = train(desk, loop, seed=seed)
    if state.as_json:
        return document(report.to_dict())
    show(facts(_facts(report)))
    rows = [_measured(name, of) for name, of in (("this model", report.candidate), ("incumbent", report.before)) if of]
    if rows:
        show(table(("on held-out decisions", "log loss", "accuracy", "calibration error"), rows))
    return None


def _train_risk(state: State, loop: str, seed: int) -> None:
    with desk_of(state) as desk, progress(f"learning from {loop}", None, quiet=state.as_json):
        report = learn_risk(desk, loop, seed=seed)
    document(report.to_dict()) if state.as_json else show(facts(_risk_facts(report)))


def _risk_facts(report: RiskReport) -> list[tuple[str, str | Text]]:
    word = (
        styled("in force, nothing certified yet", "green")
        if report.in_force
        else styled("another was faster", "yellow")
    )
    return [
        ("risk model", report.version), ("outcome", word), ("why", report.reason),
        ("learned from", f"{some(report.examples, 'decision')}, {report.wrong} of them wrong"),
        ("left out", f"{some(report.left_out, 'decision')} without content or without a last word"),
        ("before", report.before or "none"),
    ]  # fmt: skip


def _facts(report: Report) -> list[tuple[str, str | Text]]:
    word = styled("promoted", "green") if report.promoted else styled("kept, not in force", "yellow")
    return [
        ("model", report.version), ("outcome", word), ("why", report.reason or "it is the first"),
        ("trained on", some(report.trained, "decision")), ("held out", some(report.held_out, "decision")),
        ("left out", f"{some(report.left_out, 'decision')} without content"),
        ("skipped", f"{some(report.skipped, 'decision')} without an input or one label that leads{_gone(report)}"),
    ]  # fmt: skip


def _gone(report: Report) -> str:
    return f"; {report.removed} of them for a label that the loop no longer has" if report.removed else ""


def _measured(name: str, of: Measures) -> list[str | Text]:
    return [name, f"{of.log_loss:.4f}", f"{of.accuracy:.1%}", f"{of.calibration_error:.4f}"]
