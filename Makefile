# The two commands a newcomer needs: `make demo` and `make test`. `make help` lists the rest.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
PIP_OPTIONS ?=
DEMO ?= demo
TEST_PROCESSES ?= 2
SEED ?= $(shell date +%s)
BENCH ?=
ACCURACY ?=
FUZZ_SECONDS ?= 60
FUZZ ?= build/fuzz

# A hundred tests start the command line as a process: without compiled files each would compile the sources anew
unexport PYTHONDONTWRITEBYTECODE


.PHONY: help install demo test test-shuffled check compile slow fuzz bench bench-accuracy clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */  \1\t/' | expand -t 16

$(VENV)/installed: setup.cfg constraints.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_OPTIONS) -c constraints.txt -e ".[kubeflow,deploy,local,mlflow,tensorboard,test]"
	touch $@

install: $(VENV)/installed  ## make .venv and install everything into it

demo: install  ## render recordings, run the whole pipeline on them, print what came out
	rm -rf $(DEMO)
	$(BIN)/traffic-yolo atm synthesize --out $(DEMO)/nas
	$(BIN)/traffic-yolo run --local --out $(DEMO)/runs --source $(DEMO)/nas/recordings \
		--labels $(DEMO)/nas/human_labels.json --zoo $(DEMO)/zoo --val-sites D --test-sites E

check: install  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/mypy

test: check  ## ruff, mypy and the whole test suite
	$(BIN)/python -m pytest -q -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

test-shuffled: install  ## the test suite in random order, another each time; SEED=n repeats one
	$(BIN)/python -m pytest -q -n $(TEST_PROCESSES) --dist loadfile --shuffle $(SEED)

slow: install  ## the tests that take minutes (big networks, whole reference sets), ten times as many examples, drawn anew
	TRAFFIC_YOLO_SLOW=1 $(BIN)/python -m pytest -q -n $(TEST_PROCESSES)

fuzz: install  ## the readers of cfg and weights against FUZZ_SECONDS of damaged files each; corpus and findings in build/fuzz
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_OPTIONS) -c constraints.txt -e ".[fuzz]"
	OMP_NUM_THREADS=1 $(BIN)/python tests/fuzz/fuzz_cfg.py $(FUZZ)/cfg -max_total_time=$(FUZZ_SECONDS)
	OMP_NUM_THREADS=1 $(BIN)/python tests/fuzz/fuzz_weights.py $(FUZZ)/weights -max_total_time=$(FUZZ_SECONDS)

bench: install  ## the benchmarks, with ratios against peers measured in the same run; BENCH=topic picks some
	$(BIN)/python tests/benchmarks/run.py $(BENCH)

bench-accuracy: install  ## what recipes gain on real pictures, over sites; ACCURACY="network=yolo-fastest iterations=40" cuts it
	OMP_NUM_THREADS=1 $(BIN)/python tests/benchmarks/accuracy $(ACCURACY)

compile: install  ## rewrite the signatures that options decide, the compiled pipelines and the experiments
	$(BIN)/python -m traffic_yolo_pipelines.signatures
	$(BIN)/python pipelines/finetune_pipeline.py
	$(BIN)/python pipelines/convert_pipeline.py
	$(BIN)/python pipelines/evaluate_pipeline.py
	$(BIN)/python pipelines/shards_pipeline.py
	$(BIN)/python pipelines/trainjob_pipeline.py
	$(BIN)/python pipelines/tune_pipeline.py
	$(BIN)/python katib/fine_tuning_experiment.py
	$(BIN)/python katib/thresholds_experiment.py

clean:  ## remove what make made
	rm -rf $(VENV) $(DEMO) build *.egg-info .mypy_cache .pytest_cache .ruff_cache
