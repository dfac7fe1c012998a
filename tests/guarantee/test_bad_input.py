"""Bad input of the guarantee, item by item as promised: clear words, autopilot closed, nothing lost.

Each group of tests is named by its item; `-k` with the name in the heading runs one of them.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from certify_cases import EASY, Stream, problems
from sklearn.base import BaseEstimator, ClassifierMixin
from starlette.testclient import TestClient
from trained_cases import Trained

import dualcontrol as dc
from dualcontrol import errors as e
from dualcontrol.cli import main
from dualcontrol.events import AlarmRaised, AutopilotClosed, AutopilotOpened, EpochBegan, EvidenceCounted
from dualcontrol.guarantee.bound import RunningBound
from dualcontrol.guarantee.certificate import Certificate
from dualcontrol.guarantee.monitor import Monitor
from dualcontrol.guarantee.standing import words
from dualcontrol.learn import training
from dualcontrol.sklearn import SelectiveClassifier
from dualcontrol.testing import FakeClock
from dualcontrol.web.app import create_app

PAGES = Path(__file__).parents[2] / "docs" / "errors"
NAN, DAY = float("nan"), 86_400.0
EDGES = [0.2, 0.5, 0.8]
API = "/api/v1/loops/mail/guarantee"


class Told(NamedTuple):
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Told]:
    """The command line in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("dualcontrol.cli.screen.PIPED", 1_000)

    def call(*given: str) -> Told:
        capsys.readouterr()
        code = main(list(given))
        return Told(code, *capsys.readouterr())

    return call


@pytest.fixture(scope="module")
def opened() -> Iterator[Stream]:
    """A stream on autopilot, which everything here is to leave as it is."""
    stream = Stream("sqlite:///:memory:").opened()
    yield stream
    stream.desk.close()


def here(folder: Path, **settings: Any) -> Stream:
    """A stream that the command line looks at, which goes by the true time."""
    now = FakeClock(time.time_ns() // 1_000 - 3_600_000_000)
    return Stream(f"sqlite:///{folder}/dualcontrol.db", clock=now, **settings)


def state(stream: Stream) -> list[Any]:
    """All that may not be lost: evidence, certificates, what governs, the queue and the ledger."""
    store, control = stream.desk.store.queries, stream.loop.control
    found = [stream.loop.evidence(name) for name in (*control.epochs, "")]
    segments = stream.desk.certifier.segments(control)
    sizes = {name: len(store.entries(name, values=False)) for name in store.streams()}
    certificates = {name: one.certificate.to_dict() for name, one in segments.items()}
    return [found, certificates, control, store.counts(control.loop_id), sizes, problems(stream.desk)]


def refused(stream: Stream, act: Callable[[], object], kind: type[e.DualcontrolError], *says: str) -> None:
    """The error of a bad input is whole, and nothing was written."""
    before = state(stream)
    with pytest.raises(kind) as caught:
        act()
    whole(caught.value, *says)
    assert state(stream) == before
    assert before[-1] == []


def whole(error: e.DualcontrolError, *says: str) -> None:
    """An error has a code with a page, a sentence and something to do."""
    assert (PAGES / f"{error.code}.md").exists()
    assert error.hint
    for part in says:
        assert part in str(error), str(error)


def surest(stream: Stream, **given: Any) -> Any:
    """The route of a case that is as sure as can be."""
    return stream.propose(0.999, **given).route


def pure(**given: Any) -> Certificate:
    return Certificate(**{"max_error": 0.2, "edges": EDGES} | given)


def observed(certificate: Certificate, **change: Any) -> None:
    certificate.observe(**{"score": 0.9, "wrong": 0, "inclusion": 1.0, "seq": 500} | change)


def unmoved(certificate: Certificate, act: Callable[[], object], *says: str) -> None:
    """A certificate refuses something with words, and stands as it stood."""
    before = certificate.to_dict()
    with pytest.raises(e.GuaranteeError) as caught:
        act()
    whole(caught.value, *says)
    assert certificate.to_dict() == before


# NaN scores: -k nan_score


@pytest.mark.parametrize("score", [NAN, math.inf, -math.inf])
def test_nan_score_of_a_label_is_refused(score: float):
    made = pure()
    unmoved(made, lambda: observed(made, score=score), "the score of decision 500", "not a finite number")


@pytest.mark.parametrize("confidence", [math.inf, -0.1, 1.1, "0.9", "nan", True])
def test_nan_score_of_a_proposal_is_refused(opened: Stream, confidence: Any):
    says = "confidence must be a number from 0 to 1"
    refused(opened, lambda: opened.propose(confidence=confidence), e.SignalError, says)


@pytest.mark.parametrize(
    "column", [[0.9, "nan", 0.9], np.array([0.9, -0.1, 0.9]), [0.9, "x", 0.9], [0.9, math.inf, NAN]]
)
def test_nan_score_in_a_batch_is_refused_by_row(opened: Stream, column: Any):
    table = {"proposal": ["a"] * 3, "input": [1, 2, 3], "confidence": column}
    says = "row 1: confidence is not a number from 0 to 1"
    refused(opened, lambda: opened.loop.propose_batch(table), e.SignalError, says)


@pytest.mark.parametrize("missing", [None, NAN, np.float32(NAN)])
def test_nan_score_that_is_missing_sends_the_case_to_a_human(make, missing: Any):
    s = make().opened()
    route = s.propose(confidence=missing).route
    assert (route.to, route.by, route.score) == ("human", "no_signal", None)
    assert route.reason == "no confidence was given, and autopilot needs a positive reason"
    made = s.loop.propose_batch({"proposal": ["a"] * 2, "input": [1, 2], "confidence": [missing, 0.999]})
    assert made.counts["human"] == 1
    assert s.propose(0.999).route.to == "autopilot"


def test_nan_score_over_http_is_refused(opened: Stream):
    body = '{"proposal": "a", "input": 1, "confidence": NaN}'
    with client(opened) as http:
        before = state(opened)
        told = http.post("/api/v1/loops/mail/cases", content=body, headers={"Content-Type": "application/json"})
        assert 400 <= told.status_code < 500
        assert told.json()["hint"]
        assert state(opened) == before


def client(stream: Stream) -> TestClient:
    """A program that asks over HTTP."""
    app = create_app(stream.desk, token="a-token-of-the-tests")
    return TestClient(app, base_url="http://127.0.0.1:8765", headers={"Authorization": "Bearer a-token-of-the-tests"})


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("x.csv", "score,truth\n0.9,1\nnan,1\n", "x.csv:3: score is 'nan', not a number from 0 to 1"),
        ("x.csv", "score,truth\n0.9,1\n,1\n", "1 row of 2 without 'score'"),
        ("x.jsonl", '{"score": NaN, "truth": 1}\n', "1 row of 1 without 'score': empty, null or NaN in line 1"),
        ("x.jsonl", '{"score": true, "truth": 1}\n', "x.jsonl:1: score is True, not a number from 0 to 1"),
    ],
)
def test_nan_score_in_a_file_is_refused_by_line(run, tmp_path: Path, name: str, text: str, says: str):
    (tmp_path / name).write_text(text)
    told = run("replay", name, "--max-error", "0.05")
    assert told.code == 2
    assert says in told.err
    assert "hint: " in told.err


