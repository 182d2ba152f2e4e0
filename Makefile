# The project's commands. On first use, they set up .venv and .demo-model.

PYTHON := .venv/bin/python
SYSTEM_PYTHON := python3.11
export MODEL ?= demo

.PHONY: help setup clients run test check lint types fast slow http serve emulator bench \
	lock lock-clients clean

help: ## lists these targets
	@sed -nE 's/^([a-z-]+):.* ## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

setup: ## creates .venv and the demo model
	@$(SYSTEM_PYTHON) -m builder.setup

# Creates one environment for each client in tests/clients.
clients: setup ## creates an environment for each client that the tests use
	@$(PYTHON) -m builder.clients

run: setup ## answers test_input.json with the demo model, on the CPU
	@$(PYTHON) handler.py

# Before each commit: takes a few minutes. Three processes, one of which has the engine
# (tests/conftest.py): tests of the browser and of processes mostly wait. COVERAGE=1, as in the
# workflow, measures their coverage; it doubles the time.
COVERAGE_OPTIONS := $(if $(COVERAGE),--cov --cov-report=term --cov-fail-under=95)

test: setup ## lint, types and the fast tests: before each commit
	@$(MAKE) --no-print-directory --output-sync=target --jobs=2 fast lint types

fast: setup
	$(PYTHON) -m pytest -m "not slow and not workers" -n 3 --durations=30 \
		$(COVERAGE_OPTIONS)

# The remaining tests: fuzz, soak, clients, workers in their own processes. Four processes for two
# cores, since most of their tests wait. (pytest-xdist cannot split those of the HTTP API: the tests
# that schemathesis generates share one name, so it sees one test.)
check: setup clients ## everything else: fuzz, soak, faults, clients, browser
	@$(MAKE) --no-print-directory --output-sync=target --jobs=2 slow http

HTTP := tests/worker/entrypoints/http

slow: setup
	$(PYTHON) -m pytest -m "slow or workers" --ignore=$(HTTP) -n 3 --durations=30

http: setup
	$(PYTHON) -m pytest -m "slow or workers" $(HTTP) --durations=30

lint: setup ## checks style and formatting
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	.venv/bin/shellcheck builder/*.sh .ci/run
	.venv/bin/hadolint Dockerfile

types: setup ## checks types
	$(PYTHON) -m pyright

bench: setup ## answers the benchmarks' questions, into reports/index.html (QUICK=1: one short round)
	@$(PYTHON) -m benchmarks $(if $(QUICK),--quick)

serve: setup ## serves the HTTP API on 127.0.0.1:8000 (PORT=) with the demo model
	@$(PYTHON) -m worker.serve --host 127.0.0.1

emulator: setup ## runs RunPod's control plane on 127.0.0.1:8080 (PORT=) with one worker
	@$(PYTHON) -m emulator

# Updates the pins of the CPU environment, from pyproject.toml and builder/cpu/uv.toml.
lock: ## updates the pins of the CPU environment
	.venv/bin/uv pip compile $$($(PYTHON) -c 'from builder.setup import *; print(*torch_source())') --quiet --config-file builder/cpu/uv.toml --python-version 3.11 \
		--no-header --no-annotate --no-emit-find-links --extra gpu --extra otel --group cpu --group dev pyproject.toml \
		--output-file builder/cpu/requirements.txt

# Pins the newest version of every client.
lock-clients: ## pins the newest version of every client
	cd tests/clients/requirements && for each in *.in; do \
		../../../.venv/bin/uv pip compile --quiet --upgrade --python-version 3.11 --no-header \
			--no-annotate --output-file $${each%.in}.txt $$each; done
	cd tests/clients/node && npm install --silent --save-exact openai@latest zod@latest \
		ai@latest @ai-sdk/openai@latest @ai-sdk/open-responses@latest @ai-sdk/anthropic@latest

clean: ## removes everything that setup created
	rm -rf .venv .demo-model .clients tests/clients/*/node_modules
