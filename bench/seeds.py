"""A bench over many seeds: each in a process, told as it comes, and summed up by name."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

Row = dict[str, Any]


def parsed(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """What was asked for, with the options that all of them have."""
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def played(
    one: Callable[[Any], Row], work: Mapping[str, Sequence[Any]], processes: int, *,
    told: Callable[[Row], str], summed_up: Callable[[list[Row]], Row],
) -> dict[str, Any]:  # fmt: skip
    """What `one` makes of the work under each name, and what that comes to; progress goes to standard error."""
    found = {}
    with ProcessPoolExecutor(processes) as pool:
        for name, jobs in work.items():
            rows: list[Row] = []
            for row in pool.map(one, jobs):
                rows.append(row)
                print(f"{name} {len(rows)}/{len(jobs)}: {told(row)}", file=sys.stderr)
            found[name] = {"summary": summed_up(rows), "runs": rows}
    return found


def show(found: dict[str, Any], as_json: bool) -> None:
    """Everything as JSON, or a line of figures for each name."""
    if as_json:
        print(json.dumps(found, indent=2))
        return
    for name, said in found.items():
        print(name, *(f"{key} {value}" for key, value in said["summary"].items()), sep="; ")