class Unsure(ClassifierMixin, BaseEstimator):
    """A fitted classifier whose probabilities are NaN in every second row."""

    classes_ = np.array([0, 1])

    def fit(self, X: Any, y: Any) -> Unsure:
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def predict(self, X: Any) -> Any:
        return np.zeros(len(X), int)

    def predict_proba(self, X: Any) -> Any:
        return np.array([[0.9, 0.1] if row % 2 else [NAN, NAN] for row in range(len(X))])


def selective(**promise: Any) -> SelectiveClassifier:
    return SelectiveClassifier(Unsure(), **promise)


def test_nan_score_of_a_classifier_is_refused_by_row_and_asked_of_a_human():
    chosen, rows = selective(max_error=0.2), np.zeros((6, 2))
    with pytest.raises(e.CalibrationError) as caught:
        chosen.calibrate(rows, np.zeros(6, int))
    whole(caught.value, "row 0: the score is nan, which means nothing (3 rows in all)")
    assert not chosen.accepts(rows).any()
    with dc.open("sqlite:///:memory:", durability="process") as desk:
        loop = desk.loop("kinds", mode="labels", labels=[0, 1], context="minimal")
        asked = chosen.predict_or_ask(rows, loop)
        case = desk.case(asked.cases[0])
    assert sorted(asked.cases) == list(range(6))
    assert (case.confidence, case.route.to) == (None, "human")
    assert "the classifier gives no score" in case.rationale


# constant or tied scores: -k constant


def test_constant_scores_are_all_cases_or_none(make):
    good, bad = make(), make()
    for _ in range(60):
        good.answer(case=good.propose(0.5, wrong=False))
        bad.answer(case=bad.propose(0.5, wrong=bad.noise.random() < 0.5))
        if good.loop.control.thresholds:
            break
    good.desk.sweep()
    bad.desk.sweep()
    assert good.check().edges == bad.check().edges == []
    assert (good.loop.control.thresholds, bad.loop.control.thresholds) == ({"": 0.0}, {})
    assert bad.propose(0.5).route.to == "human"
    assert "Every score was the same so far, so it is all cases or none" in bad.standing().reason
    assert problems(bad.desk) == []


@pytest.mark.parametrize(("truths", "threshold", "code"), [("1", 0.8, 0), ("10", None, 1)])
def test_constant_scores_in_a_file(run, tmp_path: Path, truths: str, threshold: float | None, code: int):
    lines = [f"0.8,{truths[i % len(truths)]}" for i in range(200)]
    (tmp_path / "x.csv").write_text("\n".join(["score,truth", *lines]))
    told = run("replay", "x.csv", "--max-error", "0.05", "--json")
    assert (told.code, told.json["threshold"]) == (code, threshold)
    assert threshold or "every score is 0.8, so it is all rows or none" in told.json["reason"]


def test_constant_scores_tied_at_two_values_stay_together(make):
    s = make()
    for i in range(160):
        case = s.propose((0.2, 0.9)[i % 2], wrong=i % 4 == 0)
        if case.route.to == "human" or case.route.audited:
            s.answer(case=case)
    s.desk.sweep()
    assert s.check().edges == [0.9]
    assert s.loop.control.thresholds == {"": 0.9}
    assert s.propose(0.2).route.to == "human"


# a segment never seen: -k segment


