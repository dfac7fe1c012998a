"""What is said of people, on simulated desks whose true catch rates are known: is it so, and what do others say?

    python bench/humans.py                                   every bar, 2,000 desks each
    python bench/humans.py --bars P2 --desks 500 --seed 9    one of them, smaller, with other seeds

P1 rubber-stamp alarm, P2 oversight certificate looked at after every probe, P3 both limits of a rate, P4 two people on
the same case, P5 product and direct figure of what is left after review, P6 the work behind a probe, P7 limits of all
people of a team at once, P8 what it costs, P9 two people who are all there are.  A desk fails when a limit was ever
wrong of the mean catch rate so far; at most the share delta of desks may, here delta and 1.65 standard errors.
Exit status 1 when a bar is not met.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from math import log, sqrt
from typing import Any, NamedTuple

import numpy as np
from bars import Bar, least, most
from probed import BELOW, CERTIFICATE, PEOPLE, looked_at, paired
from rich.console import Console
from rich.progress import track
from rich.table import Table

from dualcontrol.control import OVERLOOKED, missed_by_pairs
from dualcontrol.oversight.allowance import KEPT, Allowance, Lost, SecondAnswers, allowed
from dualcontrol.oversight.certificate import OversightCertificate
from dualcontrol.oversight.rates import Team
from dualcontrol.oversight.stamping import Stamping

DELTA = 0.05
PROBES = 1_000
MISSES = (0.05, 0.10, 0.20, 0.30, 0.40, 0.60, 0.90)


class Bench:
    """So many desks of so many probes, with seeds from `seed` up, and the rows that bars leave for the tables."""

    def __init__(self, desks: int, probes: int, seed: int) -> None:
        self.desks, self.probes, self.seed = desks, probes, seed
        self.tables: dict[str, list[dict[str, Any]]] = {}
        self._console = Console(stderr=True)

    @property
    def slack(self) -> float:
        """What the share of failing desks may be."""
        return DELTA + 1.65 * sqrt(DELTA * (1.0 - DELTA) / self.desks)

    def watched(self, items: list[Any], title: str) -> Iterator[Any]:
        """The items, with a bar on the error output."""
        yield from track(items, title, console=self._console, transient=True, disable=not self._console.is_terminal)


# P1: the rubber-stamp alarm, with two rules of thumb


def sprt() -> Callable[[bool], bool | None]:
    """The product's test: True for a flag, False for the end of a run without one, None to go on."""
    test = Stamping()
    ends = {"stamping": True, "healthy": False, None: None}
    return lambda missed: ends[test.observe(missed)]


def tenth() -> Callable[[bool], bool | None]:
    """After each ten probes: four misses or more."""
    seen: list[bool] = []

    def observe(missed: bool) -> bool | None:
        seen.append(missed)
        return sum(seen[-10:]) >= 4 if len(seen) % 10 == 0 else None

    return observe


def running() -> Callable[[bool], bool | None]:
    """Whenever a quarter or more of the last twelve was missed, from the third probe on."""
    seen: list[bool] = []

    def observe(missed: bool) -> bool | None:
        seen.append(missed)
        return True if len(seen) >= 3 and sum(seen[-12:]) >= 0.25 * len(seen[-12:]) else None

    return observe


RULES = {"SPRT": sprt, "four of each ten": tenth, "a quarter of the last twelve": running}


def exact(miss: float) -> tuple[float, float]:
    """Probability of a flag in one run of the SPRT, and its mean length, by dynamic programming over counts."""
    up, down, limit = log(4.0), log(1.5), log(19.0)
    alive, flagged, length = {(0, 0): 1.0}, 0.0, 0.0
    while alive and sum(alive.values()) > 1e-13:
        onwards: dict[tuple[int, int], float] = {}
        length += sum(alive.values())
        for (missed, caught), weight in alive.items():
            for place, chance in (((missed + 1, caught), miss), ((missed, caught + 1), 1.0 - miss)):
                evidence = place[0] * up - place[1] * down
                if evidence >= limit:
                    flagged += weight * chance
                elif evidence > -limit:
                    onwards[place] = onwards.get(place, 0.0) + weight * chance
        alive = onwards
    return flagged, length


