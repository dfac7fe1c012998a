"""Every figure of docs/benchmarks.md, one after the other: `make bench`.

python bench/run.py [--quick]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
DUALCONTROL = [sys.executable, "-m", "dualcontrol"]
FULL = {
    "routing": [sys.executable, str(HERE / "routing.py"), "--rows", "10000000", "--repeats", "7"],
    "round trips": [sys.executable, str(HERE / "roundtrip.py"), "--rounds", "7", "--seconds", "1"],
    "sixteen reviewers": [sys.executable, str(HERE / "reviewers.py")],
    "sweep": [sys.executable, str(HERE / "sweeping.py")],
    "capacity": [sys.executable, str(HERE / "capacity.py")],
    "guarantee": [sys.executable, str(HERE / "guarantee.py"), "--bars", "--runs", "400"],
    "policy": [sys.executable, str(HERE / "policy.py"), "60", "1"],
    "headless demo": [*DUALCONTROL, "demo", "--headless", "--seed", "17", "--database", "sqlite:///:memory:"],
    "help": [*DUALCONTROL, "--help"],
}
QUICK = {
    "routing": [*FULL["routing"][:2], "--rows", "1000000", "--repeats", "3"],
    "round trips": [*FULL["round trips"][:2], "--rounds", "3", "--seconds", "0.3"],
    "sixteen reviewers": [*FULL["sixteen reviewers"], "--cases", "200"],
    "sweep": [*FULL["sweep"], "--cases", "2000"],
    "capacity": [*FULL["capacity"], "--streams", "8", "--bursts", "3"],
    "guarantee": [*FULL["guarantee"][:2], "--stream", "cal_heavy", "--runs", "4"],
    "policy": [*FULL["policy"][:2], "2"],
}


def main() -> int:
    """Run them all; the exit code is 1 when one of them failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small runs, to see that everything works")
    given = parser.parse_args()
    print("every answer is given in Python, which counts at once; one on a page of the console counts after 10 s")
    failed = []
    for name, command in (FULL | QUICK if given.quick else FULL).items():
        print(f"\n== {name}: {' '.join(Path(c).name if c.startswith('/') else c for c in command)}", flush=True)
        start = time.perf_counter()
        quiet = subprocess.DEVNULL if name == "help" else None
        if subprocess.run(command, stdout=quiet, check=False).returncode != 0:
            failed.append(name)
        print(f"   {time.perf_counter() - start:.2f} s", flush=True)
    print(f"\nfailed: {', '.join(failed)}" if failed else "\nall ran")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
