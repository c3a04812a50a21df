# The commands a person needs. Everything they install goes into .venv; servers come from Debian packages.

PYTHON ?= python3.11
BIN := .venv/bin
LOCKS := requirements/cpu.lock
DEV_LOCKS := requirements/dev.lock
PIP := $(BIN)/pip install --quiet --no-deps --disable-pip-version-check

.PHONY: demo test test-cluster check sbom serve clean install dev servers train

demo: install  ## Start the service, remember things, ask about a picture, stop.
	$(BIN)/python demo/run.py

test: dev servers .venv-k8s/installed  ## Run every test but those of a cluster.
	$(BIN)/pytest --ignore tests/cluster

test-cluster: dev servers  ## Start four Ray nodes on this machine, as root, and let them die under load.
	$(BIN)/pytest tests/cluster

check: dev .venv-k8s/installed  ## Format, lint, types, import contracts; manifests, rules and dashboards held against theirs.
	@scripts/system_packages prometheus
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -q --no-header -m "not slow" tests/k8s tests/monitoring

sbom: .venv-k8s/installed  ## Write what the images hold, as CycloneDX, into build/sbom.
	scripts/sbom build/sbom

serve: install  ## Run the service in the foreground at port 8000.
	$(BIN)/python -m deployments.local --home .rap --port 8000

train: install  ## Train the tiny family anew, from nothing.
	$(BIN)/python -m training.embedder --out models/tiny/embedder --seed 0
	$(BIN)/python -m training.detector --embedder models/tiny/embedder --out models/tiny/detector --seed 0
	$(BIN)/python -m training.calibrate --embedder models/tiny/embedder --detector models/tiny/detector
	$(BIN)/python -m training.mllm --embedder models/tiny/embedder --out models/tiny/mllm --seed 0

clean:  ## Remove everything that was installed, built or stored here.
	rm -rf .venv .venv-k8s .rap demo/out .pytest_cache .mypy_cache .ruff_cache .import_linter_cache build *.egg-info

install: .venv/installed
dev: .venv/installed-dev

.venv/installed: $(LOCKS) requirements/torchvision_cpu_ops.py pyproject.toml
	@scripts/system_packages libnuma1
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || scripts/system_packages python3.11-venv
	$(PYTHON) -m venv .venv
	@echo "Installing the service (about 4.5 GB, 3 minutes) ..."
	$(PIP) -r requirements/cpu.lock
	cp requirements/torchvision_cpu_ops.py requirements/torchvision_cpu_ops.pth $$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
	$(PIP) --no-build-isolation --editable .
	touch $@

.venv/installed-dev: .venv/installed $(DEV_LOCKS)
	$(PIP) -r requirements/dev.lock
	touch $@

.venv-k8s/installed: requirements/k8s.lock scripts/k8s_tools
	@echo "Installing what checks manifests (about 450 MB, half a minute) ..."
	@PYTHON=$(PYTHON) scripts/k8s_tools
	touch $@

servers:
	@scripts/system_packages redis-server postgresql prometheus
