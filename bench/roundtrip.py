"""Round trips on SQLite: dualcontrol, LangGraph's SqliteSaver, holdpoint and raw sqlite3, in one program.

Two trips, each with a payload of 700 bytes:

* effect trip: a gate proposes, a human claims and edits, the function runs once and its result is stored
  (LangGraph: interrupt and resume; holdpoint: guard, approve with a patch);
* decision trip: propose, claim and answer, outcome (holdpoint: guard, approve with a patch).

Contenders take turns in every round.
Each one's journal mode and synchronous level are read back from its own connection and printed.

    python bench/roundtrip.py [--rounds 7] [--seconds 1.0] [--durability process|power] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from typing import Any, TypedDict

from holdpoint import HoldPoint, SQLiteStore
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt

import dualcontrol as dc

PAYLOAD = "x" * 700
LEVELS = {"process": "NORMAL", "power": "FULL"}
NAMES = {0: "OFF", 1: "NORMAL", 2: "FULL", 3: "EXTRA"}
FLOOR = """
create table task(id integer primary key, status text not null, payload text not null, result text);
create table decision(id integer primary key, task_id int not null, verb text not null, body text not null);
create table audit(id integer primary key, task_id int, event text);
"""


class Contender:
    """One peer: one trip a call, and the durability of its own connection as read back."""

    def __init__(self, name: str, trip: Callable[[], None], durability: Callable[[], str], close: Callable[[], None]):
        self.name, self.trip, self.durability, self.close = name, trip, durability, close


def pragmas(connection: sqlite3.Connection) -> str:
    """Journal mode and synchronous level as this connection reports them."""
    mode = connection.execute("pragma journal_mode").fetchone()[0]
    level = connection.execute("pragma synchronous").fetchone()[0]
    return f"{mode.upper()}/{NAMES[level]}"


def ours(folder: str, durability: str, *, effect: bool) -> Contender:
    """dualcontrol: the whole trip through the front doors."""
    desk = dc.open(f"sqlite:///{folder}/ours.db", durability=durability)
    loop = desk.loop("refunds", mode="approval", threshold=0.9, context="minimal")
    ran = [0]

    @loop.gate(timeout=0, confidence=0.5, context=lambda amount, ctx: {"input": {"ticket": 17}})
    def refund(amount: float, ctx: str) -> str:
        ran[0] += 1
        return "done"

    def effect_trip() -> None:
        before = ran[0]
        try:
            case_id = refund(812.5, PAYLOAD)
        except dc.Pending as waiting:
            case_id = waiting.case_id
        desk.claim("ana", loop="refunds").edit({"amount": 90.0, "ctx": PAYLOAD})
        assert (refund.resume(case_id), ran[0]) == ("done", before + 1)

    def decision_trip() -> None:
        case = loop.propose(
            action="refund", args={"amount": 812.5, "ctx": PAYLOAD}, input={"ticket": 17}, confidence=0.5, effect="none"
        )
        desk.claim("ana", loop="refunds").edit({"amount": 90.0, "ctx": PAYLOAD})
        assert loop.wait(case, timeout=0).value["args"]["amount"] == 90.0

    trip = effect_trip if effect else decision_trip
    return Contender("dualcontrol", trip, lambda: str(desk.store.describe()["durability"]), desk.close)


class State(TypedDict, total=False):
    """What the graph carries."""

    amount: float
    ctx: str
    result: str


def langgraph(folder: str, durability: str) -> Contender:
    """LangGraph: propose, interrupt, resume with the edited amount, act."""
    connection = sqlite3.connect(f"{folder}/langgraph.db", check_same_thread=False)
    saver = SqliteSaver(connection)
    saver.setup()
    connection.execute(f"pragma synchronous={LEVELS[durability]}")
    graph = StateGraph(State)
    graph.add_node("propose", lambda s: {"amount": 812.5})
    graph.add_node("gate", lambda s: {"amount": interrupt({"amount": s["amount"], "ctx": s["ctx"]})})
    graph.add_node("act", lambda s: {"result": "done"})
    for a, b in ((START, "propose"), ("propose", "gate"), ("gate", "act"), ("act", END)):
        graph.add_edge(a, b)
    app = graph.compile(checkpointer=saver)

    def trip() -> None:
        config: Any = {"configurable": {"thread_id": uuid.uuid4().hex}}
        assert "__interrupt__" in app.invoke({"ctx": PAYLOAD}, config)
        end = app.invoke(Command(resume=90.0), config)
        assert end["result"] == "done"
        assert end["amount"] == 90.0

    return Contender("LangGraph SqliteSaver", trip, lambda: pragmas(connection), connection.close)


def holdpoint(folder: str, durability: str) -> Contender:
    """holdpoint: a guarded function, approved with a patch."""
    store = SQLiteStore(f"{folder}/holdpoint.db")
    hold = HoldPoint(store=store)

    @hold.guard(kind="refund", ttl="24h")
    def refund(amount: float, ctx: str) -> str:
        return "done"

    def trip() -> None:
        pending = refund(amount=812.5, ctx=PAYLOAD)
        assert hold.approve(pending.id, actor="ana", patch={"amount": 90.0}).value == "done"

    trip()
    connection = next(iter(store._conns.values()))
    connection.execute(f"pragma synchronous={LEVELS[durability]}")
    return Contender("holdpoint", trip, lambda: pragmas(connection), store.close)


def floor(folder: str, durability: str) -> Contender:
    """Raw sqlite3: insert, decide, read; no rules, no checks, no ledger."""
    c = sqlite3.connect(f"{folder}/floor.db", isolation_level=None)
    c.execute("pragma journal_mode=wal")
    c.execute(f"pragma synchronous={LEVELS[durability]}")
    c.executescript(FLOOR)

    def trip() -> None:
        c.execute("begin immediate")
        body = json.dumps({"amount": 812.5, "ctx": PAYLOAD})
        task = c.execute("insert into task(status, payload) values('pending', ?)", (body,)).lastrowid
        c.execute("commit")
        c.execute("begin immediate")
        c.execute("update task set status='done', result='done' where id=? and status='pending'", (task,))
        c.execute("insert into decision(task_id, verb, body) values(?, 'edit', ?)", (task, body))
        c.execute("insert into audit(task_id, event) values(?, 'decided')", (task,))
        c.execute("commit")
        assert c.execute("select status from task where id=?", (task,)).fetchone()[0] == "done"

    return Contender("raw sqlite3 floor", trip, lambda: pragmas(c), c.close)


def rate(trip: Callable[[], None], seconds: float) -> float:
    """Trips a second over about `seconds`."""
    done, start = 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < seconds:
        trip()
        done += 1
    return done / spent


def measure(contenders: list[Contender], rounds: int, seconds: float) -> dict[str, dict[str, Any]]:
    """Rates of all contenders, one after the other in every round, so that the machine's mood is shared."""
    rates: dict[str, list[float]] = {c.name: [] for c in contenders}
    for c in contenders:
        rate(c.trip, 0.3)
    for n in range(rounds):
        for c in contenders if n % 2 else contenders[::-1]:
            rates[c.name].append(rate(c.trip, seconds))
            print(".", end="", flush=True, file=sys.stderr)
    print(file=sys.stderr)
    return {c.name: row(c, rates[c.name]) for c in contenders}


