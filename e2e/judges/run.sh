#!/usr/bin/env bash
# Has relying parties that nobody here wrote judge what bin/keyhold and bin/keyhold-agent
# answer (make build makes them). It needs Node and the Debian packages fido2-tools and
# python3-fido2, and ends with a line for each judge.
set -euo pipefail
cd "$(dirname "$0")"

lacks() {
	echo "e2e/judges/run.sh: $1" >&2
	exit 1
}
[ -x "${KEYHOLD_BIN:-../../bin/keyhold}" ] && [ -x "${KEYHOLD_AGENT_BIN:-../../bin/keyhold-agent}" ] || lacks "there are no programs to judge: run make build"
command -v fido2-cred >/dev/null && command -v fido2-assert >/dev/null || lacks "there is no judge fido2-cred: install the Debian package fido2-tools"
# Debian's own Python: another one does not see its packages.
/usr/bin/python3 -c 'import fido2.server' || lacks "there is no judge fido2.server: install the Debian package python3-fido2"
npm ci --ignore-scripts --no-audit --no-fund --silent
node judges.mjs
