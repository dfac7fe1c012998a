"""PostgreSQL stopped and started under the program: nothing acknowledged is lost, nothing is there twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest
from failure.conftest import PAY, folded, kinds
from postgres_server import OwnServer, Server

import dualcontrol as dc
from dualcontrol.doctor import PROBLEM, examine
from dualcontrol.errors import ClaimError, SettledError, StoreUnavailableError

pytestmark = pytest.mark.postgres
Done = TypeVar("Done")
MODES = pytest.mark.parametrize("mode", ["immediate", "fast"])


@pytest.fixture
def server(postgres_server: Server) -> Server:
    if not isinstance(postgres_server, OwnServer):
        pytest.skip("not our server to restart")
    return postgres_server


@pytest.fixture
def desk(server: Server, postgres_url: str) -> Iterator[dc.Desk]:
    with dc.open(postgres_url) as desk:
        desk.loop("pay", context="minimal")
        yield desk


def persistent(act: Callable[[], Done]) -> Done:
    """What a program does that is told that the database is away: the same again."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return act()
        except StoreUnavailableError:
            assert time.monotonic() < deadline
            time.sleep(0.02)


@MODES
def test_while_waiting(desk: dc.Desk, server: Server, mode: Any) -> None:
    loop = desk.loop("pay")
    case = loop.propose(**PAY)
    ends: list[str] = []
    waiter = threading.Thread(target=lambda: ends.append(str(loop.wait(case, timeout=30).verdict)))
    waiter.start()
    time.sleep(0.2)
    server.restart(mode)
    persistent(lambda: desk.claim("ana", case=case)).approve()
    waiter.join(timeout=20)
    assert ends == ["approve"]


@MODES
def test_between_claim_and_answer(desk: dc.Desk, server: Server, mode: Any) -> None:
    """A claim is not durable by design: after a crash it may have to be taken again; an answer may not."""
    case = desk.loop("pay").propose(**PAY)
    claim = desk.claim("ana")
    server.restart(mode)
    try:
        persistent(claim.approve)
    except ClaimError:
        assert mode == "immediate"
        claim = persistent(lambda: desk.claim("ana", case=case))
        persistent(claim.approve)
    server.restart(mode)
    assert persistent(lambda: kinds(desk, case.id)).count("Decided") == 1
    assert desk.case(case.id) == folded(desk, case.id)
    with pytest.raises(SettledError):
        claim.approve()


@MODES
def test_during_a_loop_of_proposals(desk: dc.Desk, server: Server, mode: Any) -> None:
    loop = desk.loop("pay")
    acknowledged: dict[str, str] = {}
    over = threading.Event()

    def propose() -> None:
        while not over.is_set() or len(acknowledged) < 20:
            key = f"order-{len(acknowledged)}"
            acknowledged[key] = persistent(lambda: loop.propose(**PAY, key=key)).id  # noqa: B023

    program = threading.Thread(target=propose)
    program.start()
    for _ in range(2):
        time.sleep(0.3)
        server.restart(mode)
    over.set()
    program.join(timeout=40)
    rows = [row.id for row in desk.store.queries.cases(limit=100_000).rows]
    assert sorted(rows) == sorted(acknowledged.values())
    assert all(loop.propose(**PAY, key=key).id == case_id for key, case_id in list(acknowledged.items())[:20])
    assert not [finding for finding in examine(desk.store) if finding.level == PROBLEM]
