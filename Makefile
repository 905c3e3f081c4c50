# Each target installs what it needs into .venv and runs it: on a fresh clone nothing has to be done by hand.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.PHONY: attack check demo test test-all

BIN := .venv/bin

# What `time` prints after each step of the demo.
export TIMEFORMAT = (took %0R s)

# From simulated runs to a decision with 90 % intervals: four languages, in both vocabularies, alone and in mixtures.
demo: .venv/.installed-run
	@rm -rf build/demo && mkdir -p build/demo
	time $(BIN)/bayes-atlas simulate build/demo/runs.csv --seed 0
	time $(BIN)/bayes-atlas fit build/demo/runs.csv --model atlas --by vocabulary \
	    --language en --language fr --language ru --language sw -o build/demo/posterior
	time $(BIN)/bayes-atlas optimum build/demo/posterior --language fr:multilingual --compute 1e21

# All tests but those marked `large`: fits of the large tables of others, and others of minutes that only a change to the
# sampler, to what it stands on or to the models can break. `make test-all` runs these too; .ci/lane says which a change
# needs.
test: SELECTED = -m "not large"
# A worker that crashes ends the tests: those that pytest-xdist would replace it with wait for ever. Each of the two
# workers has a core, where threads of BLAS would wait for each other. Files run in the order that tests/conftest.py
# gives them, dearest first, and not in xdist's own, by their number of tests.
test test-all: export OPENBLAS_NUM_THREADS = 1
test test-all: .venv/.installed-dev
	$(BIN)/python -m pytest $(SELECTED) -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0

# Mutated tables, options and scenarios by the thousand; SEED is that of the first. `make test` runs a sample.
attack: SEED = 1000
attack: .venv/.installed-dev
	$(BIN)/python -m tests.attack.attack tables --count 10000 --seed $(SEED)
	$(BIN)/python -m tests.attack.attack options --count 2000 --seed $(SEED)
	$(BIN)/python -m tests.attack.attack scenarios --count 1000 --seed $(SEED)
	$(BIN)/python -m tests.attack.attack posteriors --count 2000 --seed $(SEED)
	$(BIN)/python -m tests.attack.processes checkpoints --count 500 --seed $(SEED)
	$(BIN)/python -m tests.attack.processes kills --count 100 --seed $(SEED)

check: .venv/.installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

.venv/.installed-run: pyproject.toml constraints.txt
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 12))' || { \
	    echo "bayes-atlas needs Python 3.12 or newer, and python3 here is: $$(python3 --version 2>&1)." >&2; \
	    echo "Install one (.python-version tells pyenv which) and put it first on PATH as python3." >&2; exit 1; }
	@echo "Installing bayes-atlas into .venv ..."
	@python3 -m venv .venv
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e .
	@touch $@

.venv/.installed-dev: .venv/.installed-run
	@echo "Installing what tests and checks need into .venv ..."
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@
