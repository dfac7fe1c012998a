"""The guarantee on simulated streams: does it hold, what does it automate, and what do others do on the same streams?

    python bench/guarantee.py --stream cal_light overconf --runs 400        a table of all policies on these streams
    python bench/guarantee.py --bars B1 B4 --runs 400                       the bars B1 to B8; all without names
    python bench/guarantee.py --runs 400 --mapie .venv-mapie/bin/python     one-shot thresholds against MAPIE's

A stream violates when the threshold that was live at any moment had a true error above the bound; at most the share
delta of streams may, here delta and 1.65 standard errors.  Coverages are shares of what an oracle that knows the
errors automates.  Exit status 1 when a bar is not met, or the oracle of the one-shot rows disagrees.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from bars import BARS
from cells import Bench, Cell
from product import Promise
from rich.console import Console
from rich.table import Table
from rivals import ONCE, POLICIES, frozen
from streams import BINS, EDGES, ERRORS, drawn

ORACLE = Path(__file__).parent / "oracle_mapie.py"
ALL = ("product", *POLICIES)


def main() -> int:
    """Run what was asked for and print it."""
    asked = arguments()
    bench = Bench(asked.runs, asked.seed, asked.jobs)
    found: dict[str, Any] = {"runs": asked.runs, "decisions": asked.decisions, "seed": asked.seed}
    if asked.bars is not None:
        bars = [bar._asdict() for name in asked.bars or BARS for bar in BARS[name](bench)]
        found |= {"cells": bench.rows(), "bars": bars}
    else:
        found["cells"] = [bench.row(cell) for cell in cells(asked)]
    if asked.mapie:
        found["oracle"] = agreement(asked)
    print(json.dumps(found, indent=2)) if asked.json else show(found)
    fine = all(bar["ok"] for bar in found.get("bars", [])) and all(
        part["agree"] == part["of"] for part in found.get("oracle", [])
    )
    return 0 if fine else 1


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stream", nargs="+", choices=list(ERRORS), default=list(ERRORS))
    parser.add_argument("--policy", nargs="+", choices=ALL, default=list(ALL))
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--decisions", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--alpha", type=float, default=0.05, help="the bound on the error of autopilot")
    parser.add_argument("--delta", type=float, default=0.05, help="1 - confidence")
    parser.add_argument("--beta", type=float, default=0.10, help="the share of autopilot cases that is audited")
    parser.add_argument("--launch", type=int, default=2_000, help="labels of the exact test at the start; 0: none")
    parser.add_argument("--drift", type=float, default=1.0, help="times the odds of error, from the middle on")
    parser.add_argument("--noise", type=float, default=0.0, help="the share of errors that reviewers let pass")
    parser.add_argument("--miss-rate", type=float, default=0.0, help="the share that the certificate allows for")
    parser.add_argument("--delay", type=float, nargs=2, metavar=("WRONG", "RIGHT"), help="decisions until an answer")
    parser.add_argument("--order", choices=["decisions", "arrival"], default="decisions", help="with --delay")
    parser.add_argument("--bars", "--bar", nargs="*", choices=list(BARS), help="the bars; all without names")
    parser.add_argument("--mapie", metavar="PYTHON", help="an interpreter with mapie 1.6, see oracle_mapie.py")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def cells(asked: argparse.Namespace) -> list[Cell]:
    """One cell for each stream and policy; delayed labels are a matter of the product alone."""
    promise = promised(asked)
    delay = tuple(asked.delay) if asked.delay else None
    return [
        Cell(stream, policy, asked.decisions, promise, asked.drift, asked.noise, delay, asked.order)
        for stream in asked.stream
        for policy in (asked.policy if delay is None else ["product"])
    ]


def promised(asked: argparse.Namespace) -> Promise:
    """The promise of the options."""
    return Promise(asked.alpha, asked.delta, asked.beta, asked.miss_rate, asked.launch)


def agreement(asked: argparse.Namespace) -> list[dict[str, Any]]:
    """For each stream, in how many runs MAPIE's one-shot threshold is that of the row ltt."""
    found = []
    for name in asked.stream:
        streams = [drawn(name, asked.decisions, asked.seed + n, asked.drift, asked.noise) for n in range(asked.runs)]
        ours = [frozen("ltt", stream, promised(asked)) for stream in streams]
        theirs = mapie(asked, np.array([s.scores[:ONCE] for s in streams]), np.array([s.seen[:ONCE] for s in streams]))
        agree = sum((1.0 if a == BINS else a / BINS) == b for a, b in zip(ours, theirs, strict=True))
        found.append({"stream": name, "agree": agree, "of": len(ours)})
    return found


def mapie(asked: argparse.Namespace, scores: np.ndarray, wrong: np.ndarray) -> list[float]:
    """MAPIE's thresholds for these calibration sets, from its own environment."""
    with tempfile.NamedTemporaryFile(suffix=".npz") as file:
        np.savez(file, scores=scores, wrong=wrong, edges=EDGES, alpha=asked.alpha, delta=asked.delta)
        file.flush()
        answer = subprocess.run([asked.mapie, str(ORACLE), file.name], capture_output=True, text=True, check=True)
    thresholds: list[float] = json.loads(answer.stdout)
    return thresholds


def show(found: dict[str, Any]) -> None:
    """The tables for a human."""
    console = Console() if sys.stdout.isatty() else Console(width=150)
    for name in ("cells", "bars"):
        if rows := found.get(name):
            table = Table(*rows[0])
            for row in rows:
                table.add_row(*(f"{value:.3f}" if isinstance(value, float) else str(value) for value in row.values()))
            console.print(table)
    for part in found.get("oracle", []):
        console.print(f"{part['stream']}: oracle agrees on {part['agree']} of {part['of']}")


if __name__ == "__main__":
    sys.exit(main())
