# make demo     set everything up, run the demo (15 minutes on 2 cores), show its results
# make test     set everything up, lint, run the tests        make test-full   the long ones too
# make test-system   as root on Debian or Ubuntu: install Slurm, OpenSSH, a compiler for llama.cpp; the tests that need them
.DEFAULT_GOAL := help
.PHONY: help setup demo tiny test test-full test-system lint format clean
SHELL := /bin/bash
VENV ?= .venv
export PATH := $(abspath $(VENV))/bin:$(PATH)
export PYTHONPATH := $(CURDIR)/src
WORKERS ?= 2

help:
	@sed -n 's/^# make/make/p' Makefile

setup:
	@VENV=$(VENV) tools/setup.sh

demo: setup
	@pocketlm plan
	@snakemake
	@pocketlm record
	@pocketlm show

tiny: setup
	@[ -f runs/tiny/params.yaml ] || pocketlm compose recipe=tiny --into runs/tiny
	@snakemake --directory runs/tiny
	@pocketlm record runs/tiny

test: setup lint
	@OMP_NUM_THREADS=1 python -m pytest -n $(WORKERS) --dist loadgroup

test-full: setup lint
	@OMP_NUM_THREADS=1 python -m pytest -n $(WORKERS) --dist loadgroup -m "not alone" --timeout 3600
	@OMP_NUM_THREADS=1 python -m pytest -m alone --timeout 3600

test-system: setup
	@tools/system_tests.sh

lint: setup
	@ruff check .
	@ruff format --check --quiet .
	@mypy
	@snakefmt --check --quiet Snakefile workflow 2>/dev/null || snakefmt --check Snakefile workflow

format: setup
	@ruff check --fix --quiet . || true
	@ruff format --quiet .
	@snakefmt Snakefile workflow

# Caches of tools only: artefacts and checkpoints stay (dvc gc and rm -r results are yours to call).
clean:
	@rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis build src/*.egg-info
	@find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
