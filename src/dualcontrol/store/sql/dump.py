"""A backup of PostgreSQL by its own `pg_dump`, whole or not at all."""

from __future__ import annotations

import os
import re
import subprocess
from contextlib import suppress

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from dualcontrol.errors import StoreError
from dualcontrol.store.sql.file import private

PROGRAM = "pg_dump"


def dump(url: str, server: int, path: str) -> None:
    """Write a dump of a server of this major version to a file, for ``pg_restore``."""
    refuse_older(version(server), server)
    part = f"{path}.part"
    with suppress(OSError):
        os.remove(part)
    private(part)
    where, secret = connection(url)
    try:
        # Without --no-password it would ask on the terminal, or wait for ever where there is none.
        _run(server, "--format=custom", "--no-password", f"--file={part}", f"--dbname={where}", **secret)
        os.replace(part, path)
    except OSError as error:
        raise StoreError(
            f"the backup cannot be written to {path}: {error.strerror}", hint="Name another file."
        ) from error
    finally:
        with suppress(OSError):
            os.remove(part)


def connection(url: str) -> tuple[str, dict[str, str]]:
    """Where to connect to, and the password as a variable: arguments can be read by everybody on the machine."""
    try:
        given = conninfo_to_dict(url)
    except ProgrammingError as error:
        raise StoreError(f"the database's address cannot be read: {error}") from error
    password = given.pop("password", None)
    return make_conninfo("", **given), {} if password is None else {"PGPASSWORD": str(password)}


def version(server: int) -> int | None:
    """The major version of the `pg_dump` on the path; None when it does not say."""
    said = re.search(r"\) (\d+)", _run(server, "--version"))
    return int(said[1]) if said else None


def refuse_older(program: int | None, server: int) -> None:
    """Raise `StoreError` for a `pg_dump` that is older than the server, which it would not know how to read."""
    if program is not None and program < server:
        raise StoreError(
            f"{PROGRAM} is of PostgreSQL {program} and the server of {server}: an older one cannot back it up",
            hint=_hint(server),
        )


def _run(server: int, *arguments: str, **variables: str) -> str:
    try:
        done = subprocess.run(
            [PROGRAM, *arguments], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
            env={**os.environ, **variables},
        )  # fmt: skip
    except OSError as error:
        raise StoreError(f"{PROGRAM} cannot be run: {error.strerror}", hint=_hint(server)) from error
    if done.returncode:
        hint = "Nothing was written; correct what the message names, or back up with your own tools."
        raise StoreError(f"{PROGRAM} failed: {done.stderr.strip()}", hint=hint)
    return done.stdout


def _hint(server: int) -> str:
    return f"Install PostgreSQL's client programs of version {server} or newer, and let theirs be the first on PATH."
