"""Find a Chromium that starts, or install one, and write its path to the file named on the command line.

The browser tests and the screenshots read that file.
Without a browser the tests are skipped with the reason; with CI=true that would hide a gap: it is an error.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import sync_playwright

COMMANDS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
APT_ENVIRONMENT = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
HELP = """\
No Chromium was found, so the browser tests will be skipped. To run them, do one of these:
  apt-get install chromium                      (Debian, Ubuntu; as root)
  .venv/bin/playwright install chromium         (needs the network)
  export DUALCONTROL_CHROMIUM=<path of a Chromium or Chrome>
"""


def starts(path: str) -> bool:
    """Say whether the program runs: on some systems the command is only a stub that asks for a snap."""
    try:
        done = subprocess.run([path, "--version"], capture_output=True, stdin=subprocess.DEVNULL, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def on_path() -> Iterator[str]:
    """Yield what the command names lead to."""
    for command in COMMANDS:
        if path := shutil.which(command):
            yield path


def from_playwright() -> Iterator[str]:
    """Yield the browser that playwright downloaded for itself, if it did."""
    with sync_playwright() as driver:
        yield driver.chromium.executable_path


def attempt(command: list[str], timeout: float, env: dict[str, str] | None = None) -> bool:
    """Run an installer; its output goes to the terminal, and if it fails the next way is tried."""
    print("+", " ".join(command), flush=True)
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, timeout=timeout, env=env).returncode == 0
    except (OSError, subprocess.TimeoutExpired) as error:
        print(error, file=sys.stderr)
        return False


def from_apt() -> Iterator[str]:
    """Install Debian's Chromium where this process may, then look again."""
    if os.name != "posix" or os.geteuid() != 0 or not shutil.which("apt-get"):
        return
    options = ["-y", "-q", "-o", "Dpkg::Use-Pty=0", "-o", "DPkg::Lock::Timeout=120"]
    attempt(["apt-get", "update", "-q"], 180, APT_ENVIRONMENT)
    packages = ["chromium", "fonts-liberation"]
    if attempt(["apt-get", "install", *options, "--no-install-recommends", *packages], 900, APT_ENVIRONMENT):
        yield from on_path()


def from_download() -> Iterator[str]:
    """Let playwright download its own; the limit is short, because behind a firewall it waits for ever."""
    if attempt([sys.executable, "-m", "playwright", "install", "chromium"], 180):
        yield from from_playwright()


def find() -> str | None:
    """Return the first browser that starts: what is there already comes before what has to be installed."""
    if chosen := os.environ.get("DUALCONTROL_CHROMIUM"):
        if not starts(chosen):
            raise SystemExit(f"DUALCONTROL_CHROMIUM names a program that does not start: {chosen}")
        return chosen
    for source in (on_path, from_playwright, from_apt, from_download):
        for path in source():
            if starts(path):
                return path
    return None


def main() -> int:
    """Write the path, or nothing, and explain."""
    target = Path(sys.argv[1])
    path = find()
    target.write_text(f"{path or ''}\n", encoding="utf-8")
    if path:
        print(f"Chromium: {path}")
        return 0
    print(HELP, file=sys.stderr)
    return 1 if os.environ.get("CI", "").lower() in {"1", "true"} else 0


if __name__ == "__main__":
    sys.exit(main())
