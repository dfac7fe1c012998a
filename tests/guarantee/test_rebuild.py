"""A certificate rebuilt from columns is bit by bit the one that was told label by label."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualcontrol.errors import GuaranteeError
from dualcontrol.guarantee import rebuild
from dualcontrol.guarantee.certificate import Certificate, wealth_of
from dualcontrol.guarantee.rebuild import count_all

EDGES = [i / 20 for i in range(1, 20)]


def made_up(count: int, seed: int, risk: float, audits: list[float], said: str) -> dict[str, Any]:
    """Labels in columns, errors falling with the score; gaps in their numbers."""
    rng = np.random.default_rng(seed)
    scores = rng.choice(rng.random(30), count) if seed % 2 else rng.random(count)
    inclusions = np.where(np.arange(count) < count // 3, 1.0, rng.choice(audits, count))
    floors = {"none": None, "all": inclusions / 2, "some": np.where(rng.random(count) < 0.5, inclusions, np.nan)}
    return {
        "seqs": np.cumsum(rng.integers(1, 4, count)), "scores": scores,
        "wrongs": (rng.random(count) < 2 * risk * (1 - scores)).astype(int), "inclusions": inclusions,
        "floors": floors[said],
    }  # fmt: skip


def singly(certificate: Certificate, columns: dict[str, Any]) -> Certificate:
    """The certificate after it was told each label."""
    floors = columns["floors"]
    for row in range(len(columns["seqs"])):
        floor = None if floors is None or np.isnan(floors[row]) else floors[row]
        certificate.observe(
            seq=columns["seqs"][row], score=columns["scores"][row], wrong=columns["wrongs"][row],
            inclusion=columns["inclusions"][row], floor=floor,
        )  # fmt: skip
    certificate.tick()
    return certificate


@settings(max_examples=150, deadline=None)
@given(
    count=st.sampled_from([0, 1, 50, 700, 3_000]), seed=st.integers(0, 10_000),
    risk=st.sampled_from([0.0, 0.02, 0.05, 0.5]), audits=st.lists(st.sampled_from([1.0, 0.5, 0.1, 0.03]), min_size=1),
    said=st.sampled_from(["none", "all", "some"]), launch=st.sampled_from([0, 100]), pilot=st.sampled_from([None, 40]),
    max_error=st.sampled_from([0.05, 0.2]), miss_rate=st.sampled_from([0.0, 0.2]), cut=st.floats(0.0, 1.0),
)  # fmt: skip
def test_columns_give_bit_by_bit_what_single_labels_give(
    count: int, seed: int, risk: float, audits: list[float], said: str, launch: int, pilot: int | None,
    max_error: float, miss_rate: float, cut: float,
) -> None:  # fmt: skip
    """In one call or in two, with pilot and launch or without, floors said or not."""
    columns = made_up(count, seed, risk, audits, said)
    given_edges = {"edges": EDGES} if pilot is None else {"bins": 15, "pilot": pilot}
    options: dict[str, Any] = {"launch": launch, "miss_rate": miss_rate, "floor": 0.1} | given_edges
    expected = singly(Certificate(max_error, 0.8, **options), columns)
    at_once, in_two = Certificate(max_error, 0.8, **options), Certificate(max_error, 0.8, **options)
    steps = count_all(at_once, **columns)
    part = int(cut * count)
    for half in (slice(0, part), slice(part, None)):
        count_all(in_two, **{k: None if v is None else v[half] for k, v in columns.items()})
    assert at_once.to_dict() == expected.to_dict() == in_two.to_dict()
    assert steps == expected.steps
    assert json.dumps(at_once.to_dict()) == json.dumps(expected.to_dict())


def test_blocks_of_any_size_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where many regions are certified inside one block."""
    columns = made_up(5_000, 4, 0.02, [0.1, 0.3], "none")
    expected = singly(Certificate(0.2, 0.8, edges=EDGES), columns)
    assert len(expected.steps) > 8
    for small, large in ((1, 1), (7, 64), (5_000, 5_000)):
        monkeypatch.setattr(rebuild, "SMALL", small)
        monkeypatch.setattr(rebuild, "LARGE", large)
        found = Certificate(0.2, 0.8, edges=EDGES)
        count_all(found, **columns)
        assert found.to_dict() == expected.to_dict()


@pytest.mark.parametrize(
    ("column", "value"),
    [("scores", np.nan), ("wrongs", 2), ("inclusions", 0.0), ("inclusions", 1.1), ("floors", 0.9), ("floors", 0.0),
     ("seqs", 0), ("seqs", 10**6)],
)  # fmt: skip
def test_a_row_that_is_no_label_is_refused_and_nothing_is_counted(column: str, value: float) -> None:
    columns = made_up(60, 0, 0.02, [0.5], "all")
    columns[column] = columns[column].copy()
    columns[column][30] = value
    certificate = Certificate(0.05, edges=EDGES)
    before = certificate.to_dict()
    with pytest.raises(GuaranteeError):
        count_all(certificate, **columns)
    assert certificate.to_dict() == before


def test_columns_do_not_overtake_labels_that_wait() -> None:
    certificate = Certificate(0.05, edges=EDGES)
    certificate.observe(score=0.5, wrong=0, inclusion=1.0, seq=3)
    with pytest.raises(GuaranteeError, match="waiting"):
        count_all(certificate, **made_up(10, 0, 0.02, [0.5], "none"))


def test_columns_of_different_lengths_are_refused() -> None:
    columns = made_up(10, 0, 0.02, [0.5], "none")
    with pytest.raises(GuaranteeError, match="lengths"):
        count_all(Certificate(0.05, edges=EDGES), **columns | {"scores": columns["scores"][1:]})


@pytest.mark.parametrize(("more", "row"), [(0.0, 99), (1e-12, 100)])
def test_the_certificates_own_sum_decides_where_two_logarithms_differ(more: float, row: int) -> None:
    """A wealth that just meets the target certifies; one that misses it by a trillionth does not."""
    columns = made_up(101, 0, 0.0, [1.0], "none") | {"inclusions": np.ones(101), "scores": np.full(101, 0.99)}
    first = {name: None if column is None else column[:100] for name, column in columns.items()}
    target = wealth_of(singly(Certificate(0.05, 1 - 1e-15, edges=EDGES), first)._sums) + more
    expected, found = Certificate(0.05, edges=EDGES), Certificate(0.05, edges=EDGES)
    expected._target = found._target = target
    assert count_all(found, **columns)[0].seq == columns["seqs"][row]
    assert found.to_dict() == singly(expected, columns).to_dict()
