# Keyhold: what one does here. `make` lists it.
# Nothing but Go is needed for `make test`, Go and Node for `make demo`.

GO    ?= go
NAME  ?=
FUZZ  ?= 30s
ARGS  ?=
.DEFAULT_GOAL := help

.PHONY: help demo test check bench profile fuzz run golden generate web build extension room migration lint clean

help: ## list what can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | awk -F'\t' '{printf "  make %-10s %s\n", $$1, $$2}'

demo: web build ## build all and run Keyhold with a demo workspace; prints where to click
	bin/keyhold demo $(ARGS)

test: ## run the tests that need nothing but Go
	$(GO) test -short -count=1 ./...

check: ## run everything: linters, browser, PostgreSQL (installs what it needs, and says what)
	tools/check.sh

bench: web build ## measure; figures and how to read them are in docs/performance.md
	$(GO) run ./cmd/keyhold-bench -binary bin/keyhold $(ARGS)
	$(GO) test ./internal/store -run XXX -bench Write
	$(GO) test ./internal/app -run XXX -bench Users -benchtime 50x -timeout 30m
	$(GO) test ./internal/app -run XXX -bench Keys -benchtime 1x -timeout 30m
	$(GO) test ./internal/app -run XXX -bench Door -benchtime 1x -timeout 30m
	$(GO) test ./internal/app -run XXX -bench Authenticator -benchtime 1x -timeout 30m
	KEYHOLD_REVOCATIONS=100 $(GO) test ./e2e -count=1 -run Revocation -v -timeout 30m

profile: ## measure anew what the compiler builds the server by (cmd/keyhold/default.pgo)
	KEYHOLD_BENCH_KEYS=20000 KEYHOLD_BENCH_PROFILE=$(CURDIR)/bin/keys.pgo $(GO) test ./internal/app -run XXX -bench Keys -benchtime 1x -timeout 30m
	KEYHOLD_BENCH_PROFILE=$(CURDIR)/bin/authenticator.pgo $(GO) test ./internal/app -run XXX -bench Authenticator -benchtime 1x -timeout 30m
	$(GO) tool pprof -proto bin/keys.pgo bin/authenticator.pgo > cmd/keyhold/default.pgo

fuzz: ## run each fuzz target for FUZZ=30s
	tools/fuzz.sh $(FUZZ)

run: web build ## run the server on ./keyhold-data
	bin/keyhold serve --log-format text $(ARGS)

golden: ## rewrite the golden files; look at the difference before you commit it
	$(GO) test ./internal/edge/... ./internal/out/... -update

generate: ## write the generated files anew (templ)
	$(GO) -C tools build -o ../bin/ github.com/a-h/templ/cmd/templ
	bin/templ generate

web: ## build the front-end's files into internal/edge/kit/assets/dist
	cd web && npm ci --ignore-scripts --no-audit --no-fund && node build.mjs

build: ## build bin/keyhold, bin/keyhold-lock and bin/keyhold-agent
	$(GO) build -trimpath -o bin/keyhold ./cmd/keyhold
	$(GO) build -trimpath -o bin/keyhold-lock ./cmd/keyhold-lock
	$(GO) build -trimpath -o bin/keyhold-agent ./cmd/keyhold-agent

extension: ## pack the browser extension (EXTENSION_KEY=key.pem EXTENSION_URL=https://…: sign it for a server of yours)
	$(GO) -C tools run ./extension -from ../extension -out ../bin $(if $(EXTENSION_KEY),-key "$(abspath $(EXTENSION_KEY))") $(if $(EXTENSION_URL),-url "$(EXTENSION_URL)")

lint: ## run the linters alone
	$(GO) -C tools build -o ../bin/ github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	bin/golangci-lint run ./...

room: ## begin a room: make room NAME=policy
	tools/new-room.sh "$(NAME)"

migration: ## begin a migration in both engines: make migration NAME=create_policy
	tools/new-migration.sh "$(NAME)"

clean: ## remove what was built
	rm -rf bin web/node_modules e2e/browser/node_modules e2e/judges/node_modules e2e/extension/node_modules
	find internal/edge/kit/assets/dist -type f ! -name placeholder.txt -delete
