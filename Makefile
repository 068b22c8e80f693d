# Everything a checkout needs: `make demo` and `make test` each work on a fresh clone with nothing else.
# The environment is .venv in the checkout. It is made once, and again when pyproject.toml or constraints.txt change.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

# One thread for each process: sums have one order, and two processes do not fight over two cores.
TEST_ENV := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false \
            HF_HUB_OFFLINE=1 HF_HUB_DISABLE_TELEMETRY=1 MPLBACKEND=Agg

# One worker a core, each with one thread; a file stays in one worker, for its models are made once.
PARALLEL ?= -n auto --dist loadfile

# Strict: a dead link, a missing anchor or a page outside the navigation is an error.
SITE := NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

.DEFAULT_GOAL := help
.PHONY: help install demo study test test-deep lint format tree docs bench clean

help:
	@echo "make demo     the whole idea on a small real model, on a CPU, in minutes"
	@echo "make test     format, lint, types, the documentation site and the tests that continuous integration runs"
	@echo "make test-deep  the long tests: many kills, every shipped recipe on the real model"
	@echo "make study    the small sweep: two families, six methods, on two CPU cores"
	@echo "make lint     format, lint and types only"
	@echo "make format   rewrite the code in the house format"
	@echo "make tree     write the file tree of docs/architecture.md anew"
	@echo "make docs     build the documentation site into build/site"
	@echo "make bench    the measurements under bench/"
	@echo "make clean    remove caches and builds; .venv and runs/ stay"

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "unswayed needs Python 3.11 or newer, and $(PYTHON) is not; name one with: make PYTHON=python3.12 ..." >&2; exit 2; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { echo "== making .venv"; $(PYTHON) -m venv .venv; } || { \
		echo "could not make .venv; on Debian and Ubuntu the module is a package: apt-get install python3-venv" >&2; exit 2; }
	@echo "== installing unswayed and its tested dependencies into .venv (once; it takes minutes)"
	@$(BIN)/python -m pip install -qq --no-input --disable-pip-version-check \
		--constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(STAMP)
	@$(BIN)/unswayed demo

# All five run even if one fails, so one round shows every problem. On success pytest's closing line is the last.
test: $(STAMP)
	@failed=""; \
	echo "== ruff format"; $(BIN)/ruff format --check --quiet . || failed="$$failed format"; \
	echo "== ruff check"; $(BIN)/ruff check --no-cache --quiet . || failed="$$failed lint"; \
	echo "== mypy"; $(BIN)/mypy --no-error-summary || failed="$$failed types"; \
	echo "== docs"; $(SITE) || failed="$$failed docs"; \
	echo "== pytest"; $(TEST_ENV) $(BIN)/python -m pytest $(PARALLEL) -m "not deep" || failed="$$failed tests"; \
	if test -n "$$failed"; then echo "failed:$$failed" >&2; exit 1; fi

# Two families, six columns, one seed on the embedded model. Killed, it goes on where it stopped.
study: $(STAMP)
	@$(BIN)/unswayed sweep run recipes/sweeps/small.toml --slots 2 --memory 4
	@$(BIN)/unswayed sweep report sweeps/small

test-deep: $(STAMP)
	@$(TEST_ENV) $(BIN)/python -m pytest $(PARALLEL) -m deep

lint: $(STAMP)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

format: $(STAMP)
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

tree: $(STAMP)
	@$(BIN)/python scripts/tree.py

docs: $(STAMP)
	@$(SITE)
	@echo "build/site/index.html"

# bench.methods and bench.axes take hours and are started by their own names.
bench: $(STAMP)
	@for name in sampler opct_step loss scaling; do echo "== bench.$$name"; $(BIN)/python -m bench.$$name || exit 1; done

clean:
	@rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -path ./.venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
