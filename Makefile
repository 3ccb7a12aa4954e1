# Everything that is done with this repository; `make` alone lists it.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
FUZZ_SECONDS ?= 10
CARGO := cargo
export PYO3_PYTHON := $(CURDIR)/$(BIN)/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# maturin installs into the environment that these name; a foreign one that is active is not meant.
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
unexport CONDA_PREFIX PYTHONHOME
# Where rustup puts cargo, for shells that were open before it did; where Debian puts nginx, which a user's PATH lacks.
export PATH := $(PATH):$(HOME)/.cargo/bin:/usr/sbin:/sbin

# What the extension is made of; tests and fuzz targets are not part of it.
NATIVE := $(shell find native/core/src native/binding/src -name '*.rs' -o -name '*.txt') $(wildcard native/*/Cargo.toml) \
	Cargo.toml Cargo.lock .cargo/config.toml $(wildcard native/profile/*) scripts/profile.sh
PYTHON_CODE := python tests bench scripts

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- use

.PHONY: demo
demo: $(VENV)/.extension ## One streamed chat through the gateway, with the built-in demo provider
	@$(BIN)/penstock demo

.PHONY: run
run: $(VENV)/.extension ## Serve in the foreground; CONFIG=penstock.yaml names a file
	@$(BIN)/penstock serve $(if $(CONFIG),-c $(CONFIG))

# --- test

.PHONY: test
test: rust system $(VENV)/.dev $(VENV)/.extension ## All tests: Rust, Python, fuzz targets for a few seconds each
	$(CARGO) test --locked --quiet
	$(BIN)/python -m pytest -n 2 --dist worksteal tests
	$(BIN)/python scripts/fuzz.py --seconds $(FUZZ_SECONDS)

.PHONY: test-long
test-long: rust system $(VENV)/.dev $(VENV)/.extension ## The same with more random rounds and five minutes a fuzz target
	ROUNDS=10000 $(CARGO) test --locked --quiet
	ROUNDS=200 $(BIN)/python -m pytest tests
	$(BIN)/python scripts/fuzz.py --seconds 300

.PHONY: test-python
test-python: $(VENV)/.dev ## Python's unit tests alone: no Rust, no compiled library
	$(BIN)/python -m pytest tests/unit

.PHONY: fuzz
fuzz: rust $(VENV)/.made ## Fuzz for a while: FUZZ_SECONDS=600, TARGETS="http_request" for some only
	@scripts/need.sh g++ build-essential
	$(BIN)/python scripts/fuzz.py --seconds $(FUZZ_SECONDS) $(TARGETS)

.PHONY: system
system: # what the tests need from Debian
	@scripts/need.sh nginx nginx-light
	@scripts/need.sh g++ build-essential
	@scripts/need.sh initdb postgresql
	@scripts/need.sh pgbouncer pgbouncer
	@scripts/need.sh redis-server redis-server

.PHONY: rust
rust: # the compiler, not older than Cargo.toml asks
	@scripts/need_rust.sh

# --- check

.PHONY: check
check: system lint ## Everything that must hold before a change lands, tests aside
	$(BIN)/python -m bench.smoke

.PHONY: lint
lint: rust $(VENV)/.dev $(VENV)/.extension ## The static gates alone: style, types, stub, licences, sizes
	$(BIN)/ruff check $(PYTHON_CODE)
	$(BIN)/ruff format --check $(PYTHON_CODE)
	$(BIN)/python -m mypy python/penstock tests bench scripts
	MYPYPATH=python $(BIN)/python -m mypy.stubtest penstock._native
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --quiet --workspace --lib --bins -- -D warnings
	$(CARGO) clippy --locked --quiet --workspace --all-targets -- -D warnings $(IN_TESTS)
	$(BIN)/python scripts/check_sizes.py
	$(BIN)/python scripts/deny.py

# Tests may panic; that rule alone is looser for them.
IN_TESTS := -A clippy::unwrap_used -A clippy::expect_used -A clippy::panic -A clippy::print_stdout

.PHONY: bench
bench: rust system $(VENV)/.dev $(VENV)/.extension ## Penstock beside nginx; fails when a budget is missed
	$(BIN)/python -m bench.run

.PHONY: bench-litellm
bench-litellm: rust system $(VENV)/.dev $(VENV)/.extension ## Penstock beside LiteLLM, which is installed into target/ for it
	$(BIN)/python -m bench.peers.litellm.row

.PHONY: format
format: $(VENV)/.dev ## Put every file into shape
	$(BIN)/ruff check --fix $(PYTHON_CODE)
	$(BIN)/ruff format $(PYTHON_CODE)
	$(CARGO) fmt --all

# --- build

.PHONY: wheel
wheel: rust $(VENV)/.runtime ## Build the wheel into dist/
	scripts/profile.sh use $(BIN)/maturin build --release --locked --out dist

.PHONY: profile
profile: rust system $(VENV)/.dev ## The compiler's profile of the extension under load, anew
	scripts/profile.sh make

.PHONY: clean
clean: ## Remove what was built: environment, libraries, wheels
	rm -rf $(VENV) dist python/penstock/_native*.so
	$(CARGO) clean

# Each stamp is made again when what it depends on changed, so a second run of anything takes seconds.
$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@scripts/need.sh $(PYTHON) python3-venv
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.runtime: $(VENV)/.made pyproject.toml scripts/requirements.py
	$(BIN)/python scripts/requirements.py > $(VENV)/runtime.txt
	$(BIN)/python -m pip install --quiet -r $(VENV)/runtime.txt
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime
	$(BIN)/python scripts/requirements.py --dev > $(VENV)/dev.txt
	$(BIN)/python -m pip install --quiet -r $(VENV)/dev.txt
	@touch $@

$(VENV)/.extension: $(VENV)/.runtime $(NATIVE) pyproject.toml
	@scripts/need_rust.sh
	@scripts/need.sh cc build-essential
	PIP_QUIET=1 scripts/profile.sh use $(BIN)/maturin develop --release --locked --quiet
	@touch $@
