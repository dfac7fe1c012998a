"""How the tree is cut: files, functions, lines of code, import circles, and the rooms that one proposal walks through.

Lines of code are lines that hold a token other than a comment or a docstring.  A circle is a set of modules that
import each other, whether at the top, inside a function or under ``TYPE_CHECKING``.  A proposal's trip is one
``loop.propose`` on SQLite that a human is asked about, after a first one has filled every cache: the files whose
functions it calls, and how often a call goes back into a file that was left before.

    python scripts/measure_tree.py [--json]
"""

from __future__ import annotations

import ast
import io
import json
import statistics
import sys
import tempfile
import tokenize
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).parents[1] / "src"
LONG = 700
LAYOUT = {tokenize.NEWLINE, tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.COMMENT, tokenize.ENDMARKER}


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    named = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        named[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return named


def docstrings(tree: ast.Module) -> set[int]:
    """The lines that docstrings stand on."""
    lines: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                lines.update(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    return lines


def code_lines(text: str, tree: ast.Module) -> int:
    """Lines that hold code."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in LAYOUT:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - docstrings(tree))


def function_lengths(tree: ast.Module) -> list[int]:
    """Lines of each function, from its def to its end."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [(n.end_lineno or n.lineno) - n.lineno + 1 for n in ast.walk(tree) if isinstance(n, kinds)]


def imported(name: str, path: Path, tree: ast.Module, known: dict[str, Path]) -> Iterator[str]:
    """The modules of the package that one imports, wherever in it that stands; not the package above it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                if inner in known:
                    yield inner
                elif node.module in known:
                    yield node.module


def circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """Sets of modules that reach each other (Tarjan 1972)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    result: list[list[str]] = []

    def visit(node: str) -> None:
        order[node] = low[node] = len(order)
        stack.append(node)
        for after in sorted(arrows[node]):
            if after not in order:
                visit(after)
                low[node] = min(low[node], low[after])
            elif after in stack:
                low[node] = min(low[node], order[after])
        if low[node] == order[node]:
            place = stack.index(node)
            group = sorted(stack[place:])
            del stack[place:]
            if len(group) > 1 or node in arrows[node]:
                result.append(group)

    sys.setrecursionlimit(10_000)
    for node in sorted(arrows):
        if node not in order:
            visit(node)
    return result


def trip() -> dict[str, int]:
    """The files that one proposal's calls enter, and how often they go back into one."""
    import dualcontrol as dc

    entered: list[str] = []
    current: list[str] = []

    def watch(frame: FrameType, event: str, _: Any) -> None:
        file = frame.f_code.co_filename
        if str(ROOT) not in file:
            return
        if event == "call":
            if not current or current[-1] != file:
                entered.append(file)
            current.append(file)
        elif event == "return" and current:
            current.pop()

    with tempfile.TemporaryDirectory() as folder, dc.open(f"sqlite:///{folder}/trip.db") as desk:
        loop = desk.loop("refunds", mode="approval", threshold=0.9, context="minimal")
        for amount in (10.0, 20.0):
            sys.setprofile(watch if amount == 20.0 else None)
            loop.propose(action="refund", args={"amount": amount}, input={"ticket": 17}, confidence=0.5)
        sys.setprofile(None)
    files = set(entered)
    return {"files entered": len(files), "returns": len(entered) - len(files)}


def measured() -> dict[str, Any]:
    """All figures."""
    known = modules()
    texts = {name: path.read_text() for name, path in known.items()}
    trees = {name: ast.parse(text) for name, text in texts.items()}
    lengths = [text.count("\n") for text in texts.values()]
    functions = sorted(length for tree in trees.values() for length in function_lengths(tree))
    arrows = {name: set(imported(name, known[name], trees[name], known)) - {name} for name in known}
    return {
        "files": len(known),
        "median lines of a file": statistics.median(lengths),
        "files under 40 lines": sum(length < 40 for length in lengths),
        f"files over {LONG} lines": sorted(name for name, text in texts.items() if text.count("\n") > LONG),
        "functions": len(functions),
        "median lines of a function": statistics.median(functions),
        "90th percentile of a function": functions[int(0.9 * len(functions))],
        "lines": sum(lengths),
        "lines of code": sum(code_lines(texts[name], trees[name]) for name in known),
        "import circles": circles(arrows),
        "a proposal's trip": trip(),
    }


def show(figures: dict[str, Any]) -> None:
    """Print figures, a line each or, where that is asked for, as JSON."""
    if "--json" in sys.argv[1:]:
        print(json.dumps(figures, indent=2))
        return
    for name, value in figures.items():
        print(f"{name:32s} {value}")


if __name__ == "__main__":
    show(measured())
