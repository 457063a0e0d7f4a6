.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
TOOLS := .venv-bench/.ready
# One more than the cores of a small machine: many tests wait for processes.
WORKERS ?= 3
export ETL_HOME ?= $(CURDIR)/.etl
export DAGSTER_HOME ?= $(ETL_HOME)/dagster

# Byte code is kept, whatever the environment says: else each process of the tests compiles all modules again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo dev test test-fast storm test-new-module fuzz chaos bench bench-full lint format typecheck check clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11" if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing into .venv (once) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e . --group dev
	@touch $@

demo: $(READY) ## Generate exports of five platforms, import them, run all assets, show the leads
	@$(BIN)/etl-assets demo

dev: $(READY) ## The web page on http://127.0.0.1:3001, the Dagster UI with its daemon on http://127.0.0.1:3000
	@$(BIN)/etl-assets db upgrade
	$(BIN)/etl-assets dev --port 3000

test: $(READY) ## All tests, on a PostgreSQL of their own
	$(BIN)/python -m pytest -n $(WORKERS)

test-fast: $(READY) ## The quick tests: within a minute, while you work
	HYPOTHESIS_PROFILE=fast $(BIN)/python -m pytest -n 2 -m 'not slow'

storm: $(READY) ## All random histories, faults and refusals, of which `make test` tries some: a quarter of an hour
	HYPOTHESIS_PROFILE=full $(BIN)/python -m pytest -n $(WORKERS) -m sampled

test-new-module: $(READY) ## All tests that know of assets, on a copy with the modules of docs/new-module.md (half an hour)
	ETL_TEST_NEW_MODULE=full $(BIN)/python -m pytest etl_assets_tests/test_new_module.py

fuzz: $(READY) ## Odd values and files for some minutes: make fuzz MINUTES=5 SEED=7
	$(BIN)/python -m etl_assets_tests.fuzz --minutes $(or $(MINUTES),5) $(if $(SEED),--seed $(SEED)) $(FUZZ)

$(TOOLS): pyproject.toml benchmarks/constraints.txt
	@test -x .venv-bench/bin/python || $(PYTHON) -m venv .venv-bench
	@echo "Installing dlt, dbt and matplotlib into .venv-bench (once) …"
	@.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check -c benchmarks/constraints.txt --group bench
	@touch $@

bench: $(READY) $(TOOLS) ## Time the pipeline against other ways, up to 100,000 orders: a few minutes
	$(BIN)/python -m benchmarks --quick --out .etl/bench/quick.json
	$(BIN)/python -m benchmarks.platforms --repeat 1 --out .etl/bench/platforms.json
	$(BIN)/python -m benchmarks.latency

bench-full: $(READY) $(TOOLS) ## The same up to 10,000,000 orders (hours, 60 GB), into docs/performance.md
	$(BIN)/python -m benchmarks --full --out benchmarks/results.json
	$(BIN)/python -m benchmarks.platforms --lines 1000000 --out .etl/bench/platforms.json
	.venv-bench/bin/python -m benchmarks.report benchmarks/results.json docs/performance.md

chaos: $(READY) ## Faults at every statement and of every kind (FAULTS=1000 SEED=7 MINUTES=10 ONLY=12 FIRST=500 KIND= SCENARIO=)
	$(BIN)/python -m etl_assets_tests.chaos $(if $(FAULTS),--faults $(FAULTS)) $(if $(MINUTES),--minutes $(MINUTES)) \
	  $(if $(SEED),--seed $(SEED)) $(if $(ONLY),--only $(ONLY)) $(if $(FIRST),--first $(FIRST)) $(if $(KIND),--kind "$(KIND)") \
	  $(if $(SCENARIO),--scenario "$(SCENARIO)")

lint: $(READY) ## Lint and format checks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(READY) ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

typecheck: $(READY) ## Strict type checks
	$(BIN)/mypy

check: lint typecheck test ## Everything that CI runs

clean: ## Stop the embedded database and remove it and the environment
	@test ! -x $(BIN)/etl-assets || ETL_HOME='$(CURDIR)/.etl' $(BIN)/etl-assets db stop
	rm -rf .venv .venv-bench .etl
