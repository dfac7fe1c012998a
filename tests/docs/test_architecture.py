"""The page of the architecture names every part of the package and no other, and the functions that it speaks of."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "dualcontrol"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def parts() -> set[str]:
    """The modules and packages right below `dualcontrol`; a package ends with a slash."""
    files = {path.stem for path in PACKAGE.glob("*.py") if not path.stem.startswith("__")}
    return files | {f"{path.parent.name}/" for path in PACKAGE.glob("*/__init__.py")}


def test_the_tree_names_every_part() -> None:
    (tree,) = re.findall(r"```text\nsrc/dualcontrol/\n(.*?)```", PAGE, re.DOTALL)
    named = {name for line in tree.splitlines() for name in re.split(r"\s{3,}", line.strip())[0].split()}
    assert named == parts()


def test_the_code_that_it_names_is_there() -> None:
    for text, path in re.findall(r"\[`?([\w./ ]+)`?\]\(\.\./src/(dualcontrol/[\w/]+)\.py\)", PAGE):
        module, name = import_module(path.replace("/", ".")), text.rpartition(".")[2]
        if "." in text and not text.endswith(".py"):
            assert any(hasattr(owner, name) for owner in [module, *vars(module).values()]), text
