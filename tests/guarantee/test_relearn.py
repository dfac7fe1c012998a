"""A learned chance of being right opens autopilot where confidence cannot; nothing is both learned from and counted.

A quarter of the cases is confident and often wrong, which their arguments give away; of the others the confident ones
are nearly always right.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from risk_cases import Stream, define, opened, pay

import dualcontrol as dc
from dualcontrol.cli import main
from dualcontrol.doctor import OK, PROBLEM, examine
from dualcontrol.errors import MissingExtraError, ModelError, UnknownLoopError
from dualcontrol.events import ScoreChanged
from dualcontrol.guarantee import relearn, warm_start
from dualcontrol.guarantee.relearn import learn_risk
from dualcontrol.learn.features import of_case, of_proposal


class Played(NamedTuple):
    """A stream that has opened, where it lies, and the cases that each risk model learned from."""

    stream: Stream
    folder: Path
    learned: list[set[str]]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """A stream through the desk until autopilot has worked for a while."""
    folder, learned, fitted = tmp_path_factory.mktemp("risk"), [], relearn.fitted

    def noted(desk: Any, control: Any, rows: Any, **said: Any) -> Any:
        learned.append({row.case_id for row in rows})
        return fitted(desk, control, rows, **said)

    with pytest.MonkeyPatch.context() as patch, opened(folder) as desk:
        patch.setattr(relearn, "fitted", noted)
        yield Played(Stream(desk, define(desk)).go(2_100), folder, learned)


def test_confidence_opens_nothing(tmp_path: Path) -> None:
    """The surest fifth holds many of the confident mistakes."""
    with opened(tmp_path) as desk:
        stream = Stream(desk, define(desk, "confidence")).go(1_800)
        assert (stream.loop.control.thresholds, stream.autopilot) == ({}, [])


def test_the_learned_score_opens(played: Played) -> None:
    """Within the bound, and without the cases that only look sure."""
    loop, done = played.stream.loop, played.stream.autopilot
    assert len(done) > 60
    assert sum(done) <= 0.05 * len(done)
    sure, foreign = pay(loop, "plain", 0.97), pay(loop, "foreign", 0.97)
    assert (sure.route.to, foreign.route.to) == ("autopilot", "human")
    assert "chance of being right 0." in sure.route.reason
    assert "(learned) reaches" in sure.route.reason
    assert sure.route.scorer == foreign.route.scorer == loop.control.scorer
    [standing] = loop.guarantee()
    assert (standing.state, standing.scorer) == ("certified", loop.control.scorer)
    assert f"the score is the chance of being right, learned by {loop.control.scorer}" in standing.reason


def test_no_case_is_learned_from_and_counted(played: Played) -> None:
    """Every label of the certificate is of a case that the model in force has scored and not seen."""
    store, loop = played.stream.desk.store, played.stream.loop
    places = {entry.pos: entry.stream.partition("/")[2] for entry in store.feed(0, 1_000_000, loop.name)}
    counted = {places[row["seq"]] for row in loop.evidence()}
    assert len(counted) > 200
    assert not counted & played.learned[-1]
    scorers = {played.stream.desk.case(case_id).route.scorer for case_id in counted}
    assert scorers == {loop.control.scorer}


def test_it_is_learned_from_so_many_and_from_twice_as_many(played: Played) -> None:
    """Before the first one every case went to a human, with the reason, and no score."""
    events = [e for x in played.stream.desk.store.queries.entries(played.stream.loop.stream) for e in x.events]
    found = [event for event in events if isinstance(event, ScoreChanged)]
    sizes = [event.examples for event in found]
    assert sizes == [len(rows) for rows in played.learned]
    assert 400 <= sizes[0] < 440
    assert all(2 * a <= b for a, b in pairwise(sizes))
    first = played.stream.asked[0].route
    assert (first.to, first.by, first.score, first.scorer) == ("human", "no_signal", None, None)
    assert "no risk model was learned yet" in first.reason


def test_the_door_and_the_database_tell_the_model_the_same(played: Played) -> None:
    stream, seen = played.stream, []
    scorer = stream.desk.steps.scores.scorer
    stream.desk.steps.scores.scorer = lambda control, made: seen.append(of_proposal(made)) or scorer(control, made)
    try:
        case = pay(stream.loop, "plain", 0.5, 12.5)
    finally:
        stream.desk.steps.scores.scorer = scorer
    assert seen == [of_case(stream.desk.case(case.id))]
    assert seen[0]["value.amount"] == 12.5


def test_a_restart_scores_the_same_and_goes_on(played: Played) -> None:
    before = pay(played.stream.loop, "plain", 0.97)
    with opened(played.folder, 1) as desk:
        loop = desk.loop("pay")
        after = pay(loop, "plain", 0.97)
        assert after.route.score == before.route.score
        assert (after.route.to, after.route.by) == ("autopilot", "threshold")
        assert [
            f.level for f in examine(desk.store, models=f"{played.folder}/dc.db.models") if f.check == "models"
        ] == [OK]


def test_a_replay_reads_the_score_that_the_loop_goes_by(
    played: Played, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    """By confidence, which the mistakes have too, nothing could be certified; other scores are left out, and said."""
    capsys.readouterr()
    url = f"sqlite:///{played.folder}/dc.db"
    code = main(["replay", "--loop", "pay", "--max-error", "0.05", "--json", "--database", url])
    told = json.loads(capsys.readouterr().out)
    assert (code, told["interval"]) == (0, "certificate")
    cases = [played.stream.desk.case(case.id) for case in played.stream.asked]
    scores = {c.route.score for c in cases if c.route.scorer == played.stream.loop.control.scorer}
    assert told["threshold"] in scores
    assert any("without a score of the risk model in force are left out" in remark for remark in told["remarks"])


def small(desk: dc.Desk, **changes: Any) -> dc.Loop:
    """A loop with a risk model learned from few cases."""
    loop = define(desk, learn_from=60, **changes)
    Stream(desk, loop).go(80)
    assert loop.control.scorer is not None
    return loop


@pytest.mark.parametrize(("harm", "says"), [("gone", "is missing"), ("altered", "its digest differs")])
def test_a_bad_file_closes_autopilot_until_the_next_model(tmp_path: Path, harm: str, says: str) -> None:
    with opened(tmp_path) as desk:
        small(desk)
    [file] = (tmp_path / "dc.db.models").iterdir()
    file.unlink() if harm == "gone" else file.write_bytes(b"other")
    with opened(tmp_path, 1) as desk:
        loop = desk.loop("pay")
        route = pay(loop, "plain", 0.99).route
        assert (route.to, route.by, route.score) == ("human", "no_signal", None)
        assert f"risk model {loop.control.scorer} gave no chance of being right" in route.reason
        assert loop.control.closed[""].startswith("the risk model file of")
        assert says in loop.control.closed[""]
        found = [f for f in examine(desk.store, models=f"{tmp_path}/dc.db.models") if f.level == PROBLEM]
        assert "train pay --risk" in found[0].hint
        report = learn_risk(desk, "pay")
        assert (report.in_force, loop.control.scorer, loop.control.closed) == (True, report.version, {})
        assert pay(loop, "plain", 0.99).route.score is not None


def test_without_the_extra_every_case_goes_to_a_human(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what to install; autopilot is not closed for those who have it."""
    with opened(tmp_path) as desk:
        small(desk)
    monkeypatch.delitem(sys.modules, "dualcontrol.learn.risk_model")
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    with opened(tmp_path, 1) as desk:
        loop = desk.loop("pay")
        route = pay(loop, "plain", 0.99).route
        assert (route.to, route.by, loop.control.closed) == ("human", "no_signal", {})
        with pytest.raises(MissingExtraError, match="learn"):
            learn_risk(desk, "pay")


