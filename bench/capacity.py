"""Waits as Erlang's formula says them and as a simulated queue has them; a tenfold burst through the real desk.

Everything here is simulated: arrivals, handling times and reviewers.  The burst is the real desk on SQLite in
memory, with a clock that jumps, and what is shed is counted in its ledger afterwards.
Exit status 1 if a wait is longer than promised, if anything was approved by relief, or if a shed case is not in the
ledger.

    python bench/capacity.py [--streams 20] [--bursts 20] [--json]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from dualcontrol.case import is_high
from dualcontrol.route.capacity import greatest_rate
from dualcontrol.testing import FakeClock

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from burst import Plan, Play, Told, seeded, shed_in_ledger
from simulated_queue import waits as queued

HANDLING, PROMISE, LATE, CASES = 4.0, 15.0, 0.05, 100_000
SCV = float(np.e - 1)
BAR = 1.4 * LATE


def late(servers: int, rate: float, handling: Any, seed: int) -> float:
    """The share of cases of a simulated queue that waits too long; the first tenth is not counted."""
    return float((queued(servers, rate, handling, seed) > PROMISE).mean())


def handled(kind: str, seed: int) -> Any:
    """Handling times of four minutes: exponential, or lognormal with a squared coefficient of variation of e - 1."""
    rng = np.random.default_rng(1_000 + seed)
    return (
        rng.exponential(HANDLING, CASES) if kind == "exponential" else rng.lognormal(np.log(HANDLING) - 0.5, 1, CASES)
    )


def waits(streams: int) -> list[dict[str, Any]]:
    """B9: at the greatest rate, how many wait too long, with the correction for uneven times and without."""
    rows = []
    for servers in (1, 3, 10):
        for kind, scv in (("exponential", 1.0), ("lognormal", SCV), ("lognormal", 1.0)):
            rate = greatest_rate(servers, HANDLING, PROMISE, LATE, scv)
            found = np.mean([late(servers, rate, handled(kind, n), n) for n in range(streams)])
            corrected = kind == "exponential" or scv > 1
            rows.append({
                "servers": servers, "handling": kind, "corrected": corrected, "an_hour": round(rate * 60, 1),
                "promised": LATE, "simulated": round(float(found), 4), "kept": bool(found <= BAR),
            })  # fmt: skip
    return rows


def told(seed: int, on_timeout: str, relief: bool) -> dict[str, Any]:
    """One burst through the real desk, and what its ledger says."""
    clock = FakeClock()
    capacity = {"reviewers": 3, "availability": 1.0} if relief else None
    with seeded(seed, clock) as desk:
        loop = desk.loop(
            "pay", threshold=0.9, risk_ceiling="medium", audit=0.2, context="minimal", lease="1h", capacity=capacity,
            respond_within="15m", on_timeout=on_timeout,
        )  # fmt: skip
        played = Play(desk, clock, loop, Plan(seed=seed)).run()
        ledger = shed_in_ledger(desk, loop)
    shed = sum(c.route is not None and c.route.by == "relief" for c in played.cases)
    return {
        "cases": len(played.cases), "waits": high_waits(played), "approved_by_relief": approved(played), "shed": shed,
        "in_ledger": ledger["hold"] + ledger["reject"], "later": ledger["later"], "versions": len(played.moves),
        "highest": max((m.level for m in played.moves), default=0), "ended": played.control.relief,
    }  # fmt: skip


def high_waits(played: Told) -> list[float]:
    """How many minutes high and critical risks waited; infinite where nobody took the case."""
    high = [c for c in played.cases if c.route is not None and c.route.to == "human" and is_high(c.risk)]
    return [played.waited.get(case.id, np.inf) / 60 for case in high]


def approved(played: Told) -> int:
    """Cases that went ahead without a human though their confidence or their risk asked for one."""
    through = [c for c in played.cases if c.outcome is not None and c.outcome.verdict is None]
    return sum((c.confidence or 0.0) < 0.9 or is_high(c.risk) for c in through)


def bursts(count: int) -> list[dict[str, Any]]:
    """The burst with and without relief, for both safe answers."""
    rows = []
    for on_timeout in ("reject", "hold"):
        for relief in (True, False):
            runs = [told(seed, on_timeout, relief) for seed in range(count)]
            minutes = [wait for run in runs for wait in run["waits"]]
            p95 = float(np.percentile(minutes, 95, method="higher"))
            late_share = float((np.array(minutes) > PROMISE).mean())
            rows.append({
                "on_timeout": on_timeout, "relief": relief, "runs": count, "high": len(minutes),
                "high_p95_minutes": round(p95, 1) if np.isfinite(p95) else None, "high_late": round(late_share, 4),
                "promise_minutes": PROMISE, **{name: sum(run[name] for run in runs) for name in SUMMED},
                "highest_level": max(run["highest"] for run in runs), "not_ended": sum(r["ended"] > 0 for r in runs),
            })  # fmt: skip
    return rows


SUMMED = ("cases", "approved_by_relief", "shed", "in_ledger", "later", "versions")


def sound(found: dict[str, Any]) -> bool:
    """Whether every promise is kept where relief and correction are on."""
    kept = all(row["kept"] for row in found["waits"] if row["corrected"])
    eased = [row for row in found["bursts"] if row["relief"]]
    return kept and all(
        (row["high_p95_minutes"] or np.inf) <= PROMISE
        and not row["approved_by_relief"]
        and row["shed"] == row["in_ledger"] > 0
        for row in eased
    )


def main() -> int:
    """Run, print, and say whether every promise was kept."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--streams", type=int, default=20)
    parser.add_argument("--bursts", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found: dict[str, Any] = {"waits": waits(given.streams), "bursts": bursts(given.bursts)}
    if given.json:
        print(json.dumps(found, indent=2))
        return 0 if sound(found) else 1
    print("answers of the burst are given in Python, and count at once")
    for row in [*found["waits"], *found["bursts"]]:
        print(", ".join(f"{name} {value}" for name, value in row.items()))
    return 0 if sound(found) else 1


if __name__ == "__main__":
    sys.exit(main())
