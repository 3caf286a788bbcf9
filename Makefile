# What a developer runs. 'make test' is what .ci/run runs.

GOLANGCI_LINT_VERSION := v2.15.0
BIN := $(CURDIR)/bin
VENV := $(CURDIR)/.venv
PYVENV := $(CURDIR)/python/.venv
PYTHON ?= python3

.PHONY: build test test-python lint cluster chaos tools clean

build: ## the node, in bin/
	go build -o $(BIN)/node ./cmd/node

cluster: build ## three nodes on loopback and one S3 between them, until Ctrl-C
	NODE=$(BIN)/node scripts/cluster

test: lint $(VENV)/bin/moto_server test-python ## vet, lint, and all tests with the race detector
	go vet ./...
	LARDER_MOTO_SERVER=$(VENV)/bin/moto_server LARDER_TEST_PYTHON=$(VENV)/bin/python go test -race -timeout 20m $$(go list ./... | grep -v /model)
	go test ./model # one goroutine, and many states

# A round that failed is repeated with its own seed, which is printed.
SEED ?= 0
DURATION ?= 5m

chaos: ## kill, pause, cut off and restart nodes under load; SEED=… DURATION=…
	go test -race -v -count 1 -timeout 0 -run TestFaults ./chaos -seed $(SEED) -duration $(DURATION)

test-python: build $(PYVENV)/bin/pytest ## the Python client: lint, types, tests against real nodes
	cd python && $(PYVENV)/bin/ruff format --check . && $(PYVENV)/bin/ruff check . && $(PYVENV)/bin/mypy
	cd python && LARDER_NODE=$(BIN)/node $(PYVENV)/bin/pytest

lint: $(BIN)/golangci-lint-$(GOLANGCI_LINT_VERSION)
	$< run ./...

tools: $(BIN)/golangci-lint-$(GOLANGCI_LINT_VERSION) $(VENV)/bin/moto_server

$(BIN)/golangci-lint-$(GOLANGCI_LINT_VERSION):
	@mkdir -p $(BIN)
	GOBIN=$(BIN) GOFLAGS= go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
	mv $(BIN)/golangci-lint $@

$(VENV)/bin/moto_server: test-requirements.txt
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet -r test-requirements.txt
	touch $@

$(PYVENV)/bin/pytest: python/test-requirements.txt python/pyproject.toml
	$(PYTHON) -m venv $(PYVENV)
	$(PYVENV)/bin/pip install --quiet -r python/test-requirements.txt --editable ./python
	touch $@

clean:
	rm -rf $(BIN) $(VENV) $(PYVENV)
