# What a developer runs. 'make test' is what .ci/run runs.

GOLANGCI_LINT_VERSION := v2.15.0
BIN := $(CURDIR)/bin
VENV := $(CURDIR)/.venv
PYVENV := $(CURDIR)/python/.venv
PYTHON ?= python3

GOVULNCHECK_VERSION := v1.9.0
MODULES := . helm/check cmd/image
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT := $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
CREATED := $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
PLATFORMS := linux/$(shell go env GOARCH)
# axe-core is under the MPL-2.0 and is used by tests alone; the wheel that bears it needs nothing else of what it depends on.
AXE := $(BIN)/axe-0.1.8/axe_playwright_python/axe.min.js

.PHONY: help build build-race test test-go test-python test-more clients s3 s3-policy s3-suite wheel axe page screenshots lint cluster chaos simulate mutations crowds durable audits lifecycle kubernetes keeping issuer bench scale chart image vuln tools clean

help: ## the commands
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## the node, in bin/
	go build -o $(BIN)/node ./cmd/node

build-race:
	go build -race -tags trace -o $(BIN)/race/node ./cmd/node

cluster: build ## three nodes on loopback and one S3 between them, until Ctrl-C
	NODE=$(BIN)/node test/scripts/cluster

test: lint ## vet, lint, and all tests with the race detector
	$(MAKE) -j3 --no-print-directory --output-sync=target test-go test-python test-more # beside each other: most of them wait

# The longest come first, so that the others fill the time beside them.
SLOW := ./test/e2e ./test/chaos ./store/embedded ./store ./test/page ./writepath ./cluster

test-go: build-race $(VENV)/bin/moto_server $(AXE) ## all Go tests but those of test-more, with the race detector; golangci-lint has vetted them
	# What the tests run is built beside them, so Go would take old results for new: -count=1.
	LARDER_RACE_NODE=$(BIN)/race/node LARDER_MOTO_SERVER=$(VENV)/bin/moto_server LARDER_TEST_PYTHON=$(VENV)/bin/python go test -race -vet=off -count=1 -parallel 3 -timeout 30m $(SLOW) $$(go list ./... | grep -v -e /test/model -e /test/simulation)

test-more: build ## the model, the mutations, the simulation, the chart and the image
	go run ./test/mutations -check # each change that leaves out a rule still applies, and compiles
	go test -count=1 ./test/simulation # under the race detector synctest with many timers ends the process before Go 1.27: golang/go#76691
	go test ./test/model/... # one goroutine, and many states
	cd helm/check && LARDER_NODE=$(BIN)/node go test -count=1 -timeout 10m ./... # what they test is outside their modules, so Go would take old results for new
	cd cmd/image && go test -count=1 -timeout 10m ./...

# A round that failed is repeated with its own seed, which is printed.
SEED ?= 0
DURATION ?= 5m
KILLS ?= 500
CROWDS ?= 100
SEEDS ?= 200
KEYS ?= 100000
AUDITS ?= 10000000

chaos: ## kill, pause, cut off and restart nodes under load; SEED=… DURATION=…
	go test -race -v -count 1 -timeout 0 -run TestFaults ./test/chaos -seed $(SEED) -duration $(DURATION)

# Under the overlay of Go's runtime a seed does the same each time; see docs/decisions/0046-same-seed-same-run.md.
simulate: ## real nodes on a simulated network and S3, five minutes of faults for each seed; SEEDS=… SEED=…
	set -e; o=$$(go run ./test/simulation/runtime $(BIN)/runtime); go test -overlay $$o -c -o $(BIN)/simulation ./test/simulation
	$(BIN)/simulation -seed $(SEED) -seeds $(SEEDS) -test.timeout 0

mutations: ## leave out one rule of the protocol after the other, and see which tests catch that; RULES=4,10
	go run ./test/mutations -only '$(RULES)'

crowds: ## 200 callers at three nodes want one key, again and again: one build each, or what the nodes say of why not; CROWDS=…
	go test -v -count 1 -timeout 0 -run 'TestBuilds$$/^one_build' ./test/e2e -crowds $(CROWDS)

durable: ## kill a node under load again and again, and look for every acknowledged write; KILLS=… SEED=…
	go test -v -count 1 -timeout 0 -run TestDurable ./test/chaos -seed $(SEED) -kills $(KILLS)

audits: ## compare reads with S3's own answers while nodes are killed, stopped and held up; a night for ten million; AUDITS=… SEED=…
	go test -v -count 1 -timeout 0 -run TestAudits ./test/chaos -seed $(SEED) -audits $(AUDITS)

bench: ## measure Larder beside nginx, groupcache, the SDK…, with real nodes; tables in test/bench/results; ROWS='memory|peer' SHORT=1
	ROWS='$(ROWS)' SHORT=$(SHORT) test/scripts/bench

scale: ## what a unit of work costs among few nodes, keys, connections, bytes, researchers, and among many; tables in test/bench/results; ROWS='nodes|keys' SHORT=1
	go test ./test/bench -run '^$$' -bench "Scale/^($(or $(ROWS),.*))\$$" -benchtime 1x -timeout 30m $(if $(SHORT),-short) -args -results $(CURDIR)/test/bench/results

keeping: ## half of many objects expire, and half are removed by prefix, under reads; ten minutes and more; KEYS=100000
	go test -tags keeping -v -count 1 -timeout 0 ./test/keeping -keys $(KEYS)

