# Every target builds the virtual environment first; a second call reuses it until pyproject.toml or constraints.txt changes.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
WORKERS ?= 2

# Two test processes on two cores: more torch threads than one each would only wait for one another.
TEST_ENV := OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1 \
	HF_HUB_DISABLE_TELEMETRY=1 HF_HUB_DISABLE_PROGRESS_BARS=1 MPLBACKEND=Agg

.PHONY: help quickstart test check lint format types results clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 20

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "hf_datasel needs Python 3.11 or newer: make PYTHON=python3.11 ..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV): a few minutes the first time"
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[test]'
	@touch $@

quickstart: $(STAMP)  ## record, select, train and compare on a generated corpus (about 4 minutes on 2 cores)
	$(BIN)/hf-datasel quickstart

test: $(STAMP)  ## the whole test suite
	$(TEST_ENV) $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

lint: $(STAMP)  ## ruff: rules and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)  ## mypy over the package
	$(BIN)/mypy

check: lint types test  ## everything a change must pass

format: $(STAMP)  ## rewrite the files as ruff formats them
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

results: $(STAMP)  ## render the README's result tables and model_cards/ from the committed JSON
	$(BIN)/python -m recipes.benchmarks.render
	$(BIN)/python -m recipes.model_cards

clean:  ## remove the environment and tool caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
