# The commands of the project. Each sets up what it needs in .venv and .demo-model, once.

PYTHON := .venv/bin/python
SYSTEM_PYTHON := python3.11
export MODEL ?= demo

.PHONY: setup run test lint types suite unit fuzz serve emulator bench lock clean

setup:
	@$(SYSTEM_PYTHON) builder/setup.py

run: setup
	@$(PYTHON) handler.py

test: lint types suite

lint: setup
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .

types: setup
	$(PYTHON) -m pyright

# The two halves of the suite, one core each; the fuzzing half is slow under coverage.
FUZZ := tests/test_parser_fuzz.py tests/test_parser_oracle.py

suite: setup
	@$(MAKE) --no-print-directory --output-sync=target --jobs=2 unit fuzz

unit:
	$(PYTHON) -m pytest --cov --cov-report=term $(addprefix --ignore=,$(FUZZ))

fuzz:
	$(PYTHON) -m pytest $(FUZZ)

bench: setup
	$(PYTHON) -m benchmarks.added_cost

serve: setup
	@$(PYTHON) -m worker.serve --host 127.0.0.1

emulator: setup
	@$(PYTHON) -m emulator

# Pins the CPU environment anew, from pyproject.toml and builder/cpu/uv.toml.
lock:
	.venv/bin/uv pip compile $$($(PYTHON) -c 'from builder.setup import *; print(*torch_source())') --quiet --config-file builder/cpu/uv.toml --python-version 3.11 \
		--no-header --no-annotate --no-emit-find-links --group cpu --group dev pyproject.toml \
		--output-file builder/cpu/requirements.txt

clean:
	rm -rf .venv .demo-model
