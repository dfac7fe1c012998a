"""Once means once: a call in a run keeps its number until it has come to an end, whoever makes it and from where."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import os
import pickle
import subprocess
import sys
import textwrap
import threading
import warnings
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

import dualcontrol as dc
from dualcontrol.errors import (
    EffectDiffersError,
    EffectError,
    EffectUnknownError,
    RequestError,
    ResultError,
    RunChangedError,
    RunRequiredError,
    StoreUnavailableError,
)
from dualcontrol.testing import FakeClock

SURE: dict[str, Any] = {"confidence": 0.99, "timeout": 0, "context": lambda *a, **k: {"input": 1}}
UNSURE: dict[str, Any] = {**SURE, "confidence": 0.1}


def named(value: Any) -> str:
    """An id that is alike in every process: members of a set come in any order."""
    return type(value).__name__ if isinstance(value, set | frozenset | BaseModel) else repr(value)[:30]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def desk(database_url: str, clock: FakeClock):
    with dc.open(database_url, durability="process", clock=clock) as desk:
        yield desk


@pytest.fixture
def loop(desk):
    return desk.loop("pay", context="minimal", threshold=0.9)


def cases(desk: dc.Desk) -> list[Any]:
    return list(desk.store.queries.cases(loop="pay").rows)


def counted(ran: list[Any]):
    def act(n: int = 0) -> int:
        ran.append(n)
        return n

    return act


# 2.1 numbers


def test_a_retry_after_an_error_is_the_same_call(desk, loop, monkeypatch) -> None:
    ran: list[int] = []
    gate = loop.gate(counted(ran), **SURE)
    finish, failing = loop.finish_effect, [True]

    def interrupted(*args: Any, **kwargs: Any) -> None:
        finish(*args, **kwargs)
        if failing.pop() if failing else False:
            raise StoreUnavailableError("the connection went away after the commit")

    monkeypatch.setattr(gate.loop, "finish_effect", interrupted)
    with desk.run("r"):
        with pytest.raises(StoreUnavailableError):
            gate(1)
        assert gate(1) == 1  # the retry of the program
        assert gate(1) == 1  # its second call
    assert ran == [1, 1]
    assert len(cases(desk)) == 2


@pytest.mark.parametrize("lost", ["reply", "request"])
def test_a_proposal_whose_reply_was_lost_is_found_again(desk, loop, monkeypatch, lost) -> None:
    propose, failing = desk.steps.propose, [True]

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        result = propose(*args, **kwargs) if lost == "reply" or not failing else None
        if failing:
            failing.clear()
            raise StoreUnavailableError("gone")
        return result

    monkeypatch.setattr(desk.steps, "propose", interrupted)
    with desk.run("r"):
        with pytest.raises(StoreUnavailableError):
            loop.propose(action="act", args={}, input=1)
        case = loop.propose(action="act", args={}, input=1)
        other = loop.propose(action="act", args={}, input=1)
    assert case.id != other.id
    assert len(cases(desk)) == 2


def test_equal_calls_in_flight_take_different_numbers_and_keep_them(desk, loop) -> None:
    ran: list[int] = []
    together = threading.Barrier(4)

    def act(n: int) -> int:
        together.wait(20)
        ran.append(n)
        return n

    gate = loop.gate(act, **SURE)
    with desk.run("r") as run, concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert list(run.executor(pool).map(gate, [7] * 4)) == [7] * 4
    assert (len(ran), len(cases(desk))) == (4, 4)
    with desk.run("r"):
        assert [gate(7) for _ in range(4)] == [7] * 4
    assert len(ran) == 4


def test_a_pause_keeps_the_number(desk, loop) -> None:
    gate = loop.gate(counted([]), **UNSURE)
    ids = set()
    with desk.run("r"):
        for _ in range(3):
            with pytest.raises(dc.Pending) as waiting:
                gate(1)
            ids.add(waiting.value.case_id)
    assert len(ids) == len(cases(desk)) == 1


def test_a_reject_is_answered_from_the_record_unless_the_program_asks_again(desk, loop) -> None:
    ran: list[int] = []
    gate = loop.gate(counted(ran), **UNSURE)

    def program(*, again: bool) -> Any:
        with desk.run("r"):
            for _ in range(2):
                with pytest.raises(dc.Rejected):
                    gate(1)
            if again:
                with loop.context(again=True):
                    return gate(1)
        return None

    with desk.run("r"), pytest.raises(dc.Pending):
        gate(1)
    desk.claim("ana").reject("no")
    program(again=False)
    assert len(cases(desk)) == 1
    with pytest.raises(dc.Pending):
        program(again=True)
    assert len(cases(desk)) == 2
    desk.claim("ana").approve()
    assert program(again=True) == 1
    assert program(again=True) == 1  # a program that is started again comes to the same
    assert (ran, len(cases(desk))) == ([1], 2)


def test_ask_and_propose_take_again_as_well(desk, loop) -> None:
    with desk.run("r"):
        for _ in range(2):
            with pytest.raises(dc.Pending):
                loop.ask(action="act", args={}, input=1, confidence=0.1, timeout=0)
        desk.claim("ana").reject("no")
        assert loop.ask(action="act", args={}, input=1, confidence=0.1, timeout=0).verdict == "reject"
        assert loop.ask(action="act", args={}, input=1, confidence=0.1, timeout=0).verdict == "reject"
        with pytest.raises(dc.Pending):
            loop.ask(action="act", args={}, input=1, confidence=0.1, timeout=0, again=True)
    assert len(cases(desk)) == 2
    with pytest.raises(RequestError, match="again is true or false"):
        loop.propose(action="act", args={}, input=1, again="yes")


def test_what_timed_out_is_over_and_the_next_call_asks_anew(desk, clock) -> None:
    loop = desk.loop("pay", context="minimal", threshold=0.9, respond_within="1m", on_timeout="reject")
    gate = loop.gate(counted([]), **UNSURE)
    for _ in range(2):
        with desk.run("r"):
            with pytest.raises((dc.Pending, dc.TimedOut)):
                gate(1)
            clock.tick(61)
            with pytest.raises(dc.TimedOut) if _ == 0 else pytest.raises(dc.Pending):
                gate(1)
    assert len(cases(desk)) == 2


def test_a_failed_effect_is_not_run_again_by_a_retry(desk, loop) -> None:
    tries: list[int] = []

    @loop.gate(**SURE)
    def act(n: int) -> int:
        tries.append(n)
        if len(tries) == 1:
            raise ZeroDivisionError
        return n

    with desk.run("r"):
        with pytest.raises(ZeroDivisionError):
            act(1)
        with pytest.raises(EffectError, match="failed before"):
            act(1)
        with loop.context(again=True):
            assert act(1) == 1
    assert tries == [1, 1]


def test_an_unknown_effect_that_is_called_again_says_so(desk, loop, clock) -> None:
    ran: list[int] = []

    @loop.gate(**SURE)
    def act(n: int) -> int:
        ran.append(n)
        raise KeyboardInterrupt

    with desk.run("r"):
        with pytest.raises(KeyboardInterrupt):
            act(1)
        clock.tick(301)
        for _ in range(2):
            with pytest.raises(EffectUnknownError):
                act(1)
    assert ran == [1]
    assert len(cases(desk)) == 1


def test_numbers_do_not_depend_on_the_order_in_which_calls_end(desk, loop) -> None:
    async def program() -> list[int]:
        @loop.gate(**{**SURE, "timeout": 5})
        async def act(n: int, wait: float) -> int:
            await asyncio.sleep(0.01)
            return n

        with desk.run("r"):
            return list(await asyncio.gather(*[act(1, 0.0) for _ in range(5)]))

    assert asyncio.run(program()) == asyncio.run(program()) == [1] * 5
    assert len(cases(desk)) == 5


# 2.2 arguments without an order

HASHED = """
    import sys
    import dualcontrol as dc
    from dataclasses import dataclass
    from pydantic import BaseModel

    class Tags(BaseModel):
        tags: set[str]
        more: dict[str, frozenset[str]] = {{}}

    @dataclass
    class Held:
        names: frozenset[str]

    with dc.open({url!r}, durability="process") as desk:
        loop = desk.loop("pay", context="minimal", threshold=0.9)

        @loop.gate(confidence=0.99, context=lambda **k: {{"input": 1}})
        def act(plain: set[str], tags: Tags, held: Held, nested: list[set[str]], loose) -> str:
            print("ran", flush=True)
            return "done"

        with desk.run("r"):
            names = {{"a", "b", "c", "dd", "ee"}}
            assert act(names, Tags(tags=names, more={{"x": frozenset(names)}}), Held(frozenset(names)), [names],
                       {{"k": [frozenset(names)]}}) == "done"
