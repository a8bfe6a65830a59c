# Python 3.10 or later and make are all that has to be there before.
PYTHON ?= python3
PRESET ?= cpu
BIN := .venv/bin
# On Linux, pip's own torch brings gigabytes of CUDA along; see the README for the CPU build.
TORCH_INDEX ?=
# The page and the book are built with Node 20 or later; empty where there is none.
NPM := $(shell node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null && command -v npm)
# Containers often have no other user than root, whom Jupyter refuses unless told otherwise.
AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: help env lab test test-changed test-machines test-browser test-hub mutants notebooks bench train lint site-tools site site-single test-site

help:
	@echo "make lab        install, then open JupyterLab on the first notebook"
	@echo "make test       install, then run all tests and re-run every notebook"
	@echo "make test-changed  run only what can have been broken by what differs from main"
	@echo "make test-machines  re-run every notebook as other machines would compute it, and list what is thin"
	@echo "make test-browser  open every notebook, the page and the book in headless Chromium and move every control"
	@echo "make test-hub   sign six learners in on the classroom's hub, by headless Chromium, and have two run everything"
	@echo "make site       build the page that draws by itself, and the book, into site/dist (needs Node 20 or later)"
	@echo "make site-single  the page as one file, site/dist/emoji-sd.html, that works from a stick"
	@echo "make test-site  compare what the page draws with what Python draws"
	@echo "make mutants    break the package in many places, one at a time: each must turn a test red"
	@echo "make env        only install, into .venv"
	@echo "make notebooks  re-run every notebook and save its outputs"
	@echo "make bench      measure speed and memory beside diffusers' pipelines, about 15 minutes"
	@echo "make train      train emoji-sd anew (PRESET=cpu and then further, or gpu)"

env: .venv/installed

.venv/installed: requirements.txt requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or later is needed; this is " + sys.version.split()[0] + ". Name another: make env PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(if $(TORCH_INDEX),$(BIN)/pip install --quiet --disable-pip-version-check --index-url $(TORCH_INDEX) $(shell grep ^torch== requirements.txt))
	@echo "Installing, a minute or two and about 2 GB ..."
	$(BIN)/pip install --quiet --disable-pip-version-check -e ".[dev]"
	touch $@

# A notebook imports torch before sd_helpers, which could say so too (sd_helpers/__init__.py).
ifndef OMP_WAIT_POLICY
lab: export GOMP_SPINCOUNT ?= 300
endif
lab: env
	$(BIN)/jupyter lab $(AS_ROOT) notebooks/00_the_whole_thing.ipynb

test: env
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-cluster.txt -r requirements-bench.txt
	$(BIN)/python -m pytest -n auto --dist loadscope

test-changed: env
	$(BIN)/python tests/changed.py

test-machines: env
	PYTHONPATH=nbcompared $(BIN)/python -m nbcompared.machines $(VARIANTS)

# Without Node there is no page to test, but there are notebooks.
test-browser: env $(if $(NPM),site)
	@$(if $(NPM),,echo "Node 20 or later, with npm, was not found: the page and the book are not tested.")
	$(BIN)/python -m pytest browser --ignore browser/test_hub.py -p no:cacheprovider -n auto
	$(if $(NPM),$(BIN)/python -m pytest site/browser -p no:cacheprovider -n auto)

# Six learners sign in at once, as in a class: a minute or two, and about 5 GB of memory.
test-hub: env
	$(BIN)/pip install --quiet --disable-pip-version-check -r classroom/requirements-hub.txt
	$(BIN)/python -m pytest browser/test_hub.py -p no:cacheprovider

site-tools: .venv/site-installed

.venv/site-installed: .venv/installed requirements-site.txt site/package-lock.json
	@$(if $(NPM),,echo "Node 20 or later, with npm, was not found: install it (https://nodejs.org) and run this again."; exit 1)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-site.txt
	cd site && npm ci --silent --no-audit --no-fund
	touch $@

site: site-tools
	$(BIN)/python site/export.py
	$(BIN)/python site/assemble.py
	$(BIN)/python site/book/build.py

site-single: site
	$(BIN)/python site/single.py

test-site: site
	$(BIN)/python site/reference.py
	cd site && npm test --silent

mutants: env
	$(BIN)/python tests/mutants.py $(ONLY)

notebooks: env
	$(BIN)/python notebooks/run_all.py

bench: env
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-bench.txt
	$(BIN)/python -m benchmarks

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# Returning memory to the system at every step took a third of the time: keep it.
train: export MALLOC_MMAP_THRESHOLD_ = 10000000000
train: export MALLOC_TRIM_THRESHOLD_ = 20000000000
train: export MALLOC_TOP_PAD_ = 1000000000
# And threads that sleep while they wait for each other, good for a machine with other work, cost another third.
train: export OMP_WAIT_POLICY ?= ACTIVE
train: export GOMP_SPINCOUNT ?= 1000000
train: env
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-train.txt
	$(BIN)/python -m training --preset $(PRESET)
