# The two commands a newcomer needs: `make demo` and `make test`. `make help` lists the rest.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
PIP_OPTIONS ?=
DEMO ?= demo
# One more than processors: tests that wait for a process, a socket or a disk leave theirs idle
TEST_PROCESSES ?= 3
PYTEST = $(BIN)/python -m pytest -q -p no:nbmake -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder
SEED ?= $(shell date +%s)
BENCH ?=
ACCURACY ?=
COMPRESSION ?=
RUN ?= notebooks
PUBLISHED ?=
MUTANTS ?=
FUZZ_SECONDS ?= 60
READER_SECONDS ?= 10
FUZZ ?= build/fuzz
# Images: names follow TRAFFIC_YOLO_IMAGE_PREFIX; PIP_CONF and CA_CERT are files that reach the build alone, as its secrets
CONTAINER_ENGINE ?= $(notdir $(shell command -v podman || command -v docker))
FLAVOURS ?= cpu cuda
BUILD_OPTIONS ?=
PIP_CONF ?=
CA_CERT ?=
# PyTorch's package indexes, as pytorch.org names them; where pip's own index has the build, none
TORCH_CPU_INDEX_URL ?=
TORCH_CUDA_INDEX_URL ?=
# debootstrap: make base images of Debian's packages, where no registry of images can be reached
BASE ?= registry

# A hundred tests start the command line as a process: without compiled files each would compile the sources anew
unexport PYTHONDONTWRITEBYTECODE


.PHONY: help install demo test test-all test-shuffled check compile docs slow mutants pages fuzz fuzz-parser bench bench-accuracy bench-compression bench-published images test-containers audit clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */  \1\t/' | expand -t 16

$(VENV)/installed: setup.cfg constraints.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_OPTIONS) -c constraints.txt -e ".[train,kubeflow,deploy,local,mlflow,tensorboard,docs,test]"
	touch $@

install: $(VENV)/installed  ## make .venv and install everything into it

demo: install  ## render recordings, run the whole pipeline on them, print what came out
	rm -rf $(DEMO)
	$(BIN)/traffic-yolo atm synthesize --out $(DEMO)/nas
	$(BIN)/traffic-yolo run --local --out $(DEMO)/runs --source $(DEMO)/nas/recordings \
		--labels $(DEMO)/nas/human_labels.json --zoo $(DEMO)/zoo --val-sites D --test-sites E --accept-few \
		--force-reason "the demo's test split is one site"

check: install  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/mypy

# On a fresh clone two processes first compile what every test process would compile: numba's loops, and the tests as
# pytest rewrites them
test: install  ## the test suite without what is long: eight minutes on two processors
	$(BIN)/ruff check .
	@ls tests/__pycache__/conftest.*.pyc >/dev/null 2>&1 || { $(BIN)/python -m traffic_yolo.tuning.warm_up & \
		$(BIN)/python -m pytest --collect-only -q >/dev/null 2>&1; wait; }
	$(PYTEST) --short

test-all: check  ## ruff, mypy and the whole test suite: also the tests marked long, and every case of those marked many
	$(PYTEST)

test-shuffled: install  ## the test suite in random order, another each time; SEED=n repeats one
	$(BIN)/python -m pytest -q -n $(TEST_PROCESSES) --dist loadfile --shuffle $(SEED)

slow: install  ## the tests that take minutes (big networks, whole reference sets), ten times as many examples, drawn anew
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_OPTIONS) -c constraints.txt -e ".[test-oracles]"
	TRAFFIC_YOLO_SLOW=1 $(BIN)/python -m pytest -q -n $(TEST_PROCESSES)
	rm -rf build/notebook-tests
	TRAFFIC_YOLO_EXAMPLES=$(CURDIR)/build/notebook-tests TRAFFIC_YOLO_EXAMPLE_UPDATES=12 \
		$(BIN)/python -m pytest -q --nbmake --nbmake-timeout=1800 examples

