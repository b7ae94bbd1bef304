#!/usr/bin/env bash
# The page for people, /docs, in a headless Chromium against a live `tidemark dev`: see docs/page.mjs.
#
# playwright-core, which drives it, is kept under target/clients. Chromium and Node 20.19 or newer are installed where they are missing, if
# that may be. CHROMIUM names another browser of its kind, TIDEMARK a `tidemark` that is not to be built first.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
cd "$here/../.."
. "$here/tools.sh"
need python3 python3
need_node
export CHROMIUM="${CHROMIUM:-chromium}"
need "$CHROMIUM" chromium
CHROMIUM="$(command -v "$CHROMIUM")"

kept docs "$here/docs"
# Node looks for packages beside the file that imports them.
cp "$here/docs/page.mjs" "$home"

build_tidemark
python3 -B "$here/live.py" "$tidemark" sample "node $home/page.mjs"
