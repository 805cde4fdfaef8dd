# What people and CI run. It needs Python 3.11 or later, make and, the first time, the network: all else is
# installed into .venv, each package checked against its hash in requirements/. PYTHON chooses the Python.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Tests run in this many processes, each with its own broker; 0 runs them in one, which a debugger needs.
TEST_PROCESSES ?= 2
PYTEST := $(BIN)/python -m pytest
# Without byte code on disk each of the many processes compiles all it imports anew.
unexport PYTHONDONTWRITEBYTECODE
# What needs no real part and no minutes.
PURE := not kafka and not prometheus and not postgres and not browser and not slow

.DELETE_ON_ERROR:
.PHONY: help install demo test check style bench chaos simulation fuzz soak sbom audit docs lock clean

help:
	@echo "make install   .venv with everything, locked"
	@echo "make demo      the whole pipeline on this machine; ONCE=1 ends when the morning is over"
	@echo "make test      everything: style, types, all tests on the real parts"
	@echo "make check     in a minute or two: style, types, quick pure tests"
	@echo "make bench     the benchmark; ARGS=... is passed on"
	@echo "make chaos     seeded runs of the stages with faults; RUNS=30 SEED=1"
	@echo "make simulation seeds of the simulated stages; SEEDS=4000 SEED=1"
	@echo "make fuzz      mutated input for every decoder; MINUTES=5"
	@echo "make soak      steady load with faults, memory and files; MINUTES=30 EVENTS=500 a second"
	@echo "make sbom      what the program is made of, as CycloneDX: dist/sbom.cdx.json"
	@echo "make audit     known weaknesses of the locked dependencies; it asks a service on the network"
	@echo "make docs      rewrite what is generated: rules, dashboards, documentation"
	@echo "make lock      resolve requirements/ anew from pyproject.toml"
	@echo "make clean     remove .venv and caches"

install: $(INSTALLED)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: Python 3.11 or later is needed; '$(PYTHON)' is not that. Name one: make PYTHON=python3.12" >&2; \
	    exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "error: '$(PYTHON) -m venv' failed; on Debian and Ubuntu install python3-venv" >&2; \
	    exit 1; }

$(BIN)/uv: requirements/install.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/install.txt
	@touch $@

$(INSTALLED): requirements/install.txt requirements/dev.txt pyproject.toml | $(BIN)/uv
	$(BIN)/uv pip sync --compile-bytecode --python $(BIN)/python --require-hashes requirements/install.txt requirements/dev.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(INSTALLED)
	$(BIN)/portallink demo $(if $(ONCE),--once)

style: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

check: style
	$(PYTEST) -q --numprocesses $(TEST_PROCESSES) -m "$(PURE)"

test: style
	$(PYTEST) --numprocesses $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

bench: $(INSTALLED)
	$(BIN)/portallink bench $(ARGS)

chaos: $(INSTALLED)
	$(BIN)/python tests/chaos $(or $(RUNS),30) $(or $(SEED),1)

simulation: $(INSTALLED)
	$(BIN)/python tests/simulation $(or $(SEED),1) $(or $(SEEDS),4000)

fuzz: $(INSTALLED)
	$(BIN)/python tests/fuzz $(or $(MINUTES),5)

soak: $(INSTALLED)
	$(BIN)/python tests/soak $(or $(MINUTES),30) $(or $(EVENTS),500)

sbom: $(INSTALLED)
	$(BIN)/python -m tools.sbom dist/sbom.cdx.json

# Without --strict it would pass over packages of which the service knows nothing.
audit: $(INSTALLED)
	@$(BIN)/pip-audit --strict --disable-pip --require-hashes --progress-spinner off \
	  -r requirements/runtime.txt -r requirements/dev.txt -r requirements/install.txt || \
	  { echo "error: weaknesses are known, or the service that knows them does not answer here: see above" >&2; \
	    exit 1; }

docs: $(INSTALLED)
	$(BIN)/python -m tools.watch_files
	$(BIN)/python -m tools.command_docs
	$(BIN)/python -m tools.scenario_docs

LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
  --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

lock: | $(BIN)/uv
	$(LOCK) --group install --output-file requirements/install.txt
	$(LOCK) pyproject.toml --constraints requirements/install.txt --output-file requirements/runtime.txt
	$(LOCK) pyproject.toml --group dev --constraints requirements/install.txt \
	  --constraints requirements/runtime.txt --output-file requirements/dev.txt

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis dist
	find streams tests docs -name __pycache__ -type d -prune -exec rm -rf {} +
