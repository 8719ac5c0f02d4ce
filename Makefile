# The menu. `make help` lists what there is; every target sets up what it needs.
SHELL := /bin/sh
BIN := .venv/bin
export PYTHONSAFEPATH := 1
export SETUP_BEGUN := $(shell date +%s)
.DEFAULT_GOAL := help

.PHONY: help setup demo test test-long check format generate lock bench clean

help: ## List the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/ready: pyproject.toml requirements.lock .ci/bootstrap
	@sh .ci/bootstrap

setup: .venv/ready ## Get everything the project needs: Python packages, Kubernetes, Envoy, Prometheus, Valkey
	@$(BIN)/python -m kvdev.setup

demo: setup ## The main job: a good release promoted, a bad one rolled back (KEEP=1 leaves it running)
	@$(BIN)/kvctl demo $(if $(KEEP),--keep)

# Two processes, whole folders each (see conftest.py): the end-to-end tests mostly wait.
test: setup ## All tests: unit, contract, integration, end to end
	@$(BIN)/pytest -n 2 --no-loadscope-reorder $(ARGS)

test-long: setup ## The races and drills in their full counts, with progress
	@$(BIN)/pytest -n 0 -s --long -m counted $(ARGS)

check: .venv/ready ## Format, lint, types, import contracts, generated files
	@$(BIN)/ruff format --check -q . && $(BIN)/ruff check -q .
	@$(BIN)/mypy -p kvoperator -p kvplan -p kvctl -p kvdev -p kvservice -p kvclient
	@$(BIN)/mypy tests e2e bench
	@$(BIN)/lint-imports
	@$(MAKE) -s generate && git diff --exit-code --stat -- crds docs

format: .venv/ready ## Format the code and mend what the linter can
	@$(BIN)/ruff format -q . && $(BIN)/ruff check -q --fix .

generate: .venv/ready ## Write the generated files anew (CRD, API reference, OpenAPI)
	@$(BIN)/python -m kvoperator.api.crd > crds/kvclusters.kvcluster.dev.yaml
	@$(BIN)/python -m kvoperator.api.reference > docs/api.md
	@$(BIN)/python -m kvservice.http.openapi > docs/openapi.json

lock: .venv/ready ## Resolve the dependencies anew
	@$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --no-emit-index-url --extra dev pyproject.toml -o requirements.lock

bench: setup ## Measure what the README quotes
	@for program in bench/*.py; do $(BIN)/python $$program || exit 1; done

clean: ## Remove the virtual environment and what was built here (parts in the user's cache stay)
	@rm -rf .venv build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
