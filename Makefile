# blasso-flow. `make` alone lists the targets; every target works from a fresh clone.
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
BLASSO_FLOW := $(BIN)/blasso-flow
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

# What `make demo` and `make data` write.
OUT := out
DATA := data

# What `make batch` reads, and options for its `recover`.
SIGNALS ?=
RECOVER_OPTIONS ?=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules
.PHONY: help demo test lint bench bench-quick batch data figures clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# ---- environment: a second call does nothing -------------------------------------------------------------------------
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'blasso-flow needs Python 3.11 or newer: make PYTHON=python3.12 ...' >&2; exit 1; }
	@echo 'creating the virtual environment $(VENV)' >&2
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: setup.cfg pyproject.toml | $(BIN)/python
	@echo 'installing blasso-flow into $(VENV)' >&2
	@$(PIP) install --editable .
	@touch $@

$(VENV)/.installed-test: setup.cfg pyproject.toml | $(BIN)/python
	@echo 'installing blasso-flow and what its tests need into $(VENV)' >&2
	@$(PIP) install --editable '.[test]'
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-bench: setup.cfg pyproject.toml | $(BIN)/python
	@echo 'installing blasso-flow and its peers into $(VENV)' >&2
	@$(PIP) install --editable '.[bench]'
	@touch $@ $(VENV)/.installed

# ---- using it --------------------------------------------------------------------------------------------------------
demo: $(VENV)/.installed ## recover the spikes of the example signals and draw them
	@mkdir -p $(OUT)
	@for signal in gaussian ricker channels; do \
	  sign=--positive; [ $$signal = ricker ] && sign=--signed; \
	  echo; echo "== blasso-flow recover $(DATA)/$$signal.h5 $$sign --output-dir $(OUT)"; \
	  $(BLASSO_FLOW) recover $(DATA)/$$signal.h5 $$sign --output-dir $(OUT) --force || exit; \
	done
	@echo; echo '== blasso-flow show $(OUT)/gaussian.spikes.h5'
	@$(BLASSO_FLOW) show $(OUT)/gaussian.spikes.h5
	@echo; echo 'figures: $(OUT)/gaussian.spikes.png $(OUT)/ricker.spikes.png $(OUT)/channels.spikes.png'

# One bad file is no reason to leave out the others: they are made all the same, and make fails at the end.
ifneq ($(filter batch,$(MAKECMDGOALS)),)
MAKEFLAGS += --keep-going
endif
batch: $(SIGNALS:.h5=.spikes.h5) ## recover many files: make -j2 batch SIGNALS="a.h5 b.h5"
	@$(if $(strip $(SIGNALS)),:,echo 'name the signals: make batch SIGNALS="a.h5 b.h5"' >&2; exit 2)

%.spikes.h5: %.h5 | $(VENV)/.installed
	@$(BLASSO_FLOW) recover $< --output $@ --force --quiet --accept-unconverged --jobs 1 $(RECOVER_OPTIONS)

# ---- working on it ---------------------------------------------------------------------------------------------------
# Kernels are compiled while types are checked: neither keeps two cores busy.
test: $(VENV)/.installed-test ## lint, type check and run the tests
	@$(BIN)/python tests/compiling.py & trap "kill $$! 2> /dev/null" EXIT; $(MAKE) --no-print-directory lint && wait $$!
	@$(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

lint: $(VENV)/.installed-test ## ruff, import layers, mypy
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet . || { $(BIN)/ruff format --check . ; exit 1; }
	@$(BIN)/lint-imports --no-cache > $(VENV)/lint-imports.log || { cat $(VENV)/lint-imports.log; exit 1; }
	@$(BIN)/mypy --no-error-summary

bench: $(VENV)/.installed-bench ## the benchmarks' tables, as ratios taken in one run
	@$(BIN)/python -m benchmarks

bench-quick: $(VENV)/.installed-bench ## the same in under two minutes
	@$(BIN)/python -m benchmarks --quick

# ---- example signals, from fixed seeds -------------------------------------------------------------------------------
data: $(VENV)/.installed ## write the example signals of data/ anew (same bytes each time)
	@mkdir -p $(DATA)
	@$(BLASSO_FLOW) simulate --filter gaussian:sd=0.02 --samples 1000 --range 0 1 --spikes 10 --min-separation 0.05 \
	  --snr 20 --axis-name time --axis-units s --units V --seed 0 --force --output $(DATA)/gaussian.h5
	@$(BLASSO_FLOW) simulate --filter ricker:frequency=1.5 --samples 1000 --range 0 15 --spikes 8 --signed \
	  --min-separation 0.6 --snr 15 --axis-name time --axis-units ns --units V/m --seed 1 --force --output $(DATA)/ricker.h5
	@$(BLASSO_FLOW) simulate --filter decay:rise=0.5,decay=1.5 --samples 120 --range 0 20 --spikes 4 --min-separation 1.5 \
	  --channels 6 --missing 0.05 --offset 2 --snr 15 --axis-name time --axis-units s --units dF/F --seed 2 --force \
	  --output $(DATA)/channels.h5

figures: $(VENV)/.installed ## draw the figures of README and docs anew
	@mkdir -p docs $(OUT)
	@$(BLASSO_FLOW) recover $(DATA)/gaussian.h5 --output $(OUT)/figure.h5 --force --quiet
	@$(BIN)/python -c "from PIL import Image; Image.open('$(OUT)/figure.png').convert('RGB').quantize(64).save('docs/gaussian.png', optimize=True)"
	@$(BIN)/python docs/figures.py
	@$(BIN)/python docs/study_figures.py

clean: ## remove results and caches, keep the virtual environment
	@rm -rf $(OUT) build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -path ./$(VENV) -prune -o -name __pycache__ -type d -print | xargs -r rm -rf
