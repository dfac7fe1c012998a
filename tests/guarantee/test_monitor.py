"""The monitor alarms when autopilot has become worse than promised, seldom otherwise, and begins anew."""

from __future__ import annotations

import json
import random

import pytest

from dualcontrol.errors import GuaranteeError
from dualcontrol.guarantee.monitor import Monitor


def labels_until_alarm(monitor: Monitor, risk: float, most: int, seed: int, inclusion: float = 1.0) -> int | None:
    """How many labels it took; None if there was no alarm among `most`."""
    rng = random.Random(seed)
    for n in range(1, most + 1):
        if monitor.observe(wrong=rng.random() < risk, inclusion=inclusion):
            return n
    return None


def test_three_times_the_promised_error_is_found() -> None:
    found = [labels_until_alarm(Monitor(0.05), 0.15, 2_000, seed) for seed in range(40)]
    assert None not in found
    assert sorted(found)[20] < 200  # type: ignore[type-var]


def test_an_error_below_the_promise_is_left_alone() -> None:
    assert [labels_until_alarm(Monitor(0.05), 0.03, 2_000, seed) for seed in range(40)] == [None] * 40


def test_after_an_alarm_it_begins_anew() -> None:
    monitor = Monitor(0.05)
    assert labels_until_alarm(monitor, 1.0, 100, 0) is not None
    assert (monitor.value, monitor.share, monitor.suspicious) == (1.0, 0.0, False)


def test_evidence_of_health_is_not_saved_up() -> None:
    """A thousand right decisions do not delay the alarm that follows."""
    after_health, fresh = Monitor(0.05), Monitor(0.05)
    for _ in range(1_000):
        after_health.observe(wrong=0, inclusion=1.0)
    assert abs(labels_until_alarm(after_health, 1.0, 100, 0) - labels_until_alarm(fresh, 1.0, 100, 0)) <= 1  # type: ignore[operator]


def test_it_is_suspicious_on_the_way() -> None:
    monitor = Monitor(0.05)
    while not monitor.suspicious:
        assert not monitor.observe(wrong=1, inclusion=1.0)
    assert 0.0 < monitor.share < 1.0


def test_a_rare_audit_weighs_more_than_a_certain_one() -> None:
    rare, certain = Monitor(0.05, floor=0.5), Monitor(0.05, floor=0.5)
    rare.observe(wrong=1, inclusion=0.5)
    certain.observe(wrong=1, inclusion=1.0)
    assert rare.value > certain.value > 1.0


def test_stored_it_goes_on_bit_by_bit() -> None:
    straight, rng = Monitor(0.05, floor=0.1, miss_rate=0.1), random.Random(0)
    for _ in range(300):
        stored = Monitor.from_dict(json.loads(json.dumps(straight.to_dict())))
        given = {"wrong": rng.random() < 0.1, "inclusion": rng.choice([1.0, 0.3, 0.1, 0.05])}
        assert stored.observe(**given) == straight.observe(**given)
        assert stored.to_dict() == straight.to_dict()


@pytest.mark.parametrize("wrong", [2, 0.5, None, float("nan")])
@pytest.mark.parametrize("inclusion", [1.0])
def test_what_is_no_label_is_refused(wrong: float, inclusion: float) -> None:
    monitor = Monitor(0.05)
    before = monitor.to_dict()
    with pytest.raises(GuaranteeError):
        monitor.observe(wrong=wrong, inclusion=inclusion)  # type: ignore[arg-type]
    assert monitor.to_dict() == before


@pytest.mark.parametrize("inclusion", [0.0, 1.5, -1.0, float("nan")])
def test_what_could_not_be_audited_is_refused(inclusion: float) -> None:
    monitor = Monitor(0.05)
    before = monitor.to_dict()
    with pytest.raises(GuaranteeError):
        monitor.observe(wrong=0, inclusion=inclusion)
    assert monitor.to_dict() == before


@pytest.mark.parametrize("floor", [0.0, 0.6, float("nan")])
def test_a_floor_above_the_inclusion_is_refused(floor: float) -> None:
    monitor = Monitor(0.05)
    with pytest.raises(GuaranteeError):
        monitor.observe(wrong=0, inclusion=0.5, floor=floor)
    assert monitor.labels == 0


@pytest.mark.parametrize(
    "given", [{"max_error": 0.0}, {"max_error": 1.0}, {"floor": 0.0}, {"alarm_at": 1.0}, {"miss_rate": 1.0}]
)
def test_a_monitor_without_sense_is_refused(given: dict[str, float]) -> None:
    with pytest.raises(GuaranteeError):
        Monitor(**{"max_error": 0.05} | given)
