# Everything a contributor or a newcomer types. 'make' alone lists the targets.

PYTHON ?= python3
# An extra package index for torch only, where PyPI's torch would bring CUDA along:
#   make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=

VENV := .venv
BIN := $(VENV)/bin
# The tests start some hundreds of processes: what one has compiled the next ones read.
export PYTHONDONTWRITEBYTECODE :=
# Of all that comes a tenth is ever imported, and compiled then.
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq install --no-compile -c constraints.txt
REQUIREMENTS := pyproject.toml constraints.txt
# Stamps: made when the environment holds what 'demo' or 'dev' needs.
DEMO := $(VENV)/.made-for-demo
DEV := $(VENV)/.made-for-dev

.DEFAULT_GOAL := help
.PHONY: help demo dev test lint collect bench binary conformance bench-serve package-zoo contract audit golden soak gpu-check clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  PYTHON=$(PYTHON) makes the environment; TORCH_INDEX=URL is an extra index for torch."

demo: $(DEMO) ## Deploy two networks and classify photographs and digits, from nothing
	@$(BIN)/python scripts/demo.py

dev: $(DEV) ## Make the environment that the tests need, and run nothing

test: $(DEV) ## Lint, then run every test with coverage (at least 90 %)
# While one core checks types the other compiles the tests, which each worker would do by itself.
	@$(MAKE) --no-print-directory -j 2 lint collect
# A file's tests stay together, so that what they share is made once, and files go to whichever worker
# is free: one that gets a quarter of all tests at once, as by default, gets all the slow ones.
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder \
		--cov --cov-report=term --cov-fail-under=90

lint: $(DEV) ## Check style, formatting and types
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

collect: $(DEV)
	@told=$$($(BIN)/python -m pytest --collect-only -qq 2>&1) || { echo "$$told"; exit 1; }

bench: $(DEV) ## Run the benchmarks; each writes benchmarks/results/*.json
	@$(BIN)/python -m benchmarks.export_time
	@$(BIN)/python -m benchmarks.zoo_parity
	@$(BIN)/python -m benchmarks.engines
	@$(BIN)/python -m benchmarks.lrn_operator
	@$(BIN)/python -m benchmarks.runtimes
	@$(BIN)/python -m benchmarks.runtimes.draw

binary: $(DEV) ## Build dist/lrn-server, the server as one executable file
	@$(BIN)/python scripts/build_binary.py

conformance: $(DEV) ## Compare lrn-server with the real tritonserver, call by call (fetches it)
	@$(BIN)/python -m benchmarks.conformance

bench-serve: $(DEV) ## Measure lrn-server beside tritonserver, LitServe and BentoML (fetches them)
	@$(BIN)/python -m benchmarks.serve
	@$(BIN)/python -m benchmarks.serve.draw

package-zoo: $(DEV) ## Load packages of the whole zoo in the real tritonserver (fetches it)
	@$(BIN)/python -m benchmarks.package_triton

contract: $(DEV) ## Let schemathesis ask the server for all that /openapi.json says
	@$(BIN)/python -m benchmarks.contract

audit: $(DEV) ## Ask PyPI whether a weakness is known of a pinned version (fetches pip-audit)
	@$(BIN)/python scripts/audit.py

golden: $(DEV) ## Import networks that were really trained and check their answers (fetches them)
	@$(BIN)/python -m benchmarks.golden
	@$(BIN)/python -m benchmarks.golden --openface
	@$(BIN)/python -m benchmarks.golden --layers
	@$(BIN)/python -m benchmarks.golden --speed

soak: $(DEV) ## Ten minutes of half load: no growth of the server's memory, files or threads
	@$(BIN)/python -m benchmarks.soak

gpu-check: ## On a GPU machine: check and measure with PYTHON as it is, into gpu-check/
	@$(PYTHON) -m benchmarks.gpu_check --out gpu-check

clean: ## Remove the environment, the demo's output and all caches
	@rm -rf $(VENV) .peers .golden demo build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@rm -rf .coverage .coverage.* coverage.xml
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# setuptools comes first, so that building the package itself needs nothing more from an index.
$(VENV)/.made: constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	@echo "Making the environment $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) setuptools wheel
ifneq ($(TORCH_INDEX),)
	@$(PIP) --extra-index-url $(TORCH_INDEX) torch
endif
	@touch $@

$(DEMO): $(VENV)/.made $(REQUIREMENTS)
	@echo "Installing lrn-deploy with what it needs to export and run; this takes a minute or two ..."
	@$(PIP) --no-build-isolation -e '.[export,cpu,openvino,samples,serve,rtx]'
	@touch $@

$(DEV): $(VENV)/.made $(REQUIREMENTS)
	@echo "Installing lrn-deploy with what its tests need; this takes a minute or two ..."
	@$(PIP) --no-build-isolation -e '.[export,cpu,openvino,samples,serve,rtx,dev]'
	@touch $(DEMO) $@
