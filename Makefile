# Everything is built into .venv by pip and cargo; stamp files keep an unchanged tree from being built again.
# PYTHON chooses the interpreter, PORT the port of `make run`.

PYTHON ?= python3
PORT ?= 8000
BIN := $(CURDIR)/.venv/bin
STAMPS := .venv/.stamps
EXAMPLE := examples/django

RUST := Cargo.toml $(wildcard Cargo.lock clippy.toml) \
        $(shell find crates -name '*.rs' -o -name Cargo.toml -o -name '*.md' -o -name '*.py')
SOURCES := $(RUST) pyproject.toml $(shell find python -name '*.py' -o -name '*.pyi' -o -name py.typed)

# One interpreter for cargo and maturin alike, so that neither makes the other build PyO3 again.
export PYO3_PYTHON := $(BIN)/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore
PIP := $(BIN)/python -m pip install --quiet

.DEFAULT_GOAL := help
.PHONY: help run build dev test fmt lint tidy rust-test python-test autobahn bench fuzz docs clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1|/' | column -t -s '|' 2>/dev/null \
	  || grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST)

run: $(STAMPS)/release $(STAMPS)/django ## build, then serve examples/django on http://127.0.0.1:8000 (PORT=)
	@cd $(EXAMPLE) && $(BIN)/python manage.py migrate --verbosity 0 && $(BIN)/python manage.py demo
	@echo
	@echo "  The shop: http://127.0.0.1:$(PORT)/      its admin: http://127.0.0.1:$(PORT)/admin/ (user admin, password admin)"
	@echo "  Ctrl-C stops it."
	@echo
	@cd $(EXAMPLE) && exec $(BIN)/daemun shop.wsgi -b 127.0.0.1:$(PORT) -w 2 --static /static=static --access-logfile -

build: $(STAMPS)/release ## the release program, at .venv/bin/daemun

dev: $(STAMPS)/maturin ## the debug program, at .venv/bin/daemun
	$(BIN)/maturin build --quiet --out target/wheels-dev
	@$(MAKE) --no-print-directory install-wheel FROM=target/wheels-dev
	@rm -f $(STAMPS)/release

test: fmt-check tidy lint rust-test python-test ## everything: format, lints, tidy, Rust tests, end-to-end tests
	@echo "all tests passed"

fmt: ## format the Rust sources
	cargo fmt --all

.PHONY: fmt-check
fmt-check:
	cargo fmt --all -- --check

lint: $(STAMPS)/venv ## clippy, warnings are errors
	cargo clippy --quiet --workspace --all-targets -- -D warnings

tidy: ## the import rules of ARCHITECTURE.md
	$(PYTHON) tools/tidy.py

rust-test: $(STAMPS)/venv
	cargo test --quiet --workspace

python-test: $(STAMPS)/release $(STAMPS)/test-requirements
	$(BIN)/python -m pytest tests -n 4

autobahn: $(STAMPS)/release ## Autobahn's WebSocket test suite, strictly; needs Python 2.7 (PYTHON2=)
	$(BIN)/python tests/autobahn/run.py

bench: $(STAMPS)/release ## side by side with the peers that are installed (bench/README.md)
	$(BIN)/python bench/bench.py all

fuzz: ## every fuzz target for a minute (fuzz/README.md)
	fuzz/run.sh

docs: $(STAMPS)/release ## the reference pages that are made from the tables of the program
	@mkdir -p docs/reference
	$(BIN)/daemun --settings-reference > docs/reference/settings.md
	$(BIN)/daemun --directives-reference > docs/reference/directives.md
	$(BIN)/daemun --settings-keywords > python/daemun/_keywords.py

clean: ## remove what was built
	rm -rf .venv target dist
	rm -rf $(EXAMPLE)/static $(EXAMPLE)/media $(EXAMPLE)/db.sqlite3
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +

# What the targets above stand on.

$(STAMPS)/venv:
	@command -v cargo >/dev/null || { echo "Rust is missing: see https://rustup.rs" >&2; exit 1; }
	$(PYTHON) tools/venv.py .venv
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/maturin: $(STAMPS)/venv
	$(PIP) 'maturin>=1.9,<2'
	@touch $@

$(STAMPS)/release: $(SOURCES) | $(STAMPS)/maturin
	$(BIN)/maturin build --quiet --release --out target/wheels
	@$(MAKE) --no-print-directory install-wheel FROM=target/wheels
	@touch $@

$(STAMPS)/test-requirements: tests/requirements.txt | $(STAMPS)/venv
	$(PIP) -r tests/requirements.txt
	@touch $@

$(STAMPS)/django: $(EXAMPLE)/requirements.txt | $(STAMPS)/venv
	$(PIP) -r $(EXAMPLE)/requirements.txt
	cd $(EXAMPLE) && $(BIN)/python manage.py collectstatic --noinput --verbosity 0
	@touch $@

# The newest wheel of the folder FROM; the older ones go.
.PHONY: install-wheel
install-wheel:
	@ls -t $(FROM)/*.whl | tail -n +2 | xargs -r rm -f
	$(PIP) --force-reinstall --no-deps $(FROM)/*.whl
