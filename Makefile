.DEFAULT_GOAL := help
NOX = .venv/bin/nox

.PHONY: help all lint types docs tests wheels reference bench faults mutants template plugins clean

help: ## show this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

all: .venv/ready ## everything a change must pass
	$(NOX)

lint types docs tests wheels reference bench faults mutants template plugins: .venv/ready
	$(NOX) -s $@

lint: ## format, lint rules, spelling, floors, dependencies
types: ## mypy, strict
docs: ## build the site of the documentation
tests: ## the suite with coverage
wheels: ## build the wheels and try them in fresh environments
reference: ## write the pages of the reference that are made from the code
bench: ## measure beside hand-written code
faults: ## kills, races and full disks, in full
mutants: ## take out one safeguard at a time
template: ## write every package that `flujo plugins new` can, and use it
plugins: ## test plugins by the oldest pluggy that is allowed

.venv/ready: requirements-dev.txt constraints.txt $(wildcard packages/*/pyproject.toml)
	python3 -m venv .venv
	.venv/bin/pip install -q -r requirements-dev.txt
	touch $@

clean: ## remove what the tools leave behind, but not .venv
	rm -rf dist .nox .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage* htmlcov