"""


def test_sets_are_the_same_in_every_process(tmp_path) -> None:
    url = f"sqlite:///{tmp_path}/dc.db"
    program = textwrap.dedent(HASHED.format(url=url)).replace(
        "loose) -> str", "loose: dict[str, list[set[str]]]) -> str"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in range(3)
    ]
    assert outputs == ["ran\n", "", ""]


def test_keys_of_a_mapping_have_no_order_either(desk, loop) -> None:
    ran: list[int] = []

    @loop.gate(**SURE)
    def act(x: dict[str, int]) -> None:
        ran.append(1)

    for order in ({"a": 1, "b": 2}, {"b": 2, "a": 1}, Counter(b=2, a=1)):
        with desk.run("r"):
            act(order)
    assert ran == [1]


# 2.3 threads


def threads(call: Any, run: Any) -> dict[str, Any]:
    """Every way into another thread that a program has, each carrying the run."""

    def thread() -> None:
        worker = threading.Thread(target=run.bind(call))
        worker.start()
        worker.join()

    def pool() -> None:
        with concurrent.futures.ThreadPoolExecutor(1) as executor:
            run.executor(executor).submit(call).result()

    def bound_pool() -> None:
        with concurrent.futures.ThreadPoolExecutor(1) as executor:
            executor.submit(run.bind(call)).result()

    async def in_executor() -> None:
        await asyncio.get_running_loop().run_in_executor(None, run.bind(call))

    async def to_thread() -> None:
        await asyncio.to_thread(call)

    return {
        "thread": thread,
        "pool": pool,
        "bound": bound_pool,
        "run_in_executor": lambda: asyncio.run(in_executor()),
        "to_thread": lambda: asyncio.run(to_thread()),
    }


@pytest.mark.parametrize("way", ["thread", "pool", "bound", "run_in_executor", "to_thread"])
def test_a_run_is_carried_into_threads(desk, loop, way) -> None:
    ran: list[int] = []
    gate = loop.gate(counted(ran), run="required", **SURE)
    for _ in range(2):
        with desk.run("r") as run:
            threads(lambda: gate(1), run)[way]()
    assert ran == [1]
    assert [row.kind for row in cases(desk)] == ["live"]


def test_an_executor_carries_its_run_wherever_it_is_used(desk, loop) -> None:
    ran: list[int] = []
    gate = loop.gate(counted(ran), run="required", **SURE)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for _ in range(2):
            with desk.run("r") as run:
                carrying = run.executor(pool)
            assert carrying.submit(gate, 1).result() == 1
            assert list(carrying.map(gate, [2, 3])) == [2, 3]
    assert sorted(ran) == [1, 2, 3]


def test_a_bound_function_may_run_in_many_threads_at_once(desk, loop) -> None:
    gate = loop.gate(counted([]), run="required", **SURE)
    together = threading.Barrier(3)

    def work() -> int:
        together.wait(10)
        return gate(1)

    with desk.run("r") as run, concurrent.futures.ThreadPoolExecutor(3) as pool:
        bound = run.bind(work)
        assert [f.result() for f in [pool.submit(bound) for _ in range(3)]] == [1, 1, 1]


def test_a_gate_that_requires_a_run_refuses_outside_one(desk, loop) -> None:
    gate = loop.gate(counted([]), run="required", **SURE)
    with pytest.raises(RunRequiredError, match="MainThread"):
        gate(1)
    with desk.run("r"), concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="w") as pool:
        error = pool.submit(gate, 1).exception()
    assert isinstance(error, RunRequiredError)
    assert "'w_0'" in str(error)
    assert cases(desk) == []
    with pytest.raises(RequestError, match="required"):
        loop.gate(counted([]), run="always")


def test_a_thread_that_left_the_run_is_named_once_and_not_refused(desk, loop) -> None:
    gate = loop.gate(counted([]), **SURE)

    def work() -> None:
        gate(1)
        gate(1)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        gate(0)  # no run is open: nothing to say
        with desk.run("r"):
            worker = threading.Thread(target=work, name="stray")
            worker.start()
            worker.join()
    texts = [str(w.message) for w in caught if w.category is RuntimeWarning]
    assert len(texts) == 1
    assert "'stray'" in texts[0]
    assert "run.bind" in texts[0]
    assert len(cases(desk)) == 3


# 2.5 another version of the program


def version(loop: Any, source: str, ran: list[Any]) -> Any:
    """A gate on a function written as its program has it at one time."""
    names: dict[str, Any] = {"ran": ran}
    exec(textwrap.dedent(source), names)
    function = next(v for k, v in names.items() if callable(v) and k != "__builtins__")
    return function


OLD = """
    def refund(order: str, amount: float = 1000.0) -> str:
        ran.append((order, amount))
        return "old"
