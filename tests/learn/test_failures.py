"""Trainings that fail: recorded without content, tried again in good time, and no other loop waits for them."""

from __future__ import annotations

import sys
import time
from asyncio import CancelledError
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

import dualcontrol as dc
from dualcontrol import compose
from dualcontrol.doctor import examine
from dualcontrol.errors import LedgerError, ModelError, Pending, StoreFullError, StoreUnavailableError
from dualcontrol.events import TrainingFailed
from dualcontrol.learn import serving, trusted
from dualcontrol.learn.sklearn_trainer import SklearnTrainer
from dualcontrol.learn.training import should_train, train, train_all_due
from dualcontrol.web import server
from dualcontrol.web.app import create_app

SECRET_WORDS = "what ana wrote"
MINUTE = 60


def raising(error: BaseException | type[BaseException]) -> type:
    """A trainer that raises this whenever it is to train."""

    class Raising(SklearnTrainer):
        def fit(self, *given: Any, seed: int) -> Any:
            raise error

    return Raising


class Endless(SklearnTrainer):
    """A trainer that goes round in circles."""

    def fit(self, *given: Any, seed: int) -> Any:
        return self.fit(*given, seed=seed)


class Unwritable(SklearnTrainer):
    """A trainer whose models cannot be kept."""

    def dump(self, model: Any) -> bytes:
        raise TypeError(f"cannot pickle {SECRET_WORDS}")


class Odd:
    """A model that says something else than probabilities."""

    classes = ("a", "b")

    def __init__(self, said: Callable[[int], Any]) -> None:
        self.said = said

    def predict_proba(self, inputs: Any) -> Any:
        return self.said(len(inputs))


def odd(said: Callable[[int], Any]) -> type:
    """A trainer of such models."""

    class Oddly(SklearnTrainer):
        def fit(self, *given: Any, seed: int) -> Any:
            return Odd(said)

    return Oddly


BAD: dict[str, Any] = {
    "value": raising(ValueError(SECRET_WORDS)),
    "memory": raising(MemoryError),
    "exit": raising(SystemExit(SECRET_WORDS)),
    "pause": raising(Pending("a case")),
    "cancelled": raising(CancelledError(SECRET_WORDS)),
    "ledger": raising(LedgerError(SECRET_WORDS)),
    "key": raising(KeyError(SECRET_WORDS)),
    "ours": raising(ModelError(SECRET_WORDS)),
    "endless": Endless,
    "dump": Unwritable,
    "nan": odd(lambda n: np.full((n, 2), np.nan)),
    "narrow": odd(lambda n: np.ones((n, 1))),
    "words": odd(lambda n: [[SECRET_WORDS] * 2] * n),
    "none": odd(lambda n: None),
    "uncallable": 5,
}
GOOD = {"good": SklearnTrainer}


