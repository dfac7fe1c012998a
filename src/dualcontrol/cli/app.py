"""The table of commands, the group that loads one when it is called, and `main`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from dualcontrol import __version__
from dualcontrol.cli.command import DatabaseUrl, JsonFlag, SettingsFile, State
from dualcontrol.cli.failure import failed

NAME = "dualcontrol"


class CommandPlace(NamedTuple):
    """Where a command is defined, and its line in the list of commands."""

    module: str
    panel: str
    help: str


START, WORK, CASES, CARE = "Start", "Review", "Learn and choose", "Care"
PLACES: dict[str, CommandPlace] = {
    "init": CommandPlace("init", START, "Write a commented dualcontrol.toml with one loop to begin with."),
    "demo": CommandPlace("demo", START, "Run the whole loop with simulated proposals."),
    "serve": CommandPlace("serve", START, "Serve the web console and the HTTP API."),
    "propose": CommandPlace("propose", WORK, "Open a case for a proposal, and wait for its outcome if asked to."),
    "inbox": CommandPlace("inbox", WORK, "List the reviews that wait for a person."),
    "show": CommandPlace("show", WORK, "Show a case: what is proposed, why it waits, what was decided."),
    "commit": CommandPlace("commit", WORK, "Say whether a hidden action should happen, and see it then."),
    "approve": CommandPlace("answer", WORK, "Answer that the proposal is right."),
    "edit": CommandPlace("answer", WORK, "Answer that the proposal is right when changed."),
    "reject": CommandPlace("answer", WORK, "Answer that the proposal is wrong and nothing is to happen."),
    "answer": CommandPlace("answer", WORK, "Answer with any verdict: label, prefer, respond, abstain, escalate …"),
    "withdraw": CommandPlace("cases", WORK, "Say that nobody needs an answer any more."),
    "revoke": CommandPlace("cases", WORK, "Take an approval back whose effect has not begun."),
    "export": CommandPlace("export", CASES, "Write examples for training, or with --open the reviews that wait."),
    "import": CommandPlace("import_", CASES, "Apply a file of answers, each line under the same checks as everywhere."),
    "replay": CommandPlace("replay", CASES, "Try a threshold on scores and truths, or today's rules on past cases."),
    "guarantee": CommandPlace(
        "guarantee", CASES, "Say what is guaranteed of a loop's autopilot: promise, evidence, and when it lapses."
    ),
    "oversight": CommandPlace("oversight", CASES, "Say what the people of a loop catch of wrong proposals."),
    "probes": CommandPlace(
        "probes", CASES, "Write test cases, whose right answer is known, to be asked among the others."
    ),
    "train": CommandPlace("train", CASES, "Train a model from a loop's decisions, and promote it if it is better."),
    "policy": CommandPlace(
        "policy", CASES, "Check settings and rules, try a case on them without writing, and override a setting."
    ),
    "stop": CommandPlace("stop", CARE, "Let no effect start from here on, in a loop or in all."),
    "resume": CommandPlace("stop", CARE, "Open a stopped loop again, or all."),
    "suspend": CommandPlace("oversight", CARE, "Let somebody take no more cases of a loop."),
    "readmit": CommandPlace("oversight", CARE, "Let somebody take cases again who was suspended."),
    "autopilot": CommandPlace("autopilot", CARE, "Stop a loop's autopilot, and open it again."),
    "users": CommandPlace("users", CARE, "Let people in and out, and say what each may do."),
    "groups": CommandPlace("groups", CARE, "Say who belongs to a group, in the place of the settings."),
    "keys": CommandPlace("keys", CARE, "Make and end the tokens that programs show in the place of people."),
    "resolve": CommandPlace("cases", CARE, "Say whether an effect happened that never reported back."),
    "doctor": CommandPlace("doctor", CARE, "Examine the database, the evidence, the models and what waits too long."),
    "db": CommandPlace("db", CARE, "Upgrade or back up the database."),
    "config": CommandPlace("config", CARE, "Show the settings in force."),
    "explain": CommandPlace("explain", CARE, "Say what an error means, why it comes and what to do."),
    "openapi": CommandPlace("serve", CARE, "Write the OpenAPI 3.1 description of the HTTP API."),
}


class Commands(TyperGroup):
    """All commands by name; the list needs no module, a call loads the one of its command."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for name, place in PLACES.items():
            self.commands[name] = TyperCommand(name, help=place.help, rich_help_panel=place.panel)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the arguments name, loaded."""
        name, listed, rest = super().resolve_command(ctx, args)
        return name, listed if name is None else loaded(name), rest


def loaded(name: str) -> Any:
    """The command or group of this name, from its module."""
    module = import_module(f"dualcontrol.cli.{PLACES[name].module}")
    subcommands: typer.Typer | None = getattr(module, f"{name}_app", None)
    if subcommands is not None:
        return typer.main.get_group(subcommands)
    return typer.main.get_group(module.app).commands[name]


app = typer.Typer(
    name=NAME, cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip


def _version(flag: bool) -> None:
    if flag:
        typer.echo(f"{NAME} {__version__}")
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    as_json: JsonFlag = False,
    database: DatabaseUrl = None,
    settings: SettingsFile = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Put a human in the loop of an AI: propose, route, review, apply, learn, on one record."""
    ctx.obj.take(as_json, database, settings)


def command() -> Any:
    """The whole command line as one command object."""
    return typer.main.get_command(app)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that the arguments name; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    state = State(as_json="--json" in arguments)
    try:
        code = command().main(arguments, prog_name=NAME, standalone_mode=False, obj=state)
        sys.stdout.flush()
        return int(code or 0)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads what is left in the buffer
        return 1
    except KeyboardInterrupt:
        return 130
    except BaseException as error:
        return failed(error, as_json=state.as_json)
