#!/usr/bin/env bash
# Looks for known vulnerabilities in what the code reaches, in the snapshot of the
# Go vulnerability database that lies beside the project (../shared/data, or
# KEYHOLD_TEST_DATA).
set -euo pipefail
cd "$(dirname "$0")/.."
work=${1:?a folder}
data=${KEYHOLD_TEST_DATA:-../shared/data}
snapshot=$(ls "$data"/govulndb-*.tgz 2>/dev/null | sort | tail -n 1 || true)
if [ -z "$snapshot" ]; then
	echo "no snapshot of the vulnerability database in $data: skipped"
	exit 0
fi
mkdir -p "$work/vuln"
tar xzf "$snapshot" -C "$work/vuln"
db=$(dirname "$(find "$work/vuln" -name index -type d | head -n 1)")
go -C tools build -o ../bin/ golang.org/x/vuln/cmd/govulncheck
bin/govulncheck -db "file://$db" ./...
