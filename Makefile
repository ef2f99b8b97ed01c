# `make` alone lists what there is. Each target can be run from a fresh clone.
.DEFAULT_GOAL := help
SHELL := bash
VENV := .venv
PY := $(VENV)/bin/python
LOCK := requirements/dev.txt
# Bytecode is kept, whatever the shell says: without it each start compiles all libraries anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help
help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# ── the two that matter ──────────────────────────────────────────────────────────────────────────

.PHONY: demo demo-down test
demo: $(VENV)/ready ## a real cluster, real vLLM, one good rollout and one bad one (KEEP=1 keeps the cluster)
	@$(PY) -m tests.demo $(if $(KEEP),--keep)

demo-down: $(VENV)/ready ## remove a kept demo cluster
	@$(PY) -m tests.bed down

test: lint unit tools apiserver cluster ## everything that proves it: what CI runs

# ── the inner loop ───────────────────────────────────────────────────────────────────────────────

.PHONY: venv lint unit sweep tools apiserver alertmanager cluster crd pages rooms
SLOWEST := --durations=10
# Tests of this tier wait more than they work, so each of two processes has a control plane of its own.
PLANES := 2
venv: $(VENV)/ready ## a virtual environment from the lock file

$(VENV)/ready: $(LOCK)
	@tests/bed/python.sh $(VENV)
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@$(VENV)/bin/uv pip install --quiet --python $(PY) --require-hashes -r $(LOCK)
	@touch $@

ACTIONLINT := github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
$(VENV)/bin/actionlint: $(VENV)/ready
	@GOBIN=$(abspath $(VENV)/bin) GOFLAGS= go install $(ACTIONLINT)
	@touch $@

lint: $(VENV)/ready $(if $(shell command -v go),$(VENV)/bin/actionlint) ## ruff, mypy --strict, import-linter, actionlint
	$(if $(shell command -v go),$(VENV)/bin/actionlint,@echo "no Go here: workflows are not linted")
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	PYTHONPATH=operator $(VENV)/bin/lint-imports

unit: $(VENV)/ready ## the pure rooms, no I/O
	PYTHONDONTWRITEBYTECODE= $(PY) -m pytest -n logical --maxschedchunk 2 $(SLOWEST) tests/unit

sweep: $(VENV)/ready ## the property tests with many examples, new ones each time: minutes
	HYPOTHESIS_PROFILE=sweep $(PY) -m pytest -n logical $(SLOWEST) \
		$$(grep -rlE '@given|RuleBasedStateMachine|tests.shared.sweep' tests/unit --include='test_*.py')

tools: $(VENV)/ready ## what the tests stand on, and the scripts that run in pods, as processes
	$(PY) -m pytest $(SLOWEST) tests/tools

apiserver: bed-build ## real etcd, API server and Prometheus; no node
	$(PY) -m pytest -n $(PLANES) --dist loadfile $(SLOWEST) tests/apiserver

alertmanager: $(VENV)/ready ## a real Alertmanager, built from its Go module the first time, posts to the operator
	$(PY) -m pytest $(SLOWEST) tests/alertmanager

cluster: bed-build ## the whole bed: kubelet, Envoy, istiod, Prometheus, vLLM; needs root
	$(PY) -m pytest $(SLOWEST) tests/cluster

crd: $(VENV)/ready ## write the CRD from the models
	PYTHONPATH=operator $(PY) -m modelrollout.api.crd crds/modelrollouts.yaml charts/modelrollout/files/modelrollouts.yaml

pages: $(VENV)/ready ## write docs/reasons.md, the tables of docs/metrics.md and the pictures of the command line
	PYTHONPATH=operator $(PY) -m tests.reasons
	PYTHONPATH=operator $(PY) -m tests.packs_page docs/metrics.md
	PYTHONPATH=operator $(PY) -m tests.screens

rooms: $(VENV)/ready ## files, lines and imports of each room; ARGS=v0.1.0 for those of a commit
	@$(PY) -m tests.rooms $(ARGS)

# ── the test bed ─────────────────────────────────────────────────────────────────────────────────

.PHONY: bed-build bed-up bed-down
bed-build: $(VENV)/ready ## build the bed's parts once, into the user's cache folder
	@$(PY) -m tests.bed build

bed-up: $(VENV)/ready ## a cluster to play with; prints its KUBECONFIG
	@$(PY) -m tests.bed up

bed-down: $(VENV)/ready ## remove it
	@$(PY) -m tests.bed down

# ── how good verdicts are, and what they cost ────────────────────────────────────────────────────

