"""What users hold on to: the public face, the help, the API's description, and a database that a release wrote.

`python tests/snapshots/write.py` writes the first three again, which is for changes that users are meant to meet.
"""

from __future__ import annotations

import gzip
import json
import re
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from certify_cases import problems

import dualcontrol as dc
from dualcontrol.errors import EligibilityError, ErasedError, SchemaError, SignInError
from dualcontrol.learn.risk_model import RiskModel
from dualcontrol.learn.sklearn_trainer import Features, SklearnModel, SklearnTrainer
from dualcontrol.people import Grant
from dualcontrol.store.sql import upgrade
from dualcontrol.store.sql.schema import HEAD
from dualcontrol.testing import START, FakeClock

SNAPSHOTS = Path(__file__).parents[1] / "snapshots"
sys.path.insert(0, str(SNAPSHOTS))

import faces  # noqa: E402
import release  # noqa: E402


def held(name: str) -> Any:
    return json.loads((SNAPSHOTS / f"{name}.json").read_text(encoding="utf-8"))


def as_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


def test_python_offers_the_same_names_and_parameters() -> None:
    face, now = held("face"), as_json(faces.python())
    assert now["all"] == face["all"]
    for part in ("names", "more"):
        assert now[part] == face[part], part
    assert now["codes"].items() >= face["codes"].items()


def test_the_command_line_offers_the_same_commands_and_options() -> None:
    page, now = held("help"), as_json(faces.help_of_commands())
    assert list(now) == list(page)
    for command in page:
        assert now[command] == page[command], command


def test_the_api_is_described_as_before() -> None:
    described, now = held("openapi"), as_json(faces.openapi())
    for part in described:
        if isinstance(described[part], dict):
            assert now[part].keys() == described[part].keys()
            assert [n for n in described[part] if now[part][n] != described[part][n]] == []
    assert now == described


# a release's database


@pytest.fixture
def before(tmp_path: Path) -> str:
    """The database as the release left it."""
    path = tmp_path / "release.db"
    path.write_bytes(gzip.decompress((SNAPSHOTS / "release.db.gz").read_bytes()))
    return f"sqlite:///{path}"


@pytest.fixture
def url(before: str) -> str:
    """The same, upgraded as its owner would."""
    upgrade(before)
    return before


@pytest.fixture
def desk(url: str) -> Iterator[dc.Desk]:
    with release.desk(url, FakeClock(START + 9_000_000_000), seed=3) as desk:
        yield desk


def test_a_database_of_a_release_asks_for_its_upgrade(before: str) -> None:
    with pytest.raises(SchemaError, match="this program needs") as refused:
        dc.open(before)
    assert "dualcontrol db upgrade" in refused.value.hint
    assert upgrade(before) == upgrade(before) == HEAD


def test_every_case_of_a_release_is_read_as_it_was(url: str) -> None:
    before, now = held("release"), as_json(release.described(url))
    for case_id, case in before["cases"].items():
        assert now["cases"][case_id] == case
        assert now["events"][case_id] == before["events"][case_id]
    assert now == before


def test_a_release_left_nothing_wrong(desk: dc.Desk) -> None:
    assert problems(desk) == []


def test_the_work_of_a_release_goes_on(desk: dc.Desk) -> None:
    """What waits is answered, what is ready runs once, what is unknown is resolved, a key finds its case."""
    cases = {case.id: case for case in release.every_case(desk)}
    states = [(c.loop, c.state, c.effect.state) for c in cases.values()]
    assert states.count(("refunds", "decided", "ready")) == 3
    assert states.count(("answers", "open", "none")) == 3
    desk.sweep()
    refunds = desk.loop(
        "refunds", mode="approval", threshold=0.9, context="minimal", group="everybody", quorum={"answers": 1}
    )
    runs: list[float] = []

    @refunds.gate(timeout=0)
    def refund(order: str, amount: float = 10.0) -> float:
        runs.append(amount)
        return amount

    for case in [c for c in cases.values() if c.effect.state == "ready"]:
        if case.erased:
            with pytest.raises(ErasedError):
                refund.resume(case)
        else:
            assert refund.resume(case) == refund.resume(case) == case.resolved_value()["args"]["amount"]
    assert runs == [90.0, 1000.0]
    (unknown,) = [c for c in cases.values() if c.effect.state == "unknown"]
    assert desk.resolve_effect(unknown.id, happened=True, result=1).effect.state == "succeeded"
    for person in ("ben", "ana"):
        while (claim := desk.claim(person, "answers")) is not None:
            claim.respond("Yes, by Friday")
    assert [desk.case(c.id).state for c in cases.values() if c.loop == "answers"].count("open") <= 1
    case = refunds.propose(
        action="refund", args={"order": "keyed", "amount": 61.0}, input="x", confidence=0.4, key="order 61"
    )
    assert case.id in cases
    desk.loop("mail", mode="labels", labels=["spam", "ham"], context="minimal", guarantee=release.PROMISE, audit=0.1)
    standing = desk.loop("mail").guarantee()[0]
    assert standing.threshold == held("release")["loops"]["mail"]["thresholds"][""]
    assert problems(desk) == []


def test_who_worked_in_a_release_is_known_and_goes_on_when_there_are_accounts(desk: dc.Desk) -> None:
    """By the names in its cases, which are nobody's sign-in; until the first account any name does, as before."""
    earlier = {account.name: account for account in desk.people.accounts()}
    assert earlier.keys() == {"ana", "ben", "cleo"}
    assert {account.state for account in earlier.values()} == {"named"}
    assert not desk.people.begun
    desk.sign_ins.set_up("root", "four words or so")
    claim = desk.claim("cleo", "answers")
    assert claim is not None
    claim.respond("Yes, by Friday")
    for stranger in ("zoe", "ben"):  # ben has worked in other loops
        with pytest.raises(EligibilityError, match=f"{stranger} has no role in loop 'answers'"):
            desk.claim(stranger, "answers")
    with pytest.raises(SignInError):
        desk.sign_ins.by_password("ana", "")
    invited = desk.people.invite("Ana", "root", roles=[Grant(role="reviewer")])
    assert (invited.account.id, invited.account.state) == (earlier["ana"].id, "invited")
    assert desk.sign_ins.choose_password(invited.secret, "another four words").id == earlier["ana"].id
    assert problems(desk) == []


# a model's file


def test_a_model_file_names_the_classes_that_it_always_named() -> None:
    """A file of an earlier release is loaded by these names: classes that move have to be found under them."""
    rows = [{"n": n, "text": f"word{n % 3} and {'good' if n % 2 else 'bad'} news"} for n in range(40)]
    model = SklearnTrainer().fit(rows, [n % 2 for n in range(40)], [1.0] * 40, seed=0)
    files = [SklearnTrainer().dump(model), RiskModel.fit(rows * 4, np.arange(160) % 2 == 0).to_bytes()]
    named = {name for file in files for name in re.findall(rb"dualcontrol\.[\w.]+", zlib.decompress(file))}
    assert named == {b"dualcontrol.learn.calibrate", b"dualcontrol.learn.sklearn_trainer"}
    assert {SklearnModel.__module__, Features.__module__} == {"dualcontrol.learn.sklearn_trainer"}
