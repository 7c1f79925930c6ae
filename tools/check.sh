#!/usr/bin/env bash
# make check: everything that is checked, on a machine with Go and Node. It
# installs the Debian packages chromium, postgresql, openssl, fido2-tools and python3-fido2 if
# they are missing.
set -euo pipefail
cd "$(dirname "$0")/.."
export GOFLAGS="${GOFLAGS:-} -buildvcs=false"
work=$(mktemp -d)
trap 'tools/postgres.sh stop "$work/postgres" >/dev/null 2>&1 || true; rm -rf "$work"' EXIT

step() { printf '\n== %s (%ss)\n' "$*" "$SECONDS"; }

need() { # need COMMAND-OR-FILE PACKAGE
	if ! command -v "$1" >/dev/null 2>&1 && ! compgen -G "$1" >/dev/null; then missing+=("$2"); fi
}
missing=()
need chromium chromium
need '/usr/lib/postgresql/*/bin/postgres' postgresql
need fido2-cred fido2-tools
need openssl openssl
need '/usr/lib/python3/dist-packages/fido2/server.py' python3-fido2
if [ ${#missing[@]} -gt 0 ]; then
	step "installing Debian packages: ${missing[*]}"
	if [ "$(id -u)" != 0 ]; then
		echo "make check needs the Debian packages ${missing[*]}: install them, or run it as root." >&2
		exit 1
	fi
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq
	apt-get install -y -qq --no-install-recommends "${missing[@]}" >"$work/apt.log" 2>&1 || { cat "$work/apt.log"; exit 1; }
fi

step "front end: npm packages of web/, types, bundle"
make -s web
(cd web && npm run --silent check)

step "generated files are up to date"
make -s generate
git diff --exit-code -- '*_templ.go' || { echo "Run make generate and commit the result." >&2; exit 1; }

step "go vet and linters (the first build of the linters takes minutes)"
go vet ./...
make -s lint

step "known vulnerabilities"
tools/vulncheck.sh "$work"

step "PostgreSQL"
KEYHOLD_TEST_POSTGRES=$(tools/postgres.sh start "$work/postgres")
export KEYHOLD_TEST_POSTGRES
echo "started a server of its own for the tests"

step "go test, with both engines"
# -count=1: the cache does not know the binary that the stories are told of.
go test -count=1 -timeout 20m ./...

step "the door's controller, by 20,000 random schedules: begins now, beside what waits for browsers"
memory=$work # what a door writes, it writes through to the disk: in memory that is fast
if [ -w /dev/shm ]; then memory=$(mktemp -d /dev/shm/keyhold-check-XXXXXX); fi
go test -c -o "$work/door.test" ./internal/door
(cd internal/door && KEYHOLD_SCHEDULES=20000 KEYHOLD_SCHEDULE_FIRST=1 TMPDIR=$memory exec nice -n 19 "$work/door.test" -test.run '^TestModel' -test.timeout 60m) >"$work/door.log" 2>&1 &
door=$!
trap 'kill "$door" 2>/dev/null || true; tools/postgres.sh stop "$work/postgres" >/dev/null 2>&1 || true; rm -rf "$work" "$memory"' EXIT

step "judges that are not ours: npm packages of e2e/judges, then what they find"
make -s build
e2e/judges/run.sh

step "browser journey: npm packages of e2e/browser, then Chromium"
make -s build
(cd e2e/browser && npm ci --ignore-scripts --no-audit --no-fund --silent && node --test --test-concurrency=1)

step "the browser extension: how it is packed, then judges in Chromium: npm packages of e2e/extension"
make -s extension
go -C tools test -count=1 ./extension
e2e/extension/run.sh

step "the door's controller: the end of its 20,000 schedules"
wait "$door" || { cat "$work/door.log"; exit 1; }
tail -n 3 "$work/door.log"

step "everything passed"
