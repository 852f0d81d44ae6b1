# make run    the course as a book in half a minute, then every notebook at lecture
# make lab    JupyterLab on your own copies of the lessons
# make test   lint, all tests, every notebook at the ci profile
# make figure the GPU profile: notebooks, then large decoders on stories
# make site   the book, site/index.html, from what is there
# make newest the tests on the newest packages, and what breaks there
# make lock   renew requirements/*.lock
# make clean  remove what was built (not the environment)
#
# make run FORCE=1           execute everything again
# make run JOBS=4            four notebooks at a time (default 2)
# make run PROFILE=figure DEVICE=cuda    the GPU profile
# make env TORCH=cu130       torch with CUDA 13.0 instead of the CPU's; keep it: make
#                            every later call with the same TORCH, or export it

PYTHON ?= python3
VENV ?= .venv
TORCH ?= cpu
PROFILE ?= lecture
JOBS ?= 2
WORKERS ?= 2

BIN := $(VENV)/bin
INSTALL = @$(PYTHON) requirements/install.py --venv $(VENV) --torch $(TORCH)

.PHONY: env developer run test figure lab site newest lock clean

env:
	$(INSTALL)

developer:
	$(INSTALL) --set developer

run: env
	@$(BIN)/python -m workbench run --profile $(PROFILE) --jobs $(JOBS) --site \
	  $(if $(FORCE),--force) $(if $(DEVICE),--device $(DEVICE))

test: developer
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --durations=20

# The GPU profile: the notebooks with more seeds and steps, then decoders of about ten
# million parameters on stories. Without a GPU everything falls back to the CPU.
figure: env
	@$(BIN)/python -m workbench run --profile figure --jobs 1 --device cuda --site
	@for method in dpo rloo; do $(BIN)/python -m workbench train $$method \
	  --world stories --profile figure --out runs/figure-$$method --overwrite || exit 1; done

lab: env
	@$(BIN)/python -m workbench lab

site: env
	@$(BIN)/python -m workbench site --profile $(PROFILE)

newest: developer
	@$(BIN)/python requirements/newest.py

lock: developer
	@$(BIN)/python requirements/lock.py

clean:
	rm -rf build site .pytest_cache .ruff_cache .hypothesis
	find workbench tests -name __pycache__ -type d -prune -exec rm -rf {} +
