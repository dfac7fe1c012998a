"""The benchmark of people in short: the product's limits hold, those for one look do not, and its figures are exact."""

from __future__ import annotations

import sys
from math import exp
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dualcontrol.oversight.certificate import OversightCertificate

pytest.importorskip("scipy")


@pytest.fixture(scope="module")
def bench() -> Any:
    """The benchmark itself; its modules lie beside each other and import each other by plain name."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))
    try:
        import broken_humans
        import humans as found
        import probed  # noqa: F401

        found.broken = broken_humans
    finally:
        sys.path.pop(0)
    return found


@pytest.mark.parametrize("people", ["catch .80", "tire, 5 to 60 % within each 200", "careful only after a miss"])
def test_the_certificate_holds_where_one_look_fails(bench: Any, people: str) -> None:
    found = bench.looked_at(people, 600, 120, seed=5)
    assert found[bench.CERTIFICATE].ever <= 0.05
    assert found["dualcontrol"].ever <= 0.05 + 1.65 * (0.05 * 0.95 / 600) ** 0.5
    assert found["Clopper-Pearson at every look"].ever > 0.1


def test_the_bench_looks_at_what_the_certificate_says(bench: Any) -> None:
    certificate = OversightCertificate()
    for n in range(60):
        certificate.probe(missed=n % 5 == 0)
    from probed import mixture

    assert certificate.caught_at_least == pytest.approx(1.0 - mixture(60, 0.025)[12], abs=1e-9)


def test_a_squared_rate_fails_where_two_people_miss_the_same(bench: Any) -> None:
    found = bench.paired(0.2, 0.6, 300, 80, seed=1)
    assert found.squared > 0.3
    assert max(found.joint, found.total) <= 0.05 + 1.65 * (0.05 * 0.95 / 300) ** 0.5


@pytest.mark.parametrize("bar", ["P6", "P7"])
def test_a_small_run_meets_its_bars(bench: Any, bar: str) -> None:
    assert [line for line in bench.BARS[bar](bench.Bench(200, 150, 11)) if not line.ok] == []


def test_the_true_error_of_a_region_is_that_of_the_cases_that_reach_it(bench: Any) -> None:
    """By hand: means of .04 exp(-2 q) and .25 exp(-q), six tenths easy, four tenths kept with people by the rule."""
    run = bench.broken.Run("a rule is deleted", 0, 1)
    easy, hard = 0.04 * (1 - exp(-2)) / 2, 0.25 * (1 - exp(-1))
    run.loop = SimpleNamespace(control=SimpleNamespace(thresholds={"": "0.0"}))
    assert run.risk() == pytest.approx(easy, rel=1e-3)
    run.rules = ()
    assert run.risk() == pytest.approx(0.6 * easy + 0.4 * hard, rel=1e-3)
    run.loop.control.thresholds = {}
    assert run.risk() is None
    run.desk.close()


def test_a_real_desk_is_played_by_people_who_miss(bench: Any) -> None:
    """Nothing is certified after 150 decisions; every case has been answered, what was called wrong twice."""
    found = bench.broken.once(("catch .5", 3, 150))
    assert (found["opened"], found["broken"], found["coverage"]) == (False, False, 0.0)
    assert found["answers"] >= 150
    assert found["blind"] == 1.0  # until something is certified nobody is shown a proposal