@pytest.mark.parametrize(("segment", "named"), [("z", "segment 'z'"), (None, "a case without a segment")])
def test_segment_that_nobody_named_goes_to_a_human_and_says_why(make, segment: str | None, named: str):
    s = make(guarantee=EASY | {"segments": ["x", "y"]}).opened(segment="x")
    s.loop.certify()
    route, counted = surest(s, segment=segment), s.loop.evidence("x")
    assert (route.to, route.score) == ("human", None)
    assert f"{named} is none that the guarantee is for (x, y)" in route.reason
    s.answer()
    s.desk.sweep()
    assert s.loop.evidence("x") == counted
    assert surest(s, segment="x").to == "autopilot"
    s.check("x")


def test_segment_that_is_new_starts_closed_with_its_own_share_of_the_chance(make):
    s = make(guarantee=EASY | {"segments": ["x", "y"]}).opened(segment="x")
    assert surest(s, segment="y").to == "human"
    waits = s.standing("y")
    assert (waits.state, waits.threshold, waits.labels_used) == ("waiting", None, 0)
    s.answer()
    s.go(5, segment="y")
    s.desk.sweep()
    assert s.standing("y").state == "pilot"
    assert s.pure("y").delta == pytest.approx(0.05 / 2 / 2), "half of its share is for the first epoch"
    assert s.loop.control.thresholds.keys() == {"x"}
    assert problems(s.desk) == []


def test_segment_that_is_added_later_begins_all_anew_and_keeps_the_record(make):
    """Each has a smaller share of the chance now, so that what was certified for a larger one lapses."""
    s = make(guarantee=EASY | {"segments": ["x"]}).opened(segment="x")
    s.loop.certify()
    counted = len(s.events(EvidenceCounted))
    s.settings["guarantee"] = EASY | {"segments": ["x", "z"]}
    s.loop = s.desk.loop("mail", **s.settings)
    assert surest(s, segment="x").to == surest(s, segment="z").to == "human"
    assert "no decision was counted yet for this promise" in s.standing("x").reason
    assert len(s.events(EvidenceCounted)) == counted
    assert problems(s.desk) == []


def test_segment_that_is_unknown_to_the_command_line_and_over_http(run, tmp_path: Path):
    s = here(tmp_path, guarantee=EASY | {"segments": ["x", "y"]})
    s.go(3, segment="x")
    told = run("guarantee", "mail", "--segment", "z")
    assert told.code == 3
    for part in ("there is no segment 'z'; known are: x, y", "guarantee.segments"):
        assert part in told.err
    with client(s) as http:
        twin = http.get(API, params={"segment": "z"})
        assert (twin.status_code, "known are: x, y" in twin.json()["detail"]) == (404, True)
        assert "guarantee.segments" in twin.json()["hint"]
    s.desk.close()


# truths missing from a file: -k truths


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("x.csv", "score,truth\n0.9,\n0.8,\n", "x.csv:2: 2 rows of 2 without 'truth'"),
        ("x.csv", "score,truth\n0.9,1\n0.8,\n", "x.csv:3: 1 row of 2 without 'truth': empty, null or NaN in line 3"),
        ("x.csv", "score,truth\n0.9,1\n0.8\n", "x.csv:3: 1 row of 2 without 'truth'"),
        ("x.csv", "score,truth\n0.9,maybe\n", "x.csv:2: truth is 'maybe', neither right (1, true, yes) nor wrong"),
        ("x.csv", "score,right\n0.9,1\n", "x.csv:1: there is no field 'truth'; there are: score, right"),
        ("x.csv", "0.9,1\n0.8,1\n", "is the header missing? The first line names the fields, such as score,truth"),
        ("x.csv", "score,score,truth\n0.9,0.1,1\n", "x.csv:1: the header names 'score' twice"),
        ("x.csv", "", "x.csv holds no rows; each row is a proposal with a score and a truth"),
        ("x.csv", "score,truth\n", "x.csv holds no rows"),
        ("x.jsonl", '{"score": 0.9}\n{"score": 0.8, "truth": null}\n', "x.jsonl:1: 2 rows of 2 without 'truth'"),
        ("x.jsonl", "\n\n", "x.jsonl holds no rows"),
        ("x.jsonl", "[1, 2]\n", "x.jsonl:1: not a JSON object"),
        ("x.jsonl", '{"score": 0.9, "truth": [1]}\n', "x.jsonl:1: truth is [1], neither right"),
    ],
)
def test_truths_missing_from_a_file_are_refused_by_line(run, tmp_path: Path, name: str, text: str, says: str):
    (tmp_path / name).write_text(text)
    for given in ((), ("--max-error", "0.05")):
        told = run("replay", name, *given)
        assert told.code == 2
        assert says in told.err


def test_truths_missing_from_a_file_are_said_to_be_needed(run, tmp_path: Path):
    """Rows that nobody checked are not like the others: leaving them out would promise too much."""
    (tmp_path / "x.csv").write_text("score,truth\n0.9,1\n0.8,\n")
    assert "rows whose truth nobody knows are seldom as easy as the rest" in run("replay", "x.csv").err


@pytest.mark.parametrize("missing", [None, NAN])
def test_truths_missing_from_parquet_are_refused_by_row(run, tmp_path: Path, missing: float | None):
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [{"score": 0.9, "truth": 1.0}, {"score": 0.8, "truth": missing}]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "x.parquet")
    told = run("replay", "x.parquet", "--max-error", "0.05")
    assert (told.code, "x.parquet:2: 1 row of 2 without 'truth'" in told.err) == (2, True)