def stamped(rule: str, miss: float, bench: Bench) -> dict[str, Any]:
    """Simulated reviewers, each until the first flag or a thousand probes, and a tenth of them beyond it."""
    rng = np.random.default_rng([bench.seed, list(RULES).index(rule), round(100 * miss)])
    first, flags, ends, onwards = [], 0, 0, max(50, bench.desks // 10)
    for reviewer in range(bench.desks):
        observe, flagged = RULES[rule](), False
        for number, missed in enumerate((rng.random(PROBES) < miss).tolist(), start=1):
            if (flag := observe(missed)) is None:
                continue
            if flag and not flagged:
                flagged = True
                first.append(number)
                if reviewer >= onwards:
                    break
            if reviewer < onwards:
                flags, ends = flags + flag, ends + 1
            if flag and rule != "SPRT":
                observe = RULES[rule]()  # as the test, which begins anew by itself
    people = min(onwards, bench.desks)
    return {
        "rule": rule, "misses": miss, "flagged in 1,000 probes": len(first) / bench.desks,
        "mean probes to the flag": float(np.mean(first)) if first else None,
        "90 % within": float(np.quantile(first, 0.9)) if first else None,
        "flags in 1,000 probes": flags / people, "runs that flag": flags / ends if ends else 0.0,
    }  # fmt: skip


def p1(bench: Bench) -> list[Bar]:
    """The SPRT flags stampers within a few probes and the healthy seldom."""
    cells = [(rule, miss) for rule in RULES for miss in MISSES]
    rows = [stamped(rule, miss, bench) for rule, miss in bench.watched(cells, "P1")]
    for row in rows:
        if row["rule"] == "SPRT":
            row["exact: a run flags"], row["exact: probes a run"] = exact(row["misses"])
    bench.tables["rubber stamps"] = rows
    found = {row["misses"]: row for row in rows if row["rule"] == "SPRT"}
    bars = [
        most("P1", "misses 90 %: mean probes to the flag", found[0.9]["mean probes to the flag"], 4.0),
        most("P1", "misses 90 %: exact mean", exact(0.9)[1] / exact(0.9)[0], 4.0),
        most("P1", "misses 40 %: mean probes to the flag", found[0.4]["mean probes to the flag"], 12.5),
        most("P1", "misses 40 %: exact mean", exact(0.4)[1] / exact(0.4)[0], 12.0),
        most("P1", "misses 10 %: a run flags, exact", exact(0.1)[0], 0.03),
        most("P1", "misses 10 %: a run flags, simulated", found[0.1]["runs that flag"], 0.03 + 0.005),
    ]
    for rule in list(RULES)[1:]:
        row = next(row for row in rows if (row["rule"], row["misses"]) == (rule, 0.1))
        worse = row["flags in 1,000 probes"] > found[0.1]["flags in 1,000 probes"]
        stamper = next(row for row in rows if (row["rule"], row["misses"]) == (rule, 0.9))
        slower = stamper["mean probes to the flag"] > found[0.9]["mean probes to the flag"]
        bars.append(Bar("P1", f"{rule}: slower, or more false flags", float(worse or slower), "is so", worse or slower))
    return bars


# P2, P3: limits looked at after every probe


def looks(bench: Bench, people: str) -> dict[str, Any]:
    """All limits on one kind of people, once."""
    key = "at every look"
    rows = bench.tables.setdefault(key, [])
    if not any(row["people"] == people for row in rows):
        for name, look in looked_at(people, bench.desks, bench.probes, bench.seed).items():
            claimed = {"ever wrong": look.ever, "wrong at the end": look.at_last, "claims to catch": look.claimed}
            rows.append({"people": people, "limit": name} | claimed)
    return {row["limit"]: row["ever wrong"] for row in rows if row["people"] == people}


def p2(bench: Bench) -> list[Bar]:
    """The certificate, its limit at the whole delta, and limits for one look, which fail on the same desks."""
    bars, failed = [], 0.0
    for people in bench.watched(list(PEOPLE), "P2"):
        ever = looks(bench, people)
        bars.append(most("P2", f"{people}: certificate ever wrong", ever[CERTIFICATE], DELTA))
        bars.append(most("P2", f"{people}: at the whole delta", ever["dualcontrol"], bench.slack))
        failed = max(failed, ever["Wilson at every look"])
        if people.startswith("catch"):
            bars.append(
                least("P2", f"{people}: Clopper-Pearson at every look", ever["Clopper-Pearson at every look"], 0.10)
            )
    bars.append(least("P2", "the worst of Wilson at every look", failed, 0.20))
    return bars


def p3(bench: Bench) -> list[Bar]:
    """The same from below, for the comparison and for what contradicts an assumption."""
    people = bench.watched(list(PEOPLE), "P3")
    return [most("P3", f"{p}: lower limit ever wrong", looks(bench, p)[BELOW], bench.slack) for p in people]


# P4: two people on the same case


def p4(bench: Bench) -> list[Bar]:
    """What both miss and what either misses; the squared rate fails where they miss the same things."""
    bars, rows = [], bench.tables.setdefault("two people", [])
    cells = [(miss, correlation) for miss in (0.1, 0.2) for correlation in (0.0, 0.3, 0.6)]
    for miss, correlation in bench.watched(cells, "P4"):
        found = paired(miss, correlation, bench.desks, bench.probes, bench.seed)
        name = f"each misses {miss}, correlation {correlation}"
        joint = miss * miss + correlation * miss * (1.0 - miss)
        row = {"people": name, "both miss": joint, "claimed at the end": found.claimed_joint}
        rows.append(row | {"ever wrong": found.joint, "either": found.total, "squared rate": found.squared})
        bars.append(most("P4", f"{name}: both, ever wrong", found.joint, bench.slack))
        bars.append(most("P4", f"{name}: either, ever wrong", found.total, bench.slack))
        if correlation >= 0.3:
            bars.append(least("P4", f"{name}: squared rate, ever wrong", found.squared, 0.20))
    return bars


# P5, P6, P7: certificates and teams as classes, on fewer desks


class Review(NamedTuple):
    """Shares in quiet and in busy hours, a hundred cases each: wrong proposals, real errors and probes missed."""

    wrong: tuple[float, float]
    real: tuple[float, float]
    probed: tuple[float, float]


REVIEWS = {
    "alike": Review((0.2, 0.2), (0.2, 0.2), (0.2, 0.2)),
    "probes are easier": Review((0.2, 0.2), (0.5, 0.5), (0.1, 0.1)),
    "probes are harder": Review((0.2, 0.2), (0.1, 0.1), (0.5, 0.5)),
    "errors come where people miss": Review((0.02, 0.5), (0.02, 0.7), (0.02, 0.7)),
}
MORE, LESS = "more gets through", "less gets through"


def reviewed(name: str, seed: int, cases: int = 3_000) -> tuple[str | None, bool, bool]:
    """One desk: its first disagreement, and whether product or direct limit were ever below the true mean so far."""
    rng, certificate = np.random.default_rng([seed, list(REVIEWS).index(name)]), OversightCertificate()
    draws, word, total, failed = rng.random((cases, 3)), None, 0.0, [False, False]
    for n in range(cases):
        wrong, real, probed = (shares[n // 100 % 2] for shares in REVIEWS[name])
        total += wrong * real
        is_wrong = bool(draws[n, 0] < wrong)
        if n % 2 == 0:
            certificate.label(wrong=is_wrong)
        else:
            certificate.audit(passed_wrong=bool(is_wrong and draws[n, 1] < real))
        if n % 5 == 0:
            certificate.probe(missed=bool(draws[n, 2] < probed))
        if n % 25 == 24:
            word = word or certificate.disagreement
            failed[0] |= certificate.residual_at_most < total / (n + 1)
            failed[1] |= certificate.direct_at_most < total / (n + 1)
    return word, failed[0], failed[1]


def p5(bench: Bench) -> list[Bar]:
    """An alarm where probes do not speak for real errors, and none where they do; the direct figure holds anyway."""
    desks = max(20, bench.desks // 20)
    rows = []
    for name in bench.watched(list(REVIEWS), "P5"):
        found = [reviewed(name, bench.seed + n) for n in range(desks)]
        shares = {word: sum(first == word for first, *_ in found) / desks for word in (MORE, LESS)}
        product, direct = (sum(one[place] for one in found) / desks for place in (1, 2))
        rows.append({"desks": name, **shares, "product ever wrong": product, "direct ever wrong": direct})
    bench.tables["after review"] = rows
    alike, easier, harder, tide = rows
    within = DELTA + 1.65 * sqrt(DELTA * (1.0 - DELTA) / desks)
    return [
        most("P5", "alike: alarms", alike[MORE] + alike[LESS], within),
        most("P5", "alike: product ever wrong", alike["product ever wrong"], within),
        *(most("P5", f"{row['desks']}: direct ever wrong", row["direct ever wrong"], within) for row in rows),
        least("P5", "probes are easier: alarms", easier[MORE], 0.95),
        least("P5", "probes are harder: alarms", harder[LESS], 0.95),
        least("P5", "errors come where people miss: alarms", tide[MORE], 0.85),
        least("P5", "errors come where people miss: product ever wrong", tide["product ever wrong"], 0.20),
    ]


def worked(seed: int, probes: int) -> tuple[bool, bool, float]:
    """One desk where a stamper does four fifths of the work and gets half of the probes: who claims too much."""
    rng = np.random.default_rng(seed)
    plain, weighted = OversightCertificate(), OversightCertificate(largest=1.6)
    true, wrong = 1.0 - (0.8 * 0.6 + 0.2 * 0.05), [False, False]
    for _ in range(probes):
        stamper = rng.random() < 0.5
        missed = bool(rng.random() < (0.6 if stamper else 0.05))
        plain.probe(missed=missed)
        weighted.probe(missed=missed, weight=1.6 if stamper else 0.4)
        wrong[0] |= plain.caught_at_least > true
        wrong[1] |= weighted.caught_at_least > true
    return wrong[0], wrong[1], weighted.caught_at_least


def p6(bench: Bench) -> list[Bar]:
    """A probe counts by the work of its reviewer, or the certificate speaks of the wrong people."""
    desks = max(20, bench.desks // 20)
    found = [worked(bench.seed + n, bench.probes) for n in bench.watched(list(range(desks)), "P6")]
    within = DELTA + 1.65 * sqrt(DELTA * (1.0 - DELTA) / desks)
    bench.tables["work"] = [{"true": 0.51, "claimed, by work": float(np.mean([claimed for *_, claimed in found]))}]
    return [
        most("P6", "by work: ever wrong", float(np.mean([by_work for _, by_work, _ in found])), within),
        least("P6", "all probes alike: ever wrong", float(np.mean([alike for alike, *_ in found])), 0.20),
    ]


def teamed(seed: int, probes: int) -> tuple[bool, bool]:
    """Whether any limit of a team of twelve was ever wrong: with its delta shared, and with the whole for each."""
    rng, team = np.random.default_rng(seed), Team("shown")
    chances = rng.uniform(0.02, 0.4, 12)
    total, shared, unshared = 0.0, False, False
    for n in range(1, probes + 1):
        place = int(rng.integers(12))
        total += chances[place]
        team.observe(f"p{place}", missed=bool(rng.random() < chances[place]), kind="shown")
        rate = team.people[f"p{place}"]
        shared |= rate.upper < chances[place] or team.all.upper < total / n
        unshared |= rate.upper_at(DELTA) < chances[place] or team.all.upper_at(DELTA) < total / n
    return shared, unshared


def p7(bench: Bench) -> list[Bar]:
    """Twelve people and their team: all limits hold together."""
    desks = max(20, bench.desks // 10)
    found = [teamed(bench.seed + n, bench.probes) for n in bench.watched(list(range(desks)), "P7")]
    within = DELTA + 1.65 * sqrt(DELTA * (1.0 - DELTA) / desks)
    shared, unshared = (float(np.mean([pair[place] for pair in found])) for place in (0, 1))
    bench.tables["teams"] = [{"any of 13 limits ever wrong": shared, "with the whole delta for each": unshared}]
    return [most("P7", "twelve people: any limit ever wrong", shared, within)]


# P8: cost


def p8(bench: Bench) -> list[Bar]:
    """Microseconds for one answer, and for all figures of a desk."""
    certificate, test, team = OversightCertificate(), Stamping(), Team("blind")
    answers = (np.random.default_rng(bench.seed).random(20_000) < 0.2).tolist()

    def one(missed: bool) -> None:
        certificate.probe(missed=missed)
        test.observe(missed)
        team.observe("ana", missed=missed, kind="blind")

    start = time.perf_counter()
    for missed in answers:
        one(missed)
    answer = (time.perf_counter() - start) / len(answers) * 1e6
    for n in range(1_000):
        certificate.label(wrong=n % 16 == 0)
        certificate.audit(passed_wrong=n % 100 == 0)
    start = time.perf_counter()
    for _ in range(200):
        certificate.figures()
    return [
        most("P8", "microseconds an answer, in certificate, test and team", answer, 10.0),
        most("P8", "microseconds for all figures of a desk", (time.perf_counter() - start) / 200 * 1e6, 1_000.0),
    ]


# P9: two people, of whom only their second answers are known

ASSUMED = missed_by_pairs(OVERLOOKED)
LABELS, EVERY = 2_500, 50
TWO = ((0.3, 0.0), (0.2, 0.0), (0.1, 0.0), (0.05, 0.0), (0.0, 0.05), (0.05, 0.05), (0.0, 0.1), (0.3, 0.05))


def two(seed: int, errors: float, miss: float, false: float) -> tuple[bool, bool]:
    """Whether two people are ever taken to miss more than is assumed, and at the end; errors fall with the score."""
    rng, now, ever = np.random.default_rng([seed, 9]), Allowance(ASSUMED), False
    scores, draws, counted = rng.random(LABELS), rng.random((LABELS, 3)), SecondAnswers()
    for n, (score, (one, *others)) in enumerate(zip(scores, draws, strict=True)):
        wrong = one < errors * (1.0 - score)
        first, second = (other >= miss if wrong else other < false for other in others)
        counted.observe(float(score), bool(second) if first else None)
        if n % EVERY == 0:
            now = allowed(Lost(0.0, 0.0, 1.0, 0), counted.lost(KEPT * DELTA), now, ASSUMED)
            ever |= now.by_second
    return ever, now.by_second


def p9(bench: Bench) -> list[Bar]:
    """Two people: who misses is told from who calls right proposals wrong, by where they differ."""
    desks, rows, bars = max(20, bench.desks // 10), [], []
    kinds = [(errors, *kind) for errors in (0.25, 0.1) for kind in TWO]
    for errors, miss, false in bench.watched(kinds, "P9"):
        each = [two(bench.seed + n, errors, miss, false) for n in range(desks)]
        ever, last = (float(np.mean([pair[place] for pair in each])) for place in (0, 1))
        rows.append({"wrong at most": errors, "misses": miss, "false alarms": false, "ever": ever, "at the end": last})
        if (errors, miss, false) == (0.25, 0.3, 0.0):
            bars.append(least("P9", "two who miss 30 %: taken to", ever, 0.95))
        if (errors, miss, false) == (0.25, 0.05, 0.05):
            bars.append(most("P9", "two who err 5 % both ways: taken to miss more, at the end", last, 0.05))
    bench.tables["two people, taken to miss more than is assumed"] = rows
    return bars


BARS: dict[str, Callable[[Bench], list[Bar]]] = {
    "P1": p1, "P2": p2, "P3": p3, "P4": p4, "P5": p5, "P6": p6, "P7": p7, "P8": p8, "P9": p9,
}  # fmt: skip


def main() -> int:
    """Run what was asked for and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bars", "--bar", nargs="+", choices=list(BARS), default=list(BARS))
    parser.add_argument("--desks", type=int, default=2_000)
    parser.add_argument("--probes", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    bench = Bench(asked.desks, asked.probes, asked.seed)
    bars = [bar._asdict() for name in asked.bars for bar in BARS[name](bench)]
    found = {"desks": asked.desks, "probes": asked.probes, "seed": asked.seed, **bench.tables, "bars": bars}
    print(json.dumps(found, indent=2)) if asked.json else show(found)
    return 0 if all(bar["ok"] for bar in bars) else 1


def show(found: dict[str, Any]) -> None:
    """The tables for a human."""
    console = Console() if sys.stdout.isatty() else Console(width=160)
    for title, rows in found.items():
        if isinstance(rows, list):
            table = Table(*dict.fromkeys(column for row in rows for column in row), title=title)
            columns = [str(column.header) for column in table.columns]
            for row in rows:
                cells = [row.get(column) for column in columns]
                table.add_row(*(f"{c:.3f}" if isinstance(c, float) else "" if c is None else str(c) for c in cells))
            console.print(table)


if __name__ == "__main__":
    sys.exit(main())