docs: install  ## these pages as a site with the reference, every command's help and the notebooks, run: build/site; RUN= leaves them as they are
	mkdir -p build/notebooks/examples
	$(if $(RUN),$(BIN)/jupyter nbconvert --to notebook --execute --output-dir build/notebooks/examples examples/*.ipynb)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

pages: install  ## every HTML page, and pictures of each at three widths, light, dark and as PDF, in build/pages; axe-core's findings
	rm -rf build/pages
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_OPTIONS) -c constraints.txt --no-deps --target build/axe axe-playwright-python
	OMP_NUM_THREADS=1 $(BIN)/python tests/pages/make_pages.py build/pages --axe build/axe/axe_playwright_python/axe.min.js

mutants: install  ## small faults put in one at a time, each of which a test must notice; MUTANTS="lease split" picks some; minutes
	$(BIN)/python tests/mutants $(MUTANTS)

fuzz: install  ## every reader against READER_SECONDS of damaged inputs, cfg and weights FUZZ_SECONDS each; findings in build/fuzz
	mkdir -p $(FUZZ)/readers
	OMP_NUM_THREADS=1 $(BIN)/python tests/fuzz/fuzz_readers.py $(FUZZ)/readers --seconds $(READER_SECONDS) 2>$(FUZZ)/readers.log \
		|| { tail -n 20 $(FUZZ)/readers.log; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_OPTIONS) -c constraints.txt -e ".[fuzz]"
	OMP_NUM_THREADS=1 $(BIN)/python tests/fuzz/fuzz_cfg.py $(FUZZ)/cfg -max_total_time=$(FUZZ_SECONDS)
	OMP_NUM_THREADS=1 $(BIN)/python tests/fuzz/fuzz_weights.py $(FUZZ)/weights -max_total_time=$(FUZZ_SECONDS)

fuzz-parser: install  ## DeepStream's parser (C++) against FUZZ_SECONDS of any outputs, under ASan and UBSan; libFuzzer's with clang
	cmake -S components/traffic_yolo/deepstream/parser -B $(FUZZ)/parser-build -DFUZZER=ON -DNVDSINFER_INCLUDE_DIR=interface \
		-DSANITIZERS=address,undefined $(addprefix -DCMAKE_CXX_COMPILER=,$(firstword $(notdir $(wildcard $(addsuffix /clang++*,$(subst :, ,$(PATH)))))))
	cmake --build $(FUZZ)/parser-build --target fuzz_parser
	mkdir -p $(FUZZ)/parser
	cd $(FUZZ)/parser && ../parser-build/fuzz_parser -max_total_time=$(FUZZ_SECONDS) . 2>fuzz.log || { tail -30 fuzz.log; exit 1; }

bench: install  ## the benchmarks, with ratios against peers measured in the same run; BENCH=topic picks some
	$(BIN)/python tests/benchmarks/run.py $(BENCH)

bench-accuracy: install  ## what recipes gain on real pictures, over sites; ACCURACY="network=yolo-fastest iterations=40" cuts it
	OMP_NUM_THREADS=1 $(BIN)/python tests/benchmarks/accuracy $(ACCURACY)

bench-compression: install  ## what pruning, INT8 training and a teacher save and cost, demo and real pictures, three seeds; COMPRESSION="--kind prune --updates 100"
	$(BIN)/python tests/benchmarks/compression $(COMPRESSION)

bench-published: install  ## weights of TRAFFIC_YOLO_WEIGHTS on COCO (TRAFFIC_YOLO_COCO), beside their published AP; PUBLISHED="yolov4 --runtime openvino"
	$(BIN)/python tests/benchmarks/published $(PUBLISHED)

images: install  ## build the training image, FLAVOURS="cpu cuda", named as the pipelines want it; no GPU is needed for either
	@test -n "$(CONTAINER_ENGINE)" || { echo "images: no podman and no docker on the PATH; name one: CONTAINER_ENGINE=…" >&2; exit 2; }
	$(foreach flavour,$(FLAVOURS),$(call build_image,$(flavour)) &&) true

# One flavour. The indexes are arguments; what may be secret is never one
build_image = DOCKER_BUILDKIT=1 $(CONTAINER_ENGINE) build -f docker/train/Dockerfile --build-arg FLAVOUR=$(1) \
	$(if $(filter cpu,$(1)),$(if $(TORCH_CPU_INDEX_URL),--build-arg TORCH_INDEX_URL=$(TORCH_CPU_INDEX_URL))) \
	$(if $(filter cuda,$(1)),$(if $(TORCH_CUDA_INDEX_URL),--build-arg TORCH_INDEX_URL=$(TORCH_CUDA_INDEX_URL))) \
	$(if $(PIP_CONF),--secret id=pip.conf$(comma)src=$(PIP_CONF)) $(if $(CA_CERT),--secret id=ca.crt$(comma)src=$(CA_CERT)) \
	$(BUILD_OPTIONS) -t $$($(BIN)/python -m traffic_yolo.container_images train $(1)) .
comma := ,

test-containers: BASE_IMAGES = localhost/traffic-yolo-base/build:bookworm localhost/traffic-yolo-base/python:bookworm
test-containers: install  ## build the CPU image and run the pipeline in it: unknown user, read-only root and share; four minutes
ifeq ($(BASE),debootstrap)
	sh tests/containers/debootstrap_base.sh $(CONTAINER_ENGINE) $(BASE_IMAGES)
	$(MAKE) images FLAVOURS=cpu BUILD_OPTIONS='$(BUILD_OPTIONS) --build-arg BUILD_IMAGE=$(word 1,$(BASE_IMAGES)) --build-arg PYTHON_IMAGE=$(word 2,$(BASE_IMAGES))'
else
	$(MAKE) images FLAVOURS=cpu
endif
	TRAFFIC_YOLO_CONTAINERS=$(CONTAINER_ENGINE) PIP_CONF=$(PIP_CONF) CA_CERT=$(CA_CERT) $(BIN)/python -m pytest -q -s tests/containers

audit: install  ## licences and known vulnerabilities of what the images hold; what is found lies in build/audit
	$(PYTHON) -m venv build/audit/venv
	build/audit/venv/bin/python -m pip install --quiet --disable-pip-version-check $(PIP_OPTIONS) -c constraints.txt pip-audit
	$(BIN)/python tests/audit/audit.py --out build/audit --pip-audit build/audit/venv/bin/pip-audit

compile: install  ## rewrite the signatures that options decide, the compiled pipelines, the experiments and docs/runtime-outputs.md
	$(BIN)/python -m traffic_yolo_pipelines.signatures
	$(BIN)/python pipelines/finetune_pipeline.py
	$(BIN)/python pipelines/convert_pipeline.py
	$(BIN)/python pipelines/evaluate_pipeline.py
	$(BIN)/python pipelines/shards_pipeline.py
	$(BIN)/python pipelines/trainjob_pipeline.py
	$(BIN)/python pipelines/tune_pipeline.py
	$(BIN)/python pipelines/retrain_pipeline.py
	$(BIN)/python pipelines/compress_pipeline.py
	$(BIN)/python katib/fine_tuning_experiment.py
	$(BIN)/python katib/thresholds_experiment.py
	$(BIN)/python tests/helpers/runtime_outputs.py

clean:  ## remove what make made
	rm -rf $(VENV) $(DEMO) build *.egg-info .mypy_cache .pytest_cache .ruff_cache
