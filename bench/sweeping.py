"""Many cases whose response time passes at once, while people go on working.

Opens the cases as of two hours ago and has them swept until nothing is due, by `dualcontrol serve` (whose start counts)
or, with --here, by `desk.sweep()` in this process; meanwhile a thread of this process and another process claim and
answer cases of a second loop, and note how long each took (with --alone nobody does).
What happened is counted in the ledger afterwards.  Exit status 1 if any case ended other than once.

    python bench/sweeping.py [--cases 50000] [--database URL] [--here] [--alone] [--json]

Without --database it is an SQLite file of its own, at durability "process".
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

import dualcontrol as dc
from dualcontrol.events import TimedOut

SECOND = 1_000_000
LONGEST = 600.0
QUEUE = 3_000  # cases of the second loop, more than are answered meanwhile


def earlier() -> int:
    """The time two hours ago, at which everything is opened that is to be due now."""
    return time.time_ns() // 1000 - 7_200 * SECOND


def filled(desk: dc.Desk, cases: int) -> None:
    """Cases that time out to no, and a queue for those who work meanwhile."""
    late = desk.loop("late", threshold=0.9, context="minimal", respond_within="1h", on_timeout="reject")
    work = desk.loop("work", threshold=0.9, context="minimal", lease="30d")
    for loop, count in ((late, cases), (work, QUEUE)):
        rows = {"action": ["pay"] * count, "args.order": list(range(count)), "input.mail": ["please"] * count}
        loop.propose_batch(rows | {"confidence": [0.5] * count})


def worked(desk: dc.Desk, person: str, until: threading.Event) -> list[float]:
    """How many seconds each claim with its answer took."""
    waits = []
    while not until.is_set():
        begun = time.perf_counter()
        claim = desk.claim(person, "work")
        if claim is None:
            break
        claim.approve()
        waits.append(time.perf_counter() - begun)
        time.sleep(0.01)
    return waits


def beside(url: str) -> None:
    """Another process that works until its input ends."""
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    with dc.open(url, durability="process") as desk:
        print("ready", flush=True)
        print(json.dumps(worked(desk, "ben", ended)), flush=True)


@contextmanager
def working(desk: dc.Desk, url: str) -> Iterator[tuple[list[float], list[float]]]:
    """Two people at work, in a thread of this process and in another process; what they noted is there afterwards."""
    here: list[float] = []
    there: list[float] = []
    command = [sys.executable, __file__, "--beside", url]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    other.stdout.readline()
    over = threading.Event()
    thread = threading.Thread(target=lambda: here.extend(worked(desk, "ana", over)))
    thread.start()
    try:
        yield here, there
    finally:
        over.set()
        thread.join()
        there += json.loads(other.communicate(timeout=60)[0])


@contextmanager
def serving(url: str) -> Iterator[list[float]]:
    """`dualcontrol serve` in a process of its own; its processor time is there afterwards."""
    spent: list[float] = []
    command = [sys.executable, "-m", "dualcontrol", "--database", url, "serve", "--port", "0"]
    settings = {**os.environ, "DUALCONTROL_DATABASE__DURABILITY": "process"}
    process = subprocess.Popen(command, env=settings, stdout=subprocess.DEVNULL)
    try:
        yield spent
    finally:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        process.terminate()
        process.wait()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


@contextmanager
def sweeping(desk: dc.Desk) -> Iterator[list[float]]:
    """The same in a thread of this process."""
    spent: list[float] = []
    over = threading.Event()

    def work() -> None:
        while not over.wait(0.25):
            desk.sweep()
            while desk.store.sequence():
                pass
        spent.append(time.thread_time())

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield spent
    finally:
        over.set()
        thread.join()


def until(done: Callable[[], bool]) -> float:
    """Look each half second, cheaply, at most ten minutes; the seconds that it took."""
    begun = time.perf_counter()
    while not done():
        if time.perf_counter() - begun > LONGEST:
            raise TimeoutError(f"not done after {LONGEST} seconds")
        time.sleep(0.5)
    return time.perf_counter() - begun


def measured(url: str, cases: int, here: bool, alone: bool) -> dict[str, Any]:
    """Have everything done that is due, with people at work unless `alone`, and count."""
    with dc.open(url, durability="process", clock=earlier) as desk:
        filled(desk, cases)
    with dc.open(url, durability="process") as desk:
        queries, load = desk.store.queries, os.getloadavg()[0]
        with ExitStack() as stack:
            with nullcontext(([], [])) if alone else working(desk, url) as waits:
                spent = stack.enter_context(sweeping(desk) if here else serving(url))
                seconds = until(lambda: not queries.cases(loop="late", state="open", limit=1).rows)
            rest = until(lambda: not queries.unplaced()[0])
        known = desk.store.describe()
        return {
            "cases": cases, "ended once": ended_once(desk), "seconds": round(seconds, 1),
            "a second": round(cases / seconds), "processor time": round(spent[0], 1), "positions after": round(rest, 1),
            "this process": spread(waits[0]), "another process": spread(waits[1]), "load before": round(load, 1),
            "durability": ", ".join(f"{name} {known[name]}" for name in known if "sync" in name or "journal" in name),
        }  # fmt: skip


def ended_once(desk: dc.Desk) -> int:
    """How many cases of the first loop timed out, once each, by the ledger."""
    found, after = Counter[str](), 0
    while page := desk.store.feed(after, 5_000, "late"):
        found.update(entry.stream for entry in page for event in entry.events if type(event) is TimedOut)
        after = page[-1].pos or after
    return sum(count == 1 for count in found.values())


def spread(waits: list[float]) -> dict[str, Any]:
    """How many claims with their answers there were, and how long they took in milliseconds."""
    if not waits:
        return {"claims": 0}
    ordered = sorted(waits)
    at = {"median": len(ordered) // 2, "99 %": len(ordered) * 99 // 100, "worst": len(ordered) - 1}
    return {"claims": len(ordered)} | {name: round(ordered[place] * 1e3) for name, place in at.items()}


def main() -> int:
    """Measure and print; the exit code is 1 when a case ended other than once."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", type=int, default=50_000)
    parser.add_argument("--database")
    parser.add_argument("--here", action="store_true", help="sweep in this process, without a server")
    parser.add_argument("--alone", action="store_true", help="nobody works meanwhile")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument("--beside", metavar="URL", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.beside:
        beside(given.beside)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        found = measured(given.database or f"sqlite:///{folder}/dc.db", given.cases, given.here, given.alone)
    if given.json:
        print(json.dumps(found, indent=2))
    else:
        print("\n".join(f"{name:16} {value}" for name, value in found.items()))
    return 0 if found["ended once"] == given.cases else 1


if __name__ == "__main__":
    sys.exit(main())
