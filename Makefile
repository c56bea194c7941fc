# Each target sets up what it needs: a virtual environment in .venv with exactly the locked libraries.
# Nothing outside the checkout is written. ARGS is passed to the program that a target runs:
#
#     make demo ARGS='--leads people.csv --exit'
#     make test ARGS='tests/database/test_calendar.py -k fold'
#
# PYTHON names the interpreter that .venv is made with (3.11 or newer), if the first python3 on the path is not the right one.

.DEFAULT_GOAL := help
.PHONY: help demo test test-all chaos bench production check format schema settings fingerprints histories setup lock clean
MAKEFLAGS += --no-print-directory

PYTHON ?=
export PYTHON

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo:  ## Run everything on servers of its own; Ctrl-C ends it. ARGS='--leads FILE --exit'
	@scripts/setup embedded
	@exec .venv/bin/python starter.py demo $(ARGS)

# Tests marked "long" take long, or try at full size what a smaller test shows, too (pyproject.toml).
# Byte code is kept, whatever the environment says: many processes begin with the same modules.
TESTS = PYTHONDONTWRITEBYTECODE= TMPDIR='$(CURDIR)/.tmp' exec .venv/bin/python -m pytest --numprocesses 4 --dist load

test:  ## Run all tests except the long ones, against real servers, which it starts. ARGS='tests/unit/test_x.py -k word'
	@scripts/setup dev
	@mkdir -p .tmp
	@$(TESTS) -m 'not long' $(ARGS)

test-all:  ## Run all tests, including the long ones
	@scripts/setup dev
	@mkdir -p .tmp
	@$(TESTS) $(ARGS)

chaos:  ## Kill processes and inject faults by a seeded plan, then account for every message. ARGS='--seed N --plan FILE'
	@scripts/setup embedded
	@mkdir -p .tmp
	@TMPDIR='$(CURDIR)/.tmp' exec .venv/bin/python -m chaos $(ARGS)

bench:  ## Measure this machine, each figure beside the one that it is measured against. ARGS='--full --leads N --rounds N'
	@scripts/setup embedded
	@mkdir -p .tmp
	@TMPDIR='$(CURDIR)/.tmp' exec .venv/bin/python -m benchmarks $(ARGS)

production:  ## Run the services of docker-compose.yml as processes, without Docker (needs Go). ARGS='--cluster'
	@scripts/setup embedded
	@exec .venv/bin/python -m rig.production $(ARGS)

check:  ## Check formatting, lint, types, and the import contracts
	@scripts/setup dev
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports --no-logo

format:  ## Format the code, and fix what the linter can fix
	@scripts/setup dev
	@.venv/bin/ruff check --fix --quiet .
	@.venv/bin/ruff format .

schema:  ## Write messaging/schema.sql and docs/commands.schema.json again, after a change of the migrations or of a command's --json
	@scripts/setup dev
	@mkdir -p .tmp
	@TMPDIR='$(CURDIR)/.tmp' .venv/bin/python -m tests.record_schema
	@exec .venv/bin/python -m tests.record_json

settings:  ## Write docs/settings.md again, after a change of runtime/settings.py
	@scripts/setup dev
	@exec .venv/bin/python -m tests.record_settings

fingerprints:  ## Write tests/fingerprints again, after a change of the commands of a workflow that was meant
	@scripts/setup dev
	@exec .venv/bin/python -m tests.record_fingerprints

histories:  ## Record histories of workflows, beside those there are. ARGS='LABEL STORY …'
	@scripts/setup dev
	@exec .venv/bin/python -m tests.record_histories $(ARGS)

licences:  ## Write docs/licences.md and docs/sbom.cdx.json again, after a change of the lock files
	@scripts/setup dev
	@exec .venv/bin/python -m tests.record_libraries

audit-dependencies:  ## Compare the libraries with their known weaknesses (needs pip-audit and the network)
	@scripts/setup dev
	@exec .venv/bin/python scripts/audit_dependencies.py

setup:  ## Create .venv with everything that the other targets need
	@scripts/setup dev
	@echo "Ready. Next: 'make demo' shows Drumbeat at work, 'make test' runs the tests, 'make help' lists the rest."

lock:  ## Update the pinned versions of the libraries in pyproject.toml (needs uv and the network)
	@scripts/lock $(ARGS)

clean:  ## Remove .venv and caches. Keeps the data in .drumbeat
	@rm -rf .venv .tmp .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -prune -exec rm -rf {} +
