# `make` alone lists the targets. Everything runs in .venv; nothing is installed elsewhere, except that
# `make test` as root on Debian or Ubuntu installs a Chromium if there is none.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/bash

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell command -v python3.11 || command -v python3)
STAMP := $(VENV)/.setup-stamp
BENCH_STAMP := $(VENV)/.bench-stamp
FRAMEWORKS_STAMP := $(VENV)/.frameworks-stamp
CHROMIUM := $(VENV)/chromium-path
# Three test processes on two cores, since many tests wait; `make test JOBS=0` runs in one, for a debugger.
JOBS ?= 3
ARGS ?=
PIP_INSTALL = $(BIN)/python -m pip install --disable-pip-version-check --quiet
PYTEST = $(BIN)/pytest -n $(JOBS) --dist loadfile

# Where a script is not written yet, its target says so instead of showing a traceback.
run-script = @test -e $(1) || { echo "$(1) does not exist yet" >&2; exit 2; }; $(BIN)/python $(1) $(ARGS)

.PHONY: help setup browser check format test test-slow bench demo serve docs screenshots build clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## Create .venv and install the package with all that development needs

$(STAMP): pyproject.toml
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "dualcontrol needs Python 3.11 or newer; name one with: make setup PYTHON=<path>" >&2; exit 2; }
	test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	$(PIP_INSTALL) --editable '.[dev,demo]'
	@touch $@

browser: $(STAMP) ## Find or install a Chromium for the browser tests
	@$(BIN)/python scripts/find_chromium.py $(CHROMIUM)

check: $(STAMP) ## Formatting, lint, types, import contracts, freshness of the docs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	@if test -e scripts/check_docs.py; then $(BIN)/python scripts/check_docs.py; fi

format: $(STAMP) ## Format the code and mend what the linter can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: $(STAMP) browser ## Run the tests, with SQLite, PostgreSQL and a browser; ARGS are handed to pytest
	$(PYTEST) -m "not slow" $(ARGS)

# The agent frameworks, of which only slow tests know.
$(FRAMEWORKS_STAMP): $(STAMP)
	$(PIP_INSTALL) --editable '.[langchain,langgraph]' 'langgraph-checkpoint-sqlite>=3.1,<4'
	@touch $@

# Exit status 5 means that no test carries the mark.
test-slow: $(STAMP) $(FRAMEWORKS_STAMP) browser ## Run the slow tests, with the agent frameworks installed
	$(PYTEST) -m slow --timeout 900 $(ARGS) || test $$? -eq 5

$(BENCH_STAMP): $(STAMP)
	$(PIP_INSTALL) --editable '.[bench]'
	@touch $@

bench: $(BENCH_STAMP) ## Measure every figure that the README claims, peers included
	$(call run-script,bench/run.py)

demo: $(STAMP) ## Run the demonstration: the whole loop with simulated proposals and reviewers
	$(BIN)/dualcontrol demo $(ARGS)

serve: $(STAMP) ## Serve the web console
	$(BIN)/dualcontrol serve $(ARGS)

docs: $(STAMP) ## Generate the reference pages of the docs
	$(call run-script,scripts/build_docs.py)

screenshots: $(STAMP) browser ## Take the pictures of the docs
	$(call run-script,scripts/screenshots.py)

build: $(STAMP) ## Build the source archive and the wheel into dist/
	$(BIN)/python -m hatchling build

clean: ## Remove caches and built files, and keep .venv
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
