# Everything a contributor types. `make` alone prints this list.
#
# A virtual environment in .venv is made on first use. A stamp file in it says
# which set of packages it holds, so that a second run starts at once and an
# edit of pyproject.toml or setup.py installs again.

PYTHON ?= python3
ARGS ?=
# Tests run in this many processes, 1 to 3 GB each: tracing uses one core only.
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --quiet --disable-pip-version-check

# TensorFlow's start-up notes are not news; its warnings and errors are.
export TF_CPP_MIN_LOG_LEVEL ?= 2

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help quickstart test lint types format bench notebooks docs install clean

help:  ## Print this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' \
		$(MAKEFILE_LIST)
	@echo '  Pass options on with ARGS, for example:'
	@echo '    make quickstart ARGS="--minutes 1"'
	@echo '    make test ARGS="tests/test_cli.py -x"'

quickstart: $(VENV)/quickstart.stamp  ## From raw text to a served model
	$(BIN)/keras-llm quickstart $(ARGS)

test: $(VENV)/dev.stamp  ## Run the tests
	$(BIN)/python -m pytest --numprocesses=$(WORKERS) --dist=loadfile $(ARGS)

lint: $(VENV)/dev.stamp  ## Check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/dev.stamp  ## Check the type hints
	$(BIN)/pyright --pythonpath $(BIN)/python

format: $(VENV)/dev.stamp  ## Put the code in the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/dev.stamp  ## Measure beside the peers that are installed
	@for file in benchmarks/[a-z]*.py; do \
		echo "== $$file"; $(BIN)/python $$file $(ARGS) || exit 1; done

notebooks: $(VENV)/dev.stamp  ## Run all notebooks in full, for docs/notebooks
	$(BIN)/python notebooks/run.py pages $(ARGS)

docs: export NO_MKDOCS_2_WARNING = 1
docs: $(VENV)/dev.stamp  ## Build the documentation site in site/
	$(BIN)/mkdocs build --strict --quiet

install: $(VENV)/dev.stamp  ## Make .venv with everything for development

clean:  ## Remove what make made: .venv, builds and caches
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/pip.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
		|| { echo "keras_llm needs Python 3.11, 3.12 or 3.13, and '$(PYTHON)'" \
		"is $$($(PYTHON) --version 2>&1). Name another one:" \
		"make $(MAKECMDGOALS) PYTHON=python3.11" >&2; exit 1; }
	@echo "Making a virtual environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --upgrade pip
	@touch $@

# Everything that the quickstart writes, and nothing for development.
$(VENV)/quickstart.stamp: $(VENV)/pip.stamp pyproject.toml setup.py
	@echo "Installing keras_llm and TensorFlow (3 GB, a minute or two)"
	@$(PIP) install --editable '.[data,viz,litert]'
	@touch $@

$(VENV)/dev.stamp: $(VENV)/pip.stamp pyproject.toml setup.py
	@echo "Installing keras_llm for development (3 GB, a minute or two)"
	@$(PIP) install --editable '.[dev]'
	@touch $@ $(VENV)/quickstart.stamp
