"""Write docs/cli.md, the reference of every command, from the commands themselves; --check says whether it is \
fresh."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dualcontrol.cli.app import PLACES, command, loaded

PAGE = Path(__file__).resolve().parent.parent / "docs" / "cli.md"
PANEL = "Everywhere"
INTRODUCTION = """\
# Command line

<!-- Written by scripts/write_cli_docs.py; change the commands, then run it. -->

Every command prints tables for people, and one JSON document with `--json`.
Options of all commands may stand before the command or after it; `NO_COLOR` turns colours off.
Progress bars go to stderr, and only where a terminal is.
`dualcontrol --install-completion` completes commands and options in your shell.
What a terminal would obey or hide is shown by name, as in `[U+001B ESCAPE]`, and is an escape in JSON.
Of a value longer than 20,000 characters the beginning is shown; `--json` has all.

## Exit codes

| code | meaning |
|---|---|
| 0 | done |
| 1 | refused, or a check failed |
| 2 | mistake in the call or in the settings |
| 3 | not found |
| 4 | conflict: settled, claimed or changed by somebody else |
| 5 | still waiting for a human |
| 6 | the database is unavailable |

An error is three lines on stderr: message, hint, and the page that explains it.
With `--json` it is a document on stdout: `{"error": {"code": …, "message": …, "hint": …, "exit_code": …}}`.

`propose` without `--wait` ends with 0 when the case is recorded, whoever has to decide it.
A script that acts on the answer says `--wait`, with 0 seconds if it will not wait: then 0 means go on.

## Who acts

The command line holds the database, so it asks nobody to sign in; whoever may read and write the database may use it.
Once there are [accounts](roles.md), `--person` names one of them whose role permits what is done, as everywhere.
An answer under the system's own user is recorded as that of this machine's user, and one under another name as one \
for which nobody signed in.
`dualcontrol users`, `groups` and `keys` change accounts; one-time links and the secrets of tokens are printed \
once, and only there.

## Offline batch

```shell
dualcontrol export --open answers.jsonl --person ana
# fill in verdict, value and rationale of each line, by hand or with another tool
dualcontrol import answers.jsonl --person ana --dry-run
dualcontrol import answers.jsonl --person ana
```

Each line is claimed and answered in one transaction, under the same checks as in the console.
`shown` is the digest of what the row shows: a line is refused when the reviewer would see something else by now.
A line that is in force already is skipped, so that the same file can be imported again.
A `.csv` file holds reviews of loops in labels mode; fill in `value`, and `verdict` where it is not `label`.

A table may come back from a spreadsheet as that wrote it: separated by commas, semicolons, tabs or bars,
in UTF-8, UTF-16 or Latin-1, packed with gzip, with empty columns and rows at its end.
A label is read as it was meant: `1.0`, `1,0` or `1E+00` for 1, `TRUE` or `WAHR` for true,
`7` for the text `07` where no other label reads as it.
A text that a spreadsheet would take for a formula is written with an apostrophe before it, and taken back without.
Every row is told: applied, skipped, without an answer, empty, or refused with its line and the reason.
A broken row, such as a quote that is never closed, stops no other; where something was refused the exit code is 1.
"""


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION, "## Options of every command\n", "\n".join(_options(_everywhere())), "\n## Commands\n"]
    for path, found in commands():
        parts.append(_section(path, found))
    return "\n".join(parts).rstrip() + "\n"


def commands() -> Iterator[tuple[str, Any]]:
    """Every command with its full name, in the order of the help."""
    for name in PLACES:
        found = loaded(name)
        inner = getattr(found, "commands", None)
        if inner is None:
            yield f"dualcontrol {name}", found
        else:
            yield from ((f"dualcontrol {name} {sub}", of) for sub, of in inner.items())


def _everywhere() -> list[Any]:
    return [p for p in command().params if p.name not in ("help", "install_completion", "show_completion")]


def _section(path: str, found: Any) -> str:
    own = [p for p in found.params if getattr(p, "rich_help_panel", None) != PANEL and p.name != "help"]
    arguments = [p for p in own if p.param_type_name == "argument"]
    usage = " ".join([path, *(_name(p) for p in arguments), "[OPTIONS]"])
    lines = [f"### {path}\n", f"{found.help}\n", f"```text\n{usage}\n```\n"]
    lines += [f"- `{_name(p)}`: {p.help}" for p in arguments]
    if arguments:
        lines.append("")
    lines += [*_options([p for p in own if p.param_type_name == "option"]), ""]
    examples = [line.removeprefix("Example: ") for line in (found.epilog or "").split("\n\n") if line]
    if examples:
        lines += ["```shell", *examples, "```", ""]
    return "\n".join(lines)


def _name(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.upper())


def _options(parameters: list[Any]) -> list[str]:
    if not parameters:
        return []
    return ["| option | meaning |", "|---|---|", *(f"| {_flags(p)} | {_meaning(p)} |" for p in parameters)]


def _flags(parameter: Any) -> str:
    value = "" if parameter.is_flag else f" {_name(parameter)}"
    return ", ".join(f"`{flag}{value}`" for flag in parameter.opts).replace("|", "\\|")


def _meaning(parameter: Any) -> str:
    default = parameter.default
    said = "" if parameter.is_flag or default in (None, "", ()) else f" Default: `{default}`."
    return f"{parameter.help or ''}{said}"


def write_or_check(path: Path, text: str, stale: str, arguments: list[str]) -> int:
    """Write a page, or with --check say whether it is what would be written; the exit status."""
    if "--check" not in arguments:
        path.write_text(text, encoding="utf-8")
        return 0
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return 0
    print(stale, file=sys.stderr)
    return 1


def main(arguments: list[str]) -> int:
    """Write the page of the commands, or check it."""
    return write_or_check(
        PAGE, page(), "docs/cli.md is not what the commands say; run scripts/write_cli_docs.py", arguments
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