lifecycle: ## three pods start without DNS, restart at new addresses, are scaled, die and come back, and stay apart from strangers
	go test -race -v -count 1 -run 'TestLifecycle|TestReleasesStayApart|TestNamespaces' ./test/chaos

# Of this docs/kubernetes.md says what was seen.
kubernetes: ## the chart in a Kubernetes that is built and started for it, under load; needs root; STEPS=restart,drain
	test/scripts/kubernetes -steps '$(STEPS)'

# LARDER_S3_ENDPOINT, LARDER_S3_BUCKET and the SDK's credentials name the server. Of the second, all must pass.
s3-suite: ## what another S3 server does otherwise than S3, and whether the promises hold on it
	-go test -tags s3suite -count 1 -v -run TestServer ./store
	go test -tags s3suite -count 1 -v -run TestServer ./writepath

clients: $(BIN)/clients/installed ## the programs and libraries that docs/clients.md names, against real nodes; wget2, aria2, R and Java come from the system
	go test -tags clients -count 1 -v ./test/clients -python $(BIN)/clients/bin/python -modules $(BIN)/clients/node_modules

# docs/s3.md has what was seen of each, and which were not run.
s3: ## what s3-suite tries, and the life of two nodes, on a server that is installed and started for it; SERVER=ceph|gofakes3|minio|moto|rclone|s3mock|s3proxy|s3rver|seaweedfs|swift|versitygw
	test/scripts/s3-server $(SERVER)

s3-policy: ## SERVER=ceph: nodes with the policy of docs/s3.md, and without each of its actions; SERVER=minio: where encryption is demanded
	test/scripts/s3-server $(SERVER) policy

test-python: build $(PYVENV)/bin/pytest ## the Python client: lint, types, tests against real nodes
	cd python && $(PYVENV)/bin/ruff format --check . && $(PYVENV)/bin/ruff check . && $(PYVENV)/bin/mypy
	cd python && LARDER_NODE=$(BIN)/node $(PYVENV)/bin/pytest

axe: $(AXE) ## what finds out whether everybody can use the page

$(AXE):
	$(PYTHON) -m pip install --quiet --no-deps --target $(BIN)/axe-0.1.8 axe-playwright-python==0.1.8

page: $(AXE) ## the page in Chromium, among many keys; KEYS=100000
	go test -v -count 1 -timeout 0 -run TestPage ./test/page -keys $(KEYS) -axe $(AXE)

# The provider is the example of the library, with a person of its own; nothing of it is shipped.
issuer: ## sign in on the page at a real OpenID provider, zitadel's, before and after its keys change
	GOBIN=$(BIN)/issuer GOFLAGS= go install github.com/zitadel/oidc/v3/example/server@v3.52.0
	go test -tags issuer -v -count 1 -run TestSignInAtZitadel ./test/page -issuer $(BIN)/issuer/server

screenshots: ## the pictures of README and docs, of a cluster with a few objects, in docs/page
	mkdir -p docs/page && go test -count 1 -run TestScreenshots ./test/page -screenshots $(CURDIR)/docs/page

wheel: ## the Python client as a wheel, in bin/wheel
	$(PYTHON) -m pip wheel --quiet --no-deps --wheel-dir $(BIN)/wheel ./python

lint: $(BIN)/golangci-lint-$(GOLANGCI_LINT_VERSION)
	set -e; for m in $(MODULES); do (cd $$m && $< run --allow-parallel-runners ./...); done

chart: ## the chart's table of values from values.yaml, and the chart's tests
	cd helm/check && go test -run TestValuesTable . -update && go test -count=1 ./...

image: ## the container image as an OCI layout in bin/image, without a container engine; PLATFORMS=linux/amd64,linux/arm64
	cd cmd/image && go run . --out $(BIN)/image --version $(VERSION) --commit $(COMMIT) --created $(CREATED) --platforms $(PLATFORMS)

vuln: ## known vulnerabilities in what the node calls; asks Go's vulnerability database, so it is no part of 'make test'
	GOFLAGS= go run golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION) ./...

tools: $(BIN)/golangci-lint-$(GOLANGCI_LINT_VERSION) $(VENV)/bin/moto_server

$(BIN)/golangci-lint-$(GOLANGCI_LINT_VERSION):
	@mkdir -p $(BIN)
	GOBIN=$(BIN) GOFLAGS= go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
	mv $(BIN)/golangci-lint $@

$(VENV)/bin/moto_server: test-requirements.txt
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet -r test-requirements.txt
	touch $@

$(BIN)/clients/installed: test/clients/requirements.txt test/clients/package.json
	$(PYTHON) -m venv $(BIN)/clients
	$(BIN)/clients/bin/pip install --quiet -r test/clients/requirements.txt
	npm install --silent --prefix $(BIN)/clients $$(sed -n 's/^ *"\(.*\)": "\([0-9.]*\)".*/\1@\2/p' test/clients/package.json)
	touch $@

$(PYVENV)/bin/pytest: python/test-requirements.txt python/pyproject.toml
	$(PYTHON) -m venv $(PYVENV)
	$(PYVENV)/bin/pip install --quiet -r python/test-requirements.txt --editable ./python
	touch $@

clean:
	rm -rf $(BIN) $(VENV) $(PYVENV)
