# make demo and make test are all that a newcomer needs; `make help` lists the rest.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
ONE_THREAD := OMP_NUM_THREADS=1

.PHONY: help demo test smoke lint types wheel bench soak clean

help:  ## what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e '.[dev]'
	@touch $(READY)

demo: $(READY)  ## create the environment if missing, then train the default: two minutes on a CPU
	$(BIN)/segexp train

test: $(READY)  ## the whole suite, two processes
	$(ONE_THREAD) $(BIN)/python -m pytest -n 2 tests

smoke: $(READY)  ## the quick proof that the house stands, under a minute
	$(ONE_THREAD) $(BIN)/python -m pytest -n 2 -m smoke tests

lint: $(READY)  ## style
	$(BIN)/ruff check segexp tests
	$(BIN)/ruff format --check segexp tests

types: $(READY)  ## static types
	$(BIN)/ty check segexp

wheel: $(READY)  ## build, install into an empty environment, run one step away from the checkout
	$(BIN)/python -m tests.wheel

bench: $(READY)  ## timings: overhead, start, sweeps, checks, ledger, statistics, pages, kernels; training on real pictures with SEGEXP_SHARED
	$(BIN)/python -m tests.benchmarks.overhead
	$(BIN)/python -m tests.benchmarks.start
	$(BIN)/python -m tests.benchmarks.launch
	$(BIN)/python -m tests.benchmarks.checkpoint
	$(BIN)/python -m tests.benchmarks.kernels
	$(BIN)/python -m tests.benchmarks.deeplab_step
	$(BIN)/python -m tests.benchmarks.panoptic_quality
	$(BIN)/python -m tests.benchmarks.panoptic_targets
	$(BIN)/python -m tests.benchmarks.center_grouping
	$(BIN)/python -m tests.benchmarks.average_precision
	$(BIN)/python -m tests.benchmarks.compose
	$(BIN)/python -m tests.benchmarks.check
	$(BIN)/python -m tests.benchmarks.ledger
	$(BIN)/python -m tests.benchmarks.bootstrap
	$(BIN)/python -m tests.benchmarks.sweep_report
	[ -z "$$SEGEXP_SHARED" ] || $(BIN)/python -m tests.benchmarks.camvid
	[ -z "$$SEGEXP_SHARED" ] || $(BIN)/python -m tests.benchmarks.pipeline
	[ -z "$$SEGEXP_SHARED" ] || for set in nuclei sign_digits bccd nuclei_instance; do $(BIN)/python -m tests.benchmarks.$$set "$$SEGEXP_SHARED/data"; done
	[ -z "$$SEGEXP_SHARED" ] || $(BIN)/python -m tests.benchmarks.dense_crf "$$SEGEXP_SHARED/data/VOCdevkit/VOC2007"

soak: $(READY)  ## the proof that nothing is lost: hundreds of kills, stops and starts, one result; goes on where it was stopped; then all models and backbones learn by heart
	$(ONE_THREAD) $(BIN)/python -m tests.soak
	$(ONE_THREAD) $(BIN)/python -m pytest -m long tests
	$(BIN)/python -m tests.slurm
	$(BIN)/python -W ignore -m tests.e2e.rank_evaluation
	$(BIN)/python -m tests.weights.parity
	$(BIN)/python -m tests.benchmarks.overfit models tasks backbones

clean:  ## remove what was built (runs under outputs/ stay)
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find segexp tests -name __pycache__ -type d -prune -exec rm -rf {} +
