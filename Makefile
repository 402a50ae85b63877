# Everything a person types. `make` lists the targets.
.DEFAULT_GOAL := help
.PHONY: help build demo test soak bench check golden screenshots translations start-api start-gpu start-all stop-api stop-gpu stop-all status logs clean
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

# The environment from the hashed lock. Without the venv module (Debian splits it off) virtualenv does the same.
.venv/runtime: requirements.lock requirements-clip.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(v < (3, 11) and f"Python 3.11 or newer is needed, this is {v[0]}.{v[1]}; name another one: make PYTHON=python3.11 ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv 2>/dev/null || { $(PYTHON) -m pip install --quiet --target .venv/.tools virtualenv && PYTHONPATH=.venv/.tools $(PYTHON) -m virtualenv --quiet .venv; }
	@echo "Setting up .venv, once; it takes a minute or two."
	@$(PIP) --require-hashes -r requirements.lock
	@$(PIP) --no-deps --require-hashes -r requirements-clip.lock
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

.venv/dev: .venv/runtime requirements-dev.lock
	@$(PIP) --require-hashes -r requirements-dev.lock
	@touch $@

build: .venv/runtime ## set up the environment in .venv

demo: .venv/runtime ## run the main job here, nothing else needed (VIDEO=my.mov, KEEP=1)
	@$(BIN)/transcode demo $(if $(VIDEO),--video "$(VIDEO)") $(if $(KEEP),--keep)

# By file: what a file sets up is often a whole farm. (xdist 3.8 does not see its groups under pytest 9.2.)
test: .venv/dev ## all tests but the slow ones
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile

soak: .venv/dev ## tasks under random faults (SOAK_TASKS=, SOAK_SEED=), then the slow tests
	$(BIN)/python -m tests.soak
	$(BIN)/python -m pytest -m slow

.venv/bench: .venv/dev requirements-bench.lock
	@$(PIP) --require-hashes -r requirements-bench.lock
	@touch $@

bench: .venv/bench ## measure against the alternatives, about an hour (ONLY="ladder cost", ROUNDS=)
	$(BIN)/python -m bench $(ONLY) $(if $(ROUNDS),--rounds $(ROUNDS))

check: .venv/dev ## formatting, lint, types, import rules, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MAKE) test

golden: .venv/dev ## write the golden ffmpeg commands anew
	UPDATE_GOLDEN=1 $(BIN)/python -m pytest tests/golden

screenshots: .venv/dev ## pictures of every page of the admin, into screenshots/ (wants chromium, fonts-noto-cjk)
	$(BIN)/python -m tests.browser.screenshots screenshots

translations: .venv/dev ## gather the texts of the admin, and compile both catalogues
	@mkdir -p .run
	$(BIN)/pybabel -q extract -F webapp/translations/babel.cfg -k lazy -k ngettext:1,2 --no-location --sort-output -o .run/messages.pot .
	$(BIN)/pybabel -q update -i .run/messages.pot -d webapp/translations --no-fuzzy-matching --width 120
	$(BIN)/pybabel -q compile -d webapp/translations

start-api: .venv/runtime ## start the API and the bridge in the background
	@$(BIN)/transcode start api bridge

start-gpu: .venv/runtime ## start this machine's worker in the background
	@$(BIN)/transcode start worker

start-all: .venv/runtime ## start API, bridge and worker in the background
	@$(BIN)/transcode start api bridge worker

stop-api: .venv/runtime ## stop the API and the bridge
	@$(BIN)/transcode stop api bridge

stop-gpu: .venv/runtime ## stop the worker; its tasks are handed back
	@$(BIN)/transcode stop worker

stop-all: .venv/runtime ## stop everything
	@$(BIN)/transcode stop api bridge worker

status: .venv/runtime ## what runs here, what waits
	@$(BIN)/transcode status

logs: ## follow the log files
	@tail -n 50 -F .run/*.log

clean: ## remove the environment, logs and demo output
	rm -rf .venv .run demo-output
