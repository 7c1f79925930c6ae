#!/usr/bin/env bash
# Starts and stops a throw-away PostgreSQL for tests, out of Debian's binaries.
#   tools/postgres.sh start DIR   prints the URL of a superuser's database
#   tools/postgres.sh stop DIR
set -euo pipefail
action=${1:?start or stop}
dir=${2:?a folder}
bin=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1)

# PostgreSQL refuses to run as root: then it runs as the user that Debian made.
as() {
	if [ "$(id -u)" = 0 ]; then setpriv --reuid=postgres --regid=postgres --clear-groups env HOME=/tmp LC_ALL=C "$@"; else LC_ALL=C "$@"; fi
}

case $action in
start)
	mkdir -p "$dir"
	if [ "$(id -u)" = 0 ]; then
		chmod 755 "$(dirname "$dir")"
		chown postgres "$dir"
	fi
	port=$(node -e 'const s=require("net").createServer().listen(0,"127.0.0.1",()=>{console.log(s.address().port);s.close()})')
	as "$bin/initdb" -D "$dir/data" -U keyhold --auth=trust --encoding=UTF8 --locale=C >"$dir.log" 2>&1 || { cat "$dir.log" >&2; exit 1; }
	as "$bin/pg_ctl" -D "$dir/data" -w -l "$dir/server.log" -o "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=200" start >>"$dir.log" 2>&1 || { cat "$dir.log" "$dir/server.log" >&2; exit 1; }
	echo "postgres://keyhold@127.0.0.1:$port/postgres?sslmode=disable"
	;;
stop)
	as "$bin/pg_ctl" -D "$dir/data" -m immediate stop
	;;
*)
	echo "start or stop" >&2
	exit 2
	;;
esac
