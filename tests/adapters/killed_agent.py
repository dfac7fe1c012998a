"""A program that is killed: `start` pauses its thread, `resume` continues it, with a tool that says when it begins."""

from __future__ import annotations

import sqlite3
import sys
import time
from pathlib import Path

from adapters.agents import REFUND, graph
from langgraph.checkpoint.sqlite import SqliteSaver

import dualcontrol as dc
from dualcontrol.adapters.langgraph import Resumer, gated

FOLDER = Path(sys.argv[3])


def note(text: str) -> None:
    with (FOLDER / "ran.log").open("a") as log:
        log.write(text + "\n")


def refund(order: str, amount: float) -> str:
    """Give money back."""
    note("begin")
    time.sleep(float((FOLDER / "takes").read_text()))
    note("end")
    return f"refunded {amount} for {order}"


def main(url: str, verb: str) -> None:
    with dc.open(url) as desk, sqlite3.connect(FOLDER / "threads.db", check_same_thread=False) as threads:
        loop = desk.loop("orders", mode="approval", context=["proposal"], rationale="optional", effect_lease="1s")
        app = graph(gated(loop, [refund]), [REFUND, "Done."], saver=SqliteSaver(threads))
        if verb == "start":
            app.invoke({"messages": "hello"}, {"configurable": {"thread_id": "t"}})
            return
        (FOLDER / "going").touch()
        for resumed in Resumer(app, loop, lease="1s").once():
            print(resumed.error or resumed.result["messages"][-2].content)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
