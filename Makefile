# Every target sets up what it needs: a virtual environment in .venv, the pinned packages, ocusam itself.
# A second call finds the stamp file and starts at once.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt
PYTEST := $(BIN)/python -m pytest -n auto --maxprocesses 4
SET_UP_BY := pyproject.toml constraints.txt src/ocusam/core/version.py
RUN_STAMP := $(VENV)/.ocusam-run
DEV_STAMP := $(VENV)/.ocusam-dev

# Test workers share the cores, so each of them computes on one thread.
test test-all: export OMP_NUM_THREADS = 1

.PHONY: help demo test test-all lint format tree install clean
.DEFAULT_GOAL := help

help:  ## what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-9s %s\n", $$1, $$2}' Makefile

demo: $(RUN_STAMP)  ## track a rendered eye video and print the error against its ground truth
	@$(BIN)/ocusam demo

test: lint  ## lint, types, layers and all quick tests
	@$(PYTEST) -m "not slow"

test-all: lint  ## the same, and the slow tests
	@$(PYTEST)

lint: $(DEV_STAMP)  ## style, types and layers only
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(DEV_STAMP)  ## rewrite the files in house style
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

tree: $(DEV_STAMP)  ## rewrite the tree in README.md from the module docstrings
	@$(BIN)/python tests/readme_tree.py --write

install: $(RUN_STAMP)  ## only set up .venv with what ocusam needs to run

clean:  ## remove the virtual environment and the caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "ocusam needs Python 3.11 or newer, and '$(PYTHON)' is not (or is missing)."; \
	  echo "Name another one, for example: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@echo "setting up $(VENV) (once)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

# The build tools are installed first and used in place, so that their versions are pinned too.
$(RUN_STAMP): $(SET_UP_BY) | $(BIN)/python
	@echo "installing what ocusam needs to run (once; torch is a large download)"
	@$(PIP) hatchling
	@$(PIP) --no-build-isolation --editable .
	@touch $@

$(DEV_STAMP): $(SET_UP_BY) $(RUN_STAMP)
	@echo "installing the test tools (once)"
	@$(PIP) --no-build-isolation --editable '.[dev]'
	@touch $@
