# Two commands matter: `make demo` and `make test`. Each works alone, on a machine with Python >= 3.11 and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
.PHONY: help demo test test-slow golden style quality

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

# torch comes first and exactly, so that nothing else may pull another build.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(STAMP)  ## wrong captions, the control, NPC, and a table; ARGS="--max_steps 50" for less
	$(BIN)/python recipes/demo.py $(ARGS)

test: $(STAMP)  ## all tests but the slow ones; no network
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal

test-slow: $(STAMP)  ## the slow ones, with DeepSpeed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,deepspeed]'
	$(BIN)/python -m pytest -m slow

golden: $(STAMP)  ## record the golden steps again, on purpose only
	RECORD_GOLDEN=1 $(BIN)/python -m pytest tests/test_golden.py

style: $(STAMP)  ## format and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

quality: $(STAMP)  ## say what is not in order
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
