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
        facts, code = error.to_dict(), error.exit_code
    elif isinstance(error, Paused):
        message = str(error).partition(" [DC-")[0]  # its text repeats code and hint
        facts, code = {"code": error.code, "message": message, "hint": error.hint}, error.exit_code
        if case_id := getattr(error, "case_id", None):
            facts["case_id"] = case_id
    elif isinstance(error, typer.Abort):
        facts, code = {"code": "DC-ABORTED", "message": "stopped", "hint": ""}, 1
    elif isinstance(error, _CLICK):
        context = getattr(error, "ctx", None)
        message = error.format_message() if getattr(error, "param", None) is not None else error.message
        if not message:  # the help was printed
            return USAGE
        path = context.command_path if context is not None else "dualcontrol"
        facts, code = {"code": "DC-USAGE", "message": message, "hint": f"See `{path} --help`."}, USAGE
    else:
        raise error
    if as_json:
        print(json.dumps({"error": facts | {"exit_code": code}}, indent=2, default=str))
        return code
    colour = sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    mark = "\x1b[1;31merror:\x1b[0m" if colour else "error:"
    lines = [f"{mark} {visible(facts['message'])}"]
    if facts["hint"]:
        lines.append(f"hint: {visible(facts['hint'])}")
    if facts["code"] != "DC-ABORTED":
        lines.append(f"more: dualcontrol explain {facts['code']}")
    print("\n".join(lines), file=sys.stderr)
    return code