def test_a_score_that_fails_or_is_none_asks_a_human(tmp_path: Path) -> None:
    def failing(control: Any, made: Any) -> float:
        raise RuntimeError("no")

    with opened(tmp_path) as desk:
        loop = small(desk)
        for scorer in (failing, lambda control, made: float("nan"), lambda control, made: 1.5, None):
            desk.steps.scores.scorer = scorer
            route = pay(loop, "plain", 0.99).route
            assert (route.to, route.by, route.score) == ("human", "no_signal", None)


def test_another_program_sees_a_new_model_at_once(tmp_path: Path) -> None:
    """What it knew of the loop is old: the proposal is scored by the model in force."""
    with opened(tmp_path) as desk, opened(tmp_path, 1) as other:
        small(desk)
        assert pay(other.loop("pay"), "plain", 0.9).route.scorer == desk.control("pay").scorer
        report = learn_risk(desk, "pay")
        assert pay(other.loop("pay"), "plain", 0.9).route.scorer == report.version


def test_confidences_of_before_are_no_evidence_for_it(tmp_path: Path) -> None:
    """A loop that changes its score counts nothing that was routed by the other one."""
    with opened(tmp_path) as desk:
        Stream(desk, define(desk, "confidence", pilot=0)).go(40)
        loop = define(desk, learn_from=60, pilot=0)
        stream = Stream(desk, loop, 1).go(60)
        loop.certify()
        places = {entry.pos: entry.stream.partition("/")[2] for entry in desk.store.feed(0, 100_000, "pay")}
        routes = [desk.case(places[row["seq"]]).route for row in loop.evidence()]
        assert 20 <= len(routes) < len(stream.asked)
        assert {route.scorer for route in routes} == {loop.control.scorer}
        stream = Stream(desk, define(desk, "confidence", pilot=0), 2).go(20)
        loop.certify()
        assert len(loop.evidence()) == 20 == sum(case.route.scorer is None for case in stream.asked)


