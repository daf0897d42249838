# Short names for a developer's commands; `make install` first.
PYTHON ?= python3
VENV ?= .venv

install:            ## a virtual environment with everything for development
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --editable '.[dev]'

test:               ## all tests
	$(VENV)/bin/python -m pytest

lint:               ## what ruff has to say
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

recipes-table:      ## recipes/README.md from the recipes
	$(VENV)/bin/python docs/recipes_table.py

augmentation-table: ## docs/augmentation.md from the operations
	$(VENV)/bin/python docs/augmentation_table.py

architectures-table:  ## docs/architectures.md from the architectures
	$(VENV)/bin/python docs/architectures_table.py

benchmark:          ## benchmarks/README.md's first table; TORCH is a Python that has torch==2.13.0
	$(VENV)/bin/python benchmarks/train_step.py $(if $(TORCH),--torch-python $(TORCH))

.PHONY: install test lint recipes-table architectures-table augmentation-table benchmark
