# make run    environment, every notebook at the lecture profile, site/index.html
# make test   environment, lint, all tests, every notebook at the ci profile
# make lab    JupyterLab on notebooks/
# make figure the GPU profile: notebooks, then large decoders on stories
# make clean  remove what was built (not the environment)
#
# make run FORCE=1           execute everything again
# make run JOBS=4            four notebooks at a time (default 2)
# make run PROFILE=figure DEVICE=cuda    the GPU profile
# make TORCH=torch==2.11.0   another torch (2.11 or later)
# WORKBENCH_SLOW=2 make run  twice the declared time budgets, for a slow machine

PYTHON ?= python3
VENV ?= .venv
TORCH ?= torch==2.13.0
PROFILE ?= lecture
JOBS ?= 2
WORKERS ?= 2

BIN := $(VENV)/bin
# An environment is current as long as this line and pyproject.toml are unchanged.
KEY := $(shell { cat pyproject.toml; echo "$(TORCH)"; } | cksum | cut -d' ' -f1)
RUN_ENV := $(VENV)/.workbench-run-$(KEY)
TEST_ENV := $(VENV)/.workbench-test-$(KEY)
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input

.PHONY: env run test figure lab site clean

env: $(RUN_ENV)

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	  "workbench needs Python 3.11 or later: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

# torch first and pinned: an unpinned torch may bring gigabytes of CUDA libraries.
$(RUN_ENV): | $(BIN)/python
	@echo "Installing the environment into $(VENV) (a few minutes, once)"
	$(PIP) install --quiet $(TORCH)
	$(PIP) install --quiet -e '.[lab]'
	@rm -f $(VENV)/.workbench-run-*
	@touch $@

$(TEST_ENV): $(RUN_ENV)
	$(PIP) install --quiet -e '.[lab,dev,oracle]'
	@rm -f $(VENV)/.workbench-test-*
	@touch $@

run: $(RUN_ENV)
	@$(BIN)/python -m workbench.cli run --profile $(PROFILE) --jobs $(JOBS) --site \
	  $(if $(FORCE),--force) $(if $(DEVICE),--device $(DEVICE))

test: $(TEST_ENV)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

# The GPU profile: the notebooks with more seeds and steps, then decoders of about ten
# million parameters on stories. Without a GPU everything falls back to the CPU.
figure: $(RUN_ENV)
	@$(BIN)/python -m workbench.cli run --profile figure --jobs 1 --device cuda --site
	@for method in dpo rloo; do $(BIN)/python -m workbench.cli train $$method \
	  --world stories --profile figure --out runs/figure-$$method || exit 1; done

lab: $(RUN_ENV)
	@$(BIN)/python -m workbench.cli lab

site: $(RUN_ENV)
	@$(BIN)/python -m workbench.cli site --profile $(PROFILE)

clean:
	rm -rf build site .pytest_cache .ruff_cache .hypothesis
	find workbench tests -name __pycache__ -type d -prune -exec rm -rf {} +
