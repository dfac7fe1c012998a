"""Routing by ten rules: microseconds a case, and columns against a hand-written NumPy program.

The floor does the same tests in the same chunks on columns of the same types, and must find the same routes.
Both run by turns in one process; what counts is the ratio.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from dualcontrol.batch.columns import Coded
from dualcontrol.batch.compile import AUTOPILOT, ROUTES
from dualcontrol.batch.routes import BatchRoutes, route_batch
from dualcontrol.commands import Propose
from dualcontrol.control import Control, Env, LoopSettings, draw
from dualcontrol.route import check_rules, propose

RULES = Path(__file__).parent / "ten_rules.toml"
CHUNK = 65_536
FIGURE_US = 60.0
FIGURE_RATIO = 0.5
ACTIONS = ["refund", "email", "note", "transfer", "cancel", "hold", "ship", "invoice", "credit", "close", "tag", "call"]
COUNTRIES = ["DE", "FR", "ES", "IT", "NL", "BE", "AT", "CH", "PL", "CZ", "DK", "SE", "NO", "FI", "PT"]
COUNTRIES += ["GR", "IE", "GB", "US", "CA", "BR", "MX", "JP", "KR", "IN", "AU", "KP", "IR", "SY", "CU"]


def control(audit: float | None = None) -> Control:
    """The loop of ten_rules.toml; `audit` in place of the share written there."""
    loop = tomllib.loads(RULES.read_text(encoding="utf-8"))["loop"]["refunds"]
    loop["rules"] = loop.pop("rule")
    if audit is not None:
        loop["audit"] = audit
    settings = LoopSettings.from_dict({"name": "refunds", **loop})
    check_rules(settings.rules)
    return Control(loop="refunds", loop_id=1, version=1, settings=settings)


def columns(rows: int, strings: str, seed: int = 0) -> dict[str, Any]:
    """Made-up cases in columns: 32-bit floats, 8-bit and 16-bit integers, and text held in one of three ways."""
    rng = np.random.default_rng(seed)
    return {
        "action": _text(rng.integers(0, len(ACTIONS), rows).astype(np.int8), ACTIONS, strings),
        "args.amount": rng.exponential(400, rows).astype(np.float32),
        "input.country": _text(rng.integers(0, len(COUNTRIES), rows).astype(np.int8), COUNTRIES, strings),
        "input.account_days": rng.integers(0, 2_000, rows).astype(np.int16),
        "input.orders_today": rng.poisson(1.0, rows).astype(np.int8),
        "input.hour": rng.integers(0, 24, rows).astype(np.int8),
        "signal.confidence": rng.random(rows, dtype=np.float32),
        "signal.risk": rng.random(rows, dtype=np.float32),
    }


def _text(codes: Any, names: list[str], strings: str) -> Any:
    if strings == "codes":
        return Coded(codes, names)
    return np.array(names, dtype=object if strings == "objects" else None)[codes]


def floor(table: dict[str, Any]) -> Any:
    """What a careful programmer writes by hand for these ten rules: where autopilot may act."""
    action, country = table["action"], table["input.country"]
    if isinstance(action, Coded):
        refund, transfer = ACTIONS.index("refund"), ACTIONS.index("transfer")
        watched, brazil = [COUNTRIES.index(name) for name in ("KP", "IR", "SY", "CU")], COUNTRIES.index("BR")
        action, country = action.codes, country.codes
    else:
        refund, transfer, watched, brazil = "refund", "transfer", ["KP", "IR", "SY", "CU"], "BR"  # type: ignore[assignment]
    out = np.empty(len(action), np.bool_)
    for i in range(0, len(out), CHUNK):
        j = i + CHUNK
        act, land, amount = action[i:j], country[i:j], table["args.amount"][i:j]
        sure, risk = table["signal.confidence"][i:j], table["signal.risk"][i:j]
        human = (act == refund) & (amount > 500)
        human |= (act == transfer) & (amount > 1000)
        human |= (land == watched[0]) | (land == watched[1]) | (land == watched[2]) | (land == watched[3])
        human |= (land == brazil) & (sure < 0.95)
        human |= amount > 5000
        human |= (table["input.account_days"][i:j] < 7) & (amount > 200)
        human |= (sure < 0.9) & (amount > 800)
        human |= table["input.orders_today"][i:j] >= 6
        human |= (table["input.hour"][i:j] < 5) & (risk > 0.5)
        human |= risk > 0.97
        out[i:j] = ~human & (((amount < 5) & (sure >= 0.8)) | (sure >= 0.85))
    return out


def ours(table: dict[str, Any], governed: Control) -> BatchRoutes:
    """The product's routes for the same columns."""
    return route_batch(table, governed, batch_id="bench", secret=b"bench")


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that a call took, and what it returned."""
    start = time.perf_counter()
    found = function()
    return time.perf_counter() - start, found


def batch_figures(rows: int, strings: str, repeats: int) -> dict[str, Any]:
    """Ours without audits, ours with audits, and the floor, by turns; medians, ratios, and whether routes agree."""
    table = columns(rows, strings)
    runs: dict[str, Callable[[], Any]] = {
        "floor": lambda: floor(table),
        "ours": lambda: ours(table, control(0.0)),
        "ours_audited": lambda: ours(table, control()),
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    found: dict[str, Any] = {}
    for _ in range(repeats):
        for name, run in runs.items():
            took, found[name] = timed(run)
            seconds[name].append(took)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    agree = all(bool(((found[name].to == AUTOPILOT) == found["floor"]).all()) for name in ("ours", "ours_audited"))
    return {
        "rows": rows,
        "strings": strings,
        "repeats": repeats,
        "million_rows_per_second": {name: round(rows / median / 1e6, 1) for name, median in medians.items()},
        "ratio": round(medians["floor"] / medians["ours"], 3),
        "ratio_audited": round(medians["floor"] / medians["ours_audited"], 3),
        "figure_ratio": FIGURE_RATIO,
        "same_routes": agree,
        "autopilot_share": round(float(found["floor"].mean()), 4),
        "rows_singly": found["ours"].rows_singly,
    }


def commands(count: int) -> list[Propose]:
    """The first rows of the columns as single proposals."""
    table = columns(count, "objects")
    return [
        Propose(
            loop="refunds", proposed=0, key=str(row),
            candidates=({"id": "a", "action": table["action"][row], "value": _part(table, "args", row)},),
            input=_part(table, "input", row), **_part(table, "signal", row),
        )
        for row in range(count)
    ]  # fmt: skip


def _part(table: dict[str, Any], root: str, row: int) -> dict[str, Any]:
    named = {name.removeprefix(f"{root}."): array[row] for name, array in table.items() if name.startswith(root + ".")}
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in named.items()}


def scalar_figures(cases: int, repeats: int) -> dict[str, Any]:
    """Microseconds for one proposal to be opened and routed, and whether the batch says the same."""
    governed, proposals = control(), commands(cases)
    envs = [Env(now=0, new_id=lambda row=row: str(row), secret=b"bench") for row in range(cases)]  # type: ignore[misc]
    times = []
    for _ in range(repeats):
        took, found = timed(lambda: [propose(None, p, governed, e) for p, e in zip(proposals, envs, strict=True)])
        times.append(took / cases * 1e6)
    draws = np.array([draw(b"bench", "audit", str(row)) for row in range(cases)])
    routes = route_batch(columns(cases, "codes"), governed, draws=draws)
    agree = all(
        (ROUTES[routes.to[row]], routes.names[routes.by[row]], routes.audited[row]) == (e.to, e.by, e.audited)
        for row, (_, e) in enumerate(found)
    )
    return {
        "cases": cases,
        "us_per_case": round(statistics.median(times), 1),
        "us_per_case_best": round(min(times), 1),
        "figure_us": FIGURE_US,
        "same_routes": agree,
    }


def main() -> int:
    """Measure and print; exit 1 where routes differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--cases", type=int, default=3_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--strings", choices=["codes", "unicode", "objects"], nargs="+", default=["codes", "unicode"])
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    found: dict[str, Any] = {"scalar": scalar_figures(asked.cases, asked.repeats)}
    found["batch"] = [batch_figures(asked.rows, strings, asked.repeats) for strings in asked.strings]
    print(json.dumps(found, indent=2) if asked.json else _text_of(found))
    return 0 if all(part["same_routes"] for part in [found["scalar"], *found["batch"]]) else 1


def _text_of(found: dict[str, Any]) -> str:
    scalar = found["scalar"]
    lines = [
        f"one by one: {scalar['us_per_case']} us a case with ten rules "
        f"(best run {scalar['us_per_case_best']}, figure {scalar['figure_us']:.0f}); "
        f"same routes as the batch: {scalar['same_routes']}"
    ]
    for part in found["batch"]:
        speed = part["million_rows_per_second"]
        lines.append(
            f"columns, text as {part['strings']}, {part['rows']:,} rows: {speed['ours']} M rows/s, "
            f"with audits {speed['ours_audited']}, hand-written {speed['floor']}; "
            f"ratio {part['ratio']} (with audits {part['ratio_audited']}, figure {part['figure_ratio']}); "
            f"same routes: {part['same_routes']}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
