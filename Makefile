# make help lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help

STAMP := node_modules/.package-lock.json
NODE_TEST := node --import tsx --import ./test/lab/prompt-assertions.mjs test/run.mjs
UNIT_TESTS = $$(find test -name '*.test.ts' -not -path 'test/interop/*' | sort)
INTEROP_TESTS = $$(find test/interop -name '*.test.ts' | sort)

.PHONY: help demo run test check interop soak bench bench-peers build clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

$(STAMP): package.json package-lock.json $(addsuffix /package.json,shared agent broker firmware-sim test)
	npm ci --no-audit --no-fund
	@touch $(STAMP)

demo: $(STAMP) ## show the whole job in under a minute: claim, enrol, tunnel through NAT, ssh, telemetry
	@node --import tsx test/demo/main.ts $(ARGS)

run: $(STAMP) ## run a broker from this checkout, its data in .adit/broker (ARGS="--listen 127.0.0.1:4500")
	@node_modules/.bin/adit-broker run --data .adit/broker $(ARGS)

test: $(STAMP) build ## run every test that needs neither root nor a Debian package
	ADIT_PROGRAMS=bundle $(NODE_TEST) 3 $(UNIT_TESTS)

check: $(STAMP) ## types, lint and format, unused code, import arrows, no clock or dice in the cores, commands that pages name
	npx tsc -p tsconfig.json
	npx biome check .
	npx knip
	$(NODE_TEST) 2 test/house/*.test.ts

interop: $(STAMP) build ## judge us by real peers: wireguard-go, strongSwan, libreswan, OpenSSH, mosquitto, EST clients, the kernel (root, Debian packages)
	@test/interop/prepare.sh
	ADIT_PROGRAMS=bundle $(NODE_TEST) 2 $(INTEROP_TESTS)

soak: $(STAMP) build ## an hour of rekeying against strongSwan and through our TUNs, of an idle device and of NATs that forget (root; ADIT_SOAK_MINUTES=5 for less)
	@test/interop/prepare.sh
	node --import tsx --import ./test/lab/prompt-assertions.mjs --test --test-reporter=spec test/soak/*.ts

bench: $(STAMP) ## measure every figure that we claim, beside its bar (FIGURE=name for one)
	@node --expose-gc --import tsx test/bench/main.ts $(FIGURE)

bench-peers: $(STAMP) build ## our tunnels beside wireguard-go's, strongSwan's, nebula's and openvpn's, in one bed (root; PEERS=a,b RUNS=5 SECONDS=4)
	@test/bench/peers/prepare.sh
	@node --import tsx test/bench/peers/main.ts $(if $(PEERS),--peers '$(PEERS)') $(if $(RUNS),--runs $(RUNS)) $(if $(SECONDS),--seconds $(SECONDS)) $(ARGS)

build: $(STAMP) ## bundle the programs into dist/
	@node build.mjs

clean: ## remove everything that make made
	rm -rf node_modules */node_modules dist .adit
