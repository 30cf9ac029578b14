# Seawall's tasks. Nothing is needed but Python 3.11 or newer, git, make and a package index:
# the first target that needs it makes .venv and installs requirements.lock into it.

VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
STAMP := $(VENV)/.installed
WORKERS ?= 2
PYTEST_ARGS ?=
MEDIA ?= tests/media
BENCH_ARGS ?=
DESCRIPTOR := build/descriptor/efficientnet-lite0.toml

# The first Python that is new enough; set PYTHON to name one yourself.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.14; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done)

# Work in one's own environment must not leak into tests or the demo.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV

# The tests run side by side: a matrix product that takes all cores for itself slows both down.
test test-heavy: export OPENBLAS_NUM_THREADS := 1
test test-heavy: export OMP_NUM_THREADS := 1

.DEFAULT_GOAL := help
.PHONY: help install demo serve lint types imports format test test-heavy test-all lock bench bench-index bench-milvus bench-copies bench-lookalikes bench-playing bench-compositions bench-cost bench-decode bench-keyframes bench-robustness bench-images bench-peers bench-descriptor bench-scale bench-scale-hashes bench-service bench-tasks bench-purge descriptor-model clean

help: ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## (.*)/  make \1\t\2/' | expand -t 20

install: $(STAMP) ## make .venv and install everything into it

$(STAMP): requirements.lock pyproject.toml
	@if [ -z "$(PYTHON)" ]; then \
		echo "make: Seawall needs Python 3.11 or newer; found: $$(python3 --version 2>&1)." >&2; \
		echo "make: install one, or name it: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; \
		exit 1; fi
	@if ! $(PY) -m pip --version >/dev/null 2>&1; then \
		echo "Making $(VENV) with $$($(PYTHON) --version) ..."; \
		$(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); \
			echo "make: 'python3 -m venv' failed; on Debian: apt-get install python3-venv" >&2; exit 1; }; fi
	@echo "Installing what requirements.lock names (a minute or two the first time) ..."
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
		--only-binary :all: -r requirements.lock
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)

demo: $(STAMP) ## enrol a video, send an edited copy of it, see the verdict
	@$(PY) demo.py

serve: $(STAMP) ## serve on 127.0.0.1:8080, data in ./seawall-data
	@$(BIN)/seawall serve

lint: $(STAMP) ## ruff, mypy and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP) ## let ruff lay out the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: lint ## lint, then every test but the heavy ones
	$(PY) -m pytest -m "not heavy" -n $(WORKERS) --dist loadfile $(PYTEST_ARGS)

test-heavy: $(STAMP) ## the slow tests: wheel, demo, kills, several processes, a real model
	-@$(MAKE) --no-print-directory descriptor-model
	$(PY) -m pytest -m heavy $(PYTEST_ARGS)

test-all: test test-heavy ## both

lock: $(STAMP) ## pin the newest versions that pyproject.toml allows into requirements.lock
	@$(PYTHON) -m venv build/lock && build/lock/bin/pip install --quiet --upgrade uv
	build/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --upgrade \
		--generate-hashes --extra fast --extra milvus --extra onnx --extra otel --extra s3 --group dev --no-emit-index-url \
		--custom-compile-command "make lock" pyproject.toml -o requirements.lock

bench: export OPENBLAS_NUM_THREADS := 1
bench: $(STAMP) ## every figure of speed in one table, beside limits and peers (a quarter of an hour)
	$(PY) -m bench $(MEDIA) $(BENCH_ARGS)

bench-index: $(STAMP) ## measure the index
	$(PY) -m bench.index

bench-scale-hashes: $(STAMP) ## look frame hashes up in banks of up to ten million (4 GB of memory)
	$(PY) -m bench.scale_hashes $(MEDIA) $(BENCH_ARGS)

bench-milvus: export OPENBLAS_NUM_THREADS := 1
bench-milvus: $(STAMP) ## frame hashes on a Milvus server, beside the engines in memory
	$(PY) -m bench.milvus $(BENCH_ARGS)

bench-copies: $(STAMP) ## judge everyday copies of the videos in MEDIA=folder
	$(PY) -m bench.copies $(MEDIA)

bench-lookalikes: $(STAMP) ## judge excerpts of either half of the videos in MEDIA=folder by the other
	$(PY) -m bench.lookalikes $(MEDIA) $(BENCH_ARGS)

bench-playing: $(STAMP) ## judge cropped copies of the videos in MEDIA=folder that are backwards, looped, shuffled
	$(PY) -m bench.playing $(MEDIA) $(BENCH_ARGS)

bench-compositions: $(STAMP) ## banned videos and films in one picture, with and without an allow-list
	$(PY) -m bench.compositions $(MEDIA) --work $(WORK) $(BENCH_ARGS)

bench-cost: $(STAMP) ## CPU seconds of judging the videos in MEDIA=folder, beside decoding them
	$(PY) -m bench.cost $(MEDIA) $(BENCH_ARGS)

bench-decode: export OPENBLAS_NUM_THREADS := 1
bench-decode: $(STAMP) ## CPU seconds of the first look, beside decoding every frame
	$(PY) -m bench.decode $(MEDIA) $(BENCH_ARGS)

WORK ?= build/robustness
ENGINES ?= seawall
bench-robustness: $(STAMP) ## edited copies and negatives of MEDIA=folder: what is found, what alarms
	$(PY) -m bench.robustness $(MEDIA) --work $(WORK) --engines $(ENGINES) $(BENCH_ARGS)

bench-keyframes: export OPENBLAS_NUM_THREADS := 1
bench-keyframes: $(STAMP) ## the samples in WORK spliced into a minute: by keyframes, and all decoded
	$(PY) -m bench.keyframes $(MEDIA) --work $(WORK) $(BENCH_ARGS)

bench-images: $(STAMP) ## the same for edited images: stills of MEDIA=folder
	$(PY) -m bench.robustness.images $(MEDIA) --work $(WORK) --engines $(ENGINES) $(BENCH_ARGS)

bench-scale: $(STAMP) ## pad the bank to 50 million features: what is found, what it takes
	$(PY) -m bench.scale $(MEDIA) $(BENCH_ARGS)

bench-service: $(STAMP) ## how soon the service answers, also while videos are decoded
	$(PY) -m bench.service $(BENCH_ARGS)

bench-tasks: $(STAMP) ## jobs a second and memory of a backfill of many objects, on both databases
	$(PY) -m bench.tasks $(BENCH_ARGS)

bench-purge: $(STAMP) ## how fast old uploads are deleted on both databases, and what one takes up
	$(PY) -m bench.purge $(BENCH_ARGS)

bench-peers: $(STAMP) ## install the peers that ENGINES=all measures beside
	$(PY) -m bench.robustness.peers

descriptor-model: $(DESCRIPTOR) ## make a real descriptor model from a package that ships weights

$(DESCRIPTOR): bench/descriptor/efficientnet.py bench/descriptor/weights.py | $(STAMP)
	$(PY) -m bench.descriptor.efficientnet $(@D)

bench-descriptor: $(STAMP) $(DESCRIPTOR) ## measure that model on the videos in MEDIA=folder
	$(PY) -m bench.descriptor $(MEDIA) $(DESCRIPTOR) $(BENCH_ARGS)

clean: ## remove what make made; leaves seawall-data alone
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
