#!/usr/bin/env bash
# Webhooks against the official libraries: a live `tidemark dev`, a receiver with PyPI's `standardwebhooks` and one with npm's, and
# what both must say of what arrives before, during and after a rotation of its secret: see webhooks/webhooks.py.
#
# The libraries are kept under target/clients. Python 3.11 and Node 20.19 or newer are installed where they are missing, if that may be.
# TIDEMARK names a `tidemark` that is not to be built first.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
cd "$here/../.."
. "$here/tools.sh"
need_python
need_node

kept webhooks "$here/webhooks"
# Node looks for packages beside the file that imports them.
cp "$here/webhooks/receive.mjs" "$home"

build_tidemark
python="$home/venv/bin/python"
"$python" -B "$here/webhooks/webhooks.py" "$tidemark" "$python -B $here/webhooks/receive.py" "node $home/receive.mjs"
