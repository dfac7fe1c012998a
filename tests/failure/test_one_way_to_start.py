"""No path starts an effect but through the one function that holds what will run against record and control."""

from __future__ import annotations

import ast
import asyncio
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

import dualcontrol as dc
from dualcontrol import apply, step
from dualcontrol.commands import StartEffect
from dualcontrol.errors import DualcontrolError, EffectError
from dualcontrol.events import EffectStarted
from dualcontrol.web.app import create_app

SOURCE = Path(dc.__file__).parent
UNSURE: dict[str, Any] = {"confidence": 0.1, "timeout": 0, "context": lambda *a, **k: {"input": 1}}


def calls_of(name: str) -> set[str]:
    """The functions of the package that make an object of this name, as ``file:function``."""
    makers: set[str] = set()
    for file in SOURCE.rglob("*.py"):
        for function in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                inside = [n.func for n in ast.walk(function) if isinstance(n, ast.Call)]
                if any(getattr(f, "id", getattr(f, "attr", None)) == name for f in inside):
                    makers.add(f"{file.relative_to(SOURCE)}:{function.name}")
    return makers


def test_one_function_makes_the_event_and_one_event_starts_an_effect() -> None:
    assert calls_of("EffectStarted") == {"apply.py:start_effect"}
    assert step.HANDLERS[StartEffect] is apply.start_effect
    evolved = [file for file in SOURCE.rglob("*.py") if 'state="started"' in file.read_text(encoding="utf-8")]
    # A desk at an address shows its program what the server's own `evolve` made of the event.
    assert sorted(file.relative_to(SOURCE).as_posix() for file in evolved) == ["evolve.py", "remote.py"]


@pytest.fixture
def desk(database_url: str):
    with dc.open(database_url, durability="process") as desk:
        yield desk


def decided(desk: dc.Desk, ran: list[str]) -> dict[str, Any]:
    """Every door behind which an effect that was approved may begin, each for a case of its own."""
    loop = desk.loop("pay", threshold=0.9, context="minimal")

    def act(n: int) -> str:
        ran.append("gate")
        return "done"

    async def later(n: int) -> str:
        ran.append("async gate")
        return "done"

    gate, async_gate = loop.gate(act, **UNSURE), loop.gate(later, **UNSURE)

    def approved(number: int) -> str:
        case = loop.propose(action="act", args={"n": number}, input=1, confidence=0.1, key=f"own-{number}")
        desk.claim("ana", case=case).approve()
        return case.id

    def in_run(call: Any) -> Any:
        with desk.run("r"), pytest.raises(dc.Pending) as waiting:
            call()
        desk.claim("ana", case=waiting.value.case_id).approve()
        return waiting.value.case_id

    in_run(lambda: gate(1))
    in_run(lambda: asyncio.run(async_gate(1)))
    resumed, async_resumed, blocks = in_run(lambda: gate(2)), in_run(lambda: asyncio.run(async_gate(2))), approved(3)
    bare, aio = approved(4), approved(5)

    def again(call: Any) -> Any:
        with desk.run("r"):
            return call()

    def block() -> None:
        with loop.effect(blocks):
            ran.append("effect")

    async def async_block() -> None:
        async with (await desk.aio.loop("pay")).effect(aio):
            ran.append("async effect")

    def start() -> None:
        loop.start_effect(bare)
        ran.append("start_effect")

    return {
        "gate": lambda: again(lambda: gate(1)), "async gate": lambda: again(lambda: asyncio.run(async_gate(1))),
        "resume": lambda: gate.resume(resumed), "async resume": lambda: asyncio.run(async_gate.resume(async_resumed)),
        "effect": block, "async effect": lambda: asyncio.run(async_block()), "start_effect": start,
        "autopilot": lambda: loop.gate(act, confidence=0.95, context=lambda n: {"input": 1})(9),
    }  # fmt: skip


def test_every_door_asks_it(desk: dc.Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    doors = decided(desk, ran)
    refusals: list[str] = []

    def refuse(case: dc.Case, command: StartEffect, control: dc.Control, env: Any) -> list[Any]:
        refusals.append(case.id)
        raise EffectError("nothing starts today")

    monkeypatch.setitem(step.HANDLERS, StartEffect, refuse)
    for name, door in doors.items():
        before = len(refusals)
        with pytest.raises(DualcontrolError, match="nothing starts today"):
            door()
        assert len(refusals) > before, name
    assert ran == []
    rows = desk.store.queries.cases(loop="pay").rows
    events = [event for row in rows for event in desk.events(row.id)]
    assert not any(isinstance(event, EffectStarted) for event in events)
    monkeypatch.undo()
    for door in doors.values():
        door()
    assert sorted(set(ran)) == ["async effect", "async gate", "effect", "gate", "start_effect"]
    assert len(ran) == len(doors)


def test_http_asks_it_too(desk: dc.Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = desk.loop("pay", threshold=0.9, context="minimal")
    case = loop.propose(action="act", args={"n": 1}, input=1, confidence=0.95)
    token = "t" * 32
    client = TestClient(create_app(desk, token=token), base_url="http://127.0.0.1:8765",
                        headers={"Authorization": f"Bearer {token}"})  # fmt: skip

    def refuse(*_: Any) -> list[Any]:
        raise EffectError("nothing starts today")

    monkeypatch.setitem(step.HANDLERS, StartEffect, refuse)
    refused = client.post(f"/api/v1/cases/{case.id}/effect/start")
    assert (refused.status_code, refused.json()["detail"]) == (409, "nothing starts today")
    monkeypatch.undo()
    assert client.post(f"/api/v1/cases/{case.id}/effect/start").json()["fence"] == 1
