# Set-up and the main jobs; `make help` lists them.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup prune table1 test lint bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / {printf "%-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.vitprune ## install into .venv, again only when pyproject.toml has changed

prune: setup ## a first result: fine-tune a small MViT, drop 5 of its layers, compare (ARGS=... adds overrides)
	$(BIN)/python prune.py model=mvit metric=R k=5 $(ARGS)

table1: $(VENV)/.vitprune-sweep ## Table 1 on both stand-ins, 36 cells, two at a time; again: goes on where it was stopped (ARGS=... likewise)
	$(BIN)/python prune.py experiment=table1_demo hydra/launcher=joblib $(ARGS)

test: $(VENV)/.vitprune-test ## run all tests, two at a time (ARGS=... goes to pytest)
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(VENV)/.vitprune-test ## check format, lint, types and the direction of imports; changes nothing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.vitprune-test ## run the benchmarks, minutes each; their tables are those of benchmarks/RESULTS.md
	for script in benchmarks/*.py; do $(BIN)/python $$script || exit 1; done

clean: ## remove caches, runs/ and the stand-ins in data/; not .venv and not your own data
	rm -rf build dist *.egg-info .grimp_cache .import_linter_cache .mypy_cache .pytest_cache .ruff_cache .hypothesis data/demo_* data/.demo_* runs
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

$(VENV)/.vitprune: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "vitprune needs Python 3.11 or newer, $(PYTHON) is older; try make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

$(VENV)/.vitprune-%: $(VENV)/.vitprune
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[$*]'
	touch $@
