"""The bars that the guarantee is held to, each as named cells with what is wanted of them.

B9, waiting times under a capacity, is measured by bench/capacity.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from cells import PATHS, Bench, Cell
from costs import costs
from product import Promise
from rivals import LATER, POLICIES
from streams import ERRORS, best

from dualcontrol.control import OVERLOOKED, missed_by_pairs


class Bar(NamedTuple):
    """One line: what was measured, what was wanted, and whether it is so."""

    bar: str
    what: str
    measured: float
    wanted: str
    ok: bool


POWER = {  # final and average coverage to the oracle's, at least; reviews, at most
    "cal_heavy": (0.95, 0.90, 0.40),
    "cal_light": (0.88, 0.80, 0.49),
    "topwrong": (0.90, 0.78, 0.44),
    "overconf": (0.68, 0.47, 0.87),
}


def least(bar: str, what: str, measured: float, wanted: float) -> Bar:
    """A bar from below."""
    return Bar(bar, what, round(measured, 4), f">= {wanted:g}", measured >= wanted)


def most(bar: str, what: str, measured: float, wanted: float) -> Bar:
    """A bar from above."""
    return Bar(bar, what, round(measured, 4), f"<= {round(wanted, 4):g}", measured <= wanted)


def b1(bench: Bench) -> list[Bar]:
    """Validity on every stream; what must fail does fail, on the streams where it can."""
    delta = Promise().delta
    found = [most("B1", f"{s}: product violated", _violated(bench, Cell(s)), bench.slack(delta)) for s in ERRORS]
    for s in ERRORS:
        for policy in POLICIES:  # the whole table, though only two of them must fail
            bench.runs_of(Cell(s, policy))
        for policy, share in (("naive", 0.9), ("peeking", 0.2)) if s != "uppertenth" else ():
            found.append(least("B1", f"{s}: {policy} violated", _violated(bench, Cell(s, policy)), share))
    return found


def b2(bench: Bench) -> list[Bar]:
    """Power with twenty thousand decisions."""
    found = []
    for stream, (final, average, reviews) in POWER.items():
        cell = Cell(stream)
        found.append(least("B2", f"{stream}: final to oracle", bench.mean(cell, "final"), final))
        found.append(least("B2", f"{stream}: average to oracle", bench.mean(cell, "average"), average))
        found.append(most("B2", f"{stream}: reviews", bench.mean(cell, "reviews"), reviews))
    return found


def again(bench: Bench) -> list[Bar]:
    """Where the surest fifth is too often wrong, the surest tenth opens all the same."""
    cell = Cell("uppertenth")
    opened = float(np.mean([run.coverage > 0.0 for run in bench.runs_of(cell)]))
    return [
        least("AG", "uppertenth: opened", opened, 0.95),
        least("AG", "uppertenth: final to oracle", bench.mean(cell, "final"), 0.7),
        most("AG", "uppertenth: violated", _violated(bench, cell), bench.slack(cell.promise.delta)),
    ]


def b3(bench: Bench) -> list[Bar]:
    """Power with a hundred thousand decisions, and under smaller bounds."""
    wanted = {
        Cell("cal_heavy", decisions=100_000): 0.98,
        Cell("cal_light", decisions=100_000): 0.93,
        Cell("cal_heavy", promise=Promise(max_error=0.02)): 0.93,
        Cell("cal_heavy", decisions=100_000, promise=Promise(max_error=0.01)): 0.88,
    }
    found = []
    for cell, final in wanted.items():
        name = f"{cell.stream}, {cell.decisions:,}, bound {cell.promise.max_error}"
        found.append(least("B3", f"{name}: final to oracle", bench.mean(cell, "final"), final))
        found.append(most("B3", f"{name}: violated", _violated(bench, cell), bench.slack(cell.promise.delta)))
    return found


def b4(bench: Bench) -> list[Bar]:
    """Three times the odds of error from the middle of forty thousand decisions on, and no change at all."""
    found = []
    for stream in ("cal_heavy", "cal_light"):
        calm, cell = Cell(stream, decisions=40_000), Cell(stream, decisions=40_000, drift=3.0)
        delays, bad = bench.delays(cell), sum(run.bad_since >= 0 for run in bench.runs_of(cell))
        found += [
            least("B4", f"{stream}: detected", len(delays) / max(bad, 1), 0.99),
            most("B4", f"{stream}: median delay", float(np.median(delays)), 1_800),
            most("B4", f"{stream}: 90th percentile of the delay", float(np.quantile(delays, 0.9)), 4_000),
            most("B4", f"{stream}: error after the change", bench.mean(cell, "error_after"), 1.1 * 0.05),
            most("B4", f"{stream}: false alarms", bench.mean(calm, "false_alarms"), 0.02),
        ]
        if stream == "cal_heavy":
            found.append(least("B4", f"{stream}: certified again, to the new oracle", bench.mean(cell, "final"), 0.95))
    return found


def b5(bench: Bench) -> list[Bar]:
    """Reviewers who let a fifth of the errors pass, with and without the correction."""
    found = []
    for stream in ("cal_light", "cal_heavy"):
        mended = Cell(stream, noise=0.2, promise=Promise(miss_rate=0.2))
        found.append(most("B5", f"{stream}: corrected, violated", _violated(bench, mended), bench.slack(0.05)))
        found.append(least("B5", f"{stream}: uncorrected", _violated(bench, Cell(stream, noise=0.2)), 0.4))
    return found


def people(bench: Bench) -> list[Bar]:
    """Two people who each catch a share of the errors, under what is assumed of them, and under what is true."""
    assumed, soon = missed_by_pairs(OVERLOOKED), 10_000
    found = []
    for stream in ("cal_light", "cal_heavy"):
        for caught in (0.95, 0.9):
            cell = Cell(stream, decisions=soon, noise=missed_by_pairs(1.0 - caught), promise=Promise(miss_rate=assumed))
            opened = float(np.mean([run.opened >= 0 for run in bench.runs_of(cell)]))
            found.append(most("PE", f"{stream}: catch {caught:g}, violated", _violated(bench, cell), bench.slack(0.05)))
            found.append(least("PE", f"{stream}: catch {caught:g}, opened by {soon:,}", opened, 0.9))
        for caught in (0.8, 0.7):
            noise = missed_by_pairs(1.0 - caught)
            known = Cell(stream, decisions=soon, noise=noise, promise=Promise(miss_rate=noise))
            what = f"{stream}: catch {caught:g} and known, violated"
            found.append(most("PE", what, _violated(bench, known), bench.slack(0.05)))
        perfect = [Cell(stream, decisions=soon, promise=Promise(miss_rate=rate)) for rate in (assumed, 0.0)]
        late, now = (float(np.median([run.opened % (soon + 1) for run in bench.runs_of(cell)])) for cell in perfect)
        found.append(most("PE", f"{stream}: perfect people, opening to that without a miss rate", late / now, 1.5))
        unsaid = Cell(stream, decisions=soon, noise=missed_by_pairs(0.1))
        found.append(least("PE", f"{stream}: catch 0.9 and nothing assumed, violated", _violated(bench, unsaid), 0.1))
    return found


def b6(bench: Bench) -> list[Bar]:
    """Errors that are answered later than the rest."""
    found = []
    for means in ((200.0, 50.0), (1000.0, 50.0)):
        cell = Cell("flat51", delay=means)
        late = Cell("flat51", delay=means, order="arrival")
        name = f"errors after {means[0]:g} decisions, the rest after {means[1]:g}"
        found.append(most("B6", f"{name}: violated", _violated(bench, cell), bench.slack(0.05)))
        fails = 0.4 if means[0] > 500 else 0.1
        found.append(least("B6", f"{name}, by arrival", _violated(bench, late), fails))
    return found


def b7(bench: Bench) -> list[Bar]:
    """The running bound under drift."""
    return [most("B7", f"{p}: miscovered", bench.mean(Cell(p), "miscovered"), bench.slack(0.05)) for p in PATHS]


def b8(bench: Bench) -> list[Bar]:
    """What it costs."""
    found = costs(bench.seed)
    return [
        most("B8", "microseconds a label", found["us_per_label"], 20.0),
        most("B8", "bytes of state, as doubles", found["state_bytes"], 16_000),
        most("B8", "milliseconds a desk's update, median", found["ms_per_update"], 1.0),
    ]


def risk_model(bench: Bench) -> list[Bar]:
    """A score learned from an earlier epoch, where the most confident decisions are often wrong, and the bound low."""
    promise = Promise(max_error=0.02)
    raw, learned = Cell("topwrong", promise=promise), Cell("topwrong", "risk model", promise=promise)
    ceiling = best(ERRORS["topwrong"], promise.max_error)
    return [
        least("RM", "topwrong: coverage to the best order", bench.mean(learned, "coverage") / ceiling, 0.60),
        most("RM", "topwrong: risk model, violated", _violated(bench, learned), bench.slack(promise.delta)),
        most("RM", "topwrong: raw confidence, coverage", bench.mean(raw, "coverage") / ceiling, 0.10),
    ]


def one_look(bench: Bench) -> list[Bar]:
    """A single decision at four thousand labels, beside what the live certificate has by then, and others."""
    found = []
    for stream, wanted in (("cal_light", 0.92), ("cal_heavy", 0.97), ("topwrong", 0.90), ("overconf", 0.60)):
        once, live = Cell(stream, "one look", decisions=LATER + 1), Cell(stream, decisions=LATER)
        for policy in ("ltt 4,000", "sgr 4,000", "peeking", "naive"):  # for the table
            bench.runs_of(Cell(stream, policy, decisions=LATER + 1))
        final, by_then = bench.mean(once, "final"), bench.mean(live, "final")
        found.append(least("OL", f"{stream}: one look at {LATER:,}, to oracle", final, wanted))
        found.append(least("OL", f"{stream}: that to the live certificate's", final / by_then, 1.0))
        found.append(most("OL", f"{stream}: one look, violated", _violated(bench, once), bench.slack(0.05)))
    return found


def _violated(bench: Bench, cell: Cell) -> float:
    return bench.mean(cell, "violated")


BARS: dict[str, Callable[[Bench], list[Bar]]] = {
    "B1": b1, "B2": b2, "B3": b3, "B4": b4, "B5": b5, "B6": b6, "B7": b7, "B8": b8,
    "RM": risk_model, "AG": again, "PE": people, "OL": one_look,
}  # fmt: skip
