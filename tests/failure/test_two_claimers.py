"""Claimers at once: exactly one gets the review, in threads and in processes."""

from __future__ import annotations

import threading

from failure.conftest import PAY, Beside, kinds

import dualcontrol as dc


def test_threads(desk: dc.Desk, loop: dc.Loop) -> None:
    case = loop.propose(**PAY)
    start = threading.Barrier(4)
    got: list[dc.Claim | None] = []

    def claim(person: str) -> None:
        start.wait()
        got.append(desk.claim(person, "pay"))

    threads = [threading.Thread(target=claim, args=(p,)) for p in ("ana", "ben", "cleo", "dan")]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert len(got) == 4
    assert len([c for c in got if c is not None]) == 1
    assert kinds(desk, case.id).count("Claimed") == 1


def test_processes(desk: dc.Desk, loop: dc.Loop, beside: Beside) -> None:
    case = loop.propose(**PAY)
    beside.start("claim", "ana")
    beside.start("claim", "ben")
    beside.go()
    said = beside.said()
    assert sorted(s == "none" for s in said) == [False, True]
    assert kinds(desk, case.id).count("Claimed") == 1
    holder = desk.claimed(next(s for s in said if s != "none"))
    holder.approve()
    assert desk.case(case.id).outcome.reviewers == (holder.person,)
