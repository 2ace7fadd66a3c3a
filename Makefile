# Everything here needs Python 3.11 or newer and make, nothing else: each target installs what it uses into .venv.

PYTHON ?= python3
STUDY ?= published
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Dagster reads its instance from here; M2V_HOME moves all of it.
export M2V_HOME := $(abspath $(or $(M2V_HOME),var))

.DEFAULT_GOAL := help
.PHONY: help demo test lint check ui bench clean browser

help: ## what there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: $(STAMP) ## the whole study on the published tables, or on the sample where they cannot be had
	@echo "== Running the study '$(STUDY)' (on 2 cores about 5 minutes the first time, seconds from then on)"
	@$(BIN)/m2v run --study $(STUDY) --fallback sample

test: $(STAMP) browser ## every test
	@echo "== Running the tests"
	@$(BIN)/pytest -q

lint: $(STAMP) ## ruff, pyright and import-linter
	@echo "== Checking style, types and imports"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyright
	@$(BIN)/lint-imports

check: lint test ## what CI runs: lint, then every test

ui: $(STAMP) ## Dagster's UI and daemon on 127.0.0.1:3000
	@$(BIN)/m2v ui --study $(STUDY)

bench: $(STAMP) ## every benchmark; writes the table of docs/performance.md
	@$(BIN)/python benchmarks/all.py

clean: ## remove the virtual environment; what the platform wrote stays
	rm -rf $(VENV)

# torch is whichever build pip finds for this machine: a local CPU wheel, an index named in pip's configuration, or PyPI's.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; name it: make PYTHON=python3.12 …"; exit 1; }
	@echo "== Installing into $(VENV) (about 2.5 GB, some minutes)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[encoder,dev]'
	@touch $@

# The UI is tested in a real browser: Chromium from the system, from Debian's packages, or Playwright's own.
browser: $(STAMP)
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || { \
		echo "== Installing a browser for the tests of the UI"; \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; \
		then apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; \
		else $(BIN)/playwright install chromium; fi; }
