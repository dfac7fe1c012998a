"""Programs beside a test, each in a process of its own: python beside.py URL WHAT [ARGUMENTS].

Prints ``ready``, waits for a line on standard input, does one thing, and prints how it ended.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

import dualcontrol as dc
from dualcontrol.errors import StoppedError


def claim(desk: dc.Desk, person: str) -> str:
    """Claim the next review."""
    found = desk.claim(person, "pay")
    return found.id if found else "none"


def answer(desk: dc.Desk, claim_id: str, verdict: str) -> str:
    """Answer under a claim that somebody else may use at the same moment."""
    return desk.answer(claim_id, verdict, rationale="seen").state


def gate(desk: dc.Desk, witness: str) -> str:
    """Come back to a gate that has been decided."""

    @desk.loop("pay").gate(confidence=0.5, timeout=30)
    def pay(order: str, amount: float) -> str:
        with open(witness, "a", encoding="utf-8") as file:
            file.write(f"{os.getpid()} {order} {amount}\n")
            file.flush()
            os.fsync(file.fileno())
        return f"paid {amount}"

    with desk.run("order-17"), desk.loop("pay").context(input={"mail": "please"}):
        return str(pay("A-17", 420.0))


def wait(desk: dc.Desk, case_id: str) -> str:
    """Wait for an outcome."""
    return str(desk.loop("pay").wait(case_id, timeout=20).verdict)


def waits(desk: dc.Desk, *case_ids: str) -> str:
    """Wait for one after the other, and say of each when the wait was over."""
    for case_id in case_ids:
        desk.loop("pay").wait(case_id, timeout=20)
        print(time.monotonic(), flush=True)
    return "done"


def starts(desk: dc.Desk, *case_ids: str) -> str:
    """Start every effect, each as soon as it may be, with a pause in which another process comes to write.

    Returns how many that were.
    """
    loop, begun = desk.loop("pay"), 0
    for case_id in case_ids:
        while True:
            try:
                loop.start_effect(case_id)
                break
            except StoppedError:
                time.sleep(0.001)
        begun += 1
        time.sleep(0.01)
    return str(begun)


def loops(desk: dc.Desk, prefix: str, count: str) -> str:
    """Define loops, one after the other, the first few at once and the others at the pace of a slow machine."""
    for number in range(int(count)):
        desk.loop(f"{prefix}-{number}", threshold=0.9, context="minimal")
        time.sleep(0.03 if number > 2 else 0)
    return "done"


WHAT: dict[str, Callable[..., str]] = {
    "claim": claim, "answer": answer, "gate": gate, "wait": wait, "waits": waits, "starts": starts,
    "loops": loops,
}  # fmt: skip


def main(url: str, what: str, *arguments: str) -> None:
    """Be ready, wait for the word, do it."""
    with dc.open(url, durability="process") as desk:
        desk.loop("pay")
        print("ready", flush=True)
        sys.stdin.readline()
        try:
            print(WHAT[what](desk, *arguments), flush=True)
        except dc.DualcontrolError as error:
            print(error.code, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
