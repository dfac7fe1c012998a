"""A provider of sign-in that is not ours: `oidc-provider-mock`, in a process of its own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

PERSON = {"sub": "ann-17", "preferred_username": "ann", "email": "ann@example.org", "groups": ["approvers"]}


@contextmanager
def running(*people: dict[str, object]) -> Iterator[str]:
    """The issuer while the block runs; a process of its own, for it changes settings and warnings of its own."""
    command = [sys.executable, "-m", "oidc_provider_mock", "-H", "127.0.0.1", "-p", "0", "-n", "true"]
    for person in people or (PERSON,):
        command += ["--user-claims", json.dumps(person)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        lines = process.stderr
        assert lines is not None
        found = (re.search(r"running on (http://127\.0\.0\.1:\d+)", line) for line in lines)
        issuer = next(match[1] for match in found if match)
        drain = threading.Thread(target=lambda: [None for _ in lines], daemon=True)  # or it stops when the pipe is full
        drain.start()
        yield issuer
        process.kill()
        drain.join(timeout=5)
        lines.close()
