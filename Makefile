# make demo    the sandbox comparison in the browser and the terminal; DEMO_EXIT=1 stops after the table
# make real    SmolLM2 135M on the preference pairs that come with the program, on two cores; PAIRS=file.jsonl takes yours
# make start   the dashboard, the queue and the workers; WORKERS=n sets their number
# make workers the workers alone, on a machine that shares database, Redis and artifacts with another
# make test    every test; PYTEST_ARGS="tests/cwpo -k dpo" runs some
# make journeys  the tests in a browser alone: what people do with the dashboard, on runs that workers compute
# make chaos   the tests of faults alone: kills, outages, crash points, full disks, clocks; EACH=3 does each three times
# make chaos-long  500 kills on each database and every other kind of fault, counted; KILLS=30 EACH=2 POINTS=5 is a short one
# make check   ruff, mypy, import-linter, and the tree of README.md
# make bench   the measurements in benchmarks/; BENCHMARKS="dpo scoring" runs some, ARGS=--anew forgets what is stored
# make gpu     what needs a CUDA GPU: its tests, then its measurements; ARGS="--parts step --seconds 300" chooses
# make lock    requirements.lock anew from a clean environment
# make audit   requirements.lock against the public advisory databases
#
# Each target makes .venv itself. PYTHON=/path/to/python3.12 chooses the interpreter, TORCH_INDEX=URL another build of torch.

VENV := .venv
LOCKING := .venv-lock
BIN := $(VENV)/bin
INSTALLED_FROM := pyproject.toml requirements.lock tools/venv.sh
export VENV

# Another TORCH_INDEX than the installed one makes the environment out of date.
ifneq ($(TORCH_INDEX),)
ifneq ($(TORCH_INDEX),$(shell cat $(VENV)/.torch-index 2>/dev/null))
INSTALLED_FROM += other-torch
endif
endif

# One more than processors, as tests also wait; from three to eight.
TEST_PROCESSES ?= $(shell n=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2); n=$$((n + 1)); \
    echo $$((n < 3 ? 3 : n > 8 ? 8 : n)))
PYTEST_ARGS ?=
PAIRS ?=
BENCHMARKS ?=
ARGS ?=

.PHONY: help demo real start workers test journeys chaos chaos-long check bench gpu lock audit other-torch

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

$(VENV)/.ready-run: $(INSTALLED_FROM)
	@sh tools/venv.sh run

$(VENV)/.ready-dev: $(INSTALLED_FROM)
	@sh tools/venv.sh dev

demo: $(VENV)/.ready-run
	@exec $(BIN)/cwpo demo

# PAIRS takes configs/smollm2-pairs.yaml, which reads at most 300 of them.
real: $(VENV)/.ready-run
	@$(BIN)/cwpo fetch smollm2
	@exec $(BIN)/cwpo demo $(if $(PAIRS),--config configs/smollm2-pairs.yaml --set "data.dataset=$(abspath $(PAIRS))",--config configs/smollm2-everyday.yaml)

start: $(VENV)/.ready-run
	@exec $(BIN)/cwpo start

workers: $(VENV)/.ready-run
	@exec $(BIN)/python -m workers

# Compiled modules are kept: hundreds of processes would compile them anew.
test: $(VENV)/.ready-dev
	@OMP_NUM_THREADS=1 exec env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

journeys: $(VENV)/.ready-dev
	@OMP_NUM_THREADS=1 exec env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder tests/e2e $(PYTEST_ARGS)

chaos: $(VENV)/.ready-dev
	@OMP_NUM_THREADS=1 exec env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder tests/chaos $(PYTEST_ARGS)

chaos-long: $(VENV)/.ready-dev
	@OMP_NUM_THREADS=1 exec env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m tests.chaos.campaign $(ARGS)

check: $(VENV)/.ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --num-workers auto
	$(BIN)/lint-imports
	$(BIN)/python tools/tree.py

bench: $(VENV)/.ready-dev
	@$(BIN)/python -m benchmarks $(BENCHMARKS) $(ARGS)

gpu: $(VENV)/.ready-dev
	@$(BIN)/python -c "import sys, torch; torch.cuda.is_available() or sys.exit('make gpu needs a CUDA GPU, and there is none here: $(BIN)/python -m benchmarks gpu --device cpu --shapes tiny tries its script without one.')"
	@$(BIN)/python -m pytest -q -m gpu tests
	@$(BIN)/python -m benchmarks gpu $(ARGS)

audit: $(VENV)/.ready-run
	@$(BIN)/python tools/advisories.py

lock:
	@rm -rf $(LOCKING)
	@VENV=$(LOCKING) CONSTRAINTS=/dev/null sh tools/venv.sh dev
	@$(LOCKING)/bin/python -m pip freeze > $(LOCKING)/freeze.txt
	@$(LOCKING)/bin/python tools/lock.py $(LOCKING)/freeze.txt requirements.lock
	@rm -rf $(LOCKING)
	@echo "requirements.lock is written: run make test with it before it is kept."
