# What a developer or an operator types. `make` alone lists it.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Further arguments of `make demo`, `make up` and `make test`: make test ARGS="-k registry"
ARGS ?=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help env demo demo-cluster up test coverage quick soak fuzz bench bench-sky bench-ese bench-cluster bench-real lint style format lock audit docs site clean

help: ## List the targets.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

env: $(VENV)/.installed ## Make .venv (PYTHON=python3.13 chooses the interpreter).

$(VENV)/.installed: requirements/lock.txt pyproject.toml requirements/make-env
	@requirements/make-env "$(PYTHON)" "$(VENV)"
	@touch $@

demo: env ## Real VLA data, a simulated DSA-110 night and a season of it through the platform.
	@$(BIN)/contimg demo $(ARGS)

demo-cluster: env ## The demo's night on two workers, one of which is killed: Postgres, Redis and Celery.
	@$(BIN)/python -m tests.cluster.demo $(ARGS)

up: env ## Serve the platform on your own directories until Ctrl-C.
	@$(BIN)/contimg up $(ARGS)

# Several workers share the cores: more threads of OpenBLAS would only wait for one another.
TESTS := OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest

test: env ## The whole test suite.
	$(TESTS) -n 4 --dist loadfile --no-loadscope-reorder -rs --durations=15 $(ARGS)

# Run workers, CASA's processes and servers count too; what is killed doesn't.
coverage: env ## The whole test suite, and the lines of code that it runs, in build/coverage.
	rm -rf build/coverage
	$(BIN)/coverage run -m pytest -n 3 --dist loadfile --no-loadscope-reorder -q $(ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage html --quiet --directory build/coverage/html
	$(BIN)/coverage report --sort cover | tail -n 1

# Another Python has another CASA and other compiled libraries; no platform is started.
QUICK := alerts casa database export images instrument mosaics observations photometry products \
    registry tables variability

quick: env ## Some three minutes of the tests, on another Python: PYTHON=python3.13 VENV=.venv-313
	$(TESTS) -n 3 --dist loadfile -m "not slow and not browser and not plotms and not wsclean" \
		$(addprefix tests/,$(QUICK)) $(ARGS)

soak: env ## Attack a platform at random and see whether it settles: ARGS="--minutes 10 --seed 7"
	$(BIN)/python -m tests.soak $(ARGS)

fuzz: env ## Damaged input for every parser, and models of the stores: ARGS="--minutes 10 -k images".
	$(BIN)/python -m pytest tests/fuzz --timeout 0 --minutes 1 $(ARGS)

bench: env ## Measure the steps beside plain CASA and WSClean (an hour); writes docs/benchmarks.md.
	$(BIN)/contimg bench --page docs/benchmarks.md $(ARGS)

bench-sky: env ## Measure mosaics, photometry and catalogues (some minutes); writes its page.
	$(BIN)/contimg bench-sky --page docs/sky-benchmarks.md $(ARGS)

bench-ese: env ## Measure the search for events (20 minutes; ARGS=--quick: 4); writes its page.
	$(BIN)/contimg bench-ese --page docs/ese-benchmarks.md $(ARGS)

bench-cluster: env ## A million observations in Postgres, workers, light curves (20 minutes); writes its page.
	$(BIN)/contimg bench-cluster --page docs/cluster-benchmarks.md $(ARGS)

bench-real: env ## Skies as unkind as the real one, beside plain CASA and WSClean; writes its page.
	$(BIN)/contimg bench-real --page docs/real-benchmarks.md $(ARGS)

lint: style ## Format, lint, types, which folder may import which, docstrings.
	$(BIN)/python -m pytest -q tests/test_docstrings.py

# Docstrings are a part of the tests, too.
style: env ## The same without docstrings.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: env ## Format the code and mend what ruff can mend.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: env ## Write the pages of settings and commands, and docs/schema, anew from the code.
	$(BIN)/python -m tools.docs_pages docs

site: env ## Build the documentation as a site in build/site (mkdocs serve shows it while you write).
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

lock: ## Resolve requirements/lock.txt anew (uses the package index).
	@requirements/make-lock "$(PYTHON)"

audit: ## Look the lock up in the known vulnerabilities (uses the network).
	@requirements/audit "$(PYTHON)"

clean: ## Remove the environment and caches.
	rm -rf $(VENV) .venv-3* build *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
