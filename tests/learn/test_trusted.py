"""Whoever writes into the database, or beside it, cannot choose which code a model or a trainer runs."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import pytest

import dualcontrol as dc
from dualcontrol import compose
from dualcontrol.doctor import OK, PROBLEM, WARNING, examine
from dualcontrol.errors import ModelError
from dualcontrol.events import ModelPromoted
from dualcontrol.learn.serving import current_model
from dualcontrol.learn.training import train, train_all_due
from dualcontrol.testing import seeded_ids

pytestmark = pytest.mark.skipif(os.name != "posix", reason="links and pipes")


class Evil:
    """Whoever unpickles this touches a file."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> Any:
        return (Path.touch, (self.witness,))


class Attack:
    """The database and the folder of models, changed from outside, and whether anything of it was loaded."""

    def __init__(self, folder: Path, settings: Any, clock: Any) -> None:
        self.folder, self.models, self.settings, self.clock = folder, folder / "models", settings, clock
        self.witness = folder / "was-loaded"

    def sql(self, statement: str, *given: Any) -> None:
        with sqlite3.connect(self.folder / "dc.db") as connection:
            assert connection.execute(statement, given).rowcount > 0
        connection.close()

    def evil(self, path: Path) -> str:
        """Write a model that betrays itself when it is loaded; its digest."""
        path.unlink(missing_ok=True)
        joblib.dump(Evil(self.witness), path)
        assert not self.witness.exists()
        return hashlib.sha256(path.read_bytes()).hexdigest()

    def row(self) -> tuple[str, str]:
        """Path and digest of the newest model."""
        with sqlite3.connect(self.folder / "dc.db") as connection:
            found = connection.execute("SELECT path, sha256 FROM models ORDER BY created_at DESC, id DESC").fetchone()
        connection.close()
        return found

    def opened(self) -> dc.Desk:
        """A program that starts now."""
        return compose.open(settings=self.settings, clock=self.clock, new_id=seeded_ids(7))


@pytest.fixture
def attack(desk, loop, answer, tmp_path, settings, clock) -> Attack:
    answer(60)
    assert train(desk, "sides").promoted
    return Attack(tmp_path, settings, clock)


def same_name(attack: Attack) -> None:
    attack.sql("UPDATE models SET sha256 = ?", attack.evil(attack.models / attack.row()[0]))


def file_alone(attack: Attack) -> None:
    attack.evil(attack.models / attack.row()[0])


def another_name(attack: Attack) -> None:
    digest = attack.evil(attack.models / "other.joblib")
    attack.sql("UPDATE models SET sha256 = ?, path = ?", digest, "other.joblib")


def absolute(attack: Attack) -> None:
    digest = attack.evil(attack.folder / "evil.joblib")
    attack.sql("UPDATE models SET sha256 = ?, path = ?", digest, str(attack.folder / "evil.joblib"))


def above(attack: Attack) -> None:
    digest = attack.evil(attack.folder / "evil.joblib")
    attack.sql("UPDATE models SET sha256 = ?, path = ?", digest, "../evil.joblib")


def linked(attack: Attack) -> None:
    digest = attack.evil(attack.folder / "evil.joblib")
    (attack.models / attack.row()[0]).unlink()
    (attack.models / attack.row()[0]).symlink_to(attack.folder / "evil.joblib")
    attack.sql("UPDATE models SET sha256 = ?", digest)


def linked_folder(attack: Attack) -> None:
    (attack.folder / "evil").mkdir()
    digest = attack.evil(attack.folder / "evil" / "evil.joblib")
    (attack.models / "sub").symlink_to(attack.folder / "evil")
    attack.sql("UPDATE models SET sha256 = ?, path = ?", digest, "sub/evil.joblib")


def never_promoted(attack: Attack) -> None:
    digest = attack.evil(attack.models / "new.joblib")
    attack.sql(
        "INSERT INTO models SELECT 'x', loop_id, 'evil-1', 'new.joblib', ?, state, examples, metrics, created_at "
        "FROM models", digest,
    )  # fmt: skip
    attack.sql("UPDATE loops SET control = replace(control, ?, 'evil-1')", version(attack))


def promoted_by_hand(attack: Attack) -> None:
    """The ledger is changed as well, but not every hash after it."""
    digest = attack.evil(attack.models / attack.row()[0])
    attack.sql("UPDATE entries SET body = replace(body, ?, ?)", attack.row()[1], digest)
    attack.sql("UPDATE models SET sha256 = ?", digest)


def version(attack: Attack) -> str:
    with sqlite3.connect(attack.folder / "dc.db") as connection:
        ((found,),) = connection.execute("SELECT version FROM models WHERE id <> 'x'")
    connection.close()
    return str(found)


ATTACKS = [
    same_name, file_alone, another_name, absolute, above, linked, linked_folder, never_promoted, promoted_by_hand,
]  # fmt: skip


