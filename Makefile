# One door for people and CI. `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
LOCKS := requirements.lock requirements-dev.lock
ARGS ?=

.PHONY: help venv run test check fmt generate unit acceptance kills systemd bench lock debian-run debian-test clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# ---- what the targets stand on
debian-run:
	@tests/debian-packages.sh python3-venv

debian-test:
	@tests/debian-packages.sh python3-venv python3-dev gcc git prometheus prometheus-alertmanager chromium \
	  util-linux systemd-container mmdebstrap

$(VENV)/.run: requirements.lock pyproject.toml | debian-run
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "gpufin needs Python 3.11 or later; name one: make PYTHON=python3.11 ..." >&2; exit 1; }
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements-dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

venv: $(VENV)/.dev ## Make .venv with everything for development

# ---- the two commands of the README
run: $(VENV)/.run ## Start the agent, or without a GPU a simulated node; ARGS="--listen 127.0.0.1:9777": another port
	@exec $(BIN)/gpufin run --config config.example.yaml --state-directory .gpufin --simulate-without-driver $(ARGS)

test: debian-test venv check unit acceptance systemd ## Install what is needed, then run every check and test

# ---- parts of the test command
check: venv ## Formatting, lint, types, import rules (seconds)
	@$(BIN)/ruff format --check --quiet . || { echo "run make fmt"; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

unit: venv ## Unit, property, library and rule tests, in parallel
	@$(BIN)/python -m pytest -q -n 2 --ignore=tests/acceptance --ignore=tests/systemd

acceptance: venv ## The whole line with real Prometheus and Alertmanager (minutes)
	@$(BIN)/python -m pytest -q tests/acceptance

kills: venv ## kill -9 at 200 random moments (ten minutes; make test does 25)
	@GPUFIN_KILLS=200 $(BIN)/python -m pytest -q -s tests/acceptance/test_kills.py

systemd: venv ## The unit in a throw-away Debian with its own systemd (needs root)
	@$(BIN)/python -m pytest -q tests/systemd

# ---- development
fmt: venv ## Format and fix what can be fixed
	@$(BIN)/ruff format --quiet . ; $(BIN)/ruff check --quiet --fix .

generate: venv ## Rewrite generated files: boards, rules, schema, reference pages
	@$(BIN)/python -m dashboards.build
	@$(BIN)/python -m tests.generate

bench: venv ## Cost of the agent beside nvitop-exporter over the same library (minutes, no test)
	@$(BIN)/python -m tests.bench

lock: ## Pin the newest dependencies again (needs uv)
	@uv pip compile -q pyproject.toml --group build --generate-hashes --no-header --python-version 3.11 -o requirements.lock
	@uv pip compile -q pyproject.toml --group build --group dev --group bench -c requirements.lock \
	  --generate-hashes --no-header --python-version 3.11 -o requirements-dev.lock

clean: ## Remove what make made
	@rm -rf $(VENV) .cache build dist
