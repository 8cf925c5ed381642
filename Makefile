# PYTHON is the interpreter that makes the environment (3.11 or newer), VENV where it lies.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
FUZZ_COUNT ?= 2000
FUZZ_KILLS ?= 100
FUZZ_SEED ?= 0
INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints.txt --editable

.PHONY: help setup test fuzz demo bench tables lint format types check

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## /  \1\t/p' $(MAKEFILE_LIST) | expand -t 12

setup: $(VENV)/.test  ## make the environment and install; does nothing when it is up to date

test: setup  ## run the tests
	@$(BIN)/python -m pytest

fuzz: setup  ## bad and good inputs by the thousand, and kills: FUZZ_COUNT=2000 FUZZ_KILLS=100 FUZZ_SEED=0
	$(BIN)/python -m tests.campaign --seed $(FUZZ_SEED) --count $(FUZZ_COUNT) --kills $(FUZZ_KILLS) --gates

demo: setup  ## the quick version of the main recipe
	$(BIN)/transfer run hopper-to-walker2d --quick

bench: $(VENV)/.bench  ## speed and memory as ratios, into runs/bench
	$(BIN)/python -m benchmarks

tables: setup  ## make the measured tables of README.md and docs/ anew from docs/results
	@$(BIN)/python -m docs.tables

lint: $(VENV)/.dev  ## ruff, and whether the code is formatted
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: $(VENV)/.dev  ## let ruff fix and format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

types: $(VENV)/.dev  ## mypy on all four folders
	@mkdir -p .types/transfer
	@for d in adapters envs recipes; do ln -sfn ../../$$d .types/transfer/$$d; done
	@find .types/transfer -xtype l -delete
	@for f in transfer/*; do ln -sfn ../../$$f .types/transfer/$${f##*/}; done
	$(BIN)/mypy -p transfer

check: lint types test  ## everything that has to pass before a commit

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.test: setup.cfg pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) '.[test]'
	@touch $@

$(VENV)/.bench: $(VENV)/.test
	$(INSTALL) '.[test,bench]'
	@touch $@

$(VENV)/.dev: $(VENV)/.test
	$(INSTALL) '.[test,dev]'
	@touch $@
