"""What was stored of a certificate, monitor or bound and is damaged: one clear error, and nothing opens."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest

from dualcontrol.errors import GuaranteeError
from dualcontrol.guarantee.bound import RunningBound
from dualcontrol.guarantee.certificate import Certificate
from dualcontrol.guarantee.monitor import Monitor

NAN, EDGES = float("nan"), [0.2, 0.5, 0.8]


def refused(act: Callable[[], object], *says: str) -> None:
    """The error says what is wrong and what to do."""
    with pytest.raises(GuaranteeError) as caught:
        act()
    assert caught.value.hint
    for part in says:
        assert part in str(caught.value)


def counted() -> dict[str, Any]:
    """A certificate with a step, as it is stored."""
    made = Certificate(0.2, edges=EDGES, launch=100)
    for seq in range(200):
        made.observe(score=seq % 10 / 10, wrong=0, inclusion=1.0, seq=seq)
    made.tick(180)
    assert made.threshold is not None
    return json.loads(json.dumps(made.to_dict()))


DAMAGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "empty": lambda d: d.clear(),
    "no steps": lambda d: d.pop("steps"),
    "no promise": lambda d: d["given"].clear(),
    "another key": lambda d: d["given"].update(x=1),
    "a promise of 0": lambda d: d["given"].update(max_error=0),
    "a threshold of NaN": lambda d: d["steps"][0].__setitem__(2, NAN),
    "another threshold": lambda d: d["steps"][0].__setitem__(2, 0.123),
    "a bin that is none": lambda d: d["steps"][0].__setitem__(1, 99),
    "a step from the future": lambda d: d["steps"][0].__setitem__(0, 10**6),
    "half a step": lambda d: d["steps"].__setitem__(0, [1]),
    "bets of NaN": lambda d: d.update(_sums=[NAN] * 8),
    "bets of infinity": lambda d: d.update(_sums=[math.inf] * 8),
    "bets of text": lambda d: d.update(_sums=["x"] * 8),
    "too few bets": lambda d: d.update(_logs=[]),
    "weights of NaN": lambda d: d.update(weights=[NAN] * 4),
    "weights below 0": lambda d: d.update(weights=[-1.0] * 4),
    "too few weights": lambda d: d.update(weights=[1.0]),
    "edges in disorder": lambda d: d.update(edges=[0.8, 0.2, 0.5]),
    "a waiting NaN": lambda d: d["waiting"][0].__setitem__(1, NAN),
    "a waiting label of inclusion 0": lambda d: d["waiting"][0].__setitem__(3, 0.0),
    "a waiting label twice": lambda d: d["waiting"].insert(0, d["waiting"][0]),
    "a waiting label that was counted": lambda d: d["waiting"][0].__setitem__(0, 3),
    "half a waiting label": lambda d: d["waiting"].__setitem__(0, [190]),
    "a place of text": lambda d: d.update(seq="x"),
    "counts below 0": lambda d: d.update(labels=-5),
    "no beginning": lambda d: d.update(begun=False),
    "a next region above": lambda d: d.update(_next=3),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_certificate_is_one_clear_error(damage: str):
    stored = counted()
    assert Certificate.from_dict(stored).to_dict() == stored
    DAMAGES[damage](stored)
    refused(lambda: Certificate.from_dict(stored), "this is no stored certificate", "`loop.evidence()`")


@pytest.mark.parametrize("stored", [None, [], "x", 5, {}])
@pytest.mark.parametrize("kind", [Certificate, Monitor, RunningBound])
def test_damaged_beyond_reading_is_one_clear_error(kind: Any, stored: Any):
    refused(lambda: kind.from_dict(stored), "this is no stored")


@pytest.mark.parametrize(
    ("kind", "change"),
    [(Monitor, {"logs": [NAN] * 8}), (Monitor, {"logs": []}), (Monitor, {"least": 0}), (Monitor, {"labels": "x"}),
     (RunningBound, {"sums": [NAN, 0, 0]}), (RunningBound, {"sums": [0]}), (RunningBound, {"cases": -1}),
     (RunningBound, {"floor": 0})],
)  # fmt: skip
def test_damaged_monitor_or_bound_is_one_clear_error(kind: Any, change: dict[str, Any]):
    made = kind(0.05)
    assert kind.from_dict(made.to_dict()).to_dict() == made.to_dict()
    refused(lambda: kind.from_dict(made.to_dict() | change), "this is no stored")


@pytest.mark.parametrize(
    "change",
    [{"edges": [NAN]}, {"edges": [0.5, 0.4]}, {"edges": ["x"]}, {"edges": "abc"}, {"first": 9}, {"first": -1},
     {"bins": NAN}, {"pilot": 2.5}, {"segments": NAN}, {"launch": "x"}, {"floor": "x"}, {"start": NAN}],
)  # fmt: skip
def test_damaged_options_of_a_certificate_are_refused_by_name(change: dict[str, Any]):
    refused(lambda: Certificate(**{"max_error": 0.2, "edges": EDGES} | change), next(iter(change)))
