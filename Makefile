# The two commands of the README are `make demo` and `make test`. All that they
# need beyond Go is fetched into .cache (Debian packages, unpacked beside the
# system) or by the Go module proxy.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build
.PHONY: build demo test test-editors test-race check lint bench julia nvim vsix generate clean help

CACHE := $(CURDIR)/.cache
BIN := bin/juliahub-lsp
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
COMMIT := $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)

# Where jobs of the tests run: $JULIA, else the one that `make julia` installs.
JULIA ?= $(CACHE)/julia/usr/bin/julia

GOLANGCI_VERSION := v2.15.0
GOLANGCI := $(CACHE)/bin/golangci-lint-$(GOLANGCI_VERSION)

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

build: ## the binary, bin/juliahub-lsp
	@go build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/juliahub-lsp

demo: build ## the whole thing on this machine, nothing to set up
	@if [ -x '$(JULIA)' ]; then export JULIA='$(JULIA)'; else unset JULIA; fi; $(BIN) demo

julia: ## Debian's Julia 1.5.3 into .cache/julia, for jobs that truly run
	@scripts/install-julia.sh '$(CACHE)/julia'

nvim: ## Debian testing's Neovim into .cache/nvim, for make test-editors
	@scripts/install-nvim.sh '$(CACHE)/nvim'

# Tests that need a Julia skip themselves without one, except in CI.
define with_julia
if [ ! -x '$(JULIA)' ]; then $(MAKE) --no-print-directory julia || echo 'no Julia to be had: jobs of the tests are simulated' >&2; fi; \
if [ -x '$(JULIA)' ]; then export JULIA='$(JULIA)'; else unset JULIA; fi
endef

# Most tests wait for something: more of them run at a time than there are cores.
test: ## the unit and end-to-end tests
	@$(with_julia); go test -p 4 -parallel 8 -timeout 5m ./...

# Under this tag the JSON-RPC library scribbles over requests that are over.
test-race: ## the same under the race detector
	@$(with_julia); go test -race -tags jsonrpc2poison -timeout 15m ./...

test-editors: build ## real editors against the emulator
	@$(MAKE) --no-print-directory -j install-editors
	@$(with_julia); NVIM='$(CACHE)/nvim/bin/nvim' EMACS='$(CACHE)/emacs/bin/emacs' HELIX='$(CACHE)/helix' SERVER='$(CURDIR)/$(BIN)' \
	  go test -p 2 -tags editors -count=1 -timeout 10m -v ./editors/...; \
	SERVER='$(CURDIR)/$(BIN)' VSCODE='$(CACHE)/vscode' editors/vscode/test/run.sh

# What is there already is left alone. Neovim's script comes first: it brings
# patchelf, and two apt-get on one system get in each other's way.
.PHONY: install-editors nvim-editor emacs-editor helix-editor vscode-editor
install-editors: nvim-editor emacs-editor helix-editor vscode-editor
emacs-editor helix-editor vscode-editor: nvim-editor
nvim-editor emacs-editor helix-editor vscode-editor: %-editor:
	@scripts/install-$*.sh '$(CACHE)/$*' >/dev/null

vsix: build ## the VS Code extension with its server, dist/juliahub-lsp.vsix
	@mkdir -p editors/vscode/bin dist && cp '$(BIN)' editors/vscode/bin/ && cp LICENSE editors/vscode/
	@cd editors/vscode && npm ci && npm run --silent package -- --out '$(CURDIR)/dist/juliahub-lsp.vsix'

check: ## gofmt, go vet for the three systems, generated files
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); \
	if [ -n "$$unformatted" ]; then echo "gofmt would change: $$unformatted" >&2; exit 1; fi
	@go vet ./... && go vet -tags editors ./editors/...
	@GOOS=windows go vet ./... && GOOS=darwin go vet ./...

lint: $(GOLANGCI) ## golangci-lint with .golangci.yml
	@$(GOLANGCI) run ./...

# Built once (a minute and a half on two cores) and kept under its version.
$(GOLANGCI):
	@mkdir -p $(@D)
	@GOBIN='$(@D)' go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	@mv '$(@D)/golangci-lint' '$@'

bench: build ## benchmarks: start-up, bundling, diagnostics
	@SERVER='$(CURDIR)/$(BIN)' go test -run '^$$' -bench . -benchmem ./...

generate: ## docs/commands.md, docs/settings.md and docs/diagnostics.md from their tables
	@go test ./cmd/juliahub-lsp -run TestGenerated -count=1 -update

clean: ## what build leaves; the cache stays
	@rm -rf bin dist
