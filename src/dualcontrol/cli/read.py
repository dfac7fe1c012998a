"""Readers of input that is typed, piped or in a file, as text or JSON; a mistake is a usage error that says where."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import typer

from dualcontrol.characters import escaped
from dualcontrol.cli.command import os_user
from dualcontrol.spelling import parsed


def usage(message: str) -> Exception:
    """A mistake in how the command was called: exit code 2."""
    return typer.BadParameter(message)


def text_of(argument: str) -> str:
    """The argument itself; ``@FILE`` is what the file holds, ``-`` what comes on stdin."""
    if argument == "-":
        return sys.stdin.read()
    if not argument.startswith("@"):
        return argument
    path = argument[1:]
    try:
        return sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeError) as error:
        raise usage(f"{path} cannot be read: {_why(error)}") from error


def write(path: str, content: str | bytes, *, force: bool = True) -> None:
    """Write a file as a whole, ``-`` is stdout; without `force` an existing one is a usage error."""
    data = content.encode() if isinstance(content, str) else content
    if path == "-":
        text = data.decode()
        sys.stdout.write(escaped(text) if sys.stdout.isatty() else text)  # nothing in it acts on a terminal
        sys.stdout.flush()  # a reader that has gone is an error here, before anything counts as written
        return
    try:
        with Path(path).open("wb" if force else "xb") as file:
            file.write(data)
    except FileExistsError as error:
        raise usage(f"{path} exists already; --force replaces it") from error
    except OSError as error:
        raise usage(f"{path} cannot be written: {_why(error)}") from error


def _why(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def json_of(argument: str, what: str) -> Any:
    """The JSON value that an argument gives, directly, by ``@FILE`` or by ``-``."""
    try:
        return parsed(text_of(argument))
    except ValueError as error:
        quoted = "; a text needs its quotes: '\"…\"'" if argument[:1] not in ("@", "-", "{", "[") else ""
        raise usage(f"{what} is not JSON: {error}{quoted}") from error


def authenticated(person: str) -> str:
    """How we know who answers: the system's user is known to the system, any other name is a claim."""
    return "os" if person == os_user() else "none"
