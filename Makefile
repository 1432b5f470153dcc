# Every target sets up what it needs in .venv; nothing else is needed first.
PYTHON ?= python3
PY := .venv/bin/python
READY := .venv/.ready
CPUS := $(shell nproc 2>/dev/null || echo 2)
WHEEL := $(CURDIR)/.wheel
OF_WHEEL := tests/test_exports.py tests/test_packaging.py tests/docs tests/examples tests/cli
TESTS := -n $(CPUS) --dist worksteal -q

.PHONY: demo test check bench gpu docs crash fuzz models mutate limits resume wheel-test format clean

demo: $(READY)
	$(PY) examples/digits.py
	$(PY) examples/gpt2.py

test: $(READY)
	$(PY) -m pytest $(TESTS)

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

# The site in site/, built without network; then the examples of its pages run.
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
	rm -rf .venv .wheel dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --upgrade pip
	$(PY) -m pip install --quiet --constraint constraints.txt --editable '.[yaml,plot,train,hub]' --group dev
	touch $@