@pytest.mark.parametrize("change", ATTACKS, ids=lambda change: change.__name__)
def test_no_other_file_is_unpickled(attack: Attack, change: Callable[[Attack], None]) -> None:
    change(attack)
    with attack.opened() as desk:
        assert current_model(desk, "sides") is None
        assert "sides" in {control.loop for control in desk.loops() if "" in control.closed}
        case = desk.loop("sides").propose(input={"x": 0.5, "y": 0.1}, candidates=["left", "right"], confidence=0.99)
        assert case.route.to == "human"
        findings = list(examine(desk.store, models=attack.models))
    assert not attack.witness.exists()
    assert [f for f in findings if f.level == PROBLEM and f.check in ("models", "evidence")]
    assert not [f for f in findings if f.level == OK and f.check == "models"]


def test_the_attack_would_work_on_what_is_not_checked(attack: Attack) -> None:
    attack.evil(attack.folder / "evil.joblib")
    joblib.load(attack.folder / "evil.joblib")
    assert attack.witness.exists()


@pytest.mark.parametrize("name", ["", ".", "..", "a\0b", "pipe", "circle", "x" * 300])
def test_a_path_that_is_no_file_is_refused_and_nobody_waits(attack: Attack, name: str) -> None:
    os.mkfifo(attack.models / "pipe")
    (attack.models / "circle").symlink_to("circle")
    attack.sql("UPDATE models SET path = ?", name)
    with attack.opened() as desk:
        assert current_model(desk, "sides") is None
        assert any(f.level == PROBLEM and f.check == "models" for f in examine(desk.store, models=attack.models))


def test_a_link_to_the_folder_itself_is_followed(attack: Attack) -> None:
    """Where the operator keeps the models is the operator's; only what lies in it is not to lead elsewhere."""
    attack.models.rename(attack.folder / "elsewhere")
    attack.models.symlink_to(attack.folder / "elsewhere")
    with attack.opened() as desk:
        assert current_model(desk, "sides") is not None


def test_a_model_of_an_older_version_is_used_and_named(desk, loop, answer, attack: Attack) -> None:
    """Its event names no file: the row's digest holds as it did, until a model is trained that is in the ledger."""
    before = loop.control
    answer(40)

    def older(now: Any, at: int) -> list[Any]:
        said = {"model": before.model, "examples": 1, "metric": "log_loss", "score": "0.1", "incumbent": before.model}
        return [ModelPromoted(version=now.version + 1, at=at, **said)]

    desk.steps.move("sides", older)
    with attack.opened() as again:
        assert current_model(again, "sides") is not None
        (found,) = [f for f in examine(again.store, models=attack.models) if f.check == "models"]
    assert (found.level, "older version" in found.what) == (WARNING, True)
    file_alone(attack)
    with attack.opened() as again:
        assert current_model(again, "sides") is None
    assert not attack.witness.exists()


# trainers

MODULE = """
import pathlib
pathlib.Path({witness!r}).touch()
from dualcontrol.learn.sklearn_trainer import SklearnTrainer
class Own(SklearnTrainer):
    name = "own"
"""


@pytest.fixture
def own(attack: Attack, monkeypatch: pytest.MonkeyPatch) -> str:
    """A trainer that can be imported, and betrays itself when it is."""
    (attack.folder / "own_trainer.py").write_text(MODULE.format(witness=str(attack.witness)))
    monkeypatch.syspath_prepend(str(attack.folder))
    monkeypatch.delitem(sys.modules, "own_trainer", raising=False)
    return "own_trainer:Own"


FEEDBACK = {"retrain_every": 20, "or_every": "7d", "holdout": 0.25}
SIDES = {"mode": "labels", "labels": ["left", "right"], "threshold": 0.9, "audit": 0.5, "context": ["input"]}


def test_a_trainer_that_only_the_row_of_a_model_names_is_not_imported(attack: Attack, own: str) -> None:
    attack.sql("""UPDATE models SET metrics = replace(metrics, '"trainer":"sklearn"', ?)""", f'"trainer":"{own}"')
    with attack.opened() as desk:
        assert current_model(desk, "sides") is None
        assert "" not in desk.control("sides").closed  # other programs may name it
    assert not attack.witness.exists()
    with attack.opened() as desk:
        desk.loop("sides", **SIDES, feedback=FEEDBACK | {"trainer": own})
        assert current_model(desk, "sides") is not None
    assert attack.witness.exists()


def test_a_trainer_that_another_programs_settings_name_is_not_imported(attack: Attack, own: str, answer) -> None:
    with attack.opened() as other:
        other.loop("sides", **SIDES, feedback=FEEDBACK | {"trainer": own})
    answer(40)
    with attack.opened() as desk:
        desk.loop("sides")
        with pytest.raises(ModelError, match="settings of this program do not") as raised:
            train(desk, "sides")
        assert own in raised.value.hint
        assert train_all_due(desk) == []
    assert not attack.witness.exists()
    with attack.opened() as desk:
        desk.loop("sides", **SIDES, feedback=FEEDBACK | {"trainer": own})
        assert train(desk, "sides").trainer == own
    assert attack.witness.exists()
