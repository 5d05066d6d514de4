# Two commands do everything: `make run` and `make test`. `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
export PYTHON

.PHONY: help setup-run setup-dev run test soak test-ansible test-vm lint format generate bench bench-xfs bench-diagnosis lock wheel clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup-run:
	@tools/setup.sh run

setup-dev:
	@tools/setup.sh dev

run: setup-run ## a collector and an agent on this host, and as root the whole story; ONCE=1 ends after it
	@PYTHONPATH=tools exec $(BIN)/python -m story $(if $(ONCE),--once)

test: setup-dev ## all tests that this machine can run; ARGS="…" goes to pytest
	@$(BIN)/pytest -m "not ansible and not vm" $(ARGS)

soak: setup-dev ## every property with TIMES as many examples as usual (20 unless set)
	@TIMES=$${TIMES:-20} $(BIN)/pytest -m "hypothesis and not kernel" tests $(ARGS)

test-ansible: setup-dev ## the playbooks, against real systemd hosts in namespaces
	@$(BIN)/pytest -m ansible tests/ansible $(ARGS)

test-vm: setup-dev ## XFS repair for real, in virtual machines; builds a kernel the first time (13 minutes)
	@tools/setup.sh vm
	tests/vm/build-kernel.sh >/dev/null
	tests/vm/run.sh $(ARGS)

lint: setup-dev ## formatting, lint, types, layers, generated code, spelling
	@export PATH="$(CURDIR)/$(BIN):$$PATH"
	ruff format --check .
	ruff check .
	mypy
	lint-imports
	python tools/generate_proto.py --check
	python -m fsmend_agent.kernel._build --check
	buf lint
	codespell
	yamllint --strict .
	ansible-galaxy collection install --force -p build/collections ./ansible >/dev/null
	cd ansible && ANSIBLE_COLLECTIONS_PATH=$(CURDIR)/build/collections ansible-lint --offline --profile production -q

format: setup-dev ## put the code into its form
	@$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

generate: setup-dev ## generate the protobuf and cffi modules again
	@export PATH="$(CURDIR)/$(BIN):$$PATH"
	python tools/generate_proto.py
	python -m fsmend_agent.kernel._build

bench: setup-dev ## measure; prints a table and writes build/bench.json
	@PYTHONPATH=tools:tests exec $(BIN)/python -m bench $(ARGS)

bench-xfs: setup-dev ## measure polling of an XFS with 1,000 groups and 10 million inodes (6 GB of disk, some 15 minutes)
	@FSMEND_BENCH_XFS_INODES=$${FSMEND_BENCH_XFS_INODES:-10000000} PYTHONPATH=tools:tests $(BIN)/python -m bench xfs_polling

bench-diagnosis: setup-dev ## measure diagnosis against known truth; SEEDS=200 for the full run
	@PYTHONPATH=tools:tests exec $(BIN)/python -m bench_diagnosis $(ARGS)

lock: setup-dev ## resolve the dependencies anew into constraints.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --group dev --no-header --no-annotate \
		--no-emit-index-url --output-file constraints.txt pyproject.toml

wheel: setup-dev ## dist/fsmend-VERSION-wheelhouse.tar: the wheel and its pinned dependencies, for hosts without a registry
	@$(BIN)/python tools/build_wheelhouse.py dist

clean: ## remove what was built
	@rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
