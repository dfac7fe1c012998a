"""How a function becomes a command: the options that all commands share are added, the state is handed in."""

from __future__ import annotations

import getpass
import inspect
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

JsonFlag = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on stdout.", rich_help_panel="Everywhere")
]
DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        "--database", metavar="URL", help="The database, in place of the one in the settings.",
        rich_help_panel="Everywhere",
    ),
]  # fmt: skip
SettingsFile = Annotated[
    str | None,
    typer.Option(
        "--settings", metavar="FILE", help="The settings file, in place of ./dualcontrol.toml.",
        rich_help_panel="Everywhere",
    ),
]  # fmt: skip
SHARED: dict[str, tuple[Any, Any]] = {
    "as_json": (JsonFlag, False),
    "database": (DatabaseUrl, None),
    "settings": (SettingsFile, None),
}
Verb = Callable[..., int | None]


def group(name: str, help: str) -> typer.Typer:
    """A Typer that prints help when it is called with nothing, and leaves errors to `main`."""
    return typer.Typer(name=name, help=help, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def verb(app: typer.Typer, name: str, *examples: str) -> Callable[[Verb], Verb]:
    """Register a function ``(state, …)`` as a command of `app`; examples stand at the end of its help."""

    def register(function: Verb) -> Verb:
        epilog = "\n\n".join(f"Example: {line}" for line in examples) or None
        app.command(name, help=inspect.getdoc(function), epilog=epilog)(_shared(function))
        return function

    return register


def _shared(function: Verb) -> Callable[..., int]:
    own = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    ]

    def wrapper(**given: Any) -> int:
        state: State = given.pop("ctx").obj
        state.take(*(given.pop(name) for name in SHARED))
        return function(state, **given) or 0

    parameters = [_parameter("ctx", typer.Context), *own, *_shared_parameters(own)]
    # What typer reads: it asks for the signature and for the hints, not for the code.
    setattr(wrapper, "__signature__", inspect.Signature(parameters))  # noqa: B010
    wrapper.__annotations__ = {p.name: p.annotation for p in parameters}
    wrapper.__name__, wrapper.__doc__ = function.__name__, function.__doc__
    return wrapper


def _shared_parameters(own: Sequence[inspect.Parameter]) -> list[inspect.Parameter]:
    taken = {p.name for p in own} & set(SHARED)
    if taken:
        raise ValueError(f"{', '.join(sorted(taken))} is an option of every command already")
    return [_parameter(name, kind, default) for name, (kind, default) in SHARED.items()]


def _parameter(name: str, kind: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=default)


# What every command knows: where the settings and the database are, and how to print.


class State:
    """The options that hold for the whole call; given before the command or after it."""

    def __init__(self) -> None:
        self.as_json = False
        self.database: str | None = None
        self.settings: str | None = None

    def take(self, as_json: bool, database: str | None, settings: str | None) -> None:
        """Lay options over those that were given before; what is not given stays."""
        self.as_json = self.as_json or as_json
        self.database = database or self.database
        self.settings = settings or self.settings


def os_user() -> str:
    """The name of the user who runs this process."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # no entry for the user id, as in a bare container
        return "unknown"
