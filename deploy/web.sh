#!/bin/sh
# The dashboard without the launcher: bring the database up to date, then serve on the address given (127.0.0.1).
# On 127.0.0.1 `cwpo link` prints the link that opens it, and a terminal shows it at once; another address needs a login
# or a trusted proxy (docs/deploy.md).
set -eu
if [ "${CWPO_SHARED_HOME:-0}" = 1 ]; then umask 007; else umask 077; fi
cd "$(dirname "$0")/.."
python=$(command -v ./.venv/bin/python || command -v python3)
"$python" -c 'from db.engine import upgrade; from workers.machine.database import database_url; upgrade(database_url())'
exec "$python" -m workers.cli.launch.web "${1:-127.0.0.1}"
