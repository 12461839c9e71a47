# `make help` lists what there is.
.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
export CARGO_TERM_COLOR ?= auto

.PHONY: help run test check bench fuzz generate tools e2e interop fmt clean

help: ## This list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

run: ## Start a server on https://localhost:8443 (ARGS="--http.port 9443" adds flags)
	cargo run --locked -p tandem-server --bin tandem -- serve $(ARGS)

test: tools ## Everything that can fail: Rust, web, browser, other people's programs
	scripts/test

check: ## Format, lints, docs, dependencies, architecture, web
	scripts/check

bench: ## Measure ours beside the peers; figures for docs/reference/benchmarks.md
	scripts/bench

fuzz: ## Each fuzz target for SECONDS_EACH (default 60)
	scripts/fuzz

generate: ## Rewrite what is derived: TypeScript types, OpenAPI, reference pages
	TANDEM_GENERATE=1 cargo test --locked -q -p tandem-api -p tandem-server -- generated

e2e: tools ## Only the browser tests (ARGS="-g chat" picks some)
	scripts/e2e $(ARGS)

tools: ## Install what the tests need and the machine lacks (apt, cargo)
	scripts/tools

fmt: ## Format everything
	cargo fmt --all
	cd web && npm run format

clean: ## Remove what was built
	cargo clean
	rm -rf web/dist web/node_modules
