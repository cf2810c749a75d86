# What a developer runs, on Debian 12 or later with git, make and Python 3.11; nothing needs root.
#
#   make lab      a whisper proven by ear, on a real Asterisk   (ARGS=--private: options of the lab)
#   make test     formatting, lint, types and every test        (ARGS="-k tones": options of pytest)
#   make test-docker  the tests that need root: the package, the unit (starts a Docker engine)
#   make test-compose  the lab in containers, as compose.yaml has it, from nothing; as root, too
#   make lint     formatting, lint and types
#   make format   put the formatting right
#   make bench    measure how fast events are read
#   make wheel    the Python package, with all it needs in it, into dist/
#   make deb      the Debian package, into dist/
#   make lock     choose anew which libraries the Debian package has
#   make clean    remove what these made in this checkout
#
# PYTHON selects the interpreter that .venv is made with.

PYTHON ?= python3
ARGS ?=

RUN := .venv/bin/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help lab test test-docker test-compose lint format bench wheel deb lock clean pip-from-debian

help:
	@sed -n 's/^#   //p' Makefile

lab: .venv/.lab
	@$(RUN) -m bridge lab $(ARGS)

test: lint
	$(RUN) -m pytest --durations=10 $(ARGS)

test-docker: .venv/.test
	$(RUN) -m pytest -m docker --durations=10 tests/docker $(ARGS)

test-compose: .venv/.test
	$(RUN) -m pytest -m docker --durations=5 tests/compose $(ARGS)

lint: .venv/.test
	$(RUN) -m ruff format --check
	$(RUN) -m ruff check
	$(RUN) -m mypy

format: .venv/.test
	$(RUN) -m ruff format
	$(RUN) -m ruff check --fix

bench: .venv/.test
	$(RUN) -m tests.bench $(ARGS)

wheel: .venv/.pip
	$(RUN) -m pip wheel --quiet --no-deps --wheel-dir dist .

deb: .venv/.pip
	PIP="$(CURDIR)/$(RUN) -m pip" packaging/deb/build

lock: .venv/.pip
	$(RUN) -m pip install --quiet pip-tools
	$(RUN) -m piptools compile --quiet --upgrade --generate-hashes --strip-extras --no-header \
		--no-annotate --no-emit-options --no-emit-index-url --no-emit-find-links \
		--output-file packaging/requirements.txt pyproject.toml

clean:
	rm -rf .venv .hypothesis .mypy_cache .pytest_cache .ruff_cache .schemathesis dist
	find bridge tests -name __pycache__ -prune -exec rm -rf {} +

# The virtual environment: what the lab needs, what the tests need as well.

.venv/.lab: pyproject.toml .venv/.pip
	$(RUN) -m pip install --quiet --editable .
	@touch $@

.venv/.test: pyproject.toml .venv/.pip
	$(RUN) -m pip install --quiet --editable '.[test]'
	@touch .venv/.lab $@

# Debian keeps ensurepip in a package of its own, python3-venv. Where that is missing, pip comes from
# the package it would take pip from, fetched with apt's lists and cache in a folder of ours.

.venv/.pip:
	@$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "needs Python 3.11 or later"'
	$(PYTHON) -m venv --clear --without-pip .venv
	@$(RUN) -m ensurepip >/dev/null 2>&1 || $(MAKE) --no-print-directory pip-from-debian
	@touch $@

APT := $(CURDIR)/.venv/apt
APT_GET := apt-get -qq -o Dir::State::lists="$(APT)/lists" -o Dir::Cache="$(APT)/cache" \
	-o Acquire::Check-Valid-Until=false -o Acquire::Languages=none -o Acquire::Retries=3

pip-from-debian:
	mkdir -p "$(APT)/lists/partial" "$(APT)/cache/archives/partial"
	$(APT_GET) update
	cd "$(APT)" && $(APT_GET) download python3-pip-whl && dpkg-deb --extract ./*.deb .
	wheel=$$(find "$(APT)" -name 'pip-*.whl') && $(RUN) "$$wheel/pip" install --no-index "$$wheel"
	rm -rf "$(APT)"
