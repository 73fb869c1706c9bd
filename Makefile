# Every command sets up what it needs: the virtual environment and the pinned dependencies.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export PYTHONPATH := $(CURDIR)
# Each of the many processes that tests and the demo start would compile all modules anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench clean texts packs postgres16 conformance pictures

help:  ## Explain every command.
	@awk 'BEGIN {FS = ":.*## "} /^[a-z]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): requirements/dev.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Akiba needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

demo: $(STAMP)  ## Run the main job: two schemes on real prices, then serve. ONCE=1 reports and stops.
	$(BIN)/akiba demo run $(if $(ONCE),--once)

test: $(STAMP)  ## Run the tests. ARGS="tests/engine/ledger -k overdraw" chooses.
	$(BIN)/python -m pytest -q --numprocesses auto --dist loadfile $(ARGS)

lint: $(STAMP)  ## Check style, types, layers and migrations.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/squawk --version >/dev/null && $(BIN)/squawk --config .squawk.toml migrations/versions/*.sql

packs: $(STAMP)  ## Prove every pack: its examples, and each figure changed by one unit. Survivors are listed.
	@for pack in tenants/*/; do \
	  said=$$($(BIN)/akiba pack check $$pack) || { echo "$$said"; exit 1; }; \
	  echo "$$said" | grep -v '^ok '; \
	done

pictures: $(STAMP)  ## Take the pictures of docs/pictures anew.
	AKIBA_PICTURES=docs/pictures $(BIN)/python -m pytest -q tests/journeys/test_pictures.py

postgres16: $(STAMP)
	$(BIN)/python -m tests.second_server --numprocesses auto --dist loadfile tests/engine/ledger tests/engine/audit tests/engine/benefits tests/engine/notices tests/engine/webhooks tests/engine/channels tests/engine/closing tests/engine/debits tests/engine/mergers tests/engine/opening tests/engine/places tests/engine/contributions tests/engine/funds tests/engine/identity tests/engine/enrolment tests/engine/reconciliation tests/engine/access tests/engine/tenancy tests/migrations

# Each third party lives in an environment of its own: they want different versions of one library.
OTHERS := .akiba/conformance
others/%: requirements/conformance-%.txt
	test -e $(OTHERS)/$*/.installed -a ! $< -nt $(OTHERS)/$*/.installed || ( \
	  rm -rf $(OTHERS)/$* && $(PYTHON) -m venv $(OTHERS)/$* && \
	  $(OTHERS)/$*/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $< && \
	  touch $(OTHERS)/$*/.installed )

others/node: requirements/conformance-node/package-lock.json
	test -e $(OTHERS)/node/.installed -a ! $< -nt $(OTHERS)/node/.installed || ( \
	  mkdir -p $(OTHERS)/node && cp requirements/conformance-node/package*.json $(OTHERS)/node && \
	  cd $(OTHERS)/node && npm ci --silent --no-audit --no-fund --ignore-scripts && touch .installed )

conformance: $(STAMP) others/banking others/identity others/messaging others/mobile-money others/node  ## Try third parties' clients, servers and schemas against ours; print the table.
	$(BIN)/python -m pytest -q -m artefact -p tests.conformance.table $(ARGS)

bench: $(STAMP)  ## Measure speed as ratios in one run; prints JSON. NAME=posting SCALE=0.1 chooses.
	@$(BIN)/akiba bench $(NAME) --scale $(or $(SCALE),1)

texts: $(STAMP)  ## Extract texts and update the catalogues.
	$(BIN)/pybabel -q extract -F locales/babel.cfg -k N_ -k _ --no-wrap --sort-output --add-location=file --omit-header -o locales/engine.pot .
	$(BIN)/pybabel -q update -i locales/engine.pot -d locales -D engine --no-wrap --no-fuzzy-matching --ignore-obsolete

clean:  ## Remove what the commands made: environment, data, caches.
	rm -rf $(VENV) .akiba .mypy_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