def test_truths_missing_from_one_group_name_the_group(run, tmp_path: Path):
    lines = ["score,truth,country", *["0.9,1,a"] * 100, *["0.8,,b"] * 20, "0.8,,a"]
    (tmp_path / "x.csv").write_text("\n".join(lines))
    told = run("replay", "x.csv", "--max-error", "0.05", "--group", "country")
    assert told.code == 2
    assert "21 rows of 121 without 'truth'" in told.err
    assert "no row of group 'b' has one" in told.err
    assert "there is no field 'planet'" in run("replay", "x.csv", "--group", "planet").err


def test_truths_missing_from_one_group_of_past_cases_are_said(run, tmp_path: Path):
    s = here(tmp_path, guarantee=EASY | {"segments": ["x", "y"]})
    s.go(40, segment="x")
    for _ in range(4):
        s.propose(segment="y")
    s.desk.close()
    told = run("replay", "--loop", "mail", "--group", "segment", "--threshold", "0.5", "--json").json
    assert (told["groups"]["y"]["n"], told["groups"]["y"]["load"]) == (0, 1.0)
    assert "nobody judged any of 4 cases" in told["groups"]["y"]["reason"]


@pytest.mark.parametrize("truth", [None, NAN])
def test_truths_missing_from_calibration_are_refused_and_the_certificate_stays(truth: float | None):
    chosen, rows = selective(max_error=0.2), np.zeros((4, 2))
    before = chosen.accepts(rows).tolist()
    with pytest.raises(e.CalibrationError) as caught:
        chosen.calibrate(rows, np.array([0, truth, 0, 0], dtype=object))
    whole(caught.value, "row 1: there is no truth (1 rows in all)")
    assert chosen.accepts(rows).tolist() == before == [False] * 4


# an error of 0, of 1, or below what the data could carry: -k promise


BOUNDS = [0, 1, 0.0, 1.0, -0.1, NAN, math.inf, "five", True, None]
SMALL = [(1e-10, "29,957,322,735 labels"), (5e-324, "more than a thousand million million labels")]


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("make_one", [Certificate, Monitor])
def test_promise_of_nothing_or_all_is_refused_in_python(make_one: Any, bound: Any):
    with pytest.raises(e.GuaranteeError) as caught:
        make_one(bound)
    whole(caught.value, f"max_error is {bound!r}", "1 promises nothing; try 0.02")


@pytest.mark.parametrize("bound", BOUNDS)
def test_promise_with_such_a_confidence_is_refused_in_python(bound: Any):
    for make_one in (lambda: Certificate(0.05, bound), lambda: RunningBound(bound)):
        with pytest.raises(e.GuaranteeError) as caught:
            make_one()
        whole(caught.value, f"confidence is {bound!r}", "Certainty cannot be had from data")


@pytest.mark.parametrize(("bound", "labels"), SMALL)
def test_promise_too_small_says_how_many_labels(opened: Stream, run, tmp_path: Path, bound: float, labels: str):
    with pytest.raises(e.GuaranteeError) as caught:
        Certificate(bound)
    whole(caught.value, labels)
    settings = {"guarantee": EASY | {"max_error": bound}}
    refused(opened, lambda: opened.desk.loop("mail", **opened.settings | settings), e.SettingsError, labels)
    (tmp_path / "x.csv").write_text("score,truth\n0.8,1\n")
    assert labels in run("replay", "x.csv", "--max-error", repr(bound)).err
    with pytest.raises(e.CalibrationError) as caught:
        selective(max_error=bound).calibrate(np.zeros((4, 2)), np.zeros(4, int))
    whole(caught.value, labels)


@pytest.mark.parametrize("bound", [bound for bound in BOUNDS if bound is not None])
@pytest.mark.parametrize("name", ["max_error", "confidence"])
def test_promise_of_nothing_or_all_is_refused_in_settings(opened: Stream, name: str, bound: Any):
    given = opened.settings | {"guarantee": EASY | {name: bound}}
    hint = {"max_error": "1 promises nothing; try 0.02", "confidence": "Certainty cannot be had"}[name]
    says = (f"{name} in [loop.mail.guarantee] must be a number above 0 and below 1", hint)
    refused(opened, lambda: opened.desk.loop("mail", **given), e.SettingsError, *says)
    assert surest(opened).to == "autopilot"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"max_error": 5}, "did you mean 0.05?"),
        ({"max_error": None}, "guarantee in [loop.mail] has no 'max_error'"),
        ({"miss_rate": 1}, "miss_rate in [loop.mail.guarantee] must be a number of at least 0 and below 1"),
        ({"segments": ["x", "x"]}, "segments in [loop.mail.guarantee] names 'x' twice"),
        ({"answer_within": 0}, "answer_within in [loop.mail.guarantee] must be a time"),
    ],
)
def test_promise_that_contradicts_itself_is_refused_in_settings(opened: Stream, change: dict[str, Any], says: str):
    given = opened.settings | {"guarantee": EASY | change}
    refused(opened, lambda: opened.desk.loop("mail", **given), e.SettingsError, says)


@pytest.mark.parametrize("bound", ["0", "1", "-0.1", "nan", '"five"'])
def test_promise_in_a_settings_file_is_refused_with_its_line(run, tmp_path: Path, bound: str):
    text = f'[loop.mail]\nmode = "labels"\ncontext = "minimal"\nguarantee = {{ max_error = {bound} }}\n'
    (tmp_path / "dualcontrol.toml").write_text(text)
    told = run("guarantee", "mail")
    assert told.code == 2
    for part in ("dualcontrol.toml:4: max_error", "must be a number above 0 and below 1", "try 0.02"):
        assert part in told.err