@pytest.fixture
def bad(monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of trainers that fail, one for each way."""
    module = ModuleType("bad_trainers")
    for name, trainer in (BAD | GOOD).items():
        setattr(module, name, trainer)
    monkeypatch.setitem(sys.modules, "bad_trainers", module)
    return "bad_trainers"


def answered(desk: dc.Desk, name: str, trainer: str, inputs: Any, count: int = 30) -> dc.Loop:
    """A loop whose answers alternate, with an input for each."""
    feedback = {"trainer": trainer, "retrain_every": 20, "holdout": 0.01}
    loop = desk.loop(name, mode="labels", labels=["a", "b"], context="minimal", threshold=0.9, feedback=feedback)
    for step in range(count):
        loop.propose(proposal="a", confidence=0.1, input=inputs(step))
        claim = desk.claim("ana", loop)
        assert claim is not None
        claim.label("ab"[step % 2])
    return loop


def plainly(step: int) -> Any:
    """An input that tells which label it is."""
    return {"x": step % 2 + step / 1_000}


def failures(loop: dc.Loop) -> list[TrainingFailed]:
    entries = loop.desk.store.queries.entries(loop.stream)
    return [e for entry in entries for e in entry.events if isinstance(e, TrainingFailed)]


def warnings(desk: dc.Desk) -> list[str]:
    return [found.what for found in examine(desk.store) if found.check == "training"]


@pytest.mark.parametrize("way", BAD)
def test_whatever_a_trainer_does_is_recorded_without_content_and_ends_no_other_training(desk, bad, way):
    """A loop behind it in the order of names is trained."""
    answered(desk, "later", "sklearn", lambda step: f"{'good' if step % 2 else 'poor'} thing {step}", 20)
    loop = answered(desk, "failing", f"{bad}:{way}", plainly, 20)
    assert [report.loop for report in train_all_due(desk)] == ["later"]
    (failed,) = failures(loop)
    assert (failed.what, failed.trainer, failed.attempt, failed.waiting) == ("model", f"{bad}:{way}", 1, 20)
    assert SECRET_WORDS not in str(desk.store.queries.entries(loop.stream)[-1].body)
    assert failed.code.startswith("DC-")
    assert failed.reason
    assert warnings(desk) == [f"loop failing: training of its model failed: {failed.reason}"]
    found = examine(desk.store, models=trusted.model_folder(desk))
    assert [finding.what for finding in found if finding.level == "problem"] == []


@pytest.mark.parametrize(
    "error", [StoreUnavailableError("it is gone"), KeyboardInterrupt()], ids=lambda e: type(e).__name__
)
def test_a_database_that_is_gone_and_whoever_interrupts_end_the_round(desk, bad, monkeypatch, error):
    """Neither is the fault of a loop, so that nothing is recorded of it."""
    monkeypatch.setattr(sys.modules[bad], "ended", raising(error), raising=False)
    loop = answered(desk, "failing", f"{bad}:ended", plainly, 20)
    with pytest.raises(type(error)):
        train_all_due(desk)
    assert failures(loop) == []


def test_a_trainer_that_other_programs_name_is_theirs_to_try(desk, tmp_path, settings, clock, bad):
    """This program does not load it, and writes nothing that would keep them from trying."""
    loop = answered(desk, "theirs", f"{bad}:good", plainly, 20)
    with compose.open(settings=settings, clock=clock) as other:
        answered(other, "ours", "sklearn", plainly, 20)
        assert [report.loop for report in train_all_due(other)] == ["ours"]
        assert failures(loop) == []
        assert should_train(other, "theirs")
    assert [report.loop for report in train_all_due(desk)] == ["theirs"]


def test_a_failure_that_cannot_be_written_is_logged_and_ends_no_other_training(desk, bad, monkeypatch, caplog):
    answered(desk, "later", "sklearn", plainly, 20)
    answered(desk, "failing", f"{bad}:value", plainly, 20)
    move = desk.steps.move

    def full(loop: str, *given: Any, **more: Any) -> Any:
        if loop == "failing":
            raise StoreFullError("the database is full")
        return move(loop, *given, **more)

    monkeypatch.setattr(desk.steps, "move", full)
    assert [report.loop for report in train_all_due(desk)] == ["later"]
    assert "that the model of loop failing was not trained is not recorded: the database is full" in caplog.text
    assert SECRET_WORDS not in caplog.text


def test_what_we_say_ourselves_is_said_in_full(desk):
    """With what to do, so that who reads it on the front page need not look further."""
    loop = answered(desk, "one", "sklearn", plainly, 0)
    for step in range(20):
        loop.propose(proposal="a", confidence=0.1, input=plainly(step))
        desk.claim("ana", loop).label("a")
    assert train_all_due(desk) == []
    (failed,) = failures(loop)
    assert failed.reason == "1 class among 19 labels: nothing to tell apart. Collect answers of at least two classes."


def test_it_is_tried_again_ever_more_rarely_or_when_more_has_been_answered(desk, clock, bad):
    loop = answered(desk, "failing", f"{bad}:value", plainly, 20)
    tried = []
    for _ in range(9):
        assert train_all_due(desk) == []
        assert not should_train(desk, "failing")
        last = failures(loop)[-1]
        tried.append((last.retry_at - last.at) // 60_000_000)
        clock.tick(tried[-1] * MINUTE - 1)
        assert not should_train(desk, "failing")
        clock.tick(1)
        assert should_train(desk, "failing")
    assert tried == [10, 20, 40, 80, 160, 320, 640, 1280, 1440]
    train_all_due(desk)
    answered(desk, "failing", f"{bad}:value", plainly, 19)
    assert not should_train(desk, "failing")
    answered(desk, "failing", f"{bad}:value", plainly, 1)
    assert should_train(desk, "failing")


def test_other_settings_are_tried_at_once_and_a_training_that_goes_well_is_the_end_of_it(desk, bad):
    loop = answered(desk, "failing", f"{bad}:value", plainly)
    train_all_due(desk)
    version, failed = loop.control.version, loop.control.untrained["model"]
    assert "ValueError in" in failed.reason
    loop = answered(desk, "failing", "sklearn", plainly, 0)
    assert (loop.control.version, loop.control.untrained) == (version + 1, {})
    assert [report.promoted for report in train_all_due(desk)] == [True]
    loop = answered(desk, "failing", f"{bad}:value", plainly, 20)
    train_all_due(desk)
    assert loop.control.untrained["model"].attempt == 1
    loop = answered(desk, "failing", "sklearn", plainly, 0)
    assert loop.control.untrained == {}


def test_a_failure_changes_nothing_that_governs(desk, bad):
    loop = answered(desk, "failing", f"{bad}:value", plainly)
    before = loop.control
    train_all_due(desk)
    after = loop.control
    assert after.version == before.version
    assert {**after.to_dict(), "seq": 0, "untrained": 0} == {**before.to_dict(), "seq": 0, "untrained": 0}
    case = loop.propose(proposal="a", confidence=0.95, input=plainly(0))
    assert (case.route.to, case.route.control) == ("autopilot", before.version)


ODD_INPUTS: dict[str, Callable[[int], Any]] = {
    "no word": lambda step: "!!! ..." if step % 2 else "? - ?",
    "one sign": lambda step: "+" if step % 2 else "-",
    "nothing but space in some": lambda step: {"said": ["", " \n ", "yes", "no"][step % 4], "more": " "},
    "beyond 32 bits": lambda step: {"x": 1e300 if step % 2 else -1e39, "y": step},
    "beyond 64 bits": lambda step: {"x": 10**400 if step % 2 else 1, "y": step},
    "a vector beyond": lambda step: [10**400 if step % 2 else -(10**400), 1e39, step],
    "numbers beyond beside text": lambda step: {"x": 10**400 if step % 2 else 1, "text": f"it is {step}"},
    "other lengths": lambda step: [step % 2, step] if step < 25 else [step % 2, step, 1],
    "other kinds": lambda step: [{"x": step % 2}, "a text", [step % 2], step % 2, None][step % 5] or {"x": 1},
    "pictures only in some": lambda step: {"scan": {"$image": "x"}} if step % 3 else {"x": step % 2},
    "mixed types in a field": lambda step: {"x": [1, "one", True, None, 2.5][step % 5], "y": step % 2},
    "very long": lambda step: ("good " if step % 2 else "poor ") * 30_000,
}


@pytest.mark.parametrize("kind", ODD_INPUTS)
def test_inputs_of_any_kind_are_learned_from_as_far_as_they_hold_anything(desk, kind):
    """None of them fails, and the model can be asked about each."""
    loop = answered(desk, "odd", "sklearn", ODD_INPUTS[kind], 40)
    assert len(train_all_due(desk)) == 1
    assert failures(loop) == []
    teacher = SklearnTrainer()
    row = desk.store.queries.models(loop.control.loop_id)[0]
    model = teacher.load((trusted.model_folder(desk) / row.path).read_bytes())
    asked = [ODD_INPUTS[kind](step) for step in range(6)]
    assert np.isfinite(model.predict_proba(asked)).all()


def test_a_model_before_that_cannot_take_what_comes_in_now_stands_in_nobodys_way(desk):
    """Lists of two numbers have become lists of three: the one in force knows nothing of those, and is replaced."""
    feedback = {"trainer": "sklearn", "retrain_every": 20, "holdout": 0.3}
    answered(desk, "wider", "sklearn", lambda step: [step % 2, step % 5])
    assert train(desk, "wider").promoted
    desk.loop("wider", mode="labels", labels=["a", "b"], context="minimal", feedback=feedback)
    loop = desk.loop("wider")
    for step in range(80):
        loop.propose(proposal="a", confidence=0.1, input=[step % 2, step % 5, step % 3])
        desk.claim("ana", loop).label("ab"[step % 2])
    report = train(desk, "wider")
    assert (report.promoted, report.gain > 0) == (True, True)


class Unreadable(SklearnTrainer):
    """A trainer whose files only other programs can read."""

    def load(self, data: bytes) -> Any:
        raise AttributeError("Can't get attribute 'Tree' on <module 'sklearn.tree'>")


def test_a_file_that_this_program_cannot_read_closes_nothing_and_gives_way(desk, bad, monkeypatch):
    monkeypatch.setattr(sys.modules[bad], "unreadable", Unreadable, raising=False)
    loop = answered(desk, "elsewhere", f"{bad}:unreadable", plainly)
    first = train(desk, "elsewhere")
    assert first.promoted
    assert serving.current_model(desk, "elsewhere") is None
    assert loop.control.closed == {}
    answered(desk, "elsewhere", f"{bad}:unreadable", plainly, 20)
    second = train(desk, "elsewhere")
    assert (second.promoted, second.reason) == (True, "the file of the one before cannot be used")


def until(true: Callable[[], Any], seconds: float = 90) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert true()


@pytest.mark.timeout(240)
def test_the_server_trains_on_whatever_one_loop_does(tmp_path, monkeypatch, bad):
    """The trainer's thread outlives all of it; the front page, its twin and the doctor name the loop and the reason."""
    monkeypatch.setattr(server, "TRAIN_EVERY", 0.1)
    text = lambda step: f"{'good' if step % 2 else 'poor'} thing {step}"  # noqa: E731
    with dc.open(f"sqlite:///{tmp_path}/dc.db", durability="process") as desk:
        for way in ("exit", "value", "nan"):
            answered(desk, f"a {way}", f"{bad}:{way}", plainly)
        answered(desk, "gone", "no_such_module:Trainer", plainly)
        good = answered(desk, "good", "sklearn", text)
        with server.background(desk, port=0):
            until(lambda: good.control.model is not None)
            first = good.control.model
            answered(desk, "good", "sklearn", text, 20)
            until(lambda: len(desk.store.queries.models(good.control.loop_id)) == 2)
        assert first is not None
        app = create_app(desk, token="a token for tests", people=("ana",))
        with TestClient(app, base_url="http://127.0.0.1:8765") as web:
            web.get("/", params={"token": app.state.access.entry})
            page = web.get("/", headers={"Accept": "text/html"}).text
            told = web.get("/api/v1/loops", headers={"Authorization": "Bearer a token for tests"}).json()
        for name in ("a exit", "a value", "a nan", "gone"):
            (failed,) = failures(desk.loop(name))
            assert failed.reason in page.replace("&#39;", "'")
            control = next(loop["control"] for loop in told["loops"] if loop["loop"] == name)
            assert control["untrained"]["model"]["reason"] == failed.reason
        assert page.count("Training of the model failed") == 4
        assert SECRET_WORDS not in page
        assert len(warnings(desk)) == 4


def test_the_trainers_thread_outlives_what_nobody_foresaw(tmp_path, monkeypatch, caplog):
    """And does not say what it was in its words, which may hold what people wrote."""
    rounds: list[int] = []

    def unforeseen(desk: dc.Desk) -> list[Any]:
        rounds.append(1)
        raise (ValueError, StoreUnavailableError)[len(rounds) % 2](SECRET_WORDS if len(rounds) % 2 == 0 else "gone")

    monkeypatch.setattr(server, "TRAIN_EVERY", 0.02)
    monkeypatch.setattr(server, "train_all_due", unforeseen)
    with dc.open(f"sqlite:///{tmp_path}/dc.db", durability="process") as desk, server.background(desk, port=0):
        until(lambda: len(rounds) >= 4)
    assert "nothing trained this time: ValueError" in caplog.text
    assert SECRET_WORDS not in caplog.text
