# SPDX-License-Identifier: GPL-2.0-or-later
# `make demo` and `make test` do all the set-up on a fresh Debian or Ubuntu; a second run fetches nothing.

SHELL := /bin/bash
VENV := .venv
# The distribution's Python before others: NUT's user must be able to read it.
PYTHON ?= $(shell for p in /usr/bin/python3 python3 python3.14 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' && echo $$p && break; done)
STAMP := $(VENV)/.installed
NUT := packaging/install-nut
PIP := pip install --quiet --disable-pip-version-check
# Of `make fuzz`: minutes for all targets, a seed (0: another run each time), names of targets (none: all).
MINUTES ?= 10
SEED ?= 0
TARGETS ?=
DRILLS ?= all

.PHONY: demo test quick coverage drills fuzz soak sbom check bench bench-quick deb matrix release man nut servers clean help docs pictures python

help:
	@echo "make demo    watch an outage as upsc and upsmon see it (installs what is missing)"
	@echo "make test    the same set-up, then every test"
	@echo "make quick   the tests that need no other program, in a minute: for each save"
	@echo "make coverage  which lines and branches make quick does not reach; ALL=1: nor all tests but the drills"
	@echo "make drills  each story with the real upsmon at each phase of its look (ten minutes); writes docs/reliability.md"
	@echo "make check   ruff (format too), codespell, mypy --strict, the layer test"
	@echo "make docs    the documentation as a web site, in build/docs"
	@echo "make pictures  those of README.md, anew (a minute)"
	@echo "make fuzz    MINUTES=10 of hostile input for all that reads what others write: executions, coverage, failures"
	@echo "make soak    eight days in fast time and 45 minutes of real time: memory, descriptors and threads stay flat"
	@echo "make sbom    the bill of materials (CycloneDX) in build/sbom.json, and an audit of it if the advisories can be reached"
	@echo "make bench   the benchmarks, side by side with dummy-ups (ten minutes); writes docs/performance.md"
	@echo "make bench-quick  ratios of processor time against the committed ones (ten seconds)"
	@echo "make deb     the Debian package, in build/deb (installs what the build needs)"
	@echo "make man     the man page and bash's completion, in build/man"
	@echo "make release VERSION=1.2.3  every step of a release up to the tag: checks, changelogs, version, commit"
	@echo "make matrix  the package on Debian 12, 13 and testing, in chroots (as root; half an hour); writes docs/matrix.md"

demo: nut $(STAMP)
	@$(VENV)/bin/nutdrv_py demo

test: servers $(STAMP)
	@# Most of them wait for other programs: eight fit on two cores.
	@$(VENV)/bin/python -m pytest -n 8 --dist worksteal --ignore tests/drills tests
	@$(VENV)/bin/python -m pytest tests/drills

quick: $(STAMP)
	@echo "without what starts programs or takes long: SLOW in tests/conftest.py; make test has all"
	@$(VENV)/bin/python -m pytest -n 3 --dist worksteal --quick tests

coverage: $(STAMP)
	@mkdir -p build && rm -f build/coverage*
	@$(VENV)/bin/coverage run -m pytest -n 3 --dist worksteal $(if $(ALL),--ignore tests/drills,--quick) tests
	@$(VENV)/bin/coverage combine --quiet
	@$(VENV)/bin/coverage report --show-missing

drills: servers $(STAMP)
	@DRILLS="$(DRILLS)" DRILLS_RESULTS=build/drills.json DRILLS_PAGE=docs/reliability.md $(VENV)/bin/python -m pytest tests/drills

check: $(STAMP)
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check --quiet .
	@$(VENV)/bin/codespell
	@$(VENV)/bin/mypy
	@$(VENV)/bin/mypy drivers/skeleton.py
	@$(VENV)/bin/mypy -p fuzz
	@$(VENV)/bin/mypy -p tests
	@$(VENV)/bin/python -m pytest tests/test_layers.py

fuzz: $(STAMP)
	@$(VENV)/bin/python -c 'import atheris' 2>/dev/null || $(VENV)/bin/$(PIP) 'atheris >= 2.3' || echo "atheris cannot be installed here"
	@$(VENV)/bin/python -m fuzz --minutes $(MINUTES) --seed $(SEED) $(TARGETS)

soak: nut $(STAMP)
	@$(VENV)/bin/python benchmarks/soak.py

sbom: $(STAMP)
	@$(VENV)/bin/python packaging/sbom.py build/sbom.json
	@# An environment of its own: httpx loads more where it finds some of what pip-audit needs.
	@test -x build/audit/bin/pip-audit || { $(PYTHON) -m venv build/audit && build/audit/bin/$(PIP) 'pip-audit >= 2.7'; }
	@# 2: the advisories cannot be reached, which it says; the bill is written all the same.
	@build/audit/bin/python packaging/audit.py build/sbom.json || test $$? = 2

bench: servers $(STAMP)
	@# An environment of its own, as a user's: httpx loads more where it finds what the tests need.
	@test -x build/bench/bin/pip || $(PYTHON) -m venv build/bench
	@build/bench/bin/$(PIP) '.[prometheus,mqtt]' 'rctclient >= 0.0.6' 'influxdb-client >= 1.40'
	@build/bench/bin/python benchmarks/run.py

bench-quick: $(STAMP)
	@$(VENV)/bin/python benchmarks/quick.py $(COMMIT)

deb:
	@packaging/debian/make-deb

man: $(STAMP)
	@$(VENV)/bin/python packaging/man/generate.py build/man/nutdrv_py.8
	@$(VENV)/bin/python packaging/completion/generate.py build/man/nutdrv_py.bash
	@echo "build/man/nutdrv_py.8: man -l build/man/nutdrv_py.8; build/man/nutdrv_py.bash: source it"

matrix: deb $(STAMP)
	@packaging/matrix/run.py $(MATRIX); code=$$?; \
	$(VENV)/bin/python -m tests.drills.page build/drills.json build/matrix/*/drills.json; exit $$code

release: $(STAMP)
	@packaging/release.py '$(VERSION)'

nut:
	@$(NUT)

servers:
	@SERVERS=1 $(NUT)

# The smallest Debian has no Python at all.
python:
	@test -n "$(PYTHON)" || PYTHON_VENV=1 $(NUT)

$(STAMP): setup.cfg pyproject.toml | python
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed; type: apt install python3 python3-venv"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || PYTHON_VENV=1 $(NUT)
	@test -x $(VENV)/bin/pip || $(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

pictures: servers $(STAMP)
	@$(VENV)/bin/python docs/pictures/make

docs: $(STAMP)
	@test -x $(VENV)/bin/mkdocs || $(VENV)/bin/pip install --quiet --disable-pip-version-check 'mkdocs >= 1.6'
	@$(VENV)/bin/python docs/generate --check
	@$(VENV)/bin/mkdocs build --strict
	@echo "build/docs/index.html"
