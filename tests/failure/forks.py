"""Programs that fork with a desk open: python forks.py URL WHAT.

The last line printed is what came of it, as JSON.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import dualcontrol as dc

PAY: dict[str, Any] = {"action": "pay", "args": {"order": "A-17"}, "input": "please", "confidence": 0.5}


def opened(url: str) -> dc.Desk:
    """A desk with its loop."""
    desk = dc.open(url, durability="process")
    desk.loop("pay", threshold=0.9, context="minimal")
    return desk


def asked(desk: dc.Desk, person: str) -> str:
    """A whole trip: propose, wait, and be answered meanwhile."""
    loop = desk.loop("pay")
    case = loop.propose(**PAY)
    threading.Timer(0.1, lambda: desk.claim(person, case=case).approve()).start()
    return str(loop.wait(case, timeout=20).verdict)


def code(verb: Callable[[], Any]) -> str:
    """What a verb came to: the code of its error, or "done"."""
    try:
        verb()
    except dc.DualcontrolError as error:
        return error.code
    return "done"


def in_child(work: Callable[[], Any]) -> Any:
    """What `work` gives in a forked process; "hangs" when it does not come back."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write, json.dumps(work()).encode())
        except BaseException as error:
            os.write(write, json.dumps(f"{type(error).__name__}: {error}").encode())
        finally:
            os._exit(0)
    os.close(write)
    timer = threading.Timer(30, os.kill, (child, 9))
    timer.start()
    with os.fdopen(read) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    timer.cancel()
    return json.loads(text) if text else "hangs"


def verbs(url: str) -> Any:
    """What each verb of an inherited desk comes to, and that the first process goes on."""
    desk = opened(url)
    case = desk.loop("pay").propose(**PAY)
    claim = desk.claim("ana", case=desk.loop("pay").propose(**PAY))
    assert claim is not None
    loop = desk.loop("pay")
    each: dict[str, Callable[[], Any]] = {
        "propose": lambda: loop.propose(**PAY),
        "wait": lambda: loop.wait(case, timeout=1),
        "case": lambda: desk.case(case.id),
        "claim": lambda: desk.claim("ben"),
        "answer": lambda: claim.approve(),
        "sweep": desk.sweep,
        "batch": lambda: loop.propose_batch({"action": ["pay"], "confidence": [0.95], "input.mail": ["please"]}),
        "loop": lambda: desk.loop("pay", threshold=0.8, context="minimal"),
        "close": desk.close,
    }
    told = in_child(lambda: {name: code(verb) for name, verb in each.items() if name != "wait"})
    told["wait"] = in_child(lambda: code(lambda: loop.wait(case, timeout=30)) if url.startswith("sqlite") else "")
    return {"child": told, "parent": asked(desk, "cleo"), "open": len(desk.store.queries.cases(state="open").rows)}


def trips(url: str) -> Any:
    """Trips in parent and children at once, after the parent has waited, so that its listener runs."""
    desk = opened(url)
    asked(desk, "ana")
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    children = [
        context.Process(target=lambda name=name: queue.put([asked(desk, name) for _ in range(5)]))
        for name in ("ben", "cleo")
    ]
    for child in children:
        child.start()
    mine = [asked(desk, "ana") for _ in range(5)]
    theirs = [queue.get(timeout=40) for _ in children]
    for child in children:
        child.join(timeout=20)
    mine += [asked(desk, "ana")]
    return {"parent": mine, "children": theirs, "cases": len(desk.store.queries.cases().rows)}


def busy(url: str) -> Any:
    """Forks while other threads hold locks and connections of every kind."""
    desk = opened(url)
    stop = threading.Event()

    def work(person: str) -> None:
        while not stop.is_set():
            asked(desk, person)
            desk.sweep()

    threads = [threading.Thread(target=work, args=(name,)) for name in ("ana", "ben", "cleo")]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    told = [in_child(lambda: code(lambda: desk.loop("pay").propose(**PAY))) for _ in range(15)]
    stop.set()
    for thread in threads:
        thread.join()
    return {"children": sorted(set(told)), "parent": asked(desk, "ana"), "integrity": desk.store.integrity()}


def fresh(url: str) -> Any:
    """A desk that the child opens itself: while the parent has one open, and after the parent has closed it."""
    desk = opened(url)
    desk.loop("pay").propose(**PAY)
    beside = in_child(lambda: code(lambda: opened(url).loop("pay").propose(**PAY)))
    desk.close()
    after = in_child(lambda: code(lambda: opened(url).loop("pay").propose(**PAY)))
    with opened(url) as again:
        return {"beside": beside, "after": after, "cases": len(again.store.queries.cases().rows)}


WHAT = {"verbs": verbs, "trips": trips, "busy": busy, "fresh": fresh}

if __name__ == "__main__":
    print(json.dumps(WHAT[sys.argv[2]](sys.argv[1])), flush=True)
    os._exit(0)
