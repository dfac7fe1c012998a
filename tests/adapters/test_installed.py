"""A framework whose tests were not collected is missing, not passed."""

from __future__ import annotations

from importlib.util import find_spec

import pytest


@pytest.mark.slow
@pytest.mark.parametrize("framework", ["langgraph", "langchain"])
def test_slow_tests_run_with_every_framework(framework: str) -> None:
    assert find_spec(framework) is not None, f"make test-slow installs {framework}"
