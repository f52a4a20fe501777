# hookd. `make help` lists what can be done.
#
# Python 3.11 and Rust are all that has to be there. Everything else is installed
# below .build/, .venv/ and tests/node/node_modules/. The locks name versions and
# hashes and no index, so that they serve any index or mirror.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
UV_VERSION := 0.13.9
UV     := .build/uv/bin/uv
READY  := .venv/.ready
BENCH  := .build/bench
LOADGEN := $(BENCH)/loadgen/release/hookd-loadgen
NODE   := tests/node/node_modules/.package-lock.json
CHROMIUM := .build/chromium/.ready
# Tests wait more than they compute.
TEST_PROCESSES ?= 3
CARGO  := cargo
CRATE  := --manifest-path native/Cargo.toml
RUST   := $(shell find native/src -name '*.rs')
# Node and its tools come with a Python package.
WITH_NODE := PATH="$(CURDIR)/$(BIN):$$PATH"
BUF    := $(WITH_NODE) ../tests/node/node_modules/.bin/buf

# Some environments have Python keep nothing of what it compiles. Each daemon that
# a test starts would compile a thousand files then, and be there after thrice the time.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help demo example screenshots test test-rust test-mutants torture lint format proto serve bench setup lock clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(READY) ## play the story of two checkouts with one token
	@$(BIN)/python demo/demo.py

example: $(READY) ## run an example: make example NAME=order_saga
	@$(BIN)/python -m examples.$(NAME)

test: $(READY) $(NODE) $(CHROMIUM) test-rust ## run all tests
	$(BIN)/pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

test-rust: ## run the tests of the Rust crate
	$(CARGO) test --quiet --locked $(CRATE) --no-default-features

screenshots: $(READY) $(NODE) $(CHROMIUM) ## draw the pictures of the console in docs/images
	$(BIN)/python -m scripts.screenshots

torture: $(READY) ## run the random tests for MINUTES=10; SEED=… EFFORT=… repeats a round
	@$(BIN)/python -m scripts.torture $(TESTS) --minutes=$(or $(MINUTES),10) \
		$(if $(SEED),--seed=$(SEED)) $(if $(EFFORT),--effort=$(EFFORT))

test-mutants: $(READY) ## plant bugs in a copy, and see that the tests notice each
	@$(BIN)/python -m scripts.mutants $(MUTANTS)

lint: $(READY) $(NODE) ## check style, types, protos and stubs; changes nothing
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest hookd_daemon._native
	$(BIN)/python scripts/generate_stubs.py --check
	$(BIN)/python scripts/generate_comments.py --check
	cd proto && $(BUF) lint && $(BUF) build -o /dev/null && $(BUF) format --diff --exit-code
	$(CARGO) fmt $(CRATE) --check
	$(CARGO) fmt --manifest-path bench/loadgen/Cargo.toml --check
	$(CARGO) fmt --manifest-path bench/spikes/rust_listener/Cargo.toml --check
	$(CARGO) clippy --quiet --locked $(CRATE) --all-targets -- -D warnings
	$(CARGO) clippy --quiet --locked $(CRATE) --all-targets --no-default-features -- -D warnings

format: $(READY) $(NODE) ## put everything into the form that lint asks for
	$(BIN)/ruff check --fix --quiet . || true
	$(BIN)/ruff format --quiet .
	cd proto && $(BUF) format --write
	$(CARGO) fmt $(CRATE)

proto: $(READY) ## generate the Python stubs, and the comments, from the protos
	$(BIN)/python scripts/generate_stubs.py
	$(BIN)/python scripts/generate_comments.py

serve: $(READY) ## run a daemon on ./hookd-data
	$(BIN)/hookd serve $(SERVE_ARGS)

bench: $(READY) $(BENCH)/venv/.ready $(LOADGEN) ## measure hookd beside what it can be held against
	$(BIN)/python -m bench.packages
	$(BIN)/python -m bench $(BENCH_ARGS)

setup: $(READY) $(NODE) $(CHROMIUM) ## install everything that is needed

lock: $(UV) ## renew the locks of Python packages from the pyproject files
	$(UV) pip compile --quiet --universal --generate-hashes --no-header --no-annotate \
		--no-emit-package hookd --no-emit-package hookd-daemon --group dev \
		pyproject.toml daemon/pyproject.toml clients/python/pyproject.toml -o requirements.lock
	$(UV) pip compile --quiet --universal --generate-hashes --no-header --no-annotate \
		--group bench -o bench/requirements.lock

clean: ## remove all that was built or installed here
	rm -rf .build $(VENV) native/target tests/node/node_modules
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis
	rm -f daemon/hookd_daemon/_native*.so
	find clients daemon tests bench scripts -name __pycache__ -prune -exec rm -rf {} +

$(UV):
	@mkdir -p .build
	$(PYTHON) -m venv .build/uv
	.build/uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

# `--refresh-package`: uv would take the extension it built before, though the
# Rust below it has changed.
$(READY): requirements.lock daemon/pyproject.toml clients/python/pyproject.toml native/Cargo.toml native/Cargo.lock $(RUST) | $(UV)
	test -x $(BIN)/python || $(UV) venv --quiet --python $(PYTHON) $(VENV)
	$(UV) pip sync --quiet --compile-bytecode --python $(BIN)/python requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --refresh-package hookd-daemon \
		-e clients/python -e daemon
	@touch $@

# In an environment of its own, so that it has no say in ours.
$(BENCH)/venv/.ready: bench/requirements.lock | $(UV)
	$(UV) venv --quiet --clear --python $(PYTHON) $(BENCH)/venv
	$(UV) pip sync --quiet --python $(BENCH)/venv/bin/python bench/requirements.lock
	@touch $@

$(LOADGEN): $(shell find bench/loadgen -name target -prune -o -type f -print) $(wildcard proto/hookd/v1/*.proto)
	$(CARGO) build --quiet --release --locked --manifest-path bench/loadgen/Cargo.toml \
		--target-dir $(BENCH)/loadgen
	@touch $@

$(NODE): tests/node/package.json tests/node/package-lock.json | $(READY)
	cd tests/node && rm -rf node_modules && $(WITH_NODE) npm ci --loglevel=error
	@touch $@

# The browser that tests of the console drive.
$(CHROMIUM): tests/node/unpack-chromium.mjs $(NODE)
	rm -rf .build/chromium
	$(WITH_NODE) node tests/node/unpack-chromium.mjs .build/chromium
	@touch $@
