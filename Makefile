# Short names for a developer's commands; `make install` first.
PYTHON ?= python3
VENV ?= .venv

install:            ## a virtual environment with everything for development
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --editable '.[dev]'

test:               ## all tests
	$(VENV)/bin/python -m pytest

# The versions that pyproject.toml allows, with uv (https://docs.astral.sh/uv). The environments are made outside the
# checkout. FAST are the tests of the engine's parts, FLAGS more for pytest; `make test-floor FAST=tests/training FLAGS=-x`.
UV ?= uv
ENVS ?= $(or $(TMPDIR),/tmp)/cnnrecipes-envs
PYTHONS ?= 3.10 3.11 3.12 3.13
FAST ?= tests/training tests/optim tests/layers tests/models tests/recipe tests/runs/test_trained_model.py tests/runs/test_checkpoint.py \
  --ignore tests/training/distributed
FLAGS ?=
# With pyenv the shims of all its versions, not only of the chosen one; without it this changes nothing.
ALL_PYTHONS = PYENV_VERSION=$$(pyenv versions --bare 2>/dev/null | paste -sd: -)

test-floor:         ## the fast tests with the oldest direct dependencies that are allowed, on the oldest Python
	$(ALL_PYTHONS) $(UV) venv --clear --quiet --python 3.10 $(ENVS)/floor
	$(UV) pip install --quiet --python $(ENVS)/floor --resolution lowest-direct --editable '.[test]'
	$(ENVS)/floor/bin/python -m pytest -n 0 $(FLAGS) $(FAST)

test-newest:        ## the fast tests with the newest dependencies, on the newest Python
	$(ALL_PYTHONS) $(UV) venv --clear --quiet --python 3.13 $(ENVS)/newest
	$(UV) pip install --quiet --python $(ENVS)/newest --upgrade --editable '.[test]'
	$(ENVS)/newest/bin/python -m pytest -n 0 $(FLAGS) $(FAST)

test-pythons:       ## the wheel, and the fast tests with it, on each of PYTHONS that is found
	$(UV) build --quiet --wheel --clear --out-dir $(ENVS)/wheel
	@failed=; for version in $(PYTHONS); do \
	  here=$(ENVS)/python$$version; \
	  $(ALL_PYTHONS) $(UV) venv --clear --quiet --no-python-downloads --python $$version $$here 2>/dev/null \
	    || { echo "Python $$version: not found"; continue; }; \
	  echo "Python $$version"; \
	  $(UV) pip install --quiet --python $$here "$$(ls $(ENVS)/wheel/*.whl)[test]" \
	    && (cd $$here && bin/cnnrecipes fit resnet8_digits train.epochs=1) \
	    && $$here/bin/pytest -n 0 $(FLAGS) $(FAST) \
	    || failed="$$failed $$version"; \
	done; test -z "$$failed" || { echo "failed on Python$$failed"; exit 1; }

lint:               ## the static checks of tests/test_static_checks.py
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

recipes-table:      ## recipes/README.md from the recipes
	$(VENV)/bin/python docs/recipes_table.py

augmentation-table: ## docs/augmentation.md from the operations
	$(VENV)/bin/python docs/augmentation_table.py

optim-table:        ## the tables of docs/training.md from the schedules, optimizers and losses
	$(VENV)/bin/python docs/optim_table.py

architectures-table:  ## docs/architectures.md from the architectures
	$(VENV)/bin/python docs/architectures_table.py

module-tree:        ## docs/modules.md from the docstrings of the modules
	$(VENV)/bin/python docs/module_tree.py

benchmark:          ## benchmarks/README.md's first table; TORCH is a Python that has torch==2.13.0
	$(VENV)/bin/python benchmarks/train_step.py $(if $(TORCH),--torch-python $(TORCH))

.PHONY: install test test-floor test-newest test-pythons lint recipes-table architectures-table augmentation-table optim-table \
  architecture-sizes module-tree benchmark
