"""Registers commands: a function becomes one, with the options that all commands share and the state handed in."""

from __future__ import annotations

import getpass
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

everywhere = partial(typer.Option, rich_help_panel="Everywhere")
JsonFlag = Annotated[bool, everywhere("--json", help="Print one JSON document on stdout.")]
DatabaseUrl = Annotated[
    str | None, everywhere("--database", metavar="URL", help="The database, in place of the one in the settings.")
]
SettingsFile = Annotated[
    str | None, everywhere("--settings", metavar="FILE", help="The settings file, in place of ./dualcontrol.toml.")
]
SHARED: dict[str, tuple[Any, Any]] = {
    "as_json": (JsonFlag, False),
    "database": (DatabaseUrl, None),
    "settings": (SettingsFile, None),
}
Verb = Callable[..., int | None]

# Arguments and options of more than one command.

LoopName = Annotated[str, typer.Argument(metavar="LOOP", help="The loop.")]
Target = Annotated[
    str, typer.Argument(metavar="CASE", help="The id of a case or review, a beginning that only one has, or a claim's.")
]
Person = Annotated[
    str | None, typer.Option("--person", metavar="PERSON", help="Who answers; the system's user if not given.")
]
Acting = Annotated[
    str | None, typer.Option("--person", metavar="PERSON", help="For whom you do this; the system's user if not given.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")]
Rationale = Annotated[str | None, typer.Option("--rationale", "-r", metavar="TEXT", help="Why.")]
Force = Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")]


def group(name: str, help: str) -> typer.Typer:
    """A Typer that prints help when it is called with nothing, and leaves errors to `main`."""
    return typer.Typer(name=name, help=help, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


class Listing(TyperGroup):
    """A group that lists when it is called without a command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `list` before options that stand alone."""
        helped = any(arg in ("-h", "--help") for arg in args)
        if not helped and not any(arg in self.commands or not arg.startswith("-") for arg in args[:1]):
            args = ["list", *args]
        return super().parse_args(ctx, args)


def listing(name: str, help: str) -> typer.Typer:
    """A group whose `list` is what its bare name does."""
    return typer.Typer(name=name, help=help, cls=Listing, add_completion=False, pretty_exceptions_enable=False)


def verb(app: typer.Typer, name: str, *examples: str) -> Callable[[Verb], Verb]:
    """Register a function ``(state, …)`` as a command of `app`; examples stand at the end of its help."""
    keyword = partial(inspect.Parameter, kind=inspect.Parameter.KEYWORD_ONLY)

    def register(function: Verb) -> Verb:
        own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
        clashing = sorted({p.name for p in own} & set(SHARED))
        if clashing:
            raise ValueError(f"{', '.join(clashing)} is an option of every command already")

        def command(**options: Any) -> int:
            state: State = options.pop("ctx").obj
            state.take(*(options.pop(name) for name in SHARED))
            return function(state, **options) or 0

        parameters = [keyword("ctx", annotation=typer.Context)]
        parameters += [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
        parameters += [keyword(name, annotation=kind, default=default) for name, (kind, default) in SHARED.items()]
        # What typer reads: it asks for the signature and for the hints, not for the code.
        setattr(command, "__signature__", inspect.Signature(parameters))  # noqa: B010
        command.__annotations__ = {p.name: p.annotation for p in parameters}
        command.__name__, command.__doc__ = function.__name__, function.__doc__
        epilog = "\n\n".join(f"Example: {line}" for line in examples) or None
        app.command(name, help=inspect.getdoc(function), epilog=epilog)(command)
        return function

    return register


# What every command knows: where the settings and the database are, and how to print.


@dataclass
class State:
    """The options that hold for the whole call; given before the command or after it."""

    as_json: bool = False
    database: str | None = None
    settings: str | None = None

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
