"""The wheel holds every page of the docs, and no picture; the demo answers from them."""

from __future__ import annotations

from pathlib import Path

from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parents[2]


def test_the_wheel_holds_every_page_and_no_picture() -> None:
    """Asked of the build, which lists its files without packing them."""
    files = {Path(file.distribution_path) for file in WheelBuilder(str(ROOT)).recurse_included_files()}
    pages = {Path("dualcontrol") / page.relative_to(ROOT) for page in (ROOT / "docs").rglob("*.md")}
    assert {file for file in files if file.is_relative_to("dualcontrol/docs")} == pages
    assert Path("dualcontrol/py.typed") in files
