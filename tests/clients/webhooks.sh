#!/usr/bin/env bash
# Webhooks against the official libraries: a live `tidemark dev`, a receiver with PyPI's `standardwebhooks` and one with npm's, and
# what both must say of what arrives before, during and after a rotation of its secret: see webhooks.py.
#
# The libraries are kept under target/clients. Python 3.11 and Node 20 or newer are installed where they are missing, if that may be.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
cd "$here/../.."

# need WHAT TEST DEBIAN_PACKAGE...
need() {
    eval "$2" >/dev/null 2>&1 && return
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "error: $1 is missing; install it (Debian: apt-get install ${*:3}) and run $0 again" >&2
        exit 1
    fi
    echo "$1 is missing: installing it" >&2
    apt-get update -qq >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends "${@:3}" >&2
}

# at_least WHAT VERSION WANTED
at_least() {
    [ "$(printf '%s\n' "$2" "$3" | sort --version-sort | head -n 1)" = "$3" ] && return
    echo "error: $1 $2 is too old; install $3 or newer and run $0 again" >&2
    exit 1
}

need python3 'command -v python3' python3
need "python3's venv" 'python3 -c "import ensurepip, venv"' python3-venv
need node 'command -v node' nodejs
need npm 'command -v npm' npm
at_least python3 "$(python3 -c 'import platform; print(platform.python_version())')" 3.11
at_least node "$(node -p process.versions.node)" 20

home="target/clients/$(cat "$here"/{requirements.txt,package.json,package-lock.json} | sha256sum | cut -c 1-16)"
if [ ! -d "$home" ]; then
    # Moved into place last, so that one cut short is not taken for a whole one.
    parts="$home.parts"
    rm -rf "$parts"
    mkdir -p "$parts"
    python3 -m venv "$parts/venv"
    "$parts/venv/bin/python" -m pip install --quiet --requirement "$here/requirements.txt"
    cp "$here"/package{,-lock}.json "$parts"
    npm ci --silent --no-audit --no-fund --prefix "$parts"
    mv "$parts" "$home"
fi
# Node looks for packages beside the file that imports them.
cp "$here/receive.mjs" "$home"

cargo build --quiet --workspace --bins
"$home/venv/bin/python" "$here/webhooks.py" "${CARGO_TARGET_DIR:-target}/debug/tidemark" \
    "$home/venv/bin/python $here/receive.py" "node $home/receive.mjs"
