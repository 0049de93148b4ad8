# Everything sets itself up: a virtual environment in .venv, and missing Debian packages through apt-get.
#   make demo         train, quantise, simulate, generate Verilog and compare all of it
#   make test         the test suite
#   make check        the test suite, formatting, lint, types and import rules
#   make verify-deep  the long comparisons of the three executions
#   make bench        the throughput figures

PYTHON ?= python3
# A package index that holds a CPU build of torch, where the default one gives a build that is too large; empty: none.
TORCH_INDEX ?=
VENV := .venv
STAMP := $(VENV)/.spikefold-installed
BIN := $(VENV)/bin

.PHONY: demo test check verify-deep bench setup clean

demo: setup
	$(BIN)/spikefold demo --out demo-out --force

test: setup
	$(BIN)/python -m pytest -n 2 -m "not deep"

check: setup
	.ci/run

verify-deep: setup
	$(BIN)/python -m tests.equivalence.deep
	$(BIN)/python -m tests.equivalence.mutate

bench: setup
	$(BIN)/python -m benchmarks.throughput

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt .ci/packages
	.ci/packages $(PYTHON)
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --disable-pip-version-check -c constraints.txt $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) demo-out build dist
