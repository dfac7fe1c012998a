"""The digits demo under a guarantee of 5 % at 95 %, over many seeds: when autopilot opens, what it costs, what it errs.

Real scans and a real model; the reviewers are scripted, err on 2 % of the scans, and are simulated in that sense.
They answer in Python, which counts at once.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

from seeds import parsed, played, show

from dualcontrol.demo.headless import run

BOUND, BY, LOAD = 0.05, 800, 0.30


def one(job: tuple[int, bool]) -> dict[str, Any]:
    """One seed in a database of its own."""
    seed, adjudicate = job
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'digits.db'}"
        found, _ = run(seed, url, guarantee=True, adjudicate=adjudicate)
    return {"seed": seed, "adjudicate": adjudicate, **found["guarantee"], "promoted": found["total"]["promoted"]}


def summed_up(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The figures that are promised."""
    opened = [row["opened_at"] for row in rows if row["opened_at"] is not None]
    return {
        "seeds": len(rows), "opened": len(opened), "opened_before_800": sum(place < BY for place in opened),
        "median_last_third_reviews": statistics.median(row["last_third_reviews"] for row in rows),
        "error_above_bound": sum(row["autopilot_error"] > BOUND for row in rows),
        "worst_error": max(row["autopilot_error"] for row in rows),
    }  # fmt: skip


def main() -> None:
    """Play the seeds with and without the adjudicator."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    given = parsed(parser)
    seeds = range(given.first, given.first + given.seeds)
    ways = {"adjudicated": True, "not adjudicated": False}
    work = {name: [(seed, adjudicate) for seed in seeds] for name, adjudicate in ways.items()}
    found = played(one, work, given.jobs, told=lambda row: f"opened at {row['opened_at']}", summed_up=summed_up)
    show(found, given.json)


if __name__ == "__main__":
    main()