@pytest.mark.parametrize("bound", ["0", "1", "-0.1", "nan", "5"])
def test_promise_of_a_replay_is_refused(run, tmp_path: Path, bound: str):
    (tmp_path / "x.csv").write_text("score,truth\n0.8,1\n")
    told = run("replay", "x.csv", "--max-error", bound)
    assert (told.code, "1 promises nothing; try 0.02" in told.err) == (2, True)
    told = run("replay", "x.csv", "--max-error", "0.05", "--confidence", bound)
    assert (told.code, "Certainty cannot be had from data" in told.err) == (2, True)


@pytest.mark.parametrize("bound", [0.1, 0.05, 0.02, 0.001])
def test_promise_below_what_a_file_carries_says_how_many_labels(run, tmp_path: Path, bound: float):
    """The least n for which no error among n rows would be rarer than one in twenty."""
    (tmp_path / "x.csv").write_text("score,truth\n" + "0.8,1\n" * 20)
    told = run("replay", "x.csv", "--max-error", repr(bound), "--json")
    labels = told.json["labels_needed"]
    assert (told.code, told.json["threshold"], told.json["load"]) == (1, None, 1.0)
    assert (1 - bound) ** labels <= 0.05 < (1 - bound) ** (labels - 1)
    assert "20 labels are too few: even without a single error" in told.json["reason"]
    assert f"takes {labels:,}" in told.json["reason"]


def test_promise_below_what_calibration_rows_carry_accepts_none():
    chosen, rows = selective(max_error=0.01), np.zeros((50, 2))
    chosen.estimator.predict_proba = lambda X: np.full((len(X), 2), 0.5)
    chosen.calibrate(rows, np.zeros(50, int))
    assert (chosen.threshold_, chosen.accepts(rows).any()) == (None, False)
    assert "takes 299" in str(chosen.certificate_)


@pytest.mark.parametrize("change", [{}, {"max_error": 0.1}, {"segments": ["x", "y"]}, {"launch": 1_000}])
def test_promise_of_a_loop_says_how_many_answers_it_takes(make, change: dict[str, Any]):
    """As many as the certificate itself takes when fed without an error."""
    s = make(guarantee=EASY | {"pilot": 40} | change)
    waits, alone = s.loop.guarantee()[0], fed(change)
    assert (waits.state, waits.labels_needed) == ("waiting", 40 + round(alone / 0.2))
    for part in (
        "The first 40 answers",
        f"at least {alone} answers",
        f"about {40 + round(alone / 0.2)} answers in all",
    ):
        assert part in waits.reason, waits.reason


def fed(change: dict[str, Any]) -> int:
    """Labels without an error until a certificate of one region opens in a first epoch."""
    bound, segments, launch = change.get("max_error", 0.2), len(change.get("segments", "1")), change.get("launch", 0)
    made = Certificate(bound, edges=[], segments=segments, launch=launch, spent=0)
    while made.threshold is None:
        observed(made, seq=made.labels)
        made.tick()
    return made.labels


def test_promise_below_what_a_loop_carries_stays_closed_in_every_place(run, tmp_path: Path):
    s = here(tmp_path, guarantee=EASY | {"max_error": 0.001})
    s.go(60)
    s.desk.sweep()
    stands = s.standing()
    assert (stands.state, stands.threshold) == ("collecting", None)
    told = run("guarantee", "mail")
    assert (told.code, stands.reason in told.out) == (1, True)
    with client(s) as http:
        assert http.get(API).json()["segments"][0]["reason"] == stands.reason
        tried = http.get(API, params={"max_error": 0.0005}).json()["what_if"]
        assert (tried["certified"], "more" in tried["reason"]) == (None, True)
        for bound in ("0", "1", "nan", "x"):
            answer = http.get(API, params={"max_error": bound})
            assert (answer.status_code, bool(answer.json()["hint"])) == (422, True)
    assert surest(s).to == "human"
    s.desk.close()


# inclusion 0 or missing: -k inclusion


@pytest.mark.parametrize(
    ("inclusion", "says"),
    [(0.0, "must lie above 0, at most 1"), (-1, "above 0"), (1.1, "at most 1"), (NAN, "must lie above 0"),
     (None, "decision 500 has no inclusion probability"), ("x", "decision 500 is no label")],
)  # fmt: skip
def test_inclusion_of_a_label_that_is_none_is_refused(inclusion: Any, says: str):
    unmoved(made := pure(), lambda: observed(made, inclusion=inclusion), says)


def test_inclusion_that_is_left_out_is_named():
    with pytest.raises(TypeError, match="'inclusion'"):
        pure().observe(score=0.9, wrong=0, seq=1)


@pytest.mark.parametrize("inclusion", [0, None, NAN, 1.1, "x"])
@pytest.mark.parametrize("kind", [Monitor, RunningBound])
def test_inclusion_of_a_review_that_is_none_is_refused(kind: Any, inclusion: Any):
    made = kind(0.05)
    before = made.to_dict()
    with pytest.raises(e.GuaranteeError) as caught:
        made.observe(wrong=0, inclusion=inclusion)
    whole(caught.value, f"the inclusion probability is {inclusion!r}", "with which a human was to see the decision")
    assert made.to_dict() == before


