# `make book` and `make test` set up what they need and do nothing twice.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
SPHINX := --keep-going -n -W

.DEFAULT_GOAL := help
.PHONY: help book test lint executed html unit notebooks browser check execute serve clean

help:
	@echo "make book       set up, execute the notebooks, build the book in _build/html"
	@echo "make test       set up, lint, build the book, run every test and every notebook"
	@echo "make execute    refresh the committed notebooks that are stale"
	@echo "make serve      build the book and serve it on http://127.0.0.1:8000"
	@echo "make clean      remove what was built; the environment stays"

$(READY): requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

book: executed html

executed: $(READY)
	$(BIN)/companion execute --into _build/executed

html: $(READY)
	mkdir -p _build
	$(BIN)/jupyter-book build $(SPHINX) . > _build/html.log 2>&1 || { cat _build/html.log; exit 1; }
	@echo "the book is in _build/html/index.html"

test: lint executed html browser unit notebooks

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

browser: $(READY)
	$(BIN)/python tests/find_browser.py --install

unit: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n auto --dist loadscope

notebooks: $(READY)
	CUDA_VISIBLE_DEVICES= OMP_NUM_THREADS=1 $(BIN)/pytest -q -n auto --dist loadscope --nbval-lax --nbval-current-env --nbval-cell-timeout 600 notebooks

execute: $(READY)
	$(BIN)/companion execute

serve: book
	$(BIN)/python -m http.server --directory _build/html --bind 127.0.0.1 8000

clean:
	rm -rf _build
