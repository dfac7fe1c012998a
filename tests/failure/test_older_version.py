"""What the release before wrote is read as it was meant: why autopilot is closed was told in words alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from certify_cases import EASY, Stream, problems
from older import made_older
from trained_cases import Trained

from dualcontrol.control import Cause
from dualcontrol.events import AlarmRaised, AutopilotClosed, AutopilotOpened, EpochBegan, opened
from dualcontrol.learn import training
from dualcontrol.store.sql.rows import control_of

# Word for word as the release before wrote them.
MISSING = "the model file of sides-1-aff6 is missing: put 1-sides-1-aff6-f739c707935b.joblib back, or train again"
FOUND = "the monitor found that more than 30 % of what autopilot does is wrong by now"
CLOSURES: list[tuple[str, Cause]] = [
    (FOUND, Cause(by="alarm")),
    (
        "the monitor found that the scores are not what they were: 40 % of the last 500 lie from 0.8 to 1",
        Cause(by="alarm"),
    ),
    (MISSING, Cause(by="model_file", model="sides-1-aff6")),
    (
        "the model file of x y-2-0a0a cannot be read (Permission denied): put a.joblib back, or train again",
        Cause(by="model_file", model="x y-2-0a0a"),
    ),
    (
        "the model file of m-1-ffff is not the one that was promoted, since its digest differs: put a.joblib back, or "
        "train again",
        Cause(by="model_file", model="m-1-ffff"),
    ),
    (
        "the model file of m-1-ffff cannot be checked, since the database has no row of it: restore the database, or "
        "train again with `dualcontrol train m`",
        Cause(by="model_file", model="m-1-ffff"),
    ),
    (
        "the risk model file of pay-risk-1-0b0b is missing: put 1-pay-risk-1-0b0b-1.joblib back, or train again",
        Cause(by="risk_file", model="pay-risk-1-0b0b"),
    ),
    ("somebody wants to look", Cause(by="person")),
    ("the model file of ours looks odd", Cause(by="person")),
]


@pytest.mark.parametrize(("reason", "cause"), CLOSURES)
def test_an_entry_of_before_tells_its_cause_in_words(reason: str, cause: Cause) -> None:
    event = {"at": 1, "kind": "AutopilotClosed", "reason": reason, "segment": "", "version": 89}
    body = json.dumps({"actor": "system", "at": 1, "events": [event], "seq": 169, "stream": "loop/1"})
    (closed,) = opened(body).events
    assert isinstance(closed, AutopilotClosed)
    assert (closed.cause, closed.model, closed.reason) == (cause.by, cause.model, reason)
    row = {"closed": {"": reason}, "loop": "sides", "loop_id": 1, "settings": {"name": "sides"}, "version": 89}
    assert control_of(json.dumps(row), 1, 169).causes == {"": cause}


@pytest.mark.parametrize(("reason", "alarm"), [("drift", "drift"), ("scale", "scale"), ("the first decision", None)])
def test_an_epoch_of_before_tells_its_alarm_in_its_reason(reason: str, alarm: str | None) -> None:
    event = {"at": 1, "kind": "EpochBegan", "epoch": 2, "promise": "{}", "reason": reason, "segment": "", "version": 88}
    body = json.dumps({"actor": "system", "at": 1, "events": [event], "seq": 9, "stream": "loop/1"})
    (began,) = opened(body).events
    assert isinstance(began, EpochBegan)
    assert (began.cut, began.reason) == (alarm, reason)


def drifting(stream: Stream) -> None:
    """From here on every sure proposal is wrong, until the alarm."""
    while not stream.events(AlarmRaised):
        case = stream.propose(0.999, wrong=True)
        if case.route.to == "human" or case.route.audited:
            stream.answer(case=case)


@pytest.mark.timeout(240)
@pytest.mark.slow
def test_an_alarm_of_before_ends_as_it_would_have(lasting_url: str) -> None:
    """The control has its cause again, the doctor finds the fold in order, and a new certificate opens autopilot."""
    stream = Stream(lasting_url, audit=0.5, guarantee=EASY)
    drifting(stream.opened())
    before, since = stream.loop.control, stream.desk.certifier.segments(stream.loop.control)[""].since
    stream.desk.close()
    assert made_older(lasting_url) == 2
    stream.desk = stream.open()
    stream.loop = stream.desk.loop("mail", **stream.settings)
    assert stream.loop.control.to_dict() == before.to_dict()
    assert stream.loop.control.causes == {"": Cause(by="alarm")}
    assert stream.desk.certifier.segments(stream.loop.control)[""].since == since
    assert "since the alarm" in stream.standing().reason
    assert problems(stream.desk) == []
    stream.opened()
    assert stream.loop.control.closed == {}
    assert stream.events(AutopilotOpened)[-1].reason == "autopilot is certified again after the alarm"
    stream.desk.close()


@pytest.fixture
def trained(tmp_path: Path) -> Iterator[Trained]:
    made = Trained(tmp_path).opened()
    yield made
    made.sides.desk.close()


def test_a_file_of_before_that_is_put_back_opens_autopilot(trained: Trained) -> None:
    trained.harm("file")
    trained.sides.desk.close()
    assert made_older(f"sqlite:///{trained.folder}/dc.db") == 1
    trained.sides.start()
    assert trained.control.causes == {"": Cause(by="model_file", model=trained.version)}
    trained.mend("file")
    assert (trained.control.closed, trained.control.causes) == ({}, {})
    assert problems(trained.sides.desk, trained.models) == []


def by_hand(desk: Any, loop: str, reason: str) -> None:
    """A person closes autopilot, and says why as they like."""
    said: dict[str, Any] = {"segment": "", "cause": "person", "reason": reason}
    desk.steps.move(loop, lambda now, at: [AutopilotClosed(version=now.version + 1, at=at, **said)])


def test_no_wording_of_a_person_is_taken_for_a_file(trained: Trained) -> None:
    """Neither a file that is there again nor a new model opens what a person closed."""
    by_hand(trained.sides.desk, "sides", f"the model file of {trained.version} is missing from my list")
    closed = trained.control.closed
    trained.harm("file")
    trained.mend("file")
    assert trained.control.closed == closed
    trained.harm("row")
    assert training.train(trained.sides.desk, "sides").promoted
    assert trained.control.closed == closed


def test_no_wording_of_a_person_is_taken_for_an_alarm() -> None:
    """A new certificate does not open what a person closed."""
    stream = Stream("sqlite:///:memory:", audit=0.5, guarantee=EASY)
    by_hand(stream.desk, "mail", "the monitor found nothing, I want to look")
    stream.opened()
    assert stream.loop.control.closed == {"": "the monitor found nothing, I want to look"}
    stream.desk.close()
