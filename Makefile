# hookd. `make help` lists what can be done.
#
# Everything is installed below .build/ and .venv/: the uv that reads
# requirements.lock, the Python packages, the Rust extension. The lock names
# versions and hashes and no index, so that it serves any index or mirror.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
UV_VERSION := 0.13.9
UV     := .build/uv/bin/uv
READY  := .build/ready
NPM    := $(BIN)/npm

.DEFAULT_GOAL := help
.PHONY: help setup lock proto demo serve test test-rust lint format bench clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(UV):
	@mkdir -p .build
	$(PYTHON) -m venv .build/uv
	.build/uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

requirements.lock: pyproject.toml daemon/pyproject.toml clients/python/pyproject.toml | $(UV)
	$(MAKE) lock

lock: $(UV) ## renew requirements.lock from the pyproject files
	$(UV) pip compile --quiet --universal --generate-hashes --no-header --no-annotate \
		--no-emit-package hookd --no-emit-package hookd-daemon --group dev \
		pyproject.toml daemon/pyproject.toml clients/python/pyproject.toml -o requirements.lock

$(READY): requirements.lock daemon/pyproject.toml clients/python/pyproject.toml native/Cargo.toml native/Cargo.lock $(shell find native/src -name '*.rs') | $(UV)
	test -x $(BIN)/python || $(UV) venv --quiet --python $(PYTHON) $(VENV)
	$(UV) pip sync --quiet --python $(BIN)/python requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps -e clients/python -e daemon
	@touch $@

setup: $(READY) ## install everything that is needed
