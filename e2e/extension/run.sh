#!/usr/bin/env bash
# Has relying parties in a real Chromium with the extension judge what websites get of
# bin/keyhold (make build makes it), and holds it beside Chromium's own virtual authenticator.
# It needs Node, Chromium and openssl, and ends with a line for each judge. --show and --write
# are for the differential run.
set -euo pipefail
cd "$(dirname "$0")"

lacks() {
	echo "e2e/extension/run.sh: $1" >&2
	exit 1
}
[ -x "${KEYHOLD_BIN:-../../bin/keyhold}" ] && [ -x "${KEYHOLD_AGENT_BIN:-../../bin/keyhold-agent}" ] || lacks "there are no programs to judge: run make build"
[ -f "${KEYHOLD_EXTENSION:-../../extension}/manifest.json" ] || lacks "there is no extension to judge"
[ -x "${KEYHOLD_CHROMIUM:-/usr/bin/chromium}" ] || lacks "there is no browser: install the Debian package chromium"
command -v openssl >/dev/null || lacks "nothing makes a certificate: install the Debian package openssl"
npm ci --ignore-scripts --no-audit --no-fund --silent
node run.mjs "$@"