"""
ADDED = """
    def refund(order: str, amount: float = 1000.0, currency: str = "EUR") -> str:
        ran.append((order, amount, currency))
        return "new"
"""
REMOVED = """
    def refund(order: str) -> str:
        ran.append(order)
        return "new"
"""
RENAMED = """
    def pay_back(order: str, amount: float = 1000.0) -> str:
        ran.append((order, amount))
        return "new"
"""


@pytest.mark.parametrize("approved", [False, True], ids=["open", "approved"])
@pytest.mark.parametrize(
    ("newer", "how"), [(ADDED, "with currency='EUR'"), (REMOVED, "without amount")], ids=["added", "removed"]
)
def test_an_approval_of_an_older_signature_is_named_not_lost(desk, loop, approved, newer, how) -> None:
    ran: list[Any] = []
    old = loop.gate(version(loop, OLD, ran), **UNSURE)
    with desk.run("r"), pytest.raises(dc.Pending) as waiting:
        old("B")
    case_id = waiting.value.case_id
    if approved:
        desk.claim("ana", case=case_id).approve()
    new = loop.gate(version(loop, newer, ran), **UNSURE)
    for _ in range(2):
        with desk.run("r"), pytest.raises(RunChangedError, match=how) as changed:
            new("B")
    assert case_id in str(changed.value)
    assert (len(cases(desk)), ran) == (1, [])
    with desk.run("r"):  # the program of before still finds it
        if approved:
            assert old("B") == "old"
        else:
            with pytest.raises(dc.Pending):
                old("B")


def test_once_it_is_taken_back_the_new_call_is_asked_anew(desk, loop) -> None:
    ran: list[Any] = []
    old, new = loop.gate(version(loop, OLD, ran), **UNSURE), loop.gate(version(loop, ADDED, ran), **UNSURE)
    with desk.run("r"), pytest.raises(dc.Pending) as waiting:
        old("B")
    desk.withdraw(waiting.value.case_id)
    with desk.run("r"), pytest.raises(dc.Pending) as asked:
        new("B")
    desk.claim("ana", case=asked.value.case_id).approve()
    with desk.run("r"):
        assert new("B") == "new"
    assert ran == [("B", 1000.0, "EUR")]


def test_what_an_older_signature_has_run_is_not_run_again(desk, loop) -> None:
    ran: list[Any] = []
    old, new = loop.gate(version(loop, OLD, ran), **SURE), loop.gate(version(loop, ADDED, ran), **SURE)
    with desk.run("r"):
        assert old("B") == "old"
    with desk.run("r"):
        assert new("B") == "old"
    assert ran == [("B", 1000.0)]


def test_other_arguments_are_another_call(desk, loop) -> None:
    ran: list[Any] = []
    old, new = loop.gate(version(loop, OLD, ran), **SURE), loop.gate(version(loop, ADDED, ran), **SURE)
    with desk.run("r"):
        old("B", 1.0)
        old("C", 2.0)
    with desk.run("r"):
        assert new("B", 3.0) == "new"
        assert new("D", 1.0) == "new"
        assert new("B", 1.0, "USD") == "new"
    assert len(ran) == 5


def test_a_function_that_says_its_former_name_finds_its_cases(desk, loop) -> None:
    ran: list[Any] = []
    old = loop.gate(version(loop, OLD, ran), **UNSURE)
    with desk.run("r"), pytest.raises(dc.Pending) as waiting:
        old("B")
    case_id = waiting.value.case_id
    function = version(loop, RENAMED, ran)
    new = loop.gate(function, formerly="refund", **UNSURE)
    with desk.run("r"), pytest.raises(dc.Pending) as again:
        new("B")
    assert again.value.case_id == case_id
    desk.claim("ana", case=case_id).edit({"order": "B", "amount": 5.0})
    with desk.run("r"):
        assert new("B") == "new"
    assert ran == [("B", 5.0)]
    assert len(cases(desk)) == 1


def test_a_function_that_does_not_is_told_of_the_case_that_waits(desk, loop) -> None:
    ran: list[Any] = []
    old = loop.gate(version(loop, OLD, ran), **UNSURE)
    with desk.run("r"), pytest.raises(dc.Pending) as waiting:
        old("B")
    desk.claim("ana", case=waiting.value.case_id).approve()
    new = loop.gate(version(loop, RENAMED, ran), **UNSURE)
    with desk.run("r"), pytest.raises(dc.Pending, match="say formerly='refund'") as told:
        new("B")
    assert waiting.value.case_id in str(told.value)
    with pytest.raises(dc.Rejected, match="another action") as refused:
        new.resume(waiting.value.case_id)
    assert "formerly" in refused.value.hint
    assert ran == []


def test_resumed_by_its_id_an_older_signature_is_refused_with_what_differs(desk, loop) -> None:
    ran: list[Any] = []
    old, new = loop.gate(version(loop, OLD, ran), **UNSURE), loop.gate(version(loop, ADDED, ran), **UNSURE)
    with desk.run("r"), pytest.raises(dc.Pending) as waiting:
        old("B")
    case_id = waiting.value.case_id
    desk.claim("ana", case=case_id).approve()
    with pytest.raises(EffectDiffersError, match="currency"):
        new.resume(case_id)
    assert desk.case(case_id).effect.state == "ready"  # the approval is not spent
    assert old.resume(case_id) == "old"
    assert ran == [("B", 1000.0)]


# 2.6 the edges


@pytest.mark.parametrize("name", ["", " ", "\t", None, 5, "x" * 300])
def test_a_run_has_a_name(desk, name) -> None:
    with pytest.raises(RequestError):
        desk.run(name).__enter__()


def test_a_run_and_a_context_belong_to_their_desk(desk, loop) -> None:
    with dc.open("sqlite:///:memory:", durability="process") as other:
        there = other.loop("pay", context="minimal", threshold=0.9)
        with desk.run("r"), loop.context(input="mine"):
            case = there.propose(action="act", args={}, input=1)
            same = there.propose(action="act", args={}, input=1)
            mine = loop.propose(action="act", args={})
            with other.run("q"):
                theirs = there.propose(action="act", args={}, input=1)
                still = loop.propose(action="act", args={})
        assert (case.run, case.id != same.id, theirs.run) == (None, True, "q")
        assert (mine.run, mine.input, still.run) == ("r", "mine", "r")
        assert there.propose(action="act", args={}, input=1).run is None


def test_a_run_ends_with_its_block_also_when_that_raises(desk, loop) -> None:
    with pytest.raises(ZeroDivisionError), desk.run("r"):
        raise ZeroDivisionError
    assert loop.propose(action="act", args={}, input=1).run is None
    context = contextvars.copy_context()
    with desk.run("s"):
        assert context.run(lambda: loop.propose(action="act", args={}, input=1)).run is None


POOL = """
    import concurrent.futures, multiprocessing, multiprocessing.pool, sys
    import dualcontrol as dc

    def work(url):
        with dc.open(url, durability="process") as desk:
            loop = desk.loop("pay", context="minimal", threshold=0.9)
            return loop.gate(act, timeout=0, confidence=0.1, context=lambda n: {"input": 1})(1)

    def act(n: int) -> int:
        return n

    if __name__ == "__main__":
        kind, url = sys.argv[1:]
        try:
            if kind == "futures":
                with concurrent.futures.ProcessPoolExecutor(1) as pool:
                    pool.submit(work, url).result(timeout=40)
            elif kind == "threads":
                with multiprocessing.pool.ThreadPool(1) as pool:
                    pool.apply_async(work, (url,)).get(timeout=40)
            else:
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    pool.apply_async(work, (url,)).get(timeout=40)
        except dc.Pending as pause:
            print(pause.case_id)
