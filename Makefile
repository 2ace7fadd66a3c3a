# Everything here needs Python 3.11 or newer and make, nothing else: each target installs what it uses into .venv.

PYTHON ?= python3
STUDY ?= published
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# What a team and a cluster need besides: Postgres' driver, Ray, object storage.
SCALE := $(VENV)/.scale
# What developers need besides that: test tools, stand-ins of servers, type checker, linters.
DEV := $(VENV)/.dev
# Most tests wait for a server or a process: more workers than cores keep the cores busy.
WORKERS ?= 3
# Not compiled, which takes a core two minutes and the disk 0.6 GB for 44,000 files: Python compiles those that it imports.
PIP := --quiet --disable-pip-version-check --no-compile
# Label Studio has an environment of its own: its pins are not ours, and it is another 1 GB.
LABEL_STUDIO := label_studio/.venv/.installed
PORT ?= 8080
# The team's machine: docs/team.md.
COMPOSE ?= docker compose --project-name m2v
SECRETS := $(or $(M2V_SECRETS_DIR),secrets)
FILES := -f docker-compose.yml $(if $(GPU),-f docker/gpu.yml) $(if $(PROXY),-f docker/proxy.yml) $(if $(CLUSTER),-f docker/cluster.yml) $(if $(STORAGE),-f docker/storage.yml)
TO ?= backup
MINUTES ?= 60
# Dagster reads its instance from here; M2V_HOME moves all of it.
export M2V_HOME := $(abspath $(or $(M2V_HOME),var))

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast lint audit fuzz check ui bench clean browser services label-studio cluster secrets up down backup restore

help: ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: $(STAMP) ## the whole study on the published tables, or on the sample where they cannot be had
	@echo "== Running the study '$(STUDY)' (on 2 cores some minutes the first time, seconds from then on)"
	@$(BIN)/m2v run --study $(STUDY) --fallback sample

test: $(DEV) $(LABEL_STUDIO) browser services ## every test (docs/testing.md)
	@echo "== Running the tests"
	@$(BIN)/pytest -q -n $(WORKERS) --durations=25

test-fast: $(DEV) ## the tests that start no server and no study, in two minutes
	@$(BIN)/pytest -q -n 2 -m unit

lint: $(DEV) ## ruff, pyright and import-linter
	@echo "== Checking style, types and imports"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyright
	@$(BIN)/lint-imports

audit: $(DEV) ## known vulnerabilities, bandit, secrets in what git has
	@.ci/audit

fuzz: $(DEV) ## whatever comes from outside, damaged in new ways for MINUTES (60)
	@$(BIN)/python -m tests.fuzz --minutes $(MINUTES)

check: lint audit test ## what CI runs: lint, audit, then every test

ui: $(STAMP) ## Dagster's UI and daemon on 127.0.0.1:3000
	@$(BIN)/m2v ui --study $(STUDY)

label-studio: $(STAMP) $(LABEL_STUDIO) ## Label Studio on 127.0.0.1:8080, for annotation rounds
	@$(BIN)/m2v rounds serve --port $(PORT)

cluster: $(SCALE) ## what hosts of a cluster need besides, into .venv: Ray, object storage (docs/cluster.md)

secrets: ## passwords for the team's machine, those that are missing, into ./secrets
	@mkdir -p $(SECRETS) && chmod 700 $(SECRETS)
	@for name in postgres dagster_database label_studio_database label_studio_password label_studio_token; do \
		test -s $(SECRETS)/$$name || { od -An -N20 -tx1 /dev/urandom | tr -d ' \n' > $(SECRETS)/$$name && chmod 644 $(SECRETS)/$$name; }; \
	done

up: secrets ## M2V for a team on this machine, in containers (docs/team.md)
	@mkdir -p data/media data/published data/studies $(if $(CLUSTER),$(M2V_SHARED_HOME)/media)
	@echo "== Building two images (some minutes the first time) and starting the services"
	@M2V_STUDY=$${M2V_STUDY:-$(STUDY)} $(COMPOSE) $(FILES) up --detach --build --wait
	@echo "Dagster: http://127.0.0.1:$${M2V_UI_PORT:-3000}   Label Studio: http://127.0.0.1:$${M2V_LABEL_STUDIO_PORT:-8080}"

down: ## stop them; what they wrote stays
	@$(COMPOSE) $(FILES) down