.PHONY: mutants convert-survey bench-aa bench-absolute bench-arms bench-experiments bench-hostile bench-load bench-scale bench-traffic bench-verdicts bench-engine bench-quality plots dashboard-picture
bench-scale: $(VENV)/ready ## 100 rollouts at once: duration, requests, memory, abort, restart, beside Argo and Flagger
	@PYTHONPATH=operator:. $(PY) -m tests.bench.scale $(ARGS)

bench-traffic: $(VENV)/ready ## shares, failures, cut streams, abort and kill on the real data plane, beside Argo and Flagger
	@PYTHONPATH=operator:. $(PY) -m tests.bench.traffic $(ARGS)

bench-arms: $(VENV)/ready ## 10,000 users: the same arm by gateway, OpenFeature and log while the weight grows
	@SAME_ARM_USERS=10000 $(PY) -m pytest tests/cluster/data_plane/test_same_arm.py -q -s

bench-aa: bed-build ## rollouts of an identical model on real vLLM and Envoy, on a quiet machine; ARGS="--rollouts 3" for fewer
	@PYTHONPATH=operator:. $(PY) -m tests.bench.live_aa $(ARGS)

bench-load: bed-build ## how a real vLLM slows down with what it carries, beside the simulated servers' curve
	@PYTHONPATH=operator:. $(PY) -m tests.bench.load_curve $(ARGS)

bench-verdicts: $(VENV)/ready ## wrong verdicts and delays, beside Argo, Flagger and Kayenta; QUICK=1 for a tenth
	@PYTHONPATH=operator:. $(PY) -m tests.bench.verdicts $(if $(QUICK),--quick)
	@PYTHONPATH=operator:. $(PY) -m tests.bench.serving --rollouts $(if $(QUICK),4,20)

mutants: $(VENV)/ready ## do the unit tests notice wrong code? hours; ARGS="rollout/judge.py" or ARGS="--every 20" for less
	@PYTHONPATH=operator:. $(PY) -m tests.bench.mutants $(ARGS)

bench-hostile: $(VENV)/ready ## what the worst metric of one tenant costs another's abort, beside memory and /livez
	@PYTHONPATH=operator:. $(PY) -m tests.bench.hostile_tenant $(ARGS)

convert-survey: $(VENV)/ready ## convert every example in the documentation of ARGS, checkouts of Argo Rollouts, Flagger, KServe
	@PYTHONPATH=operator:. $(PY) -m tests.foreign $(ARGS)

bench-absolute: $(VENV)/ready ## absolute limits kept by alert rules and by a slo: false alarms and delays
	@PYTHONPATH=operator:. $(PY) -m tests.bench.absolute $(ARGS)

bench-engine: $(VENV)/ready ## milliseconds per look and bytes of state
	@PYTHONPATH=operator:. $(PY) -m tests.bench.engine_cost

bench-quality: $(VENV)/ready ## planted regressions, false alarms, speed and memory of evaluations; QUICK=1 for a tenth
	@PYTHONPATH=operator:. $(PY) -m tests.bench.quality $(if $(QUICK),--runs 2 --alarms 20 --cases 5000)

bench-experiments: $(VENV)/ready ## how often an A/B test is right: simulated experiments of each design, and bandits
	@PYTHONPATH=operator:. $(PY) -m tests.bench.experiments $(ARGS)
	@PYTHONPATH=operator:. $(PY) -m tests.bench.contests $(ARGS)

plots: $(VENV)/ready ## draw the figures of docs/verdicts.md again
	@PYTHONPATH=operator:. $(PY) -m tests.bench.plots docs/img

dashboard-picture: $(VENV)/ready ## draw the chart's dashboard from real answers of a Prometheus, in two minutes
	@PYTHONPATH=operator:. $(PY) -m tests.dashboard_picture docs/img/dashboard.svg

# ── packages and the image ───────────────────────────────────────────────────────────────────────

.PHONY: lock image
COMPILE = $(VENV)/bin/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-emit-index-url --no-emit-find-links
lock: $(VENV)/ready ## write the lock files from pyproject.toml; UPGRADE=1 takes newer packages
	$(COMPILE) $(if $(UPGRADE),--upgrade) --output-file requirements/run.txt
	$(COMPILE) $(if $(UPGRADE),--upgrade) --group dev --constraints requirements/run.txt --output-file requirements/dev.txt
	echo uv | $(COMPILE:pyproject.toml=-) --constraints requirements/dev.txt --output-file requirements/uv.txt

VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
image: ## the operator's image with docker, under the name that the chart's defaults have
	docker build --tag modelrollout/operator:$(VERSION) .
