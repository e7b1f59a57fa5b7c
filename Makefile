# `make book` and `make test` set up what they need and do nothing twice.

SHELL  := bash
VENV   ?= .venv
PY     := $(VENV)/bin/python
READY  := $(VENV)/.ready
SPHINX := --keep-going -n -W
PYTEST  = OMP_NUM_THREADS=1 $(PY) -m pytest -q -n auto -p tests.clock
STAGES := lint executed html browser unit notebooks mutants-changed

# ALL=1: extremes, second executions and planted bugs of every chapter, not only of those that changed.
export COMPANION_ALL := $(ALL)
# A parent's make hands its flags down; stages report in their own order.
MAKEFLAGS += --no-print-directory

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help book test lint executed html unit notebooks browser audits check execute mutants mutants-changed pdf zip serve lab lock clean anew

help:
	@echo "make book       set up, execute the notebooks, build the book in _build/html"
	@echo "make test       set up, lint, build the book, run every test and every notebook (ALL=1: nothing left out)"
	@echo "make execute    refresh the committed notebooks that are stale"
	@echo "make mutants    plant bugs and see that each is noticed (SLUG=…: one chapter's)"
	@echo "make audits     audit every page for accessibility and record what was seen"
	@echo "make serve      build the book and serve it on a free port (PORT=…: on that one)"
	@echo "make pdf        print the whole book to _build/book.pdf"
	@echo "make zip        make the site one archive that can be read from a file"
	@echo "make lab        install JupyterLab and open the notebooks in it"
	@echo "make lock       write the lock files (UPGRADE=1: with the newest versions)"
	@echo "make clean      remove what was built; the environment stays"

# An environment that was moved, renamed or copied still runs, but its commands and the package in it are elsewhere's.
ifeq ($(shell test -x $(PY) && test "$$(cat $(READY) 2>/dev/null)" = "$$(cd $(VENV) && pwd -P)" && echo whole),)
$(READY): anew
endif
$(READY): requirements.lock requirements.hashes pyproject.toml
	@bash .ci/environment "$(VENV)" "$(PYTHON)"

book: executed html

executed: $(READY)
	@mkdir -p _build
	@set -o pipefail; $(PY) -m companion.cli execute --into _build/executed | tee _build/executed.log

html: $(READY)
	@mkdir -p _build
	@$(PY) -c 'from jupyter_book.cli.main import main; main()' build $(SPHINX) . > _build/html.log 2>&1 \
	  || { cat _build/html.log; exit 1; }
	@$(PY) .ci/prune _build/html
	@echo "the book is in _build/html/index.html"

# One stage after the other, each timed; the first that fails is the last.
test: $(READY)
	@mkdir -p _build; rm -f _build/stages _build/clock-*.json; \
	for stage in $(STAGES); do \
	  start=$$(date +%s); $(MAKE) $$stage; code=$$?; \
	  echo "$$stage $$(( $$(date +%s) - start ))" >> _build/stages; \
	  test $$code = 0 || break; \
	done; \
	$(PY) -m tests.clock _build; \
	exit $$code

lint: $(READY)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

browser: $(READY)
	$(PY) tests/find_browser.py --install

unit: $(READY)
	COMPANION_CLOCK=_build/clock-unit.json $(PYTEST) --durations=10 --durations-min=5 --dist loadgroup

# The labs were executed in this very run, figures rendered; here their verdicts are compared with the committed ones.
notebooks: $(READY)
	COMPANION_CLOCK=_build/clock-notebooks.json COMPANION_DRAFT=1 CUDA_VISIBLE_DEVICES= $(PYTEST) --dist loadgroup --nbval-lax --nbval-current-env --nbval-cell-timeout 600 notebooks

execute: $(READY)
	$(PY) -m companion.cli execute

mutants: $(READY)
	$(PY) -m companion.mutants $(SLUG)

mutants-changed: $(READY)
	$(PY) -m companion.mutants --no-record $(if $(ALL),,--changed)

audits: $(READY) browser
	COMPANION_ALL=1 $(PYTEST) --dist loadgroup tests/test_browser.py -k axe
	$(PY) -m tests.audits

pdf: book browser
	$(PY) -m companion.site pdf

zip: book
	$(PY) -m companion.site zip

serve: book
	@$(PY) .ci/serve _build/html $(PORT)

lab: $(READY)
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-lab.lock
	$(PY) -m jupyterlab notebooks

lock: $(READY)
	UPGRADE=$(UPGRADE) $(PY) .ci/lock

clean:
	rm -rf _build