def row(contender: Contender, rates: list[float]) -> dict[str, Any]:
    """One contender's figures."""
    return {
        "durability": contender.durability(),
        "median": round(statistics.median(rates), 1),
        "min": round(min(rates), 1),
        "max": round(max(rates), 1),
        "rates": [round(r, 1) for r in rates],
    }


def ratios(rows: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Our rate over each peer's, round by round, then the median."""
    mine = rows["dualcontrol"]["rates"]
    return {
        name: round(statistics.median(a / b for a, b in zip(mine, row["rates"], strict=True)), 2)
        for name, row in rows.items()
        if name != "dualcontrol"
    }


def run(durability: str, rounds: int, seconds: float) -> dict[str, Any]:
    """Both trips at one durability."""
    result: dict[str, Any] = {}
    for trip in ("effect", "decision"):
        folder = tempfile.mkdtemp(dir=os.environ.get("BENCH_DIR"))
        contenders = [ours(folder, durability, effect=trip == "effect"), holdpoint(folder, durability)]
        contenders += [langgraph(folder, durability)] if trip == "effect" else []
        contenders.append(floor(folder, durability))
        rows = measure(contenders, rounds, seconds)
        result[trip] = {"rows": rows, "ratios": ratios(rows)}
        for c in contenders:
            c.close()
        shutil.rmtree(folder, ignore_errors=True)
    return result


def show(durability: str, result: dict[str, Any]) -> None:
    """Print one durability as tables."""
    for trip, part in result.items():
        print(f"\n{trip} trip at {durability}, round trips a second (median, min to max)")
        for name, r in part["rows"].items():
            ratio = part["ratios"].get(name)
            times = f"  dualcontrol is {ratio:.2f}x" if ratio else ""
            print(f"  {name:24s} {r['durability']:14s} {r['median']:9.1f}  {r['min']:.0f}-{r['max']:.0f}{times}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--durability", choices=[*LEVELS, "both"], default="both")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    wanted = list(LEVELS) if given.durability == "both" else [given.durability]
    results = {d: run(d, given.rounds, given.seconds) for d in wanted}
    if given.json:
        print(json.dumps(results, indent=2))
    else:
        print("answers are given in Python (LangGraph: resumed, holdpoint: called), and count at once")
        for d, result in results.items():
            show(d, result)


if __name__ == "__main__":
    main()
