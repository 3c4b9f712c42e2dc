# Each target does all its own set-up; `make demo` and `make test` are the two to know.
SHELL := /bin/bash
VENV  := .venv
BIN   := $(VENV)/bin
STAMP := $(VENV)/.ready

.PHONY: setup demo test lint torture bench bench-large clean

setup: $(STAMP)

$(STAMP): pyproject.toml tools/setup
	tools/setup base
	touch $@

demo: setup
	tools/setup demo
	$(BIN)/strongroom demo

test: setup lint
	tools/setup test
	$(BIN)/pytest -n 2 tests

lint: setup
	$(BIN)/ruff check .
	$(BIN)/mypy

torture: setup
	tools/setup test
	tools/setup browser
	$(BIN)/pytest -m torture tests

bench: setup
	tools/setup bench
	$(BIN)/python -m benchmarks.run
	PATH="$(CURDIR)/$(VENV)/duplicity/bin:$$PATH" $(BIN)/python -m benchmarks.chains

bench-large: setup
	tools/setup bench
	$(BIN)/python -m benchmarks.run --large

clean:
	rm -rf $(VENV) build src/*.egg-info
