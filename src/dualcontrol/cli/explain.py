"""``explain``: the page of an error, as it ships with the package."""

from __future__ import annotations

from importlib import resources
from typing import Annotated

import typer
from rich.markdown import Markdown

from dualcontrol.cli.command import State, group, verb
from dualcontrol.cli.screen import report, table
from dualcontrol.demo.passages import docs_of
from dualcontrol.errors import NotFoundError, kinds
from dualcontrol.names import nearest

app = group("explain", "Explain.")


@verb(app, "explain", "dualcontrol explain DC-PENDING", "dualcontrol explain")
def explain(
    state: State,
    code: Annotated[str | None, typer.Argument(metavar="CODE", help="The code of an error; all are listed without.")]
    = None,
) -> None:  # fmt: skip
    """Say what an error means, why it comes and what to do."""
    known = kinds()
    if code is None:
        meanings = {name: (kind.__doc__ or "").strip().splitlines()[0] for name, kind in sorted(known.items())}
        plain = [{"code": name, "meaning": meaning} for name, meaning in meanings.items()]
        return report(state.as_json, plain, table(("code", "meaning"), list(meanings.items()), whole=("code",)))
    name = code.strip().strip("[]").upper()
    name = name if name.startswith("DC-") else f"DC-{name}"
    page = docs_of(resources.files("dualcontrol")) / "errors" / f"{name}.md"
    if name not in known and not page.is_file():
        near = nearest(name, known)
        hint = f"Did you mean {near}?" if near else "`dualcontrol explain` lists them all."
        raise NotFoundError(f"there is no error {code[:40]!r}", hint=hint)
    text = page.read_text(encoding="utf-8")
    return report(state.as_json, {"code": name, "text": text}, Markdown(text))