backup: ## both databases, the home and the secrets, into TO=backup; the services go on
	@umask 077 && mkdir -p $(TO)
	@# The databases first: they name files, and files are only added.
	$(COMPOSE) exec -T postgres pg_dump --format=custom --dbname dagster > $(TO)/dagster.dump
	$(COMPOSE) exec -T postgres pg_dump --format=custom --dbname label_studio > $(TO)/label_studio.dump
	@# Exit code 1 is a file that was written meanwhile: a journal or a lock.
	$(COMPOSE) exec -T code tar --create --gzip --directory /data --exclude ./dagster/storage --exclude ./huggingface --exclude ./cache . > $(TO)/home.tar.gz || test $$? = 1
	$(COMPOSE) exec -T label-studio tar --create --gzip --directory /data . > $(TO)/label-studio.tar.gz || test $$? = 1
	cp -R $(SECRETS) $(TO)/secrets

restore: ## what `make backup` wrote into TO=backup, onto empty volumes
	@test -s $(TO)/dagster.dump || { echo "There is no backup in $(TO). Name it: make restore TO=folder"; exit 1; }
	@$(PYTHON) docker/check_backup.py $(TO) $$(sed -n 's/^MARK, FORMAT = "m2v.json", //p' m2v_resources/store/home.py)
	@mkdir -p data/media data/published data/studies $(SECRETS) && chmod 700 $(SECRETS)
	cp -R $(TO)/secrets/. $(SECRETS)
	$(COMPOSE) up --detach --build --wait postgres
	$(COMPOSE) exec -T postgres pg_restore --exit-on-error --single-transaction --dbname dagster < $(TO)/dagster.dump
	$(COMPOSE) exec -T postgres pg_restore --exit-on-error --single-transaction --dbname label_studio < $(TO)/label_studio.dump
	$(COMPOSE) run --rm -T --no-deps code tar --extract --gzip --directory /data < $(TO)/home.tar.gz
	$(COMPOSE) run --rm -T --no-deps label-studio tar --extract --gzip --directory /data < $(TO)/label-studio.tar.gz
	@echo "Restored. Start everything: make up"

bench: $(DEV) ## every benchmark; writes the table of docs/performance.md
	@$(BIN)/python benchmarks/all.py

clean: ## remove the virtual environment; what the platform wrote stays
	rm -rf $(VENV) label_studio/.venv

# torch is whichever build pip finds for this machine: a local CPU wheel, an index named in pip's configuration, or PyPI's.
$(STAMP): EXTRAS = encoder
$(SCALE): EXTRAS = encoder,team,cluster
$(DEV): EXTRAS = encoder,team,cluster,ocr,speech,dev

$(STAMP): pyproject.toml constraints.txt
	@echo "== Installing into $(VENV) (about 2.6 GB, some minutes)"
	$(install)
	@touch $@

$(SCALE): $(STAMP)
	@echo "== Installing Ray and the drivers of Postgres and object storage into $(VENV) (about 400 MB)"
	$(install)
	@touch $@

# All at once: each call of pip looks at everything that is installed.
$(DEV): pyproject.toml constraints.txt
	@echo "== Installing into $(VENV) what tests and developers need (about 3.3 GB, some minutes)"
	$(install)
	@touch $(STAMP) $(SCALE) $@

define install
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; name it: make PYTHON=python3.12 …"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install $(PIP) -c constraints.txt -e '.[$(EXTRAS)]'
endef

$(LABEL_STUDIO): label_studio/constraints.txt
	@echo "== Installing Label Studio into label_studio/.venv (about 1 GB, a minute or two)"
	@test -x label_studio/.venv/bin/python || $(PYTHON) -m venv label_studio/.venv
	@label_studio/.venv/bin/python -m pip install $(PIP) -r label_studio/constraints.txt
	@touch $@

# The UI is tested in a real browser: Chromium from the system, from Debian's packages, or Playwright's own.
browser: $(DEV)
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || { \
		echo "== Installing a browser for the tests of the UI"; \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; \
		then apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; \
		else $(BIN)/playwright install chromium; fi; }

# The team's machine is tested without a Docker engine: the same programs, from Debian's packages.
services:
	@{ command -v postgres || ls /usr/lib/postgresql/*/bin/postgres; } >/dev/null 2>&1 \
		&& command -v psql >/dev/null && command -v caddy >/dev/null && command -v docker-compose >/dev/null || { \
		echo "== Installing what the team's machine is made of: Postgres, Caddy, docker-compose"; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
			postgresql postgresql-client caddy docker-compose >/dev/null; }
	@# Hosts are made of namespaces, Slurm is Debian's.
	@command -v slurmctld >/dev/null && command -v slurmd >/dev/null && command -v sbatch >/dev/null && command -v munged >/dev/null \
		&& command -v ssh >/dev/null && command -v ip >/dev/null && command -v nsenter >/dev/null && command -v pkill >/dev/null \
		&& test -x /usr/sbin/sshd || { \
		echo "== Installing what a cluster is made of: Slurm, munge, ssh"; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
			slurmctld slurmd slurm-client munge openssh-server openssh-client iproute2 util-linux procps >/dev/null; }
