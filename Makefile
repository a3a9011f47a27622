# Two commands: `make reproduce` and `make test`. Each sets up everything it needs, and is quick the second time.
PYTHON ?= python3
VENV   ?= .venv
OUT    ?= out/q-vit
BIN    := $(VENV)/bin
# Installed again whenever what is to be installed changes.
STAMP  := $(VENV)/.installed-$(shell cat pyproject.toml constraints.txt | cksum | cut -d' ' -f1)

.PHONY: reproduce test test-all lint bench sweep checkpoints clean

reproduce: $(STAMP)
	$(BIN)/hwsim reproduce --out $(OUT)

# One worker per core: threads of their own would only spin.
# `test` leaves out what is marked slow, further cases of what it shows already; `test-all` has them too.
test test-all: export OMP_NUM_THREADS = 1
test test-all: export OMP_WAIT_POLICY = PASSIVE
# The longest files come first, so that no worker waits for the other at the end.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -q
TESTS  := tests/test_end_to_end.py tests/qmodels/training tests/reports tests
test: $(STAMP) lint
	$(PYTEST) -m "not slow" $(TESTS)

test-all: $(STAMP) lint
	$(PYTEST) $(TESTS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: $(STAMP)
	$(BIN)/python benchmarks/run.py $(ARGS)

sweep: $(STAMP)
	$(BIN)/python benchmarks/sweep.py --page docs/models.md $(ARGS)

checkpoints: $(STAMP)
	$(BIN)/hwsim train --workload digits_float --out qmodels/checkpoints/digits_float.safetensors
	$(BIN)/hwsim train --workload digits_w8a8 --out qmodels/checkpoints/digits_w8a8.safetensors
	$(BIN)/hwsim train --workload digits_w4a4 --out qmodels/checkpoints/digits_w4a4.safetensors
	$(BIN)/hwsim train --workload digits_w2a2 --out qmodels/checkpoints/digits_w2a2.safetensors

$(STAMP):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: Python 3.11 or newer is needed, got $$($(PYTHON) --version); set PYTHON=..." >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	@rm -f $(VENV)/.installed-*
	@touch $@

clean:
	rm -rf $(VENV) out
