"""Agent frameworks are installed by `make test-slow` alone; without them their tests are not collected."""

from __future__ import annotations

from importlib.util import find_spec

FRAMEWORKS = {
    "langgraph": ("test_langgraph.py", "test_resumer.py", "test_killed.py"),
    "langchain": ("test_langchain.py", "test_ungated.py"),
}
collect_ignore = [file for module, files in FRAMEWORKS.items() if find_spec(module) is None for file in files]
