# Every target sets up what it needs in .venv; nothing else is needed first.
PYTHON ?= python3
PY := .venv/bin/python
READY := .venv/.ready
CPUS := $(shell nproc 2>/dev/null || echo 2)
WHEEL := $(CURDIR)/.wheel
# Beside the wheel alone: what type checkers say of the pages, and each extra by itself.
BESIDE_WHEEL := tests/typing/test_pages.py tests/test_extras.py
OF_WHEEL := tests/test_exports.py tests/test_packaging.py tests/docs tests/examples tests/cli $(BESIDE_WHEEL)
TESTS := -n $(CPUS) --dist worksteal -q

# Wheels of torch without CUDA, if an index has them: make test-oldest TORCH_INDEX=URL.
TORCH_INDEX ?=
FROM_INDEX := $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))

.PHONY: demo test test-oldest test-newest check bench gpu docs crash fuzz models mutate limits resume wheel-test format clean

demo: $(READY)
	$(PY) examples/digits.py
	$(PY) examples/gpt2.py

# Tests start hundreds of processes: each would compile every module anew where none is kept.
test wheel-test: export PYTHONDONTWRITEBYTECODE :=

test: $(READY)
	$(PY) -m pytest $(TESTS) $(addprefix --ignore=,$(BESIDE_WHEEL))

SIZES := The wheels of torch bring CUDA: about 3.4 GB are downloaded, 6.5 GB when installed. \
	With TORCH_INDEX=URL, an index of wheels without it: about 0.5 GB, 2.1 GB when installed.

# The oldest torch and numpy that are supported, in an environment of their own.
test-oldest:
	@echo "$(SIZES)"
	$(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet --upgrade pip
	.venv-oldest/bin/python -m pip install --quiet $(FROM_INDEX) 'torch==2.6.*' 'numpy==1.26.*'
	.venv-oldest/bin/python -m pip install --quiet --editable '.[yaml,plot,train,hub]' --group dev 'torch==2.6.*' 'numpy==1.26.*'
	.venv-oldest/bin/python -m pytest $(TESTS)

# The newest of everything; as much is downloaded.
test-newest:
	@echo "$(SIZES)"
	$(PYTHON) -m venv .venv-newest
	.venv-newest/bin/python -m pip install --quiet --upgrade pip
	.venv-newest/bin/python -m pip install --quiet --upgrade $(FROM_INDEX) torch
	.venv-newest/bin/python -m pip install --quiet --upgrade --editable '.[yaml,plot,train,hub]' --group dev
	.venv-newest/bin/python -m pytest $(TESTS)

# Ruff reads its answers from a cache by file: what a moved file changes elsewhere it would miss.
check: $(READY)
	.venv/bin/ruff format --check
	.venv/bin/ruff check --no-cache
	.venv/bin/mypy
	.venv/bin/pyright

bench: $(READY)
	$(PY) benches/run.py

# The tests and the bench that need a GPU of Nvidia; without one they say so.
gpu: $(READY)
	$(PY) -m pytest -q -rs -m cuda tests
	$(PY) benches/run.py gpu

# The site in site/, built without network; then the examples of its pages run. Read it
# by `python3 -m http.server -d site`, since browsers search no site that lies in files.
docs: $(READY)
	$(PY) tools/plot_results.py
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --quiet
	$(PY) -m pytest -q tests/docs

# What ends a save or a load halfway, for about an hour; writes docs/reliability.md.
crash: $(READY)
	$(PY) -m tests.campaigns.crash

# Files with damage of every kind, for about an hour; writes docs/reliability.md.
fuzz: $(READY)
	$(PY) -m tests.campaigns.fuzz

# Runs of every kind that stop or are killed, continued by another process: half an hour.
resume: $(READY)
	$(PY) -m tests.campaigns.resume

# Models of transformers, torchvision and timm, rebuilt and compared, for about an hour.
models: $(READY)
	$(PY) -m tests.campaigns.models

# The largest records and modules: memory, and time beside half the size; ten minutes.
limits: $(READY)
	$(PY) -m tests.campaigns.limits

# Small errors put into the loaders, and whether a test notices.
mutate: $(READY)
	$(PY) -m tests.campaigns.mutate

# What users touch once more, against the wheel as they install it.
wheel-test: $(READY)
	rm -rf dist .wheel
	$(PY) -m build --wheel --outdir dist . > /dev/null
	$(PY) -m pip install --quiet --no-deps --target .wheel dist/*.whl
	cd / && PYTHONPATH=$(WHEEL) $(CURDIR)/$(PY) -c "import burnish; assert burnish.__file__.startswith('$(WHEEL)')"
	PYTHONPATH=$(WHEEL) $(PY) -m pytest -o pythonpath= $(TESTS) $(OF_WHEEL)

format: $(READY)
	.venv/bin/ruff format
	.venv/bin/ruff check --fix

clean:
	rm -rf .venv .venv-oldest .venv-newest .wheel dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --upgrade pip
	$(PY) -m pip install --quiet --constraint constraints.txt --editable '.[yaml,plot,train,hub]' --group dev
	touch $@