def test_inclusion_0_in_the_shadow_is_no_evidence(make):
    s = make(start="shadow")
    assert {s.propose().route.inclusion for _ in range(5)} == {0.0}
    s.desk.sweep()
    assert s.loop.evidence() == []
    assert "nobody is asked and nothing will be counted" in s.standing().reason


def test_inclusion_of_nothing_in_the_settings_is_raised_to_a_tenth(make):
    """A guarantee without audits could not see what autopilot does."""
    s = make(audit=0.0).opened()
    s.go(30)
    s.desk.sweep()
    assert min(s.loop.control.audits[""].shares) >= 0.05
    s.check()


# a label for a case outside the epoch: -k outside


@pytest.mark.parametrize("why", ["promise", "model"])
def test_outside_the_epoch_an_answer_stands_and_certifies_nothing(make, why: str):
    one, two = ({"model": "m", "version": version} for version in "12")
    s = make(audit=0.5).opened(source=one)
    late, known, after = waiting_with(s, one), s.loop.control.epoch, two if why == "model" else one
    if why == "promise":
        s.settings["guarantee"] = EASY | {"max_error": 0.3}
        s.loop = s.desk.loop("mail", **s.settings)
    for case in [s.propose(0.5, source=after) for _ in range(25)] + late:
        s.answer(case=case)
    s.desk.sweep()
    s.answer(case=s.propose(0.5, source=after))
    s.desk.sweep()
    assert s.loop.control.epoch == known + 1
    assert {row["score"] for row in s.loop.evidence()} == {0.5}
    assert all(s.desk.case(case.id).concluded is not None for case in late)
    assert surest(s, source=after).to == "human"
    s.check()
    assert problems(s.desk) == []


def waiting_with(stream: Stream, source: dict[str, str]) -> list[Any]:
    """Two cases that somebody is still asked about: one on autopilot, one for a human."""
    audited = next(case for case in iter(lambda: stream.propose(0.999, source=source), None) if case.route.audited)
    return [audited, stream.propose(0.001, wrong=True, source=source)]


def test_outside_the_epoch_a_label_before_the_watermark_is_refused():
    made = pure()
    for seq in range(10):
        observed(made, seq=seq)
    made.tick(20)
    unmoved(made, lambda: observed(made, seq=15), "decision 15 is not after 20, up to which everything is counted")


@pytest.mark.parametrize("mark", [NAN, 2.5, "x", True])
def test_outside_the_order_of_decisions_nothing_is_counted(mark: Any):
    made = pure()
    observed(made)
    unmoved(made, lambda: made.tick(mark), f"the watermark is {mark!r}")


# a duplicate or contradicting label: -k duplicate


def test_duplicate_of_a_label_counts_once_and_a_contradicting_one_is_refused():
    made = pure()
    observed(made)
    observed(made)
    unmoved(made, lambda: observed(made, wrong=1), "decision 500 has another label already", "A decision has one label")
    made.tick()
    assert made.labels == 1
    unmoved(made, lambda: observed(made), "decision 500 is not after 500")


def test_duplicate_answers_are_refused_and_count_once(make):
    s = make()
    s.go(25)
    case = s.propose(0.001, wrong=False)
    claim = s.desk.claim("ana", case=case)
    claim.label("a")
    s.desk.sweep()
    for act in (
        lambda: claim.label("a"), lambda: claim.label("b"), lambda: s.desk.claim("ben", case=case),
        lambda: s.desk.retract(case.id, "ana"), lambda: s.desk.answer(claim.id, "label", "b"),
    ):  # fmt: skip
        refused(s, act, e.SettledError)
    s.desk.sweep()
    positions = [row["seq"] for row in s.loop.evidence()]
    assert len(positions) == len(set(positions)) == 26
    s.check()


def test_duplicate_answers_of_a_file_are_skipped_and_contradicting_ones_refused(run, tmp_path: Path):
    s = here(tmp_path, guarantee=EASY | {"pilot": 0})
    for n in range(4):
        s.propose(0.5 + n / 10, wrong=False)
    assert run("export", "--open", "open.jsonl").code == 0
    rows = [json.loads(line) for line in (tmp_path / "open.jsonl").read_text().splitlines()]
    told = [run("import", answers(tmp_path, rows, label), "--person", "ana", "--json") for label in "aab"]
    assert [(one.json["applied"], one.json["skipped"], one.json["refused"]) for one in told] == [
        (4, 0, 0), (0, 4, 0), (0, 0, 4),
    ]  # fmt: skip
    assert {line["code"] for line in told[2].json["lines"]} == {"DC-SETTLED"}
    s.desk.sweep()
    assert [row["wrong"] for row in s.loop.evidence()] == [0] * 4
    s.check()
    assert problems(s.desk) == []
    s.desk.close()


def answers(folder: Path, rows: list[dict[str, Any]], label: str) -> str:
    """A file that gives every open case the same label."""
    lines = [json.dumps({**row, "verdict": "label", "value": label}) + "\n" for row in rows]
    (folder / "answers.jsonl").write_text("".join(lines))
    return "answers.jsonl"


def test_duplicate_answer_after_a_retraction_is_the_only_one_that_counts(make):
    s = make(undo="1m", guarantee=EASY | {"pilot": 0})
    case = s.propose(0.5, wrong=True)
    s.answer(case=case)
    s.desk.retract(case.id, "ana")
    s.truth[case.id] = "a"
    s.answer("ben", case=case)
    s.clock.tick(61)
    s.desk.sweep()
    assert [row["wrong"] for row in s.loop.evidence()] == [0]
    s.check()


