# Every target does all its own set-up on a machine with Python >= 3.11 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.9
PROTOS := $(wildcard proto/czuwak/v1/*.proto)
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup servers demo test lint format types bench chaos screenshot proto lock clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.ready ## virtual environment, locked packages, front-end packages, translations

# The lock carries names, versions and hashes but no download addresses, so it is exported to a hashed
# requirements list and installed from whatever package index this machine is set up with.
$(VENV)/.ready: uv.lock pyproject.toml web/build.py web/package-lock.json $(wildcard web/translations/*/LC_MESSAGES/*.po)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python >= 3.11 is needed; set PYTHON=/path/to/it" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); tests/servers.sh python3-venv && $(PYTHON) -m venv $(VENV); }
	@test -x $(BIN)/uv || $(BIN)/python -m pip install -q --disable-pip-version-check uv==$(UV_VERSION)
	@$(BIN)/uv export -q --frozen --extra dev --no-emit-project --no-header --no-annotate -o $(VENV)/requirements.txt
	@$(BIN)/uv pip install -q --python $(BIN)/python --require-hashes -r $(VENV)/requirements.txt
	@$(BIN)/uv pip install -q --python $(BIN)/python --no-deps -e .
	@touch $@

servers: ## the real servers that tests run against, from Debian's packages
	@tests/servers.sh

demo: setup ## the whole product on this machine; ARGS=--once runs it unattended
	@$(BIN)/czuwak demo $(ARGS)

test: setup servers lint ## lint, types, import rules, all tests, the wheel
	@$(BIN)/python -m pytest -q -n 3 --dist worksteal $(ARGS)

lint: setup ## ruff, format, mypy, import rules, dependencies, protobuf style
	@$(BIN)/ruff check -q .
	@$(BIN)/ruff format -q --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache > $(VENV)/imports.log || { cat $(VENV)/imports.log; exit 1; }
	@$(BIN)/deptry . > $(VENV)/deptry.log 2>&1 || { cat $(VENV)/deptry.log; exit 1; }
	@cd proto && ../$(BIN)/buf lint .
	@$(MAKE) -s proto

format: setup ## write ruff's format and safe fixes
	@$(BIN)/ruff check -q --fix . ; $(BIN)/ruff format -q .

bench: setup ## prints our figures beside the peers'
	@tests/servers.sh && $(BIN)/python -m tests.bench $(ARGS)

chaos: setup ## the reliability figures; BUDGET=minutes ARGS="g1 g9"
	@tests/servers.sh && $(BIN)/python -m tests.chaos $(if $(BUDGET),--budget $(BUDGET)) $(ARGS)

screenshot: setup ## the picture in the README, from the product's own pages
	@tests/servers.sh && $(BIN)/python -m tests.web.screenshot

proto: setup ## regenerates the protocol's code and fails on a difference
	@rm -rf $(VENV)/proto && mkdir -p $(VENV)/proto
	@PATH=$(CURDIR)/$(BIN):$$PATH $(BIN)/python -m grpc_tools.protoc -I proto --python_out=$(VENV)/proto --mypy_out=quiet:$(VENV)/proto \
	  --grpc_python_out=$(VENV)/proto --mypy_grpc_out=quiet:$(VENV)/proto $(PROTOS)
	@for f in $$(cd $(VENV)/proto && find . -name '*_pb2*'); do cmp -s $(VENV)/proto/$$f proto/$$f || { cp $(VENV)/proto/$$f proto/$$f; echo "proto/$$f was out of date; it is regenerated, commit it" >&2; bad=1; }; done; test -z "$$bad"

lock: ## resolve the ranges of pyproject.toml again; the addresses are taken out
	@test -x $(BIN)/uv || $(MAKE) -s setup
	@rm -f uv.lock && $(BIN)/uv lock -q $(ARGS)
	@sed -E -i 's#source = \{ registry = "[^"]*" \}#source = { registry = "." }#; s#url = "[^"]*/([^"/]+)"#path = "\1"#; s#, upload-time = "[^"]*"##' uv.lock

clean: ## forget the environment and everything built
	@rm -rf $(VENV) dist build web/node_modules web/static/vendor
