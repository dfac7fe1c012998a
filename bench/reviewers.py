"""Sixteen reviewers on two thousand cases: each case decided once, none left.

Reviewers claim and answer until the queue is empty: on SQLite 16 threads of one process, on PostgreSQL 4 processes
of 4 threads.
What happened is counted in the ledger afterwards, not by the reviewers; durability is read back from the database.
Exit status 1 if any case was decided other than once or is left.

    python bench/reviewers.py [--cases 2000] [--reviewers 16] [--durability power|process] [--json]

PostgreSQL is the server of DUALCONTROL_TEST_POSTGRES_URL, else one of our own (tests/postgres_server.py).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import dualcontrol as dc

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))


def filled(desk: dc.Desk, cases: int) -> None:
    """A queue of cases that wait for a human."""
    loop = desk.loop("pay", context="minimal", threshold=0.9)
    for number in range(cases):
        loop.propose(action="pay", args={"order": number}, input={"mail": "please"}, confidence=0.5)


def reviewed(desk: dc.Desk, names: list[str]) -> dict[str, int]:
    """How many answers each reviewer gave until the queue was empty."""
    given: Counter[str] = Counter()

    def review(name: str) -> None:
        while (claim := desk.claim(name, "pay")) is not None:
            claim.approve()
            given[name] += 1

    threads = [threading.Thread(target=review, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return dict(given)


def counted(desk: dc.Desk) -> dict[str, int]:
    """What the ledger says: cases decided once, more than once, and left; answers given."""
    decided: Counter[str] = Counter()
    answers = 0
    for stream in [s for s in desk.store.queries.streams() if s.startswith("case/")]:
        events = [type(e).__name__ for entry in desk.store.queries.entries(stream, values=False) for e in entry.events]
        decided[stream] = events.count("Decided")
        answers += events.count("Answered")
    times = Counter(decided.values())
    return {
        "cases": len(decided), "decided_once": times[1], "left": times[0],
        "double": sum(n for k, n in times.items() if k > 1), "answers": answers,
    }  # fmt: skip


def in_threads(desk: dc.Desk, reviewers: int) -> float:
    """The reviewers in threads of this process; seconds until the last ended."""
    began = time.perf_counter()
    reviewed(desk, [f"reviewer {n:02}" for n in range(reviewers)])
    return time.perf_counter() - began


def in_processes(url: str, durability: str, reviewers: int, processes: int) -> float:
    """The reviewers, spread over processes that begin at the same word; seconds from that word to the last end."""
    names = [f"reviewer {n:02}" for n in range(reviewers)]
    shares = [names[n::processes] for n in range(processes)]
    command = [sys.executable, __file__, "--child", url, "--durability", durability]
    pipe: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    children = [subprocess.Popen([*command, *share], **pipe) for share in shares if share]
    for child in children:
        if child.stdout is None or child.stdout.readline() != "ready\n":
            raise SystemExit("a reviewer process did not start")
    began = time.perf_counter()
    for child in children:
        if child.stdin is not None:
            child.stdin.write("go\n")
            child.stdin.flush()
    if any(child.wait() for child in children):
        raise SystemExit("a reviewer process failed")
    return time.perf_counter() - began


def child(url: str, durability: str, names: list[str]) -> None:
    """Some of the reviewers, in a process of their own."""
    with dc.open(url, durability=durability) as desk:
        print("ready", flush=True)
        sys.stdin.readline()
        reviewed(desk, names)


def read_back(desk: dc.Desk) -> str:
    """The durability as the database itself reports it."""
    known = desk.store.describe()
    return ", ".join(f"{name} {known[name]}" for name in known if "sync" in name or "journal" in name)


def measured(url: str, cases: int, reviewers: int, durability: str, processes: int = 1) -> dict[str, Any]:
    """One run: the queue is filled, then emptied; cases a second are those of the emptying."""
    with dc.open(url, durability=durability) as desk:
        filled(desk, cases)
        wall = in_threads(desk, reviewers) if processes == 1 else in_processes(url, durability, reviewers, processes)
        said = {"reviewers": reviewers, "processes": processes, "durability": read_back(desk)}
        return {**counted(desk), **said, "seconds": round(wall, 2), "cases_a_second": round(cases / wall, 1)}


def on_both(cases: int, reviewers: int, durability: str) -> dict[str, dict[str, Any]]:
    """The run on SQLite and on PostgreSQL."""
    from postgres_server import open_server

    with tempfile.TemporaryDirectory() as folder:
        done = {"sqlite": measured(f"sqlite:///{folder}/dc.db", cases, reviewers, durability)}
    server = open_server()
    try:
        done["postgres"] = measured(server.new_database(), cases, reviewers, durability, processes=4)
    finally:
        server.close()
    return done


def sound(run: dict[str, Any]) -> bool:
    """Each case decided once, none left."""
    return bool(run["decided_once"] == run["cases"] == run["answers"] and not run["left"] and not run["double"])


def main() -> int:
    """Run, print, and say whether every case was decided once."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--reviewers", type=int, default=16)
    parser.add_argument("--durability", choices=("power", "process"), default="power")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", metavar="URL", help=argparse.SUPPRESS)
    parser.add_argument("names", nargs="*", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.child, given.durability, given.names)
        return 0
    done = on_both(given.cases, given.reviewers, given.durability)
    if not given.json:
        print("answers are given in Python, and count at once")
    for name, run in [] if given.json else done.items():
        print(
            f"{name}: {run['cases']} cases, {run['reviewers']} reviewers in {run['processes']} process(es), "
            f"{run['seconds']} s, {run['cases_a_second']} cases/s; decided once {run['decided_once']}, "
            f"left {run['left']}, double {run['double']}, answers {run['answers']}; {run['durability']}"
        )
    if given.json:
        print(json.dumps(done, indent=2))
    return 0 if all(map(sound, done.values())) else 1


if __name__ == "__main__":
    sys.exit(main())
