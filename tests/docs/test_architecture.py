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
        assert (ROOT / "src" / f"{path}.py").is_file(), path  # of an adapter the framework need not be installed
        if "." in text and not text.endswith(".py"):
            module, name = import_module(path.replace("/", ".")), text.rpartition(".")[2]
            assert any(hasattr(owner, name) for owner in [module, *vars(module).values()]), text


# What crosses modules has a folder of its own, or is listed here; a module's tests carry the module's name.
ACROSS = {"contract", "docs", "failure", "loop", "snapshots", "typing"}
BEHAVIOURS = {
    "test_bad_input", "test_fixtures", "test_postgres_server",
    "adapters/test_installed", "adapters/test_killed",
    "cli/test_answers", "cli/test_blind", "cli/test_care", "cli/test_choosing", "cli/test_help", "cli/test_narrow",
    "cli/test_operate", "cli/test_seen",
    "guarantee/test_bad_input", "guarantee/test_batches", "guarantee/test_bench", "guarantee/test_counting",
    "guarantee/test_martingale", "guarantee/test_stored",
    "learn/test_failures", "learn/test_learned_nothing", "learn/test_wiring", "oversight/test_bench",
    "web/test_blind", "web/test_browser", "web/test_dead_time", "web/test_record", "web/test_schemathesis",
    "web/test_ladder_doors", "web/test_seen",
    "web/test_probes_unseen",
}  # fmt: skip


def test_tests_of_a_module_carry_its_name() -> None:
    """`tests/review/test_quorum.py` is about `review/quorum.py`; words may follow, as in `test_route_relief.py`.

    A module right below `dualcontrol` may have tests in any folder, as `tables` has on the command line.
    """
    top = {part.rstrip("/") for part in parts()}
    unnamed = set()
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        file = path.relative_to(ROOT / "tests").with_suffix("")
        folder = PACKAGE / file.parts[0]
        modules = (
            top | {module.stem for module in folder.rglob("*.py")} | {package.name for package in folder.rglob("*")}
        )
        words = file.name.removeprefix("test_").split("_")
        named = {"_".join(words[:count]) for count in range(1, len(words) + 1)} & modules
        if file.parts[0] not in ACROSS and not named:
            unnamed.add(str(file))
    assert unnamed == BEHAVIOURS
