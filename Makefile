# Each target sets up what it needs by itself: a virtual environment in .venv with exactly the locked libraries.
# Nothing outside the checkout is written. ARGS goes to the program that a target runs:
#
#     make demo ARGS='--leads people.csv --exit'
#     make test ARGS='tests/database/test_calendar.py -k fold'
#
# PYTHON names the interpreter to make .venv with (3.11 or newer), where the first python3 found is not the right one.

.DEFAULT_GOAL := help
.PHONY: help demo test test-all chaos bench check format schema setup lock clean
MAKEFLAGS += --no-print-directory

PYTHON ?=
export PYTHON

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo:  ## Run the whole story on servers of its own; Ctrl-C ends it. ARGS='--leads FILE --exit'
	@scripts/setup embedded
	@exec .venv/bin/python starter.py demo $(ARGS)

# "long" are those that take long, or try at full size what a small one shows too (pyproject.toml).
TESTS = TMPDIR='$(CURDIR)/.tmp' exec .venv/bin/python -m pytest --numprocesses 4 --dist load

test:  ## Run the tests but the long ones, against real servers started for them. ARGS='tests/unit/test_x.py -k word'
	@scripts/setup dev
	@mkdir -p .tmp
	@$(TESTS) -m 'not long' $(ARGS)

test-all:  ## Run all tests, also the long ones
	@scripts/setup dev
	@mkdir -p .tmp
	@$(TESTS) $(ARGS)

chaos:  ## Kill and disturb everything by a seeded plan, then account for every message. ARGS='--seed N --plan FILE'
	@scripts/setup embedded
	@mkdir -p .tmp
	@TMPDIR='$(CURDIR)/.tmp' exec .venv/bin/python -m chaos $(ARGS)

bench:  ## Measure this machine, each figure beside what it is measured against. ARGS='--full --leads N --rounds N'
	@scripts/setup embedded
	@mkdir -p .tmp
	@TMPDIR='$(CURDIR)/.tmp' exec .venv/bin/python -m benchmarks $(ARGS)

check:  ## Formatting, lint, types, and the one-way imports
	@scripts/setup dev
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports --no-logo

format:  ## Format the code, and mend what the linter can mend by itself
	@scripts/setup dev
	@.venv/bin/ruff check --fix --quiet .
	@.venv/bin/ruff format .

schema:  ## Write messaging/schema.sql anew, after a change of the migrations
	@scripts/setup dev
	@mkdir -p .tmp
	@TMPDIR='$(CURDIR)/.tmp' exec .venv/bin/python -m tests.record_schema

setup:  ## Make .venv with everything that the other targets need
	@scripts/setup dev

lock:  ## Pin the libraries of pyproject.toml anew (needs uv and the network)
	@scripts/lock $(ARGS)

clean:  ## Remove what can be made again: .venv, caches. The data in .drumbeat stays
	@rm -rf .venv .tmp .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -prune -exec rm -rf {} +
