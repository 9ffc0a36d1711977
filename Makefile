# Every target makes its own virtual environment when there is none, or when what is to be
# installed has changed. Variables:
#   PYTHON       interpreter that .venv is made with (3.11, 3.12 or 3.13)
#   TORCH_INDEX  another index for torch's wheels, such as https://download.pytorch.org/whl/cpu
#   PYTEST_ARGS  more words for pytest, such as `-k imports`
#   WORKERS      processes that tests are shared out to (2); 0 runs them in pytest's own
#   SEED         of `make demo`: which photos are kept back; of `make mutants`: which faults are drawn
#   COUNT        of `make mutants`: how many
#   MODULES      files or folders that faults are put into, instead of those in mutants.toml
PYTHON      ?= python3
TORCH_INDEX ?=
PYTEST_ARGS ?=
WORKERS     ?= 2
SEED        ?= 1
COUNT       ?= 300
MODULES     ?=

SHELL       := bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS   += --no-print-directory
# Tests start hundreds of processes: each would compile what it imports of rankwise for itself.
unexport PYTHONDONTWRITEBYTECODE

# -P keeps the working directory off sys.path: the checkout is the package itself, so its
# modules (errors, ops, db, ...) must not be importable as top-level ones.
RUN       := .venv/bin/python -P
PIP       := $(RUN) -m pip --disable-pip-version-check -qq
TYPECHECK := build/typecheck/rankwise
STRUCTURE := tests/test_imports.py tests/test_sizes.py tests/test_words.py tests/mutants/test_lists.py

.PHONY: help venv demo test coverage mutants check format schemas wheel-test docs tutorial dist licences sbom clean
.DELETE_ON_ERROR:

help:
	@echo "make demo        the main job on a real network"
	@echo "make test        the whole test suite"
	@echo "make coverage    the same, with the share of branches that it takes"
	@echo "make mutants     small faults, put in one at a time: do the tests notice?"
	@echo "make check       lint, format, types, who imports whom, how long files are, words"
	@echo "make format      put the sources into the format that check wants"
	@echo "make schemas     write docs/schemas/ anew from documents.py"
	@echo "make wheel-test  build the wheel and run it outside the checkout"
	@echo "make docs        build the site into build/site; a warning is an error"
	@echo "make tutorial    run the tutorial's commands and write what they print into it"
	@echo "make dist        build wheel and source into dist/"
	@echo "make licences    hold the licences of dependencies against .ci/licences.txt"
	@echo "make sbom        list dependencies in build/sbom.json (CycloneDX)"
	@echo "make venv        only make .venv"
	@echo "make clean       remove .venv and everything that was built"

venv: .venv/.installed

# What the demo runs on is a third of what developers need. Few of its modules are ever imported,
# so pip leaves it to the first import to compile one.
.venv/.demo: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v < (3, 14) else f"rankwise needs Python 3.11 to 3.13, not {v[0]}.{v[1]}; try make PYTHON=python3.12")'
	@echo "setting up .venv (once, a minute or two) ..."
	@test -x .venv/bin/python || $(PYTHON) -m venv .venv
ifneq ($(strip $(TORCH_INDEX)),)
	@$(PIP) install --no-compile -c constraints.txt --index-url "$(TORCH_INDEX)" torch
endif
	@$(PIP) install --no-compile -c constraints.txt -e '.[demo]'
	@touch $@

# Everything is compiled before tests see it: what Python says of old ways of writing while it
# compiles other people's modules would be warnings, which fail a test.
.venv/.installed: .venv/.demo
	@echo "adding what tests and checks need (once, a minute or two) ..."
	@$(PIP) install --no-compile -c constraints.txt -e '.[dev,demo,service]'
	@$(RUN) -W ignore -m compileall -qq -j 0 .venv/lib || true
	@touch $@

.venv/.docs: .venv/.installed
	@echo "adding what the site is built with (once, a minute) ..."
	@$(PIP) install --no-compile -c constraints.txt -e '.[docs]'
	@touch $@

# All that users can install, so that all of it is looked at.
.venv/.release: .venv/.installed
	@echo "adding what a release is made with, and every extra (once, a minute) ..."
	@$(PIP) install --no-compile -c constraints.txt -e '.[cuda,fleet,mlflow,openvino,parquet,pictures,postgres,service,wandb,release]'
	@touch $@

demo: .venv/.demo
	@PYTHONPATH=examples $(RUN) examples/demo.py --seed $(SEED)