@pytest.mark.parametrize(("second", "wrong"), [("a", 0), ("b", 1)])
def test_duplicate_word_of_a_second_person_decides_what_counts(make, second: str, wrong: int):
    s = make(guarantee=EASY | {"pilot": 0, "adjudicate": True}, groups={"reviewers": ["ana", "ben"]})
    s.answer("ben", case=s.propose(0.5, wrong=False))
    case = s.propose(0.5, wrong=True)
    s.answer("ana", case=case)
    s.desk.sweep()
    s.truth[case.id] = second
    s.answer("ben", case=case)
    s.desk.sweep()
    assert [row["wrong"] for row in s.loop.evidence()] == [0, wrong]
    assert s.desk.case(case.id).outcome.value == "b"
    s.check()


# a score scale that changed under the same model version: -k scale


def test_scale_that_changed_under_the_same_model_closes_autopilot_and_says_so(make):
    s = make().opened()
    counted = len(s.events(EvidenceCounted))
    source = s.loop.control.models
    for _ in range(40):
        for _ in range(25):
            case = s.propose(0.95 + s.noise.random() / 20, wrong=False)
            if case.route.to == "human" or case.route.audited:
                s.answer(case=case)
        if s.events(AlarmRaised):
            break
    alarm, began = s.events(AlarmRaised)[-1], s.events(EpochBegan)[-1]
    assert (alarm.code, began.reason, s.loop.control.models) == ("scale", "scale", source)
    assert surest(s).to == "human"
    stands = s.standing()
    assert (stands.state, stands.threshold) == ("closed", None)
    assert "the monitor found that the scores are not what they were" in stands.reason
    assert "more answers are needed" in stands.reason
    assert "Autopilot is closed" in words(s.loop.control, stands).headline
    assert len(s.events(EvidenceCounted)) > counted
    assert problems(s.desk) == []


def test_scale_that_changed_begins_anew_by_itself(make):
    """The scores as they are now get bins of their own, and autopilot opens when these are certified."""
    s = make().opened()
    while not s.events(AlarmRaised):
        case = s.propose(0.95 + s.noise.random() / 20, wrong=False)
        if case.route.to == "human" or case.route.audited:
            s.answer(case=case)
    while not s.loop.control.thresholds:
        case = s.propose(0.95 + s.noise.random() / 20, wrong=False)
        s.answer(case=case)
    assert s.loop.control.closed == {}
    assert min(s.check().edges) >= 0.95


# all audits unanswered: -k unanswered


def test_unanswered_cases_open_nothing_and_the_words_say_why(make):
    s = make()
    for _ in range(60):
        s.propose(0.9)
    s.clock.tick(8 * DAY)
    s.desk.sweep()
    stands = s.standing()
    assert (stands.state, stands.threshold, stands.missing) == ("collecting", None, 40)
    for part in ("40 of the 40 surest cases count as wrong", "because nobody answered them within 7d", "answer_within"):
        assert part in stands.reason
    assert "more answers, and in time, will do it" in words(s.loop.control, stands).lapses
    assert surest(s).to == "human"
    assert s.desk.store.queries.counts(s.loop.control.loop_id)["open"] == 61
    s.check()
    assert problems(s.desk) == []


def test_unanswered_audits_close_autopilot_and_the_words_say_why(run, tmp_path: Path):
    s = here(tmp_path, audit=0.5).opened()
    for _ in range(200):
        if s.propose(0.999).route.to == "human":
            s.answer()
    before = len(s.loop.evidence())
    s.clock.tick(8 * DAY)
    s.desk.sweep()
    assert "that nobody answered in time counted as wrong" in s.events(AutopilotClosed)[-1].reason
    assert (s.loop.control.thresholds, surest(s).to, s.standing().state) == ({}, "human", "closed")
    assert sum(len(event.labels) for event in s.events(EvidenceCounted)) > before
    told = run("guarantee", "mail")
    assert told.code == 1
    for part in ("Autopilot is closed", "that nobody answered in time counted as wrong"):
        assert part in told.out
    with client(s) as http:
        assert "nobody answered in time" in http.get("/loops/mail/guarantee", headers={"Accept": "text/html"}).text
    assert problems(s.desk) == []
    s.desk.close()


def test_unanswered_answers_that_come_late_are_kept_and_change_no_count(make):
    s = make(guarantee=EASY | {"pilot": 0})
    case = s.propose(0.5, wrong=False)
    s.clock.tick(8 * DAY)
    s.desk.sweep()
    s.answer(case=case)
    s.desk.sweep()
    assert [row["wrong"] for row in s.loop.evidence()] == [1]
    assert s.desk.case(case.id).outcome.value == "a"
    assert len(s.loop.examples()) == 1


def test_unanswered_cases_do_not_outweigh_answers_that_come_in_time(make):
    s = make()
    for _ in range(25):
        s.propose(0.9)
    s.clock.tick(8 * DAY)
    s.desk.sweep()
    assert s.standing().missing == 5
    s.opened()
    assert s.standing().state == "certified"


# a clock that runs back: -k clock


