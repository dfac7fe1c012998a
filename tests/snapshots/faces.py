"""The public face as data: what Python, HTTP and the command line offer, without how they are built."""

from __future__ import annotations

import inspect
import re
from typing import Any

import dualcontrol as dc
from dualcontrol import errors, testing
from dualcontrol.cli.app import PLACES, loaded
from dualcontrol.sklearn import SelectiveClassifier
from dualcontrol.web.app import create_app


def python() -> dict[str, Any]:
    """Every public name, with the parameters of what can be called and the public members of classes."""
    names = {name: _described(getattr(dc, name)) for name in dc.__all__}
    more = {"sklearn.SelectiveClassifier": _described(SelectiveClassifier)}
    more |= {f"testing.{name}": _described(getattr(testing, name)) for name in _own(testing)}
    codes = {name: getattr(errors, name).code for name in _own(errors) if hasattr(getattr(errors, name), "code")}
    return {"all": list(dc.__all__), "names": names, "more": more, "codes": codes}


def _own(module: Any) -> list[str]:
    return sorted(
        name for name, value in vars(module).items()
        if not name.startswith("_") and callable(value) and getattr(value, "__module__", "") == module.__name__
    )  # fmt: skip


def _described(value: Any) -> Any:
    if not inspect.isclass(value):
        return _parameters(value)
    members = {
        name: _parameters(member) if callable(member) else "value"
        for name, member in inspect.getmembers(value)
        if not name.startswith("_")
    }
    return {"made with": _parameters(value), "members": members}


def _parameters(value: Any) -> list[str]:
    """Names, kinds and defaults of the parameters; not their annotations, which may be spelled anew."""
    try:
        given = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):
        return ["?"]
    spelled = [str(p.replace(annotation=inspect.Parameter.empty)) for p in given]
    return [re.sub(r" at 0x\w+|(?<==)'[^':]+:\d+:\w+'$", "", text) for text in spelled]  # of this process alone


def help_of_commands() -> dict[str, Any]:
    """The help of every command: its text, its examples, and each argument and option."""
    pages = {}
    for name in PLACES:
        command = loaded(name)
        inner = getattr(command, "commands", None) or {"": command}
        pages |= {f"{name} {sub}".strip(): _page(of) for sub, of in inner.items()}
    return pages


def _page(command: Any) -> dict[str, Any]:
    parameters = [
        {
            "names": list(p.opts), "kind": p.param_type_name, "metavar": p.metavar,
            "flag": getattr(p, "is_flag", False),
            "required": p.required, "default": repr(p.default), "help": getattr(p, "help", None),
        }
        for p in command.params
        if p.name != "help"
    ]  # fmt: skip
    return {"help": command.help, "examples": command.epilog, "parameters": parameters}


def openapi() -> dict[str, Any]:
    """The description of the API, as a server serves it."""
    with dc.open("sqlite:///:memory:", durability="process") as desk:
        app = create_app(desk, token="a-token-of-the-tests", people=("ana",))
        described: dict[str, Any] = app.openapi()
    return described
