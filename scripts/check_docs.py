"""Say what in the docs is out of date; `make check` runs it. A check is a function that returns what it found."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
Check = Callable[[], list[str]]


def written_by(script: str) -> list[str]:
    """What a script that writes a page says with --check."""
    done = subprocess.run([sys.executable, str(HERE / script), "--check"], capture_output=True, text=True, check=False)
    return [done.stderr.strip() or f"{script} failed"] if done.returncode else []


def cli_reference() -> list[str]:
    """The reference of the command line is what the commands say."""
    return written_by("write_cli_docs.py")


def roles() -> list[str]:
    """The page of roles is what `people.may` goes by, and what the handlers ask."""
    return written_by("write_roles.py")


CHECKS: tuple[Check, ...] = (cli_reference, roles)


def main() -> int:
    """Run every check; returns 1 when one found something."""
    found = [f"{check.__name__}: {what}" for check in CHECKS for what in check()]
    for line in found:
        print(line, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