@pytest.mark.parametrize("back", [1, 3_600, 400 * DAY])
def test_clock_that_runs_back_loses_nothing_and_counts_by_position(make, back: float):
    s = make().opened()
    s.loop.certify()
    before, threshold = s.loop.evidence(), s.loop.control.thresholds
    cases = [s.propose(0.001, wrong=False) for _ in range(3)]
    for case in (cases[2], cases[0], cases[1]):
        s.clock.tick(-back)
        s.answer(case=case)
        s.desk.sweep()
    assert s.loop.evidence()[: len(before)] == before
    assert [row["wrong"] for row in s.loop.evidence()[len(before) :]] == [0, 0, 0]
    assert s.loop.control.thresholds == threshold
    assert (s.standing().state, surest(s).to, s.standing().missing) == ("certified", "autopilot", 0)
    s.check()
    assert problems(s.desk) == []


def test_clock_that_runs_ahead_and_back_counts_each_decision_once(make):
    s = make(guarantee=EASY | {"pilot": 0})
    case = s.propose(0.5, wrong=False)
    s.clock.tick(8 * DAY)
    s.desk.sweep()
    s.clock.tick(-9 * DAY)
    s.answer(case=case)
    s.go(5)
    s.desk.sweep()
    assert len(s.loop.evidence()) == 6
    s.check()
    assert problems(s.desk) == []


def test_clock_that_runs_back_over_a_restart_folds_the_same(make, tmp_path: Path):
    s = make(f"sqlite:///{tmp_path}/d.db").opened()
    s.clock.tick(-30 * DAY)
    s.go(30)
    s.loop.certify()
    before = state(s)
    s.restart()
    assert state(s) == before


# an epoch whose model is gone: -k gone


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a model has its certificate."""
    folder = tmp_path_factory.mktemp("trained")
    made = Trained(folder).opened()
    made.sides.desk.close()
    (folder / "version").write_text(made.version)
    return folder


@pytest.fixture
def trained(template: Path, tmp_path: Path) -> Iterator[Trained]:
    """A copy of it, with the program running."""
    folder = tmp_path / "copy"
    shutil.copytree(template, folder)
    made = Trained(folder)
    made.version, made.sides.seen = (folder / "version").read_text(), 1_000
    made.sides.new_id = lambda new=dc.control.uuid7: new()
    made.restart()
    yield made
    made.sides.desk.close()


GONE = {"file": "is missing", "altered": "its digest differs", "row": "the database has no row of it"}


@pytest.mark.parametrize("how", GONE)
def test_gone_model_closes_autopilot_and_the_words_say_so(trained: Trained, how: str):
    evidence, epoch = trained.sides.loop.evidence(), trained.control.epoch
    assert trained.surest().route.to == "autopilot"
    trained.harm(how)
    case = trained.surest()
    assert (case.route.to, case.route.by) == ("human", "closed")
    assert GONE[how] in case.route.reason
    assert (trained.stands.state, trained.version in trained.stands.reason) == ("closed", True)
    assert "train again" in trained.stands.reason
    assert "What is certified stands by" in trained.stands.reason
    assert trained.sides.loop.evidence() == evidence
    assert trained.control.epoch == epoch
    assert len(problems(trained.sides.desk, trained.models)) == 1


@pytest.mark.parametrize("how", GONE)
def test_gone_model_leaves_the_queue_at_work_and_comes_back(trained: Trained, how: str):
    trained.harm(how)
    case = trained.surest()
    trained.sides.desk.claim("ana", case=case).label("right")
    trained.sides.desk.sweep()
    assert trained.sides.desk.case(case.id).outcome.value == "right"
    counted = trained.sides.loop.evidence()
    trained.mend(how)
    assert trained.sides.events(AutopilotOpened)[-1].reason == "the model file is there again"
    assert (trained.control.closed, trained.stands.state) == ({}, "certified")
    assert trained.surest().route.to == "autopilot"
    assert trained.sides.loop.evidence() == counted
    assert problems(trained.sides.desk, trained.models) == []


def test_gone_model_stays_closed_when_an_alarm_ends(trained: Trained):
    """A new certificate ends the monitor's closure, and not the one for want of the file."""
    answered(trained, 400, "left")
    assert trained.control.closed[""].startswith("the monitor found")
    trained.harm("file")
    assert GONE["file"] in trained.control.closed[""]
    answered(trained, 200, "right")
    assert trained.control.thresholds
    assert (trained.surest().route.to, trained.stands.state) == ("human", "closed")
    trained.mend("file")
    assert (trained.control.closed, trained.stands.state) == ({}, "certified")


def answered(trained: Trained, most: int, label: str) -> None:
    """Sure proposals with the same answer to each, until the alarm or the next threshold."""
    before = trained.control.thresholds
    for _ in range(most):
        case = trained.surest()
        if case.route.to == "human" or case.route.audited:
            trained.sides.desk.claim("ana", case=case).label(label)
        if trained.control.thresholds != before:
            return


def test_gone_model_leaves_a_closure_by_a_person_alone(trained: Trained):
    said = {"segment": "", "cause": "person", "reason": "a person"}
    trained.sides.desk.steps.move("sides", lambda now, at: [AutopilotClosed(version=now.version + 1, at=at, **said)])
    trained.harm("file")
    trained.mend("file")
    assert trained.control.closed == {"": "a person"}


def test_gone_model_gives_way_to_one_that_is_trained_again(trained: Trained):
    trained.harm("row")
    trained.sides.go(30)
    report = training.train(trained.sides.desk, "sides")
    assert report.promoted
    assert trained.control.closed == {}
    assert trained.stands.state in ("waiting", "collecting")
    assert trained.surest().route.to == "human"