# One thread for each of the workers: threads that wait for one another on busy processors do
# little else.
test: venv
	@OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(RUN) -m pytest -q -n $(WORKERS) --dist loadfile \
	  --no-loadscope-reorder $(PYTEST_ARGS)

# The floor stands in pyproject.toml.
coverage: PYTEST_ARGS += --cov --cov-report=term:skip-covered
coverage: test

# Resumes where it was stopped; build/mutants/ keeps what is known. See tests/mutants/run.py.
mutants: venv
	@.venv/bin/python tests/mutants/run.py --seed $(SEED) --count $(COUNT) --workers $(WORKERS) \
	  $(if $(MODULES),--modules $(MODULES))

# All four are run, so that one round shows everything there is to mend.
check: venv $(TYPECHECK)
	@failed=0; \
	$(RUN) -m ruff check --quiet . || failed=1; \
	$(RUN) -m ruff format --quiet --check . || { echo "not formatted; run: make format"; failed=1; }; \
	$(RUN) -m mypy -p rankwise | sed 's|^$(TYPECHECK)/||' || failed=1; \
	$(RUN) -m mypy --no-error-summary tests/typing/every_name.py || failed=1; \
	$(RUN) -m pytest -q --tb=line $(STRUCTURE) | grep -v '%]$$$$' || failed=1; \
	exit $$failed

format: venv
	@$(RUN) -m ruff check --quiet --fix . || true
	@$(RUN) -m ruff format --quiet .

# See [tool.mypy] in pyproject.toml.
$(TYPECHECK):
	@mkdir -p $(@D)
	@ln -sfn ../.. $@

schemas: venv
	@$(RUN) -c 'import json, pathlib; from rankwise.documents import schemas; \
	  [pathlib.Path("docs/schemas", name).write_text(json.dumps(schema, indent=2) + "\n") \
	   for name, schema in schemas().items()]'

# The wheel goes into an environment of its own that sees the dependencies of .venv but, as
# .pth files are not followed from there, not its editable rankwise.
wheel-test: venv
	@rm -rf build/lib build/bdist.* build/wheel && mkdir -p build/wheel
	@$(RUN) -m build --wheel --no-isolation --outdir build/wheel . >build/wheel/log 2>&1 || { cat build/wheel/log; exit 1; }
	@$(RUN) -m venv --without-pip build/wheel/env
	@site='import sysconfig; print(sysconfig.get_path("purelib"))'; \
	  $(RUN) -c "$$site" >build/wheel/deps.pth; \
	  cp build/wheel/deps.pth "$$(build/wheel/env/bin/python -P -c "$$site")/"
	@$(PIP) --python build/wheel/env install --no-deps build/wheel/*.whl
	@env="$$PWD/build/wheel/env"; cd /; "$$env/bin/rankwise" --help >/dev/null; \
	  "$$env/bin/python" -c 'import sys, rankwise; sys.exit(not rankwise.__file__.startswith(sys.prefix))'
	@echo "wheel-test: $$(cd build/wheel && ls *.whl) runs outside the checkout"

# Commands and docstrings are read from the sources as they are: see docs/hooks/. With --quiet,
# mkdocs would not count its warnings, and --strict would let all of them pass.
docs: .venv/.docs
	@mkdir -p build
	@NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict >build/docs.log 2>&1 || { cat build/docs.log; exit 1; }
	@echo "docs: build/site/index.html"

tutorial: .venv/.installed
	@PYTHONPATH=examples $(RUN) examples/write_tutorial.py

# The wheel is built from the source archive, so both are whole.
dist: .venv/.release
	@rm -rf dist build/lib build/bdist.* && mkdir -p build
	@$(RUN) -m build --no-isolation --outdir dist . >build/dist.log 2>&1 || { cat build/dist.log; exit 1; }
	@ls dist

licences: .venv/.release
	@mkdir -p build
	@$(RUN) -m piplicenses --packages $$($(RUN) .ci/dependencies.py names) --with-urls \
	  --allow-only "$$(grep -v '^#' .ci/licences.txt | paste -sd ';')" >build/licences.txt
	@echo "licences: $$($(RUN) .ci/dependencies.py names | wc -l) dependencies, all accepted; build/licences.txt"

sbom: .venv/.release
	@mkdir -p build
	@.venv/bin/cyclonedx-py environment --pyproject pyproject.toml --mc-type library \
	  --output-reproducible -o build/environment.json .venv/bin/python
	@$(RUN) .ci/dependencies.py sbom build/environment.json build/sbom.json
	@echo "sbom: build/sbom.json"

clean:
	@rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage*
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
