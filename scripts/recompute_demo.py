"""Recompute the headless demo's figures from its ledger alone, without dualcontrol, and compare them.

Usage: recompute_demo.py DATABASE_URL [FIGURES.json]

The URL is ``sqlite:///file.db`` or ``postgresql://…``.  Without a second argument the figures are printed as
JSON; with the file that ``dualcontrol demo --headless --json`` wrote, they are compared and the exit status is 1
where they differ.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

from sklearn.datasets import load_digits

LOOP = "digits"
ROUNDS = 10
NAMES = ("cases", "human_load", "audited", "autopilot_error", "accuracy", "promoted", "threshold")
Table = list[tuple[Any, ...]]


def read(url: str) -> tuple[Table, Table]:
    """The ledger's entries in order, and the content they speak of by stream and slot."""
    wanted = ("SELECT stream, body FROM entries ORDER BY id", "SELECT case_id, slot, body FROM payloads ORDER BY n")
    if url.startswith("sqlite:///"):
        connection: Any = sqlite3.connect(f"file:{url.removeprefix('sqlite:///')}?mode=ro", uri=True)
    else:
        connection = import_module("psycopg").connect(url.replace("+psycopg", "", 1))
    with connection:
        entries, payloads = ([tuple(row) for row in connection.execute(query).fetchall()] for query in wanted)
    connection.close()
    return entries, payloads


def cases(entries: Table, payloads: Table) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """One record a streamed case, in the order of opening, and the events of the loop itself."""
    content: dict[str, dict[str, Any]] = {}
    for case_id, slot, body in payloads:
        content.setdefault(str(case_id), {})[slot] = json.loads(body)
    found: dict[str, list[dict[str, Any]]] = {}
    for stream, body in entries:
        found.setdefault(stream, []).extend(json.loads(body)["events"])
    loop_stream = next(s for s, events in found.items() if s.startswith("loop/") and names(events, LOOP))
    streamed = (record(e, content) for s, e in found.items() if s.startswith("case/"))
    return sorted((r for r in streamed if r), key=lambda r: r["at"]), found[loop_stream]


def names(events: Iterable[dict[str, Any]], loop: str) -> bool:
    """Whether a loop's events are those of the loop of this name."""
    return any(e["kind"] == "PolicyChanged" and json.loads(e["settings"])["name"] == loop for e in events)


def record(events: list[dict[str, Any]], content: dict[str, dict[str, Any]]) -> dict[str, Any] | None:
    """What a case's events say of its route, its proposal and its outcome."""
    opened = events[0]
    if opened["loop"] != LOOP or opened.get("origin", "live") != "live":
        return None
    slots = content[opened["case_id"]]
    routed = next(e for e in events if e["kind"] == "Routed")
    decided = next((e for e in events if e["kind"] == "Decided"), None)
    proposed = slots["candidates"][opened["proposed"]]["value"] if "proposed" in opened else None
    outcome = slots[f"answer/{decided['source']}"]["value"] if decided else proposed
    return {
        "at": opened["at"], "sample": slots["meta"]["sample"], "autopilot": routed["to"] == "autopilot",
        "audited": routed.get("audited", False), "proposed": proposed, "outcome": outcome,
    }  # fmt: skip


def measured(rows: list[dict[str, Any]], governing: list[dict[str, Any]], end: float) -> dict[str, Any]:
    """The figures of a span of cases; `end` is when the next span begins."""
    truth = load_digits().target
    autopilot = [r for r in rows if r["autopilot"]]
    wrong = sum(r["proposed"] != truth[r["sample"]] for r in autopilot)
    seen = sum(not r["autopilot"] or r["audited"] for r in rows)
    promoted = [e for e in governing if e["kind"] == "ModelPromoted" and rows[0]["at"] <= e["at"] < end]
    policies = [json.loads(e["settings"]) for e in governing if e["kind"] == "PolicyChanged" and e["at"] < end]
    return {
        "cases": len(rows),
        "human_load": round(seen / len(rows), 6),
        "audited": sum(r["audited"] for r in rows),
        "autopilot_error": round(wrong / len(autopilot), 6) if autopilot else 0.0,
        "accuracy": round(sum(r["outcome"] == truth[r["sample"]] for r in rows) / len(rows), 6),
        "promoted": len(promoted),
        "threshold": policies[-1]["threshold"],
    }


def figures(url: str) -> dict[str, Any]:
    """The rounds and the total of the run in a database."""
    rows, governing = cases(*read(url))
    long, rest = divmod(len(rows), ROUNDS)
    sizes = [long + (part < rest) for part in range(ROUNDS)]
    starts = [sum(sizes[:part]) for part in range(ROUNDS)]
    parts = [rows[start : start + size] for start, size in zip(starts, sizes, strict=True) if size]
    ends = [part[0]["at"] for part in parts[1:]] + [float("inf")]
    rounds = [measured(part, governing, end) for part, end in zip(parts, ends, strict=True)]
    return {"rounds": rounds, "total": measured(rows, governing, float("inf"))}


def differences(mine: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """Where two sets of figures differ, a line each."""
    places = [("total", mine["total"], theirs["total"])]
    places += [(f"round {n}", a, b) for n, (a, b) in enumerate(zip(mine["rounds"], theirs["rounds"], strict=True), 1)]
    return [f"{where}: {name} is {a[name]}, said {b[name]}" for where, a, b in places for name in NAMES
            if a[name] != b[name]]  # fmt: skip


def main(arguments: list[str]) -> int:
    """Print or compare; the exit status."""
    if len(arguments) not in (1, 2):
        print(__doc__, file=sys.stderr)
        return 2
    mine = figures(arguments[0])
    if len(arguments) == 1:
        print(json.dumps(mine, indent=2))
        return 0
    found = differences(mine, json.loads(Path(arguments[1]).read_text(encoding="utf-8")))
    print("\n".join(found) or f"{len(mine['rounds'])} rounds and the total agree", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
