"""Errors as people and programs read them: message, hint, page and exit code; a traceback only for a defect."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import typer

from dualcontrol.errors import DualcontrolError, Paused
from dualcontrol.layout import visible

USAGE = 2
# Typer carried its own copy of click's exceptions from some version on: the name is what both have.
_CLICK: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")


def failed(error: BaseException, *, as_json: bool) -> int:
    """Print an expected error and return its exit code; anything else is raised again."""
    if isinstance(error, DualcontrolError):
        return _told(error.to_dict(), error.exit_code, as_json)
    if isinstance(error, Paused):
        told = {"code": error.code, "message": _bare(error), "hint": error.hint}
        if case_id := getattr(error, "case_id", None):
            told["case_id"] = case_id
        return _told(told, error.exit_code, as_json)
    if isinstance(error, typer.Abort):
        return _told({"code": "DC-ABORTED", "message": "stopped", "hint": ""}, 1, as_json)
    if isinstance(error, _CLICK):
        return _usage(error, as_json)
    raise error


def _bare(error: BaseException) -> str:
    """The message without the code and hint that its text repeats."""
    return str(error).partition(" [DC-")[0]


def _usage(error: Any, as_json: bool) -> int:
    context = getattr(error, "ctx", None)
    message = error.format_message() if getattr(error, "param", None) is not None else error.message
    if not message:  # the help was printed
        return USAGE
    path = context.command_path if context is not None else "dualcontrol"
    told = {"code": "DC-USAGE", "message": message, "hint": f"See `{path} --help`."}
    return _told(told, USAGE, as_json)


def _told(told: dict[str, Any], code: int, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"error": told | {"exit_code": code}}, indent=2, default=str))
        return code
    lines = [f"{_mark('error:')} {visible(told['message'])}"]
    if told["hint"]:
        lines.append(f"hint: {visible(told['hint'])}")
    if told["code"] != "DC-ABORTED":
        lines.append(f"more: dualcontrol explain {told['code']}")
    print("\n".join(lines), file=sys.stderr)
    return code


def _mark(word: str) -> str:
    colour = sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return f"\x1b[1;31m{word}\x1b[0m" if colour else word
