# make demo   trains on the embedded digits and shows the result      make test   runs all checks
# Both set up .venv by themselves, and again only when the packaging files change.

PYTHON ?= python3
PACKAGING := setup.cfg pyproject.toml constraints.txt
PY := .venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help demo test test-all docs interface mutants setup clean check-python anew

# An environment that was moved, copied or left half made is made anew, since it points to its old place.
MISPLACED := $(shell [ -e .venv ] && [ "$$(cat .venv/.place 2>/dev/null)" != "$$(pwd)" ] && echo anew)

help:
	@echo "make demo      train on the embedded digits (some minutes) and print the metrics and the picture's path"
	@echo "make test      ruff, mypy and the tests"
	@echo "make test-all  all tests, with the long ones"
	@echo "make docs      build the site of the documentation in site/"
	@echo "make mutants MODULE=game.estimators   put small faults into a module; which do its tests not notice? (minutes)"
	@echo "make setup     only make .venv, with everything that developers need"
	@echo "make clean     remove .venv and caches (not runs/)"
	@echo "With another interpreter: make demo PYTHON=/path/to/python3 (3.10 or newer)"

demo: .venv/.installed
	@$(PY) scripts/train_images.py --config scripts/recipes/digits.yaml --output-dir runs/demo --overwrite --max-seconds 240

test: .venv/.installed-dev
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@$(PY) -m pytest -n auto --dist worksteal -q -m "not long"

test-all: .venv/.installed-dev
	@$(PY) -m pytest -n auto --dist worksteal -q

docs: .venv/.installed-dev
	@$(PY) -m mkdocs build --strict
	@echo "site/index.html"

# The public interface changes on purpose: the list of it is written anew.
interface: .venv/.installed-dev
	@cd scripts && ../$(PY) -m documentation.sources > ../tests/public_interface.txt

mutants: .venv/.installed-dev
	@$(PY) scripts/trials/mutants.py $(MODULE) $(ARGS)

setup: .venv/.installed-dev

check-python:
	@command -v "$(PYTHON)" >/dev/null 2>&1 || { \
		echo "error: '$(PYTHON)' was not found; install Python 3.10 or newer, or name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
		echo "error: '$(PYTHON)' is $$("$(PYTHON)" --version 2>&1); Python 3.10 or newer is needed: make PYTHON=/path/to/python3" >&2; exit 1; }

.venv/.made: $(MISPLACED) | check-python
	@"$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null || { \
		echo "error: '$(PYTHON)' lacks the venv module (on Debian and Ubuntu: apt install python3-venv)" >&2; exit 1; }
	@echo "Setting up .venv (once, some minutes at most)"
	@rm -rf .venv && "$(PYTHON)" -m venv .venv && pwd > .venv/.place && touch $@

.venv/.installed: $(PACKAGING) .venv/.made
	@echo "Installing bgan_discrete and what it needs into .venv"
	@$(PY) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	@touch $@

.venv/.installed-dev: .venv/.installed
	@echo "Installing what the checks need into .venv"
	@$(PY) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test,dev,docs,tensorboard]'
	@touch $@

clean:
	rm -rf .venv .ruff_cache .mypy_cache .pytest_cache .hypothesis build site *.egg-info