"""


@pytest.mark.parametrize("kind", ["threads", "processes", "futures"])
def test_a_pause_in_a_pool_reaches_who_waits_for_it(tmp_path, kind) -> None:
    url, program = f"sqlite:///{tmp_path}/dc.db", tmp_path / "pooled.py"
    program.write_text(textwrap.dedent(POOL), encoding="utf-8")
    done = subprocess.run([sys.executable, str(program), kind, url], capture_output=True, text=True, timeout=55)
    with dc.open(url, durability="process") as desk:
        assert desk.case(done.stdout.strip()).state == "open"


def test_a_pause_survives_being_pickled() -> None:
    pause = pickle.loads(pickle.dumps(dc.Pending("c1", note="more")))
    assert (type(pause), pause.case_id, "more" in str(pause)) == (dc.Pending, "c1", True)
    assert not isinstance(pause, Exception)


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize("door", ["gate", "effect"])
def test_an_error_that_cannot_be_read_is_recorded_as_failed(desk, loop, door) -> None:
    def act(n: int) -> None:
        raise Mute

    gate = loop.gate(act, **SURE)
    case = loop.propose(action="own", args={}, input=1, confidence=0.99)
    if door == "gate":
        with desk.run("r"), pytest.raises(Mute):
            gate(1)
    else:
        with pytest.raises(Mute), loop.effect(case):
            raise Mute
    row = desk.case(cases(desk)[0].id if door == "gate" else case.id)
    assert row.effect.state == "failed"
    assert row.content.get("error") == "Mute: (its text cannot be read: RuntimeError)"


# 2.7 results


class Colour(Enum):
    RED = "red"


class Order(BaseModel):
    id: int
    at: datetime
    tags: set[str]


@dataclass
class Line:
    n: int
    price: Decimal


MOMENT = datetime(2024, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
RESULTS: list[tuple[Any, Any]] = [
    (Order, Order(id=2**60, at=MOMENT, tags={"b", "a"})),
    (Line, Line(1, Decimal("1.50"))),
    (Colour, Colour.RED),
    (Decimal, Decimal("1.50")),
    (datetime, MOMENT),
    (date, date(2024, 1, 2)),
    (list[Line], [Line(1, Decimal(2))]),
    (tuple[int, str], (1, "a")),
    (set[int], {3, 1}),
    (frozenset[str], frozenset({"x"})),
    (dict[int, Colour], {1: Colour.RED}),
    (Order | None, None),
    (dict[str, Any], {"a": [1, None]}),
    (float, 3.0),
    (int, 3),
    (str, "x"),
    (None, None),
    (bytes, b"abc"),
    (list[Any], [1, "a"]),
]


@pytest.mark.parametrize(("annotation", "result"), RESULTS, ids=named)
def test_a_result_keeps_its_annotated_type(database_url, annotation, result) -> None:
    if database_url == "sqlite:///:memory:":
        pytest.skip("a restart needs a database that stays")

    def act(n: int) -> Any:
        return result

    act.__annotations__["return"] = annotation
    results = []
    for _ in range(2):  # a restart
        with dc.open(database_url, durability="process") as desk:
            gate = desk.loop("pay", context="minimal", threshold=0.9).gate(act, **SURE)
            for _ in range(2):
                with desk.run("r"):
                    results.append(gate(1))
    assert results == [result] * 4
    assert {type(r) for r in results} == {type(result)}


@pytest.mark.parametrize(
    ("annotation", "result"),
    [(SecretStr, SecretStr("x")), (dict, {1: 2}), (Order, Line(1, Decimal(1)))],
    ids=["secret", "integer keys", "another type"],
)
def test_a_result_that_would_come_back_as_something_else_is_not_kept(desk, loop, annotation, result) -> None:
    ran: list[int] = []

    def act(n: int) -> Any:
        ran.append(n)
        return result

    act.__annotations__["return"] = annotation
    gate = loop.gate(act, **SURE)
    with desk.run("r"):
        assert gate(1) is result
    with desk.run("r"), pytest.raises(ResultError):
        gate(1)
    assert ran == [1]
