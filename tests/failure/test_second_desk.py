"""A second program on the same SQLite file works, at the same time as the first."""

from __future__ import annotations

import threading
from pathlib import Path

from failure.conftest import PAY, Beside

import dualcontrol as dc
from dualcontrol.doctor import PROBLEM, examine


def test_two_desks_see_each_other(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/dc.db"
    with dc.open(url) as one, dc.open(url) as two:
        case = one.loop("pay", context="minimal").propose(**PAY)
        two.claim("ana", "pay").approve()
        assert one.loop("pay").wait(case, timeout=5).verdict == "approve"
        assert two.loop("pay").settings.context == "minimal"


def test_a_process_works_while_this_one_does(desk: dc.Desk, loop: dc.Loop, beside: Beside) -> None:
    case = loop.propose(**PAY)
    beside.start("answer", desk.claim("ana").id, "approve")
    writers = [threading.Thread(target=lambda: [loop.propose(**PAY) for _ in range(10)]) for _ in range(3)]
    beside.go()
    [w.start() for w in writers]
    [w.join() for w in writers]
    assert beside.said() == ["decided"]
    assert desk.case(case.id).outcome.verdict == "approve"
    assert len(desk.store.queries.cases(limit=100).rows) == 31
    assert not [finding for finding in examine(desk.store) if finding.level == PROBLEM]
