#!/bin/sh
# upstreams.sh install|start|stop|status|env : see README.md. Runs in the project's environment (PYTHON overrides it).
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-$here/../../.venv/bin/python}
[ -x "$python" ] || { echo "upstreams: no $python; create the project's environment first, or set PYTHON" >&2; exit 1; }
exec "$python" "$here/upstreams.py" "$@"
