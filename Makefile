# Spymaster: `make demo` and `make test` do everything from a fresh clone; the rest are their parts.

SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= $(shell for p in python3.12 python3.11 python3.13 python3.14 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null && { echo $$p; break; }; done)
VENV := .venv
PY := $(VENV)/bin/python
NODE := $(shell command -v npm 2>/dev/null)
DT ?= 2026-02-06
START_TIME ?= 09:05
JOBS ?= 2

export MLFLOW_DISABLE_TELEMETRY := true

.PHONY: help setup page demo wheel serve test test-python test-slow test-page check bench soak mutants lock clean

help:  ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(VENV)/.ready  ## make .venv/ with the locked packages

$(VENV)/.ready: requirements.txt requirements-setup.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 to 3.14 is needed and none was found; install one, or run make PYTHON=/path/to/python"; exit 1; }
	@echo "setting up $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(PY) -m pip install --quiet --require-hashes --no-deps -r requirements-setup.txt
	@$(VENV)/bin/uv pip sync --quiet --python $(PY) --compile-bytecode --require-hashes requirements.txt
	@$(VENV)/bin/uv pip install --quiet --python $(PY) --no-deps --no-build-isolation --editable .
	@touch $@

page:  ## build the page, where Node is installed
ifeq ($(NODE),)
	@echo "no Node here: the page is not built, the stream works without it (install Node 20 to get the page)"
else
	@$(MAKE) --no-print-directory frontend/dist/.built
endif

frontend/node_modules/.ready: frontend/package.json frontend/package-lock.json
	@echo "installing the page's packages"
	@cd frontend && npm ci --loglevel=error --no-audit --no-fund
	@touch $@

frontend/dist/.built: frontend/node_modules/.ready $(shell find frontend/src frontend/*.html frontend/*.ts -type f 2>/dev/null)
	@echo "building the page"
	@cd frontend && npm run --silent build
	@touch $@

demo: setup  ## from nothing to a leaderboard, a champion and a live page; LIVE=1: a live day, from a gateway of ours
	@$(MAKE) --no-print-directory page || echo "the page could not be built (see above); the demo goes on without it"
	@$(VENV)/bin/spymaster demo --dt $(DT) $(if $(LIVE),--live,--start-time $(START_TIME))

wheel: setup page  ## the wheel with the page in it, into dist/
	@rm -rf build *.egg-info
	@$(VENV)/bin/uv build --quiet --wheel --no-build-isolation --python $(PY) --out-dir dist
	@rm -rf build *.egg-info
	@ls dist/*.whl

serve: setup page  ## serve the lake's file of DT=2026-02-06 from START_TIME=09:05
	@$(PY) -m serve --dt $(DT) --start-time $(START_TIME)

test: setup test-python test-page  ## all tests, JOBS=2 files at a time

test-python: setup
	@bash tests/setup.sh
	@$(PY) -m pytest --numprocesses=$(JOBS) --dist=loadfile --ignore=tests/bench -m "not slow" $(PYTEST_ARGS)
	@$(PY) -m pytest tests/bench  # ratios of speeds: with nothing beside them

test-slow: setup  ## what takes half a minute and more each: processes killed, every kernel's lines, the tool that plants bugs
	@bash tests/setup.sh
	@$(PY) -m pytest --numprocesses=$(JOBS) --dist=loadfile -m slow $(PYTEST_ARGS)

test-page: setup
ifeq ($(NODE),)
	@echo "no Node here: the page's tests are left out"
else
	@$(MAKE) --no-print-directory frontend/dist/.built
	@cd frontend && npm test --silent && npm run --silent test:browser
endif

check: setup  ## format, lint, types, import contract
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/mypy frontend/tools/*.py frontend/tests/support/*.py
	@$(VENV)/bin/lint-imports --no-cache

bench: setup  ## how fast this machine is at it; minutes, keeps the figures
	@$(PY) -m engine bench --day --keep tests/bench/results
	@$(PY) tests/bench/evaluation.py
	@$(PY) -m tests.bench.serving steady --clients 100 --seconds 60
	@$(PY) -m tests.bench.serving churn

soak: setup  ## hours of random input against the plain reading: EXAMPLES=2000 new ones per test; the judge's calibration; HOURS=8 serving
	@bash tests/setup.sh
	@SPYMASTER_FUZZ_EXAMPLES=$(or $(EXAMPLES),2000) $(PY) -m pytest --timeout=36000 tests/parity/test_fuzz_files.py \
		tests/parity/test_fuzz_streams.py tests/parity/test_guarantees.py
	@$(PY) -m tests.test_tune.calibration_tails
	@$(PY) -m tests.test_tune.calibration_luck
	@$(PY) -m tests.test_tune.calibration_gate
	@$(PY) -m tests.bench.serving soak --hours $(or $(HOURS),8)

# Files of the page go to its own tool, as globs; no FILES at all means both.
PAGE_GLOBS = $(foreach f,$(patsubst frontend/%,%,$(filter frontend/%,$(FILES))),--mutate '$(if $(filter %.ts,$f),$f,$(f:%/=%)/**/*.ts)')
mutants: setup  ## plant bugs in FILES="engine/book frontend/src/wire", name those no test finds; SEED=1 MINUTES=20
ifneq ($(if $(FILES),$(filter-out frontend/%,$(FILES)),all),)
	@$(PY) -m tests.mutants $(filter-out frontend/%,$(FILES)) $(if $(SEED),--seed $(SEED)) $(if $(MINUTES),--minutes $(MINUTES)) --jobs $(JOBS)
endif
ifneq ($(if $(FILES),$(PAGE_GLOBS),$(NODE)),)
	@$(MAKE) --no-print-directory frontend/node_modules/.ready
	@cd frontend && npm run --silent mutants -- $(PAGE_GLOBS) $(if $(SEED),--seed $(SEED)) $(if $(MINUTES),--minutes $(MINUTES))
endif

lock: $(VENV)/.ready  ## resolve requirements.txt anew from pyproject.toml
	@$(VENV)/bin/uv pip compile --universal --python-version 3.11 --extra dev --extra notebook --generate-hashes --no-header --no-annotate \
		--upgrade --quiet pyproject.toml --output-file requirements.txt

clean:  ## remove the environment and what was built; the lake stays
	@rm -rf $(VENV) frontend/node_modules frontend/dist build dist
