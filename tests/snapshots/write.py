"""Write the snapshots again: the public face, the help, the API's description, and a database of this release.

    python tests/snapshots/write.py [face] [help] [openapi] [release]

What changes in a snapshot is a change that users meet: it goes into the changelog, and on purpose.  A release's
database is written once, by that release; later code has to read it, so it is never written again.
"""

from __future__ import annotations

import gzip
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import faces  # noqa: E402
import release  # noqa: E402

FACES: dict[str, Callable[[], dict[str, Any]]] = {
    "face": faces.python, "help": faces.help_of_commands, "openapi": faces.openapi,
}  # fmt: skip


def text(value: Any) -> str:
    """JSON as a snapshot holds it."""
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def write_release() -> None:
    """A database as this release writes it, and what it says of every case and loop."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "release.db"
        release.write(f"sqlite:///{path}")
        described = release.described(f"sqlite:///{path}")
        (HERE / "release.db.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    (HERE / "release.json").write_text(text(described), encoding="utf-8")


def main(wanted: list[str]) -> None:
    """Write those that are named."""
    for name in wanted or sorted(FACES):
        if name == "release":
            write_release()
        else:
            (HERE / f"{name}.json").write_text(text(FACES[name]()), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
