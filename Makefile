# The commands of everyday work; CONTRIBUTING.md says when each is needed.
.DEFAULT_GOAL := help

GOFUMPT       := go run mvdan.cc/gofumpt@v0.12.0
STATICCHECK   := go run honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOLANGCI_LINT := go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.13.2

.PHONY: help build run test race lint fmt golden bench fuzz faults soak vuln licenses smoke ci newest

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 10

build: ## build Caddy with these modules, as ./caddy
	./xcaddy.sh

run: ## build it and run the example
	./xcaddy.sh run

test: ## run the tests; clients that are missing are skipped
	go test ./...

race: ## run the tests with the race detector, which needs gcc
	go test -race -timeout 20m ./...

lint: ## format check, go vet, staticcheck and golangci-lint
	@test -z "$$($(GOFUMPT) -l . | tee /dev/stderr)"
	go vet ./...
	$(STATICCHECK) ./...
	$(GOLANGCI_LINT) run

fmt: ## format the code
	$(GOFUMPT) -w .

golden: ## write the generated pages and other golden files anew
	UPDATE_GOLDEN=1 go test ./internal/... ./modules/... . -run 'Markdown|Golden|Page'

bench: ## measure against plain Caddy, side by side
	go run ./internal/bench

fuzz: ## fuzz each reader of outside input for a while: make fuzz FUZZTIME=10m
	.ci/fuzz $(or $(FUZZTIME),1m)

faults: ## kill -9 in the middle of writes 500 times, damaged files, full disks, simulated clusters
	FREETIER_FAULTS=1 FREETIER_KILLS=500 FREETIER_SEEDS=200 go test -count=1 -timeout 60m ./internal/ledger ./internal/machines

soak: ## mixed load with reloads, dying upstreams and a bad disk: make soak SOAKTIME=2h
	FREETIER_SOAK=$(or $(SOAKTIME),30m) go test -count=1 -v -timeout 0 -run '^TestSoak$$' ./internal/machines

vuln: ## known vulnerabilities, of the Go that runs it too: make vuln VULNDB=file:///path to a copy
	go run golang.org/x/vuln/cmd/govulncheck@v1.1.4 $(if $(VULNDB),-db $(VULNDB)) ./...

licenses: ## compare the licenses of what is built in with .ci/licenses.txt
	.ci/licenses

smoke: ## build the example as the README says, and use it
	.ci/smoke

ci: ## what CI runs, on Debian as root: installs clients and servers
	.ci/run

newest: ## build and test against Caddy's newest version
	.ci/newest-caddy
