# Everything sets itself up: a virtual environment in .venv, and missing Debian packages through apt-get.
#   make demo         train, quantise, simulate, generate Verilog and compare all of it
#   make test         the test suite; it installs what the tests need besides, other libraries among it
#   make check        the test suite, formatting, lint, types and import rules
#   make verify-deep  the long comparisons of the three executions, all mutations, and the tests that are too long for make test
#   make bench        the throughput figures

PYTHON ?= python3
# A package index that holds a CPU build of torch, where the default one gives a build that is too large; empty: none.
TORCH_INDEX ?=
VENV := .venv
INSTALLED := $(VENV)/.spikefold-installed
TESTED := $(VENV)/.spikefold-installed-dev
BIN := $(VENV)/bin
INSTALL := $(BIN)/pip install --disable-pip-version-check -c constraints.txt $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

# Many tests start processes of their own, which would compile all that they import again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test check verify-deep bench setup setup-dev clean

demo: setup
	$(BIN)/spikefold demo --out demo-out --force

test: setup-dev
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not deep"

check: setup-dev
	.ci/run

verify-deep: setup-dev
	$(BIN)/python -m tests.equivalence.deep
	$(BIN)/python -m tests.equivalence.mutate
	$(BIN)/python -m pytest -n 2 --dist worksteal -m deep

bench: setup-dev
	$(BIN)/python -m benchmarks.throughput

setup: $(INSTALLED)

setup-dev: $(TESTED)

$(INSTALLED) $(TESTED): pyproject.toml constraints.txt .ci/packages
	.ci/packages $(PYTHON)
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(INSTALL) -e '.[$(if $(filter $(TESTED),$@),dev,all)]'
	touch $@ $(INSTALLED)

clean:
	rm -rf $(VENV) demo-out build dist