def test_a_wrong_that_somebody_is_still_asked_about_waits(tmp_path: Path) -> None:
    with opened(tmp_path) as desk:
        loop = define(desk, adjudicate=True)
        for wrong in (True, False, False):
            claim = desk.claim("ana", case=pay(loop, "plain", 0.5))
            claim.reject("no") if wrong else claim.approve()
        desk.claim("ben", case=pay(loop, "plain", 0.5)).approve()
        data = relearn.gathered(desk, loop.control)
        assert ([row.wrong for row in data.rows], data.left_out) == ([0, 0, 0], 1)
        desk.claim("ben", "pay").reject("no")
        assert sorted(row.wrong for row in relearn.gathered(desk, loop.control).rows) == [0, 0, 0, 1]


def test_what_a_new_label_model_says_of_earlier_cases_is_no_evidence(played: Played) -> None:
    """They have its confidence and no learned score, so that nothing is known before its first case."""
    loop = played.stream.loop
    segment = played.stream.desk.certifier.segments(loop.control)[""]
    start = warm_start.start(played.stream.desk.steps, loop.control, "", segment, None)
    assert (start.evidence, start.pilot, start.floors) == ([], [], [])


def test_it_is_learned_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """The command says what it learned from, and what was before."""
    with opened(tmp_path) as desk:
        before = small(desk).control.scorer
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DUALCONTROL_DATABASE__URL", f"sqlite:///{tmp_path}/dc.db")
    assert main(["train", "pay", "--risk", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["in_force"], report["before"], report["examples"]) == (True, before, 80)
    assert main(["train", "pay", "--risk"]) == 0
    assert "nothing certified yet" in capsys.readouterr().out
    assert main(["train", "other", "--risk"]) == 3


def test_what_cannot_be_learned_is_said(tmp_path: Path) -> None:
    with opened(tmp_path) as desk:
        loop = define(desk, "confidence")
        with pytest.raises(ModelError, match="not scored by a risk model"):
            learn_risk(desk, "pay")
        define(desk)
        with pytest.raises(ModelError, match="too few to learn from"):
            learn_risk(desk, "pay")
        with pytest.raises(UnknownLoopError):
            learn_risk(desk, "nothing")
        assert "the score is learned from the first 400 decided cases" in loop.guarantee()[0].reason
