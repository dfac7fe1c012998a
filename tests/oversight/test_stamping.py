"""The rubber-stamp alarm: every run of answers by exact arithmetic, and the numbers that are promised of it."""

from __future__ import annotations

import json
import random
from fractions import Fraction

import pytest

from dualcontrol.errors import GuaranteeError
from dualcontrol.oversight.stamping import Stamping

MISS, CATCH, LIMIT = Fraction(4), Fraction(2, 3), Fraction(19)  # .40 / .10, .60 / .90, .95 / .05


def exact(chance: float, most: int = 400) -> tuple[float, float, float]:
    """Probability of a flag, mean number of probes, and mean number before a flag, by dynamic programming."""
    alive, flagged, probes, before = {(0, 0): 1.0}, 0.0, 0.0, 0.0
    for number in range(1, most):
        onwards: dict[tuple[int, int], float] = {}
        for (missed, caught), weight in alive.items():
            for place, part in (((missed + 1, caught), chance), ((missed, caught + 1), 1.0 - chance)):
                ratio = MISS ** place[0] * CATCH ** place[1]
                if 1 / LIMIT < ratio < LIMIT:
                    onwards[place] = onwards.get(place, 0.0) + weight * part
                    continue
                probes += number * weight * part
                if ratio >= LIMIT:
                    flagged += weight * part
                    before += number * weight * part
        alive = onwards
    assert sum(alive.values()) < 1e-9
    return flagged, probes, before / flagged


def test_the_limits_are_those_of_exact_arithmetic() -> None:
    """Each lattice point that a run can reach, from every run of up to fourteen answers."""
    for bits in range(2**14):
        test, ratio = Stamping(), Fraction(1)
        for place in range(14):
            missed = bits >> place & 1
            ratio *= MISS if missed else CATCH
            wanted = "stamping" if ratio >= LIMIT else "healthy" if ratio <= 1 / LIMIT else None
            assert test.observe(missed) == wanted
            if wanted:
                break


def test_the_exact_figures_are_those_of_the_page() -> None:
    """Flags and probes for one run of the test; Wald's bounds hold with room, as a run passes its limits."""
    healthy, stamper, four = exact(0.10), exact(0.90), exact(0.40)
    assert healthy[0] == pytest.approx(0.02706, abs=0.0001)
    assert healthy[1] == pytest.approx(13.27, abs=0.05)
    assert stamper[0] > 0.999
    assert stamper[1] == pytest.approx(3.3, abs=0.05)
    assert four[0] == pytest.approx(0.96, abs=0.01)
    assert healthy[0] <= 0.05 / 0.95
    assert 1 - four[0] <= 0.05 / 0.95


def probes_to_a_flag(chance: float, seed: int) -> int:
    """Over as many runs of the test as it takes."""
    rng, test, number = random.Random(seed), Stamping(), 0
    while not test.flags:
        test.observe(rng.random() < chance)
        number += 1
    return number


@pytest.mark.parametrize(("chance", "mean"), [(0.9, 3.3), (0.4, 10.6)])
def test_a_stamper_is_flagged_after_a_few_probes(chance: float, mean: float) -> None:
    flagged, probes, _ = exact(chance)
    found = sum(probes_to_a_flag(chance, seed) for seed in range(800)) / 800
    assert found == pytest.approx(probes / flagged, rel=0.12)  # a renewal: so many runs of so many probes
    assert found == pytest.approx(mean, rel=0.15)


def test_it_begins_anew_after_a_verdict_and_counts_it() -> None:
    test = Stamping()
    assert [test.observe(True) for _ in range(3)] == [None, None, "stamping"]
    assert (test.evidence, test.flags, test.share) == (0.0, 1, 0.0)
    assert [test.observe(False) for _ in range(8)] == [None] * 7 + ["healthy"]
    assert (test.clears, test.missed, test.caught) == (1, 0, 0)


def test_stored_it_goes_on() -> None:
    rng, test = random.Random(0), Stamping(0.05, 0.5, false_flag=0.01)
    back = Stamping.from_dict(test.to_dict())
    for _ in range(200):
        missed = rng.random() < 0.2
        back = Stamping.from_dict(json.loads(json.dumps(back.to_dict())))
        assert back.observe(missed) == test.observe(missed)
    assert back.to_dict() == test.to_dict()
    assert test.flags + test.clears > 5


@pytest.mark.parametrize(
    "options",
    [{"healthy": 0.0}, {"stamping": 1.0}, {"healthy": 0.4}, {"healthy": "x"}, {"false_flag": 0.6, "false_clear": 0.4}],
)
def test_a_test_without_sense_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(GuaranteeError):
        Stamping(**options)


@pytest.mark.parametrize("change", [{"missed": 30}, {"missed": -1}, {"flags": None}, {"healthy": 0.5}])
def test_a_damaged_test_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(GuaranteeError, match="no stored rubber-stamp test"):
        Stamping.from_dict(Stamping().to_dict() | change)


def test_a_probe_without_an_answer_is_refused() -> None:
    test = Stamping()
    with pytest.raises(GuaranteeError, match="neither caught nor missed"):
        test.observe(None)  # type: ignore[arg-type]
    assert test.to_dict() == Stamping().to_dict()


def test_who_accepts_to_clear_more_stampers_flags_sooner() -> None:
    """Two misses are odds of sixteen: at a limit of .6 / .05 = 12 they are enough, at .95 / .05 = 19 not."""
    eager, strict = Stamping(false_clear=0.4), Stamping()
    assert [(eager.observe(True), strict.observe(True)) for _ in range(2)][-1] == ("stamping", None)
